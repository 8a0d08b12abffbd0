# SPDX-License-Identifier: Apache-2.0
"""Modelled instructions of a step on a core: a sum of counts, each with its price.

What a kernel does is counted from the step's shape (counts.py); what one of each takes on a core is in
boards/costs.toml, fitted to instructions that were counted in the emulator (benchmarks/fit_cost.py). Prices hold
for kernels as edgesdk's firmware builds them.

A core or kernel without prices has no estimate (None). The schedule search still needs an order of
programs there: `instructions` then falls back on the prices of REFERENCE_CORE, or on those of
another kernel of the same op and types, or on GUESS. Such numbers rank; they are never reported.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from edgesdk import boards, counts_packed
from edgesdk.counts import RULES, Counts, unknown
from edgesdk.schedule import Schedule, Step

REFERENCE_CORE = "cortex-m4"
GUESS = {"call": 200.0, "row": 20.0, "mac": 3.0, "item": 10.0}
# Types whose loops are counted alike: their prices rank kernels that have none of their own.
ALIKE_OPS = {"pixel_softmax": "softmax"}
ALIKE = {
    "s16s8": ("s8s8", "f32s8"),  # convolutions, quantize
    "s16s16": ("s8s8", "f32s8"),
    "s16": ("s8", "f32"),
    "f32s8": ("f32",),
    "f32f16": ("f32",),
    "s8s4": ("s8s8",),
    "f32s4": ("f32",),
    "f32s16": ("f32s8",),
    "s8s16": ("f32s8",),
    "s16f32": ("s8f32",),
    "b2": ("b4",),
}


class KernelPrices(boards.Record, frozen=True):
    """Instructions per unit of each count; `error_percent` is the root mean square of the errors on shapes that
    were not fitted."""

    error_percent: float
    prices: dict[str, float]


class CorePrices(boards.Record, frozen=True):
    """`dispatch` is what the runtime spends to call a kernel. A latency needs `cycles_per_instruction`,
    with the source of that figure."""

    dispatch: float
    kernels: dict[str, KernelPrices]
    cycles_per_instruction: float | None = None
    source: str | None = None


@dataclass(frozen=True)
class Estimate:
    """Modelled cost of one run; None is what cannot be known for the board."""

    instructions: float | None
    latency_us: float | None
    error_percent: float | None


@cache
def prices() -> dict[str, CorePrices]:
    """Core name -> its prices."""
    path = boards.folder() / "costs.toml"
    return {
        core: boards.checked(table, CorePrices, f"{path}: {core}") for core, table in boards.read_toml(path).items()
    }


def cycle_model(board: boards.Board) -> float | None:
    """Microseconds per instruction; None for a board whose clock or core's cycles are not known."""
    known = prices().get(board.core.name)
    if known is None or known.cycles_per_instruction is None or board.clock_hz is None:
        return None
    return known.cycles_per_instruction / board.clock_hz * 1e6


def program_cost(schedule: Schedule, core: str, clock_hz: int | None = None) -> Estimate:
    """The estimate of one run of a schedule, of a sliding window that of a new output.

    `error_percent` is the steps' errors, weighted by their cost.
    """
    known = prices().get(core)
    if known is None or any(s.kernel.name not in known.kernels for s in schedule.steps):
        return Estimate(None, None, None)
    calls = schedule.kernel_calls()
    costs = [_cost(schedule, s, calls[i], core) for i, s in enumerate(schedule.steps)]
    doubts = [known.kernels[s.kernel.name].error_percent for s in schedule.steps]
    total = sum(costs)
    error = sum(c * d for c, d in zip(costs, doubts, strict=True)) / total if total else 0.0
    latency = None
    if clock_hz is not None and known.cycles_per_instruction is not None:
        latency = total * known.cycles_per_instruction / clock_hz * 1e6
    return Estimate(total, latency, error)


def _cost(schedule: Schedule, step: Step, calls: int, core: str) -> float:
    """A step of a sliding window computes one row per call, of rows without end."""
    if step.node.output not in schedule.rings:
        return instructions(step, calls, core)
    work = instructions(step, 0, core)
    return work * calls / step.encoded.rows + instructions(step, calls, core) - work


def instructions(step: Step, calls: int, core: str) -> float:
    """Modelled instructions of a step whose rows are computed in `calls` calls of its kernel."""
    known = prices().get(core) or prices()[REFERENCE_CORE]
    each = _prices_of(step, known)
    work = sum(n * each.get(what, 0.0) for what, n in counts(step).items())
    start = sum(n * each.get(what, 0.0) for what, n in call_counts(step).items())
    return work + calls * (start + known.dispatch)


def _prices_of(step: Step, known: CorePrices) -> dict[str, float]:
    kernel = step.kernel
    if kernel.name in known.kernels:
        return known.kernels[kernel.name].prices
    op = ALIKE_OPS.get(kernel.op, kernel.op)
    for types in (kernel.types, *ALIKE.get(kernel.types, ())):
        alike = (name for name in known.kernels if name.startswith(f"ert_{op}_{types}_"))
        found = next(alike, None)
        if found:
            return known.kernels[found].prices
    return GUESS


@cache
def counts(step: Step) -> Counts:
    """How often the kernel does each thing to compute the whole output; calls apart."""
    rule = counts_packed.rule(step.kernel) or RULES.get(step.kernel.op, unknown)
    once = rule(step) + Counter({"row": step.encoded.rows})
    return Counter({what: n * step.encoded.batch for what, n in once.items() if n})


def call_counts(step: Step) -> Counts:
    """What each call of the kernel begins with: a step of several images starts on each of them."""
    again = counts_packed.again(step)
    return Counter({"call": 1, "image": step.encoded.batch}) + again
