# SPDX-License-Identifier: Apache-2.0
"""Group norms that ONNX exporters write as an instance norm of reshaped channels, then a product and a sum.

x [N, C, ...] is reshaped to [N, G, L] and transposed, its instance norm goes the same way back; a factor and a term of
[C, 1, ...] may follow. One group_norm over the channels, wherever they lie, needs no order of the items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgesdk.ir import Graph, Node, Value
from edgesdk.passes.remove_dead_nodes import remove_dead_nodes

SWAPPED = (0, 2, 1)


@dataclass(frozen=True)
class Found:
    """x, its norm over `groups`, and the value that the product and the sum behind it left."""

    norm: Node
    x: Value
    result: Value
    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class Links:
    """Who writes a value, and who reads it."""

    producers: dict[Value, Node]
    consumers: dict[Value, list[Node]]
    results: list[Value]

    def before(self, value: Value, op: str) -> Node | None:
        node = self.producers.get(value)
        return node if node is not None and node.op == op else None

    def behind(self, value: Value, op: str) -> Node | None:
        """The only reader, if it is an `op` and the value is no result."""
        readers = self.consumers.get(value, [])
        return readers[0] if len(readers) == 1 and readers[0].op == op and value not in self.results else None


def fuse_group_norm(graph: Graph) -> Graph:
    links = Links(graph.producers(), graph.consumers(), graph.results)
    fused = {}
    for node in graph.nodes:
        found = _norm(links, node) if node.op == "instance_norm" and node.output.dtype == "float32" else None
        if found is not None:
            found = _affine(links, _affine(links, found, "mul"), "add")
            fused[links.producers[found.result]] = _written(found)
    if not fused:
        return graph
    graph.nodes = [m for n in graph.nodes for m in fused.get(n, [n])]
    return remove_dead_nodes(graph)


def _norm(links: Links, norm: Node) -> Found | None:
    """The norm between two transposes between two reshapes."""
    turned, turning = links.before(norm.input(0), "transpose"), links.behind(norm.output, "transpose")
    if turned is None or turning is None or not turned.attrs["perm"] == turning.attrs["perm"] == SWAPPED:
        return None
    split, merged = links.before(turned.input(0), "reshape"), links.behind(turning.output, "reshape")
    if split is None or merged is None or merged.output.shape != split.input(0).shape:
        return None
    x, (batch, groups, _) = split.input(0), split.output.shape
    if len(x.shape) < 2 or x.shape[0] != batch or x.shape[1] % groups:
        return None
    each = x.shape[1] // groups
    values = [None if v is None else v.data for v in (norm.optional(1), norm.optional(2))]
    scale, shift = (np.full(groups, start) if v is None else v for v, start in zip(values, (1.0, 0.0), strict=True))
    return Found(norm, x, merged.output, np.repeat(scale, each), np.repeat(shift, each))


def _affine(links: Links, found: Found, op: str) -> Found:
    """With the factor or term per channel that follows, if one does."""
    node = links.behind(found.result, op)
    if node is None or node.attrs["activation"] != "none" or node.output.shape != found.x.shape:
        return found
    given = per_channel(next((v for v in node.inputs if v is not found.result), None), found.x.shape)
    if given is None:
        return found
    if op == "mul":
        return replace(found, result=node.output, scale=found.scale * given, shift=found.shift * given)
    return replace(found, result=node.output, shift=found.shift + given)


def per_channel(value: Value | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """The items of a constant that follows axis 1 of `shape` alone, one for each channel."""
    if value is None or value.data is None or len(value.shape) > len(shape):
        return None
    laid = value.data.reshape((1,) * (len(shape) - len(value.shape)) + value.shape)
    alone = all(d == 1 for a, d in enumerate(laid.shape) if a != 1)
    return np.broadcast_to(laid.ravel(), shape[1:2]) if alone else None


def _written(found: Found) -> list[Node]:
    """The norm over channels that lie last, between two transposes."""
    x, y, rank = found.x, found.result, len(found.x.shape)
    order = (0, *range(2, rank), 1)
    back = tuple(order.index(a) for a in range(rank))
    shape = tuple(x.shape[a] for a in order)
    last, normed = (Value(f"{y.name}/{what}", shape, x.dtype) for what in ("channels_last", "normed"))
    factors = [
        Value(f"{y.name}/{what}", (x.shape[1],), "float32", None, data.astype(np.float32))
        for what, data in (("scale", found.scale), ("shift", found.shift))
    ]
    attrs = {"groups": found.norm.input(0).shape[-1], "epsilon": found.norm.attrs["epsilon"]}
    return [
        Node("transpose", [x], [last], {"perm": order}, found.norm.source),
        Node("group_norm", [last, *factors], [normed], attrs, found.norm.source),
        Node("transpose", [normed], [y], {"perm": back}, found.norm.source),
    ]
