# SPDX-License-Identifier: Apache-2.0
"""Choosing the integers of a layer's weights so that its output changes least.

With inputs x of covariance G, integers q on a grid of steps d change the output of a channel by e' G e on average,
e = q d - w; its mean is left to the bias. Rounding every weight to its nearest integer ignores G; the methods of
gptq.py and learn_rounding.py do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FACTORS = 16  # the largest factor of a group
SHRINK = np.linspace(1.0, 0.4, 25)  # parts of the full range that are tried for a step
DAMPING = 0.01  # of the mean variance, added to each: few samples, inputs that are always equal
SWEEPS = 4


@dataclass(eq=False)
class Problem:
    """`w` [problems, outputs, K], `gram` [problems, K, K] (damped); `step` [problems, outputs, K] is
    `scale` [problems, outputs] times a factor where weights are in groups; integers lie in [low, high]."""

    w: np.ndarray
    gram: np.ndarray
    scale: np.ndarray
    factors: np.ndarray | None
    group: int
    low: int
    high: int

    @property
    def step(self) -> np.ndarray:
        if self.factors is None:
            return np.broadcast_to(self.scale[..., None], self.w.shape)
        each = np.repeat(self.factors, self.group, 2)[..., : self.w.shape[2]]
        return np.asarray(self.scale[..., None] * each)

    def clipped(self, q: np.ndarray) -> np.ndarray:
        return np.clip(q, self.low, self.high)


def mean(rows: np.ndarray) -> np.ndarray:
    """[problems, 1, K] of rows [problems, n, K]; zeros where there are none."""
    return np.asarray(rows.sum(1, np.float64, keepdims=True) / max(1, rows.shape[1]))


def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[problems, K, K] of rows [problems, n, K]; without rows all columns vary alike."""
    if not a.shape[1]:
        return np.broadcast_to(np.eye(a.shape[2]), (a.shape[0], a.shape[2], a.shape[2]))
    a, b = (x.astype(np.float64) - mean(x) for x in (a, b))
    return np.asarray(a.transpose(0, 2, 1) @ b / a.shape[1])


def damped(gram: np.ndarray, share: float = DAMPING) -> np.ndarray:
    k = gram.shape[1]
    mean = np.trace(gram, axis1=1, axis2=2) / k
    return gram + np.eye(k) * np.maximum(share * mean, 1e-12)[:, None, None]


def problem(w: np.ndarray, gram: np.ndarray, bits: int, least: np.ndarray, group: int = 0) -> Problem:
    """With the steps that are best for rounding to nearest. `least` [problems, outputs]: no step may be smaller."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if bits == 8:
        low = -127  # the range of int8 weights by the specification
    weight = np.diagonal(gram, axis1=1, axis2=2)[:, None, :]
    if not group or w.shape[2] <= group:
        scale = np.maximum(best_step(w, weight, low, high), least)
        return Problem(w, gram, scale, None, 0, low, high)
    pieces = [slice(k, k + group) for k in range(0, w.shape[2], group)]
    steps = np.stack([best_step(w[..., p], weight[..., p], low, high) for p in pieces], 2)
    scale = np.maximum(steps.max(2) / FACTORS, least)
    factors = np.clip(np.rint(steps / scale[..., None]), 1, FACTORS)
    return Problem(w, gram, scale, factors.astype(np.uint8), group, low, high)


def best_step(w: np.ndarray, weight: np.ndarray, low: int, high: int) -> np.ndarray:
    """Per output: the step whose rounding to nearest is best, errors weighted by the variance of the inputs."""
    full = np.maximum(np.maximum(w.max(2) / high, w.min(2) / low), 1e-30)
    best, least = full, np.full(full.shape, np.inf)
    for part in SHRINK:
        step = (full * part)[..., None]
        error = np.clip(np.rint(w / step), low, high) * step - w
        found = (error * error * weight).sum(2)
        best, least = np.where(found < least, full * part, best), np.minimum(found, least)
    return best


def objective(p: Problem, q: np.ndarray) -> np.ndarray:
    """e' G e per output."""
    e = q * p.step - p.w
    return np.asarray(((e @ p.gram) * e).sum(2))


def nearest(p: Problem) -> np.ndarray:
    return p.clipped(np.rint(p.w / p.step))


def polished(p: Problem, q: np.ndarray) -> np.ndarray:
    """Moves single integers to where the error is least, the others as they are: never for the worse."""
    step, diagonal = p.step, np.diagonal(p.gram, axis1=1, axis2=2)
    pull = (q * step - p.w) @ p.gram
    for _ in range(SWEEPS):
        changed = False
        for k in range(q.shape[2]):
            wanted = q[..., k] - pull[..., k] / (diagonal[:, None, k] * step[..., k])
            move = p.clipped(np.rint(wanted)) - q[..., k]
            if move.any():
                changed = True
                q[..., k] += move
                pull += (move * step[..., k])[..., None] * p.gram[:, None, k, :]
        if not changed:
            break
    return q


def refit(p: Problem, q: np.ndarray, least: np.ndarray) -> None:
    """The best scale of each output for these integers."""
    unit = q * (p.step / p.scale[..., None])
    pulled = unit @ p.gram
    length, along = (pulled * unit).sum(2), (pulled * p.w).sum(2)
    scale = np.divide(along, length, out=p.scale.copy(), where=length > 0)
    p.scale = np.where(scale > 0.5 * p.scale, np.maximum(scale, least), p.scale)
