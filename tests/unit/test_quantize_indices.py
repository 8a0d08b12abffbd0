# SPDX-License-Identifier: Apache-2.0
"""Quantised networks beside indices and truth values: embeddings, masks that are selected, comparisons, and what stays
in float between integers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketch import Sketch

from edgesdk import accuracy, flow, memory, ops, passes, program, ptq, runtime, samples, schedule
from edgesdk.compress import data_checks
from edgesdk.compress.calibrate import calibrate, sample_array
from edgesdk.compress.quantize import quantized
from edgesdk.compress.schemes import INT8, INT16X8, SCHEMES, left_in_float
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Node, Value, Variable
from edgesdk.verify import verify

WORDS, LENGTH, D = 20, 8, 6


def plain(name: str, array: np.ndarray) -> Value:
    return Value(name, array.shape, str(array.dtype), data=array)


def sentences(n: int, seed: int = 0) -> np.ndarray:
    """Word 0 fills up."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, WORDS, (n, 1, LENGTH))
    return np.where(np.arange(LENGTH) < rng.integers(2, LENGTH + 1, (n, 1, 1)), ids, 0).astype(np.int64)


def reader(s: Sketch) -> Graph:
    """An embedding, attention that sees no filling word, and the index of the best of three scores beside them."""
    ids = Value("ids", (1, LENGTH), "int64")
    s.inputs = [ids]
    x = s.op("gather", s.constant(WORDS, D), ids, axis=0, batch_dims=0)
    q, k = (s.op("fully_connected", x, s.constant(D, D, scale=0.4), None) for _ in range(2))
    scores = s.op("batch_matmul", q, k, adj_x=False, adj_y=True)
    filling = s.op("reshape", s.op("equal", ids, plain("zero", np.array(0))), shape=(1, 1, LENGTH))
    floor = plain("floor", np.full((1, 1, 1), -math.inf, np.float32))
    shares = s.op("softmax", s.op("select", filling, floor, scores), beta=1.0)
    y = s.op("mean", s.op("batch_matmul", shares, x, adj_x=False, adj_y=False), axes=(1,), keep_dims=False)
    y = s.op("fully_connected", y, s.constant(3, D), s.constant(3))
    return passes.simplify(s.graph(y, s.op("arg_max", y, axis=1, keep_dims=False, index_dtype="int64", last=False)))


def run(graph: Graph, *inputs: np.ndarray) -> list[np.ndarray]:
    """On the C runtime."""
    steps = schedule.schedule(passes.lower(graph.copy()), ("c",))
    session = runtime.open_session(program.write(program.assemble(steps, memory.plan(steps))))
    return runtime.run(session, list(inputs))


@pytest.mark.parametrize("scheme", [INT8, INT16X8], ids=lambda s: s.name)
def test_a_reader_of_words(scheme: Any) -> None:
    graph = reader(Sketch())
    result = verify(quantized(graph, calibrate(graph, [sentences(32)]), scheme, leave_float=True))
    assert [v.dtype for v in (*result.inputs, *result.outputs)] == ["int64", scheme.dtype, "int64"]
    gather = result.nodes[0]
    assert gather.op == "gather" and gather.input(0).dtype == scheme.dtype == gather.output.dtype
    error = norm = 0.0
    for ids in sentences(12, 1):
        floats, arrays = ops.evaluate(graph, [ids]), ops.evaluate(result, [ids])
        scores, best = run(result, ids)
        if scheme is INT8:
            assert scores.tobytes() == arrays[result.outputs[0]].tobytes()
        assert best[0] == scores.argmax()
        expected = floats[graph.outputs[0]]
        error += float(np.square(accuracy.real(result.outputs[0], scores) - expected).sum())
        norm += float(np.square(expected).sum())
    assert math.sqrt(error / norm) < (0.06 if scheme is INT8 else 0.01)


def test_a_mask_of_minus_infinity_leaves_the_scores_their_steps() -> None:
    graph = reader(Sketch())
    ranges = calibrate(graph, [sentences(32)])
    result = quantized(graph, ranges, INT8)
    before = next(n for n in graph.nodes if n.op == "select")
    after = next(n for n in result.nodes if n.op == "select")
    low, high = ranges[before.input(2)]
    assert ranges[before.output][0] < -1e8
    assert after.output.scale <= (max(high, 0.0) - (low - 12.0)) / 255 * 1.01
    arrays = ops.evaluate(result, [sentences(1)[0]])
    shares = arrays[next(n.output for n in result.nodes if n.op == "softmax")]
    assert (shares[..., sentences(1)[0][0] == 0] == -128).all(), "a filling word has no share"


def test_values_under_a_mask_are_not_called_far_from_float() -> None:
    graph = reader(Sketch())
    result = quantized(graph, calibrate(graph, [sentences(32)]), INT8)
    taken = [[a] for a in sentences(8, 2)]
    rows = accuracy.layers(graph, result, taken, taken)
    assert next(r for r in rows if r["op"] == "select")["rel_l2"] < 0.1
    assert {r["op"] for r in rows} >= {"gather", "select", "softmax"}


KINDS: dict[str, Any] = {
    "gather": lambda s, x: s.op("gather", x, plain("i", np.array([2, 0, -1])), axis=1, batch_dims=0),
    "constant rows": lambda s, x: s.op(
        "gather", s.constant(7, 3), s.op("arg_max", x, axis=1, keep_dims=False, index_dtype="int32", last=True),
        axis=0, batch_dims=0,
    ),
    "gather_nd": lambda s, x: s.op("gather_nd", x, plain("i", np.array([[[0, 1]], [[0, -1]]])), batch_dims=0),
    "gather_elements": lambda s, x: s.op("gather_elements", x, plain("i", np.zeros((1, 2, 3), np.int64)), axis=1),
    "select": lambda s, x: s.op("select", s.op("less", x, s.constant(1, 1, 3)), x, s.constant(1, 4, 1)),
    "tile": lambda s, x: s.op("tile", x, repeats=(1, 2, 3)),
    "broadcast_to": lambda s, x: s.op("broadcast_to", x, shape=(2, 4, 3)),
    "top_k": lambda s, x: s.op("top_k_values", x, axis=2, k=2, largest=True, index_dtype="int32"),
    "top indices": lambda s, x: s.op("top_k_indices", x, axis=1, k=3, largest=False, index_dtype="int64"),
    "least": lambda s, x: s.op("reduce_min", x, axes=(2,), keep_dims=True),
    "greater": lambda s, x: s.op("greater_equal", x, s.op("relu", s.op("neg", x))),
    "scatter": lambda s, x: s.op(
        "scatter_elements", x, plain("i", np.array([[[1, 0, 3]]])), s.constant(1, 1, 3), axis=1, reduction="none"
    ),
    "truth": lambda s, x: s.op("cast", s.op("greater", x, s.constant(1, 1, 1)), to="float32"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6)
@given(st.integers(0, 10**6), st.sampled_from([0.01, 1.0, 30.0]), st.sampled_from(sorted(SCHEMES)))
def test_the_runtime_gives_the_bytes_of_the_reference(kind: str, seed: int, size: float, scheme: str) -> None:
    s = Sketch((1, 4, 3))
    s.random = np.random.default_rng(seed)
    y = KINDS[kind](s, s.op("mul", s.inputs[0], s.constant(1, 1, 3, scale=size)))
    graph = s.graph(y)
    columns = s.samples(4)
    result = verify(quantized(graph, calibrate(graph, columns), SCHEMES[scheme], leave_float=True))
    for x in accuracy.quantised_inputs(result, ([a] for a in columns[0])):
        got, expected = run(result, *x)[0], ops.evaluate(result, x)[result.outputs[0]]
        assert got.dtype == expected.dtype and got.tobytes() == expected.tobytes()


TABLES: dict[str, tuple[Any, float]] = {
    "pow": (lambda s, x: s.op("pow", x, plain("three", np.array([3.0], np.float32))), 0.02),
    "power of two": (lambda s, x: s.op("pow", plain("two", np.full((1, 1), 2, np.float32)), x), 0.02),
    "floor_div": (lambda s, x: s.op("floor_div", x, plain("k", np.array([0.7], np.float32))), 0.1),
    "floor_mod": (lambda s, x: s.op("floor_mod", x, plain("k", np.array([4.0], np.float32))), 0.3),
    "fmod": (lambda s, x: s.op("fmod", x, plain("k", np.array([-4.0], np.float32))), 0.3),
}


@pytest.mark.parametrize("kind", TABLES)
def test_an_op_with_one_constant_is_a_table(kind: str) -> None:
    make, most = TABLES[kind]
    s = Sketch((1, 8, 16))
    graph = s.graph(make(s, s.inputs[0]))
    columns = s.samples(8)
    result = verify(quantized(graph, calibrate(graph, columns), INT8))
    assert [n.op for n in result.nodes][-1] == "lut"
    for x in columns[0]:
        stored = next(accuracy.quantised_inputs(result, [[x]]))
        got = run(result, *stored)[0]
        assert got.tobytes() == ops.evaluate(result, stored)[result.outputs[0]].tobytes()
        held = accuracy.real(result.inputs[0], stored[0]).astype(np.float32)  # the function is told of what is stored
        expected = ops.evaluate(graph, [held])[graph.outputs[0]]
        error = accuracy.real(result.outputs[0], got) - expected
        share = np.mean(np.abs(error) > 0.51 * result.outputs[0].scale)
        assert share <= most, "within half a step, but for inputs at a jump"


def test_of_two_computed_inputs_they_stay_in_float_with_the_reason() -> None:
    s = Sketch((1, 4), (1, 4))
    graph = s.graph(s.op("add", s.op("fmod", *s.inputs), s.op("lrn", s.inputs[0], **LRN)))
    left = left_in_float(graph, INT8)
    assert [n.op for n in left] == ["fmod", "lrn"] and "with a constant it is a table" in list(left.values())[0]
    result = verify(quantized(graph, calibrate(graph, s.samples()), INT8, leave_float=True))
    assert [n.op for n in result.nodes if n.output.dtype == "float32"].count("fmod") == 1
    assert result.outputs[0].dtype == "int8"


LRN = {"before": 1, "after": 1, "bias": 1.0, "alpha": 0.1, "beta": 0.75}


def recurrent(s: Sketch, kept: bool) -> Graph:
    """A recurrent layer with relu, whose state may live on between runs, and a layer behind it."""
    steps, units = 3, 4
    x = s.op("relu", s.inputs[0])
    weights = [s.constant(1, units, n, scale=0.4) for n in (D, units)]
    state = Value("state", (1, units), "float32") if kept else plain("state", np.zeros((1, units), np.float32))
    flat = Value("state/flat", (1, units), "float32")
    y, last = Value("y", (steps, 1, units), "float32"), Value("last", (1, units), "float32")
    attrs = {"kind": "rnn_relu", "reverse": False, "time_major": True, "cell_clip": 0.0}
    s.nodes += [Node("reshape", [state], [flat], {"shape": flat.shape}, "flat")] if kept else []
    first = flat if kept else state
    s.nodes.append(Node("rnn", [x, *weights, s.constant(2, 1, units), first], [y, last], attrs, "cells"))
    graph = s.graph(s.op("fully_connected", y, s.constant(3, units), None))
    if kept:
        graph.variables = [Variable(state, last, np.zeros(state.shape, np.float32))]
    return graph


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("scheme", [INT8, INT16X8], ids=lambda s: s.name)
def test_layers_of_several_outputs_stay_in_float(kept: bool, scheme: Any) -> None:
    s = Sketch((3, 1, D))
    graph = recurrent(s, kept)
    columns = [np.abs(s.samples(6)[0])]
    result = verify(quantized(graph, calibrate(graph, columns), scheme, leave_float=True))
    (cells,) = (n for n in result.nodes if n.op == "rnn")
    assert {v.dtype for v in cells.outputs} == {"float32"} and result.outputs[0].dtype == scheme.dtype
    assert [v.value.dtype for v in result.variables] == ["float32"] * kept, "a state that only floats read is one"
    assert "no bound" in left_in_float(graph, INT8)[next(n for n in graph.nodes if n.op == "rnn")]
    steps = schedule.schedule(passes.lower(result.copy()), ("c",))
    session = runtime.open_session(program.write(program.assemble(steps, memory.plan(steps))))
    state = graph.state()
    for x in columns[0]:
        (stored,) = next(accuracy.quantised_inputs(result, [[x]]))
        got = accuracy.real(result.outputs[0], runtime.run(session, [stored])[0])
        expected = ops.evaluate(graph, [x], state)[graph.outputs[0]]
        assert np.linalg.norm(got - expected) < (0.05 if scheme is INT8 else 0.01) * np.linalg.norm(expected)


def test_ids_are_checked() -> None:
    ids = Value("ids", (1, 4), "int32")
    for bad, kind in ((np.array([[0.5, 1, 2, 3]]), "0.5"), (np.array([[2**40, 1, 2, 3]]), "1099511627776")):
        with pytest.raises(UsageError, match=f"holds {kind}; expected numbers of type int32"):
            sample_array(ids, bad)
    assert sample_array(ids, np.array([[0.0, 1, 2, 3]])).dtype == np.int32
    graph = reader(Sketch())
    assert data_checks.data_warnings(graph, [sentences(40)]) == []
    (warning,) = data_checks.data_warnings(graph, [sentences(40) * 9])
    assert "goes from 0 to 171" in warning and "has 20 rows" in warning


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The reader as an ONNX file."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    arrays = {"table": rng.normal(size=(WORDS, D)), "w": rng.normal(size=(D, 3))}
    made = [onnx.numpy_helper.from_array(a.astype(np.float32), k) for k, a in arrays.items()]
    nodes = [
        onnx.helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        onnx.helper.make_node("ReduceMean", ["rows"], ["sum"], axes=[1], keepdims=0),
        onnx.helper.make_node("MatMul", ["sum", "w"], ["y"]),
    ]
    ids = onnx.helper.make_tensor_value_info("ids", 7, (1, LENGTH))
    y = onnx.helper.make_tensor_value_info("y", 1, (1, 3))
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "reader", [ids], [y], made), opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    path = tmp_path / "reader.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_convert_takes_ids(saved: Path, tmp_path: Path, dtype: Any) -> None:
    data = tmp_path / "ids.npz"
    data.write_bytes(samples.pack({"ids": sentences(40)[:, 0].astype(dtype)}))
    if dtype == np.float32:
        with pytest.raises(UsageError, match="input ids is float32; expected int64"):
            flow.convert(saved, quantize="int8", calibration=data)
        return
    c = flow.convert(saved, quantize="int8", calibration=data, io="int8")
    result = flow.report(c)
    assert (c.graph.inputs[0].dtype, c.graph.outputs[0].dtype) == ("int64", "int8")
    assert result["float_layers"] == [] and result["warnings"] == []
    assert result["accuracy"]["outputs"][0]["rel_l2"] < 0.05


def test_a_model_of_integers_is_still_called_quantised() -> None:
    s = Sketch()
    s.inputs = [Value("ids", (1, 4), "int32")]
    with pytest.raises(UsageError, match="quantised already"):
        flow.compress(s.graph(s.op("add", s.inputs[0], s.inputs[0])), "int8", [np.zeros((1, 4))], None)


def test_reasons_reach_the_report() -> None:
    s = Sketch((1, 4, 4, 3))
    y = s.op("lrn", s.op("conv2d", s.inputs[0], s.constant(3, 3, 3, 3), None), **LRN)
    graph = s.graph(s.op("relu", y))
    q = ptq.quantise(
        graph, "int8", [np.ones((1, 4, 4, 3), np.float32) * i for i in range(40)], None, flow.input_specs(graph)
    )
    (row,) = flow.float_layers(passes.lower(q.graph.copy()), q)
    assert row["op"] == "lrn" and row["reason"] == "powers of sums of squares have no integer kernel"
