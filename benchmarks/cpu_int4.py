# SPDX-License-Identifier: Apache-2.0
"""int4 weights beside int8 on this machine's CPU: time of single layers and their ratio.

    python benchmarks/cpu.py --int4 [--isa LEVEL,...] [--rounds N] [--json OUT] [--write MARKDOWN]

Runs of both take turns. `in caches` repeats a layer whose weights the last run left there; `from memory` reads 64 MB
of other things before every run, which is how a large model's layer finds its weights. Ratios are of the lowest
medians of a round.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from steps import single, steps_of, together

from edgesdk import memory, program, runtime
from edgesdk.ir import Graph, Quant, Value

BARS = {"matrix x vector": 0.6, "convolution": 1.1}
COLD_BYTES = 64 << 20
ROUND_MS = 40.0
NUMBERS = np.random.default_rng(3)


@dataclass(frozen=True)
class Layer:
    """`weights` is their shape, output channels first."""

    kind: str
    name: str
    op: str
    image: tuple[int, ...]
    weights: tuple[int, ...]


LAYERS = (
    Layer("matrix x vector", "4096 x 4096", "fully_connected", (1, 4096), (4096, 4096)),
    Layer("matrix x vector", "1024 x 1280", "fully_connected", (1, 1280), (1024, 1280)),
    Layer("convolution", "1x1, 28x28x128 to 128", "conv2d", (1, 28, 28, 128), (128, 1, 1, 128)),
    Layer("convolution", "1x1, 14x14x512 to 512", "conv2d", (1, 14, 14, 512), (512, 1, 1, 512)),
    Layer("convolution", "3x3, 28x28x64 to 64", "conv2d", (1, 28, 28, 64), (64, 3, 3, 64)),
)


@dataclass(frozen=True)
class Result:
    """ms with int8 and with int4 weights."""

    kind: str
    layer: str
    activations: str
    place: str
    int8: float
    int4: float
    kernels: tuple[str, str]

    @property
    def ratio(self) -> float:
        return self.int4 / self.int8


def graph(layer: Layer, activations: str, weights: str) -> Graph:
    """Of one layer. int8 activations are normal over most of their range."""
    most, channels = (7 if weights == "int4" else 127), layer.weights[0]
    data = np.clip(np.rint(NUMBERS.standard_normal(layer.weights) * most / 3.5), -most, most).astype(np.int8)
    w = Value(
        "w",
        layer.weights,
        weights,
        Quant(np.full(channels, 0.5 / most, np.float32), np.zeros(channels, np.int32), 0),
        data,
    )
    integer = activations == "int8"
    x = Value("x", layer.image, activations, Quant.per_tensor(0.05, -3) if integer else None)
    b = Value("b", (channels,), "int32" if integer else "float32", None, np.zeros(channels, "i4" if integer else "f4"))
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": padding(layer)} if layer.op == "conv2d" else {}
    return single(layer.op, [x, w, b], Quant.per_tensor(0.5, 4) if integer else None, activation="none", **window)


def padding(layer: Layer) -> tuple[int, int, int, int]:
    return ((layer.weights[1] - 1) // 2, (layer.weights[2] - 1) // 2) * 2


def session(drawn: Graph, chain: tuple[str, ...]) -> tuple[runtime.Session, str]:
    """And the name of its kernel."""
    steps = steps_of(drawn, chain)
    placed = together(steps, int(np.prod(drawn.inputs[0].shape)) * np.dtype(drawn.inputs[0].dtype).itemsize)
    made = program.write(program.assemble(placed, memory.plan(placed)))
    return runtime.open_session(made), steps[0].kernel.name


def timer(opened: runtime.Session, before: Callable[[], object]) -> Callable[[], float]:
    x = opened.inputs[0]
    given = (NUMBERS.standard_normal(x.shape) * (40 if x.dtype == np.int8 else 1)).astype(x.dtype)

    def once() -> float:
        before()
        begun = time.perf_counter()
        runtime.run(opened, [given])
        return (time.perf_counter() - begun) * 1e3

    return once


def rounds(timers: list[Callable[[], float]], count: int) -> list[float]:
    """The lowest median of a round for each."""
    runs = [max(3, int(ROUND_MS / max(min(t() for _ in range(3)), 1e-3))) for t in timers]
    medians = [
        [statistics.median(t() for _ in range(n)) for t, n in zip(timers, runs, strict=True)] for _ in range(count)
    ]
    return [min(m) for m in zip(*medians, strict=True)]


def compare(layer: Layer, activations: str, chain: tuple[str, ...], count: int) -> list[Result]:
    opened = [session(graph(layer, activations, weights), chain) for weights in ("int8", "int4")]
    names = (opened[0][1], opened[1][1])
    other = np.ones(COLD_BYTES // 8)
    found = []
    for place, before in (("in caches", lambda: None), ("from memory", other.sum)):
        if place == "in caches" or layer.kind == "matrix x vector":
            times = rounds([timer(s, before) for s, _ in opened], count if place == "in caches" else 3)
            found.append(Result(layer.kind, layer.name, activations, place, *times, names))
    return found


def table(results: list[Result]) -> Table:
    made = Table("layer", "activations", "weights", "int8 ms", "int4 ms", "int4 / int8", "bar", "kernels")
    for r in results:
        bar = BARS[r.kind]
        colour = "green" if r.ratio <= bar else "red"
        names = " ".join(name.removeprefix("ert_") for name in r.kernels)
        made.add_row(
            f"{r.kind} {r.layer}", r.activations, r.place, f"{r.int8:.3f}", f"{r.int4:.3f}",
            f"[{colour}]{r.ratio:.2f}[/]", f"{bar}", names,
        )  # fmt: skip
    return made


def show(chain: tuple[str, ...], count: int, console: Console, to: Path | None = None) -> Table:
    cases = [(layer, activations) for activations in ("int8", "float32") for layer in LAYERS]
    results = [r for layer, activations in cases for r in compare(layer, activations, chain, count)]
    made = table(results)
    console.print(made)
    if to:
        to.write_text(json.dumps([{**asdict(r), "ratio": r.ratio} for r in results], indent=1))
    return made
