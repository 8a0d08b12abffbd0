# SPDX-License-Identifier: Apache-2.0
"""A relu that follows an op which can clamp its own result is done there."""

from __future__ import annotations

import math

from edgesdk.ir import Graph, Node, Value

CLAMPING = ("conv2d", "transpose_conv2d", "depthwise_conv2d", "fully_connected", "add", "sub", "mul") + (
    "avg_pool2d",
    "max_pool2d",
)
RELUS = ("relu", "relu6", "relu_n1_to_1")
CLIPS = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}


def fuse_activations(graph: Graph) -> Graph:
    producers, consumers = graph.producers(), graph.consumers()
    kept: list[Node] = []
    for node in graph.nodes:
        activation = activation_of(node)
        producer = producers.get(node.input(0)) if activation else None
        if activation and producer is not None and fusible(graph, producer, node, consumers):
            producer.attrs = {**producer.attrs, "activation": activation}
            producer.outputs = [node.output]
            producers[node.output] = producer
        else:
            kept.append(node)
    graph.nodes = kept
    return graph


def activation_of(node: Node) -> str | None:
    if node.op == "clip":
        return CLIPS.get((node.attrs["min"], node.attrs["max"]))
    return node.op if node.op in RELUS else None


def fusible(graph: Graph, producer: Node, node: Node, consumers: dict[Value, list[Node]]) -> bool:
    before, after = node.input(0), node.output
    # An integer relu that also rescales rounds a second time: fusing it would change bytes.
    same_numbers = before.dtype == "float32" or (before.quant is not None and before.quant.same_as(after.quant))
    return (
        producer.op in CLAMPING
        and producer.attrs.get("activation", "none") == "none"
        and before not in graph.results
        and len(consumers[before]) == 1
        and before.dtype == after.dtype
        and same_numbers
    )
