# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node

NAMED = {2.0: "square", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}


def fold_exponents(graph: Graph) -> Graph:
    """A power with one constant exponent becomes a function of one input, which int8 has as a table."""
    graph.nodes = [_of_one_input(n) if n.op == "pow" else n for n in graph.nodes]
    return graph


def _of_one_input(node: Node) -> Node:
    x, y, exponent = node.input(0), node.output, node.input(1)
    if exponent.data is None or exponent.elements != 1 or x.shape != y.shape or x.dtype != "float32":
        return node
    value = float(exponent.data.ravel()[0])
    if value == 1.0:
        return Node("reshape", [x], [y], {"shape": y.shape}, node.source)
    if value in NAMED:
        return Node(NAMED[value], [x], [y], {}, node.source)
    return Node("power", [x], [y], {"exponent": value}, node.source)
