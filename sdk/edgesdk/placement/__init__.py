# SPDX-License-Identifier: Apache-2.0
"""Items -> offsets in the arena.

Offsets are multiples of ALIGN. Small problems are solved exactly, by branch and bound; of large
ones the answer is proved where it meets the lower bound, and within 1 % of it as a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgesdk.placement import conflicts, exact, first_fit
from edgesdk.placement.first_fit import Placed, Problem
from edgesdk.placement.item import ALIGN, Item, Segment, aligned, aligned_bound, arena_bytes, blocks, lower_bound

__all__ = ["ALIGN", "Item", "Placement", "Segment", "aligned", "lower_bound", "place"]

EXACT_ITEMS = 12


@dataclass(eq=False)
class Placement:
    """`proved`: no offsets give a smaller arena."""

    offsets: dict[Item, int]
    arena_bytes: int
    lower_bound_bytes: int
    proved: bool


def place(items: Sequence[Item]) -> Placement:
    bound = aligned_bound(items)
    if not items:
        return Placement({}, 0, bound, True)
    found = conflicts.find(items)
    starts = first_fit.starts(items, _views(items, found, blocks(bound)))
    offsets = _upright(items, starts[0])
    proved = arena_bytes(items, offsets) <= bound
    if not proved and len(items) <= EXACT_ITEMS:
        offsets, proved = exact.smallest(items, found, offsets)
    if not proved:
        offsets = min(offsets, _upright(items, first_fit.repaired(starts)), key=lambda x: arena_bytes(items, x))
    arena = arena_bytes(items, offsets)
    by_item = {i: at * ALIGN for i, at in zip(items, offsets, strict=True)}
    return Placement(by_item, arena, bound, proved or arena <= bound)


def _views(items: Sequence[Item], found: conflicts.Conflicts, bound: int) -> list[Problem]:
    """The problem as it is and upside down, where first fit stacks contiguous values the other way."""
    sizes = [blocks(i.n_bytes) for i in items]
    return [Problem(found, sizes, bound, True), Problem(conflicts.mirrored(found, items), sizes, bound, False)]


def _upright(items: Sequence[Item], placed: Placed) -> list[int]:
    """Offsets from the lower end of the arena."""
    if placed.problem.upright:
        return placed.offsets
    return [placed.end - at - blocks(i.n_bytes) for i, at in zip(items, placed.offsets, strict=True)]
