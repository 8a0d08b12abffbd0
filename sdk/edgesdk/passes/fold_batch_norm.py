# SPDX-License-Identifier: Apache-2.0
"""batch_norm disappears into the weights before it, or becomes a multiplication and an addition. Products with, and
sums with, one constant per channel behind a layer go the same way: layer scale, a bias that was written out."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Graph, Node, Value

OUT_AXIS = {"conv2d": 0, "transpose_conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}


def fold_batch_norm(graph: Graph) -> Graph:
    """y = (w x + b) * scale + shift = (w * scale) x + (b * scale + shift)."""
    producers, consumers = graph.producers(), graph.consumers()
    kept: list[Node] = []
    for node in graph.nodes:
        affine = affine_of(node)
        producer = None if affine is None else producers.get(affine[0])
        if affine is not None and producer is not None and foldable(graph, producer, consumers):
            scale_weights(producer, *affine[1:])
            producer.outputs = [node.output]
            producers[node.output] = producer
        else:
            kept += multiply_add(node) if node.op == "batch_norm" else [node]
    graph.nodes = kept
    return graph


def affine_of(node: Node) -> tuple[Value, np.ndarray, np.ndarray] | None:
    """x, scale [C] and shift [C] of a node that is y = x * scale + shift over the last axis."""
    if node.op == "batch_norm":
        return node.input(0), constant(node.input(1)), constant(node.input(2))
    if node.op not in ("mul", "add") or node.attrs["activation"] != "none":
        return None
    for x, factor in ((node.input(0), node.input(1)), (node.input(1), node.input(0))):
        if factor.data is not None and x.data is None and x.shape and per_channel(factor, x, node.output):
            given = np.broadcast_to(constant(factor).reshape(-1), x.shape[-1:])
            same = np.ones(given.shape) if node.op == "add" else np.zeros(given.shape)
            return (x, same, given) if node.op == "add" else (x, given, same)
    return None


def per_channel(factor: Value, x: Value, y: Value) -> bool:
    """One finite number for each channel or for all; -infinity is a mask's."""
    wide = factor.elements == 1 or (factor.shape[-1:] == x.shape[-1:] == (factor.elements,))
    return wide and factor.dtype == "float32" and x.shape == y.shape and bool(np.isfinite(constant(factor)).all())


def constant(value: Value) -> np.ndarray:
    assert value.data is not None, value.name
    return value.data.astype(np.float64)


def foldable(graph: Graph, node: Node, consumers: dict[Value, list[Node]]) -> bool:
    """A convolution with constant weights whose result goes to the batch norm alone."""
    return (
        node.op in OUT_AXIS
        and node.attrs["activation"] == "none"
        and node.output not in graph.results
        and len(consumers[node.output]) == 1
        and node.output.dtype == node.input(1).dtype == "float32"
        and all(v is None or v.data is not None for v in node.inputs[1:])
    )


def scale_weights(node: Node, scale: np.ndarray, shift: np.ndarray) -> None:
    w, b = node.input(1), node.optional(2)
    shape = [1] * len(w.shape)
    shape[OUT_AXIS[node.op]] = -1
    data = (constant(w) * scale.reshape(shape)).astype(np.float32)
    bias = (shift if b is None else constant(b) * scale + shift).astype(np.float32)
    # New values: the old ones may be shared with other layers.
    name = b.name if b is not None else f"{w.name}/bias"
    node.inputs = [
        node.inputs[0],
        Value(w.name, w.shape, "float32", data=data),
        Value(name, bias.shape, "float32", data=bias),
    ]


def multiply_add(node: Node) -> list[Node]:
    """The norm as two nodes, where there are no weights to fold it into."""
    x, y = node.input(0), node.output
    shape = (1,) * (len(x.shape) - 1) + x.shape[-1:]
    factors = []
    for v in (node.input(1), node.input(2)):
        assert v.data is not None
        factors.append(Value(v.name, shape, v.dtype, data=v.data.reshape(shape)))
    product = Value(f"{y.name}/scaled", y.shape, y.dtype)
    return [
        Node("mul", [x, factors[0]], [product], {"activation": "none"}, node.source),
        Node("add", [product, factors[1]], [y], {"activation": "none"}, node.source),
    ]
