# SPDX-License-Identifier: Apache-2.0
"""A concat whose parts a transpose mixes, as in a channel shuffle, puts its items where they belong at once.

Parts [.., C] are joined to [.., n C], seen as [.., n, C] and transposed to [.., C, n]: the same as parts [.., C, 1]
joined along their last axis. That copies every item once instead of twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgesdk.ir import Graph, Node, Value
from edgesdk.passes.remove_dead_nodes import remove_dead_nodes


@dataclass(frozen=True)
class Shuffle:
    """The concat that `transpose` reads, seen as `shape`: axis `parts` counts the concat's inputs."""

    transpose: Node
    concat: Node
    shape: tuple[int, ...]
    parts: int


def fold_shuffles(graph: Graph) -> Graph:
    producers, consumers = graph.producers(), graph.consumers()
    nodes: list[Node] = []
    for node in graph.nodes:
        found = _shuffle(graph, node, producers, consumers) if node.op == "transpose" else None
        nodes += [node] if found is None else _stacked(found)
    if len(nodes) == len(graph.nodes):
        return graph
    graph.nodes = nodes
    return remove_dead_nodes(graph)


def _shuffle(
    graph: Graph, node: Node, producers: dict[Value, Node], consumers: dict[Value, list[Node]]
) -> Shuffle | None:
    value = node.input(0)
    reshape = producers.get(value)
    if reshape is None or reshape.op != "reshape":
        return None
    concat = producers.get(reshape.input(0))
    alone = all(len(consumers[v]) == 1 and v not in graph.results for v in (value, reshape.input(0)))
    if concat is None or concat.op != "concat" or not alone:
        return None
    parts = _parts_axis(concat, value.shape)
    if parts is None or not _only_moves(node.attrs["perm"], value.shape, parts):
        return None
    return Shuffle(node, concat, value.shape, parts)


def _parts_axis(concat: Node, shape: tuple[int, ...]) -> int | None:
    """The axis of `shape`, the concat's output reshaped, that counts inputs of one size."""
    n, joined, axis = len(concat.inputs), concat.output.shape, concat.attrs["axis"]
    inputs = [concat.input(i) for i in range(n)]
    if len({v.shape for v in inputs}) != 1 or any(v.data is not None for v in inputs):
        return None
    before = math.prod(joined[:axis])
    return next((a for a, d in enumerate(shape) if d == n and math.prod(shape[:a]) == before), None)


def _only_moves(perm: tuple[int, ...], shape: tuple[int, ...], axis: int) -> bool:
    """Whether the transposition moves items between the parts only: the items of each stay in their order."""
    others = [a for a in perm if a != axis and shape[a] != 1]
    return others == sorted(others)


def _stacked(found: Shuffle) -> list[Node]:
    perm, y = found.transpose.attrs["perm"], found.transpose.output
    shape = tuple(1 if a == found.parts else found.shape[a] for a in perm)
    inputs = [found.concat.input(i) for i in range(len(found.concat.inputs))]
    parts = [Value(f"{y.name}/part{i}", shape, v.dtype, v.quant) for i, v in enumerate(inputs)]
    source = found.concat.source
    laid = [Node("reshape", [v], [p], {"shape": shape}, source) for v, p in zip(inputs, parts, strict=True)]
    return [*laid, Node("concat", list(parts), [y], {"axis": perm.index(found.parts)}, source)]
