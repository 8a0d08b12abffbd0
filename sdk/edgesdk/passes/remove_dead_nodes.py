# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph


def remove_dead_nodes(graph: Graph) -> Graph:
    """Nodes whose outputs nobody reads are dropped."""
    wanted = set(graph.results)
    kept = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(v for v in node.inputs if v is not None)
            kept.append(node)
    graph.nodes = kept[::-1]
    return graph
