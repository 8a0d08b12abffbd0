# SPDX-License-Identifier: Apache-2.0
"""The largest or smallest items along an axis, or their indices.

arg_max, arg_min             attrs axis, keep_dims, index_dtype (int32 or int64), last (of equals the last wins)
top_k_values, top_k_indices  attrs axis, k, largest, index_dtype; best first, of equals the first before the others

A NaN is worse than every number, as in TFLite Micro.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import DTYPES, Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, same_row
from edgesdk.ops.rowwise import rows_of

NAMES = ("arg_max", "arg_min", "top_k_values", "top_k_indices")
INDEX_DTYPES = ("int32", "int64")


def kernel_op(node: Node) -> str:
    return "top_k"


def types(node: Node) -> str:
    return "any"


def count(node: Node) -> int:
    return int(node.attrs.get("k", 1))


def largest(node: Node) -> bool:
    return bool(node.attrs.get("largest", node.op == "arg_max"))


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, axis, k = node.input(0), node.attrs["axis"], count(node)
    if not (0 <= axis < len(x.shape) and 1 <= k <= x.shape[axis]):
        raise ValueError(f"expected an axis of {x.shape} with at least {k} items, found axis {axis}")
    if node.op == "top_k_values":
        return [((*x.shape[:axis], k, *x.shape[axis + 1 :]), x.dtype)]
    if node.attrs["index_dtype"] not in INDEX_DTYPES:
        raise ValueError(f"expected int32 or int64 indices, found {node.attrs['dtype']}")
    kept = (k,) if node.op == "top_k_indices" or node.attrs["keep_dims"] else ()
    return [((*x.shape[:axis], *kept, *x.shape[axis + 1 :]), node.attrs["index_dtype"])]


def order(node: Node, x: np.ndarray) -> np.ndarray:
    """Indices along the axis, the best first."""
    axis = node.attrs["axis"]
    n = x.shape[axis]
    moved = np.moveaxis(x, axis, -1)
    tie = -np.arange(n) if node.attrs.get("last", False) else np.arange(n)
    # ~x orders integers the other way round and cannot overflow.
    key = moved if not largest(node) else -moved if x.dtype == np.float32 else ~moved
    keys = np.broadcast_arrays(tie, key, np.isnan(moved) if x.dtype == np.float32 else np.zeros((), bool))
    return np.moveaxis(np.lexsort(keys, axis=-1), -1, axis)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, axis = arrays[0], node.attrs["axis"]
    best = np.take(order(node, x), np.arange(count(node)), axis)
    if node.op == "top_k_values":
        return [np.take_along_axis(x, best, axis)]
    shape, dtype = infer(node)[0]
    return [best.reshape(shape).astype(dtype)]


def column_rows(shape: tuple[int, ...], axis: int) -> tuple[int, int, int, int]:
    """(rows, groups, n, inner): a row is `groups` times [n, inner], an image's rows are kept where that can be."""
    outer, n = int(np.prod(shape[:axis], dtype=np.int64)), shape[axis]
    inner = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    batch, image_rows, _ = rows_of(shape)
    rows = batch * image_rows if len(shape) == 4 and axis >= 2 else outer
    return rows, outer // rows, n, inner


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y, axis = node.input(0), node.output, node.attrs["axis"]
    rows, groups, n, inner = column_rows(x.shape, axis)
    index_type = -1 if node.op == "top_k_values" else DTYPES.index(y.dtype)
    words: list[int | np.ndarray | None] = [groups, n, inner, count(node), DTYPES.index(x.dtype)]
    words += [1 if largest(node) else -1, int(node.attrs.get("last", False)), index_type]
    return Encoded(words, RowView(y, rows, y.n_bytes // rows), [RowView(x, rows, x.n_bytes // rows)], rows)


rows_read = same_row
