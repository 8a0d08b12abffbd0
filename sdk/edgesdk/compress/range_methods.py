# SPDX-License-Identifier: Apache-2.0
"""Ways to choose a value's range from what was observed of it: `--calibrate NAME`.

A narrower range than min-max makes the steps finer and clips what is rare.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.compress.observe import Observed
from edgesdk.errors import UsageError

Range = tuple[float, float]
Cost = Callable[[np.ndarray, np.ndarray, float, float], float]  # centres, counts, low, high

LEVELS = 256  # of int8, which the searching methods assume
KEPT_SHARE = 0.9999  # of the values inside the range of "percentile", at each end
HEADROOM = 1.5
FRACTIONS = tuple(float(f) for f in np.linspace(1.0, 0.2, 33))
ROUNDS = 2


def minmax(o: Observed) -> Range:
    """All that was seen."""
    return o.low, o.high


def headroom(o: Observed) -> Range:
    """Half as much again: half a bit of 16 against clipping what the samples did not show."""
    return HEADROOM * o.low, HEADROOM * o.high


def moving_average(o: Observed) -> Range:
    """The averages of the samples' extremes, late samples counting more: depends on their order."""
    return o.average or minmax(o)


def percentile(o: Observed) -> Range:
    """All but one value in ten thousand at each end."""
    low = o.histogram.quantile(1 - KEPT_SHARE) - o.histogram.width
    return max(low, o.low), min(o.histogram.quantile(KEPT_SHARE), o.high)


def mse(o: Observed) -> Range:
    """The least mean squared error of rounding and clipping."""
    return searched(o, squared_error, *o.histogram.filled())


def entropy(o: Observed) -> Range:
    """The least divergence (Kullback-Leibler) of the quantised distribution from the observed one."""
    centres, counts = o.histogram.filled()
    if o.low >= 0 and len(counts) > 1 and centres[0] < o.histogram.width:
        centres, counts = centres[1:], counts[1:]  # the zeros of a relu, exact in any range, outweigh all else
    return searched(o, divergence, centres, counts)


METHODS: dict[str, Callable[[Observed], Range]] = {
    "minmax": minmax,
    "headroom": headroom,
    "moving-average": moving_average,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}
SEARCHING = ("mse", "entropy")  # assume LEVELS


def method(name: str) -> Callable[[Observed], Range]:
    if name not in METHODS:
        raise UsageError(f"--calibrate {name}: expected one of {', '.join(METHODS)}")
    return METHODS[name]


def searched(o: Observed, cost: Cost, centres: np.ndarray, counts: np.ndarray) -> Range:
    """The cheapest range around zero inside min-max: both ends shrunk together, then one after the other."""
    low, high = min(o.low, 0.0), max(o.high, 0.0)
    if low == high:
        return minmax(o)

    def cheapest(ranges: list[Range]) -> Range:
        return min(ranges, key=lambda r: cost(centres, counts, *r))  # of equal ones the first, the widest

    a, b = cheapest([(low * f, high * f) for f in FRACTIONS])
    for _ in range(ROUNDS):
        a, b = cheapest([(a, b), *((a, high * f) for f in FRACTIONS)]) if high > 0 else (a, b)
        a, b = cheapest([(a, b), *((low * f, b) for f in FRACTIONS)]) if low < 0 else (a, b)
    return a, b


def steps_of(centres: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float, float]:
    """(step number of each centre, scale, step of zero)."""
    scale = (high - low) / (LEVELS - 1)
    zero = np.rint(-low / scale)
    return np.clip(np.rint(centres / scale) + zero, 0, LEVELS - 1), scale, zero


def squared_error(centres: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
    steps, scale, zero = steps_of(centres, low, high)
    difference = (steps - zero) * scale - centres
    return float((counts * difference * difference).sum())


def divergence(centres: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
    """What is clipped belongs to the observed distribution, at its ends, but not to the quantised one."""
    inside = (centres >= low) & (centres <= high)
    if not inside.any():
        return np.inf
    steps = steps_of(centres, low, high)[0].astype(np.int64)[inside]
    seen = counts[inside].astype(np.float64)
    mass, bins = np.bincount(steps, seen, LEVELS), np.bincount(steps, minlength=LEVELS)
    spread = (mass / np.maximum(bins, 1))[steps]
    seen[0] += counts[centres < low].sum()
    seen[-1] += counts[centres > high].sum()
    p, q = seen / seen.sum(), spread / spread.sum()
    return float((p * np.log(p / q)).sum())
