# SPDX-License-Identifier: Apache-2.0
"""Any stage of a conversion as text, for `convert --dump` and for golden files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Quant, Value
from edgesdk.memory import MemoryPlan
from edgesdk.program import Program
from edgesdk.schedule import Schedule

if TYPE_CHECKING:
    from edgesdk.flow import Converted

STAGES = ("source", "graph", "schedule", "memory", "program")


def dump(converted: Converted, stage: str) -> str:
    """The text of one stage of STAGES."""
    texts = {
        "source": lambda: graph_lines(converted.source),
        "graph": lambda: graph_lines(converted.graph),
        "schedule": lambda: schedule_lines(converted.schedule),
        "memory": lambda: memory_lines(converted.plan),
        "program": lambda: program_lines(converted.program),
    }
    if stage not in texts:
        raise UsageError(f"--dump {stage}: no such stage; expected one of {', '.join(STAGES)}")
    return "\n".join(texts[stage]()) + "\n"


def _quant(q: Quant | None) -> str:
    if q is None:
        return ""
    if q.axis is None:
        return f" q({q.scale[0]:.9g}, {q.zero_point[0]})"
    return f" q[{q.scale.size} on axis {q.axis}]"


def value_text(v: Value | None) -> str:
    if v is None:
        return "-"
    constant = " const" if v.data is not None else ""
    return f"{v.name}: {v.dtype}{list(v.shape)}{_quant(v.quant)}{constant}"


def graph_lines(graph: Graph) -> Iterator[str]:
    yield f"graph {graph.name}"
    yield from (f"  input {value_text(v)}" for v in graph.inputs)
    yield from (f"  variable {value_text(v.value)} then {v.next.name}" for v in graph.variables)
    for n in graph.nodes:
        attrs = ", ".join(f"{k}={_plain(v)}" for k, v in sorted(n.attrs.items()))
        yield f"  {n.op}({attrs})"
        yield from (f"    <- {value_text(v)}" for v in n.inputs)
        yield from (f"    -> {value_text(v)}" for v in n.outputs)
    yield from (f"  output {value_text(v)}" for v in graph.outputs)


def _plain(x: object) -> object:
    return x.tolist() if isinstance(x, np.ndarray) else x


def schedule_lines(schedule: Schedule) -> Iterator[str]:
    for stage in schedule.stages:
        yield f"stage {stage.kind}: steps {stage.first}..{stage.first + stage.count - 1}"
    for i, s in enumerate(schedule.steps):
        yield f"step {i}: {s.kernel.name} rows {s.encoded.rows} batch {s.encoded.batch} scratch {s.scratch_bytes}"
        yield from (f"    <- {value_text(v.value)} as {v.rows} x {v.row_bytes}" for v in s.encoded.inputs)
        yield f"    -> {value_text(s.encoded.output.value)} as {s.encoded.output.rows} x {s.encoded.output.row_bytes}"


def memory_lines(plan: MemoryPlan) -> Iterator[str]:
    yield f"arena {plan.arena_bytes} bytes, lower bound {plan.lower_bound_bytes}"
    for b, offset in sorted(plan.placed, key=lambda p: (p[0].first, p[1])):
        yield f"  [{offset}, {offset + b.n_bytes}) steps {b.first}..{b.last} {b.name}"


def program_lines(p: Program) -> Iterator[str]:
    yield f"arena {p.arena_bytes}, weights {len(p.weights)}"
    yield from (f"input {t}" for t in p.inputs)
    yield from (f"output {t}" for t in p.outputs)
    yield from (f"variable {v}" for v in p.variables)
    yield from (f"stage {s}" for s in p.stages)
    yield from (f"step {i}: {s}" for i, s in enumerate(p.steps))
