# SPDX-License-Identifier: Apache-2.0
"""A value several times along each axis. attrs: repeats (one per axis)."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import axis, copy_node, later_half, strides

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, repeats = node.input(0), node.attrs["repeats"]
    if len(repeats) != len(x.shape) or any(r < 1 for r in repeats):
        raise ValueError(f"expected a positive number of repeats for each axis of {x.shape}, found {repeats}")
    return [(tuple(n * r for n, r in zip(x.shape, repeats, strict=True)), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.tile(arrays[0], node.attrs["repeats"])]


def lower(node: Node) -> Node:
    x = node.input(0)
    dims = zip(x.shape, strides(x.shape), node.attrs["repeats"], strict=True)
    return copy_node(node, x, [a for n, s, r in dims for a in (axis(r, 0), axis(n, s))])


def split(node: Node) -> list[Node]:
    """The same in two steps: the last axes, then the first."""
    x, repeats = node.input(0), node.attrs["repeats"]
    first = later_half([r > 1 for r in repeats])
    inner = tuple(r if f else 1 for r, f in zip(repeats, first, strict=True))
    outer = tuple(1 if f else r for r, f in zip(repeats, first, strict=True))
    shape = tuple(n * r for n, r in zip(x.shape, inner, strict=True))
    between = Value(f"{node.output.name}/inner", shape, x.dtype, x.quant)
    return [
        Node("tile", [x], [between], {"repeats": inner}, node.source),
        Node("tile", [between], node.outputs, {"repeats": outer}, node.source),
    ]
