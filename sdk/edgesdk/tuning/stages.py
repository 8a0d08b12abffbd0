# SPDX-License-Identifier: Apache-2.0
"""Stages of rows that may be faster than whole tensors, because what passes between their layers stays in a cache."""

from __future__ import annotations

from dataclasses import replace

from edgesdk import flow, pareto
from edgesdk.errors import EdgeError
from edgesdk.flow import Base
from edgesdk.schedule.strips import Piece
from edgesdk.search import Point, short_stages
from edgesdk.tuning.contest import LEAST_GAIN, Rules, contest, ratio, whole_costs
from edgesdk.tuning.layers import Tuner

LONGEST = 6  # steps of a stage: a longer one is for memory
MOST_COST = 1.3  # modelled, of that of the static schedule
MOST_POINTS = 4
SEARCH_SHARE, SHARE = 0.7, 0.8  # of the budget, when the search, and measuring its points, is to be over
ROUNDS = 21


class _NoTime(Exception):
    """The search has taken its share."""


def tune_stages(tuner: Tuner, base: Base, static: Point, key: str, ram_bytes: int | None) -> None:
    """Notes the pieces of the fastest schedule, none where that is the static one. Rows of a stage depend on each
    other: they are not for several threads."""
    if key in tuner.known.programs or base.schedule.threads > 1 or len(static.pieces) == 0:
        return
    try:
        points = _points(tuner, base, static, ram_bytes)
    except _NoTime:
        return
    best = _fastest(tuner, base, static, points, ram_bytes)
    if best is not None:
        tuner.known.programs[key] = [(p.kind, p.first, p.count, p.strips) for p in _joined(best)]


def _joined(pieces: tuple[Piece, ...]) -> list[Piece]:
    """Plain neighbours as one piece, as they are one stage."""
    found: list[Piece] = []
    for p in pieces:
        if found and found[-1].kind == p.kind == "plain":
            found[-1] = replace(found[-1], count=found[-1].count + p.count)
        else:
            found.append(p)
    return found


def _points(tuner: Tuner, base: Base, static: Point, ram_bytes: int | None) -> list[Point]:
    """Those of the front that cost little more by the model, and fit."""

    def tick() -> None:
        tuner.budget.show("stages of rows")
        if tuner.budget.over(SEARCH_SHARE):
            raise _NoTime

    schedule = replace(base.schedule, streamed=None)
    places = flow.rooms(base.board, ram_bytes)
    most, found = MOST_COST * pareto.layer_by_layer(schedule, base.board).cost, list[Point]()
    for p in short_stages(schedule, pareto.cost_on(base.board), LONGEST, tick):
        tick()
        if p.cost > most or len(found) == MOST_POINTS:
            break
        if p.pieces != static.pieces and (not places or any(r.holds(p) for r in places)):
            found.append(p)
    return found


def _fastest(
    tuner: Tuner, base: Base, static: Point, points: list[Point], ram_bytes: int | None
) -> tuple[Piece, ...] | None:
    """The pieces of the fastest program, none where that is the static one; None where it is not known."""
    programs, pieces = [], []
    for p in [static, *points]:
        placed = flow.placed(base, p.pieces, ram_bytes)
        if placed is None:
            continue
        try:
            programs.append(flow.finish(base, *placed, ram_bytes, None, lambda stage: None).data)
            pieces.append(p.pieces)
        except EdgeError as error:
            tuner.warnings.append(f"a schedule was not measured: {error}")
    if len(programs) < 2 or pieces[0] != static.pieces:
        return ()
    result = contest(tuner.device, programs, Rules(whole_costs, ROUNDS, SHARE, "stages of rows"), tuner.budget)
    ratios = {
        i: ratio([(m[0], b[0]) for m, b in result.beside(i)], tuner.device.exact) for i in range(1, len(programs))
    }
    known = {i: r for i, r in ratios.items() if r is not None}
    tuner.measured += len(known)
    if len(known) + len(result.failures) < len(ratios):
        return None
    best = min(known, key=lambda i: known[i], default=0)
    return pieces[best] if best and known[best] < 1 - LEAST_GAIN[tuner.known.clock] else ()
