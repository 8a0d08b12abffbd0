# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import quantize

# Their kernels copy or average int8 items and so keep the input's scale and zero point.
KEEPS_GRID = (
    *("avg_pool2d", "max_pool2d", "reduce_max", "reduce_min"),
    *("resize_nearest", "resize_bilinear", "resize_filter"),
)


def lower_requantize(graph: Graph) -> Graph:
    """int8 -> int8 `quantize` becomes a table, or a view where nothing changes. An op that cannot change the
    scale gets its input's, with such a table behind it."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in KEEPS_GRID and node.input(0).dtype in ("int8", "int16"):
            nodes += _split(node)
        else:
            nodes.append(node)
    graph.nodes = [_lowered(n) if n.op == "quantize" else n for n in nodes]
    return graph


def _split(node: Node) -> list[Node]:
    x, y = node.input(0), node.output
    if quantize.same_grid(x, y):
        return [node]
    between = Value(f"{y.name}/unscaled", y.shape, y.dtype, x.quant)
    node.outputs = [between]
    return [node, Node("quantize", [between], [y], {}, node.source)]


def _lowered(node: Node) -> Node:
    x, y = node.input(0), node.output
    if x.dtype == "float32":
        return node
    if (x.dtype, x.scale, x.zero_point) == (y.dtype, y.scale, y.zero_point):
        return Node("reshape", [x], [y], {"shape": y.shape}, node.source)
    return _as_table(node) if x.dtype == y.dtype == "int8" else node


def _as_table(node: Node) -> Node:
    x, y = node.input(0), node.output
    every = np.arange(-128, 128).astype(np.int8)
    table = ops.module("quantize").reference(node, [every])[0]
    constant = Value(f"{y.name}/table", (256,), "int8", None, table)
    return Node("lut", [x, constant], [y], {}, node.source)
