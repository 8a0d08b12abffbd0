# SPDX-License-Identifier: Apache-2.0
"""space_to_depth: blocks of pixels become channels; depth_to_space: the way back.

x [N,H,W,C]; attrs: block. Channel (by * block + bx) * C + c of the deep form is pixel (by, bx) of a block.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops.copy import axis, copy_node, strides

NAMES = ("space_to_depth", "depth_to_space")
STAGE = "source"
ORDER = (0, 1, 3, 2, 4, 5)  # of the block axes, the same both ways


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, b = node.input(0), node.attrs["block"]
    to_depth = node.op == "space_to_depth"
    divisors = (1, b, b, 1) if to_depth else (1, 1, 1, b * b)
    if len(x.shape) != 4 or b < 1 or any(d % n for d, n in zip(x.shape, divisors, strict=True)):
        raise ValueError(f"expected x [N,H,W,C] that divides into blocks of {b}, found {x.shape}")
    n, h, w, c = x.shape
    return [((n, h // b, w // b, c * b * b) if to_depth else (n, h * b, w * b, c // (b * b)), x.dtype)]


def _blocks(node: Node) -> tuple[int, ...]:
    """The input with its blocks as axes of their own: [N,H,b,W,b,C] or [N,H,W,b,b,C]."""
    (n, h, w, c), b = node.input(0).shape, node.attrs["block"]
    return (n, h // b, b, w // b, b, c) if node.op == "space_to_depth" else (n, h, w, b, b, c // (b * b))


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    blocks = arrays[0].reshape(_blocks(node)).transpose(ORDER)
    return [np.ascontiguousarray(blocks).reshape(infer(node)[0][0])]


def lower(node: Node) -> Node:
    shape = _blocks(node)
    steps = strides(shape)
    return copy_node(node, node.input(0), [axis(shape[i], steps[i]) for i in ORDER])
