# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import reduce


def lower_reduce(graph: Graph) -> Graph:
    """Axes that are not one run, as (0, 2) of a [2, 3, 4], are moved to the end by a transpose."""
    nodes: list[Node] = []
    for node in graph.nodes:
        split = node.op in reduce.NAMES and reduce.canonical(node.input(0).shape, node.attrs["axes"]) is None
        nodes += _transposed(node) if split else [node]
    graph.nodes = nodes
    return graph


def _transposed(node: Node) -> list[Node]:
    """transpose, the reduction over the last axes, and a reshape where their ones are kept."""
    x, y, axes = node.input(0), node.output, node.attrs["axes"]
    rank = len(x.shape)
    kept = tuple(a for a in range(rank) if a not in axes)
    perm = kept + tuple(axes)
    moved = Value(f"{y.name}/moved", tuple(x.shape[a] for a in perm), x.dtype, x.quant)
    flat = Value(f"{y.name}/flat", tuple(x.shape[a] for a in kept), y.dtype, y.quant) if node.attrs["keep_dims"] else y
    last = {"axes": tuple(range(len(kept), rank)), "keep_dims": False}
    nodes = [
        Node("transpose", [x], [moved], {"perm": perm}, node.source),
        Node(node.op, [moved], [flat], last, node.source),
    ]
    return nodes if flat is y else [*nodes, Node("reshape", [flat], [y], {"shape": y.shape}, node.source)]
