# SPDX-License-Identifier: Apache-2.0
"""Integer activations of 16 bits, byte for byte as TFLite Micro where it has them. Every zero point is 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops import fixedpoint
from edgesdk.ops.unary_int8 import quantize

STEPS = 512  # of a lookup table
TABLE_UNIT = 4096 * 3  # logistic and tanh read their table in steps of 1 / 12288
Slopes = tuple[int, int, int, int, int]


def lookup_table(
    function: Callable[[np.ndarray], np.ndarray], source: np.float32, zero: int, y: np.float32
) -> np.ndarray:
    """int16[513] for `lookup`: samples of the function of source * (x - zero), less half of what a straight line
    misses in the middle of its step; in float32, as TFLite fills such tables."""
    low, high = source * np.float32(-32768 - zero), source * np.float32(32767 - zero)
    step = (high - low) / np.float32(STEPS)
    at = low + np.arange(STEPS, dtype=np.float32) * step
    inverse = np.float32(65536) / (y * np.float32(32767) - y * np.float32(-32768))

    def stored(points: np.ndarray) -> np.ndarray:
        real = np.asarray(function(points.astype(np.float64))).astype(np.float32)
        return np.clip(real * inverse, np.float32(-(2.0**30)), np.float32(2.0**30))

    sample = _round(stored(at))
    after = stored(low + np.arange(1, STEPS + 1, dtype=np.float32) * step)
    missed = _round((after + sample) / np.float32(2)) - _round(stored(at + step / np.float32(2)))
    table = np.append(sample - _round(missed / np.float32(2)), _round(stored(np.array([high]))))
    return np.clip(table, -32768, 32767).astype(np.int16)


def _round(x: np.ndarray) -> np.ndarray:
    """Halves away from zero; adding 0.5 first would round 0.49999997 up."""
    whole = np.trunc(x)
    return np.asarray(whole + (x - whole >= 0.5) - (x - whole <= -0.5), np.float32)


def lookup(table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The table at int16 x, straight lines between its items."""
    wide, index = table.astype(np.int64), (x.astype(np.int64) >> 7) + 256
    slope = (wide[index + 1] - wide[index]).astype(np.int16).astype(np.int64)
    return (wide[index] + ((slope * (x.astype(np.int64) & 127) + 64) >> 7)).astype(np.int16)


def sigmoid_table() -> np.ndarray:
    """uint16 logistic(i / 24) in Q16, raised by half of what a straight line misses in the middle of its step; the
    last item is 1."""
    at = np.arange(256.0)
    real, after, middle = (65536 / (1 + np.exp(-x / 24)) for x in (at, at + 1, at + 0.5))
    table = np.floor(real + 0.5 * (middle - (real + after) / 2) + 0.5).astype(np.uint16)
    table[255] = 65535
    return table


def _power_of_two(scale: float) -> int | None:
    """The exponent of a scale that TFLite takes for a power of two."""
    log2 = np.float32(np.log(np.float32(scale))) * (np.float32(1) / np.log(np.float32(2)))
    nearest = math.floor(float(log2) + 0.5)
    return nearest if abs(float(log2) - nearest) < 1e-3 else None


def sigmoid_scale(x: Value, op: str) -> tuple[int, int]:
    """(multiplier, right shift) from the input's steps to the table's."""
    exponent = _power_of_two(x.scale)
    left = -1 if exponent is None else 12 + exponent
    if left == 0 or (left == 1 and op == "tanh"):
        return 3 << left, 0
    real, shift = x.scale * TABLE_UNIT, 0
    while real <= 32767 / 2 and shift <= 30:
        real, shift = real * 2, shift + 1
    if real >= 32768:
        raise Unsupported(
            f"{x.name}: the input of int16 {op} has scale {x.scale:g}; expected less than {32768 / TABLE_UNIT:.3g}, "
            "quantise it again"
        )
    return int(real), shift


def sigmoid(x: np.ndarray, source: Value, op: str) -> np.ndarray:
    multiplier, shift = sigmoid_scale(source, op)
    z = (x.astype(np.int64) * multiplier + ((1 << shift) >> 1)) >> shift
    bits, limit = (9, 0x7FFF << 10) if op == "logistic" else (8, 0xFFFF << 8)
    table, index = sigmoid_table().astype(np.int64), np.abs(z) >> bits
    i = np.minimum(index, 254)
    u = (table[i] << bits) + (np.abs(z) & ((1 << bits) - 1)) * (table[i + 1] - table[i])
    u = np.where(index >= 255, limit, u)
    if op == "logistic":
        return ((np.where(z < 0, (1 << 25) - u - 1, u) + (1 << 9)) >> 10).astype(np.int16)
    return ((np.where(z < 0, (1 << 23) - u - 1, u - (1 << 23)) + (1 << 7)) >> 8).astype(np.int16)


def slopes(x: Value, y: Value, alpha: float = 1.0) -> Slopes:
    """multiplier and shift above zero, those below and their sign."""
    above = fixedpoint.quantize_multiplier(x.scale / y.scale)
    multiplier, shift = fixedpoint.quantize_multiplier(x.scale * float(np.float32(alpha)) / y.scale)
    return (*above, abs(multiplier), shift, -1 if multiplier < 0 else 1)


def clip(x: np.ndarray, scales: Slopes, low: int, high: int) -> np.ndarray:
    above, below, sign = scales[:2], scales[2:4], scales[4]
    wide = x.astype(np.int64)
    y = np.where(wide < 0, sign * fixedpoint.requantize(wide, *below), fixedpoint.requantize(wide, *above))
    return np.clip(y, low, high).astype(np.int16)


def stored_limits(y: Value, low: float, high: float) -> tuple[int, int]:
    """[min, max] in the output's steps."""
    return quantize(low, y), quantize(high, y)
