# SPDX-License-Identifier: Apache-2.0
"""Logarithm of softmax over the last axis. int8 output has scale 1/16 and zero point 127."""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, fixedpoint, pool, same_row, softmax
from edgesdk.ops.fixed_exp import (
    exp_on_negative_values,
    one_over_one_plus_x,
    saturating_shift_left,
    scaled_differences,
)
from edgesdk.ops.fixedpoint import doubling_high_mul, rounding_shift_right, wrap32
from edgesdk.ops.rowwise import last_axis

types = pool.types
infer = softmax.infer
MAX_ITEMS = softmax.MAX_ITEMS["int8"]  # the sum of exps is the same


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if x.dtype == np.float32:
        with np.errstate(invalid="ignore"):
            wide = x.astype(np.float64) - x.max(-1, keepdims=True)
        return [(wide - np.log(np.exp(wide).sum(-1, keepdims=True))).astype(np.float32)]
    exps, differences, multiplier, shift = tables(node)
    steps = x.max(-1, keepdims=True).astype(np.int64) - x
    known = np.minimum(steps, exps.size - 1)
    near = steps < exps.size
    total = np.where(near, (exps[known] + 2**11) >> 12, 0).sum(-1, keepdims=True)
    log = log_q12(total)
    least = fixedpoint.requantize(log - 2**31, multiplier, shift)
    y = rounding_shift_right(differences[known] - log, 22) + 127
    return [np.where(near & (-steps > least), np.clip(y, -128, 127), -128).astype(np.int8)]


def tables(node: Node) -> tuple[np.ndarray, np.ndarray, int, int]:
    """exp of -d input steps in Q0, -d steps in Q5, and the multiplier and shift from Q5 back to steps."""
    product = node.input(0).scale * 2.0**26
    if product <= 1.0:
        raise Unsupported(
            f"{node.source}: log_softmax needs an input scale above 2**-26, found {node.input(0).scale:g}; "
            "quantise its input again"
        )
    differences, multiplier, shift = scaled_differences(product)
    back = fixedpoint.quantize_multiplier(2.0 ** (31 - shift) / multiplier)
    return exp_on_negative_values(differences, 5), differences, *back


LOG_2, ROOT_HALF, ROOT_ROOT_HALF = np.int64(1488522236), np.int64(1518500250), np.int64(1805811301)  # Q0


def log_q12(x: np.ndarray) -> np.ndarray:
    """ln of Q12 x >= 1 in Q5, as TFLite approximates it: the better of two powers of two, and a rational function."""
    a_zeros = 32 - _bits(x)
    a = saturating_shift_left(doubling_high_mul(x << (a_zeros - 1), ROOT_HALF), 1)
    b_room = 31 - _bits(doubling_high_mul(x, ROOT_HALF))
    b = np.minimum(x << b_room, 2**31 - 1)
    quarter = 1 << 23
    power = np.maximum(((12 - a_zeros) << 25) + quarter, ((12 - b_room) << 25) - quarter)
    total = wrap32(doubling_high_mul(power, LOG_2) + _log_near_one(np.minimum(a, b)))
    return saturating_shift_left(total, 1)


def _bits(x: np.ndarray) -> np.ndarray:
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def _log_near_one(r: np.ndarray) -> np.ndarray:
    """In Q6, for Q0 r near 2**-0.25, less the power of two."""
    p, half = (r + ROOT_ROOT_HALF + 1) // 2, r - ROOT_ROOT_HALF
    q = wrap32(2 * half)
    q2 = doubling_high_mul(q, q)
    num = wrap32(doubling_high_mul(q, r) + doubling_high_mul(doubling_high_mul(q, q2), np.int64(117049297)))
    factor = wrap32(1057819769 + q + doubling_high_mul(q2, np.int64(127690142)))
    denominator = wrap32(doubling_high_mul(p, factor) + doubling_high_mul(q, np.int64(638450708)))
    return doubling_high_mul(rounding_shift_right(num, 6), one_over_one_plus_x(denominator))


def encode(node: Node, kernel: Kernel) -> Encoded:
    if node.output.dtype == "float32":
        return last_axis(node, [])
    _check_integer(node)
    exps, differences, multiplier, shift = tables(node)
    blobs = exps.astype(np.int32), differences.astype(np.int32)
    return last_axis(node, [*blobs, exps.size, multiplier, shift])


def _check_integer(node: Node) -> None:
    y = node.output
    if (y.scale, y.zero_point) != (1 / 16, 127):
        raise Unsupported(
            f"{node.source}: int8 log_softmax expects output scale 1/16 and zero point 127, found {y.scale} and "
            f"{y.zero_point}; requantise after it"
        )
    if y.shape[-1] > MAX_ITEMS:
        raise Unsupported(
            f"{node.source}: int8 log_softmax takes at most {MAX_ITEMS} items, found {y.shape[-1]}; keep it float32"
        )


def in_place(node: Node) -> tuple[int, ...]:
    """Each item is written after the last read of it and of its row's maximum."""
    return (0,)


rows_read = same_row
