# SPDX-License-Identifier: Apache-2.0
"""Recurrent float models in int8: close to the float ones, exact in the runtime, their state kept over calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
from test_onnx_import import Net  # noqa: E402
from test_onnx_recurrent import layer  # noqa: E402

from edgesdk import converters, flow, memory, ops, passes, program, runtime, schedule  # noqa: E402
from edgesdk.compress.calibrate import calibrate  # noqa: E402
from edgesdk.compress.quantize import quantize_int8  # noqa: E402
from edgesdk.errors import Unsupported  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

STEPS, IN_C, UNITS = 12, 6, 16


def classifier(tmp_path: Path, kind: str, direction: str, **options: Any) -> Graph:
    """A recurrent layer over the frames, and a classifier of its last state."""
    net, n = Net(seed=4), 2 if direction == "bidirectional" else 1
    x = net.input("x", [STEPS, 1, IN_C])
    _, last, *_ = layer(net, kind, x, (STEPS, 1, IN_C, UNITS), direction, **options)
    flat = net.op("Reshape", last, net.constant([1, n * UNITS], "int64"))
    return passes.simplify(
        converters.load(net.save(tmp_path / "m.onnx", net.op("Gemm", flat, net.weights(n * UNITS, 5))), {})
    )


def sequences(n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth random walks, as features of speech are."""
    rng = np.random.default_rng(7)
    walks = np.cumsum(rng.standard_normal((n, *shape)), axis=1)
    return (walks / np.abs(walks).max(1, keepdims=True)).astype(np.float32)


def exact(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What the runtime gives over the sequence, the reference's bytes."""
    state = graph.state()
    expected = [ops.evaluate(graph, [x], state)[graph.outputs[0]] for x in inputs]
    s = schedule.schedule(passes.lower(graph), ("c",))
    session = runtime.open_session(program.write(program.assemble(s, memory.plan(s))))
    got = [runtime.run(session, [x])[0] for x in inputs]
    assert [g.tobytes() for g in got] == [e.tobytes() for e in expected]
    return got


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("LSTM", {}), ("GRU", {"linear_before_reset": 0}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
def test_a_keyword_model(tmp_path: Path, kind: str, options: dict[str, Any], direction: str) -> None:
    graph = classifier(tmp_path, kind, direction, **options)
    data = sequences(24, (STEPS, 1, IN_C))
    real = np.stack([ops.evaluate(graph, [x])[graph.outputs[0]] for x in data])
    integer = quantize_int8(graph, calibrate(graph, [data]), io="float32")
    got = np.stack(exact(integer, list(data)))
    assert np.linalg.norm(got - real) < 0.04 * np.linalg.norm(real - real.mean(0)) + 0.02 * np.linalg.norm(real)
    assert np.mean(got.argmax(-1) == real.argmax(-1)) > 0.9


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_streaming_model(tmp_path: Path, kind: str) -> None:
    """One frame per call, the state in variables: 200 frames do not drift away from the float model."""
    net = Net(seed=5)
    results = layer(net, kind, net.input("x", [1, 1, IN_C]), (1, 1, IN_C, UNITS), "forward", states="input")
    flat = net.op("Reshape", results[0], net.constant([1, UNITS], "int64"))
    logits = net.op("Gemm", flat, net.weights(UNITS, 5))
    graph = converters.load(net.save(tmp_path / "m.onnx", logits, *results[1:]), {})
    for k, after in enumerate(results[1:]):
        graph.keep(f"state{k}", after)
    graph = passes.simplify(graph)
    frames = sequences(1, (200, 1, 1, IN_C))[0]
    state = graph.state()
    real = np.stack([ops.evaluate(graph, [x], state)[graph.outputs[0]] for x in frames])
    integer = quantize_int8(graph, calibrate(graph, [frames]), io="float32")
    assert {v.value.dtype for v in integer.variables} == ({"int8", "int16"} if kind == "LSTM" else {"int16"})
    got = np.stack(exact(integer, list(frames)))
    assert np.linalg.norm(got - real) < 0.06 * np.linalg.norm(real)


def test_a_float_model_that_passes_its_state_becomes_a_streaming_integer_one(tmp_path: Path) -> None:
    net = Net(seed=5)
    y, after = layer(net, "GRU", net.input("x", [1, 1, IN_C]), (1, 1, IN_C, UNITS), "forward", states="input")
    model, frames = net.save(tmp_path / "m.onnx", y, after), sequences(1, (60, 1, 1, IN_C))[0]
    np.savez(tmp_path / "samples.npz", x=frames)
    states, samples = {"state0": after}, tmp_path / "samples.npz"
    converted = flow.convert(model, "mps2_an386", quantize="int8", calibration=samples, states=states, io="int8")
    assert [s.node.op for s in converted.schedule.steps] == ["rnn"]
    assert [t.name for t in converted.program.inputs] == ["x"]
    assert [v.n_bytes for v in converted.program.variables] == [2 * UNITS]


def test_a_state_that_is_an_input_is_refused(tmp_path: Path) -> None:
    net = Net(seed=5)
    y, _ = layer(net, "GRU", net.input("x", [1, 1, IN_C]), (1, 1, IN_C, UNITS), "forward", states="input")
    graph = passes.simplify(converters.load(net.save(tmp_path / "m.onnx", y), {}))
    data = [sequences(4, (1, 1, IN_C)), np.zeros((4, 1, 1, UNITS), np.float32)]
    with pytest.raises(Unsupported, match="expected a variable"):
        quantize_int8(graph, calibrate(graph, data))


def test_a_variable_of_an_ordinary_value_is_int8(tmp_path: Path) -> None:
    """A running mean: next = 0.9 old + 0.1 x."""
    net = Net()
    x, old = net.input("x", [1, 4]), net.input("old", [1, 4])
    mean = net.op("Add", net.op("Mul", old, net.constant(0.5)), net.op("Mul", x, net.constant(0.5)))
    y = net.op("Relu", mean)
    graph = converters.load(net.save(tmp_path / "m.onnx", y, mean), {})
    graph.keep("old", mean)
    graph = passes.simplify(graph)
    frames = np.random.default_rng(0).standard_normal((30, 1, 4)).astype(np.float32)
    state = graph.state()
    real = np.stack([ops.evaluate(graph, [f], state)[graph.outputs[0]] for f in frames])
    integer = quantize_int8(graph, calibrate(graph, [frames]), io="float32")
    got = np.stack(exact(integer, list(frames)))
    assert integer.variables[0].value.dtype == "int8" and np.linalg.norm(got - real) < 0.05 * np.linalg.norm(real)
