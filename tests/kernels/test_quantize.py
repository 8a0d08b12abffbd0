# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.passes.lower_requantize import lower_requantize

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple)
KINDS = ["quantize int8", "quantize int16", "dequantize int8", "dequantize int16"]
REGRIDS = ["int8 int16", "int16 int8", "int16 int16"]
EVERY = np.arange(-128, 128).astype(np.int8)


def ties(rng: np.random.Generator, shape: tuple[int, ...], scale: float, dtype: str) -> np.ndarray:
    """Multiples of half a step, the float just beside some of them, and some far outside."""
    most = 600 if dtype == "int8" else 140_000
    halves = rng.integers(-most, most, shape).astype(np.float32) * np.float32(0.5) * np.float32(scale)
    beside = np.nextafter(halves, np.float32(0))
    far = halves * np.float32(1e6 if dtype == "int8" else 1e3)
    return np.choose(rng.integers(0, 3, shape), [halves, beside, far]).astype(np.float32)


def quantize_node(x: Value, q: Quant, dtype: str) -> Node:
    """quantize takes the type of its output from there."""
    return Node("quantize", [x], [Value("y", x.shape, dtype, q)], {}, "test")


@st.composite
def conversions(draw, kind: str) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    op, dtype = kind.split()
    shape, q = draw(shapes), quant(draw, dtype)
    if op == "dequantize":
        return inferred(op, [value("x", shape, dtype, q)], None, "float32"), [random_array(rng, shape, dtype)]
    return quantize_node(value("x", shape, "float32"), q, dtype), [ties(rng, shape, float(q.scale[0]), dtype)]


@st.composite
def regrids(draw, types: str) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    source, dtype = types.split()
    x = value("x", draw(shapes), source, quant(draw, source))
    return quantize_node(x, quant(draw, dtype), dtype), [random_array(rng, x.shape, source)]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_conversion_equals_reference(kind: str, data) -> None:
    harness.check(*data.draw(conversions(kind)))


@pytest.mark.parametrize("types", REGRIDS)
@given(data=st.data())
def test_requantize_equals_reference(types: str, data) -> None:
    harness.check(*data.draw(regrids(types)))


def test_dequantize_is_exact() -> None:
    node = inferred("dequantize", [value("x", (256,), "int8", Quant.per_tensor(0.1, 5))], None)
    expected = np.float32(0.1) * (EVERY.astype(np.float32) - np.float32(5))
    (kernel,) = harness.rows_of("dequantize", "s8f32")
    assert np.array_equal(harness.run(node, [EVERY], kernel), expected)
    assert np.array_equal(ops.module("dequantize").reference(node, [EVERY])[0], expected)


def test_quantize_of_what_is_no_number() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.49999997, 0.5, -0.5, -0.0, 1e-45], np.float32)
    node = quantize_node(value("x", x.shape, "float32"), Quant.per_tensor(1.0, 7), "int8")
    harness.check(node, [x])
    got = ops.module("quantize").reference(node, [x])[0]
    assert got.tolist() == [7, 127, -128, 127, -128, 7, 8, 6, 7, 7]


@pytest.mark.parametrize(("dtype", "zero_point", "most"), [("int8", -5, 300), ("int16", 0, 66_000)])
def test_every_tie_and_the_floats_beside_it(dtype: str, zero_point: int, most: int) -> None:
    halves = np.arange(-2 * most, 2 * most + 1).astype(np.float32) / 2
    beside = [np.nextafter(halves, np.float32(end)) for end in (-np.inf, np.inf)]
    x = np.concatenate([halves, *beside]).astype(np.float32)
    harness.check(quantize_node(value("x", x.shape, "float32"), Quant.per_tensor(1.0, zero_point), dtype), [x])


def graph_of(node: Node) -> Graph:
    return Graph("g", [node.input(0)], [node.output], [node])


@given(data=st.data())
def test_requantize_becomes_a_table(data) -> None:
    x = value("x", (256,), "int8", quant(data.draw))
    node = inferred("quantize", [x], quant(data.draw), "int8")
    expected = ops.module("quantize").reference(node, [EVERY])[0]
    graph = lower_requantize(graph_of(node))
    assert [n.op for n in graph.nodes] == ["reshape" if x.quant.same_as(node.output.quant) else "lut"]
    assert np.array_equal(ops.evaluate(graph, [EVERY])[node.output], expected)


def test_requantize_to_the_same_scale_is_a_view() -> None:
    q = Quant.per_tensor(0.25, 3)
    graph = lower_requantize(graph_of(inferred("quantize", [value("x", (2, 3), "int8", q)], q, "int8")))
    assert [n.op for n in graph.nodes] == ["reshape"]


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d", "resize_nearest", "resize_bilinear", "reduce_max"])
def test_a_changed_scale_is_split_off(op: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    attrs = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "relu"}
    if op.startswith("resize"):
        attrs = {"size": (5, 5), "align_corners": False, "half_pixel_centers": False}
    if op == "reduce_max":
        attrs = {"axes": (1, 2), "keep_dims": False}
    zero = dtype == "int16"
    x = value("x", (1, 4, 4, 3), dtype, Quant.per_tensor(0.1, 0 if zero else 3))
    node = inferred(op, [x], Quant.per_tensor(0.07, 0 if zero else -9), **attrs)
    data = random_array(rng, x.shape, dtype)
    y: Value = node.output
    expected = ops.module(op).reference(node, [data])[0]
    graph = lower_requantize(graph_of(node))
    assert [n.op for n in graph.nodes] == [op, "quantize" if zero else "lut"]
    assert np.array_equal(ops.evaluate(graph, [data])[y], expected)
    harness.check(graph.nodes[0], [data])


@pytest.mark.parametrize("kind", [*KINDS, "requantize", *REGRIDS])
@settings(max_examples=20)
@given(data=st.data())
def test_conversion_equals_tflite_micro(kind: str, data) -> None:
    pytest.importorskip("tflite_micro")
    import tflite_models as tflite

    if kind == "requantize":
        node, x = inferred("quantize", [value("x", (256,), "int8", quant(data.draw))], quant(data.draw), "int8"), EVERY
    elif kind in REGRIDS:
        node, (x,) = data.draw(regrids(kind))
    else:
        node, (x,) = data.draw(conversions(kind))

    def tensor(v):
        q = {} if v.quant is None else {"scale": v.scale, "zero_point": v.zero_point}
        return tflite.Tensor(v.name, v.shape, v.dtype, **q)

    code = "DEQUANTIZE" if node.op == "dequantize" else "QUANTIZE"
    model = tflite.build([tensor(node.input(0)), tensor(node.output)], [tflite.Op(code, ["x"], ["y"])])
    got = tflite.run_micro(model, [x])[0]
    assert np.array_equal(ops.module(node.op).reference(node, [x])[0], got)
