# SPDX-License-Identifier: Apache-2.0
"""Comparisons, logic, selection and casts of every dtype."""

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_items, seeds, value
from test_binary import broadcast_shapes, lower_and_check

from edgesdk import ops
from edgesdk.ir import Node, Quant
from edgesdk.ops import elementwise
from edgesdk.ops.cast import CASTS

LOGIC = [n for n in elementwise.NAMES if n not in (*elementwise.COMPARISONS, "select")]
INTEGERS = ["int8", "uint8", "int16", "int32", "int64"]


@st.composite
def pairs(draw, op: str, dtype: str, max_rank: int = 4) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    shapes = list(draw(broadcast_shapes(max_rank)))
    dtypes = [dtype, dtype]
    if op == "select":
        shapes.insert(0, draw(st.sampled_from([*shapes, ()])))
        dtypes.insert(0, "bool")
    arrays = [random_items(rng, s, d) for s, d in zip(shapes, dtypes, strict=True)]
    quants = [quant(draw) if dtype == "int8" and op in elementwise.COMPARISONS else None for _ in shapes]
    if draw(st.booleans()):
        quants = [quants[0]] * len(shapes)
    constant = draw(st.sampled_from([None, *range(len(shapes))]))
    inputs = [
        value(f"x{i}", s, d, q, a if i == constant else None)
        for i, (s, d, q, a) in enumerate(zip(shapes, dtypes, quants, arrays, strict=True))
    ]
    return inferred(op, inputs), arrays


@pytest.mark.parametrize("op", elementwise.COMPARISONS)
@settings(max_examples=40)
@given(data=st.data())
def test_comparisons(op: str, data) -> None:
    dtype = data.draw(st.sampled_from(["float32", "int8", "int32", "int64", "bool", "uint8", "int16"]))
    lower_and_check(*data.draw(pairs(op, dtype)))


@pytest.mark.parametrize("op", LOGIC)
@settings(max_examples=30)
@given(data=st.data())
def test_logic(op: str, data) -> None:
    dtypes = INTEGERS if op in elementwise.SHIFTS else [*INTEGERS, "bool"]
    lower_and_check(*data.draw(pairs(op, data.draw(st.sampled_from(dtypes)))))


@settings(max_examples=80)
@given(data=st.data())
def test_select(data) -> None:
    lower_and_check(*data.draw(pairs("select", data.draw(st.sampled_from([*INTEGERS, "bool", "float32"])))))


@settings(max_examples=20)
@given(data=st.data())
def test_six_axes(data) -> None:
    lower_and_check(*data.draw(pairs("less", "int32", 6)))


@pytest.mark.parametrize("op", elementwise.COMPARISONS)
def test_nan_and_infinity(op: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1.0, -0.0, 0.0], np.float32)
    a, b = np.repeat(x, 6), np.tile(x, 6)
    harness.check(inferred(op, [value("a", (36,), "float32"), value("b", (36,), "float32")]), [a, b])


@pytest.mark.parametrize("op", elementwise.COMPARISONS)
@settings(max_examples=25)
@given(data=st.data())
def test_bytes_of_tflite_micro(op: str, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    dtype = data.draw(st.sampled_from(["float32", "int8", "int32"]))
    node, arrays = data.draw(pairs(op, dtype).filter(lambda case: case[0].output.shape != ()))
    # TFLite Micro aborts on scales of 1 and more.
    if any(v.quant is not None and v.scale >= 1 for v in node.inputs):
        return
    tensors = [
        tm.Tensor(v.name, v.shape, v.dtype, v.quant and v.scale, v.zero_point, data=v.data) for v in node.inputs
    ] + [tm.Tensor("y", node.output.shape, "bool")]
    given_names = [v.name for v in node.inputs if v.data is None]
    model = tm.build(tensors, [tm.Op(op.upper(), [v.name for v in node.inputs], ["y"])], inputs=given_names)
    given_arrays = [a for v, a in zip(node.inputs, arrays, strict=True) if v.data is None]
    expected = ops.module(op).reference(node, arrays)[0]
    assert np.array_equal(tm.run_micro(model, given_arrays)[0], expected)


@pytest.mark.parametrize("op", elementwise.COMPARISONS)
@pytest.mark.parametrize("scale", [1e-4, 1e-3, 1 / 256, 1 / 128, 0.9])
def test_one_small_scale_compares_as_in_tflite_micro(op: str, scale: float) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    every = np.arange(-128, 128).astype(np.int8)
    a, b = np.repeat(every, 3), np.stack([every, np.roll(every, 1), np.roll(every, -1)], 1).ravel()
    tensors = [tm.Tensor(n, a.shape, "int8", scale, 5) for n in "ab"] + [tm.Tensor("y", a.shape, "bool")]
    node = inferred(op, [value(n, a.shape, "int8", Quant.per_tensor(scale, 5)) for n in "ab"])
    expected = tm.run_micro(tm.build(tensors, [tm.Op(op.upper(), ["a", "b"], ["y"])], inputs=["a", "b"]), [a, b])[0]
    assert np.array_equal(ops.module(op).reference(node, [a, b])[0], expected)
    harness.check(node, [a, b])


def test_tiny_and_large_scales_compare() -> None:
    every = np.arange(-128, 128).astype(np.int8)
    a, b = np.repeat(every, 4), np.resize(every, 1024)
    for scales in ((1e-12, 0.5), (3.0, 0.7), (1e-30, 1e-32)):
        inputs = [value("ab"[i], (1024,), "int8", Quant.per_tensor(s, 3)) for i, s in enumerate(scales)]
        harness.check(inferred("less", inputs), [a, b])


def cast_node(source: str, to: str, n: int) -> Node:
    return inferred("cast", [value("x", (n,), source)], Quant.per_tensor(1.0, 0) if to == "int8" else None, to=to)


@pytest.mark.parametrize("to", CASTS)
@pytest.mark.parametrize("source", CASTS)
def test_cast(source: str, to: str) -> None:
    x = random_items(np.random.default_rng(0), (65,), source)
    if source == "float32":
        edges = [
            np.nan,
            np.inf,
            -np.inf,
            2.0**31,
            -(2.0**31),
            2.0**63,
            -(2.0**63),
            0.5,
            -0.5,
            127.5,
            255.5,
            -128.5,
            -0.0,
        ]
        x = np.concatenate([x * 100, np.array(edges, np.float32), np.float32(2.0**31) * x]).astype(np.float32)
    harness.check(cast_node(source, to, x.size), [x])


@pytest.mark.parametrize("to", ["int8", "int16", "int32", "float32"])
@pytest.mark.parametrize("source", ["int8", "int16", "int32", "float32", "bool"])
def test_cast_has_the_bytes_of_tflite_micro(source: str, to: str) -> None:
    """Where a float fits; beyond, C leaves the result open."""
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    x = random_items(np.random.default_rng(1), (1, 64), source)
    x = np.clip(x * 40, -128, 127).astype(np.float32) if source == "float32" else x
    model = tm.build([tm.Tensor("x", x.shape, source), tm.Tensor("y", x.shape, to)], [tm.Op("CAST", ["x"], ["y"])])
    expected = ops.module("cast").reference(cast_node(source, to, 64), [x])[0]
    assert np.array_equal(tm.run_micro(model, [x])[0], expected)
