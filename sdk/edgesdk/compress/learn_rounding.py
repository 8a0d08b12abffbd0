# SPDX-License-Identifier: Apache-2.0
"""Learned rounding (AdaRound, Nagel et al. 2020): whether each weight goes up or down is a number between 0 and 1
that gradient descent moves; a growing penalty drives it to either end. The loss is the quadratic form of
rounding.py, so no samples are needed while it runs, and nothing is random.
"""

from __future__ import annotations

import numpy as np

from edgesdk.compress.rounding import Problem, nearest, objective

TURNS = 300
RATE = 0.05
STRETCH = (-0.1, 1.1)  # of the sigmoid, cut to [0, 1]: its ends are reached
PENALTY = 0.3  # against the mean loss of rounding to nearest
WARM = 0.2  # share of the turns without a penalty
SHARPNESS = (20.0, 2.0)  # of the penalty, at its begin and at the end
DECAYS = (0.9, 0.999)


def learn_rounding(p: Problem) -> np.ndarray:
    """The learned integers of an output where they are better than the nearest ones."""
    step = p.step.astype(np.float32)
    floor = np.floor(p.w / p.step)
    share = np.clip(p.w / p.step - floor, 0.01, 0.99)
    v = unstretched(share).astype(np.float32)
    near = nearest(p)
    unit = penalty_unit(p, near)
    learned = p.clipped(floor + (descend(p, floor, step, v, unit) > 0))
    better = objective(p, learned) < objective(p, near)
    return np.where(better[..., None], learned, near)


def penalty_unit(p: Problem, near: np.ndarray) -> float:
    """What a weight adds to the mean loss of rounding to nearest; not next to nothing where that is exact."""
    whole = float(objective(p, np.zeros_like(near)).mean())
    return max(float(objective(p, near).mean()), 1e-9 * whole, 1e-30) / p.w.shape[2]


def unstretched(h: np.ndarray) -> np.ndarray:
    low, high = STRETCH
    s = (h - low) / (high - low)
    return np.asarray(np.log(s / (1 - s)))


def stretched(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each weight goes up, and the slope of that."""
    s, (low, high) = 1 / (1 + np.exp(-v)), STRETCH
    h = s * (high - low) + low
    return np.clip(h, 0, 1), np.where((h > 0) & (h < 1), s * (1 - s) * (high - low), 0).astype(np.float32)


def descend(p: Problem, floor: np.ndarray, step: np.ndarray, v: np.ndarray, unit: float) -> np.ndarray:
    """Adam; positive results go up."""
    gram, base = (p.gram / unit).astype(np.float32), (floor * p.step - p.w).astype(np.float32)
    mean, square = np.zeros_like(v), np.zeros_like(v)
    for turn in range(1, TURNS + 1):
        h, slope = stretched(v)
        gradient = 2 * ((base + h * step) @ gram) * step + penalty_slope(h, turn / TURNS)
        gradient *= slope
        mean += (1 - DECAYS[0]) * (gradient - mean)
        square += (1 - DECAYS[1]) * (gradient * gradient - square)
        corrected = mean / (1 - DECAYS[0] ** turn)
        v = v - RATE * corrected / (np.sqrt(square / (1 - DECAYS[1] ** turn)) + 1e-8)
    return v


def penalty_slope(h: np.ndarray, progress: float) -> np.ndarray:
    """Of PENALTY * (1 - |2 h - 1| ** sharpness)."""
    if progress < WARM:
        return np.zeros_like(h)
    begin, end = SHARPNESS
    sharp = end + (begin - end) * (1 - (progress - WARM) / (1 - WARM))
    far = 2 * h - 1
    return np.asarray(-PENALTY * 2 * sharp * np.sign(far) * np.abs(far) ** (sharp - 1), np.float32)
