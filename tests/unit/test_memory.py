# SPDX-License-Identifier: Apache-2.0
"""No two values that are live at the same time share a byte: by brute force, not by the planner's own rules."""

from __future__ import annotations

import numpy as np
from graphs import graphs, random_inputs
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph


def planned(graph: Graph) -> tuple[schedule.Schedule, memory.MemoryPlan]:
    lowered = passes.lower(passes.simplify(graph))
    steps = schedule.schedule(lowered, ("c",))
    return steps, memory.plan(steps)


def live_bytes(s: schedule.Schedule, plan: memory.MemoryPlan, at: int) -> list[tuple[str, range]]:
    """Byte ranges whose content matters while step `at` runs: values written before and read at or
    after it, its output, its scratch. A dying input that the output takes over counts once."""
    step = s.steps[at]
    ranges: dict[str, range] = {}
    for v in {s.root(v) for v in [*s.graph.inputs, *(t.node.output for t in s.steps)]}:
        written = next((i for i, t in enumerate(s.steps) if t.node.output is v), -1)
        reads = [i for i, t in enumerate(s.steps) if any(s.root(r) is v for r in t.reads())]
        last = max([*reads, len(s.steps) if v in [s.root(o) for o in s.graph.outputs] else -1])
        shared = [s.root(step.node.input(k)) for k in ops.in_place(step.node)]
        taken = last == at and v in shared and plan.offsets[v] == plan.offsets[step.node.output]
        if written <= at <= last and not taken:
            ranges[v.name] = range(plan.offsets[v], plan.offsets[v] + v.n_bytes)
    out = step.node.output
    ranges[out.name] = range(plan.offsets[out], plan.offsets[out] + out.n_bytes)
    ranges["scratch"] = range(plan.scratch[at], plan.scratch[at] + step.scratch_bytes)
    return list(ranges.items())


@given(graphs())
def test_live_bytes_never_overlap(graph: Graph) -> None:
    s, plan = planned(graph)
    for at in range(len(s.steps)):
        owner = np.full(plan.arena_bytes, -1)
        for i, (name, span) in enumerate(live_bytes(s, plan, at)):
            assert span.stop <= plan.arena_bytes, name
            assert (owner[span.start : span.stop] == -1).all(), f"step {at}: {name} overlaps"
            owner[span.start : span.stop] = i


@given(graphs())
def test_order_is_never_worse_than_the_given_one(graph: Graph) -> None:
    s, plan = planned(graph)
    assert plan.arena_bytes >= plan.lower_bound_bytes
    given_order = sorted(s.steps, key=lambda t: [n.output for n in s.graph.nodes].index(t.node.output))
    naive = schedule.Schedule(s.graph, given_order, s.stages, s.roots)
    assert plan.lower_bound_bytes <= memory.plan(naive).lower_bound_bytes


@given(graphs(), st.integers(0, 2**31))
def test_program_equals_reference(graph: Graph, seed: int) -> None:
    inputs = random_inputs(graph, seed)
    values = ops.evaluate(graph, inputs)
    expected = [values[o] for o in graph.outputs]
    s, plan = planned(graph)
    written = program.assemble(s, plan)
    data = program.write(written)
    assert program.read(data) == written
    got = runtime.run(runtime.open_session(data), inputs)
    for a, b in zip(got, expected, strict=True):
        assert a.tobytes() == b.tobytes()


@given(graphs(dtype="float32"), st.integers(0, 2**31))
def test_float_program_equals_reference(graph: Graph, seed: int) -> None:
    inputs = random_inputs(graph, seed)
    values = ops.evaluate(graph, inputs)
    expected = [values[o] for o in graph.outputs]
    s, plan = planned(graph)
    got = runtime.run(runtime.open_session(program.write(program.assemble(s, plan))), inputs)
    for a, b in zip(got, expected, strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b) + 1e-12
