# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import binary


def lower_minmax(graph: Graph) -> Graph:
    """Quantised minimum and maximum compare stored values: operands are brought to the quantisation of the output."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in ("minimum", "maximum") and node.output.quant is not None:
            nodes += _requantized(node)
        nodes.append(node)
    graph.nodes = nodes
    return graph


def _requantized(node: Node) -> list[Node]:
    """Replaces such operands of the node; returns the nodes that compute the new ones."""
    added: list[Node] = []
    y = node.output
    for i in (0, 1):
        x = node.input(i)
        if y.quant is None or y.quant.same_as(x.quant):
            continue
        data = None if x.data is None else binary.on_output_grid(node, i, x.data)
        node.inputs[i] = Value(f"{y.name}/{x.name}", x.shape, y.dtype, y.quant, data)
        if data is None:
            added.append(Node("quantize", [x], [node.input(i)], {}, node.source))
    return added
