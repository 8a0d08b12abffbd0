# SPDX-License-Identifier: Apache-2.0
"""Floats on the grid of 8 bits that spans them, as LiteRT quantises activations while it runs.

attrs: symmetric (bool), per_row (one grid for each row of the last axis; else one for each item of the batch).
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, same_row
from edgesdk.ops.rowwise import row_view, rows_of


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if x.dtype != "float32" or not x.shape:
        raise ValueError(f"expected float32 of at least one axis, found {x.dtype} {x.shape}")
    return [(x.shape, x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    shape = node.input(0).shape
    groups = arrays[0].reshape((-1, shape[-1]) if node.attrs["per_row"] else (shape[0], -1))
    groups = np.where(np.isnan(groups), np.float32(0), groups)
    symmetric = bool(node.attrs["symmetric"])
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        scale, inverse, offset = (g[:, None] for g in _grids(groups, symmetric))
        q = np.clip(_round_away(offset + groups * inverse), -127 if symmetric else -128, 127)
        return [(scale * (q - offset)).astype(np.float32).reshape(shape)]


def _grids(x: np.ndarray, symmetric: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """scale, its inverse and offset of each row, in float32 as the kernel computes them."""
    low, high = x.min(1, initial=0).astype(np.float32), x.max(1, initial=0).astype(np.float32)
    if symmetric:
        largest = np.maximum(-low, high)
        scale, inverse, offset = largest / np.float32(127), np.float32(127) / largest, np.zeros_like(largest)
    else:
        scale = (high - low) / np.float32(255)
        inverse = np.float32(1) / scale
        ends = np.where(-low < high, np.float32(-128) - low / scale, np.float32(127) - high / scale)
        offset = np.clip(_round_away(ends), -128, 127)
    empty = ~(scale > 0)
    return np.where(empty, 1, scale).astype(np.float32), np.where(empty, 0, inverse), np.where(empty, 0, offset)


def _round_away(x: np.ndarray) -> np.ndarray:
    t = np.clip(np.nan_to_num(x, nan=0.0, posinf=512.0, neginf=-512.0), -512, 512)
    whole = np.trunc(t)
    return (whole + (t - whole >= 0.5) - (t - whole <= -0.5)).astype(np.float32)


def types(node: Node) -> str:
    return "f32"


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y, symmetric = node.input(0), node.output, int(node.attrs["symmetric"])
    if node.attrs["per_row"]:
        n = x.shape[-1]
        rows = x.elements // n
        views = [RowView(v, rows, n * v.itemsize) for v in (y, x)]
        return Encoded([n, 1, symmetric], views[0], [views[1]], rows)
    batch, rows, items = rows_of(x.shape)
    if len(x.shape) != 4:  # a first axis of its own
        batch, rows, items = x.shape[0], 1, x.elements // x.shape[0]
        views = [RowView(v, 1, items * v.itemsize) for v in (y, x)]
        return Encoded([items, 1, symmetric], views[0], [views[1]], 1, batch)
    return Encoded([items, rows, symmetric], row_view(y), [row_view(x)], rows, batch, keeps_scratch=True)


def in_place(node: Node) -> tuple[int, ...]:
    """The grid is known before the first item is written."""
    return (0,)


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    return same_row(node, encoded, i, y) if node.attrs["per_row"] else range(encoded.inputs[i].rows)
