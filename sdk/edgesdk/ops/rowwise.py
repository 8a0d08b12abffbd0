# SPDX-License-Identifier: Apache-2.0
"""The rows of a value, as ops that work item by item walk it."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops import Encoded, RowView


def rows_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(batch, rows, items per row): an image has H rows per batch item, other shapes one row per last axis."""
    if len(shape) == 4:
        return shape[0], shape[1], shape[2] * shape[3]
    return 1, int(np.prod(shape[:-1], dtype=np.int64)), shape[-1] if shape else 1


def row_view(value: Value) -> RowView:
    _, rows, items = rows_of(value.shape)
    return RowView(value, rows, items * value.itemsize)


def last_axis(node: Node, params: list[int | np.ndarray | None]) -> Encoded:
    """A step that treats each run along the last axis by itself; the words w, n (runs in a row, items) come first."""
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    n = y.shape[-1]
    return Encoded([items // n, n, *params], row_view(y), [row_view(x)], rows, batch)
