# SPDX-License-Identifier: Apache-2.0
"""Arenas of the memory planner beside those of CP-SAT (OR-Tools) on random graphs.

    python benchmarks/planner.py [--graphs 200] [--seconds 5] [--json OUT]

The problems are those of tests/unit/test_planner.py: half of up to 12 values, half of 13 to 40, with values that
are written and read row by row. `gap` is the arena above the smallest that CP-SAT finds in `--seconds`; where it
proves nothing in that time, `open` counts it. The last rows are stages of rows, too large for CP-SAT, beside the
lower bound.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))

from planner_cases import answers, cases, fused  # noqa: E402

from edgesdk.placement import Item, Placement, place  # noqa: E402

STAGES = ((9, 48), (18, 64), (30, 96))  # layers, rows of each
GROUPS = ((1, 6), (7, 12), (13, 25), (26, 40))  # values


def measure(items: list[Item], seconds: float) -> dict[str, Any]:
    """One problem; no oracle in no time."""
    begun = time.process_time()
    placed = place(items)
    took = time.process_time() - begun
    status, best = answers(items, placed.arena_bytes, seconds) if seconds else ("-", placed.lower_bound_bytes)
    return {**_figures(items, placed), "oracle": best, "status": status, "seconds": took}


def _figures(items: list[Item], placed: Placement) -> dict[str, Any]:
    return {
        "items": len(items),
        "arena": placed.arena_bytes,
        "lower_bound": placed.lower_bound_bytes,
        "proved": placed.proved,
    }


def groups(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for low, high in GROUPS:
        found = [r for r in rows if low <= r["items"] <= high]
        if found:
            yield f"{low} to {high} values", found
    for r in rows:
        if r["status"] == "-":
            yield f"stage of {r['items']:,} rows", [r]


def line(name: str, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    gaps = [100 * (r["arena"] / r["oracle"] - 1) for r in rows]
    counts = (len(rows), sum(r["proved"] for r in rows), sum(r["status"] in ("unknown", "feasible") for r in rows))
    times = [1000 * r["seconds"] for r in rows]
    return (
        name,
        *map(str, counts),
        f"{statistics.mean(gaps):.2f}",
        f"{max(gaps):.2f}",
        f"{statistics.median(times):.1f}",
        f"{max(times):.1f}",
    )


def table(rows: list[dict[str, Any]]) -> Table:
    t = Table("problems", "n", "proved", "open", "mean gap %", "largest", "median ms", "longest")
    for name, found in groups(rows):
        t.add_row(*line(name, found))
    return t


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(items, options.seconds) for items in track(cases(options.graphs), "placing")]
    rows += [measure(fused(1, n, height), 0) for n, height in STAGES]
    Console(width=120).print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"seconds": options.seconds, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
