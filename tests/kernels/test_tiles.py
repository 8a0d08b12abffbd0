# SPDX-License-Identifier: Apache-2.0
"""Kernels of tiles of pixels x channels (runtime_c/kernels/tiles.h): sizes around those of tiles and panels, and sums
around every tie of the requantisation."""

from dataclasses import replace

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, random_array, seeds, value, zero_points

from edgesdk.ir import Node, Quant

CHANNELS = st.one_of(st.integers(1, 20), st.sampled_from([16, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 96, 130]))
INPUTS = st.one_of(st.integers(1, 9), st.sampled_from([12, 16, 24, 32, 64, 65]))
# Activations, then weights where they are of another type.
TYPES = ["int8", "float32", "int8 int4", "float32 int8", "float32 int4", "float32 float16", "int16 int8"]
WIDTHS = st.sampled_from(["int32", "int64"])  # of an int16 layer's biases, and so of its sums
DEEP = st.one_of(INPUTS, st.sampled_from([8, 40, 48, 96, 128, 224, 256]))  # around runs of int4 weights


def layer(draw, op: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], types: str, **attrs) -> tuple[Node, list]:
    """A layer with scales as models have them: outputs are smaller than sums."""
    axis = 2 if op == "depthwise_conv2d" else 0
    dtype, w_type = split(types)
    rng, n = np.random.default_rng(draw(seeds)), w_shape[axis]
    attrs["activation"] = draw(activations)
    w, given_x = random_array(rng, w_shape, w_type), random_array(rng, x_shape, dtype)
    if dtype in ("int8", "int16") and draw(st.integers(0, 7)) == 0:  # the largest products of all
        w[:], given_x[:] = w.min(), np.iinfo(dtype).min
    quant = Quant(rng.uniform(0.5, 1, n).astype(np.float32), np.zeros(n, np.int32), axis)
    if w_type == "int4" and axis == 0:
        quant = grouped(draw, rng, quant, w_shape)
    w_value = value("w", w_shape, w_type, quant if w_type in ("int8", "int4") else None, w)
    if dtype == "float32":
        b = random_array(rng, (n,), dtype)
        inputs = [value("x", x_shape, dtype), w_value, value("b", (n,), dtype, None, b)]
        return inferred(op, inputs, None, **attrs), [given_x, w, b]
    if dtype == "int16":
        return int16_layer(draw, rng, op, [given_x, w_value], attrs)
    b = rng.integers(-(2**12), 2**12, n).astype(np.int32)
    x = value("x", x_shape, "int8", Quant.per_tensor(1.0, draw(zero_points)))
    low = draw(st.sampled_from([-128, draw(zero_points)]))
    out = Quant.per_tensor(2.0 ** draw(st.floats(0.01, 14)), low)
    node = inferred(op, [x, w_value, value("b", (n,), "int32", None, b)], out, **attrs)
    return node, [given_x, w, b]


def int16_layer(draw, rng: np.random.Generator, op: str, given: list, attrs: dict) -> tuple[Node, list]:
    """The type of the bias says how sums are rounded; few scales are such that vectors do not apply them."""
    x, w = given
    n, dtype = w.shape[w.quant.axis], draw(WIDTHS)
    rows = np.moveaxis(np.abs(w.data.astype(np.int64)), w.quant.axis, 0).reshape(n, -1)
    if rows.sum(1).max() * 2**15 + 2**20 >= 2**31:
        dtype = "int64"
    b = rng.integers(-(2**20), 2**20, n).astype(dtype)
    inputs = [value("x", x.shape, "int16", Quant.per_tensor(1.0, 0)), w, value("b", (n,), dtype, None, b)]
    growth = draw(st.floats(0.01, 19)) if draw(st.integers(0, 7)) else -2.0
    out = Quant.per_tensor(2.0**growth, 0)
    return inferred(op, inputs, out, **attrs), [x, w.data, b]


def grouped(draw, rng: np.random.Generator, quant: Quant, w_shape: tuple[int, ...]) -> Quant:
    """With factors for groups of weights of a tap, where there are whole ones."""
    group = draw(st.sampled_from([0, 32, 64, 128]))
    if not group or w_shape[-1] % group:
        return quant
    factors = rng.integers(1, 256, (w_shape[0], int(np.prod(w_shape[1:])) // group)).astype(np.uint8)
    return Quant(quant.scale, quant.zero_point, quant.axis, group, factors)


def split(types: str) -> tuple[str, str]:
    x, _, w = types.partition(" ")
    return x, w or x


@st.composite
def convolutions(draw, types: str) -> tuple[Node, list]:
    kernel = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (2, 5), (1, 3)]))
    in_c, out_c = draw(DEEP if "int4" in types else INPUTS), draw(CHANNELS)
    most = 20 if in_c <= 32 else 10
    x_shape = (draw(st.integers(1, 2)), draw(st.integers(5, 7)), draw(st.integers(9, most)), in_c)
    return layer(
        draw, "conv2d", x_shape, (out_c, *kernel, in_c), types,
        stride=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        dilation=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
    )  # fmt: skip


@pytest.mark.parametrize("types", TYPES)
@settings(max_examples=60)
@given(data=st.data())
def test_convolutions_equal_the_reference(types: str, data) -> None:
    harness.check(*data.draw(convolutions(types)))


@st.composite
def depthwise(draw, dtype: str) -> tuple[Node, list]:
    common = [(3, 3), (3, 3), (5, 5), (7, 7)]
    kernel = draw(st.sampled_from([*common, (2, 7), (1, 5), (3, 5), (2, 3), (1, 1), (4, 3), (6, 2)]))
    c = draw(CHANNELS)
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 2)]))
    widths = [w for w in (9, 10, 13, 71) if w > (kernel[1] - 1) * dilation[1]]
    return layer(
        draw, "depthwise_conv2d", (draw(st.integers(1, 2)), 7, draw(st.sampled_from(widths)), c),
        (*kernel, c), dtype,
        stride=draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
        dilation=dilation,
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["int8", "float32", "int16 int8"])
@settings(max_examples=60)
@given(data=st.data())
def test_depthwise_convolutions_equal_the_reference(dtype: str, data) -> None:
    harness.check(*data.draw(depthwise(dtype)))


@pytest.mark.parametrize(
    ("x", "w"), [("int8", "int4"), ("float32", "float16"), ("float32", "int8"), ("float32", "int4")]
)
@settings(max_examples=15)
@given(data=st.data())
def test_weights_of_depthwise_convolutions_are_widened(x: str, w: str, data) -> None:
    node, arrays = data.draw(depthwise(x))
    harness.check(*with_weights(node, arrays, w))


def with_weights(node: Node, arrays: list, dtype: str) -> tuple[Node, list]:
    """The layer with weights of another type."""
    old, rng = node.input(1), np.random.default_rng(0)
    if dtype == "float16":
        w, quant = arrays[1].astype(np.float16), None
    else:
        low = -8 if dtype == "int4" else -128
        w = rng.integers(low, -low, old.shape).astype(np.int8)
        axis = 2 if node.op == "depthwise_conv2d" else 0
        n = old.shape[axis]
        quant = old.quant or Quant(rng.uniform(0.001, 0.01, n).astype(np.float32), np.zeros(n, np.int32), axis)
    inputs = [node.inputs[0], value("w", old.shape, dtype, quant, w), *node.inputs[2:]]
    return inferred(node.op, inputs, node.output.quant, **node.attrs), [arrays[0], w, *arrays[2:]]


@st.composite
def fully_connected(draw, types: str) -> tuple[Node, list]:
    in_c = draw(INPUTS if types in ("int8", "float32") else DEEP)
    in_c = draw(st.sampled_from([in_c, 600, 2100])) if types == "int16 int8" else in_c
    rows, out_c = draw(st.integers(1, 30)), draw(CHANNELS)
    return layer(draw, "fully_connected", (rows, in_c), (out_c, in_c), types)


@st.composite
def packed(draw, types: str) -> tuple[Node, list]:
    """Enough channels that inputs are packed first, any number of pixels in the last tile and of terms behind whole
    turns of a loop."""
    rows, in_c = draw(st.sampled_from(range(4, 18))), draw(st.sampled_from(range(1, 76)))
    out_c = draw(st.sampled_from([64, 66, 72, 77]))
    node, arrays = layer(draw, "fully_connected", (rows, in_c), (out_c, in_c), types)
    if types == "int8":
        np.maximum(arrays[1], -127, out=arrays[1])  # two products in 16 bits
    return node, arrays


@pytest.mark.parametrize("types", TYPES)
@settings(max_examples=40)
@given(data=st.data())
def test_fully_connected_layers_equal_the_reference(types: str, data) -> None:
    harness.check(*data.draw(fully_connected(types)))


@settings(max_examples=40)
@given(st.integers(1, 9), st.sampled_from([32, 64, 128, 256]), st.booleans(), st.sampled_from([-8, 7]), activations)
def test_the_largest_sums_of_int4_weights_have_room(
    rows: int, in_c: int, grouped: bool, weight: int, activation: str
) -> None:
    """Products of one sign, as large as they can be: kernels that add them up in 16 bits widen them in time."""
    n = 40
    q = Quant(np.full(n, 0.75, np.float32), np.zeros(n, np.int32), 0)
    if grouped:
        q = replace(q, group=32, factors=np.full((n, in_c // 32), 255, np.uint8))
    w = np.full((n, in_c), weight, np.int8)
    x = np.where(np.arange(rows)[:, None] % 2, 127, -128).astype(np.int8).repeat(in_c, 1)
    inputs = [value("x", x.shape, "int8", Quant.per_tensor(1.0, 0)), value("w", w.shape, "int4", q, w), None]
    largest = 128 * 8 * in_c * (255 if grouped else 1)
    node = inferred("fully_connected", inputs, Quant.per_tensor(largest / 128, 3), activation=activation)
    harness.check(node, [x, w, None])


@st.composite
def largest_int16(draw) -> tuple[Node, list]:
    """Products of one sign, as large as they can be, in one half of the terms or in both: sums leave 32 bits, or come
    back into them."""
    rows, in_c, n = draw(st.integers(1, 9)), draw(st.sampled_from([64, 510, 512, 1030, 4096])), 20
    kind, rng = draw(st.integers(0, 3)), np.random.default_rng(draw(seeds))
    w = np.full((n, in_c), -128, np.int8)
    x = np.where(np.arange(rows)[:, None] % 2, 32767, -32768).astype(np.int16).repeat(in_c, 1)
    if kind == 1:
        x[:, in_c // 2 :] = -1 - x[:, in_c // 2 :]
    if kind == 2:
        w[:, in_c // 2 :] = 127
    if kind == 3:
        w[:], x[:] = random_array(rng, w.shape, "int8"), random_array(rng, x.shape, "int16")
    b = rng.integers(-(2**30), 2**30, n)
    q = Quant(rng.uniform(0.5, 1, n).astype(np.float32), np.zeros(n, np.int32), 0)
    inputs = [value("x", x.shape, "int16", Quant.per_tensor(1.0, 0)), value("w", w.shape, "int8", q, w)]
    inputs.append(value("b", (n,), "int64", None, b))
    out = Quant.per_tensor(float(rng.choice([1, 2**7, in_c * 2**8])), 0)
    return inferred("fully_connected", inputs, out, activation="none"), [x, w, b]


@st.composite
def int16_ties(draw) -> tuple[Node, list]:
    """256 sums in a row around a tie of each channel; int32 biases ask for two roundings, int64 ones for one."""
    rng, n, shift, bias = np.random.default_rng(draw(seeds)), 37, draw(st.integers(1, 15)), draw(WIDTHS)
    scales = rng.choice([0.5, 1.0, 0.75, float(rng.uniform(0.5, 1))], n).astype(np.float32)
    halves = rng.integers(-33000, 33000, n) * 2 + 1
    ties = np.clip(halves * 2.0 ** (shift - 1) / scales, -(2**29), 2**29).astype(bias)
    ties[:2] = 2**29, -(2**29)
    x = value("x", (256, 1), "int16", Quant.per_tensor(1.0, 0))
    w = value("w", (n, 1), "int8", Quant(scales, np.zeros(n, np.int32), 0), np.ones((n, 1), np.int8))
    inputs = [x, w, value("b", (n,), bias, None, ties)]
    out = Quant.per_tensor(2.0**shift, 0)
    node = inferred("fully_connected", inputs, out, activation=draw(activations))
    return node, [np.arange(-128, 128).astype(np.int16)[:, None], w.data, ties]


@settings(max_examples=40)
@given(case=largest_int16())
def test_the_largest_sums_of_int16_inputs_have_room(case) -> None:
    harness.check(*case)


@settings(max_examples=40)
@given(case=int16_ties())
def test_sums_of_int16_layers_around_ties_are_rounded_as_the_reference_does(case) -> None:
    harness.check(*case)


@settings(max_examples=60)
@given(st.integers(1, 22), zero_points, activations, seeds)
def test_sums_around_ties_are_rounded_as_the_reference_does(
    shift: int, zero_point: int, activation: str, seed: int
) -> None:
    """256 sums in a row around a tie of each channel: the weight is 1, the bias the tie."""
    rng, n = np.random.default_rng(seed), 70
    scales = rng.uniform(0.5, 1, n).astype(np.float32)
    halves = rng.integers(-140, 140, n) * 2 + 1
    ties = np.clip(halves * 2.0 ** (shift - 1) / scales, -(2**29), 2**29).astype(np.int32)
    ties[:2] = 2**29, -(2**29)
    x = value("x", (256, 1), "int8", Quant.per_tensor(1.0, 0))
    w = value("w", (n, 1), "int8", Quant(scales, np.zeros(n, np.int32), 0), np.ones((n, 1), np.int8))
    out = Quant.per_tensor(2.0**shift, zero_point)
    node = inferred("fully_connected", [x, w, value("b", (n,), "int32", None, ties)], out, activation=activation)
    harness.check(node, [np.arange(-128, 128).astype(np.int8)[:, None], w.data, ties])


def test_floats_that_are_no_numbers_go_through() -> None:
    """NaN and infinities reach the outputs of their pixel alone, and are clamped as numpy does."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((9, 8)).astype(np.float32), rng.standard_normal((37, 8)).astype(np.float32)
    x[2, 3], x[4, 0], x[6, 7] = np.nan, np.inf, -np.inf
    for activation in ("none", "relu6"):
        inputs = [value("x", x.shape, "float32"), value("w", w.shape, "float32", None, w), None]
        node = inferred("fully_connected", inputs, None, activation=activation)
        harness.check(node, [x, w, None])
