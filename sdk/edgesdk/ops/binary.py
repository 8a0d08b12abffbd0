# SPDX-License-Identifier: Apache-2.0
"""add, sub, mul, minimum, maximum of a and b with numpy broadcasting; either may be constant.

attrs: activation (add, sub, mul). The integer kernels of minimum and maximum compare stored values:
passes/lower_minmax.py brings operands into the output's quantisation first. int32 and int64 wrap (integers.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, broadcast, f32_word, fixedpoint, integers, linear_sums, quantize, rescale, same_row

NAMES = ("add", "sub", "mul", "minimum", "maximum")
LEFT_SHIFT = {"int8": 20, "int16": 15}  # bits that TFLite adds below the inputs of add and sub

layout = broadcast.layout
in_place = broadcast.in_place


def types(node: Node) -> str:
    return integers.TYPES.get(node.input(0).dtype) or rescale.types(node)


def kernel_op(node: Node) -> str:
    if node.input(0).dtype in integers.TYPES:
        return "arith"
    return {"sub": "add", "minimum": "minmax", "maximum": "minmax"}.get(node.op, node.op)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    a, b = node.input(0), node.input(1)
    if a.dtype != b.dtype:
        raise ValueError(f"expected inputs of one dtype, found {a.dtype} and {b.dtype}")
    return [(tuple(np.broadcast_shapes(a.shape, b.shape)), a.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    a, b = arrays[0], arrays[1]
    if a.dtype.name in integers.TYPES:
        return [integers.compute(node, a, b)]
    if kernel_op(node) == "minmax":
        if a.dtype != np.float32:
            a, b = (on_output_grid(node, i, v) for i, v in enumerate((a, b)))
        return [np.minimum(a, b) if node.op == "minimum" else np.maximum(a, b)]
    if a.dtype == np.float32:
        return [np.clip(_FLOAT[node.op](a, b), *fixedpoint.float_range(node.attrs["activation"])).astype(np.float32)]
    wide_a, wide_b = (v.astype(np.int64) - node.input(i).zero_point for i, v in enumerate((a, b)))
    scaled = _scaled_product(node, wide_a, wide_b) if node.op == "mul" else _scaled_sum(node, wide_a, wide_b)
    return [np.clip(scaled + node.output.zero_point, *_range(node)).astype(a.dtype)]


def on_output_grid(node: Node, i: int, q: np.ndarray) -> np.ndarray:
    """Operand i of an int8 or int16 minimum or maximum in the output's quantisation."""
    x, y = node.input(i), node.output
    return q if y.quant is None or y.quant.same_as(x.quant) else quantize.requantize(q, x, y)


_FLOAT = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def _range(node: Node) -> tuple[int, int]:
    y = node.output
    return fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)


def _scaled_sum(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a_scale, b_scale, scale = sum_scales(node)
    a, b = (fixedpoint.requantize(v << LEFT_SHIFT[node.output.dtype], *s) for v, s in ((a, a_scale), (b, b_scale)))
    return fixedpoint.requantize(a - b if node.op == "sub" else a + b, *scale)


def sum_scales(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(multiplier, shift) of a, of b and of their sum.

    The ratios are in double, for SUB too: TFLite Micro's builds give those bytes.
    """
    a, b, y = (v.scale for v in (node.input(0), node.input(1), node.output))
    twice_max, unit = 2 * max(a, b), 1 << LEFT_SHIFT[node.output.dtype]
    ratios = (a / twice_max, b / twice_max, twice_max / (unit * y))
    a_scale, b_scale, scale = (fixedpoint.quantize_multiplier(r) for r in ratios)
    most = 0 if node.output.dtype == "int16" else -1  # TFLite's multipliers are below 1; the int8 kernel always shifts
    if scale[0] != 0 and scale[1] > most:
        raise Unsupported(
            f"{node.source}: the output scale {y:g} of {node.op} is below {2.0**-most * twice_max / unit:g}; "
            "expected a scale that fits the sum's range, quantise the output again"
        )
    return a_scale, b_scale, scale


def _scaled_product(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return fixedpoint.requantize(a * b, *product_scale(node))


def product_scale(node: Node) -> tuple[int, int]:
    a, b, y = node.input(0), node.input(1), node.output
    return fixedpoint.quantize_multiplier(a.scale * b.scale / y.scale)


def encode(node: Node, kernel: Kernel) -> Encoded:
    found = layout(node)
    assert found is not None, f"{node.source}: this broadcast of {node.op} must be lowered first"
    values, operands = [node.input(0), node.input(1)], list(found.operands)
    if values[0].dtype in integers.TYPES:
        return broadcast.encode(node, integers.words(node), values, found)
    linear = kernel.layout == "linear"
    sum_swaps = not linear and kernel.op == "add" and values[0].dtype == "int8" and values[1].scale > values[0].scale
    if sum_swaps:
        values, operands = values[::-1], operands[::-1]
        found = replace(found, operands=(operands[0], operands[1]))
    if values[0].dtype == "int8":
        words = _sum_words(node, kernel, sum_swaps)
    else:
        words = _int16_words(node, kernel) if values[0].dtype == "int16" else _float_words(node, kernel)
    return broadcast.encode(node, words, values, found)


MOST_SHIFT = 22  # to the right: a zero point so far up is still below 2^30


def fits(node: Node, kernel: Kernel) -> bool:
    """Rows "dense" and "linear" add inputs whose rows are as long as the output's."""
    if not kernel.layout:
        return True
    found = layout(node)
    if found is None or any(o.row_items != found.w * found.c for o in found.operands):
        return False
    if kernel.layout == "linear":
        return _linear_words(node) is not None
    return node.op == "add" and -sum_scales(node)[2][1] <= MOST_SHIFT


def _sum_words(node: Node, kernel: Kernel, swapped: bool) -> list[int]:
    if kernel.layout == "linear":
        words = _linear_words(node)
        assert words is not None, f"{node.source}: a row that does not fit was chosen"
        return [*words, *_range(node)]
    return _dense_words(node, swapped) if kernel.layout == "dense" else _int8_words(node, kernel, swapped)


def _linear_words(node: Node) -> linear_sums.Sum | None:
    a, b, y = node.input(0), node.input(1), node.output
    ratios = a.scale / y.scale, (-b.scale if node.op == "sub" else b.scale) / y.scale
    zero_points = a.zero_point, b.zero_point, y.zero_point
    return _linear(sum_scales(node), zero_points, ratios, _range(node))


@cache
def _linear(
    scales: tuple[tuple[int, int], ...],
    zero_points: tuple[int, ...],
    ratios: tuple[float, float],
    limits: tuple[int, int],
) -> linear_sums.Sum | None:
    """One search for layers that are alike; the target is what the reference gives for every pair of bytes."""
    shifted = (linear_sums.BYTES - zero_point << LEFT_SHIFT["int8"] for zero_point in zero_points[:2])
    a, b = (fixedpoint.requantize(x, *scale) for x, scale in zip(shifted, scales[:2], strict=True))
    sums = a[:, None] + (b if ratios[1] > 0 else -b)
    return linear_sums.find(fixedpoint.requantize(sums, *scales[2]) + zero_points[2], ratios, *limits)


def _dense_words(node: Node, swapped: bool) -> list[int]:
    """The constants of ert_add_s8s8_dense_params, offsets made of half units and zero points."""
    a_scale, b_scale, (multiplier, left) = sum_scales(node)
    large, small, (small_multiplier, small_left) = node.input(0), node.input(1), b_scale
    if swapped:
        large, small, (small_multiplier, small_left) = small, large, a_scale
    if small_left == 0 and small_multiplier:  # equal scales: 2^30 without a shift is 2^31 with a shift of 1
        small_multiplier = 2**31 - 1
    small_shift, shift, y = max(-small_left, 1), max(-left, 1), node.output
    of_small = [-small.zero_point << 21, small_multiplier, 1 << (small_shift - 1), small_shift]
    return [*of_small, -large.zero_point << 20, multiplier, (2 * y.zero_point + 1) << (shift - 1), shift, *_range(node)]


def _require_one_quant(node: Node) -> None:
    quant = node.output.quant
    if not all(v.quant is not None and v.quant.same_as(quant) for v in (node.input(0), node.input(1))):
        raise Unsupported(
            f"{node.source}: {node.op} compares stored values; expected one scale and zero point for "
            "both inputs and the output, run the pass lower_minmax first"
        )


def _int8_words(node: Node, kernel: Kernel, swapped: bool) -> list[int]:
    if kernel.op == "minmax":
        _require_one_quant(node)
        return [1 if node.op == "minimum" else -1]
    a, b, y = node.input(0), node.input(1), node.output
    if kernel.op == "mul":
        return [a.zero_point, b.zero_point, *product_scale(node), y.zero_point, *_range(node)]
    a_scale, b_scale, (multiplier, shift) = sum_scales(node)
    first, second = (a, 1, a_scale), (b, -1 if node.op == "sub" else 1, b_scale)
    (large, large_sign, _), (small, small_sign, small_scale) = (second, first) if swapped else (first, second)
    # A shift of 0 occurs with equal scales only; one more bit of gain lets the kernel always shift.
    gain, small_shift = (1 << 22, 1) if small_scale[1] == 0 else (1 << 21, -small_scale[1])
    terms = [large.zero_point, large_sign << 20, small.zero_point, small_sign * 2, gain]
    # A multiplier of 0 has a shift of 0, too; any shift of 0 is 0.
    return [*terms, small_scale[0], small_shift, multiplier, max(-shift, 1), y.zero_point, *_range(node)]


def _int16_words(node: Node, kernel: Kernel) -> list[int]:
    if kernel.op == "minmax":
        _require_one_quant(node)
        return [1 if node.op == "minimum" else -1]
    if kernel.op == "mul":
        return [*product_scale(node), *_range(node)]
    return [-1 if node.op == "sub" else 1, *(w for scale in sum_scales(node) for w in scale), *_range(node)]


def _float_words(node: Node, kernel: Kernel) -> list[int]:
    if kernel.op == "minmax":
        return [f32_word(1 if node.op == "minimum" else -1)]
    limits = [f32_word(x) for x in fixedpoint.float_range(node.attrs["activation"])]
    return limits if kernel.op == "mul" else [f32_word(-1 if node.op == "sub" else 1), *limits]


rows_read = same_row
