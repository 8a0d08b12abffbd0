# SPDX-License-Identifier: Apache-2.0
"""int8 -> int8 through a table. x int8, table int8 [256], indexed by x + 128."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, same_row
from edgesdk.ops.rowwise import row_view, rows_of


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, table = node.input(0), node.input(1)
    if x.dtype != "int8" or table.data is None or (table.shape, table.dtype) != ((256,), "int8"):
        raise ValueError(f"expected int8 x and a constant int8 table [256], found {x.dtype} and {table.shape}")
    return [(x.shape, "int8")]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [arrays[1][arrays[0].astype(np.int64) + 128]]


def types(node: Node) -> str:
    return "s8"


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    return Encoded([items, node.input(1).data], row_view(y), [row_view(x)], rows, batch)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)


rows_read = same_row
