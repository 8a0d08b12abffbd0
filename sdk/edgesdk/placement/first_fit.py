# SPDX-License-Identifier: Apache-2.0
"""Placement of many items: first fit in several orders, then repair of the best of them.

Repair asks for a smaller arena and runs first fit again; an item that does not fit is moved in
the order before one that is in its way, and all from there on are placed anew. Only the items
in the conflict that sets the peak move. Effort is counted in conflicts looked at, not in time,
so that the same problem always gives the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

from edgesdk.placement.conflicts import Conflicts
from edgesdk.placement.item import Item

EFFORT = 4_800_000  # conflicts looked at by all repairs of a problem
OVERHEAD = 200  # conflicts that could be looked at in the time that a move takes besides
REPAIRS = 8  # that share the effort
STARTS = 2  # orders that are repaired
GOALS = (0.3, 0.6, 0.9)  # of the distance between bound and arena, what a repair asks for
NEARER = 4  # failures after which the whole conflict is searched, not only its latest part

Key: TypeAlias = Callable[[Item], tuple[int, ...]]


@dataclass
class Problem:
    """Sizes, offsets and the bound in units of ALIGN; not `upright` where the arena is upside down."""

    conflicts: Conflicts
    sizes: list[int]
    bound: int
    upright: bool


@dataclass
class Placed:
    """Offsets found by first fit in this order."""

    problem: Problem
    order: list[int]
    offsets: list[int]
    end: int


def starts(items: Sequence[Item], problems: Sequence[Problem]) -> list[Placed]:
    """First fit in each order for each view of a problem, the smallest arena first."""
    found: list[Placed] = []
    for problem, order in product(problems, _orders(items)):
        found.append(_first_fit(problem, order))
        if found[-1].end <= problem.bound:
            break
    return sorted(found, key=lambda p: p.end)


def repaired(placed: Sequence[Placed]) -> Placed:
    """The best after repairs of the first few, with limits below the best so far."""
    known, rng, effort = list(placed), random.Random(1), EFFORT
    turn = 0
    while effort > 0 and known[0].end > known[0].problem.bound:
        start = known[turn // 2 % min(STARTS, len(known))]
        end, bound = known[0].end, known[0].problem.bound
        limit = bound + int((end - bound) * GOALS[turn % len(GOALS)])
        repair = _Repair(start.problem, list(start.order), limit, EFFORT // REPAIRS, rng, turn % 2 == 1)
        better = repair.run()
        effort -= EFFORT // REPAIRS - repair.effort
        known = [better, *known] if better else known
        turn += 1
    return known[0]


def fit(problem: Problem, order: Sequence[int], offsets: list[int], start: int = 0, limit: int | None = None) -> int:
    """Places order[start:], each at the lowest free offset; `offsets` is -1 for what is not placed.

    The index in `order` of the first item that ends above `limit`, or len(order).
    """
    for q in range(start, len(order)):
        i = order[q]
        taken = [(offsets[j] + low, offsets[j] + high) for j, low, high in problem.conflicts[i] if offsets[j] >= 0]
        taken.sort()
        at = 0
        for low, high in taken:
            if low >= at:
                break
            if high > at:
                at = high
        offsets[i] = at
        if limit is not None and at + problem.sizes[i] > limit:
            return q
    return len(order)


def _first_fit(problem: Problem, order: list[int]) -> Placed:
    offsets = [-1] * len(order)
    fit(problem, order, offsets)
    return Placed(problem, order, offsets, _end(problem, offsets))


def _end(problem: Problem, offsets: Sequence[int]) -> int:
    return max(at + n for at, n in zip(offsets, problem.sizes, strict=True))


def _orders(items: Sequence[Item]) -> Iterator[list[int]]:
    """By size, birth, death, lifetime; the same with contiguous values of many rows before all else.

    Those in order of death: a value that grows over another must lie below it, so come first.
    """
    plain: list[Key] = [
        lambda i: (-i.n_bytes, i.first),
        lambda i: (i.first, -i.n_bytes),
        lambda i: (i.first - i.last, -i.n_bytes),
        lambda i: (-i.n_bytes * (i.last - i.first + 1),),
        lambda i: (-len(i.segments), -i.n_bytes, i.first),
        lambda i: (-i.last, -i.n_bytes),
    ]
    for key in plain:
        yield sorted(range(len(items)), key=lambda k: key(items[k]))
    for whole in (1, 5):
        for row in (0, 1, 2):
            yield sorted(range(len(items)), key=lambda k: _split(items[k], plain[whole], plain[row]))


def _split(item: Item, whole: Key, row: Key) -> tuple[int, ...]:
    many = len(item.segments) > 1
    return (0, *whole(item)) if many else (1, *row(item))


@dataclass
class _Repair:
    """One attempt to place everything below `limit`."""

    problem: Problem
    order: list[int]
    limit: int
    effort: int
    rng: random.Random
    near: bool  # prefer to move an item only a little forward
    failures: dict[int, int] = field(default_factory=dict)

    def run(self) -> Placed | None:
        offsets, start = [-1] * len(self.order), 0
        position = {k: p for p, k in enumerate(self.order)}
        while self.effort > 0:
            q = fit(self.problem, self.order, offsets, start, self.limit)
            self.effort -= OVERHEAD + sum(len(self.problem.conflicts[k]) for k in self.order[start : q + 1])
            if q == len(self.order):
                return Placed(self.problem, self.order, offsets, _end(self.problem, offsets))
            start = self._before(q, position)
            for k in self.order[start : q + 1]:
                offsets[k] = -1
            self.order.insert(start, self.order.pop(q))
            position.update((k, p) for p, k in enumerate(self.order[start : q + 1], start))
        return None

    def _before(self, q: int, position: dict[int, int]) -> int:
        """The place of an item that is in the way of the q-th."""
        k = self.order[q]
        earlier = sorted({position[j] for j, _, _ in self.problem.conflicts[k] if position[j] < q})
        if not self.near:
            return self.rng.choice(earlier)
        self.failures[k] = self.failures.get(k, 0) + 1
        part = min(1.0, self.failures[k] / NEARER)
        return earlier[len(earlier) - 1 - int(len(earlier) * self.rng.random() * part)]
