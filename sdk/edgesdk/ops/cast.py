# SPDX-License-Identifier: Apache-2.0
"""Items as another dtype. attrs: to. Quantised values are taken as their stored integers.

Floats are rounded towards 0 and saturated, NaN gives 0; integers keep their low bits; a bool is x != 0.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import DTYPES, Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, same_row
from edgesdk.ops.rowwise import row_view, rows_of

CASTS = tuple(d for d in DTYPES if d not in ("float16", "int4"))


def types(node: Node) -> str:
    return "any"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, to = node.input(0), node.attrs["to"]
    if x.dtype not in CASTS or to not in CASTS:
        raise ValueError(f"expected dtypes of {', '.join(CASTS)}, found {x.dtype} to {to}")
    return [(x.shape, to)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, to = arrays[0], np.dtype(node.attrs["to"])
    if x.dtype != np.float32 or to in (np.dtype(bool), np.dtype(np.float32)):
        return [x.astype(to)]
    info = np.iinfo(to)
    # Above 2**53 doubles are whole, so that the largest one below 2**63 is far from it: choose by comparison.
    whole = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0))
    inside = np.where((whole > info.min) & (whole < info.max), whole, 0).astype(np.int64)
    return [np.where(whole >= info.max, info.max, np.where(whole <= info.min, info.min, inside)).astype(to)]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, rows, items = rows_of(y.shape)
    codes = [DTYPES.index(v.dtype) for v in (x, y)]
    return Encoded([items, *codes], row_view(y), [row_view(x)], rows, batch)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,) if node.input(0).itemsize == node.output.itemsize else ()


rows_read = same_row
