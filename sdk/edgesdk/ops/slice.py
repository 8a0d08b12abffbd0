# SPDX-License-Identifier: Apache-2.0
"""Part of a value. attrs: begin, size, stride (tuples, one entry per axis; stride > 0)."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops.copy import axis, copy_node, strides

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, begin, size, stride = node.input(0), *(node.attrs[k] for k in ("begin", "size", "stride"))
    inside = len(begin) == len(size) == len(stride) == len(x.shape) and all(
        s > 0 and n > 0 and b >= 0 and b + (n - 1) * s < dim
        for b, n, s, dim in zip(begin, size, stride, x.shape, strict=True)
    )
    if not inside:
        raise ValueError(f"expected a part of {x.shape}, found begin {begin}, size {size}, stride {stride}")
    return [(tuple(size), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    begin, size, stride = (node.attrs[k] for k in ("begin", "size", "stride"))
    part = tuple(slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(begin, size, stride, strict=True))
    return [np.ascontiguousarray(arrays[0][part])]


def lower(node: Node) -> Node:
    x = node.input(0)
    steps = strides(x.shape)
    start = sum(b * s for b, s in zip(node.attrs["begin"], steps, strict=True))
    parts = zip(node.attrs["size"], node.attrs["stride"], steps, strict=True)
    return copy_node(node, x, [axis(n, every * s) for n, every, s in parts], start)
