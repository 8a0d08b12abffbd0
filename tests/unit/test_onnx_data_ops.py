# SPDX-License-Identifier: Apache-2.0
"""ONNX ops on indices, truth values and integers: whole files through the runtime, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import small_models  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from edgesdk import converters, ops, runtime  # noqa: E402
from edgesdk.errors import Unsupported  # noqa: E402

Inputs = dict[str, np.ndarray]


class Model:
    """An ONNX model of inputs x, y, ... and constants c0, c1, ... under construction."""

    def __init__(self, **inputs: np.ndarray) -> None:
        self.inputs, self.constants, self.nodes = inputs, [], []

    def constant(self, data: Any, dtype: str = "int64") -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(data, dtype), f"c{len(self.constants)}"))
        return f"c{len(self.constants) - 1}"

    def op(self, kind: str, *inputs: str, n: int = 1, **attrs: Any) -> Any:
        outputs = [f"v{len(self.nodes)}_{i}" for i in range(n)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, f"{kind}_{len(self.nodes)}", **attrs))
        return outputs[0] if n == 1 else outputs

    def save(self, path: Path, *outputs: str) -> Path:
        infos = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in self.inputs.items()
        ]
        results = [helper.make_empty_tensor_value_info(o) for o in outputs]
        graph = helper.make_graph(self.nodes, "g", infos, results, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        path.write_bytes(model.SerializeToString())
        return path


def check(path: Path, inputs: Inputs, expected: list[np.ndarray] | None = None) -> Any:
    """The C runtime gives onnxruntime's results; returns the imported graph."""
    graph = converters.load(path)
    nodes = list(graph.nodes)
    want = expected
    if want is None:
        ort = pytest.importorskip("onnxruntime")
        want = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)
    layouts = graph.metadata["input_layouts"]
    given = [a.transpose(0, 2, 3, 1) if layouts.get(n) == "NCHW" else a for n, a in inputs.items()]
    got = runtime.run(runtime.open_session(small_models.compiled(graph)), [np.array(a, order="C") for a in given])
    for value, g, w in zip(graph.outputs, got, want, strict=True):
        g = g.transpose(0, 3, 1, 2) if graph.metadata["output_layouts"].get(value.name) == "NCHW" else g
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        if w.dtype == np.float32:
            np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(g, w)
    return nodes


RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
M = RNG.standard_normal((4, 6)).astype(np.float32)
P = RNG.integers(-4, 4, (3, 2)).astype(np.int64)
B = RNG.random((4, 6)) < 0.5
N = RNG.integers(-9, 9, (4, 6)).astype(np.int32)


def unary(kind: str, x: np.ndarray, *constants: Any, **attrs: Any) -> tuple[Model, list[str]]:
    m = Model(x=x)
    n = attrs.pop("n", 1)
    out = m.op(kind, "x", *(m.constant(*c) if isinstance(c, tuple) else m.constant(c) for c in constants), n=n, **attrs)
    return m, [out] if n == 1 else out


CASES = {
    "gather_scalar": unary("Gather", X, 1, axis=1),
    "gather_row": unary("Gather", X, [2, 0, -1], axis=2),
    "gather_matrix": unary("Gather", X, [[0, 3], [1, 1]], axis=2),
    "gather_elements": unary("GatherElements", M, [[0, 1, 2], [-1, 0, 3]], axis=0),
    "gather_nd": unary("GatherND", X, [[[0], [1]], [[2], [0]]], batch_dims=1),
    "scatter_nd": unary("ScatterND", M, [[1, 2], [3, -1]], ([9.0, 8.0], "float32")),
    "scatter_nd_add": unary("ScatterND", M, [[1], [1]], (np.ones((2, 6)), "float32"), reduction="add"),
    "scatter_elements": unary("ScatterElements", M, [[1, 0]], ([[5.0, 6.0]], "float32"), axis=1),
    "arg_max": unary("ArgMax", X, axis=1),
    "arg_max_flat": unary("ArgMax", X, axis=-1, keepdims=0),
    "arg_min_last": unary("ArgMin", N.astype(np.float32), axis=1, select_last_index=1),
    "top_k": unary("TopK", X, [2], axis=1, n=2),
    "top_k_smallest": unary("TopK", M, [3], largest=0, n=2),
    "cumsum": unary("CumSum", X, 1, reverse=1),
    "cumsum_exclusive": unary("CumSum", M, 1, exclusive=1),
    "tile": unary("Tile", X, [1, 2, 1, 3]),
    "expand": unary("Expand", X[:, :1], [2, 3, 4, 5]),
    "expand_rank": unary("Expand", M, [2, 4, 6]),
    "cast_int": unary("Cast", M * 100, to=6),
    "cast_bool": unary("Cast", np.round(M), to=9),
    "cast_chain": unary("Cast", N, to=1),
    "not": unary("Not", B),
    "is_nan": unary("IsNaN", np.where(B, np.nan, M).astype(np.float32)),
    "is_inf": unary("IsInf", np.where(B, np.inf, -np.inf).astype(np.float32), detect_negative=0),
    "upper": unary("Trilu", M, 1),
    "lower": unary("Trilu", M, -1, upper=0),
    "reduce_min": unary("ReduceMin", X, [1, 2]),
    "reduce_prod": unary("ReduceProd", X, [3], keepdims=0),
    "reduce_l1": unary("ReduceL1", X, [1]),
    "reduce_sum_square": unary("ReduceSumSquare", X, [2, 3]),
    "reduce_sum_int": unary("ReduceSum", N, [0]),
    "slice_backwards": unary("Slice", X, [-1, 3], [-(2**31), 0], [1, 3], [-1, -2]),
    "one_hot": unary("OneHot", P, 4, ([-1.0, 2.0], "float32"), axis=1),
    "equal": unary("Equal", N, (3, "int32")),
    "greater": unary("Greater", X, ([[[0.1]], [[0.2]], [[-0.3]]], "float32")),
    "bit_shift": unary("BitShift", N.astype(np.uint8), (2, "uint8"), direction="RIGHT"),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_onnxruntime(name: str, tmp_path: Path) -> None:
    model, outputs = CASES[name]
    check(model.save(tmp_path / "m.onnx", *outputs), model.inputs)


def test_where_compares_and_selects(tmp_path: Path) -> None:
    m = Model(x=X, y=X[:1, :, :1])
    mask = m.op("And", m.op("Less", "x", "y"), m.op("Not", m.op("GreaterOrEqual", "x", m.constant(1.0, "float32"))))
    check(m.save(tmp_path / "m.onnx", m.op("Where", mask, "x", m.constant(0.5, "float32")), mask), m.inputs)


def test_limits_that_are_computed(tmp_path: Path) -> None:
    m = Model(x=M, low=np.array(-0.5, np.float32), high=np.array(0.25, np.float32))
    check(m.save(tmp_path / "m.onnx", m.op("Clip", "x", "low", "high")), m.inputs)


def test_an_embedding_looks_rows_up(tmp_path: Path) -> None:
    m = Model(x=np.array([[3, 1, -1], [0, 0, 2]], np.int64))
    y = m.op("Gather", m.constant(RNG.standard_normal((4, 8)), "float32"), "x")
    check(m.save(tmp_path / "m.onnx", m.op("ReduceMean", y, m.constant([1]))), m.inputs)


def test_gathering_by_computed_indices(tmp_path: Path) -> None:
    m = Model(x=X)
    best = m.op("ArgMax", "x", axis=3)
    check(m.save(tmp_path / "m.onnx", m.op("GatherElements", "x", best, axis=3), best), m.inputs)


def test_boxes_that_are_selected_are_counted_from_the_front(tmp_path: Path) -> None:
    corner = RNG.random((1, 6, 2)).astype(np.float32)
    m = Model(x=np.concatenate([corner, corner + 0.4], -1), y=RNG.random((1, 2, 6)).astype(np.float32))
    limits = [m.constant([4]), m.constant([0.3], "float32"), m.constant([0.2], "float32")]
    path = m.save(tmp_path / "m.onnx", m.op("NonMaxSuppression", "x", "y", *limits))
    ort = pytest.importorskip("onnxruntime")
    found = ort.InferenceSession(str(path)).run(None, m.inputs)[0]
    check(path, m.inputs, [np.concatenate([found, np.full((8 - len(found), 3), -1)])])


def test_arithmetic_on_shapes_disappears(tmp_path: Path) -> None:
    """What exporters write for x.view(n, -1), x.new_zeros(x.shape), arange(n) and a mask of ones."""
    m = Model(x=M)
    shape = m.op("Shape", "x")
    rows = m.op("Gather", shape, m.constant(0))
    view = m.op("Concat", m.op("Unsqueeze", rows, m.constant([0])), m.constant([-1]), axis=0)
    zeros = m.op("ConstantOfShape", shape, value=numpy_helper.from_array(np.zeros(1, np.float32)))
    count = m.op("Range", m.constant(0), m.op("Mod", m.op("Size", "x"), m.constant(7)), m.constant(1))
    ones = m.op("Trilu", m.op("Expand", m.constant(1.0, "float32"), shape))
    steps = m.op("Cast", m.op("CumSum", m.op("Tile", count, m.constant([2])), m.constant(0)), to=1)
    total = m.op(
        "Add", m.op("Add", m.op("Reshape", "x", view), zeros), m.op("Mul", ones, m.op("Gather", steps, m.constant(3)))
    )
    nodes = check(m.save(tmp_path / "m.onnx", total), m.inputs)
    assert {n.op for n in nodes} == {"add"}


def test_outputs_that_are_inputs_constants_and_several(tmp_path: Path) -> None:
    m = Model(x=M)
    parts = m.op("Split", "x", n=2, axis=1, num_outputs=2)
    same, fixed = m.op("Identity", "x"), m.op("Cast", m.constant([[1, 2], [3, 4]]), to=6)
    check(m.save(tmp_path / "m.onnx", *parts, same, fixed), m.inputs)


def test_six_axes(tmp_path: Path) -> None:
    m = Model(x=RNG.standard_normal((2, 3, 2, 2, 3, 2)).astype(np.float32))
    y = m.op("Transpose", m.op("Tile", "x", m.constant([1, 2, 1, 2, 1, 2])), perm=[5, 3, 1, 4, 2, 0])
    check(m.save(tmp_path / "m.onnx", y), m.inputs)


@pytest.mark.parametrize("kind", ["ReduceL2", "ReduceLogSum", "ReduceLogSumExp"])
def test_norms_that_need_a_function(kind: str, tmp_path: Path) -> None:
    m, outputs = unary(kind, np.abs(X) + 1, [1])
    path = m.save(tmp_path / "m.onnx", *outputs)
    if all(f in ops.modules() for f in ("sqrt", "log", "exp")):
        check(path, m.inputs)
    else:
        with pytest.raises(Unsupported, match="the graph has no op"):
            converters.load(path)
