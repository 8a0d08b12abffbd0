# SPDX-License-Identifier: Apache-2.0
"""exp and 1 / (1 + x) in Q31 fixed point, with the roundings of TFLite's integer softmax and logistic.

Raw values are int64 arrays that hold int32; "Qn" has n integer bits and 31 - n fraction bits.
"""

from __future__ import annotations

import math

import numpy as np

from edgesdk.ops.fixedpoint import doubling_high_mul, rounding_shift_right, wrap32

ONE = 2**31 - 1  # 1.0 in Q0, saturated


def saturating_shift_left(x: np.ndarray, shift: int) -> np.ndarray:
    return np.clip(np.asarray(x, np.int64) << shift, -(2**31), 2**31 - 1)


def _exp_near_zero(a: np.ndarray) -> np.ndarray:
    """exp(a) in Q0 for Q0 a in [-1/4, 0): a fourth-order Taylor series around -1/8."""
    exp_minus_eighth, third = np.int64(1895147668), np.int64(715827883)
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3, x4 = doubling_high_mul(x2, x), doubling_high_mul(x2, x2)
    cubic = doubling_high_mul(rounding_shift_right(x4, 2) + x3, third)
    rest = x + rounding_shift_right(cubic + x2, 1)
    return exp_minus_eighth + doubling_high_mul(exp_minus_eighth, rest)


# exp(-2**k) in Q0 for k = -2, -1, ...
_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def exp_on_negative_values(a: np.ndarray, integer_bits: int) -> np.ndarray:
    """exp(a) in Q0 for a <= 0 in Q`integer_bits`, integer_bits <= 5."""
    a = np.asarray(a, np.int64)
    fraction_bits = 31 - integer_bits
    quarter = np.int64(1) << (fraction_bits - 2)
    near = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(near << integer_bits)
    remainder = near - a
    for k, power in enumerate(_POWERS[: integer_bits + 2]):
        bit = remainder & (quarter << k)
        result = np.where(bit != 0, doubling_high_mul(result, np.int64(power)), result)
    return np.where(a == 0, ONE, result)


def one_over_one_plus_x(a: np.ndarray) -> np.ndarray:
    """1 / (1 + a) in Q0 for Q0 a in [0, 1): three Newton steps in Q2."""
    total = np.asarray(a, np.int64) + ONE
    half_denominator = (total + 1) >> 1
    x = 1515870810 + doubling_high_mul(half_denominator, np.int64(-1010580540))
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, x)
        x = x + saturating_shift_left(doubling_high_mul(x, error), 2)
    return saturating_shift_left(x, 1)


def scaled_differences(product: float) -> tuple[np.ndarray, int, int]:
    """0, -1, -2, ... steps of an int8 input in Q5, and their multiplier and shift; `product` is one step * 2**26.

    They end at -255 or where Q5 does.
    """
    fraction, shift = math.frexp(min(product, 2.0**31 - 1))
    multiplier = math.floor(fraction * 2.0**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    reach = math.floor(31 * 2.0**26 / 2.0**shift)
    steps = -np.arange(min(reach, 255) + 1, dtype=np.int64)
    return doubling_high_mul(wrap32(steps << shift), np.int64(multiplier)), multiplier, shift
