# SPDX-License-Identifier: Apache-2.0
"""Tuning: the kernels and stages of a program are chosen by what they cost on the device.

    static program -> candidates of its layers -> contests on the device -> known costs -> tuned program -> compared

What is measured goes into the device's file (measured.py), so that a second run, and `convert --tuned`, measure nothing
again. A tuned program that is no faster as a whole, or gives other outputs, is thrown away for the static one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgesdk import flow, measured, pareto, program, runners, samples
from edgesdk.boards import Board
from edgesdk.errors import EdgeError, UsageError
from edgesdk.flow import Base, Converted
from edgesdk.measured import Candidate, Known
from edgesdk.runners import Session
from edgesdk.tuning import layers, stages
from edgesdk.tuning.contest import (
    LEAST_GAIN,
    LEAST_ROUNDS,
    Budget,
    Device,
    Rules,
    contest,
    interruptible,
    ratio,
    whole_costs,
)
from edgesdk.tuning.layers import Plan, Tuner

OpenSession = Callable[[Board, bytes, int], AbstractContextManager[Session]]
FARTHEST = 1e-5  # relative L2 distance of float outputs
ROUNDS = 21  # of the comparison at the end


@dataclass(frozen=True)
class Change:
    """A layer that takes another kernel than the static choice, or shares it otherwise; costs of one such layer."""

    op: str
    source: str
    before: str
    after: str
    cost_before: float | None
    cost_after: float | None


@dataclass(eq=False)
class Tuned:
    """The program that was found fastest, which is `static` where nothing was gained. Costs are those of a run, in the
    unit of `clock`; `measured` counts costs that are new, `remembered` those that the device's file had."""

    converted: Converted
    static: Converted
    clock: str
    device: dict[str, str]
    before: float
    after: float
    seconds: float
    measured: int
    remembered: int
    changes: list[Change]
    warnings: list[str]
    cache: Path | None
    stopped: bool


@dataclass(frozen=True)
class Wish:
    """What a program is chosen by, as in flow.convert."""

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    latency_us: float | None = None
    stream: bool = False


@dataclass(eq=False)
class Static:
    """The program of the static choices: what is tuned, and compared with at the end."""

    plan: Plan
    converted: Converted
    wish: Wish
    key: str  # of the network in the device's file


def tune(
    model: Any,
    board: str | Board = "host",
    *,
    seconds: float = 30.0,
    fresh: bool = False,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    latency_us: float | None = None,
    stream: bool = False,
    tick: Callable[[str], None] = lambda text: None,
    open_session: OpenSession = runners.open,
    **options: Any,
) -> Tuned:
    """The program that flow.convert writes for a board, with the kernels and stages that are fastest there.

    Measuring takes about `seconds`; Ctrl-C ends it early, and what is known by then is used. `fresh` measures again
    what the device's file knows. `options` are those of flow.convert. Raises EdgeError as flow.convert does, and
    DeviceError where the board does not answer.
    """
    if not seconds > 0:
        raise UsageError(f"--time {seconds:g}s: expected more than 0 seconds")
    base = flow.base_schedule(model, board, flash_bytes=flash_bytes, latency_us=latency_us, stream=stream, **options)
    static = _static(base, Wish(ram_bytes, flash_bytes, latency_us, stream))
    budget = Budget(seconds, tick)
    with interruptible(budget):
        tuner, path = _begin(static, open_session, fresh, budget)
        return _tune(tuner, static, path)


def _static(base: Base, wish: Wish) -> Static:
    chosen = flow.choose(base.schedule, base.board, wish.ram_bytes, wish.latency_us, wish.stream, _silent)
    converted = flow.finish(base, *chosen, wish.ram_bytes, wish.flash_bytes, _silent)
    names = [measured.signature(s.node, base.schedule.threads) for s in base.schedule.steps]
    return Static(layers.plan(base, *chosen), converted, wish, measured.program_key(names))


def _silent(stage: str) -> None:
    pass


def _begin(static: Static, open_session: OpenSession, fresh: bool, budget: Budget) -> tuple[Tuner, Path]:
    """The device, with what its file knows of it."""
    board, base = static.plan.base.board, static.plan.base
    sample = samples.random_sample(flow.input_specs(base.graph))
    most = base.schedule.threads if board.runner == "host" else 1  # emulators count the instructions of one thread

    def opened(data: bytes) -> AbstractContextManager[Session]:
        return open_session(board, data, most if most > 1 and program.threads(program.read(data)) else 1)

    device = Device(opened, sample)
    with device.open(static.converted.data) as session:
        clock, context = session.about()
        exact = clock == "instructions"
        run_us = 0.0 if exact else min(session.run_costs(sample, 3))
    budget.start()  # compilers have had their time
    device = replace(device, exact=exact, run_us=run_us)
    name = measured.device(board, " ".join(str(context[k]) for k in ("engine", "flavour") if k in context))
    path = measured.path_of(name)
    known, warning = (None, None) if fresh else measured.load(path, name)
    tuner = Tuner(device, budget, known or measured.fresh(name, clock))
    tuner.warnings += [warning] if warning else []
    return tuner, path


def _tune(tuner: Tuner, static: Static, path: Path) -> Tuned:
    made, known = static.plan, tuner.known
    remembered = sum(len(known.layers.get(name, ())) for name in set(made.names.values()))
    _measure(tuner, static)
    found = _written(tuner, static)
    before, by = _compared(tuner, static.converted, found)
    if found is not None and by >= 1.0:
        _forget_gains(known, static)
    found = found if by < 1.0 - LEAST_GAIN[known.clock] else None
    changes = _changes(known, static, found) if found is not None else []
    after = before * by if found is not None else before
    cache, written = _saved(tuner, path), found or static.converted
    return Tuned(
        written, static.converted, known.clock, known.device, before, after, tuner.budget.used(), tuner.measured,
        remembered, changes, tuner.warnings, cache, tuner.budget.stopped,
    )  # fmt: skip


def _measure(tuner: Tuner, static: Static) -> None:
    """Costs of kernels, then who shares the fastest of them, then of stages made of the fastest of all."""
    made, threads = static.plan, static.plan.base.schedule.threads
    layers.tune_layers(tuner, made, layers.kernels_of(made), {})
    if threads > 1 and made.base.board.runner == "host":
        fastest = layers.fastest(made, tuner.known)
        layers.tune_layers(tuner, made, layers.shares_of(made, tuner.known), fastest)
    if not static.wish.stream:
        base = flow.retuned(made.base, tuner.known)
        stages.tune_stages(tuner, base, made.point, static.key, static.wish.ram_bytes)


def _written(tuner: Tuner, static: Static) -> Converted | None:
    """The tuned program; None where it is the static one, or does not fit."""
    if not layers.fastest(static.plan, tuner.known) and not tuner.known.programs.get(static.key):
        return None
    base, wish = flow.retuned(static.plan.base, tuner.known), static.wish
    try:
        chosen = flow.tuned_point(base, wish.ram_bytes, wish.stream)
        if chosen is None:
            chosen = flow.choose(base.schedule, base.board, wish.ram_bytes, wish.latency_us, wish.stream, _silent)
        found = flow.finish(base, *chosen, wish.ram_bytes, wish.flash_bytes, _silent)
    except EdgeError as error:
        tuner.warnings.append(f"the tuned program is not used: {error}")
        return None
    old = static.converted.program
    if program.threads(old) and not program.threads(found.program):
        tuner.warnings.append("no layer is faster on several threads here; run the program on one")
    same = (found.program.steps, found.program.stages, found.program.weights) == (old.steps, old.stages, old.weights)
    return None if same else found


def _compared(tuner: Tuner, static: Converted, found: Converted | None) -> tuple[float, float]:
    """What a run costs before, and its ratio after; 1 where there is no other program, or its outputs differ."""
    if found is None or not _agree(tuner, static, found):
        return float(whole_costs(tuner.device, static.data)[0]), 1.0
    programs = [static.data, found.data]
    result = contest(tuner.device, programs, Rules(whole_costs, ROUNDS, 1.0, "before and after"), tuner.budget)
    if len(result.rounds) < LEAST_ROUNDS and not (tuner.device.exact and result.rounds):
        least = Rules(whole_costs, LEAST_ROUNDS, 1.0, "before and after")
        result = contest(tuner.device, programs, least, Budget(math.inf))  # the time is over, or Ctrl-C was hit
    pairs = [(float(mine[0]), float(other[0])) for mine, other in result.beside(1)]
    found_ratio = ratio(pairs, tuner.device.exact)
    return float(np.median([other for _, other in pairs])), 1.0 if found_ratio is None else found_ratio


def _agree(tuner: Tuner, static: Converted, found: Converted) -> bool:
    """Integers are the same bytes, floats hardly differ."""
    outputs = []
    for data in (static.data, found.data):
        with tuner.device.open(data) as session:
            session.reset()
            outputs.append(session.run(tuner.device.sample))
    for value, ours, theirs in zip(found.graph.outputs, outputs[1], outputs[0], strict=True):
        far = distance(ours, theirs)
        if far > (FARTHEST if theirs.dtype.kind == "f" else 0.0):
            tuner.warnings.append(
                f"the tuned program is not used: its output {value.name} is {far:.2g} (relative L2) from that of the "
                "static one; report this with the model"
            )
            return False
    return True


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Relative L2; infinite where one is not finite and the other is something else."""
    if np.array_equal(ours, theirs, equal_nan=theirs.dtype.kind == "f"):
        return 0.0
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    far = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-30))
    return far if math.isfinite(far) else math.inf


def _forget_gains(known: Known, static: Static) -> None:
    """What looked like a gain was none in the program as a whole: no other run of tune need find that out again."""
    for step in static.plan.base.schedule.steps:
        costs = known.layers.get(static.plan.names[step.node], {})
        least = costs.get(Candidate(step.kernel).name, 0.0)
        costs.update({candidate: max(cost, least) for candidate, cost in costs.items()})
    if static.key in known.programs:
        known.programs[static.key] = []


def _saved(tuner: Tuner, path: Path) -> Path | None:
    known = measured.merged(tuner.known, measured.load(path, tuner.known.device)[0])
    try:
        program.write_file(path, msgspec.json.format(msgspec.json.encode(known)))
    except EdgeError as error:
        tuner.warnings.append(f"what was measured is not kept: {error}")
        return None
    return path


def _changes(known: Known, static: Static, found: Converted) -> list[Change]:
    """Layers that the tuned program computes otherwise."""
    old = {s.node: s for s in static.plan.base.schedule.steps}
    rows = []
    for node, new in {layers.node_of(s): s for s in found.schedule.steps}.items():
        before, after = (Candidate(s.kernel, s.shared).name for s in (old[node], new))
        if before != after:
            costs = known.layers.get(static.plan.names[node], {})
            rows.append(Change(node.op, node.source, before, after, costs.get(before), costs.get(after)))
    return rows


def report(t: Tuned) -> dict[str, Any]:
    """The JSON object of `edgesdk tune`: that of `convert`, and what was gained."""
    return flow.report(t.converted) | {
        "device": t.device,
        "clock": t.clock,
        "before": t.before,
        "after": t.after,
        "ratio": t.after / t.before if t.before else 1.0,
        "seconds": t.seconds,
        "measured": t.measured,
        "remembered": t.remembered,
        "stopped": t.stopped,
        "layers": [asdict(c) for c in t.changes],
        "schedule_before": pareto.text(t.static.schedule),
        "cache": None if t.cache is None else str(t.cache),
        "warnings": [*t.converted.warnings, *t.warnings],
    }
