# SPDX-License-Identifier: Apache-2.0
"""What is placed in the arena, and the smallest arena that could hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIGN = 16


@dataclass(eq=False)
class Segment:
    """`n_bytes` bytes at `offset` in their item, live from call `first` to call `last`."""

    offset: int
    n_bytes: int
    first: int
    last: int


@dataclass(eq=False)
class Item:
    """Segments that keep their distances: one row, or a contiguous value of many rows."""

    name: str
    segments: list[Segment]

    @property
    def n_bytes(self) -> int:
        return max(s.offset + s.n_bytes for s in self.segments)

    @property
    def first(self) -> int:
        return min(s.first for s in self.segments)

    @property
    def last(self) -> int:
        return max(s.last for s in self.segments)

    @property
    def flat(self) -> bool:
        """Every segment starts where the item does, so nothing can lie below one of them."""
        return all(s.offset == 0 for s in self.segments)


def blocks(n_bytes: int) -> int:
    """How many units of ALIGN hold the bytes."""
    return -(-n_bytes // ALIGN)


def aligned(n_bytes: int) -> int:
    return blocks(n_bytes) * ALIGN


def arena_bytes(items: Sequence[Item], offsets: Sequence[int]) -> int:
    """Where the last item ends; its last unit need not be whole. Offsets are in units of ALIGN."""
    return max((at * ALIGN + i.n_bytes for i, at in zip(items, offsets, strict=True)), default=0)


def lower_bound(items: Sequence[Item]) -> int:
    """The largest sum of bytes live at one call: no plan can be smaller."""
    segments = [s for i in items for s in i.segments]
    return int(_live(segments, [s.n_bytes for s in segments]).max(initial=0))


def aligned_bound(items: Sequence[Item]) -> int:
    """`lower_bound` with what alignment loses, and no less than the largest item.

    Behind the bytes of a flat item the rest of its last unit is lost, unless it ends the arena
    or a segment that starts inside a unit lies there: one loss is given back for each of them.
    """
    segments = [s for i in items for s in i.segments]
    padded = [aligned(s.n_bytes) - s.n_bytes if i.flat else 0 for i in items for s in i.segments]
    worst = max(padded, default=0)
    live = _live(segments, [s.n_bytes for s in segments])
    lost = _live(segments, padded) - worst * (1 + _live(segments, [s.offset % ALIGN > 0 for s in segments]))
    return max(int((live + np.maximum(lost, 0)).max()), *(i.n_bytes for i in items), 0)


def _live(segments: Sequence[Segment], weights: Sequence[int]) -> np.ndarray:
    """The sum of the weights of the segments that live at each call, from call -1 on."""
    change = np.zeros(max((s.last for s in segments), default=-1) + 3, np.int64)
    for s, weight in zip(segments, weights, strict=True):
        change[s.first + 1] += weight
        change[s.last + 2] -= weight
    return np.cumsum(change)
