# SPDX-License-Identifier: Apache-2.0
from edgesdk import ops
from edgesdk.ir import Graph


def fold_constants(graph: Graph) -> Graph:
    """Nodes whose inputs are all constant are computed now."""
    kept = []
    for node in graph.nodes:
        if not node.inputs or any(v is not None and v.data is None for v in node.inputs):
            kept.append(node)
            continue
        results = ops.module(node.op).reference(node, [None if v is None else v.data for v in node.inputs])
        for value, result in zip(node.outputs, results, strict=True):
            value.data = result.astype(value.dtype)
    graph.nodes = kept
    return graph
