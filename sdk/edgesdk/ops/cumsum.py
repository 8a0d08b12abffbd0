# SPDX-License-Identifier: Apache-2.0
"""Running sums along an axis. attrs: axis, exclusive, reverse.

Floats; integers modulo 2^bits; int8 of a scale as TFLite Micro sums it, into the output's scale.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import DTYPES, Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, fixedpoint, same_row
from edgesdk.ops.top_k import column_rows


def types(node: Node) -> str:
    return "any"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, axis = node.input(0), node.attrs["axis"]
    if not 0 <= axis < len(x.shape):
        raise ValueError(f"expected an axis of {x.shape}, found {axis}")
    return [(x.shape, x.dtype)]


def scale(node: Node) -> tuple[int, int]:
    """(multiplier, shift) of a sum of inputs times 2^19; (0, 0) where nothing is scaled."""
    x, y = node.input(0), node.output
    if x.quant is None or x.dtype not in ("int8", "int16"):
        return 0, 0
    if x.dtype == "int16":
        raise Unsupported(f"{node.source}: cumsum of int16 with a scale; expected int8, floats or plain integers")
    multiplier, shift = fixedpoint.quantize_multiplier(2 * x.scale / (2.0**20 * y.scale))
    if shift > 0 or multiplier == 0:
        raise Unsupported(
            f"{node.source}: cumsum from scale {x.scale:g} to {y.scale:g}; expected a ratio between 2**-12 and 2**19"
        )
    return multiplier, shift


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, axis = arrays[0], node.attrs["axis"]
    if x.dtype == np.float32:
        return [_sums(node, x.astype(np.float64), axis, 0).astype(np.float32)]
    multiplier, shift = scale(node)
    if multiplier == 0:
        return [_sums(node, x.astype(np.int64), axis, 0).astype(x.dtype)]
    zero = -node.input(0).zero_point
    total = fixedpoint.wrap32(_sums(node, x.astype(np.int64) + zero, axis, zero) << 19)
    scaled = fixedpoint.requantize(total, multiplier, shift)
    return [np.clip(scaled + node.output.zero_point, -128, 127).astype(np.int8)]


def _sums(node: Node, x: np.ndarray, axis: int, first: int) -> np.ndarray:
    walked = np.flip(x, axis) if node.attrs["reverse"] else x
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.cumsum(walked, axis) + first
    if node.attrs["exclusive"]:
        begin = np.full_like(np.take(sums, [0], axis), first)
        sums = np.concatenate([begin, np.take(sums, np.arange(sums.shape[axis] - 1), axis)], axis)
    return np.flip(sums, axis) if node.attrs["reverse"] else sums


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    rows, groups, n, inner = column_rows(x.shape, node.attrs["axis"])
    words: list[int | np.ndarray | None] = [groups, n, inner, DTYPES.index(x.dtype)]
    words += [int(node.attrs["exclusive"]), int(node.attrs["reverse"]), x.zero_point, *scale(node), y.zero_point]
    return Encoded(words, RowView(y, rows, y.n_bytes // rows), [RowView(x, rows, x.n_bytes // rows)], rows)


def in_place(node: Node) -> tuple[int, ...]:
    """Each item is read just before its sum is written."""
    return (0,)


rows_read = same_row
