# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import softmax
from edgesdk.passes.image_rows import of_image


def lower_softmax(graph: Graph) -> Graph:
    """A softmax over an inner axis is one over the last between two transposes; one over the channels of an image goes
    by the image's rows, so that a fused stage needs few of them."""
    producers = graph.producers()
    for node in graph.nodes:
        if node.op == "softmax" and softmax.axis(node) == len(node.input(0).shape) - 1:
            node.attrs |= {"by_image": True} if of_image(node.input(0), producers) else {}
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
