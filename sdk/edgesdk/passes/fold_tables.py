# SPDX-License-Identifier: Apache-2.0
"""int8 steps that work item by item: those that change no byte go, those that follow one another become one table."""

from __future__ import annotations

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.passes.channel_ranges import BINARIES, UNARIES, Ranges, channel_ranges, is_integer, item_table, range_of

STEPS = 256  # entries of a table


def fold_tables(graph: Graph) -> Graph:
    """A step is left out only where no stored integer that can occur is changed by it. One with a constant number is
    a table from so many items on as a table has."""
    producers, readers = graph.producers(), graph.consumers()
    if not any(_operand(n, producers) for n in graph.nodes):
        return graph
    ranges = channel_ranges(graph)
    tables: dict[Value, tuple[Value, np.ndarray]] = {}  # result of a table -> (what is looked up, its table)
    nodes: list[Node] = []
    for node in graph.nodes:
        x = _operand(node, producers)
        table = None if x is None else _table(node, x, producers)
        if x is None or table is None:
            nodes.append(node)
        elif _changes_nothing(x, table, ranges):
            nodes.append(Node("reshape", [x], node.outputs, {"shape": node.output.shape}, node.source))
        else:
            nodes.append(_looked_up(graph, node, x, table, tables, readers))
    graph.nodes = nodes
    return graph


def _dequantize(node: Node, producers: dict[Value, Node]) -> Node | None:
    """What a quantize turns back into integers: both round as their references do."""
    before = producers.get(node.input(0)) if node.op == "quantize" else None
    return before if before is not None and before.op == "dequantize" else None


def _operand(node: Node, producers: dict[Value, Node]) -> Value | None:
    """What the node's result depends on, item by item; None where that is not one int8 value."""
    before = _dequantize(node, producers)
    if before is not None and _is_byte(before.input(0)) and _is_byte(node.output):
        return before.input(0)
    sides = [v for v in node.inputs if v is not None and v.data is None]
    by_item = (*UNARIES, *BINARIES) if len(sides) == 1 else ()
    whole = node.op in by_item and len(node.outputs) == 1 and sides[0].shape == node.output.shape
    return sides[0] if whole and all(_is_byte(v) for v in (sides[0], node.output)) else None


def _is_byte(v: Value) -> bool:
    return v.dtype == "int8" and is_integer(v)


def _table(node: Node, x: Value, producers: dict[Value, Node]) -> np.ndarray | None:
    """The results for every stored value, [256, 1 or channels]."""
    before = _dequantize(node, producers)
    if before is not None:
        real = ops.module("dequantize").reference(before, [np.arange(-128, 128).astype(np.int8)])
        return np.asarray(ops.module("quantize").reference(node, real)[0], np.int64).reshape(-1, 1)
    if node.op in UNARIES:
        return item_table(node).reshape(-1, 1)
    constant = next(v for v in node.inputs if v is not None and v.data is not None)
    if constant.elements not in (1, *constant.shape[-1:]) or not _is_byte(constant):
        return None
    assert constant.data is not None
    every, row = np.arange(-128, 128).astype(np.int8).reshape(-1, 1), constant.data.reshape(1, -1)
    given = [every if v is x else row for v in node.inputs]
    return np.asarray(ops.module(node.op).reference(node, given)[0], np.int64)


def _changes_nothing(x: Value, table: np.ndarray, ranges: Ranges) -> bool:
    """The result is the stored integer itself wherever a channel can have it."""
    found, every = range_of(x, ranges), np.arange(-128, 128)[:, None]
    occurs = (found.low <= every) & (every <= found.high)
    return bool(((table == every) | ~occurs).all())


def _looked_up(
    graph: Graph,
    node: Node,
    x: Value,
    table: np.ndarray,
    tables: dict[Value, tuple[Value, np.ndarray]],
    readers: dict[Value, list[Node]],
) -> Node:
    """The node, or a table for it and for the tables in front of it, whose results nobody else reads."""
    if table.shape[1] > 1:
        return node
    entries = table[:, 0]
    pays = node.input(0).dtype == "float32" or (node.op in BINARIES and x.elements >= STEPS)
    if x in tables and len(readers[x]) == 1 and x not in graph.results:
        x, before = tables[x]
        entries, pays = entries[before + 128], True
    tables[node.output] = x, entries
    if not pays:
        return node
    y = node.output
    constant = Value(f"{y.name}/table", (STEPS,), "int8", None, entries.astype(np.int8))
    return Node("lut", [x, constant], [y], {}, node.source)
