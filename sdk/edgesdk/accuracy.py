# SPDX-License-Identifier: Apache-2.0
"""How far a quantised network is from its float one, layer by layer, both run on the runtime; and with labels, how
often each is right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk import probe
from edgesdk.compress import masks
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Node, Value

LAYER_SAMPLES = 16  # as many as the layers are compared on, spread over the set
EDGE_SUFFIXES = ("/int8", "/int16")  # of integer values in front of a float output
TOP = (1, 5)
PART = 8192  # items at a time: they stay in the cache, and products of vectors need no threads


@dataclass
class Difference:
    """Sums over samples, from which the measures follow."""

    error: float = 0.0
    expected: float = 0.0
    got: float = 0.0
    product: float = 0.0
    saturated: int = 0
    count: int = 0

    def add(self, got: np.ndarray, expected: np.ndarray, limits: tuple[float, float] | None = None) -> None:
        """`limits`: the least and largest real number that is stored; beyond by more than half a step saturates."""
        a, b = got.ravel(), expected.ravel()
        for i in range(0, a.size, PART):
            self._add(a[i : i + PART].astype(np.float64), b[i : i + PART].astype(np.float64), limits)

    def _add(self, a: np.ndarray, b: np.ndarray, limits: tuple[float, float] | None) -> None:
        d = a - b
        self.error += float(d @ d)
        self.expected += float(b @ b)
        self.got += float(a @ a)
        self.product += float(a @ b)
        self.count += a.size
        if limits is not None:
            self.saturated += int(((b < limits[0]) | (b > limits[1])).sum())

    def measures(self) -> dict[str, float | None]:
        norms = math.sqrt(self.expected) * math.sqrt(self.got)
        rel_l2 = math.sqrt(self.error / self.expected) if self.expected else math.sqrt(self.error)
        return {
            "rel_l2": rel_l2,
            "cosine": self.product / norms if norms else float(self.error == 0),
            "sqnr_db": 10 * math.log10(self.expected / self.error) if self.error and self.expected else None,
            "saturated": self.saturated / max(1, self.count),
        }


def limits(value: Value) -> tuple[float, float] | None:
    if value.quant is None or value.quant.scale.size != 1:
        return None
    return limits_of(value.scale, value.zero_point, value.dtype)


def limits_of(scale: float, zero_point: int, dtype: str) -> tuple[float, float]:
    """What a quantised value can store, half a step wider."""
    info = np.iinfo(dtype)
    return scale * (info.min - 0.5 - zero_point), scale * (info.max + 0.5 - zero_point)


def real(value: Value, array: np.ndarray) -> np.ndarray:
    if value.quant is None or value.quant.scale.size != 1:
        return array.astype(np.float64)
    return (array.astype(np.float64) - value.zero_point) * value.scale


def plain_name(name: str) -> str:
    return next((name.removesuffix(s) for s in EDGE_SUFFIXES if name.endswith(s)), name)


def spread(count: int, most: int = LAYER_SAMPLES) -> list[int]:
    """At most `most` of `count` numbers, evenly spread.

    >>> spread(10, 3)
    [0, 3, 6]
    """
    return list(range(count)) if count <= most else [i * count // most for i in range(most)]


def chosen(graph: Graph, count: int) -> list[int]:
    """The samples that layers are compared on: the first ones where variables make each depend on those before."""
    return list(range(min(count, LAYER_SAMPLES))) if graph.variables else spread(count)


def layers(
    floats: Graph, quantised: Graph, samples: Sequence[list[np.ndarray]], inputs: Sequence[list[np.ndarray]]
) -> list[dict[str, Any]]:
    """The measures of each value that both have, in the order of computation. `samples` are the float network's
    inputs, `inputs` the same for the quantised one."""
    by_name, scores = {v.name: (v, n) for n in floats.nodes for v in n.outputs}, masks.scores(floats)
    nodes = [n for n in quantised.nodes if n.op != "dequantize"]
    pairs = [(v, *by_name[plain_name(v.name)]) for n in nodes for v in n.outputs if known(v, by_name)]
    found = {v: Difference() for v, _, _ in pairs}
    runs = zip(probe.run_all(quantised, inputs), probe.run_all(floats, samples), strict=True)
    for got, expected in runs:
        for v, e, _ in pairs:
            if got[v].size == expected[e].size:
                found[v].add(real(v, got[v]), counted(expected[e], limits(v), e in scores), limits(v))
    return [described(e, n, v, found[v]) for v, e, n in pairs if found[v].count]


def counted(expected: np.ndarray, ends: tuple[float, float] | None, score: bool) -> np.ndarray:
    """Scores that a mask takes out count as nothing wherever they lie below what is stored."""
    return np.maximum(expected, ends[0]) if score and ends is not None else expected


def known(value: Value, by_name: dict[str, tuple[Value, Node]]) -> bool:
    return value.dtype in ("int8", "int16", "float32") and plain_name(value.name) in by_name


def described(value: Value, node: Node, stored: Value, difference: Difference) -> dict[str, Any]:
    measures = difference.measures()
    return {"name": value.name, "op": node.op, "source": node.source, "dtype": stored.dtype, **measures}


def worst(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The layer that is farthest from float."""
    return max(rows, key=lambda r: float(r["rel_l2"]), default=None)


def quantised_inputs(graph: Graph, samples: Iterable[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """Float samples as the quantised network takes them."""
    return ([stored(v, a) for v, a in zip(graph.inputs, sample, strict=True)] for sample in samples)


def stored(value: Value, array: np.ndarray) -> np.ndarray:
    if value.quant is None:
        return array.astype(value.dtype)
    info = np.iinfo(value.dtype)
    scaled = array.astype(np.float64) / value.scale
    steps = np.trunc(scaled + np.copysign(0.5, scaled)) + value.zero_point
    return np.clip(steps, info.min, info.max).astype(value.dtype)


def top(outputs: Sequence[np.ndarray], labels: np.ndarray) -> dict[int, float]:
    """Share of samples whose label is among the n highest scores, for n of TOP; of equal scores the first counts."""
    scores = np.stack([o.ravel().astype(np.float64) for o in outputs])
    outside = int(labels.max(initial=0)) if len(labels) else 0
    if outside >= scores.shape[1] or int(labels.min(initial=0)) < 0:
        raise UsageError(f"labels reach {outside}; expected class numbers from 0 to {scores.shape[1] - 1}")
    order = np.argsort(-scores, axis=1, kind="stable")
    return {n: float((order[:, :n] == labels[:, None]).any(1).mean()) for n in TOP if n <= scores.shape[1]}
