# SPDX-License-Identifier: Apache-2.0
"""A float op between `dequantize` and `quantize` becomes an integer one. Float constants that lie on a grid say so in
their `quant` (importers set it); weights without one keep their layer in float."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value

WEIGHTED = {"conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0, "transpose_conv2d": 0}
# Items keep their stored bytes: the output's grid is the input's.
MOVES = ("reshape", "transpose", "slice", "max_pool2d", "space_to_depth", "depth_to_space", "pad", "take_pixels")
COMPUTES = ("add", "sub", "mul", "batch_matmul", "avg_pool2d", "mean", "relu", "relu6", "hard_swish", "leaky_relu")
GRID_ERROR = 1e-3  # of a step: what float32 weights may be off


def fuse_quantized(graph: Graph) -> Graph:
    if graph.metadata.get("source_format") != "onnx":  # a TFLite model means its float ops: their bytes are told
        return graph
    producers, consumers = graph.producers(), graph.consumers()
    nodes: list[Node] = []
    fused: set[Node] = set()
    for node in graph.nodes:
        if node in fused:
            continue
        after = _only_quantize(graph, node, consumers)
        found = _integer(node, producers, after.output) if after is not None else None
        if after is None or found is None:
            nodes.append(_direct(node, producers))
            continue
        nodes += found
        fused.add(after)
        producers.update({v: n for n in found for v in n.outputs})
    graph.nodes = nodes
    return graph


def _only_quantize(graph: Graph, node: Node, consumers: dict[Value, list[Node]]) -> Node | None:
    if node.op in ("quantize", "dequantize") or len(node.outputs) != 1 or node.output in graph.results:
        return None
    readers = consumers.get(node.output, [])
    alone = len(readers) == 1 and readers[0].op == "quantize" and readers[0].output.dtype == "int8"
    return readers[0] if alone and node.output.dtype == "float32" else None


def _direct(node: Node, producers: dict[Value, Node]) -> Node:
    """quantize of dequantize changes the grid of integers."""
    before = producers.get(node.input(0)) if node.op == "quantize" else None
    if before is None or before.op != "dequantize":
        return node
    return Node("quantize", [before.input(0)], node.outputs, {}, node.source)


def _stored(value: Value, producers: dict[Value, Node]) -> Value | None:
    """The int8 tensor that a float one stands for."""
    if value.data is not None:
        return _constant(value, None)
    before = producers.get(value)
    if before is None or before.op != "dequantize" or before.input(0).dtype != "int8":
        return None
    return before.input(0)


def _constant(value: Value, channel_axis: int | None) -> Value | None:
    """int8 weights of a float constant on a grid."""
    if value.quant is None or value.data is None or value.dtype != "float32":
        return None
    scale, along = value.quant.scale, [1] * len(value.shape)
    if scale.size > 1:
        if channel_axis is None or scale.size != value.shape[channel_axis]:
            return None
        along[channel_axis] = -1
    steps = value.data.astype(np.float64) / scale.astype(np.float64).reshape(along)
    whole = np.rint(steps)
    if np.abs(steps - whole).max() > GRID_ERROR or whole.min() < -128 or whole.max() > 127:
        return None
    axis = channel_axis if scale.size > 1 else None
    quant = Quant(scale, np.zeros(scale.size, np.int32), axis)
    return Value(value.name, value.shape, "int8", quant, np.ascontiguousarray(whole.astype(np.int8)))


def _bias(bias: Value, x: Value, w: Value) -> Value | None:
    if bias.data is None or w.quant is None:
        return None
    scale = x.scale * w.quant.scale.astype(np.float64)
    whole = np.rint(bias.data.astype(np.float64) / scale)
    if np.abs(whole).max() >= 2**31:
        return None
    quant = Quant(scale.astype(np.float32), np.zeros(scale.size, np.int32), 0 if scale.size > 1 else None)
    return Value(bias.name, bias.shape, "int32", quant, whole.astype(np.int32))


def _integer(node: Node, producers: dict[Value, Node], y: Value) -> list[Node] | None:
    if node.op in WEIGHTED:
        return _layer(node, producers, y)
    if node.op not in (*MOVES, *COMPUTES, "concat"):
        return None
    stored = [None if v is None else _stored(v, producers) for v in node.inputs]
    if any(v is None for v in stored):
        return None
    inputs = [v for v in stored if v is not None]
    if node.op in MOVES:
        return _moved(node, inputs, y)
    if node.op == "concat":
        return _joined(node, inputs, y)
    return [Node(node.op, [*inputs], [y], node.attrs, node.source)]


def _layer(node: Node, producers: dict[Value, Node], y: Value) -> list[Node] | None:
    x, bias = _stored(node.input(0), producers), node.optional(2)
    w = _constant(node.input(1), WEIGHTED[node.op])
    if x is None or w is None or x.data is not None:
        return None
    b = None if bias is None else _bias(bias, x, w)
    if bias is not None and b is None:
        return None
    return [Node(node.op, [x, w, b], [y], node.attrs, node.source)]


def _moved(node: Node, inputs: list[Value], y: Value) -> list[Node]:
    x = inputs[0]
    if x.quant is not None and x.quant.same_as(y.quant):
        return [Node(node.op, [*inputs], [y], node.attrs, node.source)]
    between = Value(f"{y.name}/unscaled", y.shape, "int8", x.quant)
    first = Node(node.op, [*inputs], [between], node.attrs, node.source)
    return [first, Node("quantize", [between], [y], {}, node.source)]


def _joined(node: Node, inputs: list[Value], y: Value) -> list[Node]:
    nodes, parts = [], []
    for i, x in enumerate(inputs):
        if x.quant is None or not x.quant.same_as(y.quant):
            part = Value(f"{y.name}/part{i}", x.shape, "int8", y.quant)
            nodes.append(Node("quantize", [x], [part], {}, node.source))
            x = part
        parts.append(x)
    return [*nodes, Node("concat", [*parts], [y], node.attrs, node.source)]
