# SPDX-License-Identifier: Apache-2.0
"""What integers cost transformers, and what finer residual sums, logarithmic shares and scaled norms would give back.

    python benchmarks/transformers.py [--json OUT]

Relative L2 from float of the outputs, of a small vision transformer that is trained on scikit-learn's digits and of the
zoo's vit and bert with random weights. Recipes run on the C runtime. The other rows are computed in numpy, with 8-bit
integers everywhere else: attention shares as powers of two (FQ-ViT, Lin et al. 2022), as powers of finer bases or as
floats; residual sums with one scale, with a power of two per channel (up to 2, 4 or 8), a scale per channel, or as
floats. "best" rows are what no method of their kind can beat. Needs torch and scikit-learn; two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
import qat as training  # noqa: E402
import zoo  # noqa: E402

from edgesdk import accuracy, compress, converters, ops, passes, probe  # noqa: E402
from edgesdk.compress import fine_sums  # noqa: E402
from edgesdk.compress.observe import Observed  # noqa: E402
from edgesdk.compress.quantize import quantized  # noqa: E402
from edgesdk.compress.schemes import INT8, NORMS  # noqa: E402
from edgesdk.compress.work import Work  # noqa: E402
from edgesdk.ir import Graph, Node, Value  # noqa: E402

CALIBRATION, COMPARED = 64, 64
RECIPES = ("int8", "int8+fine_sums", "int4", "int4+fine_sums")
Change = Callable[[Node, Value, np.ndarray], np.ndarray]


@dataclass
class Case:
    name: str
    graph: Graph
    inputs: list[np.ndarray]  # those for calibration first


def digits() -> Case:
    torch.manual_seed(0)
    data = training.digits()
    net = training.fit(training.Patches(data.classes, attention=True), data, 20, 1e-2)
    graph = passes.simplify(converters.load(net, None, (data.train[0][:1],)))
    images = torch.cat([data.train[0][:CALIBRATION], data.test[0][:COMPARED]])
    return Case("digits (trained)", graph, [np.moveaxis(x[None].numpy(), 1, -1) for x in images])


def of_zoo(name: str) -> Case:
    net = zoo.networks()[name]
    graph = passes.simplify(converters.load(torch.export.export(zoo.module(net), net.inputs())))
    given = [net.inputs(seed)[0].numpy() for seed in range(CALIBRATION + COMPARED)]
    return Case(name, graph, [np.moveaxis(x, 1, -1) if x.ndim == 4 else x for x in given])


def computed(graph: Graph, inputs: list[np.ndarray], change: Change | None = None) -> np.ndarray:
    """The first output for each input as real numbers: of the runtime, or with `change`d values of the reference."""
    samples = accuracy.quantised_inputs(graph, ([np.ascontiguousarray(x)] for x in inputs))
    runs = probe.run_all(graph, samples) if change is None else (changed(graph, s, change) for s in samples)
    return np.stack([accuracy.real(graph.outputs[0], arrays[graph.outputs[0]]) for arrays in runs])


def changed(graph: Graph, sample: list[np.ndarray], change: Change) -> dict[Value, np.ndarray]:
    arrays = dict(zip(graph.inputs, sample, strict=True))
    for node in graph.nodes:
        given = [None if v is None else arrays[v] if v.data is None else v.data for v in node.inputs]
        found = ops.module(node.op).reference(node, given)
        arrays |= {v: change(node, v, a) for v, a in zip(node.outputs, found, strict=True)}
    return arrays


def logarithmic(node: Node, value: Value, array: np.ndarray, *, per_octave: int, levels: int) -> np.ndarray:
    """Shares as powers of 2^(-1 / per_octave); the last level is 0."""
    if node.op != "softmax":
        return array
    steps = np.clip(np.rint(-np.log2(np.maximum(array, 1e-30)) * per_octave), 0, levels)
    return np.where(steps == levels, 0.0, 2.0 ** (-steps / per_octave)).astype(np.float32)


def on_grid(array: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Rounded to 256 steps from low to high, which may be numbers for each channel."""
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    scale = np.maximum((high - low) / 255, 1e-12)
    zero = np.rint(-low / scale)
    return np.asarray((np.clip(np.rint(array / scale) + zero, 0, 255) - zero) * scale, np.float32)


def summed(node: Node, value: Value, array: np.ndarray, *, seen: dict[str, Observed], most: int | None) -> np.ndarray:
    """Residual sums with a power of two per channel up to 2^most; None: a scale per channel."""
    o = seen.get(value.name.removesuffix("/float32"))
    if o is None or node.op != "add":
        return array
    assert o.channel_low is not None and o.channel_high is not None
    if most is None:
        return on_grid(array, o.channel_low, o.channel_high)
    reach = np.maximum(np.abs(o.channel_low), np.abs(o.channel_high))
    factor = 2.0 ** np.clip(np.floor(np.log2(reach.max() / np.maximum(reach, 1e-9))), 0, most)
    return on_grid(array * factor, (o.channel_low * factor).min(), (o.channel_high * factor).max()) / factor


def same(node: Node, value: Value, array: np.ndarray) -> np.ndarray:
    return array


def rows(case: Case) -> Iterator[tuple[str, float]]:
    taken, compared = case.inputs[:CALIBRATION], case.inputs[CALIBRATION:]
    expected = computed(case.graph, compared)
    columns, works = [np.stack(taken)], {}
    for name in RECIPES:
        work = works[name] = compress.apply(
            compress.recipe(name), Work(case.graph, columns, how="mse", execute=probe.run_all)
        )
        assert work.result is not None
        yield name, distance(computed(work.result, compared), expected)
    usual = works["int8"]
    readers = case.graph.consumers()
    shares = [n.output for n in case.graph.nodes if n.op == "softmax"]
    shares += [n.output for v in shares for n in readers[v]]
    for name, change in LOGARITHMS.items():
        yield name, distance(computed(raised(usual, shares), compared, change), expected)
    stream = fine_sums.stream(case.graph)
    seen = {n.output.name: usual.observed[n.output] for n in stream if n.op not in NORMS}
    floats = raised(usual, [n.output for n in stream])
    for name, most in SCALES.items():
        change = partial(summed, seen=seen, most=most)
        yield name, distance(computed(floats, compared, change), expected)
    yield "sums: best", distance(computed(floats, compared, same), expected)


LOGARITHMS: dict[str, Change] = {
    "shares: powers of 2, 4 bits": partial(logarithmic, per_octave=1, levels=15),
    "shares: powers of 2^(1/2), 5 bits": partial(logarithmic, per_octave=2, levels=31),
    "shares: powers of 2^(1/8), 8 bits": partial(logarithmic, per_octave=8, levels=255),
    "shares: best": same,
}
SCALES = {
    "sums: one scale": 0,
    "sums: up to 2 per channel": 1,
    "sums: up to 8 per channel": 3,
    "sums: scale per channel": None,
}


def raised(work: Work, values: list[Value]) -> Graph:
    """The int8 network with the nodes that write these values in float."""
    return quantized(work.floats, work.ranges, INT8, leave_float=True, raised=dict.fromkeys(values, "float32"))


def distance(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)  # torch's own, of its pickled programs
    found = {case.name: dict(rows(case)) for case in (digits(), of_zoo("vit"), of_zoo("bert"))}
    shown = Table("relative L2 from float", *found)
    for name in next(iter(found.values())):
        shown.add_row(name, *(f"{each[name]:.4f}" for each in found.values()))
    Console(width=120).print(shown)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
