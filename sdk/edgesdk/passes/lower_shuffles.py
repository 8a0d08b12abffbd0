# SPDX-License-Identifier: Apache-2.0
from edgesdk import ops
from edgesdk.ir import Graph, Node
from edgesdk.ops import copy

SHUFFLES = ("transpose", "slice", "pad", "space_to_depth", "depth_to_space", "broadcast_to", "tile")


def lower_shuffles(graph: Graph) -> Graph:
    """Nodes that only move items become strided copies, or views where no item moves."""
    graph.nodes = [n for node in graph.nodes for n in (_lowered(node) if node.op in SHUFFLES else [node])]
    return graph


def _lowered(node: Node) -> list[Node]:
    """One copy, or several where one has not got loops enough."""
    module = ops.module(node.op)
    moved: Node = module.lower(node)
    if copy.is_contiguous(moved):
        return [Node("reshape", [node.input(0)], node.outputs, {"shape": node.output.shape}, node.source)]
    if copy.loops_suffice(moved) or not hasattr(module, "split"):
        return [moved]
    return [n for part in module.split(node) for n in _lowered(part)]
