# SPDX-License-Identifier: Apache-2.0
"""Values one after another along an axis. attrs: axis.

int8 and int16 inputs have the output's quantisation: stored bytes are copied, as TFLite Micro does.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, same_row
from edgesdk.ops.rowwise import rows_of

MAX_INPUTS = 4  # of one step; passes/split_concat.py splits longer ones


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    axis, first = node.attrs["axis"], node.input(0)
    shapes = [node.input(i).shape for i in range(len(node.inputs))]
    alike = {(len(s), s[:axis], s[axis + 1 :], node.input(i).dtype) for i, s in enumerate(shapes)}
    if len(alike) != 1 or not 0 <= axis < len(first.shape):
        raise ValueError(f"expected inputs that differ in axis {axis} only, found {shapes}")
    if first.dtype in ("int8", "int16"):
        _require_one_quant(node)
    total = sum(s[axis] for s in shapes)
    return [((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)]


def _require_one_quant(node: Node) -> None:
    for i in range(len(node.inputs)):
        v = node.input(i)
        if v.quant is None or not v.quant.same_as(node.output.quant):
            raise Unsupported(
                f"{node.source}: input {i} ({v.name}) of concat is quantised differently from the output; "
                "expected one scale and zero point, requantise that input first"
            )


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(arrays, node.attrs["axis"])]


def types(node: Node) -> str:
    """Bytes are moved, whatever they mean."""
    return "b1"


def _outer(node: Node) -> int:
    return int(np.prod(node.output.shape[: node.attrs["axis"]], dtype=np.int64))


def encode(node: Node, kernel: Kernel) -> Encoded:
    """The axis counts rows (nothing outside it), or lies in the rows of an image, or each of its
    repetitions is one row. What has more axes than an image has rows of its second axis: they are not as short."""
    y, outer = node.output, _outer(node)
    batch, image_rows, _ = rows_of(y.shape)
    rows = batch * image_rows
    if outer == 1 and rows > 1:
        return _encode(node, rows, by_rows=True)
    if len(y.shape) > 4:
        rows = int(np.prod(y.shape[:2], dtype=np.int64))
    return _encode(node, rows if outer % rows == 0 else outer, by_rows=False)


def _encode(node: Node, rows: int, by_rows: bool) -> Encoded:
    y, values = node.output, [node.input(i) for i in range(len(node.inputs))]
    row_bytes = y.n_bytes // rows
    if by_rows:
        views = [RowView(v, v.n_bytes // row_bytes, row_bytes) for v in values]
        repeats, parts = 1, [v.rows for v in views]
    else:
        views = [RowView(v, rows, v.n_bytes // rows) for v in values]
        repeats = _outer(node) // rows
        parts = [v.row_bytes // repeats for v in views]
    padding = [0] * (MAX_INPUTS - len(parts))
    return Encoded([int(by_rows), repeats, *parts, *padding], RowView(y, rows, row_bytes), views, rows)


rows_read = same_row
