# SPDX-License-Identifier: Apache-2.0
"""Single layers x emulated cores: instructions per product, or per element where a layer multiplies nothing.

    python benchmarks/kernel_sweep.py [--boards mps2_an386,...] [--json OUT]

Each layer runs with int8 weights; beside it stand the ratios of int4 weights and of 16-bit activations. Requantisation,
borders and the kernel's start are counted; what the runtime spends to call it is not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import steps as counting
from rich.console import Console
from rich.table import Table
from steps import single

from edgesdk import boards, ops
from edgesdk.boards import Board
from edgesdk.errors import EdgeError
from edgesdk.ir import Graph, Quant, Value
from edgesdk.schedule import Step

BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547")
TYPES = ("int8", "int8 int4", "int16 int8")
POOL_SHARE = 3  # an input and an output each take at most this part of the RAM
NUMBERS = np.random.default_rng(5)


@dataclass(frozen=True)
class Layer:
    """`bars`: most instructions per product or element, by core; `int4` whether there are int4 weights."""

    name: str
    draw: Callable[[str], Graph]
    bars: dict[str, float]
    int4: bool = True


def activation(shape: tuple[int, ...], types: str) -> Value:
    dtype = types.split()[0]
    return Value("x", shape, dtype, Quant.per_tensor(0.05, 0 if dtype == "int16" else -7))


def weights(shape: tuple[int, ...], channels: int, axis: int, types: str) -> list[Value | None]:
    """Like those of trained networks: normal, the widest of a layer near the end of the range."""
    dtype, most = types.split()[-1], 7 if types.endswith("int4") else 127
    w = np.clip(np.rint(NUMBERS.standard_normal(shape) * most / 3.5), -most, most).astype(np.int8)
    quant = Quant(NUMBERS.uniform(0.002, 0.004, channels).astype(np.float32), np.zeros(channels, np.int32), axis)
    b = NUMBERS.integers(-999, 999, channels).astype(np.int32)
    return [Value("w", shape, dtype, quant, w), Value("b", (channels,), "int32", None, b)]


def out_quant(types: str) -> Quant:
    return Quant.per_tensor(0.05, 0 if types.startswith("int16") else 5)


def conv(h: int, w: int, c: int, out_c: int, kernel: tuple[int, int], stride: int = 1) -> Callable[[str], Graph]:
    """SAME padding."""

    def draw(types: str) -> Graph:
        inputs = [activation((1, h, w, c), types), *weights((out_c, *kernel, c), out_c, 0, types)]
        return single("conv2d", inputs, out_quant(types), **same(kernel, stride))

    return draw


def depthwise(h: int, w: int, c: int, kernel: int, stride: int = 1) -> Callable[[str], Graph]:
    def draw(types: str) -> Graph:
        inputs = [activation((1, h, w, c), types), *weights((kernel, kernel, c), c, 2, types)]
        return single("depthwise_conv2d", inputs, out_quant(types), **same((kernel, kernel), stride))

    return draw


def same(kernel: tuple[int, int], stride: int) -> dict[str, Any]:
    spans = [k - stride for k in kernel] if stride > 1 else [k - 1 for k in kernel]
    pads = [(max(0, s) // 2, max(0, s) - max(0, s) // 2) for s in spans]
    padding = (pads[0][0], pads[1][0], pads[0][1], pads[1][1])
    return {"stride": (stride,) * 2, "dilation": (1, 1), "padding": padding, "activation": "relu"}


def fully_connected(n: int, out_c: int) -> Callable[[str], Graph]:
    def draw(types: str) -> Graph:
        inputs = [activation((1, n), types), *weights((out_c, n), out_c, 0, types)]
        return single("fully_connected", inputs, out_quant(types), activation="none")

    return draw


def binary(op: str) -> Callable[[str], Graph]:
    def draw(types: str) -> Graph:
        a, b = activation((1, 16, 16, 16), types), activation((1, 16, 16, 16), types)
        b = Value("b", b.shape, b.dtype, Quant.per_tensor(0.04, b.zero_point))
        return single(op, [a, b], out_quant(types), activation="none")

    return draw


def pool(op: str, h: int, c: int, kernel: int, stride: int) -> Callable[[str], Graph]:
    def draw(types: str) -> Graph:
        x = activation((1, h, h, c), types)
        attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (0,) * 4, "activation": "none"}
        return single(op, [x], x.quant, **attrs)

    return draw


def mean(types: str) -> Graph:
    return single("mean", [activation((1, 8, 8, 64), types)], out_quant(types), axes=(1, 2), keep_dims=False)


def softmax(n: int) -> Callable[[str], Graph]:
    def draw(types: str) -> Graph:
        wide = types.startswith("int16")
        quant = Quant.per_tensor(1 / 32768, 0) if wide else Quant.per_tensor(1 / 256, -128)
        return single("softmax", [activation((4, n), types)], quant, beta=1.0)

    return draw


DSP = ("cortex-m4", "cortex-m7", "cortex-m33")
LAYERS = [
    Layer("conv 1x1 16x16x16 to 16", conv(16, 16, 16, 16, (1, 1)), {}),
    Layer("conv 1x1 8x8x64 to 64", conv(8, 8, 64, 64, (1, 1)), {}),
    Layer("conv 1x1 3x3x256 to 256", conv(3, 3, 256, 256, (1, 1)), {}),
    Layer("conv 1x1 16x16x8 to 3", conv(16, 16, 8, 3, (1, 1)), {}),
    Layer("conv 3x3 16x16x16 to 16", conv(16, 16, 16, 16, (3, 3)), {}),
    Layer("conv 3x3 8x8x64 to 32", conv(8, 8, 64, 32, (3, 3)), {}),
    Layer("conv 3x3/2 16x16x16 to 32", conv(16, 16, 16, 32, (3, 3), 2), {}),
    Layer("first 3x3/2 32x32x3 to 16", conv(32, 32, 3, 16, (3, 3), 2), dict.fromkeys(DSP, 2.5)),
    Layer("first 10x4/2 49x10x1 to 32", conv(49, 10, 1, 32, (10, 4), 2), {}),
    Layer("depthwise 3x3 16x16x16", depthwise(16, 16, 16, 3), dict.fromkeys(DSP, 3.5)),
    Layer("depthwise 3x3 8x8x64", depthwise(8, 8, 64, 3), dict.fromkeys(DSP, 3.5)),
    Layer("depthwise 3x3 3x3x256", depthwise(3, 3, 256, 3), {}),
    Layer("depthwise 3x3/2 16x16x16", depthwise(16, 16, 16, 3, 2), dict.fromkeys(DSP, 3.5)),
    Layer("depthwise 5x5 12x12x24", depthwise(12, 12, 24, 5), {}),
    Layer("depthwise 7x7 12x12x24", depthwise(12, 12, 24, 7), {}),
    Layer("fully connected 640 to 128", fully_connected(640, 128), {}),
    Layer("fully connected 128 to 128", fully_connected(128, 128), {}),
    Layer("fully connected 64 to 12", fully_connected(64, 12), {}),
    Layer("add 16x16x16", binary("add"), dict.fromkeys(DSP, 20), int4=False),
    Layer("mul 16x16x16", binary("mul"), {}, int4=False),
    Layer("max pool 2x2 16x16x16", pool("max_pool2d", 16, 16, 2, 2), {}, int4=False),
    Layer("avg pool 2x2 16x16x16", pool("avg_pool2d", 16, 16, 2, 2), {}, int4=False),
    Layer("avg pool 8x8 8x8x64", pool("avg_pool2d", 8, 64, 8, 8), {}, int4=False),
    Layer("mean 8x8x64", mean, {}, int4=False),
    Layer("softmax 4x12", softmax(12), {}, int4=False),
    Layer("softmax 4x256", softmax(256), {}, int4=False),
]
MOST_INT4 = 1.15


@dataclass(frozen=True)
class Cell:
    """A layer on a core; `count` is its products, or its elements."""

    kernel: str
    instructions: float
    count: int

    @property
    def each(self) -> float:
        return self.instructions / self.count


Cells = dict[tuple[str, str, str], Cell]  # layer, types, core


def drawn(board: Board, types: str) -> Iterator[tuple[str, Step]]:
    """Layers of these types that the board's RAM holds; the op is left out where it has no kernel for them."""
    room = max(m.bytes for m in board.of_kind("ram")) // POOL_SHARE
    for layer in LAYERS:
        if types == "int8 int4" and not layer.int4:
            continue
        try:
            found = counting.steps_of(layer.draw(types), board.core.isa)
        except EdgeError:
            continue
        step = found[0]
        if len(found) == 1 and max(v.n_bytes for v in (step.output, *step.reads())) <= room:
            yield layer.name, step


def measure(board_id: str) -> Cells:
    board, cells = boards.load(board_id), Cells()
    for types in TYPES:
        named = list(drawn(board, types))
        names = {id(step): name for name, step in named}
        for group in counting.packed([step for _, step in named]):
            pool = max(v.n_bytes for s in group for v in s.reads())
            found = counting.count(board, counting.together(group, pool + -pool % 16))
            for step, n in zip(group, found.steps, strict=True):
                total = ops.macs(step.node) or elements(step)
                cells[names[id(step)], types, board.core.name] = Cell(step.kernel.name, n, total)
    return cells


def elements(step: Step) -> int:
    """Of the larger of input and output: what a pool reads, what an addition writes."""
    return max(v.elements for v in (step.node.output, *step.reads()))


def table(cells: Cells, cores: list[str]) -> Table:
    t = Table("layer", *(c.removeprefix("cortex-") for c in cores), "kernel on " + cores[-1], title="int8, each")
    for layer in LAYERS:
        shown = [shown_cell(layer, cells.get((layer.name, "int8", core)), core) for core in cores]
        last = cells.get((layer.name, "int8", cores[-1]))
        t.add_row(layer.name, *shown, last.kernel if last else "")
    return t


def shown_cell(layer: Layer, cell: Cell | None, core: str) -> str:
    if cell is None:
        return ""
    bar = layer.bars.get(core)
    verdict = "" if bar is None else " [green]pass[/]" if cell.each <= bar else f" [red]over {bar:g}[/]"
    return f"{cell.each:.2f}{verdict}"


def ratios(cells: Cells, cores: list[str], types: str, bar: float | None) -> Table:
    t = Table("layer", *(c.removeprefix("cortex-") for c in cores), title=f"{types}, instructions beside int8")
    for layer in LAYERS:
        row = []
        for core in cores:
            wide, plain = cells.get((layer.name, types, core)), cells.get((layer.name, "int8", core))
            ratio = wide.instructions / plain.instructions if wide and plain else None
            colour = "" if bar is None or ratio is None else "green" if ratio <= bar else "red"
            row.append("" if ratio is None else f"[{colour}]{ratio:.2f}[/]" if colour else f"{ratio:.2f}")
        if any(row):
            t.add_row(layer.name, *row)
    return t


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ids = options.boards.split(",")
    with ThreadPoolExecutor(2) as workers:
        cells = {key: cell for found in workers.map(measure, ids) for key, cell in found.items()}
    cores = [boards.load(name).core.name for name in ids]
    console = Console(width=170)
    console.print(table(cells, cores))
    console.print(ratios(cells, cores, "int8 int4", MOST_INT4))
    console.print(ratios(cells, cores, "int16 int8", None))
    if options.json:
        rows = [{"layer": k[0], "types": k[1], "core": k[2], **vars(c), "each": c.each} for k, c in cells.items()]
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
