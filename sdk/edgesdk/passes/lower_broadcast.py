# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import arithmetic, binary, elementwise

BROADCASTING = (*binary.NAMES, *arithmetic.NAMES, *elementwise.NAMES)


def lower_broadcast(graph: Graph) -> Graph:
    """Broadcasts with more axes than the binary kernels have are written out."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in BROADCASTING and binary.layout(node) is None:
            nodes += _write_out(node)
        nodes.append(node)
    graph.nodes = nodes
    return graph


def _write_out(node: Node) -> list[Node]:
    """Copies of operands, the smaller first, until the kernel can walk all of them."""
    copies = []
    for i in sorted(range(len(node.inputs)), key=lambda i: node.input(i).elements):
        if binary.layout(node) is None:
            copies.append(_broadcast(node, i))
            node.inputs[i] = copies[-1].output
    return copies


def _broadcast(node: Node, i: int) -> Node:
    x, shape = node.input(i), node.output.shape
    y = Value(f"{node.output.name}/{x.name}", shape, x.dtype, x.quant)
    return Node("broadcast_to", [x], [y], {"shape": shape}, node.source)
