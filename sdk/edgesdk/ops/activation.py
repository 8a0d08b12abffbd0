# SPDX-License-Identifier: Apache-2.0
"""Smooth activations and their relatives.

attrs: gelu approximate (bool: the tanh form); elu alpha; selu alpha, gamma; hard_sigmoid alpha, beta. Floats have a
kernel; int8 becomes a table (passes/lower_unary.py): the function of the real number in float32, divided by the
output's scale and rounded halves away from zero, as TFLite's tables are made; int16 straight lines between samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, pool, same_row, unary_int16
from edgesdk.ops.rowwise import row_view, rows_of

Function = Callable[[np.ndarray, Node], np.ndarray]
GELU, GELU_TANH, SILU, ERF, SOFTPLUS, MISH, ELU, HARD_SIGMOID = range(8)  # runtime_c/kernels/activation/activation.h
KINDS = {"silu": SILU, "erf": ERF, "softplus": SOFTPLUS, "mish": MISH, "elu": ELU, "selu": ELU} | {
    "hard_sigmoid": HARD_SIGMOID
}
NAMES = ("gelu", *KINDS)

types = pool.types


def kernel_op(node: Node) -> str:
    return "activation"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if x.dtype not in ("int8", "int16", "float32"):
        raise ValueError(f"expected int8, int16 or float32, found {x.dtype}")
    return [(x.shape, x.dtype)]


def factors(node: Node) -> tuple[float, float]:
    """The kernel's a and b, as the float32 that it gets."""
    named = {"elu": ("alpha",), "selu": ("alpha", "gamma"), "hard_sigmoid": ("alpha", "beta")}.get(node.op, ())
    a, b = (*(float(np.float32(node.attrs[name])) for name in named), 1.0, 1.0)[:2]
    return a, b


def _each(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def _gelu(x: np.ndarray, node: Node) -> np.ndarray:
    if node.attrs.get("approximate", False):
        # x / (1 + e^-2v) is x (1 + tanh v) / 2; far below 0 nothing of it is left, nor can x^3 overflow.
        v = math.sqrt(2 / math.pi) * (x + 0.044715 * x * np.square(np.clip(x, -1e6, 1e6)))
        return np.where(x < -1e6, 0.0, x) / (1 + np.exp(-2 * v))
    return x * 0.5 * _each(math.erfc, -x / math.sqrt(2))


def _softplus(x: np.ndarray, node: Node) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _mish(x: np.ndarray, node: Node) -> np.ndarray:
    return x * np.tanh(_softplus(x, node))


def _elu(x: np.ndarray, node: Node) -> np.ndarray:
    a, b = factors(node)
    return b * np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))


def _hard_sigmoid(x: np.ndarray, node: Node) -> np.ndarray:
    a, b = factors(node)
    return np.clip(a * x + b, 0, 1)


_FLOAT: dict[str, Function] = {
    "gelu": _gelu,
    "silu": lambda x, node: x / (1 + np.exp(-x)),
    "erf": lambda x, node: _each(math.erf, x),
    "softplus": _softplus,
    "mish": _mish,
    "elu": _elu,
    "selu": _elu,
    "hard_sigmoid": _hard_sigmoid,
}


def function(node: Node, x: np.ndarray) -> np.ndarray:
    """The op on float32 numbers, computed in float64 and rounded once."""
    with np.errstate(all="ignore"):
        return _FLOAT[node.op](x.astype(np.float64), node).astype(np.float32)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if x.dtype == np.int16:
        return [unary_int16.lookup(table_16(node), x)]
    return [function(node, x) if x.dtype == np.float32 else _int8(node, x)]


def table_16(node: Node) -> np.ndarray:
    source, y = (np.float32(v.scale) for v in (node.input(0), node.output))
    return unary_int16.lookup_table(lambda real: function(node, real), source, 0, y)


def _int8(node: Node, q: np.ndarray) -> np.ndarray:
    x, y = node.input(0), node.output
    real = np.float32(x.scale) * (q.astype(np.int64) - x.zero_point).astype(np.float32)
    with np.errstate(over="ignore"):
        steps = function(node, real) * (np.float32(1) / np.float32(y.scale))
    bounded = np.clip(steps.astype(np.float64), -512, 512)
    return np.clip(np.trunc(bounded + np.copysign(0.5, bounded)) + y.zero_point, -128, 127).astype(np.int8)


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    kind = KINDS[node.op] if node.op != "gelu" else GELU_TANH if node.attrs.get("approximate", False) else GELU
    words: list[int | np.ndarray | None] = [items, kind, *(f32_word(a) for a in factors(node))]
    return Encoded(words, row_view(y), [row_view(x)], rows, batch)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)


rows_read = same_row
