# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value


def lower_groups(graph: Graph) -> Graph:
    """A transposed convolution in groups, which has no kernel, becomes one per group, on slices of the channels."""
    nodes: list[Node] = []
    for node in graph.nodes:
        grouped = node.op == "transpose_conv2d" and node.attrs.get("groups", 1) > 1
        nodes += _split(node) if grouped else [node]
    graph.nodes = nodes
    return graph


def _split(node: Node) -> list[Node]:
    n, y = node.attrs["groups"], node.output
    parts = [_group(node, q, n) for q in range(n)]
    joined: list[Value | None] = [p.output for _, p in parts]
    return [m for pair in parts for m in pair] + [Node("concat", joined, [y], {"axis": 3}, node.source)]


def _group(node: Node, q: int, n: int) -> tuple[Node, Node]:
    x, y, source = node.input(0), node.output, node.source
    size = (*x.shape[:3], x.shape[3] // n)
    own = Value(f"{y.name}/input{q}", size, x.dtype, x.quant)
    cut = {"begin": (0, 0, 0, q * size[3]), "size": size, "stride": (1, 1, 1, 1)}
    result = Value(f"{y.name}/group{q}", (*y.shape[:3], y.shape[3] // n), y.dtype, y.quant)
    weights, bias = _channels(node.input(1), q, n), node.optional(2)
    inputs = [own, weights, None if bias is None else _channels(bias, q, n)]
    attrs = {k: v for k, v in node.attrs.items() if k != "groups"}
    return Node("slice", [x], [own], cut, source), Node(node.op, inputs, [result], attrs, source)


def _channels(v: Value, q: int, n: int) -> Value:
    """Part q of n of a constant along its first axis."""
    assert v.data is not None
    data = np.split(v.data, n)[q]
    quant = v.quant
    if quant is not None and quant.axis == 0:
        factors = None if quant.factors is None else np.split(quant.factors, n)[q]
        quant = Quant(np.split(quant.scale, n)[q], np.split(quant.zero_point, n)[q], 0, quant.group, factors)
    return Value(f"{v.name}/group{q}", data.shape, v.dtype, quant, data)
