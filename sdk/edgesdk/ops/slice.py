# SPDX-License-Identifier: Apache-2.0
"""Part of a value. attrs: begin, size, stride (tuples, one entry per axis). A negative stride walks the axis backwards,
so that a reversal is a slice, too."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import axis, copy_node, strides

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
    """The same in two steps: the second half of the axes, then the first."""
    x, attrs = node.input(0), node.attrs
    half = len(x.shape) // 2
    inner = {k: (*rest, *attrs[k][half:]) for k, rest in _whole(x.shape[:half]).items()}
    outer = {k: (*attrs[k][:half], *rest) for k, rest in _whole(inner["size"][half:]).items()}
    between = Value(f"{node.output.name}/inner", inner["size"], x.dtype, x.quant)
    return [
        Node("slice", [x], [between], inner, node.source),
        Node("slice", [between], node.outputs, outer, node.source),
    ]


def _whole(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"begin": (0,) * len(shape), "size": shape, "stride": (1,) * len(shape)}
