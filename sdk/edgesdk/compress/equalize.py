# SPDX-License-Identifier: Apache-2.0
"""Cross-layer equalisation (Nagel et al. 2019): channels between two layers are scaled so that the weights on both
sides use their ranges equally. What the network computes stays the same up to rounding of floats.

With weights that have a scale per output channel, it is the activations between that gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesdk.compress.work import Work
from edgesdk.ir import Graph, Node, Value

SWEEPS = 20
LARGEST_FACTOR = 16.0  # over all sweeps
LEAST_SHARE = 1e-3  # a channel whose weights are below this share of the largest has nothing to equalise
OUTPUT_AXIS = {"conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}
INPUT_AXIS = {"conv2d": 3, "depthwise_conv2d": 2, "fully_connected": 1}
HOMOGENEOUS = ("none", "relu")  # f(s x) = s f(x) for s > 0


@dataclass(eq=False)
class Pair:
    """Two layers and what the channels between them have been divided by so far."""

    first: Node
    second: Node
    total: np.ndarray


def equalize(work: Work) -> None:
    graph = work.floats.copy()
    pairs = pairs_of(graph)
    for _ in range(SWEEPS):
        for pair in pairs:
            scale_between(pair)
    work.floats = graph


def pairs_of(graph: Graph) -> list[Pair]:
    """Weighted layers whose output only one weighted layer reads, channel by channel."""
    readers = graph.consumers()
    found = []
    for first in graph.nodes:
        after = readers.get(first.output, [])
        if len(after) == 1 and first.output not in graph.outputs and fits(first, after[0]):
            found.append(Pair(first, after[0], np.ones(first.output.shape[-1])))
    return found


def fits(first: Node, second: Node) -> bool:
    if first.op not in OUTPUT_AXIS or second.op not in INPUT_AXIS or second.input(0) is not first.output:
        return False
    if first.attrs.get("activation") not in HOMOGENEOUS or not all(constant(n) for n in (first, second)):
        return False
    channels = first.output.shape[-1]
    return weights(first).shape[OUTPUT_AXIS[first.op]] == channels == weights(second).shape[INPUT_AXIS[second.op]]


def constant(node: Node) -> bool:
    b = node.optional(2)
    return node.input(1).dtype == "float32" and node.input(1).data is not None and (b is None or b.data is not None)


def weights(node: Node) -> np.ndarray:
    data = node.input(1).data
    assert data is not None
    return data


def scale_between(pair: Pair) -> None:
    """Channel i of the value between is divided by sqrt(largest weight into it / largest weight out of it)."""
    a, b = OUTPUT_AXIS[pair.first.op], INPUT_AXIS[pair.second.op]
    into, out_of = largest(weights(pair.first), a), largest(weights(pair.second), b)
    usable = (into > LEAST_SHARE * into.max()) & (out_of > LEAST_SHARE * out_of.max())
    ratio = np.sqrt(np.divide(into, out_of, out=np.ones_like(into), where=usable))
    total = np.clip(pair.total * ratio, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    factor, pair.total = total / pair.total, total
    multiply(pair.first, 1, along(1 / factor, weights(pair.first).ndim, a))
    if pair.first.optional(2) is not None:
        multiply(pair.first, 2, 1 / factor)
    multiply(pair.second, 1, along(factor, weights(pair.second).ndim, b))


def largest(w: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(np.abs(w).max(tuple(i for i in range(w.ndim) if i != axis)), np.float64)


def along(factor: np.ndarray, rank: int, axis: int) -> np.ndarray:
    return factor.reshape([-1 if i == axis else 1 for i in range(rank)])


def multiply(node: Node, index: int, factor: np.ndarray) -> None:
    old = node.input(index)
    assert old.data is not None
    node.inputs[index] = Value(old.name, old.shape, old.dtype, None, (old.data * factor).astype(np.float32))
