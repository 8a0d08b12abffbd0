# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions of one input.

attrs: clip min, max; leaky_relu alpha. Floats have a kernel; int8 becomes a table (passes/lower_unary.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, same_row, unary_int8
from edgesdk.ops.rowwise import row_view, rows_of

NAMES = ("relu", "relu6", "relu_n1_to_1", "clip", "leaky_relu", "hard_swish", "logistic", "tanh")
RANGES = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}
CLIP, LEAKY_RELU, HARD_SWISH, LOGISTIC, TANH = range(5)  # kinds of runtime_c/kernels/unary/unary.h
FIXED_OUTPUT = {"logistic": (1 / 256, -128), "tanh": (1 / 128, 0)}


def kernel_op(node: Node) -> str:
    return "unary"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if x.dtype not in ("int8", "float32"):
        raise ValueError(f"expected int8 or float32, found {x.dtype}")
    if x.dtype == "int8" and node.op in FIXED_OUTPUT:
        _require_output_quant(node, *FIXED_OUTPUT[node.op])
    return [(x.shape, x.dtype)]


def _require_output_quant(node: Node, scale: float, zero_point: int) -> None:
    y = node.output
    if (y.scale, y.zero_point) != (scale, zero_point):
        raise Unsupported(
            f"{node.source}: the output of int8 {node.op} has scale {y.scale:g} and zero point {y.zero_point}; "
            f"expected {scale:g} and {zero_point}, as the TFLite specification fixes them"
        )


def limits(node: Node) -> tuple[float, float]:
    """[min, max] of the relu family and clip."""
    return RANGES[node.op] if node.op in RANGES else (float(node.attrs["min"]), float(node.attrs["max"]))


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if x.dtype == np.int8:
        return [_int8_reference(node, x)]
    with np.errstate(over="ignore", invalid="ignore"):
        function = _FLOAT.get(node.op)
        y = np.clip(x, *limits(node)) if function is None else function(x.astype(np.float64), node)
    return [y.astype(np.float32)]


_FLOAT: dict[str, Callable[[np.ndarray, Node], np.ndarray]] = {
    "leaky_relu": lambda x, node: np.where(x > 0, x, x * np.float32(node.attrs["alpha"])),
    "hard_swish": lambda x, node: x * np.clip(x + 3, 0, 6) / 6,
    "logistic": lambda x, node: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, node: np.tanh(x),
}


def _int8_reference(node: Node, x: np.ndarray) -> np.ndarray:
    if node.op == "leaky_relu":
        return unary_int8.leaky_relu(x, node.input(0), node.output, float(node.attrs["alpha"]))
    if node.op == "hard_swish":
        return unary_int8.hard_swish(x, node.input(0), node.output)
    if node.op == "logistic":
        return unary_int8.logistic(x, node.input(0))
    if node.op == "tanh":
        return unary_int8.tanh(x, node.input(0))
    return unary_int8.clip(x, node.input(0), node.output, *limits(node))


def types(node: Node) -> str:
    return "f32" if node.input(0).dtype == "float32" else "s8"


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    kind = {"leaky_relu": LEAKY_RELU, "hard_swish": HARD_SWISH, "logistic": LOGISTIC, "tanh": TANH}.get(node.op, CLIP)
    low, high = (0.0, 0.0) if kind != CLIP else limits(node)
    if kind == LEAKY_RELU:
        low = float(node.attrs["alpha"])
    return Encoded([items, kind, f32_word(low), f32_word(high)], row_view(y), [row_view(x)], rows, batch)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)


rows_read = same_row
