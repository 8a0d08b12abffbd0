# SPDX-License-Identifier: Apache-2.0
"""The front of (arena bytes, cost): where to cut a program into stages, and which run by rows or by strips.

A path search over cut points: an edge from cut i to cut j is a stage of the steps between them,
its length the pair (live peak, modelled cost). A path's peak is the largest of its edges, its
cost their sum; each node keeps the paths that no other beats in both. The paths at the end are
planned exactly, so every point of the front is a program that can be written.

Strips of columns compute some columns twice, so they are looked for below the smallest program without:
where a stage of rows, the shortest there is, needs more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from edgesdk import memory
from edgesdk.ir import Graph, Value
from edgesdk.memory import MemoryPlan
from edgesdk.schedule import Schedule, Step, overwritten, trace
from edgesdk.schedule.strips import Piece, expand, strips

MAX_STAGE_STEPS = 254
MAX_CUTS = 40
MAX_STRIPS = 4
STRIPS_FROM = 0.7  # of the smallest arena without strips: stages of less are not cut
MAX_STRIP_COST = 1.6  # of a region in strips, over that of the same region in rows
NO_LIMIT = 2**62
Cost = Callable[[Step, int], float]  # cost of a step that is called so many times


@dataclass(frozen=True)
class Point:
    """One program of the front."""

    schedule: Schedule
    plan: MemoryPlan
    cost: float
    pieces: tuple[Piece, ...] = ()  # what `expand` makes the schedule of; none of a sliding window


@dataclass(frozen=True)
class _Path:
    peak: int
    cost: float
    pieces: tuple[Piece, ...]


@dataclass(eq=False)
class _Search:
    """Edges that are known already, by piece; the strips that are looked for."""

    base: Schedule
    cost: Cost
    known: dict[Piece, _Path] = field(default_factory=dict)
    below: int = 0  # strips are of use below this many bytes only; 0: none
    longest: int = MAX_STAGE_STEPS  # stage of rows

    def edge(self, piece: Piece) -> _Path:
        if piece not in self.known:
            self.known[piece] = _edge(self.base, piece, self.cost)
        return self.known[piece]


def front(base: Schedule, cost: Cost, tick: Callable[[], None] = lambda: None) -> list[Point]:
    """Programs that differ in their stages, the fastest first, each smaller than the one before."""
    search = _Search(base, cost)
    points = _planned(base, _paths(search, tick))
    if points:
        search.below = min(p.plan.arena_bytes for p in points)
    points += _planned(base, [p for p in _paths(search, tick) if any(s.strips > 1 for s in p.pieces)])
    return undominated(points)


def short_stages(base: Schedule, cost: Cost, longest: int, tick: Callable[[], None] = lambda: None) -> Iterator[Point]:
    """Programs with stages of rows of up to so many steps and without strips, for speed and not for memory: those of
    the smallest peak for their cost, the cheapest first."""
    for path in _paths(_Search(base, cost, longest=longest), tick):
        if any(p.kind == "rows" for p in path.pieces):
            yield from _planned(base, [path])


def _planned(base: Schedule, paths: list[_Path]) -> list[Point]:
    points: list[Point] = []
    for path in paths:
        schedule = expand(base, path.pieces)
        plan = memory.plan(schedule)
        if plan.tables_reach:
            points.append(Point(schedule, plan, path.cost, path.pieces))
    return points


def undominated(points: list[Point]) -> list[Point]:
    """The fastest first, each smaller than the one before."""
    kept: list[Point] = []
    for p in sorted(points, key=lambda p: (p.cost, p.plan.arena_bytes)):
        if not kept or p.plan.arena_bytes < kept[-1].plan.arena_bytes:
            kept.append(p)
    return kept


def _paths(search: _Search, tick: Callable[[], None]) -> list[_Path]:
    cuts = cut_points(search.base)
    limit = _plain_peak(search.base)
    reached: dict[int, list[_Path]] = {i: [] for i in cuts}
    reached[0] = [_Path(0, 0.0, ())]
    for at, i in enumerate(cuts[:-1]):
        reached[i] = _front(reached[i])
        for j, edge in _edges(search, i, cuts[at + 1 :], limit):
            reached[j] += [_extended(path, edge) for path in reached[i]]
        tick()
    return _front(reached[cuts[-1]])


def _plain_peak(base: Schedule) -> int:
    """Layer by layer: a stage that needs more is of no use. A streamed input has no such program."""
    if base.streamed is not None:
        return NO_LIMIT
    return memory.live_peak(expand(base, [Piece("plain", 0, len(base.steps))]))


def _extended(path: _Path, edge: _Path) -> _Path:
    return _Path(max(path.peak, edge.peak), path.cost + edge.cost, path.pieces + edge.pieces)


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
        sizes = {i: _crossing_bytes(base, i) for i in inner}
        inner = sorted(sorted(inner, key=lambda i: sizes[i])[:MAX_CUTS])
    return [0, *inner, n]


def _crossing(base: Schedule, i: int) -> set[Value]:
    """Root values that are written before step i, and read at or after it."""
    before = {*base.graph.inputs, *(s.output for s in base.steps[:i])}
    after = {base.root(v) for s in base.steps[i:] for v in s.reads()} | {base.root(v) for v in base.graph.outputs}
    return (before & after) - {base.bound} - base.held


def _crossing_bytes(base: Schedule, i: int) -> int:
    return sum(v.n_bytes for v in _crossing(base, i))


def _edges(search: _Search, i: int, ends: Sequence[int], limit: int) -> Iterator[tuple[int, _Path]]:
    """Stages from cut i. Plain ones to the next cut only (longer ones are their sums); stages of rows with a peak
    below the limit, as long as what they hold besides their output, which grows with them, is below it too."""
    base = search.base
    if base.streamed is None or i > 0:
        yield ends[0], search.edge(Piece("plain", i, ends[0] - i))
    for j in ends:
        if j - i > search.longest or not all(_can_run_by_rows(base, s) for s in base.steps[i:j]):
            return
        if j - i == 1 and not (base.streamed is not None and i == 0):
            continue
        edge = search.edge(Piece("rows", i, j - i))
        if edge.peak - _crossing_bytes(base, j) > limit:
            return
        if edge.peak > limit:
            continue
        yield j, edge
        yield from ((j, e) for e in _strip_edges(search, edge))


def can_be(base: Schedule, pieces: Sequence[Piece]) -> bool:
    """Whether these pieces, which cover the steps in order, make a program."""
    cuts = set(cut_points(base))
    for p in pieces:
        if not {p.first, p.first + p.count} <= cuts and p.kind == "rows":
            return False
        by_rows = all(_can_run_by_rows(base, base.steps[i]) for i in p.steps)
        if p.kind == "rows" and (not by_rows or p.count * p.strips > MAX_STAGE_STEPS):
            return False
        if p.strips > 1 and (p.kind == "plain" or strips(base, p) is None):
            return False
    return True


def _can_run_by_rows(base: Schedule, step: Step) -> bool:
    """The order of rows follows what is read; it knows nothing of what must not be overwritten yet."""
    return trace.can_run_by_rows(step) and not overwritten(step, base.roots)


def _strip_edges(search: _Search, rows: _Path) -> Iterator[_Path]:
    """The region of a stage of rows in strips, where that may be below what is wanted and rows are not."""
    base, piece = search.base, rows.pieces[0]
    if rows.peak <= search.below * STRIPS_FROM or not search.below or (base.streamed is not None and piece.first == 0):
        return
    whole = _crossing_bytes(base, piece.first) + _crossing_bytes(base, piece.first + piece.count)
    for n in range(2, MAX_STRIPS + 1):
        if whole + (rows.peak - whole) // n >= search.below or piece.count * n > MAX_STAGE_STEPS:
            continue
        cut = replace(piece, strips=n)
        if cut not in search.known and strips(base, cut) is None:
            return
        edge = search.edge(cut)
        if edge.cost > MAX_STRIP_COST * rows.cost:
            return
        if edge.peak < search.below:
            yield edge


def _edge(base: Schedule, piece: Piece, cost: Cost) -> _Path:
    part = _part(base, piece)
    calls = part.kernel_calls()
    total = sum(cost(step, calls[k]) for k, step in enumerate(part.steps))
    return _Path(memory.live_peak(part), total, (piece,))


def _part(base: Schedule, piece: Piece) -> Schedule:
    """The steps between two cuts as a schedule of their own, with what passes by as an input and output."""
    i, j = piece.first, piece.first + piece.count
    inputs, outputs = sorted(_crossing(base, i), key=lambda v: v.name), sorted(_crossing(base, j), key=lambda v: v.name)
    graph = Graph(base.graph.name, inputs, outputs, [], variables=base.graph.variables)
    streamed = base.streamed if i == 0 else None
    part = Schedule(graph, base.steps[i:j], [], base.roots, streamed, bound=base.bound, threads=base.threads)
    return expand(part, [replace(piece, first=0)])
