# SPDX-License-Identifier: Apache-2.0
"""The whole networks that come with the onnx package, on the C runtime of this machine.

    python benchmarks/onnx_light.py [NAME...] [--stored-only] [--json OUT]

Their weights are constants of one value each. Two runs per network: as it is, with the input and the output that come
with it ("stored"), and with weights drawn at random and no softmax at the end, which would leave one class only, beside
onnxruntime ("random"); figures are relative L2 distances.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import boards, converters, memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph

PREFIX = "light_"


@dataclass
class Row:
    """One network. `macs` in millions, `weights` and `arena` in bytes, times in seconds."""

    name: str
    nodes: int
    macs: float
    weights: int
    arena: int
    convert: float
    run: float
    stored: float
    random: float | None


def folder() -> Path:
    import onnx.backend.test

    return Path(onnx.backend.test.__file__).parent / "data" / "light"


def names() -> list[str]:
    return sorted(p.stem.removeprefix(PREFIX) for p in folder().glob(f"{PREFIX}*.onnx"))


def model_of(name: str) -> Any:
    import onnx

    return onnx.load(str(folder() / f"{PREFIX}{name}.onnx"))


def stored_output(name: str) -> np.ndarray:
    import onnx

    tensor = onnx.TensorProto()
    tensor.ParseFromString((folder() / f"{PREFIX}{name}_output_0.pb").read_bytes())
    return np.asarray(onnx.numpy_helper.to_array(tensor))


def stored_input(model: Any) -> np.ndarray:
    """What the stored output belongs to: the numbers from 0 to 1 in equal steps."""
    constants = {t.name for t in model.graph.initializer}
    (info,) = [i for i in model.graph.input if i.name not in constants]
    shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def with_random_weights(model: Any, seed: int = 0) -> Any:
    """Each ConstantOfShape becomes a constant: matrices and kernels around 0 so that values keep their size through
    the layers, scales and variances around 1, the rest small."""
    import onnx

    random, copy = np.random.default_rng(seed), onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    positive = {i for n in model.graph.node if n.op_type == "BatchNormalization" for i in (n.input[1], n.input[4])}
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            copy.graph.node.append(node)
            continue
        array = drawn(random, tuple(int(d) for d in shapes[node.input[0]]), node.output[0] in positive)
        copy.graph.initializer.append(onnx.numpy_helper.from_array(array, node.output[0]))
    if copy.graph.node[-1].op_type == "Softmax":
        copy.graph.output[0].name = copy.graph.node.pop().input[0]
    return copy


def drawn(random: np.random.Generator, shape: tuple[int, ...], positive: bool) -> np.ndarray:
    if positive:
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) < 2:
        return random.normal(0, 0.1, shape).astype(np.float32)
    array = random.standard_normal(shape, np.float32)
    array *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
    return array


def lowered(model: Any) -> Graph:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return passes.lower(passes.simplify(converters.load(path)))


def opened(graph: Graph) -> tuple[runtime.Session, int]:
    """A session, and the bytes of its arena."""
    planned = schedule.schedule(graph, boards.load("host").core.isa)
    plan = memory.plan(planned)
    return runtime.open_session(program.write(program.assemble(planned, plan, {}))), plan.arena_bytes


def weight_bytes(graph: Graph) -> int:
    constants = {v for n in graph.nodes for v in n.inputs if v is not None and v.data is not None}
    return sum(v.n_bytes for v in constants)


def run(graph: Graph, session: runtime.Session, array: np.ndarray) -> np.ndarray:
    laid = array.transpose(0, 2, 3, 1) if graph.inputs[0].name in graph.metadata["input_layouts"] else array
    (found,) = runtime.run(session, [np.ascontiguousarray(laid)])
    return np.moveaxis(found, -1, 1) if graph.outputs[0].name in graph.metadata["output_layouts"] else found


def distance(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape, (got.shape, expected.shape)
    wide = got.astype(np.float64) - expected
    return float(np.linalg.norm(wide) / np.linalg.norm(expected.astype(np.float64)))


def oracle(model: Any, array: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    constants = {t.name for t in model.graph.initializer}
    (name,) = [i.name for i in session.get_inputs() if i.name not in constants]
    return np.asarray(session.run(None, {name: array})[0])


def random_distance(model: Any) -> float:
    """To onnxruntime, with the same random weights and input."""
    drawn_model = with_random_weights(model)
    array = np.random.default_rng(1).standard_normal(stored_input(model).shape, np.float32)
    expected = oracle(drawn_model, array)
    graph = lowered(drawn_model)
    del drawn_model
    return distance(run(graph, opened(graph)[0], array), expected)


def measure(name: str, stored_only: bool = False) -> Row:
    model, start = model_of(name), time.perf_counter()
    graph = lowered(model)
    session, arena = opened(graph)
    converted = time.perf_counter()
    found = run(graph, session, stored_input(model))
    done = time.perf_counter()
    macs = sum(ops.macs(n) for n in graph.nodes) / 1e6
    stored = distance(found, stored_output(name))
    bytes_of = weight_bytes(graph), arena
    row = Row(name, len(graph.nodes), macs, *bytes_of, converted - start, done - converted, stored, None)
    del session, graph
    row.random = None if stored_only else random_distance(model)
    return row


def show(rows: Sequence[Row]) -> None:
    columns = "network|nodes|million MACs|weights|arena|convert s|run s|stored|random"
    table = Table(*columns.split("|"))
    for r in rows:
        figures = [str(r.nodes), f"{r.macs:,.0f}", f"{r.weights:,}", f"{r.arena:,}", f"{r.convert:.1f}", f"{r.run:.1f}"]
        table.add_row(r.name, *figures, f"{r.stored:.1e}", "-" if r.random is None else f"{r.random:.1e}")
    Console(width=160).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which networks; all where none is named")
    parser.add_argument("--stored-only", action="store_true", help="without onnxruntime")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(name, options.stored_only) for name in options.names or names()]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([vars(r) for r in rows], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
