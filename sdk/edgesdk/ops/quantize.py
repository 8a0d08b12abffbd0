# SPDX-License-Identifier: Apache-2.0
"""float32, int8 or int16 to int8 or int16 with the output's scale and zero point.

From int8 to int8 it is a table of 256 bytes: passes/lower_requantize.py makes it one.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, fixedpoint, same_row
from edgesdk.ops.rowwise import row_view, rows_of


def types(node: Node) -> str:
    names = {"int8": "s8", "int16": "s16", "float32": "f32"}
    x, y = node.input(0).dtype, node.output.dtype
    return names.get(x, x) + names.get(y, y)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    """The output's type is the node's own choice: int8, or int16 where that stands there."""
    if node.input(0).dtype not in ("float32", "int8", "int16"):
        raise ValueError(f"expected a float32, int8 or int16 input, found {node.input(0).dtype}")
    return [(node.input(0).shape, "int16" if node.output.dtype == "int16" else "int8")]


def same_grid(x: Value, y: Value) -> bool:
    """Whether TFLite Micro's pooling takes the two quantisations for the same."""
    if x.quant is None:  # plain integers
        return y.quant is None
    return x.zero_point == y.zero_point and bool(abs(np.float32(x.scale) - np.float32(y.scale)) <= 1e-6)


def requantize(q: np.ndarray, x: Value, y: Value) -> np.ndarray:
    """Integer items of x's quantisation in y's."""
    info = np.iinfo(y.dtype)
    multiplier, shift = fixedpoint.quantize_multiplier(x.scale / y.scale)
    scaled = fixedpoint.requantize(q.astype(np.int64) - x.zero_point, multiplier, shift)
    return np.clip(scaled + y.zero_point, info.min, info.max).astype(y.dtype)


def regrid(q: np.ndarray, x: Value, y: Value) -> np.ndarray:
    """The result of an op that keeps x's quantisation, in y's where that is another one."""
    return q if same_grid(x, y) else requantize(q, x, y)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, y = node.input(0), node.output
    if x.dtype != "float32":
        return [requantize(arrays[0], x, y)]
    info = np.iinfo(y.dtype)
    limit = 4.0 * (info.max + 1)  # beyond any item, and exact with a half
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scaled = arrays[0] / np.float32(y.scale)
    # NaN goes to the zero point. Adding 0.5 and truncating would round 0.49999997 up.
    scaled = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=limit, neginf=-limit), -limit, limit)
    whole = np.trunc(scaled)
    rest = scaled - whole
    rounded = whole.astype(np.int64) + (rest >= 0.5) - (rest <= -0.5)
    return [np.clip(rounded + y.zero_point, info.min, info.max).astype(y.dtype)]


def encode_affine(node: Node, quantized: Value) -> Encoded:
    """quantize and dequantize: the same words, of the side that is quantised."""
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    params: list[int | np.ndarray | None] = [items, f32_word(quantized.scale), quantized.zero_point]
    return Encoded(params, row_view(y), [row_view(x)], rows, batch)


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    if x.dtype == "float32":
        return encode_affine(node, y)
    batch, rows, items = rows_of(y.shape)
    scale = fixedpoint.quantize_multiplier(x.scale / y.scale)
    return Encoded([items, x.zero_point, *scale, y.zero_point], row_view(y), [row_view(x)], rows, batch)


rows_read = same_row
