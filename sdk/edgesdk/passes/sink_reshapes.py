# SPDX-License-Identifier: Apache-2.0
"""Signals [N,L,C] stay the images of height 1 that convolutions made them.

A convolution over a signal stands between two reshapes. Each op behind the second that works on an
image as well is done there, and the reshape after it: so it meets the first one of the next
convolution, and norms, pads and activations have their convolution as a neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import activation, arithmetic, elementary
from edgesdk.passes.remove_dead_nodes import remove_dead_nodes

Axes = tuple[int, ...]  # of the image, one for each axis of the signal
SIGNAL, IMAGE = 3, 4


def sink_reshapes(graph: Graph) -> Graph:
    lifted: dict[Value, Value] = {}  # result of a reshape -> what was reshaped first
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op == "reshape":
            lifted[node.output] = lifted.get(node.input(0), node.input(0))
            nodes.append(replace(node, inputs=[lifted[node.output]]))
        else:
            image = on_image(node, lifted)
            nodes += [node] if image is None else [image, behind(image, node)]
            lifted.update({} if image is None else {node.output: image.output})
    if len(nodes) == len(graph.nodes):
        return graph
    graph.nodes = nodes
    return remove_dead_nodes(without_idle_reshapes(graph))


def behind(image: Node, node: Node) -> Node:
    return Node("reshape", [image.output], node.outputs, {"shape": node.output.shape}, node.source)


def without_idle_reshapes(graph: Graph) -> Graph:
    """Readers of a reshape to the same shape read what it reads."""
    for node in graph.nodes:
        if node.op == "reshape" and node.input(0).shape == node.output.shape and node.output not in graph.outputs:
            graph.replace_value(node.output, node.input(0))
    return graph


def on_image(node: Node, lifted: dict[Value, Value]) -> Node | None:
    """The node over images instead of signals; None where it cannot be."""
    tensors = [v for v in node.inputs if v is not None and v.data is None]
    axes = {kept_axes(lifted[v].shape, v.shape) if v in lifted else None for v in tensors}
    kept = axes.pop() if len(axes) == 1 else None
    if kept is None or node.op not in RULES:
        return None
    attrs = RULES[node.op](node, kept, lifted[tensors[0]].shape)
    inputs = [v if v is None else lifted[v] if v.data is None else laid(node, v, kept) for v in node.inputs]
    if attrs is None or any(v is None and w is not None for v, w in zip(inputs, node.inputs, strict=True)):
        return None
    y = node.output
    image = Node(node.op, inputs, [Value(f"{y.name}/image", (1,), y.dtype, y.quant)], attrs, node.source)
    ((image.output.shape, _),) = ops.module(node.op).infer(image)
    return image


def kept_axes(image: Sequence[int], signal: Sequence[int]) -> Axes | None:
    """Which axes of the image the signal has; None where the others are not 1.

    >>> kept_axes((2, 1, 7, 5), (2, 7, 5))
    (0, 2, 3)
    """
    if len(image) != IMAGE or len(signal) != SIGNAL:
        return None
    kept: list[int] = []
    for axis in reversed(range(IMAGE)):
        wanted = signal[-1 - len(kept)] if len(kept) < SIGNAL else 1
        if image[axis] == wanted and len(kept) < SIGNAL:
            kept.append(axis)
        elif image[axis] != 1:
            return None
    return tuple(reversed(kept)) if len(kept) == SIGNAL else None


def laid(node: Node, value: Value, kept: Axes) -> Value | None:
    """A constant as it broadcasts against an image; weights stay as they are."""
    if node.op not in BROADCAST or value.elements == 1 or value.data is None:
        return value
    if len(value.shape) > SIGNAL or (value.quant is not None and value.quant.axis is not None):
        return None
    shape = [1] * IMAGE
    for axis, d in zip(kept[SIGNAL - len(value.shape) :], value.shape, strict=True):
        shape[axis] = d
    return replace(value, shape=tuple(shape), data=value.data.reshape(shape))


Attrs = dict[str, Any] | None
Rule = Callable[[Node, Axes, tuple[int, ...]], Attrs]


def same(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    return node.attrs


def over_last_axis(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    return node.attrs if kept[-1] == IMAGE - 1 else None


def trailing_norm(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    """The axes from `axis` on must be the last of the image, too."""
    first = kept[node.attrs["axis"]]
    return {**node.attrs, "axis": first} if kept[node.attrs["axis"] :] == tuple(range(first, IMAGE)) else None


def channel_norm(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    """The image's first axis must be the batch."""
    return node.attrs if image[0] == node.output.shape[0] and kept[-1] == IMAGE - 1 else None


def softmax(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    return along_axis(node, kept, image) if "axis" in node.attrs else over_last_axis(node, kept, image)


def along_axis(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    return {**node.attrs, "axis": kept[node.attrs["axis"]]}


def per_axis(entries: Sequence[Any], kept: Axes, rest: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(entries[kept.index(a)] if a in kept else rest[a] for a in range(IMAGE))


def pad(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    return {**node.attrs, "pads": per_axis(node.attrs["pads"], kept, ((0, 0),) * IMAGE)}


def slice_(node: Node, kept: Axes, image: tuple[int, ...]) -> Attrs:
    rest = {"begin": (0,) * IMAGE, "size": image, "stride": (1,) * IMAGE}
    return {k: per_axis(node.attrs[k], kept, rest[k]) for k in rest}


UNARY = (
    *"relu relu6 relu_n1_to_1 clip leaky_relu hard_swish logistic tanh cast".split(),
    *activation.NAMES,
    *elementary.NAMES,
)
COMPARISONS = "equal not_equal less less_equal greater greater_equal".split()
LOGIC = "bitwise_and bitwise_or bitwise_xor shift_left shift_right select".split()
BROADCAST = frozenset(["add", "sub", "mul", "minimum", "maximum", *arithmetic.NAMES, *COMPARISONS, *LOGIC])
LAST_AXIS = "batch_norm fully_connected log_softmax hardmax l2_norm lrn".split()
RULES: dict[str, Rule] = {
    **dict.fromkeys((*UNARY, *BROADCAST), same),
    **dict.fromkeys(LAST_AXIS, over_last_axis),
    **dict.fromkeys(("layer_norm", "rms_norm"), trailing_norm),
    **dict.fromkeys(("group_norm", "instance_norm"), channel_norm),
    "softmax": softmax,
    **dict.fromkeys(("concat", "cumsum", "top_k_values", "top_k_indices"), along_axis),
    **dict.fromkeys(("pad", "border_pad"), pad),
    "slice": slice_,
}
