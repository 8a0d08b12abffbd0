# SPDX-License-Identifier: Apache-2.0
"""Channels of integer values that are the same for every input, or that nobody needs, are left out.

What a constant channel adds to the sums of its readers goes into their bias. Where a window reaches past the image it
does not read the channel, so that the bias would be wrong there: such a channel only goes where that makes no
difference, as for a constant that is the zero point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import conv2d, rescale
from edgesdk.passes.channel_ranges import (
    BINARIES,
    LAYERS,
    Range,
    Ranges,
    channel_ranges,
    is_layer,
    layer_sums,
    range_of,
    tap_weights,
    window_taps,
)
from edgesdk.passes.channel_ties import channels, removable
from edgesdk.passes.remove_dead_nodes import remove_dead_nodes

Kept = dict[Value, np.ndarray]


def remove_constant_channels(graph: Graph) -> Graph:
    if not any(is_layer(n) for n in graph.nodes):
        return graph
    ranges = channel_ranges(graph)
    graph.nodes = [_settled(n, ranges) for n in graph.nodes]
    for node in graph.nodes:
        _give_constants(node, ranges)
    while True:
        graph = remove_dead_nodes(graph)
        kept = removable(graph, lambda node: needs(node, ranges))
        if not kept:
            return graph
        _narrow(graph, kept, ranges)


def needs(node: Node, ranges: Ranges) -> np.ndarray | None:
    """A mask of the input channels that a layer needs; None of nodes that are no layers, or whose channels cannot be
    told apart here."""
    if not is_layer(node) or conv2d.groups(node) > 1:
        return None
    if node.op == "depthwise_conv2d":  # it needs what its readers need; of one channel, that one
        return np.full(channels(node.input(0)), channels(node.input(0)) == 1)
    quant = node.input(1).quant
    if quant is not None and quant.factors is not None and quant.factors.shape[1] > 1:
        return np.ones(channels(node.input(0)), bool)
    w, x = tap_weights(node), range_of(node.input(0), ranges)
    weighs = w.any((0, 1))
    return weighs & ~(x.constant & _same_at_borders(node, w, weighs & x.constant, _offsets(node, x)))


def _offsets(node: Node, x: Range) -> np.ndarray:
    """What each constant channel of the input stands for in the sums; 0 for the others."""
    return np.where(x.constant, x.low - node.input(0).zero_point, 0)


def _same_at_borders(node: Node, w: np.ndarray, asked: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """For the input channels that are asked for: whether what windows at a border leave out of them adds nothing."""
    same = offsets == 0
    if node.op == "transpose_conv2d":
        return same
    missing = ~window_taps(node)
    if not missing.any():
        return np.ones_like(same)
    at = np.flatnonzero(asked & ~same)
    left_out = np.einsum("st,oti->soi", missing.astype(np.int64), w[:, :, at].astype(np.int64))
    same[at] = ~left_out.any((0, 1))
    return same


# Before channels go: what is constant no longer depends on anything.


def _settled(node: Node, ranges: Ranges) -> Node:
    """A layer without weights in channels whose result they cannot change: what only these read is needed no more."""
    if not is_layer(node):
        return node
    result, weighs = ranges[node.output], tap_weights(node).any((1, 2))
    if not (result.constant & weighs).any():
        return node
    sums, _ = layer_sums(node, range_of(node.input(0), ranges))
    fits = (rescale.finish(node, sums) == result.low) & (np.abs(sums) < 2**31)
    zeroed = result.constant & weighs & fits
    w, b = node.input(1), node.optional(2)
    assert w.data is not None
    along = [-1 if a == LAYERS[node.op] else 1 for a in range(len(w.shape))]
    data = np.where(zeroed.reshape(along), 0, w.data).astype(w.data.dtype)
    bias = np.where(zeroed, sums, rescale.bias(node))
    inputs: list[Value | None] = [node.input(0), Value(w.name, w.shape, w.dtype, w.quant, data), _bias(node, b, bias)]
    return Node(node.op, inputs, node.outputs, node.attrs, node.source)


def _bias(node: Node, b: Value | None, data: np.ndarray) -> Value:
    dtype = b.dtype if b is not None else "int64" if node.input(0).dtype == "int16" else "int32"
    name, quant = (b.name, b.quant) if b is not None else (f"{node.output.name}/bias", None)
    return Value(name, data.shape, dtype, quant, data.astype(dtype))


def _give_constants(node: Node, ranges: Ranges) -> None:
    """An operand that is constant in all its channels need not be computed."""
    if node.op not in BINARIES:
        return
    for i in (0, 1):
        v, other = node.input(i), node.input(1 - i)
        found = ranges.get(v)
        whole = other.data is None and other.shape == node.output.shape and other is not v
        if found is not None and whole and found.constant.all():
            shape = (1,) * (len(v.shape) - 1) + v.shape[-1:]
            data = found.low.astype(v.dtype).reshape(shape)
            node.inputs[i] = Value(f"{v.name}/constant", shape, v.dtype, v.quant, data)
            return


# Leaving channels out.


def _narrow(graph: Graph, kept: Kept, ranges: Ranges) -> None:
    new = {v: _narrowed(v, mask) for v, mask in kept.items()}
    graph.nodes = [_without(n, kept, new, ranges) for n in graph.nodes]
    ranges.update({new[v]: _part(ranges[v], mask) for v, mask in kept.items() if v in ranges})


def _part(r: Range, mask: np.ndarray) -> Range:
    return Range(r.low[mask], r.high[mask])


def _narrowed(v: Value, mask: np.ndarray) -> Value:
    data = None if v.data is None else np.ascontiguousarray(v.data[..., mask])
    return Value(v.name, (*v.shape[:-1], int(mask.sum())), v.dtype, v.quant, data)


def _without(node: Node, kept: Kept, new: dict[Value, Value], ranges: Ranges) -> Node:
    if not any(v in kept for v in (*node.inputs, *node.outputs) if v is not None):
        return node
    if is_layer(node):
        return _layer_without(node, kept, new, ranges)
    inputs = [None if v is None else new.get(v, v) for v in node.inputs]
    outputs = [new.get(v, v) for v in node.outputs]
    return Node(node.op, inputs, outputs, _attrs(node, kept, outputs[0]), node.source)


def _attrs(node: Node, kept: Kept, y: Value) -> dict[str, Any]:
    if node.op == "reshape":
        return {**node.attrs, "shape": y.shape}
    if node.op != "slice" or node.input(0) not in kept:
        return node.attrs
    *outer, begin = node.attrs["begin"]
    begin = int(kept[node.input(0)][:begin].sum())
    return {**node.attrs, "begin": (*outer, begin), "size": y.shape}


def _layer_without(node: Node, kept: Kept, new: dict[Value, Value], ranges: Ranges) -> Node:
    x, y = node.input(0), node.output
    inputs, outputs = (kept.get(v, np.ones(channels(v), bool)) for v in (x, y))
    bias, gone = rescale.bias(node), np.where(inputs, 0, _offsets(node, range_of(x, ranges)))
    if node.op != "depthwise_conv2d":
        at = np.flatnonzero(gone)
        bias = bias + tap_weights(node)[..., at].sum(1, dtype=np.int64) @ gone[at]
    b: Value | None = node.optional(2)
    if b is not None or bias.any():
        b = _bias(node, b, bias[outputs])
        b.quant = b.quant and _quant_of(b.quant, outputs)
    w = _weights_without(node, inputs, outputs)
    return Node(node.op, [new.get(x, x), w, b], [new.get(y, y)], node.attrs, node.source)


def _weights_without(node: Node, inputs: np.ndarray, outputs: np.ndarray) -> Value:
    w = node.input(1)
    assert w.data is not None and w.quant is not None
    data = w.data[..., outputs] if node.op == "depthwise_conv2d" else w.data[outputs][..., inputs]
    data = np.ascontiguousarray(data)
    return Value(w.name, data.shape, w.dtype, _quant_of(w.quant, outputs), data)


def _quant_of(quant: Quant, outputs: np.ndarray) -> Quant:
    factors = None if quant.factors is None else quant.factors[outputs]
    if quant.scale.size == 1:
        return replace(quant, factors=factors)
    return replace(quant, scale=quant.scale[outputs], zero_point=quant.zero_point[outputs], factors=factors)
