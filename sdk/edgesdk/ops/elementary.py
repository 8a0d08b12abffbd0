# SPDX-License-Identifier: Apache-2.0
"""Elementary functions of one input, and a power with a constant exponent.

attrs: thresholded_relu and celu alpha; shrink lambd, bias; power exponent. Floats have a kernel; int8 becomes a table
(passes/lower_unary.py): abs and rsqrt with the bytes of TFLite Micro, the others as the exact function of the
real number, rounded to the output's nearest step, halves away from zero, NaN to the zero point. int16 has abs alone: a
clip whose slope below zero is negative.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, fixedpoint, same_row, unary
from edgesdk.ops.fixed_root import inverse_root
from edgesdk.ops.rowwise import row_view, rows_of

Function = Callable[[np.ndarray, Node], np.ndarray]
FIRST_KIND = 32  # of runtime_c/kernels/unary/elementary.h, which has the functions in the order of _FUNCTIONS


def _reals(function: Callable[[np.ndarray], np.ndarray]) -> Function:
    return lambda x, node: function(x)


def _celu(x: np.ndarray, node: Node) -> np.ndarray:
    alpha = float(np.float32(node.attrs["alpha"]))
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _shrink(x: np.ndarray, node: Node) -> np.ndarray:
    limit, bias = (float(np.float32(node.attrs[k])) for k in ("lambd", "bias"))
    inside = np.where(np.isnan(x), x, 0.0)
    return np.where(x < -limit, x + bias, np.where(x > limit, x - bias, inside))


def _thresholded(x: np.ndarray, node: Node) -> np.ndarray:
    return np.where((x > float(np.float32(node.attrs["alpha"]))) | np.isnan(x), x, 0.0)


def _softsign(x: np.ndarray) -> np.ndarray:
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


_FUNCTIONS: dict[str, Function] = {
    "abs": _reals(np.abs),
    "neg": _reals(np.negative),
    "square": _reals(np.square),
    "sqrt": _reals(np.sqrt),
    "rsqrt": _reals(lambda x: 1 / np.sqrt(x)),
    "reciprocal": _reals(lambda x: 1 / x),
    "exp": _reals(np.exp),
    "log": _reals(np.log),
    "sin": _reals(np.sin),
    "cos": _reals(np.cos),
    "tan": _reals(np.tan),
    "asin": _reals(np.arcsin),
    "acos": _reals(np.arccos),
    "atan": _reals(np.arctan),
    "sinh": _reals(np.sinh),
    "cosh": _reals(np.cosh),
    "asinh": _reals(np.arcsinh),
    "acosh": _reals(np.arccosh),
    "atanh": _reals(np.arctanh),
    "floor": _reals(np.floor),
    "ceil": _reals(np.ceil),
    "round": _reals(np.rint),
    "sign": _reals(np.sign),
    "softsign": _reals(_softsign),
    "thresholded_relu": _thresholded,
    "shrink": _shrink,
    "celu": _celu,
    "log1p": _reals(np.log1p),
    "expm1": _reals(np.expm1),
}
NAMES = (*_FUNCTIONS, "power")


def kernel_op(node: Node) -> str:
    if node.input(0).dtype == "int16":
        return "unary"
    return "power" if node.op == "power" else "elementary"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if x.dtype not in ("int8", "float32") and (x.dtype, node.op) != ("int16", "abs"):
        raise ValueError(f"expected int8 or float32, found {x.dtype}")
    return [(x.shape, x.dtype)]


def function(node: Node, x: np.ndarray) -> np.ndarray:
    """The op on real numbers, in float64."""
    with np.errstate(all="ignore"):
        if node.op == "power":
            # An array: for a scalar of 0.5 numpy takes sqrt, whose special values are others.
            return np.asarray(np.power(x, np.full(x.shape, np.float32(node.attrs["exponent"]), np.float64)))
        return _FUNCTIONS[node.op](x, node)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if x.dtype == np.float32:
        with np.errstate(over="ignore"):
            return [function(node, x.astype(np.float64)).astype(np.float32)]
    return [_abs(node, x) if node.op == "abs" else _INT8.get(node.op, _rounded)(node, x)]


def _rounded(node: Node, q: np.ndarray) -> np.ndarray:
    """int8 by way of the real numbers."""
    x, y = node.input(0), node.output
    steps = function(node, (q.astype(np.float64) - x.zero_point) * x.scale) / y.scale
    bounded = np.clip(np.nan_to_num(steps, nan=0.0, posinf=512.0, neginf=-512.0), -512, 512)
    return np.clip(np.trunc(bounded + np.copysign(0.5, bounded)) + y.zero_point, -128, 127).astype(np.int8)


def _to_int8(steps: np.ndarray, y: Value) -> np.ndarray:
    return np.clip(steps + y.zero_point, -128, 127).astype(np.int8)


def _abs_scale(node: Node) -> tuple[int, int]:
    """Nothing is rounded where the scales agree."""
    return fixedpoint.quantize_multiplier(node.input(0).scale / node.output.scale)


def _abs(node: Node, q: np.ndarray) -> np.ndarray:
    magnitude, info = np.abs(q.astype(np.int64) - node.input(0).zero_point), np.iinfo(q.dtype)
    steps = fixedpoint.requantize(magnitude, *_abs_scale(node)) + node.output.zero_point
    return np.clip(steps, info.min, info.max).astype(q.dtype)


def _rsqrt_int8(node: Node, q: np.ndarray) -> np.ndarray:
    """127 at 0. Below 0, where TFLite Micro stops the run, the zero point."""
    x, y = node.input(0), node.output
    real = 1.0 / float(np.sqrt(np.float32(x.scale)) * np.float32(y.scale))
    multiplier, shift = fixedpoint.quantize_multiplier(real)
    wide = q.astype(np.int64) - x.zero_point
    root, root_shift = inverse_root(np.maximum(wide, 1))
    data = fixedpoint.requantize(np.ones_like(wide), root, root_shift + 20)
    steps = fixedpoint.requantize(data, multiplier, shift - 20)
    return np.where(wide == 0, np.int8(127), _to_int8(np.where(wide < 0, 0, steps), y))


_INT8: dict[str, Callable[[Node, np.ndarray], np.ndarray]] = {"rsqrt": _rsqrt_int8}
_WORDS = {"thresholded_relu": ("alpha",), "shrink": ("lambd", "bias"), "celu": ("alpha",)}


def types(node: Node) -> str:
    return {"float32": "f32", "int16": "s16"}.get(node.input(0).dtype, "s8")


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    words: list[int | np.ndarray | None]
    if x.dtype == "int16":
        multiplier, shift = _abs_scale(node)
        words = [unary.CLIP, multiplier, shift, -multiplier, shift, 1, -32768, 32767, None]
    elif node.op == "power":
        words = [f32_word(node.attrs["exponent"])]
    else:
        given = [f32_word(node.attrs[k]) for k in _WORDS.get(node.op, ())]
        words = [FIRST_KIND + list(_FUNCTIONS).index(node.op), *given, *[0] * (2 - len(given))]
    return Encoded([items, *words], row_view(y), [row_view(x)], rows, batch)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)


rows_read = same_row
