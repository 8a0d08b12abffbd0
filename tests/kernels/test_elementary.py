# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, seeds, value

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant
from edgesdk.kernels import Kernel
from edgesdk.ops import elementary
from edgesdk.passes.lower_unary import lower_unary
from edgesdk.verify import verify

EVERY = np.arange(-128, 128).astype(np.int8)
ATTRS = {
    "thresholded_relu": {"alpha": 0.7},
    "shrink": {"lambd": 0.4, "bias": 0.1},
    "celu": {"alpha": 1.5},
    "power": {"exponent": 2.3},
}
# Largest errors in units of the last place: those that elementary.h states.
ULPS = {
    "abs": 0, "neg": 0, "square": 1, "sqrt": 1, "rsqrt": 2, "reciprocal": 1, "exp": 1, "log": 1, "sin": 3, "cos": 3,
    "tan": 6, "asin": 3, "acos": 2, "atan": 3, "sinh": 4, "cosh": 3, "asinh": 2, "acosh": 3, "atanh": 3, "floor": 0,
    "ceil": 0, "round": 0, "sign": 0, "softsign": 2, "thresholded_relu": 0, "shrink": 1, "celu": 4, "log1p": 2,
    "expm1": 3, "power": 1,
}  # fmt: skip


def float_node(op: str, shape: tuple[int, ...], **attrs) -> Node:
    return inferred(op, [value("x", shape, "float32")], **(attrs or ATTRS.get(op, {})))


def exact(node: Node, x: np.ndarray) -> np.ndarray:
    """The function of float64, unary.h's two among them."""
    if node.op in ("logistic", "tanh"):
        return np.asarray(np.tanh(x) if node.op == "tanh" else 1 / (1 + np.exp(-x)))
    return elementary.function(node, x)


def test_every_op_states_its_error() -> None:
    assert set(ULPS) == set(elementary.NAMES)


ROWS = [(op, k) for op in elementary.NAMES for k in harness.rows_of("power" if op == "power" else "elementary", "f32")]


@pytest.mark.parametrize("op, kernel", ROWS, ids=lambda p: getattr(p, "isa", p))
def test_ulps(op: str, kernel: Kernel) -> None:
    """Over floats of every exponent and sign, dense around 1 and in the range where things happen."""
    every = np.arange(0, 2**32, 65537 * 3, dtype=np.uint64).astype(np.uint32).view(np.float32)
    dense = [np.linspace(-12, 12, 6001), np.linspace(0.5, 1.5, 2001)]
    quarters = (np.arange(-1500, 1500) * (np.pi / 2)).astype(np.float32)
    x = np.concatenate([every, *(d.astype(np.float32) for d in dense), quarters])
    node = float_node(op, x.shape)
    got = harness.run(node, [x], kernel)
    exact = elementary.function(node, x.astype(np.float64))
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    assert np.array_equal(got[~finite], rounded[~finite], equal_nan=True)
    ulp = np.spacing(np.abs(rounded[finite])).astype(np.float64)
    assert (np.abs(got[finite].astype(np.float64) - exact[finite]) / ulp).max() <= max(ULPS[op], 0.5)


@pytest.mark.parametrize("op", elementary.NAMES)
@settings(max_examples=8)
@given(seed=seeds, shape=st.lists(st.integers(1, 5), max_size=4), spread=st.floats(-6, 3))
def test_shapes(op: str, seed: int, shape: list[int], spread: float) -> None:
    x = np.random.default_rng(seed).standard_normal(shape) * np.exp(spread)
    harness.check(float_node(op, tuple(shape)), [x.astype(np.float32)])


@pytest.mark.parametrize("exponent", [0.0, 1.0, -1.0, 2.0, 3.0, -2.5, 0.5, 1e30, -1e30, np.inf, -np.inf])
def test_powers_of_special_values(exponent: float) -> None:
    x = np.array([0, -0.0, 1, -1, 2, -2, 0.5, np.inf, -np.inf, np.nan, 1e-40, -3, 3e38], np.float32)
    node = float_node("power", x.shape, exponent=exponent)
    got = harness.run(node, [x], harness.rows_of("power", "f32")[0])
    want = elementary.reference(node, [x])[0]
    np.testing.assert_allclose(got, want, rtol=2e-7)
    assert np.array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


def int8_node(op: str, source: Quant, output: Quant) -> Node:
    return inferred(op, [value("x", (256,), "int8", source)], output, **ATTRS.get(op, {}))


@pytest.mark.parametrize("op", elementary.NAMES)
def test_int8_is_a_table_of_the_real_function(op: str) -> None:
    node = int8_node(op, Quant.per_tensor(1 / 128, -128), Quant.per_tensor(1 / 64, -100))
    lowered = verify(lower_unary(Graph("g", [node.input(0)], node.outputs, [node])), "lowered").nodes[0]
    assert lowered.op == "lut"
    harness.check(lowered, [EVERY, lowered.input(1).data])
    x = (EVERY.astype(np.float64) + 128) / 128
    with np.errstate(all="ignore"):
        real = elementary.function(node, x)
    expected = np.clip(np.nan_to_num(real, nan=0.0, posinf=1e9, neginf=-1e9) * 64 - 100, -128, 127)
    # abs and rsqrt round twice as TFLite Micro does.
    assert np.abs(lowered.input(1).data - expected).max() <= (1.01 if op in ("abs", "rsqrt") else 0.501)


@pytest.mark.parametrize("op", ["abs", "rsqrt"])
@settings(max_examples=30)
@given(data=st.data())
def test_bytes_of_tflite_micro(op: str, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node = int8_node(op, quant(data.draw), quant(data.draw))
    x, y = node.input(0), node.output
    items = EVERY if op == "abs" else np.maximum(EVERY, x.zero_point).astype(np.int8)  # it stops below zero
    tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=v.zero_point) for v in (x, y)]
    model = tm.build(tensors, [tm.Op(op.upper(), ["x"], ["y"])])
    assert np.array_equal(tm.run_micro(model, [items])[0], ops.module(op).reference(node, [items])[0])


def test_scales_of_a_magnitude_are_divided_in_double() -> None:
    """Of these, ratios in float32 would round some halves down."""
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    for a, b in np.random.default_rng(0).integers(1, 40, (60, 2)) / 8:
        node = int8_node("abs", Quant.per_tensor(float(a), -128), Quant.per_tensor(float(b), -128))
        tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=-128) for v in (node.input(0), node.output)]
        want = tm.run_micro(tm.build(tensors, [tm.Op("ABS", ["x"], ["y"])]), [EVERY])[0]
        assert np.array_equal(want, ops.module("abs").reference(node, [EVERY])[0]), (a, b)
