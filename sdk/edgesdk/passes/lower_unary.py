# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import activation, elementary, unary

TABLED = (*unary.NAMES, *elementary.NAMES, *activation.NAMES)


def lower_unary(graph: Graph) -> Graph:
    """int8 activations become a table of their results for all 256 inputs, int16 ones that have no kernel a table of
    samples."""
    graph.nodes = [_as_table(n) if _has_table(n) else n for n in graph.nodes]
    return graph


def _has_table(node: Node) -> bool:
    dtype = node.input(0).dtype
    if dtype == "int16":
        return node.op in (*unary.TABLES_16, *activation.NAMES)
    return node.op in TABLED and dtype == "int8"


def _as_table(node: Node) -> Node:
    dtype, module = node.input(0).dtype, ops.module(node.op)
    if dtype == "int16":
        data = module.table_16(node)
    else:
        data = module.reference(node, [np.arange(-128, 128).astype(np.int8)])[0]
    table = Value(f"{node.output.name}/table", data.shape, dtype, node.output.quant, data)
    return Node("lut", [node.input(0), table], node.outputs, {}, node.source)
