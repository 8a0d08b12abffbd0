# SPDX-License-Identifier: Apache-2.0
"""Fixed-point arithmetic of the TFLite integer specification, as TFLite Micro rounds it.

All functions take and return int64 arrays that hold int32 values.
"""

from __future__ import annotations

import math

import numpy as np


def quantize_multiplier(real: float) -> tuple[int, int]:
    """real ~ multiplier * 2**(shift - 31), multiplier in [2**30, 2**31) or 0."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(abs(fraction) * 2**31 + 0.5)
    multiplier = -multiplier if fraction < 0 else multiplier
    if abs(multiplier) == 2**31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (2**31 - 1 if multiplier > 0 else -(2**31)), 30
    return multiplier, shift


def quantize_multipliers(reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`quantize_multiplier` of each; (int32 multipliers, int8 shifts)."""
    pairs = [quantize_multiplier(float(r)) for r in np.asarray(reals, np.float64).ravel()]
    return np.array([p[0] for p in pairs], np.int32), np.array([p[1] for p in pairs], np.int8)


def wrap32(x: np.ndarray) -> np.ndarray:
    """Reduces to int32 modulo 2**32."""
    return np.asarray(x, np.int64).astype(np.int32).astype(np.int64)


def doubling_high_mul(a: np.ndarray | np.int64, b: np.ndarray | np.int64) -> np.ndarray:
    """(a * b + 2**30) >> 31, saturating only for -2**31 * -2**31."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.minimum((product + 2**30) >> 31, 2**31 - 1)


def rounding_shift_right(x: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """x / 2**shift, halves away from zero."""
    x, shift = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    mask = (np.int64(1) << shift) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> shift) + ((x & mask) > threshold)


def requantize(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """MultiplyByQuantizedMultiplier: two roundings, as TFLite Micro and CMSIS-NN do."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    scaled = wrap32(np.asarray(x, np.int64) << left)
    return rounding_shift_right(doubling_high_mul(scaled, np.asarray(multiplier)), right)


def reduced_multipliers(multiplier: np.ndarray) -> np.ndarray:
    """Q31 multipliers as the Q15 ones that `requantize_wide` takes, saturated."""
    wide = np.asarray(multiplier, np.int64)
    return np.where(wide < 0x7FFF0000, (wide + (1 << 15)) >> 16, 0x7FFF)


def requantize_wide(x: np.ndarray, reduced: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """MultiplyByQuantizedMultiplier of 64-bit sums below 2**47: 15-bit multipliers, one rounding half up."""
    right = 15 - np.asarray(shift, np.int64)
    return wrap32((np.asarray(x, np.int64) * np.asarray(reduced, np.int64) + (np.int64(1) << (right - 1))) >> right)


def activation_range(activation: str, scale: float, zero_point: int, dtype: str = "int8") -> tuple[int, int]:
    """Quantised [min, max] of a fused activation (TFLite's CalculateActivationRangeQuantized)."""
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)

    def q(x: float) -> int:
        # TFLite divides and rounds in float32, halves away from zero.
        r = float(np.float32(x) / np.float32(scale))
        return zero_point + int(math.copysign(math.floor(abs(r) + 0.5), r))

    if activation == "none":
        return low, high
    if activation == "relu":
        return max(low, q(0.0)), high
    if activation == "relu6":
        return max(low, q(0.0)), min(high, q(6.0))
    if activation == "relu_n1_to_1":
        return max(low, q(-1.0)), min(high, q(1.0))
    raise ValueError(f"activation {activation!r}")


def float_range(activation: str) -> tuple[float, float]:
    """[min, max] of a fused activation on floats."""
    ranges = {
        "none": (-math.inf, math.inf),
        "relu": (0.0, math.inf),
        "relu6": (0.0, 6.0),
        "relu_n1_to_1": (-1.0, 1.0),
    }
    return ranges[activation]
