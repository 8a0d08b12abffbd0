# SPDX-License-Identifier: Apache-2.0
"""Part of a value. attrs: begin, size, stride (tuples, one entry per axis). A negative stride walks the axis backwards,
so that a reversal is a slice, too."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import axis, copy_node, later_half, strides

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, begin, size, stride = node.input(0), *(node.attrs[k] for k in ("begin", "size", "stride"))
    inside = len(begin) == len(size) == len(stride) == len(x.shape) and all(
        s != 0 and n > 0 and 0 <= b < dim and 0 <= b + (n - 1) * s < dim
        for b, n, s, dim in zip(begin, size, stride, x.shape, strict=True)
    )
    if not inside:
        raise ValueError(f"expected a part of {x.shape}, found begin {begin}, size {size}, stride {stride}")
    return [(tuple(size), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    begin, size, stride = (node.attrs[k] for k in ("begin", "size", "stride"))
    part = np.ix_(*(b + s * np.arange(n) for b, n, s in zip(begin, size, stride, strict=True)))
    return [np.array(arrays[0][part], order="C")]


def lower(node: Node) -> Node:
    x = node.input(0)
    steps = strides(x.shape)
    start = sum(b * s for b, s in zip(node.attrs["begin"], steps, strict=True))
    parts = zip(node.attrs["size"], node.attrs["stride"], steps, strict=True)
    return copy_node(node, x, [axis(n, every * s) for n, every, s in parts], start)


def split(node: Node) -> list[Node]:
    """The same in two steps: the last axes, then the first."""
    x = node.input(0)
    parts = list(zip(*(node.attrs[k] for k in ("begin", "size", "stride")), strict=True))
    first = later_half([p != (0, d, 1) for p, d in zip(parts, x.shape, strict=True)])
    inner = [p if f else (0, d, 1) for p, d, f in zip(parts, x.shape, first, strict=True)]
    outer = [(0, p[1], 1) if f else p for p, f in zip(parts, first, strict=True)]
    between = Value(f"{node.output.name}/inner", tuple(p[1] for p in inner), x.dtype, x.quant)
    return [
        Node("slice", [x], [between], _attrs(inner), node.source),
        Node("slice", [between], node.outputs, _attrs(outer), node.source),
    ]


def _attrs(parts: list[tuple[int, int, int]]) -> dict[str, tuple[int, ...]]:
    begin, size, stride = zip(*parts, strict=True)
    return {"begin": begin, "size": size, "stride": stride}
