# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass, replace

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, scales, seeds, value, zero_points

from edgesdk import ops
from edgesdk.ir import Node, Quant, Value
from edgesdk.ops import fixedpoint, rescale


def weights_quant(draw, channels: int, axis: int) -> Quant:
    n = draw(st.sampled_from([1, channels]))
    return Quant(np.array([draw(scales) for _ in range(n)], np.float32), np.zeros(n, np.int32), axis if n > 1 else None)


# Kernel types: those of activations and of weights.
TYPES = ["int8", "float32", "int16 int8", "float32 int8", "float32 float16", "int8 int4", "float32 int4"]


def grouped(draw, rng: np.random.Generator, q: Quant, w_shape: tuple[int, ...]) -> Quant:
    """The same scales with a factor for each group of a channel's weights, or without."""
    n = int(np.prod(w_shape[1:]))
    group = draw(st.sampled_from([0, 0, 0, 0, 2, 4, 32, 64]))
    if not group:
        return q
    factors = rng.integers(1, 17, (w_shape[0], -(-n // group))).astype(np.uint8)
    return Quant(q.scale, q.zero_point, q.axis, group, factors)


def random_weights(draw, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """int8 weights mostly without -128, as TFLite specifies."""
    w = random_array(rng, shape, dtype)
    return np.maximum(w, -127).astype(w.dtype) if dtype == "int8" and draw(st.integers(0, 3)) else w


def split(types: str) -> tuple[str, str]:
    x, _, w = types.partition(" ")
    return x, w or x


def bias_value(draw, rng: np.random.Generator, x: str, n: int) -> Value | None:
    """No bias, or one of a type that the layer takes: for int16 layers it also chooses the width of sums."""
    if x == "float32":
        return draw(st.sampled_from([None, value("b", (n,), x, None, random_array(rng, (n,), x))]))
    dtype = draw(st.sampled_from([None, "int32"] if x == "int8" else [None, "int32", "int64"]))
    if dtype is None:
        return None
    largest = draw(st.sampled_from([2**20, 2**33])) if dtype == "int64" else 2**16
    return value("b", (n,), dtype, None, rng.integers(-largest, largest, n).astype(dtype))


def out_quant(draw, x: Value, w: Value) -> Quant | None:
    """Any scale, or one as models have it: above input scale times weight scale. Wide sums may grow by at most 128;
    TFLite Micro wants 6 / scale to be an int32."""
    if x.quant is None:
        return None
    if x.dtype == "int8" and draw(st.integers(0, 3)) == 0:
        return quant(draw)
    if x.dtype == "int8":
        product = max(x.scale * float(w.quant.scale.max()), 1e-7)
        return Quant.per_tensor(product * 2.0 ** draw(st.floats(1, 12)), draw(zero_points))
    least = max(x.scale * float(w.quant.scale.max()) / 100, 1e-8)
    return Quant.per_tensor(least * 2.0 ** draw(st.floats(0, 20)), 0)


@dataclass(frozen=True)
class Sizes:
    """Of random convolutions; multipliers are those of depthwise ones."""

    channels: st.SearchStrategy[int]
    outputs: st.SearchStrategy[int]
    kernels: st.SearchStrategy[tuple[int, int]]
    multipliers: st.SearchStrategy[int]


SMALL = Sizes(st.integers(1, 9), st.integers(1, 9), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(1, 3))
USUAL = Sizes(st.integers(1, 20), st.integers(1, 9), st.just((3, 3)), st.just(1))
LANES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64])
# Around the lanes of vectors, with the kernels that have loops of their own.
VECTORS = Sizes(LANES, LANES, st.one_of(SMALL.kernels, st.just((3, 3)), st.just((1, 1))), st.sampled_from([1, 1, 1, 2]))


@st.composite
def convolutions(
    draw, op: str, types: str, most_padding: int = 3, usual: bool = False, sizes: Sizes | None = None
) -> tuple[Node, list]:
    """`usual`: 3x3 without dilation, one output channel for each of input in a depthwise one, and scales that make
    outputs smaller than sums: what kernels for such windows ask for."""
    x_type, w_type = split(types)
    rng = np.random.default_rng(draw(seeds))
    sizes = sizes or (USUAL if usual else SMALL)
    kernel = draw(sizes.kernels)
    dilation = (1, 1) if usual else draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(*[st.integers(0, most_padding)] * 4))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    h = draw(st.integers(max(1, spans[0] - padding[0] - padding[2]), 9))
    least = max(1, spans[1] - padding[1] - padding[3])
    w = draw(st.integers(10, 14) if usual and draw(st.booleans()) else st.integers(least, 9))
    in_c = draw(sizes.channels)
    out_c = draw(sizes.outputs) if op == "conv2d" else in_c * draw(sizes.multipliers)
    shape = (draw(st.integers(1, 2)), h, w, in_c)
    w_shape = (out_c, *kernel, in_c) if op == "conv2d" else (*kernel, out_c)
    weights = random_weights(draw, rng, w_shape, w_type)
    channel_axis = 0 if op == "conv2d" else 2
    x = value("x", shape, x_type, None if x_type == "float32" else quant(draw, x_type))
    scales_of_w = weights_quant(draw, out_c, channel_axis) if w_type in ("int8", "int4") else None
    if w_type == "int4" and op == "conv2d":
        scales_of_w = grouped(draw, rng, scales_of_w, w_shape)
    w_value = value("w", w_shape, w_type, scales_of_w, weights)
    b_value = bias_value(draw, rng, x_type, out_c)
    if usual and scales_of_w is not None:  # of one order of magnitude
        scales_of_w = replace(scales_of_w, scale=scales_of_w.scale[0] * rng.uniform(0.5, 1, scales_of_w.scale.shape))
        w_value.quant = replace(scales_of_w, scale=scales_of_w.scale.astype(np.float32))
    y_quant = out_quant(draw, x, w_value)
    if usual and y_quant is not None:
        least = x.scale * float(scales_of_w.scale.max())
        y_quant = Quant.per_tensor(
            max(y_quant.scale[0], least * 2.0 ** draw(st.floats(0.01, 12))), y_quant.zero_point[0]
        )
    node = inferred(
        op,
        [x, w_value, b_value],
        y_quant,
        stride=(1, 1) if usual and draw(st.booleans()) else draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        dilation=dilation,
        padding=padding,
        activation=draw(activations),
    )
    return node, [random_array(rng, shape, x_type), weights, None if b_value is None else b_value.data]


def relu_range(draw) -> tuple[Quant, str]:
    """An output grid and an activation; often as models have them, zero at the low end of a ReLU."""
    scale = 2.0 ** draw(st.floats(-8, 2))
    if draw(st.integers(0, 2)) == 0:
        return Quant.per_tensor(scale, -128), draw(st.sampled_from(["relu", "relu6"]))
    return Quant.per_tensor(scale, draw(zero_points)), draw(activations)


@st.composite
def depthwise(draw, types: str = "int8", least_columns: int = 1) -> tuple[Node, list]:
    """Depthwise layers as models have them: one output channel per input channel, windows mostly of 3x3."""
    x_type, w_type = split(types)
    rng = np.random.default_rng(draw(seeds))
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (3, 3), (5, 5), (1, 3), (7, 7), (2, 4)]))
    if least_columns > 1:
        kernel = (3, 3)
    stride = 1 if least_columns > 1 else draw(st.integers(1, 2))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    h = draw(st.integers(max(1, kernel[0] - padding[0] - padding[2]), 9))
    w = least_columns + draw(st.integers(max(0, kernel[1] - padding[1] - padding[3]), 12))
    c = draw(st.integers(1, 13))
    weights = random_weights(draw, rng, (*kernel, c), w_type)
    x_quant = Quant.per_tensor(2.0 ** draw(st.floats(-8, 2)), draw(zero_points) if x_type == "int8" else 0)
    y_quant, activation = relu_range(draw)
    ratio = 2.0 ** -rng.uniform(1, draw(st.sampled_from([3, 10, 10, 10, 30])), c)  # of the sums' grid to the output's
    w_scales = (ratio * y_quant.scale[0] / x_quant.scale[0]).astype(np.float32)
    y_quant = Quant.per_tensor(float(y_quant.scale[0]), int(y_quant.zero_point[0]) if x_type == "int8" else 0)
    node = inferred(
        "depthwise_conv2d",
        [
            value("x", (1, h, w, c), x_type, x_quant),
            value("w", (*kernel, c), w_type, Quant(w_scales, np.zeros(c, np.int32), 2), weights),
            bias_value(draw, rng, x_type, c),
        ],
        y_quant,
        stride=(stride, stride),
        dilation=(1, 1),
        padding=padding,
        activation=activation,
    )
    return node, [
        random_array(rng, (1, h, w, c), x_type),
        weights,
        None if node.inputs[2] is None else node.input(2).data,
    ]


@pytest.mark.parametrize("types", ["int8", "int8 int4", "int16 int8"])
@pytest.mark.parametrize("least_columns", [1, 8])
@given(data=st.data())
def test_depthwise_layers_equal_reference(types: str, least_columns: int, data) -> None:
    harness.check(*data.draw(depthwise(types, least_columns)))


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("op", ["conv2d", "depthwise_conv2d"])
@given(data=st.data())
def test_convolution_equals_reference(op: str, types: str, data) -> None:
    harness.check(*data.draw(convolutions(op, types)))


@pytest.mark.parametrize("op", ["conv2d", "depthwise_conv2d"])
@given(data=st.data())
def test_usual_convolution_equals_reference(op: str, data) -> None:
    harness.check(*data.draw(convolutions(op, "int8", usual=True)))


@st.composite
def fully_connected(draw, types: str) -> tuple[Node, list]:
    x_type, w_type = split(types)
    rng = np.random.default_rng(draw(seeds))
    lead, in_c, out_c = (
        draw(st.lists(st.integers(1, 4), max_size=2)),
        draw(st.integers(1, 600)),
        draw(st.integers(1, 9)),
    )
    weights = random_weights(draw, rng, (out_c, in_c), w_type)
    x = value("x", (*lead, in_c), x_type, None if x_type == "float32" else quant(draw, x_type))
    scales_of_w = weights_quant(draw, out_c, 0) if w_type in ("int8", "int4") else None
    if w_type == "int4":
        scales_of_w = grouped(draw, rng, scales_of_w, weights.shape)
    w = value("w", (out_c, in_c), w_type, scales_of_w, weights)
    b = bias_value(draw, rng, x_type, out_c)
    node = inferred("fully_connected", [x, w, b], out_quant(draw, x, w), activation=draw(activations))
    return node, [random_array(rng, x.shape, x_type), weights, None if b is None else b.data]


@pytest.mark.parametrize("op", ["conv2d", "depthwise_conv2d"])
@given(data=st.data())
def test_int4_weights_give_the_bytes_of_int8_ones(op: str, data) -> None:
    node, arrays = data.draw(convolutions(op, "int8 int4"))
    w = node.input(1)
    expanded = rescale.integer_weights(w).astype(np.int8)
    quant = Quant(w.quant.scale, w.quant.zero_point, w.quant.axis)
    int8_w = value("w", w.shape, "int8", quant, expanded)
    wide = Node(op, [node.inputs[0], int8_w, node.inputs[2]], node.outputs, node.attrs, "wide")
    expected = harness.run(wide, [arrays[0], expanded, arrays[2]], harness.rows_of(op, "s8s8")[-1])
    for kernel in harness.rows_of(op, "s8s4"):
        if ops.fits(node, kernel):
            assert np.array_equal(harness.run(node, arrays, kernel), expected), kernel.name


@st.composite
def fully_connected_rows(draw, types: str) -> tuple[Node, list]:
    node, arrays = draw(fully_connected(types))
    node.op, (x_type, w_type) = "fully_connected_rows", split(types)
    h, w, c = (draw(st.integers(1, 5)) for _ in range(3))
    n, x, q = node.input(1).shape[0], node.input(0), node.input(1).quant
    rng = np.random.default_rng(draw(seeds))
    weights = random_array(rng, (n, h * w * c), w_type)
    node.inputs[0] = value("x", (1, h, w, c), x_type, x.quant)
    node.inputs[1] = value("w", weights.shape, w_type, q and Quant(q.scale, q.zero_point, q.axis), weights)
    node.outputs[0].shape = (1, n)
    return node, [random_array(rng, (1, h, w, c), x_type), weights, arrays[2]]


@pytest.mark.parametrize("types", ["int8", "float32", "int8 int4"])
@given(data=st.data())
def test_fully_connected_over_rows_equals_reference(types: str, data) -> None:
    harness.check(*data.draw(fully_connected_rows(types)))


@pytest.mark.parametrize("types", TYPES)
@given(data=st.data())
def test_fully_connected_equals_reference(types: str, data) -> None:
    harness.check(*data.draw(fully_connected(types)))


def test_every_half_is_read_exactly() -> None:
    """A layer of one weight whose input is 1 gives that weight, subnormal and infinite ones too."""
    weights = np.arange(65536, dtype=np.uint16).view(np.float16)
    x, w = value("x", (1, 1), "float32"), value("w", (65536, 1), "float16", None, weights[:, None])
    node = inferred("fully_connected", [x, w, None], None, activation="none")
    for kernel in harness.rows_of("fully_connected", "f32f16"):
        got = harness.run(node, [np.ones((1, 1), np.float32), w.data, None], kernel)[0]
        assert np.array_equal(got, weights.astype(np.float32), equal_nan=True), kernel.name


def tensor(tm, v: Value):
    scale = {} if v.quant is None else {"scale": v.quant.scale.tolist(), "zero_point": v.zero_point}
    return tm.Tensor(v.name, v.shape, v.dtype, axis=0 if v.quant is None else v.quant.axis or 0, data=v.data, **scale)


@pytest.mark.parametrize("types", ["int8", "int16 int8"])
@settings(max_examples=25)
@given(data=st.data())
def test_fully_connected_equals_tflite_micro(types: str, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node, arrays = data.draw(fully_connected(types).filter(lambda case: len(case[0].output.shape) == 2))
    x, w, b = node.inputs
    product = x.scale * w.quant.scale.astype(np.float64)
    tensors = [tensor(tm, x), tensor(tm, w), tensor(tm, node.output)]
    if b is not None:
        tensors.append(tm.Tensor("b", b.shape, b.dtype, scale=product.tolist(), data=b.data))
    fused = ["none", "relu", "relu_n1_to_1", "relu6"].index(node.attrs["activation"])
    op = tm.Op("FULLY_CONNECTED", ["x", "w", "b" if b is not None else None], ["y"], {"fusedActivationFunction": fused})
    got = tm.run_micro(tm.build(tensors, [op]), [arrays[0]])[0]
    assert np.array_equal(got, ops.module("fully_connected").reference(node, arrays)[0])


@pytest.mark.parametrize("kind", ["conv2d", "depthwise_conv2d"])
@settings(max_examples=25)
@given(data=st.data())
def test_int16_convolution_equals_tflite_micro(kind: str, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node, arrays = data.draw(convolutions(kind, "int16 int8", 0).filter(lambda case: has_oracle(case[0])))
    x, w, b = node.inputs
    if kind == "depthwise_conv2d":
        quant = w.quant and Quant(w.quant.scale, w.quant.zero_point, w.quant.axis and 3)
        w = value("w", (1, *w.shape), "int8", quant, w.data[None])
    tensors = [tensor(tm, x), tensor(tm, w), tensor(tm, node.output)]
    if b is not None:
        scales = (x.scale * w.quant.scale.astype(np.float64)).tolist()
        tensors.append(tm.Tensor("b", b.shape, b.dtype, scale=scales, data=b.data))
    fused = ["none", "relu", "relu_n1_to_1", "relu6"].index(node.attrs["activation"])
    (sh, sw), (dh, dw) = node.attrs["stride"], node.attrs["dilation"]
    options = {"padding": tm.VALID, "strideH": sh, "strideW": sw, "fusedActivationFunction": fused}
    options |= {"dilationHFactor": dh, "dilationWFactor": dw}
    if kind == "depthwise_conv2d":
        options["depthMultiplier"] = w.shape[3] // x.shape[3]
    names = ["x", "w", *(["b"] if b is not None else [])]
    got = tm.run_micro(
        tm.build(tensors, [tm.Op(kind.upper().replace("CONV2D", "CONV_2D"), names, ["y"], options)]), [arrays[0]]
    )[0]
    assert np.array_equal(got, ops.module(kind).reference(node, arrays)[0])


def has_oracle(node: Node) -> bool:
    """TFLite Micro reads every bias of a depthwise convolution as int64."""
    return node.op == "conv2d" or node.optional(2) is None or node.input(2).dtype == "int64"


@given(seeds, st.integers(1, 22), zero_points, st.integers(2**30, 2**31 - 1))
def test_one_addition_of_an_offset_is_the_rescale(seed: int, shift: int, zero_point: int, multiplier: int) -> None:
    """The formula of depthwise_conv2d.h's fours, around every tie and at the ends of what sums may be."""
    rng = np.random.default_rng(seed)
    ties = ((np.arange(-300, 300) * 2 + 1) << (shift - 1)) * 2**31 // multiplier
    near = (ties[:, None] + np.arange(-2, 3)).ravel()
    ends = np.array([-(2**30) + 1, -1, 0, 1, 2**30 - 1])
    acc = np.concatenate([near, ends, rng.integers(-(2**30) + 1, 2**30, 200)])
    acc = acc[np.abs(acc) < 2**30]
    high = ((2 * acc * multiplier + 2**31) >> 32) + ((2 * zero_point + 1) << (shift - 1))
    expected = np.clip(fixedpoint.requantize(acc, multiplier, -shift) + zero_point, -128, 127)
    assert np.array_equal(np.clip((high - (acc < 0)) >> shift, -128, 127), expected)
    relu = np.clip(high >> shift, -128, 127)
    assert np.array_equal(np.maximum(relu, zero_point), np.maximum(expected, zero_point))
