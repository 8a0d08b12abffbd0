# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, scales, seeds, value

from edgesdk.ir import Node, Quant


def weights_quant(draw, channels: int, axis: int) -> Quant:
    n = draw(st.sampled_from([1, channels]))
    return Quant(np.array([draw(scales) for _ in range(n)], np.float32), np.zeros(n, np.int32), axis if n > 1 else None)


@st.composite
def convolutions(draw, op: str, dtype: str) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    h = draw(st.integers(max(1, spans[0] - padding[0] - padding[2]), 9))
    w = draw(st.integers(max(1, spans[1] - padding[1] - padding[3]), 9))
    in_c = draw(st.integers(1, 9))
    out_c = draw(st.integers(1, 9)) if op == "conv2d" else in_c * draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 2)), h, w, in_c)
    w_shape = (out_c, *kernel, in_c) if op == "conv2d" else (*kernel, out_c)
    weights = random_array(rng, w_shape, dtype)
    integer = dtype == "int8"
    bias = rng.integers(-(2**16), 2**16, out_c).astype(np.int32) if integer else random_array(rng, (out_c,), dtype)
    channel_axis = 0 if op == "conv2d" else 2
    x = value("x", shape, dtype, quant(draw) if integer else None)
    w_value = value("w", w_shape, dtype, weights_quant(draw, out_c, channel_axis) if integer else None, weights)
    b_value = draw(st.sampled_from([None, value("b", (out_c,), "int32" if integer else dtype, None, bias)]))
    node = inferred(
        op,
        [x, w_value, b_value],
        quant(draw) if integer else None,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        dilation=dilation,
        padding=padding,
        activation=draw(activations),
    )
    return node, [random_array(rng, shape, dtype), weights, None if b_value is None else bias]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("op", ["conv2d", "depthwise_conv2d"])
@given(data=st.data())
def test_convolution_equals_reference(op: str, dtype: str, data) -> None:
    harness.check(*data.draw(convolutions(op, dtype)))


@st.composite
def fully_connected(draw, dtype: str) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    lead, in_c, out_c = draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 70)), draw(st.integers(1, 9))
    integer = dtype == "int8"
    weights = random_array(rng, (out_c, in_c), dtype)
    bias = rng.integers(-(2**16), 2**16, out_c).astype(np.int32) if integer else random_array(rng, (out_c,), dtype)
    x = value("x", (*lead, in_c), dtype, quant(draw) if integer else None)
    w = value("w", (out_c, in_c), dtype, weights_quant(draw, out_c, 0) if integer else None, weights)
    b = value("b", (out_c,), "int32" if integer else dtype, None, bias)
    node = inferred("fully_connected", [x, w, b], quant(draw) if integer else None, activation=draw(activations))
    return node, [random_array(rng, x.shape, dtype), weights, bias]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@given(data=st.data())
def test_fully_connected_over_rows_equals_reference(dtype: str, data) -> None:
    node, arrays = data.draw(fully_connected(dtype))
    node.op = "fully_connected_rows"
    h, w, c = (data.draw(st.integers(1, 5)) for _ in range(3))
    n, x = node.input(1).shape[0], node.input(0)
    rng = np.random.default_rng(data.draw(seeds))
    weights = random_array(rng, (n, h * w * c), dtype)
    node.inputs[0] = value("x", (1, h, w, c), dtype, x.quant)
    node.inputs[1] = value("w", weights.shape, dtype, node.input(1).quant, weights)
    node.outputs[0].shape = (1, n)
    harness.check(node, [random_array(rng, (1, h, w, c), dtype), weights, arrays[2]])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@given(data=st.data())
def test_fully_connected_equals_reference(dtype: str, data) -> None:
    harness.check(*data.draw(fully_connected(dtype)))
