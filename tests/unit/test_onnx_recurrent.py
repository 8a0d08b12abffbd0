# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN of ONNX: the numbers of onnxruntime, from the reference and from the runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
from test_onnx_import import Net  # noqa: E402

from edgesdk import converters, memory, ops, passes, program, runtime, schedule, validate  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402
from edgesdk.ir import Graph, Node, Value  # noqa: E402

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(net: Net, kind: str, x: str, shape: tuple[int, int, int, int], direction: str, **options: Any) -> list[str]:
    """An ONNX layer with or without bias and initial states; returns Y, Y_h (and Y_c)."""
    steps, batch, in_c, units = shape
    n, rows = 2 if direction == "bidirectional" else 1, GATES[kind] * units
    inputs = [x, net.weights(n, rows, in_c), net.weights(n, rows, units)]
    inputs.append(net.constant(net.random.normal(size=(n, 2 * rows)) / 2) if options.pop("bias", True) else "")
    lengths = options.pop("lengths", None)
    inputs.append("" if lengths is None else net.constant(lengths, "int32"))
    states = options.pop("states", "none")
    order = (batch, n, units) if options.get("layout") else (n, batch, units)
    for k in range(2 if kind == "LSTM" else 1):
        if states == "constant":
            inputs.append(net.constant(net.random.normal(size=order)))
        elif states == "input":
            inputs.append(net.input(f"state{k}", list(order)))
        else:
            inputs.append("")
    if options.pop("peepholes", False):
        inputs.append(net.weights(n, 3 * units))
    outputs = 3 if kind == "LSTM" else 2
    return list(net.op(kind, *inputs, n=outputs, direction=direction, hidden_size=units, **options))


def session_of(path: Path) -> runtime.Session:
    graph = passes.lower(passes.simplify(converters.load(path, {})))
    s = schedule.schedule(graph, ("c",))
    return runtime.open_session(program.write(program.assemble(s, memory.plan(s))))


def compare(path: Path) -> None:
    import onnxruntime

    oracle = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feeds = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in oracle.get_inputs()}
    expected = oracle.run(None, feeds)
    graph = converters.load(path, {})
    arrays = ops.evaluate(graph, [feeds[v.name] for v in graph.inputs])
    got = runtime.run(session_of(path), [feeds[v.name] for v in graph.inputs])
    for value, ours, theirs in zip(graph.outputs, got, expected, strict=True):
        for found in (arrays[value], ours):
            assert found.shape == theirs.shape
            assert np.linalg.norm(found - theirs) <= 1e-5 * np.linalg.norm(theirs) + 1e-6, value.name


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(GATES)),
    st.tuples(*[st.integers(1, 5)] * 4),
    st.sampled_from(["forward", "reverse", "bidirectional"]),
    st.sampled_from(["none", "constant", "input"]),
    st.booleans(),
    st.integers(0, 1),
)
def test_layers(
    tmp_path_factory: Any, kind: str, shape: Any, direction: str, states: str, bias: bool, reset: int
) -> None:
    net = Net()
    options = {"linear_before_reset": reset} if kind == "GRU" else {}
    options |= {"activations": ["Relu"] * (2 if direction == "bidirectional" else 1)} if kind == "RNN" and reset else {}
    x = net.input("x", list(shape[:3]))
    outputs = layer(net, kind, x, shape, direction, states=states, bias=bias, **options)
    compare(net.save(tmp_path_factory.mktemp("onnx") / "m.onnx", *outputs))


def test_a_batch_first_layer_of_two_directions_needs_no_transposition(tmp_path: Path) -> None:
    """As PyTorch exports it: transposed in front, transposed and joined behind."""
    net, shape = Net(), (6, 3, 4, 5)
    x = net.input("x", [3, 6, 4])
    turned = net.op("Transpose", x, perm=[1, 0, 2])
    y, *_ = layer(net, "GRU", turned, shape, "bidirectional", linear_before_reset=1)
    side = net.op("Transpose", y, perm=[0, 2, 1, 3])
    joined = net.op("Reshape", side, net.constant([0, 0, -1], "int64"))
    path = net.save(tmp_path / "m.onnx", net.op("Transpose", joined, perm=[1, 0, 2]))
    compare(path)
    assert not [n.op for n in passes.simplify(converters.load(path, {})).nodes if n.op == "transpose"]


def test_two_layers_and_a_classifier(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", [7, 1, 4])
    y, *_ = layer(net, "LSTM", x, (7, 1, 4, 6), "forward")
    flat = net.op("Squeeze", y, net.constant([1], "int64"))
    _, last = layer(net, "GRU", flat, (7, 1, 6, 5), "forward")
    logits = net.op("Gemm", net.op("Reshape", last, net.constant([1, 5], "int64")), net.weights(5, 3))
    compare(net.save(tmp_path / "m.onnx", logits))


def test_states_of_the_model_become_states_of_the_session(tmp_path: Path) -> None:
    """A streaming model passes its state in and out; kept as a variable, only the frames go in."""
    net, shape = Net(), (1, 1, 4, 6)
    y, after = layer(net, "GRU", net.input("x", [1, 1, 4]), shape, "forward", states="input")
    path = net.save(tmp_path / "m.onnx", y, after)
    graph = converters.load(path, {})
    graph.keep("state0", after)
    state, frames = graph.state(), np.random.default_rng(0).standard_normal((8, 1, 1, 4)).astype(np.float32)
    expected = [ops.evaluate(graph, [f], state)[graph.outputs[0]] for f in frames]
    s = schedule.schedule(passes.lower(passes.simplify(graph)), ("c",))
    session = runtime.open_session(program.write(program.assemble(s, memory.plan(s))))
    got = [runtime.run(session, [f])[0] for f in frames]
    assert np.allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(got[0], runtime.run(session, [frames[0]])[0])
    assert [step.node.op for step in s.steps] == ["rnn"]


def streaming_model(path: Path) -> tuple[Path, str]:
    """A step of a GRU that passes its state in and out; the name of the state's output."""
    net = Net()
    y, after = layer(net, "GRU", net.input("x", [1, 1, 4]), (1, 1, 4, 6), "forward", states="input")
    return net.save(path, y, after), after


def command(*arguments: object) -> Any:
    from click.testing import CliRunner

    from edgesdk import cli

    return CliRunner().invoke(cli.main, [str(a) for a in arguments])


@pytest.mark.parametrize("scheme", ["none", "int8"])
def test_validate_takes_the_samples_of_a_model_with_states_as_a_sequence(tmp_path: Path, scheme: str) -> None:
    """A program that forgot its state, or a source that did, would be far off from the second sample on."""
    path, after = streaming_model(tmp_path / "m.onnx")
    data, edge = tmp_path / "x.npz", tmp_path / "m.edge"
    np.savez(data, x=np.random.default_rng(0).standard_normal((12, 1, 1, 4)).astype(np.float32))
    recipe = () if scheme == "none" else ("--quantize", scheme, "--calibration", data)
    made = command("convert", path, "-o", edge, "--state", f"state0={after}", *recipe)
    assert made.exit_code == 0, made.output
    told = command("validate", edge, "--against", path, "--data", data, "--json")
    assert told.exit_code == 0, told.output
    result = json.loads(told.stdout)
    assert result["sequence"] and len(result["outputs"]) == 1
    assert result["outputs"][0]["rel_l2"] < (1e-5 if scheme == "none" else 0.05)


def test_states_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    path, after = streaming_model(tmp_path / "m.onnx")
    data, edge, other = tmp_path / "x.npz", tmp_path / "m.edge", tmp_path / "other.onnx"
    np.savez(data, x=np.zeros((2, 1, 1, 4), np.float32))
    for wrong in ("state0", f"x={after}", "state0=y"):
        told = command("convert", path, "-o", edge, "--state", wrong)
        assert told.exit_code == 2 and "expected" in told.output
    assert command("convert", path, "-o", edge, "--state", f"state0={after}").exit_code == 0
    net = Net()
    net.save(other, net.op("Relu", net.input("x", [1, 1, 4])))
    told = command("validate", edge, "--against", other, "--data", data)
    assert told.exit_code == 2 and "state0" in told.output


def test_a_program_with_states_and_a_model_without_them_are_not_compared() -> None:
    x, old = Value("x", (2,), "float32"), Value("old", (2,), "float32")
    total = Value("total", (2,), "float32")
    graph = Graph("sum", [x, old], [total], [Node("add", [x, old], [total], {"activation": "none"}, "sum")])
    plain = graph.copy()
    y = Value("y", (2,), "float32")
    graph.nodes.append(Node("relu", [total], [y], {}, "y"))
    graph.outputs = [y, total]
    graph.keep("old", "total")
    s = schedule.schedule(passes.lower(graph), ("c",))
    kept = program.read(program.write(program.assemble(s, memory.plan(s))))
    with pytest.raises(UsageError, match="keeps 1 states between runs, 'sum' keeps none"):
        validate.keep_states(kept, plain)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"activations": ["Tanh", "Tanh"]}, "activations Tanh, Tanh"),
        ({"clip": 2.0}, "attribute clip"),
    ],
)
def test_what_no_kernel_computes_is_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    net = Net()
    y, _ = layer(net, "GRU", net.input("x", [3, 2, 4]), (3, 2, 4, 5), "forward", **options)
    with pytest.raises(Unsupported, match=reason):
        converters.load(net.save(tmp_path / "m.onnx", y), {})


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(GATES)),
    st.tuples(*[st.integers(1, 4)] * 4),
    st.sampled_from(["forward", "reverse", "bidirectional"]),
    st.sampled_from(["none", "constant", "input"]),
    st.booleans(),
    st.data(),
)
def test_sequences_of_different_lengths(
    tmp_path_factory: Any, kind: str, shape: Any, direction: str, states: str, seen: bool, data: Any
) -> None:
    """Also of an LSTM whose gates see its cell."""
    net, (steps, batch, _, _) = Net(), shape
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    options = {"peepholes": True} if kind == "LSTM" and seen else {}
    outputs = layer(
        net, kind, net.input("x", list(shape[:3])), shape, direction, states=states, lengths=lengths, **options
    )
    compare(net.save(tmp_path_factory.mktemp("onnx") / "m.onnx", *outputs))


def test_a_sequence_of_no_steps_keeps_its_state(tmp_path: Path) -> None:
    net = Net()
    outputs = layer(net, "GRU", net.input("x", [3, 2, 4]), (3, 2, 4, 5), "forward", lengths=[0, 2], states="input")
    path = net.save(tmp_path / "m.onnx", *outputs)
    rng = np.random.default_rng(0)
    x, h = (rng.standard_normal(s).astype(np.float32) for s in ((3, 2, 4), (1, 2, 5)))
    y, last = runtime.run(session_of(path), [x, h])
    assert not y[:, :, 0].any() and not y[2].any() and y[:2, :, 1].any()
    assert np.array_equal(last[0, 0], h[0, 0]) and np.array_equal(last[0, 1], y[1, 0, 1])


def test_computed_lengths_are_refused_by_name(tmp_path: Path) -> None:
    net = Net()
    net.inputs.append(onnx.helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, [2]))
    y = net.op(
        "GRU", net.input("x", [3, 2, 4]), net.weights(1, 15, 4), net.weights(1, 15, 5), "", "lengths", hidden_size=5
    )
    with pytest.raises(Unsupported, match="sequence_lens must be a constant"):
        converters.load(net.save(tmp_path / "m.onnx", y), {})


def test_full_lengths_are_no_lengths(tmp_path: Path) -> None:
    net = Net()
    y, _ = layer(net, "GRU", net.input("x", [3, 2, 4]), (3, 2, 4, 5), "forward", lengths=[3, 3])
    compare(net.save(tmp_path / "m.onnx", y))
