# SPDX-License-Identifier: Apache-2.0
"""Seconds and peak memory of starting, importing and converting a model, each model in a process of its own.

    python benchmarks/convert.py MODEL... [--mobilenet-v2] [--quantize RECIPE] [--board B] [--runs 3] [--json OUT]

`import` is the importer alone, `convert` the whole flow without writing the file; the median of the runs.
`CPU` is the processor time of the whole process, which other work on the machine hardly changes.
`peak` is the largest resident set of the process, `start` that of one that only imports edgesdk.
--quantize calibrates on random samples (--samples).
--mobilenet-v2 adds MobileNetV2 as in the paper, at 224 x 224 and with random weights, as ONNX and as .pt2 file: it
needs torch and onnx.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import warnings
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
model, board, recipe, samples = sys.argv[1:]
if model:
    begun = time.perf_counter()
    inputs = converters.load(Path(model)).inputs
    result["import_s"] = time.perf_counter() - begun
    begun = time.perf_counter()
    options = {}
    if recipe != "none":
        import numpy as np
        rng = np.random.default_rng(0)
        options["calibration"] = {v.name: rng.random((int(samples), *v.shape), np.float32) for v in inputs}
    converted = convert(model, board, quantize=recipe, **options)
    result["convert_s"] = time.perf_counter() - begun
    result.update(edge_bytes=len(converted.data), arena_bytes=converted.plan.arena_bytes,
                  steps=len(converted.schedule.steps), peak_bytes=peak(), cpu_s=time.process_time())
print(json.dumps(result))
"""


def measure(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one process. Raises CalledProcessError where the conversion is refused."""
    command = [sys.executable, "-c", MEASURE, str(model), options.board, options.quantize, str(options.samples)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def row(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Medians of the times and of the peak over `runs` processes."""
    found = [measure(model, options) for _ in range(options.runs)]
    medians = {k: statistics.median(f[k] for f in found) for k in found[0] if k.endswith(("_s", "_peak_bytes"))}
    peak = statistics.median(f["peak_bytes"] for f in found)
    return {**found[0], **medians, "peak_bytes": peak, "model": model.name, "model_bytes": model.stat().st_size}


def write_mobilenet_v2(folder: str) -> list[Path]:
    """In a process of its own: on Linux a child's peak begins at the size of its parent, which torch would swell."""
    sys.path.insert(0, str(Path(__file__).parent))
    import torch
    import zoo
    import zoo.mobile

    warnings.simplefilter("ignore")
    net = zoo.mobile.mobilenet_v2_of_the_paper()
    module = zoo.module(net)
    files = [Path(folder) / f"{net.name}.{suffix}" for suffix in ("onnx", "pt2")]
    torch.onnx.export(module, net.inputs(), str(files[0]), dynamo=False, opset_version=17)
    torch.export.save(torch.export.export(module, net.inputs()), files[1])
    return files


def table(rows: list[dict[str, Any]]) -> Table:
    t = Table(
        "model", "bytes", ".edge bytes", "steps", "start s", "import s", "convert s", "CPU s", "peak MB", "start MB"
    )
    for r in rows:
        sizes = (f"{r['model_bytes']:,}", f"{r['edge_bytes']:,}", str(r["steps"]))
        times = (f"{r[k]:.2f}" for k in ("start_s", "import_s", "convert_s", "cpu_s"))
        t.add_row(r["model"], *sizes, *times, *(f"{r[k] / 1e6:.0f}" for k in ("peak_bytes", "start_peak_bytes")))
    return t


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--mobilenet-v2", action="store_true")
    parser.add_argument("--quantize", default="none", help="a recipe of edgesdk convert")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--board", default="host")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [row(model, options) for model in options.models]
    if options.mobilenet_v2:
        with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as one:
            rows += [row(model, options) for model in one.apply(write_mobilenet_v2, (folder,))]
    Console(width=140).print(table(rows))
    if options.json:
        options.json.write_text(
            json.dumps(
                {"board": options.board, "quantize": options.quantize, "runs": options.runs, "rows": rows}, indent=1
            )
        )


if __name__ == "__main__":
    main()
