# SPDX-License-Identifier: Apache-2.0
"""The candidates of each layer, and the programs that measure many of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgesdk import flow, measured, memory, schedule
from edgesdk.errors import DoesNotFit, EdgeError
from edgesdk.flow import Base, Room
from edgesdk.ir import Node
from edgesdk.kernels import PORTABLE
from edgesdk.measured import Candidate, Cost, Known, layer, signature
from edgesdk.schedule import Schedule, Step, frames
from edgesdk.schedule.strips import expand
from edgesdk.schedule.threads import can_split, rows_in_part
from edgesdk.search import Point
from edgesdk.tuning.contest import LEAST_ROUNDS, Budget, Device, Rules, contest, ratio, step_costs

SCREEN = 1.3  # times the cost of the static choice: slower ones are measured no more
SCREEN_SHARE, SHARE = 0.35, 0.6  # of the budget, when each candidate was to be measured once, and when all is known
EXACT_SHARE = 0.8  # the same where once is enough
ROUNDS = 15
# Where a program of portable kernels alone is packed for vectors as it is loaded: its costs tell nothing of them.
PACKED_AT_LOAD = frozenset(("avx2", "avx512vnni", "avx512vbmi", "avxvnni", "neon", "neondot", "neoni8mm"))
Takes = Mapping[str, Candidate]  # of layers by their names


@dataclass(eq=False)
class Plan:
    """The network that is tuned, in the arrangement of its static program. `names` has what the device's file calls
    each layer; those `by_rows` are in stages of rows."""

    base: Base
    point: Point
    room: Room
    names: dict[Node, str]
    by_rows: set[Node]
    made: dict[tuple[Node, Candidate], Step] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        return self.base.schedule.threads


def plan(base: Base, point: Point, room: Room) -> Plan:
    steps, threads = base.schedule.steps, base.schedule.threads
    by_rows = {node_of(point.schedule.steps[i]) for s in point.schedule.stages if s.kind != "plain" for i in s.steps}
    names = {s.node: layer(signature(s.node, threads), s.kernel, s.node in by_rows) for s in steps}
    return Plan(base, point, room, names, by_rows)


def node_of(step: Step) -> Node:
    return step.origin.node if step.origin is not None else step.node


def kernels_of(made: Plan) -> dict[str, list[Candidate]]:
    """Every candidate of each layer, the static one first; only of layers that have a choice."""
    found: dict[str, list[Candidate]] = {}
    for node, name in made.names.items():
        fitting = schedule.fitting(node, made.base.isa)
        if PACKED_AT_LOAD.intersection(made.base.isa):
            fitting = [k for k in fitting if k.isa != PORTABLE] or fitting
        rows = [Candidate(k) for k in fitting]
        # Layers of one name may differ in what fits their weights: what fits all of them is measured.
        found[name] = [c for c in found[name] if c in rows] if name in found else rows
    return {name: rows for name, rows in found.items() if len(rows) > 1}


def shares_of(made: Plan, known: Known) -> dict[str, list[Candidate]]:
    """The kernel that is fastest so far, shared as its work suggests and the other way."""
    tuned, found = flow.retuned(made.base, known).schedule, {}
    for step in tuned.steps:
        if step.node not in made.by_rows and can_split(tuned, step):
            plain = replace(step, shared=None)
            other = rows_in_part(tuned, plain) == 0
            found[made.names[step.node]] = [Candidate(step.kernel), Candidate(step.kernel, other)]
    return found


def arrange(made: Plan, takes: Takes) -> Point:
    """The program with other candidates, in the same arrangement. Raises DoesNotFit where rows lie too far apart."""
    old = made.point.schedule
    base = replace(made.base.schedule, steps=[_step(made, s, takes) for s in made.base.schedule.steps])
    base = replace(base, streamed=old.streamed)
    new = frames.require(base) if old.rings else expand(base, made.point.pieces)
    planned = memory.plan(new)
    if not planned.tables_reach:
        raise DoesNotFit("a fused stage needs rows further apart than it reaches; expected smaller kernels' scratch")
    return Point(new, planned, 0.0, made.point.pieces)


def _step(made: Plan, static: Step, takes: Takes) -> Step:
    taken = takes.get(made.names[static.node])
    if taken is None:
        return static
    key = (static.node, taken)
    if key not in made.made:
        made.made[key] = schedule.encode(static.node, taken.kernel, taken.shared)
    return made.made[key]


def layer_costs(made: Plan, new: Schedule, costs: np.ndarray) -> Cost:
    """The mean cost of the layers of each name."""
    total: Cost = {}
    layers: dict[str, set[Node]] = {}
    for step, cost in zip(new.steps, costs, strict=True):
        name = made.names[node_of(step)]
        total[name] = total.get(name, 0.0) + float(cost)
        layers.setdefault(name, set()).add(node_of(step))
    return {name: cost / len(layers[name]) for name, cost in total.items()}


def columns(candidates: Mapping[str, list[Candidate]]) -> Iterator[Takes]:
    """Programs that measure one candidate of many layers each: as few as the layer with most of them needs."""
    for i in range(max((len(rows) for rows in candidates.values()), default=0)):
        yield {name: rows[i] for name, rows in candidates.items() if i < len(rows)}


@dataclass(eq=False)
class Tuner:
    """What a tuning run shares: the device, its time, what is known so far, and how many costs are new."""

    device: Device
    budget: Budget
    known: Known
    measured: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Trials:
    """Programs with the candidates that each is about; the first is the static one."""

    schedules: list[Schedule]
    programs: list[bytes]
    takes: list[Takes]


def trials(
    tuner: Tuner, made: Plan, incumbent: Takes, candidates: Mapping[str, list[Candidate]], share: float
) -> Trials:
    """As many as there is time to write: long schedules take seconds to plan."""
    found = Trials([], [], [])
    for takes in (dict[str, Candidate](), *columns(candidates)):
        if tuner.budget.over(share):
            break
        try:
            point = arrange(made, {**incumbent, **takes})
            data = flow.finish(made.base, point, made.room, None, None, lambda stage: None).data
        except EdgeError as error:
            tuner.warnings.append(f"{len(takes)} kernels were not measured: {error}")
            continue
        found.schedules.append(point.schedule)
        found.programs.append(data)
        found.takes.append(takes)
    return found


Pairs = dict[tuple[str, Candidate], list[tuple[float, float]]]  # costs of a candidate and of the incumbent beside it


def tune_layers(tuner: Tuner, made: Plan, candidates: Mapping[str, list[Candidate]], incumbent: Takes) -> None:
    """Measures what is not known yet. Each list of candidates begins with what the incumbent program has there."""
    open_ = {n: [c for c in rows[1:] if c.name not in tuner.known.layers.get(n, {})] for n, rows in candidates.items()}
    beaten = {n: rows[0] for n, rows in candidates.items()}
    exact = tuner.device.exact
    screen = Rules(step_costs, 1, EXACT_SHARE if exact else SCREEN_SHARE, "each kernel once")
    seen = _pairs(tuner, made, incumbent, open_, screen)
    if exact:
        _store(tuner, beaten, seen)
    else:
        _measure_again(tuner, made, beaten, incumbent, seen)
    left = sum(c.name not in tuner.known.layers.get(n, {}) for n, rows in open_.items() for c in rows)
    if left:
        tuner.warnings.append(f"costs that were not measured in time: {left}; a longer --time measures more")


def _measure_again(tuner: Tuner, made: Plan, beaten: Mapping[str, Candidate], incumbent: Takes, seen: Pairs) -> None:
    """Once is enough for those that are far slower; the others are measured round by round."""
    slow = {key: pairs * LEAST_ROUNDS for key, pairs in seen.items() if _first_ratio(pairs) >= SCREEN}
    _store(tuner, beaten, slow)
    close: dict[str, list[Candidate]] = {}
    for name, candidate in (key for key in seen if key not in slow):
        close.setdefault(name, []).append(candidate)
    again = _pairs(tuner, made, incumbent, close, Rules(step_costs, ROUNDS, SHARE, "the faster kernels again"))
    _store(tuner, beaten, again)


def fastest(made: Plan, known: Known) -> Takes:
    """Of each layer, by what is known; layers that keep the static choice are left out."""
    found = {}
    for node, name in made.names.items():
        rows = measured.candidates(schedule.fitting(node, made.base.isa), made.threads)
        best = measured.best(known.layers.get(name, {}), rows, known.clock)
        if best != rows[0]:
            found[name] = best
    return found


def _first_ratio(pairs: list[tuple[float, float]]) -> float:
    return pairs[0][0] / max(pairs[0][1], 1e-9)


def _pairs(
    tuner: Tuner, made: Plan, incumbent: Takes, candidates: Mapping[str, list[Candidate]], rules: Rules
) -> Pairs:
    tried = trials(tuner, made, incumbent, candidates, rules.share)
    if len(tried.programs) < 2:
        return {}
    result = contest(tuner.device, tried.programs, rules, tuner.budget)
    for i, why in result.failures.items():
        tuner.warnings.append(f"{len(tried.takes[i])} kernels were not measured: {why}")
    found: Pairs = {}
    for i, takes in enumerate(tried.takes):
        for mine, beside in result.beside(i):
            costs = layer_costs(made, tried.schedules[i], mine)
            others = layer_costs(made, tried.schedules[0], beside)
            for name, candidate in takes.items():
                found.setdefault((name, candidate), []).append((costs[name], others[name]))
    return found


def _store(tuner: Tuner, beaten: Mapping[str, Candidate], found: Pairs) -> None:
    for (name, candidate), pairs in found.items():
        slower_by = ratio(pairs, tuner.device.exact)
        if slower_by is None:
            continue
        costs = tuner.known.layers.setdefault(name, {})
        beside = costs.setdefault(beaten[name].name, float(np.median([other for _, other in pairs])))
        costs[candidate.name] = beside * slower_by
        tuner.measured += 1
