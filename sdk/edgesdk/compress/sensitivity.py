# SPDX-License-Identifier: Apache-2.0
"""Which layers may have 4-bit weights: what that adds to a layer's output, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgesdk.compress.layerwise import Layer, layers, reads_narrow
from edgesdk.compress.narrow_weights import DEFAULT_ROUNDING, Widths, solved
from edgesdk.compress.work import Work
from edgesdk.ir import Graph, Node

MOST_NOISE = 0.02  # of a layer's output that 4 bits may add where no budget asks for them
FIXED = {"int16": 8, "float32": 32}  # bits of weights by activations, where "auto" has no choice
ALIGN = 16  # bytes: of each blob in the file
EDGE_RATIO = 2.0  # the first or last layer keeps 8 bits where it would be noisier than so many usual layers


@dataclass(frozen=True)
class Cost:
    """`noise`: the variance that 4-bit weights add to the output, as a share of the output's. `n_bytes`: of weights at
    4 and at 8 bits."""

    noise: float
    n_bytes: dict[int, int]

    @property
    def saved(self) -> int:
        return self.n_bytes[8] - self.n_bytes[4]


def costs(floats: Graph, result: Graph, samples: Sequence[Sequence[np.ndarray]], widths: Widths) -> list[Cost]:
    """Of every weighted layer of an int8 network, each as if it alone had 4 bits, whatever the rounding then."""
    widths = replace(widths, rounding=DEFAULT_ROUNDING)
    return [cost(layer, widths) for layer in layers(floats, result, samples)]


def cost(layer: Layer, widths: Widths) -> Cost:
    p, q = solved(layer, 4, widths)
    error = q * p.step - p.w
    added, whole = (float(((e @ p.gram) * e).sum()) for e in (error, p.w))
    per_row, rows = p.w.shape[2], p.w.shape[0] * p.w.shape[1]
    factors = 0 if p.factors is None else p.factors.size
    return Cost(added / max(whole, 1e-30), {8: per_row * rows, 4: (per_row + 1) // 2 * rows + factors})


def wide_bytes(found: Sequence[Cost]) -> int:
    return sum(c.n_bytes[8] for c in found)


def affordable(found: Sequence[Cost], work: Work, result: Graph) -> dict[int, int]:
    """Bits by what there is to spend, the weights of layers of other activations apart."""
    fixed = {i: FIXED[n.input(0).dtype] for i, n in enumerate(narrow(result)) if n.input(0).dtype in FIXED}
    if work.flash is None and work.latency_us is not None:
        return {**dict.fromkeys(range(len(found)), 8), **fixed}  # flash is free
    sizes = [n.input(1).n_bytes for n in narrow(result)]
    found = [
        replace(c, n_bytes={4: n, 8: n}) if i in fixed else c for i, (c, n) in enumerate(zip(found, sizes, strict=True))
    ]
    return {**within(found, weight_budget(work, result)), **fixed}


def narrow(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if reads_narrow(n)]


def weight_budget(work: Work, result: Graph) -> int | None:
    """What the file leaves for weights: all that it has beside them stays, some of it moved for alignment."""
    if work.flash is None or work.file_bytes is None:
        return None
    stored = sum(n.input(1).n_bytes for n in narrow(result))
    blobs = sum(len(n.inputs) for n in result.nodes)
    return work.flash - (work.file_bytes(result) - stored) - ALIGN * blobs


def least_bytes(result: Graph) -> int:
    """Of weights that have 4 bits wherever they may."""
    return sum(
        n.input(1).n_bytes if n.input(0).dtype in FIXED else (n.input(1).n_bytes + 1) // 2 for n in narrow(result)
    )


def narrow_but_edges(found: Sequence[Cost]) -> dict[int, int]:
    """8 bits for the first and the last layer where these are too noisy."""
    if not found:
        return {}
    usual = float(np.median([c.noise for c in found]))
    return {i: 8 for i in {0, len(found) - 1} if found[i].noise > EDGE_RATIO * usual}


def within(found: Sequence[Cost], budget: int | None) -> dict[int, int]:
    """4 bits for the layers that lose least by them for each byte: until all weights fit in `budget`; without one, for
    those that lose little."""
    if budget is None:
        return {i: 4 if c.noise <= MOST_NOISE else 8 for i, c in enumerate(found)}
    widths = dict.fromkeys(range(len(found)), 8)
    total = wide_bytes(found)
    for i in sorted(widths, key=lambda i: found[i].noise / max(found[i].saved, 1)):
        if total > budget:
            widths[i], total = 4, total - found[i].saved
    return restored(found, widths, budget - total)


def restored(found: Sequence[Cost], widths: dict[int, int], spare: int) -> dict[int, int]:
    """8 bits again for the noisiest layers whose bytes fit in what was saved beyond the budget."""
    for i in sorted(widths, key=lambda i: -found[i].noise):
        if widths[i] == 4 and found[i].saved <= spare:
            widths[i], spare = 8, spare - found[i].saved
    return widths
