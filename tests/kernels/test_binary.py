# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, seeds, value

from edgesdk import kernels, ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import binary
from edgesdk.passes.lower_broadcast import lower_broadcast
from edgesdk.passes.lower_shuffles import lower_shuffles

OPS = ["add", "sub", "mul", "minimum", "maximum"]


@st.composite
def broadcast_shapes(draw, max_rank: int = 4) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast to each other, equal ones often."""
    full = draw(st.lists(st.integers(1, 5), min_size=0, max_size=max_rank))
    if full and draw(st.booleans()):  # more than a vector holds
        full[-1] = draw(st.sampled_from([15, 16, 17, 40]))

    def operand() -> tuple[int, ...]:
        if draw(st.booleans()):
            return tuple(full)
        kept = full[draw(st.integers(0, len(full))) :]
        return tuple(d if draw(st.booleans()) else 1 for d in kept)

    return operand(), operand()


@st.composite
def binaries(draw, op: str, dtype: str, max_rank: int = 4) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    shapes = draw(broadcast_shapes(max_rank))
    quants = [None if dtype == "float32" else quant(draw, dtype) for _ in range(3)]
    if draw(st.booleans()) and quants[0] is not None:
        zero_point = 0 if dtype == "int16" else draw(st.integers(-128, 127))
        quants[1] = Quant.per_tensor(float(quants[0].scale[0]), zero_point)
    if dtype == "int16" and op in ("add", "sub"):  # the sum's scale may not grow
        least = 2 * max(float(q.scale[0]) for q in quants[:2]) / 2**15
        quants[2] = Quant.per_tensor(max(float(quants[2].scale[0]), 1.01 * least), 0)
    attrs = {"activation": draw(activations)}
    if op in ("minimum", "maximum"):
        quants, attrs = [quants[0]] * 3, {}
    arrays = [random_array(rng, s, dtype) for s in shapes]
    constant = draw(st.sampled_from([None, 0, 1]))
    inputs = [
        value("ab"[i], s, dtype, q, a if i == constant else None)
        for i, (s, q, a) in enumerate(zip(shapes, quants, arrays, strict=False))
    ]
    return inferred(op, inputs, quants[2], **attrs), arrays


def lower_and_check(node: Node, arrays: list) -> None:
    """After broadcasts that the kernels lack are written out, each step equals its reference and so does the last."""
    expected = ops.module(node.op).reference(node, arrays)[0]
    known: dict[Value, np.ndarray] = dict(zip(node.inputs, arrays, strict=True))
    for n in lower_shuffles(lower_broadcast(Graph("g", [], node.outputs, [node]))).nodes:
        inputs = [known[v] for v in n.inputs]
        if n.op != "reshape":
            harness.check(n, inputs)
        known[n.output] = ops.module(n.op).reference(n, inputs)[0]
    assert np.array_equal(known[node.output], expected, equal_nan=True)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("op", OPS)
@given(data=st.data())
def test_binary_equals_reference(op: str, dtype: str, data) -> None:
    node, arrays = data.draw(binaries(op, dtype))
    lower_and_check(node, arrays)


@pytest.mark.parametrize("op", OPS)
@settings(max_examples=30)
@given(data=st.data())
def test_six_axes(op: str, data) -> None:
    lower_and_check(*data.draw(binaries(op, "int8", 6)))


def float_node(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> Node:
    return inferred(op, [value("a", a, "float32"), value("b", b, "float32")], activation="none")


def test_common_shapes_need_no_copy() -> None:
    image = (1, 6, 5, 8)
    for other in [image, (8,), (1, 1, 1, 8), (1, 6, 5, 1), (1, 6, 1, 8), (1, 1, 5, 8), (1, 1, 1, 1), (), (3, 6, 5, 8)]:
        assert binary.layout(float_node("add", image, other)) is not None, other
        assert binary.layout(float_node("sub", other, image)) is not None, other


def test_equal_images_are_one_run_per_row() -> None:
    found = binary.layout(float_node("add", (2, 6, 5, 8), (2, 6, 5, 8)))
    assert found is not None
    assert (found.rows, found.w, found.c) == (12, 1, 40)


def test_value_with_itself() -> None:
    x = value("x", (2, 7), "int8", Quant.per_tensor(0.1, 3))
    a = random_array(np.random.default_rng(0), (2, 7), "int8")
    for op in ("add", "sub", "mul"):
        harness.check(inferred(op, [x, x], Quant.per_tensor(0.15, -4), activation="none"), [a, a])


@pytest.mark.parametrize("op", OPS)
def test_nan_and_infinity(op: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1.0, -0.0], np.float32)
    a, b = np.repeat(x, 5), np.tile(x, 5)
    node = float_node(op, (25,), (25,))
    with np.errstate(invalid="ignore"):
        harness.check(node, [a, b])


def test_in_place_only_where_nothing_is_broadcast() -> None:
    assert ops.in_place(float_node("add", (2, 3), (2, 3))) == (0, 1)
    assert ops.in_place(float_node("add", (2, 3), (3,))) == (0,)
    assert ops.in_place(float_node("mul", (2, 1), (1, 3))) == ()
    constant = inferred("add", [value("a", (3,), "float32", None, np.ones(3, np.float32)), value("b", (3,), "float32")])
    assert ops.in_place(constant) == (1,)


def test_a_tied_difference_goes_towards_zero() -> None:
    """128 * 0.90625 / 1.6 lies half way between two steps; the float32 of 1.6 is above 1.6 (TFLite Micro gives -72)."""
    a, b = (value(name, (1, 1), "int8", Quant.per_tensor(s, 0)) for name, s in (("a", 0.90625), ("b", 1.0)))
    node = inferred("sub", [a, b], Quant.per_tensor(1.6, 0), activation="none")
    found = binary.reference(node, [np.array([[-128]], np.int8), np.zeros((1, 1), np.int8)])
    assert found[0].tolist() == [[-72]]


def test_refusals() -> None:
    a, b = (value(n, (4,), "int8", Quant.per_tensor(s, 0)) for n, s in (("a", 0.1), ("b", 0.2)))
    unlike = inferred("minimum", [a, b], Quant.per_tensor(0.1, 0))
    with pytest.raises(Unsupported, match="one scale and zero point"):
        binary.encode(unlike, kernels.choose("minmax", ["s8s8"], ["c"]))
    tiny = inferred("add", [a, b], Quant.per_tensor(1e-7, 0), activation="none")
    with pytest.raises(Unsupported, match="quantise the output again"):
        binary.encode(tiny, kernels.choose("add", ["s8s8"], ["c"]))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("op", OPS)
@settings(max_examples=25)
@given(data=st.data())
def test_bytes_of_tflite_micro(op: str, dtype: str, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node, arrays = data.draw(binaries(op, dtype).filter(lambda case: case[0].output.shape != ()))
    values = dict.fromkeys([*node.inputs, node.output])
    tensors = [
        tm.Tensor(v.name, v.shape, v.dtype, scale=v.scale, zero_point=v.zero_point, data=v.data)
        for v in values
        if v is not None
    ]
    fused = {"none": tm.NONE, "relu": tm.RELU, "relu6": tm.RELU6, "relu_n1_to_1": tm.RELU_N1_TO_1}
    options = {"fusedActivationFunction": fused[node.attrs["activation"]]} if "activation" in node.attrs else {}
    names = [v.name for v in node.inputs]
    given_names = [v.name for v in node.inputs if v.data is None]
    model = tm.build(tensors, [tm.Op(op.upper(), names, ["y"], options)], inputs=given_names)
    given_arrays = [a for v, a in zip(node.inputs, arrays, strict=True) if v.data is None]
    assert np.array_equal(tm.run_micro(model, given_arrays)[0], ops.module(op).reference(node, arrays)[0])


@given(seeds, st.floats(-12, 12), st.floats(-2, 8), st.booleans())
def test_every_pair_of_bytes_is_added_as_in_the_reference(seed: int, ratio: float, gain: float, equal: bool) -> None:
    """Kernels with constants of their own fold two roundings into one addition: all 65536 pairs."""
    rng = np.random.default_rng(seed)
    scale = float(10.0 ** rng.uniform(-4, 1))
    scales = [scale, scale if equal else scale * 2.0**ratio]
    grids = [Quant.per_tensor(s, int(rng.integers(-128, 128))) for s in (*scales, max(scales) * 2.0**gain)]
    arrays = [a.astype(np.int8)[None] for a in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))]
    inputs = [value(name, a.shape, "int8", q) for name, a, q in zip("ab", arrays, grids, strict=False)]
    harness.check(inferred("add", inputs, grids[2], activation="none"), arrays)


def every_pair(op: str, scales: tuple[float, float, float], zero_points: tuple[int, int, int]) -> tuple[Node, list]:
    quants = [Quant.per_tensor(s, z) for s, z in zip(scales, zero_points, strict=True)]
    bytes_ = np.arange(-128, 128).astype(np.int8)
    arrays = [np.repeat(bytes_, 256).reshape(8, -1), np.tile(bytes_, 256).reshape(8, -1)]
    inputs = [value(name, (8, 8192), "int8", q) for name, q in zip("ab", quants, strict=False)]
    return inferred(op, inputs, quants[2], activation="relu6"), arrays


@pytest.mark.parametrize("op", ["add", "sub"])
@settings(max_examples=10)
@given(data=st.data())
def test_one_rounding_gives_every_byte_of_three(op: str, data) -> None:
    scale = st.floats(0.005, 0.3)
    scales = tuple(data.draw(scale) for _ in range(3))
    if data.draw(st.booleans()):  # ties
        scales = (scales[0], scales[0] * data.draw(st.sampled_from([1, 0.5, 2])), scales[0])
    node, arrays = every_pair(op, scales, tuple(data.draw(st.integers(-128, 127)) for _ in range(3)))
    harness.check(node, arrays)


def test_sums_of_real_networks_are_linear() -> None:
    """Where factors were not found, a slower row would run unnoticed."""
    rng = np.random.default_rng(0)
    linear = next(k for k in kernels.table() if (k.op, k.layout) == ("add", "linear"))
    for _ in range(20):
        a, b = rng.uniform(0.01, 0.1, 2)
        node, _ = every_pair("add", (a, b, max(a, b) * rng.uniform(0.7, 1.6)), tuple(rng.integers(-128, 128, 3)))
        assert binary.fits(node, linear)
    far_apart, _ = every_pair("add", (1.0, 1e-7, 1e-5), (0, 0, 0))  # no factor of 31 bits is so fine
    assert not binary.fits(far_apart, linear)
