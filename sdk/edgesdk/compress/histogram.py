# SPDX-License-Identifier: Apache-2.0
"""How often each real value occurs: bins of equal width, a power of two, that widen when a larger value comes.

Widening merges neighbours exactly, so a histogram does not depend on the order in which arrays are added, and one
pass over the data is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

HALF = 2048  # bins on each side of zero
LEAST_EXPONENT = -120  # of a bin's width: smaller values count as zero
PART = 65536  # items at a time: they stay in the cache
_BINS = np.arange(-HALF, HALF)


@dataclass(eq=False)
class Histogram:
    """counts[HALF + i] is the number of values in [i, i + 1) * 2 ** exponent.

    >>> h = Histogram()
    >>> h.add(np.array([0.5, 1.0, -1.0, 8.0], np.float32))
    >>> int(h.counts.sum()), h.width * HALF
    (4, 16.0)
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros(2 * HALF, np.int64))
    exponent: int = LEAST_EXPONENT

    @property
    def width(self) -> float:
        return 2.0**self.exponent

    def add(self, array: np.ndarray) -> None:
        """Counts finite float32 values."""
        largest = float(np.abs(array).max(initial=0.0))
        self.widen(exponent_for(largest))
        flat = array.ravel()
        for i in range(0, flat.size, PART):
            exact = np.multiply(flat[i : i + PART], 1 / self.width, dtype=np.float64)  # float32 would underflow
            bins = np.floor(exact).astype(np.int32)
            self.counts += np.bincount(bins + HALF, minlength=2 * HALF)

    def widen(self, exponent: int) -> None:
        """Bins of at least 2 ** exponent."""
        if exponent > self.exponent:
            merged = _BINS >> min(exponent - self.exponent, 31)
            self.counts = np.bincount(merged + HALF, self.counts, 2 * HALF).astype(np.int64)
            self.exponent = exponent

    def filled(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres and counts of the bins that hold values."""
        kept = np.flatnonzero(self.counts)
        return (kept - HALF + 0.5) * self.width, self.counts[kept]

    def quantile(self, share: float) -> float:
        """The least edge of a bin with at least `share` of the values below it."""
        below = np.cumsum(self.counts)
        return float((np.searchsorted(below, share * below[-1]) - HALF + 1) * self.width)


def exponent_for(largest: float) -> int:
    """The least exponent whose bins reach past `largest`."""
    if largest == 0:
        return LEAST_EXPONENT
    return max(int(np.frexp(largest)[1]) - int(np.log2(HALF)), LEAST_EXPONENT)
