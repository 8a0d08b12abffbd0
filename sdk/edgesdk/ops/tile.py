# SPDX-License-Identifier: Apache-2.0
"""A value several times along each axis. attrs: repeats (one per axis)."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import axis, copy_node, strides

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
    """The same in two steps: the second half of the axes, then the first."""
    x, repeats = node.input(0), tuple(node.attrs["repeats"])
    half = len(repeats) // 2
    inner = (1,) * half + repeats[half:]
    shape = tuple(n * r for n, r in zip(x.shape, inner, strict=True))
    between = Value(f"{node.output.name}/inner", shape, x.dtype, x.quant)
    outer = repeats[:half] + (1,) * (len(repeats) - half)
    return [
        Node("tile", [x], [between], {"repeats": inner}, node.source),
        Node("tile", [between], node.outputs, {"repeats": outer}, node.source),
    ]
