# SPDX-License-Identifier: Apache-2.0
"""What `edgesdk tune` gains: each model before and after, and how long it took.

    python benchmarks/tune.py MODEL... [--board B] [--time SECONDS] [--threads N] [--rounds N] [--json OUT]

Nothing that was measured before is used. Both programs are measured again afterwards, in rounds that alternate: the
ratio is the median of theirs, with the quartiles beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import flow, pareto, program, runners, samples, tuning
from edgesdk.boards import Board
from edgesdk.tuning.contest import Budget, Device, Rules, contest, whole_costs


@dataclass(frozen=True)
class Row:
    """Costs of a run in the unit of `clock`."""

    model: str
    clock: str
    before: float
    after: float
    ratio: float
    quartiles: tuple[float, float]
    seconds: float
    total_seconds: float
    measured: int
    layers: int
    schedule: str


def compared(tuned: tuning.Tuned, board: Board, threads: int, rounds: int) -> tuple[float, np.ndarray]:
    """The static program's median cost, and the ratio of the tuned one's in each round."""
    sample = samples.random_sample(flow.input_specs(tuned.converted.graph))

    def opened(data: bytes):  # type: ignore[no-untyped-def]
        return runners.open(board, data, threads if program.threads(program.read(data)) else 1)

    device = Device(opened, sample, tuned.clock == "instructions", tuned.before)
    programs = [tuned.static.data, tuned.converted.data]
    found = contest(device, programs, Rules(whole_costs, rounds, 1.0, ""), Budget(float("inf"))).beside(1)
    return float(np.median([other[0] for _, other in found])), np.array([mine[0] / other[0] for mine, other in found])


def row(model: Path, options: argparse.Namespace) -> Row:
    begun = time.perf_counter()
    tuned = tuning.tune(model, options.board, seconds=options.time, fresh=True, threads=options.threads)
    took = time.perf_counter() - begun
    before, ratios = tuned.before, np.ones(1)
    if tuned.converted is not tuned.static:
        before, ratios = compared(tuned, tuned.converted.board, options.threads, options.rounds)
    ratio, low, high = (float(q) for q in np.quantile(ratios, (0.5, 0.25, 0.75)))
    schedule = pareto.text(tuned.converted.schedule)
    return Row(
        model.stem, tuned.clock, before, before * ratio, ratio, (low, high), tuned.seconds, took, tuned.measured,
        len(tuned.changes), schedule if schedule != pareto.text(tuned.static.schedule) else "",
    )  # fmt: skip


def table(rows: list[Row], title: str) -> Table:
    shown = Table(title=title, title_justify="left", box=None)
    for name in ("model", "before", "after", "ratio", "quartiles", "took", "costs", "layers changed", "schedule"):
        shown.add_column(name, justify="left" if name in ("model", "schedule") else "right")
    for r in rows:
        quartiles = f"{r.quartiles[0]:.3f}-{r.quartiles[1]:.3f}"
        cells = (f"{r.before:,.0f}", f"{r.after:,.0f}", f"{r.ratio:.3f}", quartiles, f"{r.seconds:.1f} s")
        shown.add_row(r.model, *cells, str(r.measured), str(r.layers), r.schedule or "as before")
    return shown


def rows_of(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGESDK_CACHE"] = folder
        for model in options.models:
            yield row(model, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--board", default="host")
    parser.add_argument("--time", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for found in rows_of(options):
        rows.append(found)
        Console(stderr=True).print(f"{found.model}: {found.ratio:.3f}")
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1))
    Console(width=150).print(table(rows, f"{options.board}, {rows[0].clock} of a run"))


if __name__ == "__main__":
    main()
