# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import activation, unary

TABLED = (*unary.NAMES, *activation.NAMES)


def lower_unary(graph: Graph) -> Graph:
    """int8 activations become a table of their results for all 256 inputs."""
    graph.nodes = [_as_table(n) if n.op in TABLED and n.input(0).dtype == "int8" else n for n in graph.nodes]
    return graph


def _as_table(node: Node) -> Node:
    inputs = np.arange(-128, 128).astype(np.int8)
    data = ops.module(node.op).reference(node, [inputs])[0]
    table = Value(f"{node.output.name}/table", (256,), "int8", node.output.quant, data)
    return Node("lut", [node.input(0), table], node.outputs, {}, node.source)
