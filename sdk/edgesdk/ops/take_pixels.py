# SPDX-License-Identifier: Apache-2.0
"""Pixels by row and column: y[n, i, j] = x[n, rows[i], columns[j]]. x [N,H,W,C]; attrs: rows, columns (tuples).

What resizing to the nearest pixel by any rule and borders that repeat the image become (passes/lower_borders.py).
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d

MAX_EXTENT = 32767  # ERT_MAX_EXTENT


def kernel_op(node: Node) -> str:
    return "resize"


def types(node: Node) -> str:
    """Bytes are moved, whatever they mean."""
    return "b1"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, rows, columns = node.input(0), node.attrs["rows"], node.attrs["columns"]
    if len(x.shape) != 4:
        raise ValueError(f"expected x [N,H,W,C], found {x.shape}")
    inside = all(0 <= i < n for at, n in zip((rows, columns), x.shape[1:3], strict=True) for i in at)
    if not rows or not columns or not inside:
        raise ValueError(f"expected rows and columns inside {x.shape[1]} x {x.shape[2]}")
    return [((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [arrays[0][:, list(node.attrs["rows"])][:, :, list(node.attrs["columns"])]]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    _, h, w, c = x.shape
    if max(*x.shape[1:3], *y.shape[1:3]) > MAX_EXTENT:
        raise Unsupported(
            f"{node.source}: an axis of {max(*x.shape[1:3], *y.shape[1:3])} positions; expected at most {MAX_EXTENT}"
        )
    at = [np.array(node.attrs[k], np.int32) for k in ("rows", "columns")]
    params: list[int | np.ndarray | None] = [h, w, y.shape[2], c * x.itemsize, *at]
    return Encoded(params, conv2d.image_view(y), [conv2d.image_view(x)], rows=y.shape[1], batch=y.shape[0])


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    row = int(node.attrs["rows"][y])
    return range(row, row + 1)
