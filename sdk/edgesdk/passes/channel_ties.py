# SPDX-License-Identifier: Apache-2.0
"""Which channels (indices of the last axis) of a graph's values can be left out.

Ops that keep channels apart tie those of their inputs to those of their outputs: all of a tied set go or none. A set
can go where nothing else reads it than layers that can do without it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.ir import Graph, Node, Value
from edgesdk.passes.channel_ranges import BINARIES, UNARIES

Link = tuple[Value, np.ndarray, Value, np.ndarray]  # channels of one value, and those of another that they are tied to
Needs = Callable[[Node], np.ndarray | None]
Own = dict[Node, np.ndarray | None]


def channels(value: Value) -> int:
    return value.shape[-1] if value.shape else 1


def removable(graph: Graph, needs: Needs) -> dict[Value, np.ndarray]:
    """For each value that loses channels which of them stay, as a mask. `needs` tells the channels that a layer needs
    of its input; None of nodes that are not layers whose channels can be left out."""
    own = {n: needs(n) for n in graph.nodes}
    first = _numbered(graph, own)
    links, needed = _links(graph, first, own)
    group = _grouped(needed.size, links)
    bounds = [(v, at, at + channels(v)) for v, at in first.items()]
    kept = _spread(group, needed)
    while empty := [at for _, at, end in bounds if not kept[at:end].any()]:
        needed[empty] = True  # a value has at least one channel
        kept = _spread(group, needed)
    return {v: kept[at:end] for v, at, end in bounds if not kept[at:end].all()}


def _values(node: Node, own: Own) -> list[Value]:
    """What the node reads and writes; the weights of a layer are its own business."""
    inputs = node.inputs if own[node] is None else node.inputs[:1]
    return [v for v in (*inputs, *node.outputs) if v is not None]


def _numbered(graph: Graph, own: Own) -> dict[Value, int]:
    """The number of each value's first channel."""
    first: dict[Value, int] = {}
    total = 0
    for value in (v for n in graph.nodes for v in _values(n, own)):
        if value not in first:
            first[value], total = total, total + channels(value)
    return first


def _links(graph: Graph, first: dict[Value, int], own: Own) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tied channels [2, pairs], and the channels that are needed for themselves."""
    needed = np.zeros(sum(map(channels, first)), bool)
    pairs: list[np.ndarray] = [np.zeros((2, 0), np.int64)]
    whole = [v for v in (*graph.inputs, *graph.results, *(v.value for v in graph.variables)) if v in first]
    for node in graph.nodes:
        mask, tied = own[node], ties(node, own[node])
        whole += _values(node, own) if tied is None else []
        if mask is not None:
            needed[first[node.input(0)] + np.flatnonzero(mask)] = True
        pairs += [np.stack([first[a] + at, first[b] + to]) for a, at, b, to in tied or []]
    for value in whole:
        needed[first[value] : first[value] + channels(value)] = True
    return np.concatenate(pairs, 1), needed


def _grouped(count: int, links: np.ndarray) -> np.ndarray:
    """The least channel of each channel's tied set."""
    group = np.arange(count)
    while True:
        least = np.minimum(group[links[0]], group[links[1]])
        following = group.copy()
        for side in links:
            np.minimum.at(following, side, least)
        following = following[following]
        if np.array_equal(following, group):
            return group
        group = following


def _spread(group: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """All of a set stays where one of it is needed."""
    wanted = np.zeros(group.size, bool)
    wanted[group[needed]] = True
    return wanted[group]


# What ties the channels of an op; None where it mixes them, or reads them in a way that is not known here.


def ties(node: Node, needs: np.ndarray | None) -> list[Link] | None:
    if needs is not None:
        return _depthwise(node) if node.op == "depthwise_conv2d" and channels(node.input(0)) > 1 else []
    rule = _TIES.get(node.op)
    return None if rule is None else rule(node)


def _depthwise(node: Node) -> list[Link]:
    x, y = node.input(0), node.output
    out = np.arange(channels(y))
    return [(x, out // (channels(y) // channels(x)), y, out)]


def _alike(node: Node) -> list[Link]:
    """Every input has the output's channels, or one for all of them."""
    every = np.arange(channels(node.output))
    return [(v, every, node.output, every) for v in node.inputs if v is not None and channels(v) == every.size]


def _item_by_item(node: Node) -> list[Link]:
    every = np.arange(channels(node.output))
    return [(node.input(0), every, node.output, every)]


def _reduced(node: Node) -> list[Link] | None:
    return None if len(node.input(0).shape) - 1 in node.attrs["axes"] else _item_by_item(node)


def _padded(node: Node) -> list[Link] | None:
    return None if any(node.attrs["pads"][-1]) else _item_by_item(node)


def _tiled(node: Node) -> list[Link] | None:
    return None if node.attrs["repeats"][-1] != 1 else _item_by_item(node)


def _transposed(node: Node) -> list[Link] | None:
    last = len(node.attrs["perm"]) - 1
    return _item_by_item(node) if node.attrs["perm"][-1] == last else None


def _sliced(node: Node) -> list[Link] | None:
    if node.attrs["stride"][-1] != 1:
        return None
    every = np.arange(channels(node.output))
    return [(node.input(0), node.attrs["begin"][-1] + every, node.output, every)]


def _joined(node: Node) -> list[Link]:
    if node.attrs["axis"] != len(node.output.shape) - 1:
        return _alike(node)
    values = [node.input(i) for i in range(len(node.inputs))]
    ends = np.cumsum([channels(v) for v in values])
    every = [np.arange(channels(v)) for v in values]
    return [(v, e, node.output, e + end - e.size) for v, e, end in zip(values, every, ends, strict=True)]


def _reshaped(node: Node) -> list[Link] | None:
    """Where one last axis is a multiple of the other, items keep their channel modulo the shorter one."""
    x, y = node.input(0), node.output
    longest = np.arange(max(channels(x), channels(y)))
    if longest.size % channels(x) or longest.size % channels(y):
        return None
    return [(x, longest % channels(x), y, longest % channels(y))]


_TIES: dict[str, Callable[[Node], list[Link] | None]] = {
    **dict.fromkeys((*UNARIES, "avg_pool2d", "max_pool2d"), _item_by_item),
    **dict.fromkeys(("resize_nearest", "resize_bilinear", "resize_filter", "take_pixels"), _item_by_item),
    **dict.fromkeys(BINARIES, _alike),
    **dict.fromkeys(("mean", "sum", "reduce_max", "reduce_min", "image_mean"), _reduced),
    **dict.fromkeys(("pad", "border_pad"), _padded),
    "tile": _tiled,
    "transpose": _transposed,
    "slice": _sliced,
    "concat": _joined,
    "reshape": _reshaped,
}
