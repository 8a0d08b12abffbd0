# SPDX-License-Identifier: Apache-2.0
"""Weights of about 16 bits where 8 lose most, beside 16-bit activations: what a layer's int8 weights lose is an int8
layer of its own on the same input, with steps that are 254 times finer, and the outputs of both are added.

No kernel of its own is needed; a layer costs its multiplications and its weights twice. The layers are those whose
rounding moves their output most; together they have at least `SHARE` of all the noise that rounding adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesdk.compress import rounding
from edgesdk.compress.layerwise import Layer, as_rows, layers
from edgesdk.compress.schemes import INT16X8, WEIGHTED, round_away
from edgesdk.compress.work import Work
from edgesdk.ir import Node, Quant, Value

SHARE = 0.99
FINER = 254.0  # the loss of rounding is at most half a step, and 127 steps reach so far


def refine_weights(work: Work) -> None:
    assert work.result is not None
    found = list(layers(work.floats, work.result, list(work.samples())))
    nodes = {layer.node: layer.floats for layer in largest(found, [noise(layer) for layer in found])}
    work.result.nodes = [part for n in work.result.nodes for part in (refined(n, nodes[n]) if n in nodes else [n])]


def noise(layer: Layer) -> float:
    """The variance that rounded weights add to the output, as a share of the output's."""
    gram = rounding.damped(rounding.covariance(layer.rows, layer.rows))
    lost = as_rows(layer.node.op, loss(layer.node, layer.floats), layer.rows.shape[0])
    added, whole = (float(((e @ gram) * e).sum()) for e in (lost, layer.weights))
    return added / max(whole, 1e-30)


def largest(found: Sequence[Layer], noises: Sequence[float]) -> list[Layer]:
    """The noisiest layers, until they have their share of the sum."""
    chosen, left = [], sum(noises)
    least = (1 - SHARE) * left
    for i in sorted(range(len(found)), key=lambda i: -noises[i]):
        if left > least:
            chosen.append(found[i])
            left -= noises[i]
    return chosen


def along(scale: np.ndarray, node: Node) -> np.ndarray:
    """A number per output channel, beside the weights."""
    rank, axis = len(node.input(1).shape), WEIGHTED[node.op]
    return scale.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(rank)])


def loss(node: Node, floats: Node) -> np.ndarray:
    """Float weights less what the integers stand for."""
    w, q = floats.input(1).data, node.input(1)
    assert w is not None and q.data is not None and q.quant is not None
    return np.asarray(w - q.data * along(q.quant.scale, node))


def refined(node: Node, floats: Node) -> list[Node]:
    """The layer, the finer one, and their sum, which has the layer's activation."""
    y, attrs = node.output, {**node.attrs, "activation": "none"}
    coarse, fine = (Value(f"{y.name}/{name}", y.shape, y.dtype, y.quant) for name in ("coarse", "fine"))
    return [
        Node(node.op, node.inputs, [coarse], attrs, node.source),
        Node(node.op, [node.input(0), finer_weights(node, floats), None], [fine], attrs, node.source),
        Node("add", [coarse, fine], [y], {"activation": node.attrs["activation"]}, node.source),
    ]


def finer_weights(node: Node, floats: Node) -> Value:
    w, lost = node.input(1), loss(node, floats)
    assert w.quant is not None
    others = tuple(i for i in range(lost.ndim) if i != WEIGHTED[node.op])
    x, y = node.input(0), node.output
    least = INT16X8.least_multiplier * y.scale / x.scale
    scale = np.maximum(np.abs(lost).max(others) / 127, np.maximum(w.quant.scale / FINER, least)).astype(np.float32)
    steps = np.clip(round_away(lost / along(scale, node)), -127, 127).astype(np.int8)
    return Value(f"{w.name}/fine", w.shape, "int8", Quant(scale, np.zeros(scale.size, np.int32), w.quant.axis), steps)
