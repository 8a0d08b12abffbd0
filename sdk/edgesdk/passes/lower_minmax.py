# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import binary


def lower_minmax(graph: Graph) -> Graph:
    """int8 minimum and maximum compare stored bytes: an operand of another quantisation is brought to the output's."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in ("minimum", "maximum") and node.output.dtype == "int8":
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
        node.inputs[i] = Value(f"{y.name}/{x.name}", x.shape, "int8", y.quant, data)
        if data is None:
            added.append(Node("quantize", [x], [node.input(i)], {}, node.source))
    return added
