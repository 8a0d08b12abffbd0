# SPDX-License-Identifier: Apache-2.0
"""Integers through a table of their own type. x int8: table [256], indexed by x + 128; x int16: table [513],
samples 128 steps apart with straight lines between them."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, same_row, unary_int16
from edgesdk.ops.rowwise import row_view, rows_of

SIZES = {"int8": 256, "int16": 513}


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, table = node.input(0), node.input(1)
    if table.data is None or table.dtype != x.dtype or SIZES.get(x.dtype) != table.elements:
        raise ValueError(
            f"expected int8 x and a constant int8 table [256], or int16 and [513]; found {x.dtype} and "
            f"{table.dtype} {table.shape}"
        )
    return [(x.shape, x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    if arrays[0].dtype == np.int16:
        return [unary_int16.lookup(arrays[1], arrays[0])]
    return [arrays[1][arrays[0].astype(np.int64) + 128]]


def types(node: Node) -> str:
    return {"int8": "s8", "int16": "s16"}[node.input(0).dtype]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    return Encoded([items, node.input(1).data], row_view(y), [row_view(x)], rows, batch)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)


rows_read = same_row
