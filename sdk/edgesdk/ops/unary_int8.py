# SPDX-License-Identifier: Apache-2.0
"""TFLite Micro's integer activations, byte for byte. x is int8; results are int8."""

from __future__ import annotations

import math

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops import fixedpoint
from edgesdk.ops.fixed_exp import ONE, exp_on_negative_values, one_over_one_plus_x, saturating_shift_left

INTEGER_BITS = 4  # of the fixed-point input of logistic and tanh


def _round_away(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def quantize(real: float, v: Value) -> int:
    """The stored integer of a real number; TFLite divides in float32."""
    info = np.iinfo(v.dtype)
    ratio = float(np.float32(real) / np.float32(v.scale))
    if not math.isfinite(ratio):
        return int(info.max if ratio > 0 else info.min)
    return max(int(info.min), min(int(info.max), v.zero_point + _round_away(ratio)))


def clip(x: np.ndarray, source: Value, output: Value, low: float, high: float) -> np.ndarray:
    """relu, relu6 and the like, rescaled to the output's quantisation.

    Where input and output share one quantisation (as TFLite Micro's RELU6 requires) nothing is rescaled.
    """
    multiplier, shift = fixedpoint.quantize_multiplier(source.scale / output.scale)
    wide = fixedpoint.requantize(x.astype(np.int64) - source.zero_point, multiplier, shift) + output.zero_point
    return np.clip(wide, quantize(low, output), quantize(high, output)).astype(np.int8)


def leaky_relu(x: np.ndarray, source: Value, output: Value, alpha: float) -> np.ndarray:
    """One multiplier for each sign; |alpha| is scaled and its sign applied after the rounding."""
    identity = fixedpoint.quantize_multiplier(source.scale / output.scale)
    multiplier, shift = fixedpoint.quantize_multiplier(source.scale * float(np.float32(alpha)) / output.scale)
    wide = x.astype(np.int64) - source.zero_point
    negative = fixedpoint.requantize(wide, abs(multiplier), shift) * (-1 if multiplier < 0 else 1)
    y = np.where(wide >= 0, fixedpoint.requantize(wide, *identity), negative)
    return np.clip(y + output.zero_point, -128, 127).astype(np.int8)


def _multiplier16(real: float) -> tuple[int, int]:
    """A Q15 multiplier and a shift, rounded from the Q31 one and saturated."""
    multiplier, shift = fixedpoint.quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1), shift


def _saturate16(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(2**15), 2**15 - 1)


def _doubling_high_mul16(a: np.ndarray, b: int) -> np.ndarray:
    return np.minimum((a * b + (1 << 14)) >> 15, 2**15 - 1)


def _rounding_shift16(x: np.ndarray, shift: int) -> np.ndarray:
    """TFLite's mask for the rounding is 16 bits wide: past a shift of 15 nothing but the sign is left."""
    return fixedpoint.rounding_shift_right(x, shift) if shift < 16 else np.where(x < 0, -1, 1)


def hard_swish(x: np.ndarray, source: Value, output: Value) -> np.ndarray:
    """In 16 bits: the input with 7 more bits times a relu-like factor in [0, 1], then the output scale."""
    hires_scale = np.float32(source.scale) * np.float32(1 / 128)
    out_multiplier, out_shift = _multiplier16(float(hires_scale / np.float32(output.scale)))
    if out_shift > 0:
        raise Unsupported(
            f"{output.name}: hard_swish has an output scale of {output.scale:g}, below 1/128 of its input's; "
            "expected a larger one, quantise the output again"
        )
    hires = (x.astype(np.int64) - source.zero_point) << 7
    factor = _hard_swish_factor(hires, float(hires_scale / (np.float32(3) / np.float32(32768))))
    product = factor * _doubling_high_mul16(hires, out_multiplier)
    # Rounds towards zero, which cancels the bias of the roundings before it.
    truncated = np.sign(product) * (np.abs(product) >> 15)
    y = _rounding_shift16(truncated, -out_shift) + output.zero_point
    return np.clip(y, -128, 127).astype(np.int8)


def _hard_swish_factor(hires: np.ndarray, real: float) -> np.ndarray:
    """(x / 3 + 1) / 2 in [0, 1] as Q15."""
    multiplier, shift = _multiplier16(real)
    # The last bit of a left shift comes after the product, so that only it can saturate.
    value = _saturate16(hires << min(shift - 1, 32)) if shift > 0 else hires
    value = _doubling_high_mul16(value, multiplier)
    value = _saturate16(value << 1) if shift > 0 else _rounding_shift16(value, -shift)
    return (value + (1 << 15)) >> 1


def _fixed_input(x: np.ndarray, source: Value) -> tuple[np.ndarray, np.ndarray]:
    """The input in Q4, and -1, 0, 1 where it lies below, in or above what Q4 holds."""
    multiplier, shift = fixedpoint.quantize_multiplier(source.scale * (1 << (31 - INTEGER_BITS)))
    radius = math.floor(((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / 2.0**shift)
    wide = x.astype(np.int64) - source.zero_point
    outside = (wide >= radius).astype(np.int64) - (wide <= -radius)
    return fixedpoint.requantize(np.where(outside == 0, wide, 0), multiplier, shift), outside


def _to_int8(y: np.ndarray, outside: np.ndarray) -> np.ndarray:
    return np.select([outside < 0, outside > 0], [-128, 127], np.clip(y, -128, 127)).astype(np.int8)


def logistic(x: np.ndarray, source: Value) -> np.ndarray:
    fixed, outside = _fixed_input(x, source)
    positive = one_over_one_plus_x(exp_on_negative_values(-np.abs(fixed), INTEGER_BITS))
    y = np.where(fixed > 0, positive, ONE - positive)
    y = np.where(fixed == 0, 1 << 30, y)
    return _to_int8(fixedpoint.rounding_shift_right(y, 23) - 128, outside)


def tanh(x: np.ndarray, source: Value) -> np.ndarray:
    """(1 - e) / (1 + e) = 2 / (1 + e) - 1 with e = exp(-2 |x|); doubling x only moves its binary point."""
    fixed, outside = _fixed_input(x, source)
    e = exp_on_negative_values(-np.abs(fixed), INTEGER_BITS + 1)
    magnitude = saturating_shift_left((one_over_one_plus_x(e) >> 1) - (1 << 29), 2)
    y = np.where(fixed == 0, 0, np.where(fixed < 0, -magnitude, magnitude))
    return _to_int8(fixedpoint.rounding_shift_right(y, 24), outside)
