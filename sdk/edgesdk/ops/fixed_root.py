# SPDX-License-Identifier: Apache-2.0
"""1 / sqrt(x) of an integer as a multiplier and a shift, with the roundings of TFLite's L2_NORMALIZATION and RSQRT."""

from __future__ import annotations

import numpy as np

from edgesdk.ops.fixed_exp import saturating_shift_left
from edgesdk.ops.fixedpoint import doubling_high_mul, rounding_shift_right

HALF_SQRT_2 = np.int64(1518500250)  # Q31
THREE_HALVES = np.int64((1 << 28) + (1 << 27))  # with 3 integer bits


def inverse_root(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(multiplier, shift) with 1 / sqrt(x) = multiplier * 2**(shift - 31), for int32 x >= 0; 0 is taken for 1."""
    x = np.maximum(np.asarray(x, np.int64), 1)
    down = np.maximum((_bits(x) - 28) // 2, 0)  # halvings of the result, so that x < 2**29
    up = np.where(down > 0, 0, np.maximum((29 - _bits(x)) // 2, 0))
    normal = np.where(down > 0, x >> (2 * down), x << (2 * up))
    root = _newton(normal >> 1)
    shift = 11 + down - up
    root = np.where(shift < 0, root << np.maximum(-shift, 0), root)
    one = x == 1
    return np.where(one, 2**31 - 1, root), np.where(one, 0, -np.maximum(shift, 0))


def _bits(x: np.ndarray) -> np.ndarray:
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def _newton(half: np.ndarray) -> np.ndarray:
    """Five steps from 1; `half` has 3 integer bits."""
    quarter = rounding_shift_right(half, 1)
    x = np.full(half.shape, 1 << 28, np.int64)
    for _ in range(5):
        cube = saturating_shift_left(doubling_high_mul(doubling_high_mul(x, x), x), 6)
        x = saturating_shift_left(doubling_high_mul(THREE_HALVES, x) - doubling_high_mul(quarter, cube), 3)
    return doubling_high_mul(x, HALF_SQRT_2)
