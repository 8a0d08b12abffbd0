# SPDX-License-Identifier: Apache-2.0
"""float32 or int8 to int8 with the output's scale and zero point.

From int8 it is a table of 256 bytes: passes/lower_requantize.py makes it one.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, fixedpoint, same_row
from edgesdk.ops.rowwise import row_view, rows_of


def types(node: Node) -> str:
    names = {"int8": "s8", "float32": "f32"}
    x, y = node.input(0).dtype, node.output.dtype
    return names.get(x, x) + names.get(y, y)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    if node.input(0).dtype not in ("float32", "int8"):
        raise ValueError(f"expected a float32 or int8 input, found {node.input(0).dtype}")
    return [(node.input(0).shape, "int8")]


def same_grid(x: Value, y: Value) -> bool:
    """Whether TFLite Micro's pooling takes the two quantisations for the same."""
    return x.zero_point == y.zero_point and bool(abs(np.float32(x.scale) - np.float32(y.scale)) <= 1e-6)


def requantize(q: np.ndarray, x: Value, y: Value) -> np.ndarray:
    """int8 items of x's quantisation in y's."""
    multiplier, shift = fixedpoint.quantize_multiplier(x.scale / y.scale)
    scaled = fixedpoint.requantize(q.astype(np.int64) - x.zero_point, multiplier, shift)
    return np.clip(scaled + y.zero_point, -128, 127).astype(np.int8)


def regrid(q: np.ndarray, x: Value, y: Value) -> np.ndarray:
    """The result of an op that keeps x's quantisation, in y's where that is another one."""
    return q if same_grid(x, y) else requantize(q, x, y)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, y = node.input(0), node.output
    if x.dtype == "int8":
        return [requantize(arrays[0], x, y)]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scaled = arrays[0] / np.float32(y.scale)
    # NaN goes to the zero point. Adding 0.5 and truncating would round 0.49999997 up.
    scaled = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=512.0, neginf=-512.0), -512, 512)
    whole = np.trunc(scaled)
    rest = scaled - whole
    rounded = whole.astype(np.int64) + (rest >= 0.5) - (rest <= -0.5)
    return [np.clip(rounded + y.zero_point, -128, 127).astype(np.int8)]


def encode_affine(node: Node, quantized: Value) -> Encoded:
    """quantize and dequantize: the same words, of the side that is quantised."""
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    params: list[int | np.ndarray | None] = [items, f32_word(quantized.scale), quantized.zero_point]
    return Encoded(params, row_view(y), [row_view(x)], rows, batch)


def encode(node: Node, kernel: Kernel) -> Encoded:
    return encode_affine(node, node.output)


rows_read = same_row
