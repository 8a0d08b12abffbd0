# SPDX-License-Identifier: Apache-2.0
"""SVDF, LSTM and resource variables: the bytes of TFLite Micro over sequences of calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tflite_models as tfl
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_models import Op, Tensor, constant

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.converters import tflite
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph

pytest.importorskip("tflite_micro")
CALLS = 5
seeds = st.integers(0, 2**32 - 1)


def compiled(graph: Graph) -> bytes:
    s = schedule.schedule(passes.lower(passes.simplify(graph)), ("c",))
    return program.write(program.assemble(s, memory.plan(s)))


def samples(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> list[list[np.ndarray]]:
    if dtype == "float32":
        return [[rng.standard_normal(shape).astype(np.float32)] for _ in range(CALLS)]
    info = np.iinfo(dtype)
    return [[rng.integers(info.min, info.max + 1, shape).astype(dtype)] for _ in range(CALLS)]


def equal_micro(model: bytes, sequence: list[list[np.ndarray]]) -> Graph:
    """Runtime, reference and TFLite Micro agree on every call, again after a reset."""
    expected = [outputs[0] for outputs in tfl.micro_sequence(model, sequence)]
    graph = tflite.parse(model, "model", {})
    state = graph.state()
    referred = [ops.evaluate(graph, x, state)[graph.outputs[0]] for x in sequence]
    session = runtime.open_session(compiled(tflite.parse(model, "model", {})))
    for _ in range(2):
        got = [runtime.run(session, x)[0] for x in sequence]
        for ours, reference, theirs in zip(got, referred, expected, strict=True):
            same(ours, theirs)
            same(reference, theirs)
        session.reset()
    return graph


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    if theirs.dtype == np.float32:
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs) + 1e-6
    else:
        assert ours.tobytes() == theirs.tobytes(), (ours.ravel()[:8], theirs.ravel()[:8])


def svdf_model(rng: np.random.Generator, shape: tuple[int, ...], state: str, activation: int) -> bytes:
    batch, in_c, units, rank, memory_size = shape
    filters = units * rank
    q: dict[str, dict[str, Any]] = {k: {} for k in ("x", "w", "t", "b", "s", "y")}
    if state != "float32":
        zero = int(rng.integers(-20, 20))
        s_scale, t_scale = float(rng.uniform(0.001, 0.1)), float(rng.uniform(0.0005, 0.01))
        product = float(np.float32(s_scale) * np.float32(t_scale))
        q = {"x": {"scale": 0.03, "zero_point": zero}, "w": {"scale": 0.02}, "t": {"scale": t_scale}}
        q |= {"b": {"scale": product}, "s": {"scale": s_scale, "zero_point": 3 * (state == "int8")}}
        q |= {"y": {"scale": float(rng.uniform(0.01, 0.5)), "zero_point": int(rng.integers(-128, 128))}}
    real, wide = ("float32", "float32") if state == "float32" else ("int8", "int32")

    def data(shape: tuple[int, ...], dtype: str, most: int) -> np.ndarray:
        return rng.standard_normal(shape) if dtype == "float32" else rng.integers(-most, most, shape)

    tensors = [
        Tensor("x", (batch, in_c), real, **q["x"]),
        constant("w", data((filters, in_c), real, 128), real, **q["w"]),
        constant("t", data((filters, memory_size), state, 1 << 15 if state == "int16" else 128), state, **q["t"]),
        constant("b", data((units,), wide, 5000), wide, **q["b"]),
        Tensor("s", (batch, filters * memory_size), state, variable=True, **q["s"]),
        Tensor("y", (batch, units), real, **q["y"]),
    ]
    options = {"rank": rank, "fusedActivationFunction": activation}
    return tfl.build(tensors, [Op("SVDF", ["x", "w", "t", "b", "s"], ["y"], options)])


@settings(max_examples=40)
@given(
    st.tuples(*[st.integers(1, n) for n in (3, 6, 4, 3, 5)]),
    st.sampled_from(["float32", "int8", "int16"]),
    st.sampled_from([tfl.NONE, tfl.RELU]),
    seeds,
)
def test_svdf(shape: tuple[int, ...], state: str, activation: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = svdf_model(rng, shape, state, activation)
    equal_micro(model, samples(rng, shape[:2], "float32" if state == "float32" else "int8"))


def lstm_model(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, time_major: bool, clip: float) -> bytes:
    steps, batch, in_c, units = shape
    floating = dtype == "float32"
    fine = 1 / 256 if dtype == "int16" else 1.0
    zero = int(rng.integers(-30, 30)) if dtype == "int8" else 0

    def quant(scale: float, zero_point: int = 0) -> dict[str, Any]:
        return {} if floating else {"scale": scale, "zero_point": zero_point}

    def weights(name: str, n: int) -> Tensor:
        kind, data = ("float32", rng.standard_normal((units, n)) / 3) if floating else ("int8", None)
        data = rng.integers(-127, 128, (units, n)) if data is None else data
        return constant(name, data, kind, **quant(float(rng.uniform(0.003, 0.03))))

    wide = {"float32": "float32", "int8": "int32", "int16": "int64"}[dtype]

    def bias(name: str) -> Tensor:
        data = rng.standard_normal(units) if floating else rng.integers(-3000, 3000, units) * (256 if fine < 1 else 1)
        return constant(name, data, wide, **quant(1e-4))

    order = (batch, steps) if not time_major else (steps, batch)
    power = 2.0 ** -int(rng.integers(9, 14))
    tensors = [Tensor("x", (*order, in_c), dtype, **quant(0.03 * fine, zero))]
    tensors += [weights(f"w{k}", in_c) for k in range(4)] + [weights(f"r{k}", units) for k in range(4)]
    tensors += [bias(f"b{k}") for k in range(4)]
    tensors += [Tensor("h", (batch, units), dtype, variable=True, **quant(fine / 128, zero // 2))]
    tensors += [Tensor("c", (batch, units), "float32" if floating else "int16", variable=True, **quant(power))]
    tensors += [Tensor("y", (*order, units), dtype, **quant(fine / 128, zero // 2))]
    none: list[str | None] = [None]
    inputs = ["x", *(f"w{k}" for k in range(4)), *(f"r{k}" for k in range(4)), *none * 3, *(f"b{k}" for k in range(4))]
    inputs += [*none * 2, "h", "c", *none * 4]
    options = {"fusedActivationFunction": tfl.TANH, "cellClip": clip, "timeMajor": time_major}
    return tfl.build(tensors, [Op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, ["y"], options)])


@settings(max_examples=40)
@given(
    st.tuples(*[st.integers(1, n) for n in (5, 3, 6, 6)]),
    st.sampled_from(["float32", "int8", "int16"]),
    st.booleans(),
    st.sampled_from([0.0, 0.6, 10.0]),
    seeds,
)
def test_lstm(shape: tuple[int, ...], dtype: str, time_major: bool, clip: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps, batch, in_c, _ = shape
    order = (steps, batch) if time_major else (batch, steps)
    equal_micro(lstm_model(rng, shape, dtype, time_major, clip), samples(rng, (*order, in_c), dtype))


QUANT: dict[str, Any] = {"scale": 0.05, "zero_point": 3}


def variable_model(initial: np.ndarray | None, dtype: str = "int8") -> bytes:
    """y = old + x; the variable becomes y; a second read gives the new content."""
    q = QUANT if dtype == "int8" else {}
    tensors = [Tensor("x", (1, 4), dtype, **q), Tensor("handle", (1,), "resource")]
    tensors += [Tensor(n, (1, 4), dtype, **q) for n in ("old", "sum", "new", "y")]
    code = [
        Op("VAR_HANDLE", [], ["handle"], {"sharedName": "state"}),
        Op("READ_VARIABLE", ["handle"], ["old"]),
        Op("ADD", ["old", "x"], ["sum"]),
        Op("ASSIGN_VARIABLE", ["handle", "sum"], []),
        Op("READ_VARIABLE", ["handle"], ["new"]),
        Op("ADD", ["new", "old"], ["y"]),
    ]
    if initial is None:
        return tfl.build(tensors, code, ["x"], ["y"])
    once = [Tensor("h", (1,), "resource"), constant("c", initial, dtype, **q)]
    init = [Op("VAR_HANDLE", [], ["h"], {"sharedName": "state"}), Op("ASSIGN_VARIABLE", ["h", "c"], [])]
    return tfl.build(tensors, [Op("CALL_ONCE", [], [], {"initSubgraphIndex": 1}), *code], ["x"], ["y"], (once, init))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("initial", [None, [[1, -2, 30, 4]]])
def test_resource_variables(dtype: str, initial: Any) -> None:
    rng = np.random.default_rng(3)
    model = variable_model(None if initial is None else np.array(initial), dtype)
    graph = equal_micro(model, samples(rng, (1, 4), dtype))
    assert len(graph.variables) == 1


def streaming_model(rng: np.random.Generator) -> bytes:
    """A streaming convolution: the last frames are read, joined with the new one, and all but the oldest kept."""
    q = QUANT
    tensors = [Tensor("x", (1, 1, 6, 2), **q), Tensor("handle", (1,), "resource"), Tensor("old", (1, 3, 6, 2), **q)]
    tensors += [Tensor("window", (1, 4, 6, 2), **q), Tensor("kept", (1, 3, 6, 2), **q)]
    tensors += [constant("begin", [0, 1, 0, 0]), constant("size", [1, 3, 6, 2])]
    tensors += [constant("w", rng.integers(-127, 128, (3, 4, 3, 2)), "int8", scale=0.01)]
    tensors += [constant("b", rng.integers(-500, 500, 3), "int32", scale=0.05 * 0.01)]
    tensors += [Tensor("y", (1, 1, 4, 3), scale=0.1, zero_point=-5)]
    once = [Tensor("h", (1,), "resource"), constant("c", np.full((1, 3, 6, 2), 3), "int8", **q)]
    init = [Op("VAR_HANDLE", [], ["h"], {"sharedName": "frames"}), Op("ASSIGN_VARIABLE", ["h", "c"], [])]
    code = [
        Op("CALL_ONCE", [], [], {"initSubgraphIndex": 1}),
        Op("VAR_HANDLE", [], ["handle"], {"sharedName": "frames"}),
        Op("READ_VARIABLE", ["handle"], ["old"]),
        Op("CONCATENATION", ["old", "x"], ["window"], {"axis": 1}),
        Op("SLICE", ["window", "begin", "size"], ["kept"]),
        Op("ASSIGN_VARIABLE", ["handle", "kept"], []),
        Op("CONV_2D", ["window", "w", "b"], ["y"], {"padding": tfl.VALID}),
    ]
    return tfl.build(tensors, code, ["x"], ["y"], (once, init))


def test_a_streaming_convolution() -> None:
    rng = np.random.default_rng(5)
    equal_micro(streaming_model(rng), samples(rng, (1, 1, 6, 2), "int8"))


def test_what_the_initial_subgraph_may_not_do_is_refused() -> None:
    model = tfl.unpack(variable_model(np.array([[1, 2, 3, 4]])))
    operator = model.subgraphs[1].operators[1]
    operator.opcodeIndex, operator.outputs = model.subgraphs[0].operators[3].opcodeIndex, [1]  # an ADD
    operator.builtinOptionsType, operator.builtinOptions = 0, None
    with pytest.raises(Unsupported, match="CALL_ONCE of a subgraph with ADD"):
        tflite.parse(tfl.pack(model), "model", {})


@pytest.mark.parametrize("index", [0, 2, -1])
def test_a_subgraph_that_is_not_there_is_refused(index: int) -> None:
    model = tfl.unpack(variable_model(np.array([[1, 2, 3, 4]])))
    model.subgraphs[0].operators[0].builtinOptions.initSubgraphIndex = index
    with pytest.raises(UsageError, match="names subgraph"):
        tflite.parse(tfl.pack(model), "model", {})


def test_variants_of_lstm_are_refused() -> None:
    model = tfl.unpack(lstm_model(np.random.default_rng(0), (2, 1, 3, 4), "int8", False, 0.0))
    operator = model.subgraphs[0].operators[0]
    operator.inputs = [operator.inputs[1] if i == 9 else n for i, n in enumerate(operator.inputs)]
    with pytest.raises(Unsupported, match="LSTM with peepholes"):
        tflite.parse(tfl.pack(model), "model", {})
