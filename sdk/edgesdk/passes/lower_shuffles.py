# SPDX-License-Identifier: Apache-2.0
from edgesdk import ops
from edgesdk.ir import Graph, Node
from edgesdk.ops import copy

SHUFFLES = ("transpose", "slice", "pad", "space_to_depth", "depth_to_space")


def lower_shuffles(graph: Graph) -> Graph:
    """Nodes that only move items become strided copies, or views where no item moves."""
    graph.nodes = [_lowered(n) if n.op in SHUFFLES else n for n in graph.nodes]
    return graph


def _lowered(node: Node) -> Node:
    moved: Node = ops.module(node.op).lower(node)
    if copy.is_contiguous(moved):
        return Node("reshape", [node.input(0)], node.outputs, {"shape": node.output.shape}, node.source)
    return moved
