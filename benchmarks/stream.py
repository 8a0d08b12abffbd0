# SPDX-License-Identifier: Apache-2.0
"""Instructions per new frame of a sliding window beside those of the whole window, on an emulated Cortex-M4.

    python benchmarks/stream.py --models ../shared/models [--frames 40] [--json OUT]

Both programs of a model see the same frames; after each one their outputs must be equal. The whole window is what a
program without a stream computes again for every new frame. Counts are exact; those of frames are the largest and the
mean, the window being full. A model that pads along the height does not slide: at every position of the window it puts
zeros above and below, which the next position sees as frames.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import boards, flow
from edgesdk.boards import Board
from edgesdk.runners import qemu
from edgesdk.schedule import Schedule, frames

BOARD = "mps2_an386"
MODELS = {
    "streaming wake word": "mlperf-tiny-sww-streaming/str_ww_ref_model.tflite",
    "DS-CNN keywords": "mlperf-tiny-kws-dscnn/kws_ref_model.tflite",
}


def padded(base: Schedule) -> str:
    """The first layer that pads along the height."""
    for step in base.steps:
        top, _, bottom, _ = step.node.attrs.get("padding", (0, 0, 0, 0))
        if top or bottom:
            return f"{step.node.op} {step.node.output.name.split(';')[0]} pads {top} rows above and {bottom} below"
    return "a layer that is not computed row by row comes first"


def measure(model: Path, board: Board, n_frames: int) -> dict[str, Any]:
    """Counts of a full window's frames and of whole windows; {"refused": why} where it does not slide."""
    base = flow.base_schedule(model, board, stream=True).schedule
    if frames.sliding(Schedule(base.graph, base.steps, base.stages, base.roots, base.graph.inputs[0])) is None:
        return {"refused": padded(base)}
    sliding, whole = flow.convert(model, board, stream=True), flow.convert(model, board)
    window = base.graph.inputs[0].shape[1]
    stream = np.random.default_rng(0).integers(-128, 128, (window + n_frames, *base.graph.inputs[0].shape[2:]))
    costs, equal = compare(sliding.data, whole.data, board, stream.astype(np.int8), window)
    with qemu.open(board, whole.data) as session:
        measured = session.measure([stream[None, :window].astype(np.int8)], 1).steady[0]
    return {
        "frame": max(costs),
        "frame_mean": sum(costs) / len(costs),
        "window": measured,
        "frames": n_frames,
        "equal": equal,
        "arena_sliding": sliding.plan.arena_bytes,
        "arena_whole": whole.plan.arena_bytes,
    }


def compare(sliding: bytes, whole: bytes, board: Board, stream: np.ndarray, window: int) -> tuple[list[float], int]:
    """The cost of each frame after the first full window, and for how many the outputs are those of the window."""
    costs, equal = [], 0
    with qemu.open(board, sliding) as one, qemu.open(board, whole) as other:
        one.push(stream[:window])
        for y in range(window, len(stream)):
            costs += one.push(stream[y : y + 1], y)
            expected = other.run([stream[None, y + 1 - window : y + 1]])
            equal += all(np.array_equal(a, b) for a, b in zip(one.outputs(), expected, strict=True))
    return costs, equal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    board = boards.load(BOARD)
    rows = {name: measure(options.models / path, board, options.frames) for name, path in MODELS.items()}
    table = Table("model", "a frame", "mean", "the window", "x less", "equal outputs", "arena", "of the window")
    for name, r in rows.items():
        if "refused" not in r:
            table.add_row(
                name, f"{r['frame']:,.0f}", f"{r['frame_mean']:,.0f}", f"{r['window']:,.0f}",
                f"{r['window'] / r['frame']:.1f}", f"{r['equal']} of {r['frames']}",
                f"{r['arena_sliding']:,}", f"{r['arena_whole']:,}",
            )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    for name, r in rows.items():
        if "refused" in r:
            console.print(f"{name} does not slide: {r['refused']}", soft_wrap=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0 if all(r.get("equal") == r.get("frames") for r in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
