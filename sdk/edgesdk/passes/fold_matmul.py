# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk.ir import Graph, Node, Value


def fold_matmul(graph: Graph) -> Graph:
    """A product with one constant matrix on the right is a fully connected layer: its weights are quantised per
    channel and packed, and its kernels are the fastest."""
    graph.nodes = [_dense(n) if n.op == "batch_matmul" and _is_dense(n) else n for n in graph.nodes]
    return graph


def _is_dense(node: Node) -> bool:
    a, b = node.input(0), node.input(1)
    rank = max(len(a.shape), len(b.shape))
    plain = not node.attrs["adj_x"] and len(a.shape) == rank and b.data is not None
    # Weights have no zero point, and no more than 8 bits.
    weights = b.dtype != "int16" and (b.quant is None or not b.quant.zero_point.any())
    return plain and weights and all(d == 1 for d in b.shape[:-2])


def _dense(node: Node) -> Node:
    b = node.input(1)
    assert b.data is not None
    matrix = b.data.reshape(b.shape[-2:])
    laid = np.ascontiguousarray(matrix if node.attrs["adj_y"] else matrix.T)
    weights = Value(b.name, laid.shape, b.dtype, b.quant, laid)
    return Node("fully_connected", [node.input(0), weights, None], node.outputs, {"activation": "none"}, node.source)
