# SPDX-License-Identifier: Apache-2.0
"""Ways to round weights to 4 bits, on the MLPerf Tiny float networks: top-1 or relative L2 from float.

    python benchmarks/rounding.py MODELS DATA [--only kws ad] [--groups 0 32] [--json OUT]

MODELS, DATA, inputs and figures are those of accuracy.py; every way sees the same calibration samples and ranges.
The keyword network has its trained float weights; the .tflite file beside them holds rounded ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "conformance")]

from accuracy import CASES, Case, figures, outputs  # noqa: E402

from edgesdk import compress, converters, passes, probe  # noqa: E402
from edgesdk.compress.work import Work  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

CALIBRATED = 64  # samples
RECIPES = ("int8", "int4+round_nearest", "int4+learn_rounding", "int4+gptq")


def network(case: Case) -> Graph:
    if case.name == "kws":
        from test_keyword_accuracy import float_graph

        return float_graph()
    return passes.simplify(converters.load(case.model))


def rows(case: Case, groups: list[int]) -> Iterator[dict[str, Any]]:
    floats = network(case)
    expected = outputs(floats, case.inputs)
    yield {**figures("float", "", expected, expected, case.labels), "group": 0, "seconds": 0.0}
    columns = [case.calibration.reshape(-1, *floats.inputs[0].shape)[:CALIBRATED].astype(np.float32)]
    for recipe in RECIPES:
        for group in groups if recipe.startswith("int4") else [0]:
            begin = time.process_time()
            work = Work(floats, columns, "int8", "mse", probe.run_all, group=group)
            compress.apply(compress.recipe(recipe), work)
            seconds = time.process_time() - begin
            assert work.result is not None
            found = figures(recipe, "mse", outputs(work.result, case.inputs), expected, case.labels)
            yield {**found, "group": group, "seconds": seconds, "wide": sum(b == 8 for b in work.widths.values())}


def table(name: str, found: list[dict[str, Any]]) -> Table:
    columns = ("recipe", "group", "8-bit layers", "relative L2", "top-1", "CPU s")
    shown = Table(*columns, title=name, title_justify="left")
    for r in found:
        top1 = f"{100 * r['top1']:.1f} %" if "top1" in r else "-"
        group, wide = str(r["group"] or "-"), str(r.get("wide", "-"))
        shown.add_row(r["recipe"], group, wide, f"{r['rel_l2']:.4f}", top1, f"{r['seconds']:.1f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--groups", nargs="+", type=int, choices=(0, 32, 64, 128), default=[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {}
    for name in options.only:
        result[name] = list(rows(CASES[name](options.models, options.data), options.groups))
        Console().print(table(name, result[name]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
