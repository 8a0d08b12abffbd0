# SPDX-License-Identifier: Apache-2.0
"""Every network of the zoo through each importer, run on the C runtime beside PyTorch.

    python benchmarks/architectures.py [NAME...] [--json OUT]

`transposes` counts those that are left and move items; `error` is the relative L2 distance of the float
program's outputs to PyTorch's; `int8` tells whether the quantised program and the numpy reference agree
in every byte of every output. ONNX files are written by torch.onnx's TorchScript exporter.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
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
from edgesdk.errors import EdgeError  # noqa: E402
from edgesdk.ir import Value  # noqa: E402

IMPORTERS = ("torch", "onnx")
CALIBRATION_SAMPLES = 4


@dataclass(frozen=True)
class Result:
    """One network through one importer. `refused` says why where it could not be converted."""

    architecture: str
    importer: str
    nodes: int = 0
    transposes: int = 0
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


def measure(net: zoo.Network, importer: str, int8: bool = True) -> Result:
    module = zoo.module(net)
    try:
        with source(net, module, importer) as model:
            simple = passes.simplify(converters.load(model))
            transposes = sum(n.op == "transpose" for n in simple.nodes)
            error = float_error(net, module, flow.convert(model))
            agrees = int8_agrees(net, model) if int8 else None
    except EdgeError as refusal:
        return Result(net.name, importer, refused=str(refusal))
    return Result(net.name, importer, len(simple.nodes), transposes, error, agrees)


def table(results: list[Result]) -> Table:
    shown = Table("architecture", "importer", *(f"{c}" for c in ("nodes", "transposes", "error", "int8")))
    for r in results:
        if r.refused:
            shown.add_row(r.architecture, r.importer, "", "", r.refused, "")
        else:
            cells = (
                str(r.nodes),
                str(r.transposes),
                f"{r.error:.1e}",
                {True: "equal", False: "DIFFERS", None: "-"}[r.int8],
            )
            shown.add_row(r.architecture, r.importer, *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks of the zoo; all of them without")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    known = zoo.networks()
    results = [measure(known[n], i) for n in args.names or sorted(known) for i in IMPORTERS]
    Console(width=160).print(table(results))
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in results], indent=1))


if __name__ == "__main__":
    main()
