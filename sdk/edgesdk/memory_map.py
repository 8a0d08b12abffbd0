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
from edgesdk.program import AWAIT_ROW, Program, StageRecord, StepRecord, ViewRecord
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
    spans = [Span(_label(g.kind, g.first, g.count), r.start, r.stop) for g, r in schedule.spans()]
    return MemoryMap(plan.arena_bytes, n_calls, bars, spans)


def _label(kind: str, first: int, count: int) -> str:
    return f"{kind} {first}" + (f"-{first + count - 1}" if count > 1 else "")


@dataclass(frozen=True)
class _Write:
    t: int
    source: int  # a step, or -1 - i for graph input i
    offset: int
    n_bytes: int


def of_program(p: Program) -> MemoryMap:
    calls = [c for stage in p.stages for c in _calls(p, stage)]
    writes = sorted([*_inputs(p, calls), *_outputs(p, calls)], key=lambda w: w.t)
    reads = _last_reads(p, {i: t for t, i in enumerate(calls)}, len(calls) - 1)
    bars = [
        Bar(_name(p, w.source), w.t, end, w.offset, w.n_bytes)
        for w, end in zip(writes, _ends(writes, reads), strict=True)
    ]
    return MemoryMap(p.arena_bytes, len(calls), [*_merged(bars), *_scratch(p, calls)], list(_spans(p)))


def _merged(bars: list[Bar]) -> list[Bar]:
    """Neighbouring rows of one value and one lifetime as one bar."""
    kept: list[Bar] = []
    for b in sorted(bars, key=lambda b: (b.name, b.first, b.last, b.offset)):
        k = kept[-1] if kept else None
        if k and (k.name, k.first, k.last, k.offset + k.n_bytes) == (b.name, b.first, b.last, b.offset):
            kept[-1] = Bar(k.name, k.first, k.last, k.offset, k.n_bytes + b.n_bytes)
        else:
            kept.append(b)
    return sorted(kept, key=lambda b: b.first)


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
        yield Span(_label(stage.kind, stage.first, stage.count), at, at + n)
        at += n


def _table(p: Program, offset: int, rows: int) -> list[int]:
    return [int(x) * ALIGN for x in np.frombuffer(p.weights, "<u2", rows, offset)]


def _inputs(p: Program, calls: list[int]) -> Iterator[_Write]:
    arrivals = [t for t, i in enumerate(calls) if i < 0]
    for k, tensor in enumerate(p.inputs):
        if tensor.bound:
            continue
        height = tensor.shape[1] if len(tensor.shape) == 4 and tensor.shape[0] == 1 else 1
        row_bytes = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize // height
        by_row = tensor.streamed and not tensor.ring
        places = _places(p, ViewRecord(tensor.offset, tensor.ring or height, row_bytes, table=by_row))
        times = arrivals if by_row else [0] * len(places)
        yield from (_Write(t, -1 - k, at, row_bytes) for t, at in zip(times, places, strict=True))


def _places(p: Program, view: ViewRecord) -> list[int]:
    """Where each row lies."""
    if view.table:
        return [at + view.first for at in _table(p, view.offset, view.rows)]
    return [view.offset + view.first + y * view.row_bytes for y in range(view.rows)]


def _outputs(p: Program, calls: list[int]) -> Iterator[_Write]:
    """A row is written where the call that begins it is made, by the leftmost of several strips; a call of a
    plain stage writes all. The rings of a stage of frames were written before."""
    by_row, rings = _steps_of(p, "rows"), _steps_of(p, "frames")
    places = [_places(p, s.output) for s in p.steps]
    yield from (_Write(0, i, at, p.steps[i].output.row_bytes) for i in sorted(rings) for at in places[i])
    seen: Counter[int] = Counter()
    for t, i in enumerate(calls):
        if i < 0 or i in rings or p.steps[i].output.first:
            continue
        step = p.steps[i]
        each = step.rows // step.output.rows
        rows = range(seen[i], seen[i] + 1) if i in by_row else range(0, step.rows, each)
        for y in (r // each for r in rows if r % each == 0):
            for item in range(step.batch):
                at = places[i][y] + item * step.output.rows * step.output.row_bytes
                yield _Write(t, i, at, step.output.row_bytes)
        seen[i] += 1


def _steps_of(p: Program, kind: str) -> set[int]:
    return {i for s in p.stages if s.kind == kind for i in range(s.first, s.first + s.count)}


def _last_reads(p: Program, done: dict[int, int], end: int) -> dict[int, int]:
    """Source -> the call after which nobody reads it. A view is of whoever wrote there last."""
    holders = {(t.offset, t.streamed and not t.ring): [-1 - k] for k, t in enumerate(p.inputs) if not t.bound}
    ends: dict[int, int] = {}
    for i, step in enumerate(p.steps):
        for view in (v for v in step.inputs if not v.constant and not v.bound):
            _read(ends, holders.get((view.offset, view.table), []), done[i])
        place = (step.output.offset, step.output.table)
        others = holders.get(place, []) if step.output.first else []  # strips to the left
        holders[place] = [*others, i]
        ends[i] = done[i]
    for tensor in p.outputs:
        _read(ends, holders.get((tensor.offset, False), []), end)
    # What a stage of frames writes is for windows to come.
    kept = [*_steps_of(p, "frames"), *(-1 - k for k, t in enumerate(p.inputs) if t.ring)]
    return {**ends, **dict.fromkeys(kept, end)}


def _read(ends: dict[int, int], sources: list[int], t: int) -> None:
    for source in sources:
        ends[source] = max(ends.get(source, 0), t)


def _ends(writes: list[_Write], reads: dict[int, int]) -> Iterator[int]:
    """For each write the call before other bytes take its place, at most that of the last read: a step may put its
    output over the last of what it reads."""
    times, low = np.array([w.t for w in writes]), np.array([w.offset for w in writes])
    high = low + np.array([w.n_bytes for w in writes])
    for w in writes:
        later = slice(int(np.searchsorted(times, w.t, "right")), None)
        over = np.flatnonzero((low[later] < w.offset + w.n_bytes) & (high[later] > w.offset))
        read = reads.get(w.source, w.t)
        taken = int(times[later][over[0]]) if over.size else read
        yield max(w.t, read if taken >= read else taken - 1)


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
