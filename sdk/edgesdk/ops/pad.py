# SPDX-License-Identifier: Apache-2.0
"""Constant items around a value. attrs: pads ((before, after) per axis), value (a real number)."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import Axis, copy_node, later_half, strides
from edgesdk.ops.unary_int8 import quantize

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, pads = node.input(0), node.attrs["pads"]
    if len(pads) != len(x.shape) or any(p < 0 for pair in pads for p in pair):
        raise ValueError(f"expected non-negative (before, after) for each axis of {x.shape}, found {pads}")
    return [(tuple(n + before + after for n, (before, after) in zip(x.shape, pads, strict=True)), x.dtype)]


def stored_value(node: Node) -> float:
    """The item that is written: for int8 the quantisation of `value`."""
    real, y = float(node.attrs.get("value", 0.0)), node.output
    return real if y.quant is None else quantize(real, y)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.pad(arrays[0], node.attrs["pads"], constant_values=stored_value(node))]


def lower(node: Node) -> Node:
    x = node.input(0)
    dims = zip(x.shape, strides(x.shape), node.attrs["pads"], strict=True)
    axes = [Axis(n + before + after, s, before, before + n) for n, s, (before, after) in dims]
    return copy_node(node, x, axes, fill=stored_value(node))


def split(node: Node) -> list[Node]:
    """The same in two steps: the last axes, then the first."""
    x, pads = node.input(0), node.attrs["pads"]
    first = later_half([any(p) for p in pads])
    inner = tuple(p if f else (0, 0) for p, f in zip(pads, first, strict=True))
    outer = tuple((0, 0) if f else p for p, f in zip(pads, first, strict=True))
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, inner, strict=True))
    between = Value(f"{node.output.name}/inner", shape, x.dtype, x.quant)
    return [
        Node("pad", [x], [between], {**node.attrs, "pads": inner}, node.source),
        Node("pad", [between], node.outputs, {**node.attrs, "pads": outer}, node.source),
    ]
