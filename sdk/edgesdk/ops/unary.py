# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions of one input.

attrs: clip min, max; leaky_relu alpha. Floats and int16 have a kernel; int8, and int16 functions that
the kernel lacks, become tables (passes/lower_unary.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, same_row, unary_int8, unary_int16
from edgesdk.ops.rowwise import row_view, rows_of

NAMES = ("relu", "relu6", "relu_n1_to_1", "clip", "leaky_relu", "hard_swish", "logistic", "tanh")
RANGES = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0)}
CLIP, LEAKY_RELU, HARD_SWISH, LOGISTIC, TANH = range(5)  # kinds of runtime_c/kernels/unary/unary.h
FIXED_OUTPUT = {
    "int8": {"logistic": (1 / 256, -128), "tanh": (1 / 128, 0)},
    "int16": {"logistic": (1 / 32768, 0), "tanh": (1 / 32768, 0)},
}
TABLES_16 = ("hard_swish",)  # of int16: straight lines between 513 samples


def kernel_op(node: Node) -> str:
    return "unary"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if x.dtype not in ("int8", "int16", "float32"):
        raise ValueError(f"expected int8, int16 or float32, found {x.dtype}")
    if node.op in FIXED_OUTPUT.get(x.dtype, {}):
        _require_output_quant(node, *FIXED_OUTPUT[x.dtype][node.op])
    return [(x.shape, x.dtype)]


def _require_output_quant(node: Node, scale: float, zero_point: int) -> None:
    y = node.output
    if (y.scale, y.zero_point) != (scale, zero_point):
        raise Unsupported(
            f"{node.source}: the output of {y.dtype} {node.op} has scale {y.scale:g} and zero point {y.zero_point}; "
            f"expected {scale:g} and {zero_point}, as the TFLite specification fixes them"
        )


def limits(node: Node) -> tuple[float, float]:
    """[min, max] of the relu family and clip."""
    return RANGES[node.op] if node.op in RANGES else (float(node.attrs["min"]), float(node.attrs["max"]))


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if x.dtype == np.int8:
        return [_int8_reference(node, x)]
    if x.dtype == np.int16:
        return [_int16_reference(node, x)]
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


def _int16_reference(node: Node, x: np.ndarray) -> np.ndarray:
    if node.op in TABLES_16:
        return unary_int16.lookup(table_16(node), x)
    if node.op in ("logistic", "tanh"):
        return unary_int16.sigmoid(x, node.input(0), node.op)
    return unary_int16.clip(x, *_int16_clip(node))


def table_16(node: Node) -> np.ndarray:
    """The table of an int16 function that the kernel lacks."""
    source, y = (np.float32(v.scale) for v in (node.input(0), node.output))
    return unary_int16.lookup_table(lambda real: _FLOAT[node.op](real, node), source, 0, y)


def _int16_clip(node: Node) -> tuple[unary_int16.Slopes, int, int]:
    x, y = node.input(0), node.output
    if node.op == "leaky_relu":
        return unary_int16.slopes(x, y, float(node.attrs["alpha"])), -32768, 32767
    return unary_int16.slopes(x, y), *unary_int16.stored_limits(y, *limits(node))


def types(node: Node) -> str:
    return {"float32": "f32", "int16": "s16"}.get(node.input(0).dtype, "s8")


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    if x.dtype == "int16":
        return Encoded([items, *_int16_words(node)], row_view(y), [row_view(x)], rows, batch)
    kind = {"leaky_relu": LEAKY_RELU, "hard_swish": HARD_SWISH, "logistic": LOGISTIC, "tanh": TANH}.get(node.op, CLIP)
    low, high = (0.0, 0.0) if kind != CLIP else limits(node)
    if kind == LEAKY_RELU:
        low = float(node.attrs["alpha"])
    return Encoded([items, kind, f32_word(low), f32_word(high)], row_view(y), [row_view(x)], rows, batch)


def _int16_words(node: Node) -> list[int | np.ndarray | None]:
    if node.op in ("logistic", "tanh"):
        multiplier, shift = unary_int16.sigmoid_scale(node.input(0), node.op)
        kind = LOGISTIC if node.op == "logistic" else TANH
        return [kind, multiplier, shift, 0, 0, 0, 0, 0, unary_int16.sigmoid_table()]
    scales, low, high = _int16_clip(node)
    return [CLIP, *scales, low, high, None]


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)


rows_read = same_row
