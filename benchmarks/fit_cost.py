# SPDX-License-Identifier: Apache-2.0
"""Fits boards/costs.toml: the price of each thing that a kernel counts, per core (sdk/edgesdk/cost.py).

    python benchmarks/fit_cost.py --write boards/costs.toml [--models ../shared/models] [--only conv2d,add]
    python benchmarks/fit_cost.py --models ../shared/models      measures the models with the prices there are

Every row of the runtime's table gets steps of its own: what a core prefers to a row is left out of the choice then.
Prices are not negative and minimise the squared relative error. The error beside them is that on shapes that were kept
out of a fit to the others. `--only` renews the rows of some ops and keeps the others.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rare_shapes
import shapes
import steps as counting
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls
from shapes import Family, Shapes

from edgesdk import boards, converters, cost, firmware, kernels, passes, schedule
from edgesdk.boards import Board
from edgesdk.errors import DoesNotFit, EdgeError
from edgesdk.ir import Graph
from edgesdk.schedule import Schedule, Stage, Step, trace
from edgesdk.search import MAX_STAGE_STEPS

BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547")
OUTPUT_BYTES = 3072
WEIGHT_BYTES = 9000
HELD_OUT = (2, 5, 8)  # of ten shapes
ATTEMPTS = 200  # to draw a step
SMALL = 1e-3  # what a price that no shape needs costs beside an error
LEAST = 60  # shapes of a family
MISSES = 20  # shapes for which another kernel is chosen, after which there is none
MODELS = {
    "ic": "mlperf-tiny-ic-resnet8/pretrainedResnet_quant.tflite",
    "vww": "mlperf-tiny-vww-mobilenetv1/vww_96_int8.tflite",
    "kws": "mlperf-tiny-kws-dscnn/kws_ref_model.tflite",
    "ad": "mlperf-tiny-ad-autoencoder/ad01_int8.tflite",
    "person": "tflm-person-detect/person_detect.tflite",
    "mcunet": "tinyengine-mcunet/vww.tflite",
}
MIXED = {**shapes.LAYERS, **rare_shapes.GROUPED}
# Types of activations, and of weights where they differ -> families and how many shapes of each.
DRAWN: dict[str, dict[Family, int]] = {
    "int8": {**shapes.LAYERS, **shapes.OTHERS, **rare_shapes.RARE["int8"]},
    "float32": {**shapes.LAYERS, **shapes.OTHERS, **rare_shapes.RARE["float32"]},
    "int16": {**shapes.OTHERS, **rare_shapes.RARE["int16"]},
    "int16 int8": MIXED,
    "int8 int4": {**MIXED, rare_shapes.fully_connected_rows: 80},
    "float32 int8": MIXED,
    "float32 float16": MIXED,
    "float32 int4": MIXED,
    "int32": rare_shapes.RARE["int32"],
    "int64": rare_shapes.RARE["int64"],
}


def drawn(family: Family, s: Shapes, chain: tuple[str, ...]) -> Step | None:
    """A step of the family that fits into a program and whose kernel is of the chain's first instruction set; None
    where there is none."""
    misses = 0
    for _ in range(ATTEMPTS):
        try:
            graph = family(s)
            found = counting.steps_of(graph, chain) if fits(graph) else []
        except (ValueError, EdgeError):
            continue
        if len(found) == 1 and found[0].scratch_bytes <= OUTPUT_BYTES:
            if found[0].kernel.isa == chain[0]:
                return found[0]
            misses += 1
        if misses == MISSES:
            return None
    return None


def fits(graph: Graph) -> bool:
    weights = sum(v.n_bytes for n in graph.nodes for v in n.inputs if v is not None and v.data is not None)
    reads = max(v.n_bytes for v in graph.inputs)
    return reads <= counting.POOL_BYTES and weights <= WEIGHT_BYTES and graph.outputs[0].n_bytes <= OUTPUT_BYTES


def all_steps(chain: tuple[str, ...], share: float, only: frozenset[str]) -> Iterator[tuple[bool, list[Step]]]:
    """Steps for each instruction set, and whether their programs are like those of models: where a program has many
    kernels, finding one takes longer. What is read has one type."""
    for types, families in DRAWN.items():
        mixed: list[Step] = []
        for family, n in families.items():
            found = [s for level in range(len(chain)) for s in of_level(types, family, chain[level:], wanted(n, share))]
            kept = [s for s in found if not only or s.kernel.op in only]
            if types == "int8" and family in shapes.LAYERS and kept:
                yield True, kept
            else:
                mixed += kept
        if mixed:
            yield False, mixed


def wanted(n: int, share: float) -> int:
    """Of few shapes all, or their prices mean nothing."""
    return max(math.ceil(n * share), min(n, LEAST))


@cache
def of_level(types: str, family: Family, chain: tuple[str, ...], n: int) -> list[Step]:
    """Steps whose kernels are of the chain's first instruction set; none where it has none for the family."""
    s = Shapes(random.Random(f"{types} {family.__name__}"), types)
    return list(takewhile(lambda step: step is not None, (drawn(family, s, chain) for _ in range(n))))


@dataclass(frozen=True)
class Sample:
    step: Step
    instructions: float
    held_out: bool


def sampled(board: Board, share: float, only: frozenset[str]) -> tuple[list[Sample], float]:
    """Measured steps, and what dispatching a call takes outside of its kernel."""
    samples: list[Sample] = []
    outside, calls = 0.0, 0
    for alike, steps in all_steps(board.core.isa, share, only):
        for group in counting.packed(steps):
            found = counting.count(board, counting.together(group))
            samples += [Sample(s, n, False) for s, n in zip(group, found.steps, strict=True)]
            if alike:
                outside, calls = outside + found.total - sum(found.steps), calls + len(group)
        print(f"{board.id}: {len(samples)} steps", file=sys.stderr)
    return held_back(samples), outside / calls if calls else 0.0


def held_back(samples: list[Sample]) -> list[Sample]:
    """Of each kernel's shapes three of ten are kept for testing."""
    by_kernel = kernels_of(samples)
    return [
        Sample(s.step, s.instructions, i % 10 in HELD_OUT) for group in by_kernel.values() for i, s in enumerate(group)
    ]


def kernels_of(samples: list[Sample]) -> dict[str, list[Sample]]:
    """Samples of each kernel; of those that count the same things, one."""
    found: dict[str, dict[frozenset[tuple[str, int]], Sample]] = {}
    for s in samples:
        found.setdefault(s.step.kernel.name, {}).setdefault(frozenset(counted(s.step).items()), s)
    return {name: list(group.values()) for name, group in sorted(found.items())}


def counted(step: Step) -> Counter[str]:
    """What the step counts in a plain stage, calls included."""
    return cost.counts(step) + cost.call_counts(step)


def fitted(samples: list[Sample]) -> dict[str, float]:
    """Non-negative prices of the least squared relative error; of equally good ones the smallest."""
    rows = [counted(s.step) for s in samples]
    names = sorted({name for row in rows for name in row})
    design = np.array([[row[n] for n in names] for row in rows], float)
    design /= np.array([s.instructions for s in samples])[:, None]
    scale = np.maximum(design.max(0), 1e-12)
    small = np.eye(len(names)) * SMALL
    wanted_sums = np.concatenate([np.ones(len(samples)), np.zeros(len(names))])
    found, _ = nnls(np.concatenate([design / scale, small]), wanted_sums, maxiter=100 * len(names))
    return {n: round(float(p), 3) for n, p in zip(names, found / scale, strict=True) if round(float(p), 3) > 0}


def errors(samples: list[Sample], prices: dict[str, float]) -> np.ndarray:
    """Relative errors in percent."""
    modelled = np.array([sum(n * prices.get(k, 0.0) for k, n in counted(s.step).items()) for s in samples])
    return (modelled / np.array([s.instructions for s in samples]) - 1) * 100


def fit_core(board: Board, share: float, only: frozenset[str]) -> tuple[dict[str, Any], list[list[str]]]:
    samples, dispatch = sampled(board, share, only)
    rows, lines = {}, []
    for name, group in kernels_of(samples).items():
        prices = fitted([s for s in group if not s.held_out])
        error = errors([s for s in group if s.held_out] or group, prices)
        rms, worst = float(np.sqrt(np.mean(error**2))), float(np.abs(error).max())
        rows[name] = {"error_percent": round(rms, 2), "prices": fitted(group)}
        lines.append([board.core.name, name, str(len(group)), f"{rms:.2f}", f"{worst:.2f}"])
    return {"dispatch": round(dispatch, 2), "kernels": rows}, lines


HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Instructions that each thing a kernel does takes on a core; the names are those of sdk/edgesdk/cost.py.
# Fitted by benchmarks/fit_cost.py to instructions counted in QEMU, firmware built by {compiler}.
# error_percent: root mean square of the errors on shapes that were not fitted.
"""


def as_toml(cores: dict[str, dict[str, Any]], compiler: str) -> str:
    lines = [HEADER.format(compiler=compiler)]
    for core, table in cores.items():
        lines += [f'["{core}"]', f"dispatch = {table['dispatch']}", "", f'["{core}".kernels]']
        for name, kernel in table["kernels"].items():
            prices = ", ".join(f'"{k}" = {v}' if " " in k else f"{k} = {v}" for k, v in kernel["prices"].items())
            lines.append(f"{name} = {{ error_percent = {kernel['error_percent']}, prices = {{ {prices} }} }}")
        lines.append("")
    return "\n".join(lines)


def check_model(board: Board, name: str, path: Path) -> list[list[str]]:
    """A line for the model layer by layer, and one for all of it in a single stage of rows."""
    graph = passes.lower(passes.simplify(converters.load(path, {})))
    whole = schedule.schedule(graph, board.core.isa)
    lines = [check_program(board, name, whole)]
    if len(whole.steps) <= MAX_STAGE_STEPS and all(trace.can_run_by_rows(s) for s in whole.steps):
        rows = Schedule(graph, whole.steps, [Stage("rows", 0, len(whole.steps))], whole.roots)
        lines.append(check_program(board, f"{name} by rows", rows))
    return lines


def check_program(board: Board, name: str, placed: Schedule) -> list[str]:
    """Modelled against counted instructions of one run; of a plain program also step by step."""
    plain = all(s.kind == "plain" for s in placed.stages)
    try:
        found = counting.count(board, placed, by_step=plain)
    except DoesNotFit:
        return [board.core.name, name, "does not fit", "", "", "", ""]
    estimate = cost.program_cost(placed, board.core.name)
    if estimate.instructions is None or estimate.error_percent is None:
        return [board.core.name, name, f"{found.total:,.0f}", "no prices", "", "", ""]
    figures = [100 * (estimate.instructions / found.total - 1), estimate.error_percent]
    figures += step_errors(board, placed, found) if plain else []
    return [board.core.name, name, f"{found.total:,.0f}", *(f"{x:.2f}" for x in figures), *[""] * (4 - len(figures))]


def step_errors(board: Board, placed: Schedule, found: counting.Counted) -> list[float]:
    """Sum of the steps' errors over their sum, and the largest error of a step, in percent."""
    dispatch = cost.prices()[board.core.name].dispatch
    modelled = [cost.instructions(s, 1, board.core.name) - dispatch for s in placed.steps]
    off = np.abs(np.array(modelled) - found.steps)
    return [100 * off.sum() / sum(found.steps), float((100 * off / found.steps).max())]


def show(title: str, columns: str, lines: list[list[str]]) -> None:
    table = Table(*columns.split(), title=title)
    for line in lines:
        table.add_row(*line)
    Console(width=140).print(table)


def fit(targets: list[Board], path: Path, share: float, only: frozenset[str]) -> None:
    """Each core is written when it is done."""
    lock = Lock()

    def renew(board: Board) -> list[list[str]]:
        table, lines = fit_core(board, share, only)
        with lock:
            known = boards.read_toml(path) if path.exists() else {}
            known[board.core.name] = merged(known.get(board.core.name), table, only)
            path.write_text(as_toml(known, firmware.toolchain.find(board.core).version))
        return lines

    with ThreadPoolExecutor(2) as workers:
        lines = [line for found in workers.map(renew, targets) for line in found]
    show("error in percent on held-out shapes", "core kernel shapes rms worst", lines)
    cost.prices.cache_clear()
    for board in targets:
        priced = cost.prices()[board.core.name].kernels if path.samefile(boards.folder() / "costs.toml") else {}
        missing = [k.name for k in kernels.table() if k.isa in board.core.isa and k.name not in priced]
        print(f"{board.core.name}: no prices for {', '.join(missing) or 'no row'}")


def merged(known: dict[str, Any] | None, table: dict[str, Any], only: frozenset[str]) -> dict[str, Any]:
    """What was fitted, and the other rows that are known of the core; rows that no kernel has are dropped."""
    names = {k.name for k in kernels.table()}
    rows = {**(known["kernels"] if known else {}), **table["kernels"]}
    dispatch = known["dispatch"] if known and only else table["dispatch"]
    return {"dispatch": dispatch, "kernels": {n: rows[n] for n in sorted(rows) if n in names}}


def check(targets: list[Board], models: Path) -> None:
    jobs = [(board, name, models / path) for board in targets for name, path in MODELS.items()]
    with ThreadPoolExecutor(2) as workers:
        lines = [line for found in workers.map(lambda job: check_model(*job), jobs) for line in found]
    show("modelled against counted", "core program instructions total-% stated-% steps-% worst-step-%", lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="the costs.toml to write")
    parser.add_argument("--models", type=Path, help="folder of the shared models to compare with")
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--share", type=float, default=1.0, help="of the shapes per kernel")
    parser.add_argument("--only", default="", help="ops, as the runtime's table names them, with commas")
    options = parser.parse_args()
    targets = [boards.load(name) for name in options.boards.split(",")]
    if options.write:
        fit(targets, options.write, options.share, frozenset(filter(None, options.only.split(","))))
    if options.models:
        check(targets, options.models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
