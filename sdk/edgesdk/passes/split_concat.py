# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops.concat import MAX_INPUTS


def split_concat(graph: Graph) -> Graph:
    """A concat of more inputs than a step has becomes a tree of concats."""
    nodes: list[Node] = []
    for node in graph.nodes:
        while node.op == "concat" and len(node.inputs) > MAX_INPUTS:
            nodes += _group(node)
        nodes.append(node)
    graph.nodes = nodes
    return graph


def _group(node: Node) -> list[Node]:
    """Joins the inputs by fours, so that no byte is copied more often than the tree is deep."""
    groups = [node.inputs[i : i + MAX_INPUTS] for i in range(0, len(node.inputs), MAX_INPUTS)]
    joined = [_join(node, g, i) for i, g in enumerate(groups) if len(g) > 1]
    node.inputs = [*(n.output for n in joined), *(v for g in groups if len(g) == 1 for v in g)]
    return joined


def _join(node: Node, inputs: list[Value | None], index: int) -> Node:
    axis, parts = node.attrs["axis"], [v for v in inputs if v is not None]
    shape = list(parts[0].shape)
    shape[axis] = sum(v.shape[axis] for v in parts)
    y = Value(f"{node.output.name}/part{index}.{len(node.inputs)}", tuple(shape), parts[0].dtype, node.output.quant)
    return Node("concat", list(parts), [y], {"axis": axis}, node.source)
