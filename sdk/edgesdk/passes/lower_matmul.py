# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import batch_matmul
from edgesdk.ops.copy import axis, copy_node, strides


def lower_matmul(graph: Graph) -> Graph:
    """A transposed left side is transposed first; batch axes that broadcast in the middle are written out."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op == "batch_matmul":
            nodes += _prepared(node)
        nodes.append(node)
    graph.nodes = nodes
    return graph


def _prepared(node: Node) -> list[Node]:
    made = []
    if node.attrs["adj_x"]:
        made.append(_transposed(node))
        node.attrs = {**node.attrs, "adj_x": False}
        node.inputs[0] = made[-1].output
    for i, found in enumerate(batch_matmul.walks(node)):
        if found is None:
            made.append(_written_out(node, i))
            node.inputs[i] = made[-1].output
    return made


def _transposed(node: Node) -> Node:
    x = node.input(0)
    perm = (*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2)
    moved = Value(f"{node.output.name}/transposed", tuple(x.shape[a] for a in perm), x.dtype, x.quant)
    return Node("transpose", [x], [moved], {"perm": perm}, node.source)


def _written_out(node: Node, i: int) -> Node:
    x = node.input(i)
    shape = (*node.output.shape[:-2], *x.shape[-2:])
    dims = (1,) * (len(shape) - len(x.shape)) + x.shape
    axes = [axis(n, s if d > 1 else 0) for n, d, s in zip(shape, dims, strides(dims), strict=True)]
    copied = Node("broadcast", [x], [Value(f"{node.output.name}/{x.name}", shape, x.dtype, x.quant)], {}, node.source)
    return copy_node(copied, x, axes)
