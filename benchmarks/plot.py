# SPDX-License-Identifier: Apache-2.0
"""The results of mcu.py as a picture of one core and as a Markdown table.

python benchmarks/plot.py RESULTS.json -o benchmarks/mcu.svg [--core cortex-m4] [--table CORES]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METRICS = {"instructions": "Instructions of one inference", "arena": "Arena bytes", "code": "Code bytes"}
SERIES = {
    "ours": ("edgesdk", "#0b6e4f"),
    "reference": ("TFLM reference", "#b8b8b8"),
    "cmsis_nn": ("CMSIS-NN", "#6b8fb5"),
}
PANEL, LEFT, TOP, BAR, GAP, LABEL = 300, 70, 58, 13, 14, 46

Row = dict[str, Any]


def drawing(rows: list[Row], core: str) -> str:
    """Three panels of bars, one group per model, each group in proportion to its longest bar."""
    group = len(SERIES) * BAR + GAP
    width, height = LEFT + len(METRICS) * PANEL, TOP + len(rows) * group + 4
    style = "font-family='sans-serif' font-size='12' fill='#222'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' {style}>",
        f"<title>edgesdk beside TFLite Micro on {core}: shorter is better</title>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
        *legend(core),
        *(text(6, TOP + i * group + 2 * BAR - 2, r["model"], "font-weight='bold'") for i, r in enumerate(rows)),
    ]
    for p, (metric, title) in enumerate(METRICS.items()):
        x = LEFT + p * PANEL
        parts.append(text(x, TOP - 10, title, "font-weight='bold'"))
        for i, row in enumerate(rows):
            parts += bars(x, TOP + i * group, {s: row[s][metric] for s in SERIES})
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend(core: str) -> Iterator[str]:
    yield text(6, 20, f"{core}, shorter is better")
    for i, (name, colour) in enumerate(SERIES.values()):
        x = LEFT + PANEL + i * 140
        yield f"<rect x='{x}' y='10' width='12' height='12' fill='{colour}'/>"
        yield text(x + 18, 20, name)


def bars(x: int, y: int, values: dict[str, int]) -> Iterator[str]:
    longest = max(values.values())
    for i, (series, value) in enumerate(values.items()):
        length = max(1, round((PANEL - LABEL - 40) * value / longest))
        top = y + i * BAR
        yield f"<rect x='{x}' y='{top}' width='{length}' height='{BAR - 2}' fill='{SERIES[series][1]}'/>"
        yield text(x + length + 4, top + BAR - 3, short(value), "font-size='10'")


def text(x: int, y: int, content: str, style: str = "") -> str:
    return f"<text x='{x}' y='{y}' {style}>{content}</text>"


def short(n: int) -> str:
    return f"{n / 1e6:.1f} M" if n >= 1e6 else f"{n / 1e3:.1f} k" if n >= 1e4 else f"{n:,}"


def markdown(rows: list[Row]) -> Iterator[str]:
    """Figures of edgesdk, each followed by what it is times that of the peers."""
    yield "| model | core | instructions | x ref. | x CMSIS-NN | arena | x ref. | code | x ref. | x CMSIS-NN | load |"
    yield "| --- | --- " + "| ---: " * 9 + "|"
    for r in rows:
        o, ref, cmsis = r["ours"], r["reference"], r["cmsis_nn"]
        cells = [
            *(f"{o['instructions']:,}", times(o, ref, "instructions"), times(o, cmsis, "instructions")),
            *(f"{o['arena']:,}", times(o, ref, "arena")),
            *(f"{o['code']:,}", times(o, ref, "code"), times(o, cmsis, "code"), f"{o['load']:,}"),
        ]
        yield f"| {r['model']} | {r['core'].removeprefix('cortex-').upper()} | {' | '.join(cells)} |"


def times(ours: Row, peer: Row, key: str) -> str:
    return f"{ours[key] / peer[key]:.2f}"


def measured(rows: list[Row]) -> list[Row]:
    """Rows of boards that the model fits. The arena is the one that must be given, not the bytes seen touched."""
    kept = [r for r in rows if "refused" not in r["ours"] and r["reference"]]
    return [{**r, "ours": {**r["ours"], "arena": r["ours"]["planned_arena"]}} for r in kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--table", help="cores of the table, with commas; default all")
    options = parser.parse_args()
    rows = measured(json.loads(options.results.read_text())["rows"])
    options.output.write_text(drawing([r for r in rows if r["core"] == options.core], options.core))
    print("\n".join(markdown([r for r in rows if not options.table or r["core"] in options.table.split(",")])))


if __name__ == "__main__":
    main()
