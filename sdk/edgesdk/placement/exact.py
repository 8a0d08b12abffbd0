# SPDX-License-Identifier: Apache-2.0
"""The smallest arena for a few items, by branch and bound.

A node holds a window of offsets for each item, and for each pair of items that live together
the ranges that their distance may still lie in: i above j, j above i, and for values of many
rows the gaps between. Windows shrink until every range agrees with them; a node is left when no
range of a pair is possible, or when the items of one call need more bytes than their windows
span. Then the pair with the fewest distances left is decided. Windows begin at their lowest
offsets, so a node where these fit has no better one below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from edgesdk.placement.conflicts import Conflicts
from edgesdk.placement.item import ALIGN, Item, Segment, aligned, arena_bytes

NODES = 4_000
FAR = 1 << 40

Range: TypeAlias = tuple[int, int]
Pair: TypeAlias = tuple[int, int, list[Range]]  # i, j, where offset of i - offset of j may lie
Task: TypeAlias = tuple[int, int, int, int]  # item, start in it, what it takes, end in it


@dataclass(frozen=True)
class _Node:
    low: list[int]
    high: list[int]
    pairs: list[Pair]


@dataclass
class _Search:
    items: Sequence[Item]
    cliques: list[list[Task]]
    best: list[int]
    arena: int  # of `best`
    nodes: int = NODES
    pending: list[_Node] = field(default_factory=list)

    def run(self) -> bool:
        """Whether nothing was left out."""
        while self.pending and self.nodes > 0:
            self.nodes -= 1
            node = self.narrowed(self.pending.pop())
            if node is not None:
                self.branch(node)
        return not self.pending

    def narrowed(self, node: _Node) -> _Node | None:
        """The node with the windows that remain; None where there is nothing better."""
        last = [(self.arena - 1 - i.n_bytes) // ALIGN for i in self.items]
        low, high = list(node.low), [min(a, b) for a, b in zip(node.high, last, strict=True)]
        pairs = None if any(a > b for a, b in zip(low, high, strict=True)) else _agreed(low, high, node.pairs)
        if pairs is None or not all(_have_room(c, low, high) for c in self.cliques):
            return None
        return _Node(low, high, pairs)

    def branch(self, node: _Node) -> None:
        open_pairs = [p for p in node.pairs if not _holds(p, node.low)]
        if not open_pairs:
            self.best = node.low
            self.arena = arena_bytes(self.items, node.low)
            return
        i, j, ranges = min(open_pairs, key=lambda p: sum(_widths(p, node)))
        others = [p for p in node.pairs if p[:2] != (i, j)]
        by_width = sorted(zip(_widths((i, j, ranges), node), ranges, strict=True))
        # The search goes on with the last of them, the widest.
        self.pending += [replace(node, pairs=[(i, j, [one]), *others]) for _, one in by_width]


def smallest(items: Sequence[Item], conflicts: Conflicts, offsets: list[int]) -> tuple[list[int], bool]:
    """Better offsets than the given ones where there are any, and whether that is proved."""
    search = _Search(items, _cliques(items), offsets, arena_bytes(items, offsets))
    search.pending.append(_Node([0] * len(items), [FAR] * len(items), _pairs(items, conflicts)))
    proved = search.run()
    return search.best, proved


def _pairs(items: Sequence[Item], conflicts: Conflicts) -> list[Pair]:
    forbidden: dict[tuple[int, int], list[Range]] = {}
    for i, of in enumerate(conflicts):
        for j, low, high in of:
            if i < j:
                forbidden.setdefault((i, j), []).append((low, high))
    return [(i, j, _ranges(f, _same(items[i], items[j]))) for (i, j), f in forbidden.items()]


def _ranges(forbidden: list[Range], same: bool) -> list[Range]:
    """The gaps between forbidden intervals. Of two items that are the same the first lies below."""
    ends = [-FAR, *(x for low_high in forbidden for x in low_high), FAR]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)][: 1 if same else None]


def _same(a: Item, b: Item) -> bool:
    first, second = ([(s.offset, s.n_bytes, s.first, s.last) for s in i.segments] for i in (a, b))
    return len(first) == 1 and first == second


def _agreed(low: list[int], high: list[int], pairs: list[Pair]) -> list[Pair] | None:
    """Shrinks the windows to what the pairs allow and the pairs to what the windows allow."""
    while True:
        before, kept = (*low, *high), []
        for i, j, ranges in pairs:
            least, most = low[i] - high[j], high[i] - low[j]
            ranges = [r for r in ranges if r[0] <= most and r[1] >= least]
            if not ranges:
                return None
            least, most = ranges[0][0], ranges[-1][1]
            low[i], high[i] = max(low[i], low[j] + least), min(high[i], high[j] + most)
            low[j], high[j] = max(low[j], low[i] - most), min(high[j], high[i] - least)
            if low[i] > high[i] or low[j] > high[j]:
                return None
            kept.append((i, j, ranges))
        if before == (*low, *high):
            return kept
        pairs = kept


def _holds(pair: Pair, at: list[int]) -> bool:
    i, j, ranges = pair
    return any(a <= at[i] - at[j] <= b for a, b in ranges)


def _widths(pair: Pair, node: _Node) -> list[int]:
    """How many distances each range of the pair leaves."""
    i, j, ranges = pair
    least, most = node.low[i] - node.high[j], node.high[i] - node.low[j]
    return [min(b, most) - max(a, least) for a, b in ranges]


def _cliques(items: Sequence[Item]) -> list[list[Task]]:
    """What lives at each call, where no other call has all of it too."""
    segments = [(k, s) for k, i in enumerate(items) for s in i.segments]
    births = {s.first for _, s in segments}
    live = {frozenset(n for n, (_, s) in enumerate(segments) if s.first <= t <= s.last) for t in births}
    largest = sorted(sorted(c) for c in live if not any(c < d for d in live))
    tasks = [_tasks(items, [segments[n] for n in c]) for c in largest]
    return [list(t) for t in dict.fromkeys(map(tuple, tasks))]


def _tasks(items: Sequence[Item], live: list[tuple[int, Segment]]) -> list[Task]:
    """Whole units for each, but where a segment may start inside a unit bytes for all. Segments that follow one another
    in their item are one."""
    whole = all(items[k].flat for k, _ in live)
    tasks: list[Task] = []
    for k, s in sorted(live, key=lambda of: (of[0], of[1].offset)):
        n = aligned(s.n_bytes) if whole else s.n_bytes
        if tasks and tasks[-1][0] == k and tasks[-1][3] == s.offset:
            tasks[-1] = (k, tasks[-1][1], tasks[-1][2] + n, s.offset + n)
        else:
            tasks.append((k, s.offset, n, s.offset + n))
    return tasks


def _have_room(clique: list[Task], low: list[int], high: list[int]) -> bool:
    """No set of the tasks takes more than lies between its lowest start and its highest end."""
    spans = sorted((high[k] * ALIGN + end, low[k] * ALIGN + start, n) for k, start, n, end in clique)
    for _, start, _ in spans:
        total = start
        for top, other, n in spans:
            total += n if other >= start else 0
            if total > top and other >= start:
                return False
    return True
