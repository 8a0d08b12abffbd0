# SPDX-License-Identifier: Apache-2.0
"""Layers with int4, int8 and float16 weights, and with int16 activations, on 64-bit Arm cores: instructions in QEMU's
user mode, beside those of the same layer of float32 or int8.

    python benchmarks/arm_weights.py [--levels neon neondot neoni8mm] [--types "int8 int4" ...] [--layers NAME ...]

`@64` behind int4 stands for factors in groups of 64. Needs qemu-aarch64, ziglang and a C compiler for the counting
plugin.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np
from arm import LEVELS, board_of
from rich.console import Console
from rich.table import Table
from steps import single, steps_of, together

from edgesdk import memory, program, runners
from edgesdk.ir import Graph, Quant, Value

TYPES = (
    "int8",
    "int8 int4",
    "int8 int4@32",
    "int8 int4@128",
    "int16 int8",
    "float32",
    "float32 float16",
    "float32 int8",
    "float32 int4",
)
# Of inputs and outputs.
GRIDS: dict[str, tuple[Quant | None, Quant | None]] = {
    "int8": (Quant.per_tensor(0.05, -3), Quant.per_tensor(0.5, 4)),
    "int16": (Quant.per_tensor(0.0002, 0), Quant.per_tensor(0.002, 0)),
    "float32": (None, None),
}
BIASES = {"int8": "int32", "int16": "int64", "float32": "float32"}
SPREADS = {"int8": 40, "int16": 4000, "float32": 1}
NUMBERS = np.random.default_rng(3)


@dataclass(frozen=True)
class Layer:
    """`image` is the input's shape, `weights` that of the weights, output channels first."""

    image: tuple[int, ...]
    weights: tuple[int, ...]


LAYERS = {
    "4096 x 4096": Layer((1, 4096), (4096, 4096)),
    "64 rows, 512 x 512": Layer((64, 512), (512, 512)),
    "1x1, 56x56x16 to 96": Layer((1, 56, 56, 16), (96, 1, 1, 16)),
    "1x1, 28x28x144 to 32": Layer((1, 28, 28, 144), (32, 1, 1, 144)),
    "1x1, 14x14x384 to 64": Layer((1, 14, 14, 384), (64, 1, 1, 384)),
    "1x1, 7x7x960 to 160": Layer((1, 7, 7, 960), (160, 1, 1, 960)),
    "3x3, 28x28x64 to 64": Layer((1, 28, 28, 64), (64, 3, 3, 64)),
    "3x3, 14x14x128 to 128": Layer((1, 14, 14, 128), (128, 3, 3, 128)),
}


def weights_of(shape: tuple[int, ...], dtype: str, group: int) -> Value:
    if dtype not in ("int8", "int4"):
        return Value("w", shape, dtype, None, NUMBERS.standard_normal(shape).astype(dtype))
    most, channels = (7 if dtype == "int4" else 127), shape[0]
    data = np.clip(np.rint(NUMBERS.standard_normal(shape) * most / 3.5), -most, most).astype(np.int8)
    quant = Quant(np.full(channels, 0.5 / most, np.float32), np.zeros(channels, np.int32), 0)
    if group:
        factors = NUMBERS.integers(1, 17, (channels, data[0].size // group)).astype(np.uint8)
        quant = replace(quant, group=group, factors=factors)
    return Value("w", shape, dtype, quant, data)


def graph(layer: Layer, types: str) -> Graph:
    activations, _, rest = types.partition(" ")
    dtype, _, group = (rest or activations).partition("@")
    x_quant, y_quant = GRIDS[activations]
    bias = BIASES[activations]
    x = Value("x", layer.image, activations, x_quant)
    b = Value("b", layer.weights[:1], bias, None, np.zeros(layer.weights[0], bias))
    side = (layer.weights[1] - 1) // 2
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (side,) * 4} if len(layer.image) == 4 else {}
    inputs = [x, weights_of(layer.weights, dtype, int(group or 0)), b]
    op = "conv2d" if window else "fully_connected"
    return single(op, inputs, y_quant, activation="none", **window)


def count(layer: Layer, types: str, level: str) -> tuple[float, str]:
    """Instructions of the layer, and the name of its kernel."""
    board = board_of(level)
    steps = steps_of(graph(layer, types), board.core.isa)
    dtype = types.partition(" ")[0]
    n = int(np.prod(layer.image))
    placed = together(steps, n * np.dtype(dtype).itemsize)
    data = program.write(program.assemble(placed, memory.plan(placed)))
    given = (NUMBERS.standard_normal(n) * SPREADS[dtype]).astype(dtype)
    with runners.open(board, data) as session:
        return session.measure([given], 1).steady[0], steps[0].kernel.name


def has_groups(layer: Layer, types: str) -> bool:
    """Whether weights of a tap are whole groups, where there are any."""
    return layer.weights[-1] % int(types.partition("@")[2] or 1) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--types", nargs="+", default=list(TYPES))
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    options = parser.parse_args()
    table = Table("level", "layer", "types", "M instructions", "ratio", "kernel")
    for level in options.levels:
        for name in options.layers:
            plain: dict[str, float] = {}
            for types in (t for t in options.types if has_groups(LAYERS[name], t)):
                found, kernel = count(LAYERS[name], types, level)
                own = types.partition(" ")[0].replace("int16", "int8")
                ratio = found / plain.setdefault(own, found)
                table.add_row(level, name, types, f"{found / 1e6:.3f}", f"{ratio:.3f}", kernel.removeprefix("ert_"))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
