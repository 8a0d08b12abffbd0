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
from edgesdk.errors import UsageError
from edgesdk.ir import MAX_ELEMENTS, MAX_RANK, Graph, Node, Value

Shape = tuple[int, ...]

NHWC: Shape = (0, 2, 3, 1)  # output axis -> axis of an NCHW value
NCHW: Shape = (0, 3, 1, 2)
# Ops through which an image is still an image.
UNARY = "relu relu6 relu_n1_to_1 clip leaky_relu hard_swish logistic tanh"
TRANSPARENT = frozenset(f"{UNARY} add sub mul minimum maximum pad slice concat".split())


def check_shape(shape: Sequence[int]) -> Shape:
    """The shape as ints; ValueError where a value cannot have it."""
    dims = tuple(int(d) for d in shape)
    if len(dims) > MAX_RANK or any(d < 1 for d in dims) or math.prod(dims) > MAX_ELEMENTS:
        raise ValueError(f"shape {list(dims)} is out of range (up to {MAX_RANK} axes, no zeros, below 2^31 elements)")
    return dims


@dataclass
class Builder:
    """`source` names the source model's node that is being imported."""

    nodes: list[Node] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    source: str = ""
    expanded: dict[Value, Value] = field(default_factory=dict)  # written-out broadcast -> what it was made of

    def unique(self, name: str) -> str:
        candidate, i = name, 1
        while candidate in self.names:
            candidate, i = f"{name}_{i}", i + 1
        self.names.add(candidate)
        return candidate

    def emit(self, op: str, inputs: Sequence[Value | None], name: str = "", **attrs: Any) -> Value:
        node = Node(op, list(inputs), [], attrs, self.source)
        ((shape, dtype),) = ops.module(op).infer(node)
        value = Value(self.unique(name or op), check_shape(shape), dtype)
        node.outputs.append(value)
        self.nodes.append(node)
        return value

    def constant(self, array: np.ndarray, name: str) -> Value:
        """Weights: finite numbers, in float32 unless they are integers."""
        data = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)
        if data.dtype == np.float32 and not np.isfinite(data).all():
            raise UsageError(f"{self.source}: its {name} hold NaN or infinity; expected finite weights, train again")
        return Value(self.unique(name), check_shape(data.shape), str(data.dtype), data=data)

    def reshape(self, x: Value, shape: Sequence[int], name: str = "") -> Value:
        shape = tuple(shape)
        return x if shape == x.shape else self.emit("reshape", [x], name, shape=shape)

    def transpose(self, x: Value, perm: Sequence[int], name: str = "") -> Value:
        perm = tuple(perm)
        return x if perm == tuple(range(len(perm))) else self.emit("transpose", [x], name, perm=perm)


def declare_images(b: Builder, inputs: list[Value], outputs: list[Value]) -> Graph:
    """The graph with inputs and outputs that are images, [N,C,H,W] in the source, in NHWC."""
    graph = Graph("", inputs, outputs, b.nodes, {"input_layouts": {}, "output_layouts": {}})
    for i, value in enumerate(inputs):
        if len(value.shape) == 4 and value not in outputs and becomes_image(graph, value):
            image = Value(value.name, tuple(value.shape[a] for a in NHWC), value.dtype)
            value.name = b.unique(f"{value.name}/nchw")
            graph.nodes.insert(0, Node("transpose", [image], [value], {"perm": NCHW}, image.name))
            graph.inputs[i] = image
            graph.metadata["input_layouts"][image.name] = "NCHW"
    for i, value in enumerate(outputs):
        if len(value.shape) == 4 and outputs.count(value) == 1 and was_image(graph, value):
            name, value.name = value.name, b.unique(f"{value.name}/nchw")
            b.source = name
            graph.outputs[i] = b.emit("transpose", [value], perm=NHWC)
            graph.outputs[i].name = name
            graph.metadata["output_layouts"][name] = "NCHW"
    return graph


def becomes_image(graph: Graph, value: Value) -> bool:
    """Whether some op that wants channels last reads the value, perhaps through elementwise ops."""
    readers, front, seen = graph.consumers(), [value], {value}
    while front:
        for node in readers.get(front.pop(), []):
            if node.op == "transpose" and node.attrs["perm"] == NHWC:
                return True
            if node.op in TRANSPARENT and node.output not in seen and len(node.output.shape) == 4:
                seen.add(node.output)
                front.append(node.output)
    return False


def was_image(graph: Graph, value: Value) -> bool:
    """Whether the value comes from an op that writes channels last."""
    producers, front, seen = graph.producers(), [value], {value}
    while front:
        node = producers.get(front.pop())
        if node is None:
            continue
        if node.op == "transpose" and node.attrs["perm"] == NCHW:
            return True
        if node.op in TRANSPARENT:
            front += [v for v in node.inputs if v is not None and v not in seen and len(v.shape) == 4]
            seen.update(front)
    return False
