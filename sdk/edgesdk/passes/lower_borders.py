# SPDX-License-Identifier: Apache-2.0
"""Borders of the value's own items become rows and columns that are taken more than once."""

from __future__ import annotations

import math

from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import border_pad


def lower_borders(graph: Graph) -> Graph:
    """Height and width of an image in one step; any other axis as the height of a reshaped value."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _taken(node) if node.op == "border_pad" else [node]
    graph.nodes = nodes
    return graph


def _taken(node: Node) -> list[Node]:
    x, y = node.input(0), node.output
    padded = [a for a, pair in enumerate(node.attrs["pads"]) if any(pair)]
    steps: list[Node] = []
    if len(x.shape) == 4 and set(padded) & {1, 2}:
        x = _take(node, steps, x, x.shape, 1, 2)
        padded = [a for a in padded if a not in (1, 2)]
    for axis in padded:
        shape = x.shape[:axis] + (y.shape[axis],) + x.shape[axis + 1 :]
        image = (math.prod(x.shape[:axis]), x.shape[axis], 1, math.prod(x.shape[axis + 1 :]))
        x = _reshape(node, steps, _take(node, steps, _reshape(node, steps, x, image), image, axis, None), shape)
    last = steps[-1] if steps else None
    if last is None or last.output is not x:
        return [*steps, Node("reshape", [x], [y], {"shape": y.shape}, node.source)]
    last.outputs = [y]
    return steps


def _reshape(node: Node, steps: list[Node], x: Value, shape: tuple[int, ...]) -> Value:
    if x.shape == shape:
        return x
    result = Value(f"{node.output.name}/as{len(steps)}", shape, x.dtype, x.quant)
    steps.append(Node("reshape", [x], [result], {"shape": shape}, node.source))
    return result


def _take(
    node: Node, steps: list[Node], x: Value, image: tuple[int, ...], row_axis: int, column_axis: int | None
) -> Value:
    """The rows that `row_axis` of the pad asks for, and the columns of `column_axis`."""
    rows = border_pad.positions(node, row_axis)
    columns = tuple(range(image[2])) if column_axis is None else border_pad.positions(node, column_axis)
    shape = (image[0], len(rows), len(columns), image[3])
    result = Value(f"{node.output.name}/taken{len(steps)}", shape, x.dtype, x.quant)
    steps.append(Node("take_pixels", [x], [result], {"rows": rows, "columns": columns}, node.source))
    return result
