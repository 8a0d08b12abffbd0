# SPDX-License-Identifier: Apache-2.0
"""The quantisation of every real value from its calibrated range; values that kernels move or compare byte by byte
share one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edgesdk.compress import recurrent
from edgesdk.compress.calibrate import Ranges
from edgesdk.compress.schemes import SHARED, WEIGHTED, Scheme, activations, constants, from_range, is_real
from edgesdk.ir import Graph, Node, Quant, Value


def all_values(graph: Graph) -> list[Value]:
    """The real ones."""
    every = [*graph.inputs, *(v.value for v in graph.variables), *(v for n in graph.nodes for v in n.outputs)]
    return [v for v in every if is_real(v)]


@dataclass(eq=False)
class Group:
    """Values that share one quantisation."""

    values: list[Value]
    low: float = 0.0
    high: float = 0.0
    quant: Quant | None = None

    def include(self, low: float, high: float) -> None:
        # The range always holds zero: padding must be exact.
        self.low, self.high = min(self.low, low), max(self.high, high)


@dataclass
class Quants:
    """`own` is how a value is stored; `shared` what the byte-moving ops around it use. They
    differ only where the specification fixes `own` and the group needs more."""

    scheme: Scheme
    own: dict[Value, Quant] = field(default_factory=dict)
    shared: dict[Value, Quant] = field(default_factory=dict)


def choose_quants(graph: Graph, ranges: Ranges, scheme: Scheme) -> Quants:
    groups = group_values(graph, scheme)
    for group in {id(g): g for g in groups.values()}.values():
        for value in group.values:
            group.include(*ranges[value])
    for node in filter(lambda n: is_real(n.output), graph.nodes):
        include_attributes(node, groups, scheme)
    for variable in filter(lambda v: is_real(v.value), graph.variables):
        groups[variable.value].include(float(variable.initial.min()), float(variable.initial.max()))
    fixed = {n.output: Quant.per_tensor(*scheme.fixed[n.op]) for n in graph.nodes if n.op in scheme.fixed}
    fixed |= recurrent.fixed_quants(graph, scheme)
    moved = {n.output for n in graph.nodes if n.op in SHARED} | {v.value for v in graph.variables}
    mixed = {groups[n.output] for n in graph.nodes if n.op in SHARED and constants(n)}
    quants = Quants(scheme)
    for value, group in groups.items():
        if group.quant is None:
            roots = [fixed.get(v) for v in group.values if v not in moved] or [None]
            group.quant = chosen([*roots, None] if group in mixed else roots, group, scheme)
        quants.shared[value] = group.quant
        quants.own[value] = fixed.get(value, group.quant)
    return quants


def chosen(roots: list[Quant | None], group: Group, scheme: Scheme) -> Quant:
    """The fixed quantisation where every root of the group has that one, else min-max."""
    first = roots[0]
    if first is not None and all(first.same_as(r) for r in roots):
        return first
    return from_range(group.low, group.high, scheme)


def group_values(graph: Graph, scheme: Scheme) -> dict[Value, Group]:
    """Each activation's group: the connected parts of the graph of byte-moving ops."""
    groups = {v: Group([v]) for v in all_values(graph)}
    for node in graph.nodes:
        if node.op in SHARED and is_real(node.output):
            for value in activations(node):
                join(groups, groups[node.output], groups[value])
    for a, b in recurrent.joined(graph, scheme):
        join(groups, groups[a], groups[b])
    return groups


def join(groups: dict[Value, Group], kept: Group, other: Group) -> None:
    if kept is not other:
        kept.values += other.values
        groups.update({v: kept for v in other.values})


def include_attributes(node: Node, groups: dict[Value, Group], scheme: Scheme) -> None:
    """Widens the output's group by constants that join it and by what its kernel asks for."""
    group = groups[node.output]
    if node.op in SHARED:
        for data in constants(node):
            group.include(float(data.min()), float(data.max()))
        fill = float(node.attrs.get("value", 0.0))
        group.include(*(fill, fill) if np.isfinite(fill) else (0.0, 0.0))
    if node.op in scheme.least_ratio:
        widths = [groups[v].high - groups[v].low for v in activations(node)]
        widths += [max(float(d.max()), 0.0) - min(float(d.min()), 0.0) for d in constants(node)]
        group.high = max(group.high, group.low + max(widths) * scheme.least_ratio[node.op])
    if node.op in WEIGHTED and scheme.gain < math.inf and constants(node):
        x, w = groups[node.input(0)], constants(node)[0]
        product = max(x.high, -x.low) * float(np.abs(w).max()) / 127
        group.high = max(group.high, product / scheme.gain)
