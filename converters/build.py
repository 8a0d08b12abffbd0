# SPDX-License-Identifier: Apache-2.0
"""A graph under construction, written in the source model's own axis order.

Ops that want channels last get a transpose in front and one behind; passes/move_transposes.py
cancels them. Inputs and outputs that are images are declared in NHWC, and the metadata says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesdk import ops
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import MAX_ELEMENTS, MAX_RANK, Graph, Node, Value
from edgesdk.ops import activation, arithmetic, elementary

Shape = tuple[int, ...]

NHWC: Shape = (0, 2, 3, 1)  # output axis -> axis of an NCHW value
NCHW: Shape = (0, 3, 1, 2)
LAYOUTS = {4: "NCHW", 3: "NCL"}  # rank -> what the metadata calls channels first
# Ops through which an image is still an image.
UNARY = "relu relu6 relu_n1_to_1 clip leaky_relu hard_swish logistic tanh cast"
COMPARISONS = "equal not_equal less less_equal greater greater_equal"
LOGIC = "bitwise_and bitwise_or bitwise_xor shift_left shift_right select"
ALONG_AXIS = "cumsum gather gather_elements top_k_values top_k_indices"
MOVES = "quantize dequantize add sub mul minimum maximum pad border_pad slice concat tile broadcast_to"
NAMED = f"{UNARY} {COMPARISONS} {LOGIC} {ALONG_AXIS} {MOVES}"
TRANSPARENT = frozenset([*NAMED.split(), *activation.NAMES, *elementary.NAMES, *arithmetic.NAMES])
CONSTANT_DTYPES = ("float32", "int32", "int64", "bool", "uint8", "int16")


def check_shape(shape: Sequence[int]) -> Shape:
    """The shape as ints; ValueError where nothing can have it, UsageError where a value of the graph cannot."""
    dims = tuple(int(d) for d in shape)
    if any(d < 0 for d in dims):
        raise ValueError(f"shape {list(dims)}")
    if len(dims) > MAX_RANK or math.prod(dims) > MAX_ELEMENTS:
        raise UsageError(f"a tensor of shape {list(dims)}; expected at most {MAX_RANK} axes and 2^31 - 1 items")
    if 0 in dims:
        raise UsageError(f"a tensor of shape {list(dims)}, which has no items; expected at least one")
    return dims


@dataclass
class Builder:
    """`source` names the source model's node that is being imported."""

    nodes: list[Node] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    source: str = ""
    expanded: dict[Value, Value] = field(default_factory=dict)  # written-out broadcast -> what it was made of
    twins: dict[Value, Value] = field(default_factory=dict)  # uint8 value -> the same as int8
    plain: set[Value] = field(default_factory=set)  # int8 inputs whose grid no node has told yet
    masks: dict[Value, np.ndarray] = field(default_factory=dict)  # bounded mask -> what it was, with -infinity
    # id of an array of floats on a grid -> (the array, its scales)
    grids: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def unique(self, name: str) -> str:
        candidate, i = name, 1
        while candidate in self.names:
            candidate, i = f"{name}_{i}", i + 1
        self.names.add(candidate)
        return candidate

    def rename(self, value: Value, name: str) -> None:
        """Gives `value` a name that another value may have had until now."""
        for other in (v for n in self.nodes for v in n.outputs):
            if other.name == name and other is not value:
                other.name = self.unique(name)
        self.names.add(name)
        value.name = name

    def emit(self, op: str, inputs: Sequence[Value | None], name: str = "", **attrs: Any) -> Value:
        return self.emit_all(op, inputs, name, **attrs)[0]

    def emit_all(self, op: str, inputs: Sequence[Value | None], name: str = "", **attrs: Any) -> list[Value]:
        """The same for an op of several outputs."""
        node = Node(op, list(inputs), [], attrs, self.source)
        for shape, dtype in ops.module(op).infer(node):
            node.outputs.append(Value(self.unique(name or op), check_shape(shape), dtype))
        self.nodes.append(node)
        return node.outputs

    def add(self, op: str, inputs: Sequence[Value | None], output: Value, **attrs: Any) -> Value:
        """A node whose output is given, where its type is the node's own choice."""
        self.nodes.append(Node(op, list(inputs), [output], attrs, self.source))
        return output

    def constant(self, array: np.ndarray, name: str, finite: bool = True) -> Value:
        """Floats become float32; those of weights are finite."""
        data = np.array(array, np.float32 if array.dtype.kind == "f" else array.dtype, order="C")
        if data.dtype.name not in CONSTANT_DTYPES:
            raise Unsupported(f"a constant of {data.dtype}; expected one of {', '.join(CONSTANT_DTYPES)}")
        if finite and data.dtype == np.float32 and not np.isfinite(data).all():
            bad = int((~np.isfinite(data)).sum())
            raise UsageError(
                f"{bad} of {data.size} numbers of {name!r} are NaN or infinite; "
                f"expected finite weights, train or export the model again"
            )
        return Value(self.unique(name), check_shape(data.shape), str(data.dtype), data=data)

    def reshape(self, x: Value, shape: Sequence[int], name: str = "") -> Value:
        shape = tuple(shape)
        return x if shape == x.shape else self.emit("reshape", [x], name, shape=shape)

    def transpose(self, x: Value, perm: Sequence[int], name: str = "") -> Value:
        perm = tuple(perm)
        return x if perm == tuple(range(len(perm))) else self.emit("transpose", [x], name, perm=perm)


def declare_images(b: Builder, inputs: list[Value], outputs: list[Value]) -> Graph:
    """The graph with channels last in inputs and outputs that are images or signals, [N,C,H,W] or [N,C,L]
    in the source."""
    graph = Graph("", inputs, outputs, b.nodes, {"input_layouts": {}, "output_layouts": {}})
    for i, value in enumerate(inputs):
        if len(value.shape) in LAYOUTS and value not in outputs and becomes_image(graph, value):
            graph.inputs[i] = declared_input(b, graph, value)
    for i, value in enumerate(outputs):
        if len(value.shape) in LAYOUTS and outputs.count(value) == 1 and was_image(graph, value):
            graph.outputs[i] = declared_output(b, graph, value)
    return graph


def declared_input(b: Builder, graph: Graph, value: Value) -> Value:
    rank = len(value.shape)
    last = Value(value.name, (value.shape[0], *value.shape[2:], value.shape[1]), value.dtype)
    value.name = b.unique(f"{value.name}/channels_first")
    graph.nodes[:0] = head(last, value) if rank == 4 else lifted_head(b, last, value)
    graph.metadata["input_layouts"][last.name] = LAYOUTS[rank]
    return last


def head(last: Value, value: Value) -> list[Node]:
    """[N,H,W,C] -> [N,C,H,W]"""
    return [Node("transpose", [last], [value], {"perm": NCHW}, last.name)]


def lifted_head(b: Builder, last: Value, value: Value) -> list[Node]:
    """[N,L,C] -> [N,C,L] by way of an image of height 1, which the first ops may take as it is."""
    n, c, length = value.shape
    image = Value(b.unique(f"{last.name}/image"), (n, 1, length, c), value.dtype)
    turned = Value(b.unique(f"{last.name}/turned"), (n, c, 1, length), value.dtype)
    lift = Node("reshape", [last], [image], {"shape": image.shape}, last.name)
    return [lift, *head(image, turned), Node("reshape", [turned], [value], {"shape": value.shape}, last.name)]


def declared_output(b: Builder, graph: Graph, value: Value) -> Value:
    rank, name = len(value.shape), value.name
    value.name, b.source = b.unique(f"{name}/channels_first"), name
    last = b.transpose(value, (0, *range(2, rank), 1))
    b.rename(last, name)
    graph.metadata["output_layouts"][name] = LAYOUTS[rank]
    return last


def is_lift(low: Value, high: Value) -> bool:
    """Whether `high` is the signal `low`, [N,C,L], as an image of height 1."""
    return len(low.shape) == 3 and high.shape == (*low.shape[:2], 1, low.shape[2])


def is_transparent(node: Node, x: Value) -> bool:
    """Whether the node's result is an image where its input `x` is one."""
    return node.op in TRANSPARENT and len(x.shape) == len(node.output.shape)


def becomes_image(graph: Graph, value: Value) -> bool:
    """Whether some op that wants channels last reads the value, perhaps through elementwise ops."""
    readers, front, seen = graph.consumers(), [value], {value}
    while front:
        x = front.pop()
        for node in readers.get(x, []):
            y = node.output
            if node.op == "transpose" and node.attrs["perm"] == NHWC:
                return True
            if y not in seen and (is_transparent(node, x) or (node.op == "reshape" and is_lift(x, y))):
                seen.add(y)
                front.append(y)
    return False


def was_image(graph: Graph, value: Value) -> bool:
    """Whether the value comes from an op that writes channels last."""
    producers, front, seen = graph.producers(), [value], {value}
    while front:
        y = front.pop()
        node = producers.get(y)
        if node is None:
            continue
        if node.op == "transpose" and node.attrs["perm"] == NCHW:
            return True
        for x in node.inputs:
            lifted = x is not None and node.op == "reshape" and is_lift(y, x)
            if x is not None and x not in seen and (lifted or is_transparent(node, x)):
                seen.add(x)
                front.append(x)
    return False


def live_nodes(nodes: list[Node], outputs: Sequence[Value]) -> list[Node]:
    """The nodes that some output depends on."""
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(v for v in node.inputs if v is not None)
            kept.append(node)
    return kept[::-1]
