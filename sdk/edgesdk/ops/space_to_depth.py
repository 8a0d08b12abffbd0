# SPDX-License-Identifier: Apache-2.0
"""space_to_depth: blocks of pixels become channels; depth_to_space: the way back.

x [N,H,W,C]; attrs: block; depth_to_space: channels_first (default False). Channel (by * block + bx) * C + c of the
deep form is pixel (by, bx) of a block; with channels_first (ONNX's CRD, torch's pixel_shuffle) it is
c * block^2 + by * block + bx.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops.copy import axis, copy_node, strides

NAMES = ("space_to_depth", "depth_to_space")
STAGE = "source"
ORDER = (0, 1, 3, 2, 4, 5)  # of the block axes, the same both ways
CHANNELS_FIRST = (0, 1, 4, 2, 5, 3)  # from [N,H,W,C,b,b]


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, b = node.input(0), node.attrs["block"]
    to_depth = node.op == "space_to_depth"
    divisors = (1, b, b, 1) if to_depth else (1, 1, 1, b * b)
    if len(x.shape) != 4 or b < 1 or any(d % n for d, n in zip(x.shape, divisors, strict=True)):
        raise ValueError(f"expected x [N,H,W,C] that divides into blocks of {b}, found {x.shape}")
    n, h, w, c = x.shape
    return [((n, h // b, w // b, c * b * b) if to_depth else (n, h * b, w * b, c // (b * b)), x.dtype)]


def _blocks(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The input with blocks as axes of their own, [N,H,b,W,b,C] or [N,H,W,b,b,C], and those axes in output order."""
    (n, h, w, c), b = node.input(0).shape, node.attrs["block"]
    if node.op == "space_to_depth":
        return (n, h // b, b, w // b, b, c), ORDER
    if node.attrs.get("channels_first", False):
        return (n, h, w, c // (b * b), b, b), CHANNELS_FIRST
    return (n, h, w, b, b, c // (b * b)), ORDER


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    shape, order = _blocks(node)
    return [np.ascontiguousarray(arrays[0].reshape(shape).transpose(order)).reshape(infer(node)[0][0])]


def lower(node: Node) -> Node:
    shape, order = _blocks(node)
    steps = strides(shape)
    return copy_node(node, node.input(0), [axis(shape[i], steps[i]) for i in order])
