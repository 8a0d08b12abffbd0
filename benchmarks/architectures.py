# SPDX-License-Identifier: Apache-2.0
"""Every network of the zoo through each importer, run on the C runtime beside PyTorch.

    python benchmarks/architectures.py [NAME...] [--json OUT] [--write FILE]

`moves` counts the transposes that are left and move items; NEEDED says how many of them there have to be, and why.
`unfused` counts batch norms, and relus whose neighbour could do them. `distance` is the relative L2 distance of the
float program's outputs to PyTorch's, the larger of both importers; `int8` tells whether the quantised program and
the numpy reference agree in every byte of every output. ONNX files are written by torch.onnx's TorchScript
exporter. --write puts the table into a Markdown file, between two comments that name this command.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
import zoo  # noqa: E402

from edgesdk import converters, flow, ops, passes, runtime, samples  # noqa: E402
from edgesdk.errors import EdgeError, UsageError  # noqa: E402
from edgesdk.ir import Graph, Value  # noqa: E402

IMPORTERS = ("torch", "onnx")
CALIBRATION_SAMPLES = 4


HEADS = "attention heads: queries, keys, values, result"
NEEDED = {
    "bert": {HEADS: 8},
    "efficientformer_v2": {HEADS: 8, "layers over heads around a softmax over pixels": 8},
    "efficientvit": {HEADS: 8},
    "mobilevit_v2": {"pixels to patches and back": 4},
    "vit": {HEADS: 12},
    "yolo": {"the order of the result": 1},
}
BOUNDED = ("relu", "relu6", "relu_n1_to_1")  # what a neighbour's `activation` can be
BEGIN, END = "<!-- python benchmarks/architectures.py --write -->", "<!-- end -->"


@dataclass(frozen=True)
class Result:
    """One network through one importer. `refused` says why where it could not be converted."""

    architecture: str
    importer: str
    nodes: int = 0
    moves: int = 0
    batch_norms: int = 0
    activations: int = 0
    error: float | None = None
    int8: bool | None = None
    refused: str = ""


Arrays = list[np.ndarray]


@contextmanager
def source(net: zoo.Network, module: torch.nn.Module, importer: str) -> Iterator[Any]:
    """What `edgesdk.convert` takes: an exported program, or the path of an ONNX file."""
    if importer == "torch":
        yield torch.export.export(module, net.inputs())
        return
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"{net.name}.onnx"
        torch.onnx.export(module, net.inputs(), str(path), dynamo=False, opset_version=17)
        yield path


def in_layout(arrays: Arrays, values: list[Value], layouts: dict[str, str]) -> Arrays:
    """Arrays in the source's order as a graph's inputs or outputs hold them."""
    return [
        np.ascontiguousarray(np.moveaxis(a, 1, -1)) if v.name in layouts else a
        for a, v in zip(arrays, values, strict=True)
    ]


def distance(got: Arrays, expected: Arrays) -> float:
    """Relative L2, the worst of all outputs."""
    pairs = [(g.astype(np.float64), e.astype(np.float64)) for g, e in zip(got, expected, strict=True)]
    return max(float(np.linalg.norm(g - e) / max(np.linalg.norm(e), 1e-30)) for g, e in pairs)


def float_error(net: zoo.Network, module: torch.nn.Module, converted: flow.Converted) -> float:
    graph, meta = converted.graph, converted.graph.metadata
    with torch.no_grad():
        found = module(*net.inputs())
    found = [t.numpy() for t in (found if isinstance(found, tuple | list) else (found,))]
    inputs = in_layout([t.numpy() for t in net.inputs()], graph.inputs, meta["input_layouts"])
    got = runtime.run(runtime.open_session(converted.data), inputs)
    return distance(got, in_layout(found, graph.outputs, meta["output_layouts"]))


def int8_agrees(net: zoo.Network, model: Any) -> bool:
    """Whether host runtime and numpy reference give the same bytes for the quantised network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        columns = zip(*(net.inputs(seed) for seed in range(CALIBRATION_SAMPLES)), strict=True)
        path.write_bytes(samples.pack({f"{i}": np.stack([t.numpy() for t in c]) for i, c in enumerate(columns)}))
        converted = flow.convert(model, quantize="int8", calibration=path, io="int8")
    rng = np.random.default_rng(5)
    ends = (0, net.words) if net.words else (-128, 128)
    inputs = [rng.integers(*ends, v.shape).astype(v.dtype) for v in converted.graph.inputs]
    expected = ops.evaluate(converted.graph, inputs)
    got = runtime.run(runtime.open_session(converted.data), inputs)
    return all(np.array_equal(g, expected[v]) for g, v in zip(got, converted.graph.outputs, strict=True))


def unfused_activations(graph: Graph) -> int:
    """Activations that only their neighbour's output is read by, which could do them."""
    producers, consumers = graph.producers(), graph.consumers()
    before = [producers.get(n.input(0)) for n in graph.nodes if n.op in BOUNDED]
    alone = [n for n in before if n is not None and len(consumers[n.output]) == 1 and n.output not in graph.results]
    return sum(n.attrs.get("activation") == "none" for n in alone)


def measure(net: zoo.Network, importer: str, int8: bool = True) -> Result:
    module = zoo.module(net)
    try:
        with source(net, module, importer) as model:
            simple = passes.simplify(converters.load(model))
            counted = Counter(n.op for n in simple.nodes)
            error = float_error(net, module, flow.convert(model))
            agrees = int8_agrees(net, model) if int8 else None
    except EdgeError as refusal:
        return Result(net.name, importer, refused=str(refusal))
    left = counted["transpose"], counted["batch_norm"], unfused_activations(simple)
    return Result(net.name, importer, len(simple.nodes), *left, error, agrees)


COLUMNS = ("network", "nodes, PyTorch", "nodes, ONNX", "moves", "needed", "for", "unfused", "distance", "int8")
INT8 = {True: "equal", False: "DIFFERS", None: "-"}


def rows(results: list[Result]) -> list[tuple[str, ...]]:
    """One for each network; figures that differ between the importers are both given, PyTorch's first."""
    names = dict.fromkeys(r.architecture for r in results)
    return [row(name, [r for r in results if r.architecture == name]) for name in names]


def row(name: str, found: list[Result]) -> tuple[str, ...]:
    refused = [r.refused for r in found if r.refused]
    if refused:
        return (name, *[""] * (len(COLUMNS) - 3), refused[0], "")
    needed = NEEDED.get(name, {})
    return (
        name,
        *(str(r.nodes) for r in found),
        both(str(r.moves) for r in found),
        str(sum(needed.values())),
        "; ".join(f"{n} {what}" for what, n in needed.items()) if len(needed) > 1 else "".join(needed),
        both(str(r.batch_norms + r.activations) for r in found),
        f"{max(r.error or 0.0 for r in found):.1e}",
        both(INT8[r.int8] for r in found),
    )


def both(figures: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(figures))


def table(results: list[Result]) -> Table:
    shown = Table(*COLUMNS)
    for cells in rows(results):
        shown.add_row(*cells)
    return shown


def markdown(results: list[Result]) -> str:
    aligned = ["---" if c in ("network", "for", "int8") else "---:" for c in COLUMNS]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (COLUMNS, aligned, *rows(results)))


def write_table(path: Path, text: str) -> None:
    """Replaces what stands between the two comments."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{path} holds no table to replace; expected the lines {BEGIN!r} and {END!r}, add them")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks of the zoo; all of them without")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help="a Markdown file with a table to replace")
    args = parser.parse_args()
    known = zoo.networks()
    results = []
    for name in args.names or sorted(known):
        print(name, file=sys.stderr, flush=True)
        results += [measure(known[name], importer) for importer in IMPORTERS]
    Console(width=180).print(table(results))
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    if args.write:
        write_table(args.write, markdown(results))


if __name__ == "__main__":
    main()
