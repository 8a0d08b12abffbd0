# SPDX-License-Identifier: Apache-2.0
"""What lies where in the arena, and when: the bars of a memory map.

`of_plan` is exact, from the lifetimes of a plan. `of_program` knows only what a .edge file says:
a row stays until other bytes take its place or its last reader is done.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgesdk import kernels
from edgesdk.memory import ALIGN, MemoryPlan
from edgesdk.program import AWAIT_ROW, Program, StageRecord, StepRecord, Tensor
from edgesdk.schedule import Schedule

SERVICE = ("scratch", "counters")


@dataclass(frozen=True)
class Bar:
    """Bytes [offset, offset + n_bytes) of a value, occupied from call `first` to call `last`."""

    name: str
    first: int
    last: int
    offset: int
    n_bytes: int


@dataclass(frozen=True)
class Span:
    """Calls [first, end) of a stage."""

    label: str
    first: int
    end: int


@dataclass(frozen=True)
class MemoryMap:
    arena_bytes: int
    n_calls: int
    bars: list[Bar]
    spans: list[Span]


def live_bytes(m: MemoryMap) -> list[int]:
    """Bytes that are occupied at each call."""
    change = np.zeros(m.n_calls + 1, np.int64)
    for b in m.bars:
        change[b.first] += b.n_bytes
        change[b.last + 1] -= b.n_bytes
    return np.cumsum(change)[: m.n_calls].tolist()


def of_plan(schedule: Schedule, plan: MemoryPlan) -> MemoryMap:
    n_calls = len(schedule.calls)
    bars = [
        # Inputs are there before the first call, outputs stay after the last.
        Bar(re.sub(r"\[\d+\]$", "", item.name), max(0, s.first), min(n_calls - 1, s.last), at + s.offset, s.n_bytes)
        for item, at in plan.placed
        for s in item.segments
        if s.first < n_calls and s.last >= 0  # rows that nobody reads live before the first call only
    ]
    spans = [Span(f"{g.kind} {g.first}-{g.first + g.count - 1}", r.start, r.stop) for g, r in schedule.spans()]
    return MemoryMap(plan.arena_bytes, n_calls, bars, spans)


@dataclass(frozen=True)
class _Write:
    t: int
    source: int  # a step, or -1 - i for graph input i
    offset: int
    n_bytes: int


def of_program(p: Program) -> MemoryMap:
    calls = [c for stage in p.stages for c in _calls(p, stage)]
    done = {i: t for t, i in enumerate(calls)}
    writes = sorted([*_inputs(p, calls), *_outputs(p, calls)], key=lambda w: w.t)
    ends = _last_reads(p, done, len(calls) - 1)
    bars = [
        Bar(_name(p, w.source), w.t, _end(writes, k, ends.get(w.source, w.t)), w.offset, w.n_bytes)
        for k, w in enumerate(writes)
    ]
    return MemoryMap(p.arena_bytes, len(calls), [*bars, *_scratch(p, calls)], list(_spans(p)))


def _name(p: Program, source: int) -> str:
    if source < 0:
        return p.inputs[-1 - source].name
    steps = p.metadata.get("steps", [])
    return str(steps[source].get("value", source)) if source < len(steps) else str(source)


def _calls(p: Program, stage: StageRecord) -> list[int]:
    """The step of each call; -1 where a row of the streamed input arrives."""
    if stage.kind == "plain":
        return list(range(stage.first, stage.first + stage.count))
    code = p.weights[stage.program : stage.program + stage.program_bytes]
    return [-1 if c == AWAIT_ROW else stage.first + c for c in code]


def _spans(p: Program) -> Iterator[Span]:
    at = 0
    for stage in p.stages:
        n = len(_calls(p, stage))
        yield Span(f"{stage.kind} {stage.first}-{stage.first + stage.count - 1}", at, at + n)
        at += n


def _table(p: Program, offset: int, rows: int) -> list[int]:
    return [int(x) * ALIGN for x in np.frombuffer(p.weights, "<u2", rows, offset)]


def _inputs(p: Program, calls: list[int]) -> Iterator[_Write]:
    arrivals = [t for t, i in enumerate(calls) if i < 0]
    for k, tensor in enumerate(p.inputs):
        n_bytes = _tensor_bytes(tensor)
        if not tensor.streamed:
            yield _Write(0, -1 - k, tensor.offset, n_bytes)
            continue
        places = _table(p, tensor.offset, len(arrivals))
        yield from (_Write(t, -1 - k, at, n_bytes // len(arrivals)) for t, at in zip(arrivals, places, strict=True))


def _tensor_bytes(t: Tensor) -> int:
    return int(np.prod(t.shape, dtype=np.int64)) * np.dtype(t.dtype).itemsize


def _outputs(p: Program, calls: list[int]) -> Iterator[_Write]:
    """One write per row of a table, else one for the whole value when its first row is computed."""
    seen: Counter[int] = Counter()
    for t, i in enumerate(calls):
        if i < 0:
            continue
        view, first = p.steps[i].output, seen[i] == 0
        if view.table:
            y = seen[i] * view.rows // p.steps[i].rows
            if first or y != (seen[i] - 1) * view.rows // p.steps[i].rows:
                yield _Write(t, i, _table(p, view.offset, view.rows)[y], view.row_bytes)
        elif first:
            yield _Write(t, i, view.offset, view.rows * view.row_bytes * p.steps[i].batch)
        seen[i] += 1


def _last_reads(p: Program, done: dict[int, int], end: int) -> dict[int, int]:
    """Source -> the call after which nobody reads it. A view is of whoever wrote there last."""
    holders = {(t.offset, t.streamed): -1 - k for k, t in enumerate(p.inputs)}
    ends: dict[int, int] = {}
    for i, step in enumerate(p.steps):
        for view in (v for v in step.inputs if not v.constant):
            _read(ends, holders.get((view.offset, view.table)), done[i])
        holders[step.output.offset, step.output.table] = i
        ends[i] = done[i]
    for tensor in p.outputs:
        _read(ends, holders.get((tensor.offset, False)), end)
    return ends


def _read(ends: dict[int, int], source: int | None, t: int) -> None:
    if source is not None:
        ends[source] = max(ends.get(source, 0), t)


def _end(writes: list[_Write], k: int, last: int) -> int:
    """The call before other bytes take the place, at most `last`."""
    w = writes[k]
    later = (x.t for x in writes[k + 1 :] if x.t > w.t and _overlap(w, x))
    return max(w.t, min(last, next(later, last + 1) - 1))


def _overlap(a: _Write, b: _Write) -> bool:
    return a.offset < b.offset + b.n_bytes and b.offset < a.offset + a.n_bytes


def _scratch(p: Program, calls: list[int]) -> Iterator[Bar]:
    """Per call where a stage is plain; a fused stage keeps it for all its calls, shared by its steps."""
    for stage, span in zip(p.stages, _spans(p), strict=True):
        shared: dict[tuple[int, int, int], int] = {}
        for i in range(stage.first, stage.first + stage.count):
            t = calls.index(i)
            key = (p.steps[i].scratch_offset, *((span.first, span.end - 1) if stage.kind != "plain" else (t, t)))
            shared[key] = max(shared.get(key, 0), _scratch_bytes(p.steps[i]))
        yield from (Bar("scratch", first, last, at, n) for (at, first, last), n in shared.items() if n)


def _scratch_bytes(step: StepRecord) -> int:
    kernel = kernels.by_number(step.kernel)
    return kernels.scratch_bytes(kernel, step.params) if kernel else 0
