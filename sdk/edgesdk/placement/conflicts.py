# SPDX-License-Identifier: Apache-2.0
"""Which distances two items cannot have, because segments that live together would overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from edgesdk.placement.item import ALIGN, Item, blocks

# Of item i: (j, low, high) forbids low < offset of i - offset of j < high, in units of ALIGN.
Conflicts: TypeAlias = list[list[tuple[int, int, int]]]


def find(items: Sequence[Item]) -> Conflicts:
    """Both directions of every pair; intervals of a pair are disjoint and in increasing order."""
    rows = [(k, s.offset, s.n_bytes, s.first, s.last) for k, i in enumerate(items) for s in i.segments]
    columns = np.array(rows, np.int64).reshape(-1, 5)
    item, offset, n_bytes, first, last = columns[np.argsort(columns[:, 3], kind="stable")].T
    a, b = _together(item, first, last)
    low = (offset[b] - offset[a] - n_bytes[a]) // ALIGN
    high = -((offset[a] - offset[b] - n_bytes[b]) // ALIGN)
    found: Conflicts = [[] for _ in items]
    pair, low, high = _merged(item[a] * len(items) + item[b], low, high)
    for p, lo, hi in zip(pair.tolist(), low.tolist(), high.tolist(), strict=True):
        found[p // len(items)].append((p % len(items), lo, hi))
    return found


def mirrored(conflicts: Conflicts, items: Sequence[Item]) -> Conflicts:
    """The same problem with the arena upside down."""
    n = [blocks(i.n_bytes) for i in items]
    return [[(j, n[j] - n[i] - hi, n[j] - n[i] - lo) for j, lo, hi in of] for i, of in enumerate(conflicts)]


def _together(item: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of segments (in order of birth) of different items that live at the same call, both ways."""
    stop = np.searchsorted(first, last, side="right")
    n_later = np.maximum(stop - np.arange(1, len(stop) + 1), 0)
    a = np.repeat(np.arange(len(stop)), n_later)
    b = np.arange(len(a)) - np.repeat(np.cumsum(n_later) - n_later, n_later) + a + 1
    keep = item[a] != item[b]
    a, b = a[keep], b[keep]
    return np.concatenate([a, b]), np.concatenate([b, a])


def _merged(pair: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals of the same pair that share a distance become one."""
    if not len(pair):
        return pair, low, high
    order = np.lexsort((low, pair))
    pair, low, high = pair[order], low[order], high[order]
    # Each pair in a range of its own, so that one running maximum serves all.
    span = 4 * int(max(np.abs(low).max(), np.abs(high).max()) + 1)
    base = np.cumsum(np.diff(pair, prepend=pair[0]) != 0) * span
    reach = np.maximum.accumulate(high + base)
    starts = np.flatnonzero(np.append(True, (low + base)[1:] >= reach[:-1]))
    ends = np.append(starts[1:], len(pair)) - 1
    return pair[starts], low[starts], (reach - base)[ends]
