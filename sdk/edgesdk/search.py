# SPDX-License-Identifier: Apache-2.0
"""The front of (arena bytes, cost): where to cut a program into stages, and which run by rows.

A path search over cut points: an edge from cut i to cut j is a stage of the steps between them,
its length the pair (live peak, modelled cost). A path's peak is the largest of its edges, its
cost their sum; each node keeps the paths that no other beats in both. The paths at the end are
planned exactly, so every point of the front is a program that can be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgesdk import memory
from edgesdk.ir import Graph, Value
from edgesdk.memory import MemoryPlan
from edgesdk.schedule import Schedule, Stage, Step, trace

MAX_STAGE_STEPS = 254
MAX_CUTS = 40
Cost = Callable[[Step, int], float]  # cost of a step that is called so many times


@dataclass(frozen=True)
class Point:
    """One program of the front."""

    schedule: Schedule
    plan: MemoryPlan
    cost: float


@dataclass(frozen=True)
class _Path:
    peak: int
    cost: float
    stages: tuple[Stage, ...]


def front(base: Schedule, cost: Cost, tick: Callable[[], None] = lambda: None) -> list[Point]:
    """Programs that differ in their stages, the fastest first, each smaller than the one before."""
    points: list[Point] = []
    for path in _paths(base, cost, tick):
        schedule = Schedule(base.graph, base.steps, _joined(path.stages), base.roots, base.streamed)
        plan = memory.plan(schedule)
        if plan.tables_reach:
            points.append(Point(schedule, plan, path.cost))
    return _undominated(points)


def _undominated(points: list[Point]) -> list[Point]:
    kept: list[Point] = []
    for p in sorted(points, key=lambda p: (p.cost, p.plan.arena_bytes)):
        if not kept or p.plan.arena_bytes < kept[-1].plan.arena_bytes:
            kept.append(p)
    return kept


def _joined(stages: Sequence[Stage]) -> list[Stage]:
    """Plain neighbours as one stage."""
    joined: list[Stage] = []
    for s in stages:
        if joined and joined[-1].kind == s.kind == "plain":
            joined[-1] = Stage("plain", joined[-1].first, joined[-1].count + s.count)
        else:
            joined.append(s)
    return joined


def _paths(base: Schedule, cost: Cost, tick: Callable[[], None]) -> list[_Path]:
    cuts = cut_points(base)
    limit = _plain_peak(base)
    reached: dict[int, list[_Path]] = {i: [] for i in cuts}
    reached[0] = [_Path(0, 0.0, ())]
    for at, i in enumerate(cuts[:-1]):
        reached[i] = _front(reached[i])
        for j, edge in _edges(base, i, cuts[at + 1 :], limit, cost):
            reached[j] += [_extended(path, edge) for path in reached[i]]
        tick()
    return _front(reached[cuts[-1]])


def _plain_peak(base: Schedule) -> int:
    """Layer by layer: a stage that needs more is of no use. A streamed input has no such program."""
    if base.streamed is not None:
        return 2**62
    whole = Schedule(base.graph, base.steps, [Stage("plain", 0, len(base.steps))], base.roots)
    return memory.live_peak(whole)


def _extended(path: _Path, edge: _Path) -> _Path:
    return _Path(max(path.peak, edge.peak), path.cost + edge.cost, path.stages + edge.stages)


def _front(paths: list[_Path]) -> list[_Path]:
    kept: list[_Path] = []
    for p in sorted(paths, key=lambda p: (p.cost, p.peak)):
        if not kept or p.peak < kept[-1].peak:
            kept.append(p)
    return kept


def cut_points(base: Schedule) -> list[int]:
    """Step indices between which few values cross: 0, the end, and the narrowest places between."""
    n = len(base.steps)
    crossing = [(len(_crossing(base, i)), i) for i in range(1, n)]
    inner = [i for width, i in crossing if width == 1]
    if len(inner) > MAX_CUTS:
        sizes = {i: sum(v.n_bytes for v in _crossing(base, i)) for i in inner}
        inner = sorted(sorted(inner, key=lambda i: sizes[i])[:MAX_CUTS])
    return [0, *inner, n]


def _crossing(base: Schedule, i: int) -> set[Value]:
    """Root values that are written before step i, and read at or after it."""
    before = {*base.graph.inputs, *(s.node.output for s in base.steps[:i])}
    after = {base.root(v) for s in base.steps[i:] for v in s.reads()} | {base.root(v) for v in base.graph.outputs}
    return before & after


def _edges(base: Schedule, i: int, ends: Sequence[int], limit: int, cost: Cost) -> Iterator[tuple[int, _Path]]:
    """Stages from cut i. Plain ones to the next cut only (longer ones are their sums); stages of rows as long as
    their peak, which grows with them, stays below the limit."""
    if base.streamed is None or i > 0:
        yield ends[0], _edge(base, "plain", i, ends[0], cost)
    for j in ends:
        if j - i > MAX_STAGE_STEPS or not all(trace.can_run_by_rows(s) for s in base.steps[i:j]):
            return
        if j - i == 1 and not (base.streamed is not None and i == 0):
            continue
        edge = _edge(base, "rows", i, j, cost)
        if edge.peak > limit:
            return
        yield j, edge


def _edge(base: Schedule, kind: str, i: int, j: int, cost: Cost) -> _Path:
    part = _part(base, kind, i, j)
    calls = [0] * (j - i)
    for call in part.calls:
        if call.step != trace.AWAIT:
            calls[call.step] += 1
    total = sum(cost(step, n) for step, n in zip(part.steps, calls, strict=True))
    return _Path(memory.live_peak(part), total, (Stage(kind, i, j - i),))


def _part(base: Schedule, kind: str, i: int, j: int) -> Schedule:
    """The steps between two cuts as a schedule of their own, with what passes by as an input and output."""
    inputs, outputs = sorted(_crossing(base, i), key=lambda v: v.name), sorted(_crossing(base, j), key=lambda v: v.name)
    graph = Graph(base.graph.name, inputs, outputs, [])
    streamed = base.streamed if i == 0 else None
    return Schedule(graph, base.steps[i:j], [Stage(kind, 0, j - i)], base.roots, streamed)
