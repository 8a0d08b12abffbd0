# SPDX-License-Identifier: Apache-2.0
"""Masks in front of a softmax, for int8.

A mask adds 0 to what counts and -10000, say, to what does not, or a number like that is selected in its place. One
int8 scale over both would leave nothing of the scores. But an item counts as nothing as soon as it lies MARGIN / beta
below the smallest unmasked score: e^-12 is less than 1 / 600 of an output step. So the sum's range ends there (lower
sums saturate at its end), a constant mask is cut to what reaches it, and so is the range of a mask that is computed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edgesdk.compress.calibrate import Ranges
from edgesdk.ir import Graph, Node, Value

MARGIN = 12.0
VIEWS = ("reshape", "transpose")


def limit_masks(graph: Graph, ranges: Ranges) -> tuple[Graph, Ranges]:
    """The graph and its ranges with every mask no lower than it needs to be; the given ones stay as they are."""
    graph, ranges = replace(graph, nodes=list(graph.nodes)), dict(ranges)
    readers, found = graph.consumers(), _masks(graph, ranges)
    given = (*graph.inputs, *(v.value for v in graph.variables))
    for i, node in enumerate(graph.nodes):
        if node not in found:
            continue
        mask, floor, reach = found[node]
        ranges[node.output] = (max(ranges[node.output][0], floor), ranges[node.output][1])
        if mask.data is not None:
            graph.nodes[i] = _with_cut(node, reach)
        elif all(n in found for n in readers[mask]) and mask not in (*graph.results, *given):
            _limit_computed(graph, ranges, mask, min(found[n].reach for n in readers[mask]))
    return graph, ranges


class Mask(NamedTuple):
    """What a sum adds to scores, or selects: the sum needs to reach down to `floor`, the mask to `reach`."""

    value: Value
    floor: float
    reach: float


def _masks(graph: Graph, ranges: Ranges) -> dict[Node, Mask]:
    """The sums and selections with a mask that only softmaxes read."""
    found, readers = {}, graph.consumers()
    for node in graph.nodes:
        find = FINDERS.get(node.op)
        beta = least_beta(graph, readers, node.output) if find else None
        mask = find(ranges, node, MARGIN / beta) if find and beta is not None and beta > 0 else None
        if mask is not None:
            found[node] = mask
    return found


def _selected(ranges: Ranges, node: Node, margin: float) -> Mask | None:
    """A constant that a select puts in the place of scores."""
    for scores, mask in ((node.input(1), node.input(2)), (node.input(2), node.input(1))):
        if mask.data is not None and scores.data is None and node.output in ranges:
            floor = ranges[scores][0] - margin
            if float(mask.data.max()) < floor:
                return Mask(mask, floor, floor)
    return None


def _added(ranges: Ranges, node: Node, margin: float) -> Mask | None:
    if node.output not in ranges:
        return None
    for scores, mask in ((node.input(0), node.input(1)), (node.input(1), node.input(0))):
        low, high = _range(ranges, scores)
        reach = -(max(high, 0.0) - min(low, 0.0) + margin)
        mask_low, mask_high = _range(ranges, mask)
        if mask_high <= 0 and mask_low < reach:
            return Mask(mask, low - margin, reach)
    return None


FINDERS = {"add": _added, "select": _selected}


def scores(graph: Graph) -> set[Value]:
    """Values that only softmaxes read: how far below the others an item lies, beyond MARGIN, is of no account."""
    readers = graph.consumers()
    return {v for n in graph.nodes for v in n.outputs if least_beta(graph, readers, v) is not None}


def least_beta(graph: Graph, readers: dict[Value, list[Node]], value: Value) -> float | None:
    """The least beta of the softmaxes that read the value, perhaps through views; None where others do."""
    found = []
    for node in readers.get(value, []):
        beta = float(node.attrs["beta"]) if node.op == "softmax" else None
        found.append(least_beta(graph, readers, node.output) if node.op in VIEWS else beta)
    known = [b for b in found if b is not None]
    return min(known) if known and len(known) == len(found) and value not in graph.results else None


def _range(ranges: Ranges, v: Value) -> tuple[float, float]:
    return ranges[v] if v.data is None else (float(v.data.min()), float(v.data.max()))


def _cut(v: Value, least: float) -> Value:
    assert v.data is not None
    if v.dtype != "float32":
        return v
    return Value(v.name, v.shape, v.dtype, None, np.maximum(v.data, np.float32(least)))


def _with_cut(node: Node, least: float) -> Node:
    return replace(node, inputs=[v if v is None or v.data is None else _cut(v, least) for v in node.inputs])


def _limit_computed(graph: Graph, ranges: Ranges, mask: Value, least: float) -> None:
    """A mask that is computed: its range, and the factor that makes 0 and -10000 of 0 and 1."""
    ranges[mask] = (max(ranges[mask][0], least), ranges[mask][1])
    for i, node in enumerate(graph.nodes):
        if node.output is not mask:
            continue
        if node.op in VIEWS:
            _limit_computed(graph, ranges, node.input(0), least)
        elif node.op == "mul":
            graph.nodes[i] = _with_cut(node, least)
