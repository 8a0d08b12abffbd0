# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import softmax


def lower_softmax(graph: Graph) -> Graph:
    """A softmax over an inner axis is one over the last between two transposes."""
    nodes: list[Node] = []
    for node in graph.nodes:
        inner = node.op == "softmax" and softmax.axis(node) != len(node.input(0).shape) - 1
        nodes += _transposed(node) if inner else [node]
    graph.nodes = nodes
    return graph


def _transposed(node: Node) -> list[Node]:
    x, y, axis = node.input(0), node.output, softmax.axis(node)
    perm = [a for a in range(len(x.shape)) if a != axis] + [axis]
    back = tuple(perm.index(a) for a in range(len(perm)))
    moved, shares = (
        Value(f"{y.name}/{name}", tuple(x.shape[a] for a in perm), v.dtype, v.quant)
        for name, v in (("moved", x), ("last", y))
    )
    return [
        Node("transpose", [x], [moved], {"perm": tuple(perm)}, node.source),
        Node("softmax", [moved], [shares], {"beta": node.attrs["beta"]}, node.source),
        Node("transpose", [shares], [y], {"perm": back}, node.source),
    ]
