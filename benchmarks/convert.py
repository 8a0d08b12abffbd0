# SPDX-License-Identifier: Apache-2.0
"""Seconds and peak memory of starting, importing and converting a model, each model in a process of its own.

    python benchmarks/convert.py MODEL... [--board B] [--runs 3] [--json OUT]

`import` is the importer alone, `convert` the whole flow without writing the file; the median of the runs.
`peak` is the largest resident set of the process, `start` that of one that only imports edgesdk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

# Runs in the child, so that one model's memory does not count for the next.
MEASURE = """
import json, resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from edgesdk import converters
from edgesdk.flow import convert
started = time.perf_counter()
unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
result = {"start_s": started - begun, "start_peak_bytes": peak()}
model, board = sys.argv[1:]
if model:
    begun = time.perf_counter()
    converters.load(Path(model))
    result["import_s"] = time.perf_counter() - begun
    begun = time.perf_counter()
    converted = convert(model, board)
    result["convert_s"] = time.perf_counter() - begun
    result.update(edge_bytes=len(converted.data), arena_bytes=converted.plan.arena_bytes,
                  steps=len(converted.schedule.steps), peak_bytes=peak())
print(json.dumps(result))
"""


def measure(model: Path | None, board: str) -> dict[str, Any]:
    """Figures of one process. Raises CalledProcessError where the conversion is refused."""
    command = [sys.executable, "-c", MEASURE, str(model or ""), board]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def row(model: Path, board: str, runs: int) -> dict[str, Any]:
    """Medians of the times and of the peak over `runs` processes."""
    found = [measure(model, board) for _ in range(runs)]
    medians = {k: statistics.median(f[k] for f in found) for k in found[0] if k.endswith(("_s", "_peak_bytes"))}
    peak = statistics.median(f["peak_bytes"] for f in found)
    return {**found[0], **medians, "peak_bytes": peak, "model": model.name, "model_bytes": model.stat().st_size}


def table(rows: list[dict[str, Any]]) -> Table:
    t = Table("model", "bytes", ".edge bytes", "steps", "start s", "import s", "convert s", "peak MB", "start MB")
    for r in rows:
        sizes = (f"{r['model_bytes']:,}", f"{r['edge_bytes']:,}", str(r["steps"]))
        times = (f"{r[k]:.2f}" for k in ("start_s", "import_s", "convert_s"))
        t.add_row(r["model"], *sizes, *times, *(f"{r[k] / 1e6:.0f}" for k in ("peak_bytes", "start_peak_bytes")))
    return t


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--board", default="host")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [row(m, options.board, options.runs) for m in options.models]
    Console(width=140).print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"board": options.board, "runs": options.runs, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
