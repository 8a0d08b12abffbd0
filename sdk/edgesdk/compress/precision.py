# SPDX-License-Identifier: Apache-2.0
"""Which parts of a network "auto" computes in more than 8 bits.

8 bits add noise to a value: the squared error of its steps and of what its range clips, which the histogram of
calibration tells. What counts is its share of the value's mean square, or, where more, what a layer makes of it: as
much as its squared weights add up to, as a share of the layer's output. Values that share one quantisation are raised
together, with all that reads or writes them: to 16 bits where each of these nodes has a kernel for that, else to float.
Without a latency to spend only what loses more than `MOST_NOISE` is raised; with one, the noisiest first as far as it
goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgesdk.compress import sensitivity
from edgesdk.compress.calibrate import Ranges, chosen_ranges
from edgesdk.compress.observe import Observed
from edgesdk.compress.quantize import quantized
from edgesdk.compress.schemes import INT8, INT16X8, WEIGHTED, constants, is_plain, left_in_float, why_float
from edgesdk.compress.shared_quants import choose_quants, group_values
from edgesdk.compress.work import Work
from edgesdk.ir import Graph, Node, Quant, Value

LEAST_NOISE = 1e-5  # a tenth of what 8 bits usually add: nothing is gained by more
FINER_METHOD = "headroom"
Kinds = dict[Value, str]


@dataclass(frozen=True, eq=False)
class Unit:
    """Values that share one quantisation, and what reads or writes them."""

    noise: float
    nodes: list[Node]


def raised(work: Work, asked: Kinds) -> Kinds:
    """Outputs of nodes -> "int16" or "float32"; what the recipe's methods ask for in any case."""
    spends = work.latency_us is not None
    found = [u for u in units(work) if u.noise > (LEAST_NOISE if spends else sensitivity.MOST_NOISE)]
    return max((affordable(work, found, floats, asked) for floats in (False, True)), key=len)


def affordable(work: Work, found: Sequence[Unit], floats: bool, asked: Kinds) -> Kinds:
    """The noisiest units that fit what there is to spend; cost grows with their number. `floats`: none in 16 bits,
    whose kernels may have no prices on the board."""
    few, many = 0, len(found)
    while few < many:
        middle = (few + many + 1) // 2
        fits = affords(work, asked | kinds_of(found[:middle], floats))
        few, many = (middle, many) if fits else (few, middle - 1)
    return asked | kinds_of(found[:few], floats)


def kinds_of(found: Sequence[Unit], floats: bool) -> Kinds:
    kinds: Kinds = {}
    for unit in found:
        wide = not floats and not any(why_float(n, INT16X8) for n in unit.nodes)
        for node in unit.nodes:
            kinds[node.output] = "int16" if wide and kinds.get(node.output) != "float32" else "float32"
    return kinds


def affords(work: Work, kinds: Kinds) -> bool:
    result = with_raised(work, kinds)
    if work.latency_us is not None:
        estimate = work.estimate(result) if work.estimate is not None else None
        if estimate is None or estimate > work.latency_us:
            return False
    budget = sensitivity.weight_budget(work, result)
    return budget is None or sensitivity.least_bytes(result) <= budget


def with_raised(work: Work, kinds: Kinds) -> Graph:
    finer: Ranges | None = chosen_ranges(work.observed, FINER_METHOD) if kinds else None
    return quantized(work.floats, work.ranges, INT8, leave_float=True, raised=kinds, finer=finer)


def units(work: Work) -> list[Unit]:
    """The noisiest first. A recurrent layer's state has a type of its own: what touches one stays as it is."""
    graph = work.floats
    quants, groups, left = (
        choose_quants(graph, work.ranges, INT8),
        group_values(graph, INT8),
        left_in_float(graph, INT8),
    )
    found = []
    for group in {id(g): g for g in groups.values()}.values():
        values = set(group.values)
        nodes = [n for n in graph.nodes if values & {*n.inputs, *n.outputs} and not is_plain(n) and n not in left]
        if nodes and not any(n.op == "rnn" for n in nodes) and not values & {v.value for v in graph.variables}:
            seen = [v for v in group.values if v in work.observed]
            found.append(Unit(max(noise(work, v, quants.own[v], nodes) for v in seen), nodes))
    return sorted(found, key=lambda u: -u.noise)


def noise(work: Work, value: Value, quant: Quant, nodes: Sequence[Node]) -> float:
    """That of the value, or of the output of a layer that reads it."""
    o = work.observed[value]
    error, shares = squared_error(o, quant), []
    for node in nodes:
        if node.op in WEIGHTED and node.input(0) is value and node.output in work.observed:
            shares.append(share(error * gain(node), mean_square(work.observed[node.output])))
    return max([share(error, mean_square(o)), *shares])


def share(error: float, whole: float) -> float:
    return error / whole if whole > 0 else 0.0


def gain(node: Node) -> float:
    """The variance of an output for each of its inputs, which vary by themselves."""
    (w, *_) = constants(node)
    return float(np.square(w, dtype=np.float64).sum() / w.shape[WEIGHTED[node.op]])


def mean_square(o: Observed) -> float:
    centres, counts = o.histogram.filled()
    return float((np.square(centres) * counts).sum() / counts.sum())


def squared_error(o: Observed, quant: Quant) -> float:
    """The mean squared error of a value stored in 8 bits."""
    centres, counts = o.histogram.filled()
    scale, zero = float(quant.scale[0]), int(quant.zero_point[0])
    steps = np.clip(np.rint(centres / scale) + zero, -128, 127) - zero
    rounded = np.where((steps > -128 - zero) & (steps < 127 - zero), scale**2 / 12, np.square(steps * scale - centres))
    exact = np.abs(centres) < o.histogram.width  # zeros of a relu have no error
    return float((np.where(exact, 0.0, rounded) * counts).sum() / counts.sum())
