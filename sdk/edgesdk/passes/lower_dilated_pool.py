# SPDX-License-Identifier: Apache-2.0
"""A dilated maximum becomes an ordinary one of every so many pixels where no window reads between those, else maxima of
shifted slices, along the height and then along the width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import conv2d, fixedpoint, quantize


def lower_dilated_pool(graph: Graph) -> Graph:
    nodes: list[Node] = []
    for node in graph.nodes:
        dilated = node.op == "max_pool2d" and tuple(node.attrs.get("dilation", (1, 1))) != (1, 1)
        nodes += _as_maxima(node) if dilated else [node]
    graph.nodes = nodes
    return graph


def _as_maxima(node: Node) -> list[Node]:
    steps: list[Node] = []
    x = _padded(node, steps)
    out = conv2d.out_hw(node, node.attrs["kernel"])
    thin = [
        stride % dilation == 0 for stride, dilation in zip(node.attrs["stride"], node.attrs["dilation"], strict=True)
    ]
    for i, extent in enumerate(out):
        if not thin[i]:
            x = _along(node, steps, x, 1 + i, extent)
    x = _thinned(node, steps, x, thin, out) if any(thin) else x
    steps.append(_last(node, steps, x))
    return steps


def _thinned(node: Node, steps: list[Node], x: Value, thin: list[bool], out: tuple[int, int]) -> Value:
    """An ordinary maximum along the axes where only every `dilation`-th pixel is read."""
    every = [d if t else 1 for d, t in zip(node.attrs["dilation"], thin, strict=True)]
    kernel, stride = ([v if t else 1 for v, t in zip(node.attrs[k], thin, strict=True)] for k in ("kernel", "stride"))
    n, h, w, c = x.shape
    size = (n, -(-h // every[0]), -(-w // every[1]), c)
    if size != x.shape:
        x = _add(node, steps, "slice", [x], size, begin=(0, 0, 0, 0), size=size, stride=(1, *every, 1))
    stride = [s // e for s, e in zip(stride, every, strict=True)]
    window = {"kernel": tuple(kernel), "stride": tuple(stride), "padding": (0, 0, 0, 0), "activation": "none"}
    return _add(node, steps, "max_pool2d", [x], (n, *out, c), **window)


def _add(node: Node, steps: list[Node], op: str, inputs: list[Value], shape: tuple[int, ...], **attrs: Any) -> Value:
    x = inputs[0]
    result = Value(f"{node.output.name}/{op}{len(steps)}", shape, x.dtype, x.quant)
    steps.append(Node(op, list(inputs), [result], attrs, node.source))
    return result


def _padded(node: Node, steps: list[Node]) -> Value:
    """The input with less than every item around it."""
    x, (top, left, bottom, right) = node.input(0), node.attrs["padding"]
    if not any(node.attrs["padding"]):
        return x
    n, h, w, c = x.shape
    least = -math.inf if x.dtype == "float32" else (np.iinfo(x.dtype).min - x.zero_point) * x.scale
    pads = ((0, 0), (top, bottom), (left, right), (0, 0))
    return _add(node, steps, "pad", [x], (n, h + top + bottom, w + left + right, c), pads=pads, value=least)


def _along(node: Node, steps: list[Node], x: Value, axis: int, extent: int) -> Value:
    stride, dilation, kernel = (node.attrs[k][axis - 1] for k in ("stride", "dilation", "kernel"))
    shape = tuple(extent if a == axis else d for a, d in enumerate(x.shape))
    every = tuple(stride if a == axis else 1 for a in range(4))
    taps = []
    for k in range(kernel):
        begin = tuple(k * dilation if a == axis else 0 for a in range(4))
        taps.append(_add(node, steps, "slice", [x], shape, begin=begin, size=shape, stride=every))
    largest = taps[0]
    for tap in taps[1:]:
        largest = _add(node, steps, "maximum", [largest, tap], shape)
    return largest


def _last(node: Node, steps: list[Node], x: Value) -> Node:
    """The activation in the input's quantisation, then the output's where that is another one."""
    y, activation = node.output, node.attrs["activation"]
    same = x.quant is None or quantize.same_grid(x, y)
    if activation != "none":
        low, high = fixedpoint.float_range(activation)
        clip = Node("clip", [x], [y], {"min": low, "max": high}, node.source)
        if same:
            return clip
        clip.outputs = [Value(f"{y.name}/clipped", x.shape, x.dtype, x.quant)]
        steps.append(clip)
        x = clip.output
    if same:
        return Node("reshape", [x], [y], {"shape": y.shape}, node.source)
    return Node("quantize", [x], [y], {}, node.source)
