# SPDX-License-Identifier: Apache-2.0
"""A value broadcast to a shape by numpy's rule. attrs: shape."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import axis, copy_node, later_half, strides

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, shape = node.input(0), tuple(node.attrs["shape"])
    if np.broadcast_shapes(x.shape, shape) != shape:
        raise ValueError(f"expected a shape that {x.shape} broadcasts to, found {shape}")
    return [(shape, x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.array(np.broadcast_to(arrays[0], node.attrs["shape"]))]


def lower(node: Node) -> Node:
    x, shape = node.input(0), node.output.shape
    dims = (1,) * (len(shape) - len(x.shape)) + x.shape
    steps = zip(shape, dims, strides(dims), strict=True)
    return copy_node(node, x, [axis(n, s if d > 1 else 0) for n, d, s in steps])


def split(node: Node) -> list[Node]:
    """The same in two steps: the last axes, then the first."""
    x, shape = node.input(0), node.output.shape
    dims = (1,) * (len(shape) - len(x.shape)) + x.shape
    first = later_half([d != n for d, n in zip(dims, shape, strict=True)])
    inner = tuple(n if f else d for d, n, f in zip(dims, shape, first, strict=True))
    between = Value(f"{node.output.name}/inner", inner, x.dtype, x.quant)
    return [
        Node("broadcast_to", [x], [between], {"shape": inner}, node.source),
        Node("broadcast_to", [between], node.outputs, {"shape": shape}, node.source),
    ]
