# SPDX-License-Identifier: Apache-2.0
"""batch_norm disappears into the weights before it, or becomes a multiplication and an addition."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Graph, Node, Value

OUT_AXIS = {"conv2d": 0, "transpose_conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}


def fold_batch_norm(graph: Graph) -> Graph:
    """y = (w x + b) * scale + shift = (w * scale) x + (b * scale + shift)."""
    producers, consumers = graph.producers(), graph.consumers()
    kept: list[Node] = []
    for node in graph.nodes:
        producer = producers.get(node.input(0))
        if node.op != "batch_norm":
            kept.append(node)
        elif producer is not None and foldable(graph, producer, consumers):
            scale_weights(producer, constant(node.input(1)), constant(node.input(2)))
            producer.outputs = [node.output]
            producers[node.output] = producer
        else:
            kept += multiply_add(node)
    graph.nodes = kept
    return graph


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
