# SPDX-License-Identifier: Apache-2.0
"""div, squared_difference, pow, floor_div, floor_mod, fmod and prelu of a and b with numpy broadcasting.

attrs: activation (div, optional). prelu: b is the slope where a is negative. int8 has div, squared_difference and
prelu, int16 the last two, with the bytes of TFLite Micro; what is undefined there (arith.h says where) has the value of
the formula.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, broadcast, f32_word, fixedpoint, integers, rescale, same_row
from edgesdk.ops.fixed_exp import one_over_one_plus_x
from edgesdk.ops.fixedpoint import doubling_high_mul, requantize

NAMES = ("div", "squared_difference", "pow", "floor_div", "floor_mod", "fmod", "prelu")
INT8 = ("div", "squared_difference", "prelu")
QUANTISED = {"int8": INT8, "int16": ("squared_difference", "prelu")}
LEFT_SHIFT = {"int8": 7, "int16": 0}  # bits that TFLite adds below the inputs of squared_difference
Scale = tuple[int, int]


def kernel_op(node: Node) -> str:
    return node.op if node.op == "pow" or node.input(0).dtype in QUANTISED else "arith"


def types(node: Node) -> str:
    return integers.TYPES.get(node.input(0).dtype) or rescale.types(node)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    a, b = node.input(0), node.input(1)
    if a.dtype != b.dtype:
        raise ValueError(f"expected inputs of one dtype, found {a.dtype} and {b.dtype}")
    known = a.dtype == "float32" or (
        node.op in QUANTISED[a.dtype] if a.dtype in QUANTISED else a.dtype in integers.TYPES
    )
    if not known or (a.dtype in integers.TYPES and node.op in ("pow", "prelu")):
        raise Unsupported(f"{node.source}: {node.op} of {a.dtype}; expected float32, convert it before")
    return [(tuple(np.broadcast_shapes(a.shape, b.shape)), a.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    a, b = arrays[0], arrays[1]
    if a.dtype == np.float32:
        return [_float_reference(node, a, b)]
    if a.dtype.name not in QUANTISED:
        return [integers.compute(node, a, b)]
    wide_a, wide_b = (v.astype(np.int64) - node.input(i).zero_point for i, v in enumerate((a, b)))
    steps = _QUANTISED[node.op](node, wide_a, wide_b) + node.output.zero_point
    return [np.clip(steps, *_range(node)).astype(a.dtype)]


def _range(node: Node) -> tuple[int, int]:
    y = node.output
    if y.dtype == "int16":
        return -32768, 32767
    return fixedpoint.activation_range(integers.activation(node), y.scale, y.zero_point)


def on_reals(op: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The op on numbers of float64."""
    return _FLOAT[op](a, b)


def _float_reference(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        y = on_reals(node.op, a.astype(np.float64), b.astype(np.float64))
        return np.clip(y, *fixedpoint.float_range(integers.activation(node))).astype(np.float32)


def _floor_mod(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    rest = np.fmod(a, b)
    return np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


_FLOAT: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "div": np.divide,
    "squared_difference": lambda a, b: np.square(a - b),
    "pow": np.power,
    "floor_div": lambda a, b: np.floor(a / b),
    "floor_mod": _floor_mod,
    "fmod": np.fmod,
    "prelu": lambda a, b: np.where(a >= 0, a, a * b),
}


def div_scale(node: Node) -> Scale:
    a, b, y = (v.scale for v in (node.input(0), node.input(1), node.output))
    multiplier, shift = fixedpoint.quantize_multiplier(a / (b * y))
    if shift > 22:
        raise Unsupported(
            f"{node.source}: the output scale {y:g} of div is too small for inputs of scales {a:g} and {b:g}; "
            "expected a scale that fits the quotient's range, quantise the output again"
        )
    return multiplier, shift


def _bits(x: np.ndarray) -> np.ndarray:
    """Bits of a non-negative integer."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def div_shifts(node: Node, top: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bits of headroom that `top` has, and the right shift of the quotient: TFLite Micro defines up to 31."""
    headroom = 31 - _bits(np.where(top < 0, ~top, top))
    return headroom, headroom + _bits(below) - 1 - div_scale(node)[1]


def _div(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(a, b)
    top, below = np.where(b < 0, -a, a), np.maximum(np.abs(b), 1)
    headroom, shift = div_shifts(node, top, below)
    inverse = one_over_one_plus_x((below << (32 - _bits(below))) - 2**31)
    scaled = doubling_high_mul(doubling_high_mul(top << headroom, inverse), np.int64(div_scale(node)[0]))
    ratio = np.where(shift > 31, 0, fixedpoint.rounding_shift_right(scaled, np.minimum(shift, 31)))
    return np.where(b == 0, np.sign(a) * 256, ratio)


def squared_difference_scales(node: Node) -> tuple[Scale, Scale, Scale]:
    a, b, y = node.input(0).scale, node.input(1).scale, node.output.scale
    twice_max = 2.0 * max(a, b)
    left = LEFT_SHIFT[node.output.dtype]
    scale = fixedpoint.quantize_multiplier(twice_max * twice_max / ((1 << 2 * left) * y))
    return fixedpoint.quantize_multiplier(a / twice_max), fixedpoint.quantize_multiplier(b / twice_max), scale


def _squared_difference(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a_scale, b_scale, scale = squared_difference_scales(node)
    left = LEFT_SHIFT[node.output.dtype]
    d = requantize(a << left, *a_scale) - requantize(b << left, *b_scale)
    return requantize(d * d, *scale)


def prelu_scales(node: Node) -> tuple[Scale, Scale]:
    x, slope, y = node.input(0).scale, node.input(1).scale, node.output.scale
    return fixedpoint.quantize_multiplier(x / y), fixedpoint.quantize_multiplier(x * slope / y)


def _prelu(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    scale, slope_scale = prelu_scales(node)
    return np.where(a >= 0, requantize(a, *scale), requantize(a * b, *slope_scale))


_QUANTISED: dict[str, Callable[[Node, np.ndarray, np.ndarray], np.ndarray]] = {
    "div": _div,
    "squared_difference": _squared_difference,
    "prelu": _prelu,
}


def encode(node: Node, kernel: Kernel) -> Encoded:
    found = broadcast.layout(node)
    assert found is not None, f"{node.source}: this broadcast of {node.op} must be lowered first"
    return broadcast.encode(node, _words(node), [node.input(0), node.input(1)], found)


def _words(node: Node) -> list[int]:
    dtype = node.input(0).dtype
    if dtype in QUANTISED:
        return _quantised_words(node)
    if dtype != "float32":
        return integers.words(node)
    if node.op == "pow":
        return []
    limits = fixedpoint.float_range(integers.activation(node))
    return [integers.KINDS[node.op], *(f32_word(x) for x in limits)]


def _quantised_words(node: Node) -> list[int]:
    a, b, y = (v.zero_point for v in (node.input(0), node.input(1), node.output))
    if node.op == "div":
        return [a, b, *div_scale(node), y, *_range(node)]
    scales = prelu_scales(node) if node.op == "prelu" else squared_difference_scales(node)
    zeros = [a, b, y] if node.output.dtype == "int8" else []
    return [*zeros, *(word for scale in scales for word in scale)]


in_place = broadcast.in_place
rows_read = same_row
