# SPDX-License-Identifier: Apache-2.0
"""Softmax over one axis. attrs: beta, axis (default: the last; passes/lower_softmax.py brings others there), and
by_image, which that pass sets where a row is one of an image and not one run of items.

int8 output has scale 1/256 and zero point -128, int16 output scale 1/32768 and zero point 0. What an additive mask
takes out needs to lie no more than 12 / beta below the other items to count as nothing: compress/masks.py limits masks
to that, so that the integer steps stay fine.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word, fixedpoint, pool, same_row, unary_int16
from edgesdk.ops.fixed_exp import exp_on_negative_values, one_over_one_plus_x, scaled_differences
from edgesdk.ops.fixedpoint import doubling_high_mul
from edgesdk.ops.rowwise import rows_of

types = pool.types

MAX_ITEMS = {"int8": 4095, "int16": 65535}  # as many exps as sum up in the kernel's type
OUTPUTS = {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)}


def kernel_op(node: Node) -> str:
    return "pixel_softmax" if node.attrs.get("by_image") else "softmax"


def axis(node: Node) -> int:
    return int(node.attrs.get("axis", len(node.input(0).shape) - 1))


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    if not node.input(0).shape:
        raise ValueError("expected at least one axis, found a scalar")
    if not 0 <= axis(node) < len(node.input(0).shape):
        raise ValueError(f"expected an axis of {node.input(0).shape}, found {axis(node)}")
    return [(node.input(0).shape, node.input(0).dtype)]


def exp_table(node: Node) -> np.ndarray:
    """int32 Q31 exp(-d * beta * scale) for d = 0, 1, ... up to the last that is not 0."""
    product = float(np.float32(node.attrs["beta"])) * node.input(0).scale * 2.0**26
    if product <= 1.0:
        raise Unsupported(f"{node.source}: softmax needs beta * input scale above 2**-26, found {product * 2.0**-26}")
    scaled, _, _ = scaled_differences(product)
    table = exp_on_negative_values(scaled, 5)
    return np.trim_zeros(table, "b").astype(np.int32)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [_last(node, arrays[0].swapaxes(axis(node), -1)).swapaxes(axis(node), -1)]


def _last(node: Node, x: np.ndarray) -> np.ndarray:
    if x.dtype == np.float32:
        with np.errstate(invalid="ignore"):
            wide = float(np.float32(node.attrs["beta"])) * (x.astype(np.float64) - x.max(-1, keepdims=True))
        e = np.exp(wide)
        return (e / e.sum(-1, keepdims=True)).astype(np.float32)
    if x.dtype == np.int16:
        return _int16(node, x.astype(np.int64))
    table = np.zeros(256, np.int64)
    exps = exp_table(node)
    table[: exps.size] = exps
    return _integer(table[x.max(-1, keepdims=True).astype(np.int64) - x])


def _integer(e: np.ndarray) -> np.ndarray:
    """int8 softmax of Q31 exps: the sum in Q12.19, its reciprocal in Q31."""
    total = ((e + 2**11) >> 12).sum(-1, keepdims=True)
    zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    scale = one_over_one_plus_x((total << zeros) - 2**31)
    shift = 35 - zeros
    shares = (doubling_high_mul(scale, e) + (np.int64(1) << (shift - 1))) >> shift
    return np.clip(shares - 128, -128, 127).astype(np.int8)


def tables_16() -> tuple[np.ndarray, np.ndarray]:
    """exp(-10 ... 0) and 1 / (1 + (0 ... 1)) in Q15, for `lookup`."""
    unit, y = np.float32(1) / np.float32(65535), np.float32(2) / np.float32(65535)
    exp = unary_int16.lookup_table(np.exp, np.float32(10) / np.float32(65535), 32767, y)
    return exp, unary_int16.lookup_table(lambda x: 1 / (1 + x), unit, -32768, y)


def scale_16(node: Node) -> tuple[int, int]:
    """(multiplier, shift) from differences of the input to steps of 10 / 65535."""
    real = node.input(0).scale * float(np.float32(node.attrs["beta"])) / (10.0 / 65535.0)
    multiplier, shift = fixedpoint.quantize_multiplier(real)
    if shift > 15:
        raise Unsupported(
            f"{node.source}: softmax needs beta * input scale below 5 for int16, found {real * 10 / 65535:g}"
        )
    return multiplier, shift


def _int16(node: Node, x: np.ndarray) -> np.ndarray:
    """The sum in Q16.15, its reciprocal by a table of the normalised sum."""
    exp_table, reciprocal_table = tables_16()
    scaled = fixedpoint.requantize(x - x.max(-1, keepdims=True), *scale_16(node)) + 32767
    e = unary_int16.lookup(exp_table, np.clip(scaled, -32768, 32767)).astype(np.int64)
    total = e.sum(-1, keepdims=True)
    zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    mantissa = ((total << (zeros - 1)) + (1 << 13)) >> 14
    inverse = unary_int16.lookup(reciprocal_table, np.clip(mantissa - 3 * 2**15, -32768, 32767)).astype(np.int64)
    shift = 31 - zeros
    return np.clip((e * inverse + (np.int64(1) << (shift - 1))) >> shift, 0, 32767).astype(np.int16)


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    n = x.shape[-1]
    assert axis(node) == len(x.shape) - 1, f"{node.source}: passes/lower_softmax.py must run first"
    batch, rows, items = rows_of(y.shape) if node.attrs.get("by_image") else (1, x.elements // n, n)
    params: list[int | np.ndarray | None] = [items // n, n] if node.attrs.get("by_image") else [n]
    if x.dtype == "int8":
        _check_integer(node)
        table = exp_table(node)
        params += [table, table.size]
    elif x.dtype == "int16":
        _check_integer(node)
        params += [*scale_16(node), *tables_16()]
    else:
        params += [f32_word(node.attrs["beta"])]
    return Encoded(params, RowView(y, rows, items * y.itemsize), [RowView(x, rows, items * x.itemsize)], rows, batch)


def _check_integer(node: Node) -> None:
    y = node.output
    scale, zero_point = OUTPUTS[y.dtype]
    # TFLite allows the int16 scale a thousandth.
    if y.zero_point != zero_point or abs(y.scale - scale) > (scale / 1000 if y.dtype == "int16" else 0):
        raise Unsupported(
            f"{node.source}: {y.dtype} softmax expects output scale 1/{1 / scale:g} and zero point {zero_point}, "
            f"found {y.scale} and {y.zero_point}; requantise after it"
        )
    if y.shape[-1] > MAX_ITEMS[y.dtype]:
        raise Unsupported(
            f"{node.source}: {y.dtype} softmax takes at most {MAX_ITEMS[y.dtype]} items, found {y.shape[-1]}; keep it "
            "float32"
        )


def in_place(node: Node) -> tuple[int, ...]:
    """Each item is written after the last read of it and of its row's maximum."""
    return (0,)


rows_read = same_row
