# SPDX-License-Identifier: Apache-2.0
"""Scales moved from activations into weights (SmoothQuant, Xiao et al. 2022; AWQ, Lin et al. 2023): channels that are
large between two layers are divided where they are made and multiplied where they are read, so that one scale for all
of them loses less. What the network computes stays the same up to rounding of floats.

Where equalize looks at the weights on both sides alone, this looks at what the channels really are in the calibration
samples: channel c is divided by (largest |x[c]|) ^ STRENGTH / (largest |w[c]|) ^ (1 - STRENGTH), brought to a
geometric mean of 1. A batch norm in front of the layer takes its share as a layer does.
"""

from __future__ import annotations

import numpy as np

from edgesdk.compress.equalize import (
    INPUT_AXIS,
    LARGEST_FACTOR,
    LEAST_SHARE,
    OUTPUT_AXIS,
    Pair,
    along,
    constant,
    largest,
    multiply,
    pairs_of,
    weights,
)
from edgesdk.compress.observe import Observed, observe
from edgesdk.compress.work import Work
from edgesdk.ir import Graph, Node, Value

STRENGTH = 0.5


def smooth(work: Work) -> None:
    """Without samples there is nothing to go by: what lies between the pairs then has other names."""
    graph = work.floats.copy()
    pairs = [*pairs_of(graph), *norm_pairs(graph)]
    work.floats = graph
    if not work.columns:
        hide(graph, pairs)
        return
    found = observe(graph, work.samples(), work.execute)
    for pair in pairs:
        move(pair, found[pair.first.output])


def hide(graph: Graph, pairs: list[Pair]) -> None:
    """Nobody compares these values to those of a network that was smoothed."""
    for pair in pairs:
        old = pair.first.output
        pair.first.outputs = [Value(f"{old.name}/unsmoothed", old.shape, old.dtype)]
        graph.replace_value(old, pair.first.output)


def norm_pairs(graph: Graph) -> list[Pair]:
    """A batch norm whose output only one weighted layer reads, channel by channel."""
    readers = graph.consumers()
    found = []
    for first in graph.nodes:
        after = readers.get(first.output, [])
        if first.op == "batch_norm" and len(after) == 1 and first.output not in graph.results:
            second = after[0]
            if second.op in INPUT_AXIS and second.input(0) is first.output and reads_channels(first, second):
                found.append(Pair(first, second, np.ones(first.output.shape[-1])))
    return found


def reads_channels(first: Node, second: Node) -> bool:
    channels = first.output.shape[-1]
    return constant(second) and weights(second).shape[INPUT_AXIS[second.op]] == channels


def move(pair: Pair, seen: Observed) -> None:
    """Divides the channels between the two layers."""
    assert seen.channel_low is not None and seen.channel_high is not None
    b = INPUT_AXIS[pair.second.op]
    x = np.maximum(np.abs(seen.channel_low), np.abs(seen.channel_high)).astype(np.float64)
    w = largest(weights(pair.second), b)
    factor = smoothing(x, w)
    divide_output(pair.first, factor)
    multiply(pair.second, 1, along(factor, weights(pair.second).ndim, b))


def smoothing(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """What each channel is divided by; 1 where it or its weights are next to nothing.

    >>> smoothing(np.array([4.0, 1.0]), np.array([1.0, 1.0])).tolist()
    [1.4142135623730951, 0.7071067811865475]
    """
    usable = (x > LEAST_SHARE * x.max()) & (w > LEAST_SHARE * w.max())
    if not usable.any():
        return np.ones_like(x)
    logs = STRENGTH * np.log(x[usable]) - (1 - STRENGTH) * np.log(w[usable])
    factor = np.ones_like(x)
    factor[usable] = np.clip(np.exp(logs - logs.mean()), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return factor


def divide_output(node: Node, factor: np.ndarray) -> None:
    if node.op == "batch_norm":
        for i in (1, 2):
            multiply(node, i, 1 / factor)
        return
    multiply(node, 1, along(1 / factor, weights(node).ndim, OUTPUT_AXIS[node.op]))
    if node.optional(2) is not None:
        multiply(node, 2, 1 / factor)
