# SPDX-License-Identifier: Apache-2.0
"""Peak memory of fused schedules beside TFLite Micro and the papers.

    python benchmarks/schedule.py --models ../shared/models [--json OUT]

Bytes of the whole arena: activations, rings of rows, scratch and counters. "streamed": the image is pushed row by
row and never resident. "bound": the image is read where the app has it (a frame buffer, flash), outside the arena, so
that strips of columns may read some of it twice: at most 1.3x the multiply-accumulates. Peers: TFLite Micro as measured
(see mcu_peers.toml), TinyTS (HPCA 2024), MCUNetV2 (NeurIPS 2021); layer pair = largest input + output of one layer.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
from rich.console import Console
from rich.table import Table

from edgesdk import boards, converters, pareto, passes, schedule
from edgesdk.ir import Graph

BOARD = "mps2_an386"
MAX_RECOMPUTE = 1.3


def shared(path: str) -> Callable[[Path], Graph]:
    return lambda models: converters.load(next(models.glob(path)))


# name, graph, TFLM arena (or layer pair), other peers (image counted / not), goal resident, goal streamed
CASES: tuple[tuple[str, Callable[[Path], Graph], int, str, int | None, int], ...] = (
    ("IC ResNet8", shared("mlperf-tiny-ic-resnet8/*_quant.tflite"), 54_996, "TinyTS 14,272 / 13,568", 12_900, 12_200),
    (
        "VWW MobileNetV1 0.25",
        shared("mlperf-tiny-vww*/*_int8.tflite"),
        100_708,
        "TinyTS 29,568 / 13,824",
        29_000,
        12_400,
    ),
    ("person detect", shared("tflm-person-detect/*.tflite"), 82_308, "-", 15_500, 12_400),
    ("KWS DS-CNN", shared("mlperf-tiny-kws*/kws_ref_model.tflite"), 22_820, "TinyTS 9,920 / 9,920", 8_900, 8_900),
    ("mcunet-vww1", shared("tinyengine-mcunet/vww.tflite"), 219_808, "TinyTS 36,960 / 34,448", 33_300, 31_000),
    (
        "MobileNetV2 0.35-144",
        lambda _: networks.mobilenet_v2(0.35, 144),
        312_000,
        "TinyTS 80,640 / 52,672",
        72_600,
        39_000,
    ),
    ("MobileNetV2 1.0-224", shared("tflm-mobilenet-v2*/*.tflite"), 1_404_928, "MCUNetV2 - / 175,616", 240_000, 158_000),
    ("mcunetv2_large", shared("tinyengine-mcunet/mcunetv2*.tflite"), 2_452_000, "-", None, 270_000),
)


def measure(graph: Graph) -> dict[str, Any]:
    """The front's smallest arenas, whole and streamed, with int8 inputs in NHWC."""
    board = boards.load(BOARD)
    lowered = passes.lower(passes.reshape_io(passes.simplify(graph), True, "int8"))
    base = schedule.schedule(lowered, board.core.isa)
    whole = pareto.layer_by_layer(base, board)
    result: dict[str, Any] = {"layer_by_layer": whole.plan.arena_bytes}
    for name, version in (
        ("resident", base),
        ("streamed", pareto.streamed(base)),
        ("bound", pareto.bound(base)),
    ):
        begun = time.perf_counter()
        points = pareto.points(version, board)
        most = MAX_RECOMPUTE if name == "bound" else 1.02
        within = [p for p in points if pareto.recompute_ratio(p.schedule) <= most]
        least = min(within, key=lambda p: p.plan.arena_bytes)
        result[name] = {
            "arena": least.plan.arena_bytes,
            "cost_ratio": least.cost / whole.cost,
            "mac_ratio": pareto.recompute_ratio(least.schedule),
            "points": [[p.plan.arena_bytes, p.cost / whole.cost] for p in points],
            "schedule": pareto.text(least.schedule),
            "seconds": time.perf_counter() - begun,
        }
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = Table(
        "net",
        "TFLM",
        "peers",
        "whole",
        "resident",
        "goal",
        "streamed",
        "goal",
        "x less",
        "cost",
        "MACs",
        "bound",
        "MACs",
        "s",
    )
    rows, ratios = {}, []
    for name, load, tflm, peers, goal_resident, goal_streamed in CASES:
        r = rows[name] = measure(load(options.models))
        a, b, c = r["resident"], r["streamed"], r["bound"]
        ratios.append(tflm / b["arena"])
        table.add_row(
            name, f"{tflm:,}", peers, f"{r['layer_by_layer']:,}", f"{a['arena']:,}",
            f"{goal_resident:,}" if goal_resident else "-", f"{b['arena']:,}", f"{goal_streamed:,}",
            f"{ratios[-1]:.1f}",
            f"{max(a['cost_ratio'], b['cost_ratio']):.4f}", f"{max(a['mac_ratio'], b['mac_ratio']):.3f}",
            f"{c['arena']:,} ({c['arena'] / b['arena'] - 1:+.1%})", f"{c['mac_ratio']:.3f}",
            f"{a['seconds'] + b['seconds'] + c['seconds']:.0f}",
        )  # fmt: skip
        print(f"{name} done", file=sys.stderr)
    Console(width=210).print(table)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"streamed, below TFLM (or the layer pair): {mean:.2f}x in the geometric mean")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
