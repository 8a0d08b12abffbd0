# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, seeds, value
from test_binary import broadcast_shapes, lower_and_check

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import arithmetic, binary, fixedpoint, integers
from edgesdk.passes.lower_minmax import lower_minmax
from edgesdk.passes.lower_requantize import lower_requantize

INTEGER_OPS = sorted(set(integers.KINDS) - {"prelu"})


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Integers of all sizes, with 0, -1 and the extremes made common."""
    if dtype in ("int8", "int16", "float32"):
        return random_array(rng, shape, dtype)
    info = np.iinfo(dtype)
    wide = rng.integers(info.min, info.max, shape, dtype=dtype) >> rng.integers(0, info.bits, shape, dtype=dtype)
    special = np.array([0, -1, 1, info.min, info.max], dtype)[rng.integers(0, 5, shape)]
    return np.where(rng.random(shape) < 0.3, special, wide).astype(dtype)


@st.composite
def cases(draw, op: str, dtype: str) -> tuple[Node, list]:
    rng, shapes = np.random.default_rng(draw(seeds)), draw(broadcast_shapes())
    arrays = [numbers(rng, s, dtype) for s in shapes]
    quants = [quant(draw, dtype) if dtype in ("int8", "int16") else None for _ in range(3)]
    constant = draw(st.sampled_from([None, 0, 1]))
    inputs = [
        value("ab"[i], s, dtype, q, a if i == constant else None)
        for i, (s, q, a) in enumerate(zip(shapes, quants, arrays, strict=False))
    ]
    attrs = {"activation": draw(activations)} if op == "div" and dtype != "int64" else {}
    return inferred(op, inputs, quants[2], **attrs), arrays


def kernel_cases(op: str) -> st.SearchStrategy:
    """int8 nodes that need no lowering, and whose scales the formula holds."""

    def usable(case: tuple[Node, list]) -> bool:
        try:
            return binary.layout(case[0]) is not None and bool(ops.module(op).reference(*case))
        except Unsupported:
            return False

    return cases(op, "int8").filter(usable)


@pytest.mark.parametrize("op", arithmetic.NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_floats_equal_reference(op: str, data) -> None:
    lower_and_check(*data.draw(cases(op, "float32")))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("op", INTEGER_OPS)
@settings(max_examples=10)
@given(data=st.data())
def test_integers_equal_reference(op: str, dtype: str, data) -> None:
    lower_and_check(*data.draw(cases(op, dtype)))


@pytest.mark.parametrize("op", arithmetic.INT8)
@given(data=st.data())
def test_int8_equals_reference(op: str, data) -> None:
    try:
        lower_and_check(*data.draw(cases(op, "int8")))
    except Unsupported as refusal:
        assert op == "div" and "too small" in str(refusal)


@pytest.mark.parametrize("op", arithmetic.QUANTISED["int16"])
@settings(max_examples=60)
@given(data=st.data())
def test_int16_equals_reference(op: str, data) -> None:
    lower_and_check(*data.draw(cases(op, "int16")))


@pytest.mark.parametrize("op", arithmetic.QUANTISED["int16"])
@settings(max_examples=40)
@given(data=st.data(), seed=seeds)
def test_int16_has_the_bytes_of_tflite_micro(op: str, data, seed: int) -> None:
    """The slope of prelu is int8 there."""
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    rng, shape = np.random.default_rng(seed), data.draw(st.sampled_from([(2, 3, 5), (5,), (1, 1, 5)]))
    narrow = "int8" if op == "prelu" else "int16"
    scales = [quant(data.draw, "int16") for _ in range(3)]
    b_quant = quant(data.draw) if narrow == "int8" else scales[1]
    a, b = random_array(rng, (2, 3, 5), "int16"), random_array(rng, shape, narrow)
    wide = b.astype(np.int16) - np.int16(b_quant.zero_point[0])
    inputs = [value("a", a.shape, "int16", scales[0])]
    inputs.append(value("b", shape, "int16", Quant.per_tensor(float(b_quant.scale[0]), 0)))
    node = inferred(op, inputs, scales[2])
    quants = [(v.scale, 0) for v in (node.input(0), node.output)]
    tensors = [tm.Tensor(n, s, "int16", scale=q[0]) for n, s, q in zip("ay", [a.shape] * 2, quants, strict=True)]
    slope = {"scale": float(b_quant.scale[0]), "zero_point": int(b_quant.zero_point[0])}
    tensors.append(tm.constant("b", b, narrow, **slope))
    want = tm.run_micro(tm.build(tensors, [tm.Op(op.upper(), ["a", "b"], ["y"])], inputs=["a"]), [a])[0]
    assert np.array_equal(ops.module(op).reference(node, [a, wide])[0], want)


def integer_node(op: str, a: list[int], b: list[int], **attrs) -> np.ndarray:
    arrays = [np.array(v, np.int32) for v in (a, b)]
    node = inferred(op, [value(n, v.shape, "int32") for n, v in zip("ab", arrays, strict=True)], **attrs)
    return harness.run(node, arrays, harness.rows_of("arith", "s32")[0])


def test_integer_division_by_hand() -> None:
    a, b = [7, -7, 7, -7, 5, -(2**31), 6], [2, 2, -2, -2, 0, -1, 3]
    assert integer_node("div", a, b).tolist() == [3, -3, -3, 3, 0, -(2**31), 2]
    assert integer_node("floor_div", a, b).tolist() == [3, -4, -4, 3, 0, -(2**31), 2]
    assert integer_node("floor_mod", a, b).tolist() == [1, 1, -1, -1, 0, 0, 0]
    assert integer_node("fmod", a, b).tolist() == [1, -1, 1, -1, 0, 0, 0]
    assert integer_node("add", [2**31 - 1, 5], [1, 6], activation="relu6").tolist() == [0, 6]


@given(seed=seeds, spread=st.floats(-30, 30))
def test_float_remainders_are_exact(seed: int, spread: float) -> None:
    """Every quotient of floats of any size: a remainder has no error to hide."""
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 2**32, 64, dtype=np.uint64).astype(np.uint32).view(np.float32) for _ in range(2))
    with np.errstate(all="ignore"):
        near = a * np.float32(2.0**-spread) * rng.standard_normal(64).astype(np.float32)
        b = np.where(rng.random(64) < 0.5, b, near)
        want = np.fmod(a, b)
    node = inferred("fmod", [value("a", (64,), "float32"), value("b", (64,), "float32")])
    got = harness.run(node, [a, b], harness.rows_of("arith", "f32")[0])
    assert np.array_equal(got, want, equal_nan=True)


def test_floor_division_of_floats_by_hand() -> None:
    a = np.array([7, -7, 0.3, 1e6, -0.0, 6, np.inf, 1, -1], np.float32)
    b = np.array([2, 2, 0.1, 3, 1, 3, 1, 0, np.inf], np.float32)
    node = inferred("floor_div", [value("a", (9,), "float32"), value("b", (9,), "float32")])
    got = harness.run(node, [a, b], harness.rows_of("arith", "f32")[0])
    assert got.tolist() == [3, -4, 3, 333333, 0, 2, np.inf, np.inf, 0]


@given(seed=seeds)
def test_powers_within_an_ulp(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = np.exp(rng.uniform(-80, 80, 200)).astype(np.float32) * rng.choice([1, 1, -1], 200).astype(np.float32)
    b = np.where(rng.random(200) < 0.3, rng.integers(-6, 7, 200), rng.uniform(-2, 2, 200)).astype(np.float32)
    node = inferred("pow", [value("a", (200,), "float32"), value("b", (200,), "float32")])
    got = harness.run(node, [a, b], harness.rows_of("pow", "f32")[0])
    with np.errstate(all="ignore"):
        exact = np.power(a.astype(np.float64), b.astype(np.float64))
        want = exact.astype(np.float32)
    finite = np.isfinite(want)
    assert np.array_equal(got[~finite], want[~finite], equal_nan=True)
    assert (np.abs(got[finite] - exact[finite]) <= np.spacing(np.abs(want[finite]))).all()


def micro_model(node: Node) -> bytes:
    tm = pytest.importorskip("tflite_models")
    values = [node.input(0), node.input(1), node.output]
    tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=v.zero_point) for v in values]
    op = tm.Op(node.op.upper(), [v.name for v in values[:2]], ["y"])
    return tm.build(tensors, [op], inputs=[v.name for v in values[:2]])


def defined(node: Node, arrays: list) -> np.ndarray:
    """Where TFLite Micro's int8 division is defined: no zero divisor, no shift beyond the word."""
    if node.op != "div":
        return np.ones(node.output.shape, bool)
    a, b = np.broadcast_arrays(*(v.astype(np.int64) - node.input(i).zero_point for i, v in enumerate(arrays)))
    _, shift = arithmetic.div_shifts(node, np.where(b < 0, -a, a), np.maximum(np.abs(b), 1))
    return np.asarray((b != 0) & (shift <= 31))


@pytest.mark.parametrize("op", arithmetic.INT8)
@settings(max_examples=40)
@given(data=st.data(), seed=seeds)
def test_bytes_of_tflite_micro(op: str, data, seed: int) -> None:
    pytest.importorskip("tflite_micro")
    from tflite_models import run_micro

    slope = data.draw(st.sampled_from([(2, 3, 5), (5,), (1, 1, 5)]))
    inputs = [value(n, s, "int8", quant(data.draw)) for n, s in (("a", (2, 3, 5)), ("b", slope))]
    node = inferred(op, inputs, quant(data.draw))
    rng = np.random.default_rng(seed)
    arrays = [random_array(rng, v.shape, "int8") for v in inputs]
    try:
        want = ops.module(op).reference(node, arrays)[0]
    except Unsupported:
        return
    got, sure = run_micro(micro_model(node), arrays)[0], defined(node, arrays)
    assert np.array_equal(got[sure], want[sure])


def test_scales_of_a_division_are_divided_in_double() -> None:
    """Of these, ratios in float32 would round some quotients to the other side."""
    pytest.importorskip("tflite_micro")
    from tflite_models import run_micro

    rng = np.random.default_rng(0)
    arrays = [rng.integers(low, 128, 512).astype(np.int8) for low in (-128, 1)]
    for _ in range(60):
        a, b, y = (float(s) for s in rng.integers(1, 40, 3) / 8)
        inputs = [value(n, (512,), "int8", Quant.per_tensor(s, 0)) for n, s in (("a", a), ("b", b))]
        node = inferred("div", inputs, Quant.per_tensor(y, 0))
        sure = defined(node, arrays)
        got = ops.module("div").reference(node, arrays)[0]
        assert np.array_equal(run_micro(micro_model(node), arrays)[0][sure], got[sure]), (a, b, y)


def test_division_where_tflite_leaves_it_undefined() -> None:
    one = Quant.per_tensor(1.0, 0)
    node = inferred("div", [value("a", (4,), "int8", one), value("b", (4,), "int8", one)], Quant.per_tensor(1.0, 3))
    a, b = np.array([5, 0, -5, 1], np.int8), np.array([0, 0, 0, 127], np.int8)
    assert ops.module("div").reference(node, [a, b])[0].tolist() == [127, 3, -128, 3]
    harness.check(node, [a, b])


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("op", ["minimum", "maximum"])
@settings(max_examples=30)
@given(data=st.data(), seed=seeds)
def test_minmax_of_differing_quantisations(op: str, dtype: str, data, seed: int) -> None:
    """Operands go to the output's quantisation first, constants at convert time."""
    rng = np.random.default_rng(seed)
    quants = [quant(data.draw, dtype) for _ in range(3)]
    arrays = [random_array(rng, (2, 6), dtype) for _ in range(2)]
    constant = data.draw(st.sampled_from([None, 0, 1]))
    inputs = [value("ab"[i], (2, 6), dtype, quants[i], arrays[i] if i == constant else None) for i in (0, 1)]
    node = inferred(op, inputs, quants[2])
    expected = ops.module(op).reference(node, arrays)[0]
    known: dict[Value, np.ndarray] = {v: a for v, a in zip(inputs, arrays, strict=True) if v.data is None}
    graph = lower_requantize(lower_minmax(Graph("g", list(known), node.outputs, [node])))
    for n in graph.nodes:
        given_arrays = [v.data if v.data is not None else known[v] for v in n.inputs]
        if n.op != "reshape":
            harness.check(n, given_arrays)
        known[n.output] = ops.module(n.op).reference(n, given_arrays)[0]
    assert np.array_equal(known[node.output], expected)
    real = [(a.astype(float) - q.zero_point[0]) * q.scale[0] for a, q in zip(arrays, quants, strict=False)]
    info = np.iinfo(dtype)
    exact = np.clip(getattr(np, op)(*real) / quants[2].scale[0] + quants[2].zero_point[0], info.min, info.max)
    assert np.abs(expected - exact).max() <= 1.01


def test_refusals() -> None:
    ints = [value(n, (2,), "int8", Quant.per_tensor(0.1, 0)) for n in "ab"]
    with pytest.raises(Unsupported, match="pow of int8"):
        inferred("pow", ints, Quant.per_tensor(0.1, 0))
    with pytest.raises(ValueError, match="one dtype"):
        inferred("div", [ints[0], value("c", (2,), "float32")])
    tiny = inferred("div", ints, Quant.per_tensor(1e-12, 0))
    with pytest.raises(Unsupported, match="too small"):
        arithmetic.div_scale(tiny)
    assert fixedpoint.quantize_multiplier(1e12)[1] > 22
