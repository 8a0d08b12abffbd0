# SPDX-License-Identifier: Apache-2.0
"""Convolutions in groups and transposed ones."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, seeds, value
from test_conv import TYPES, bias_value, out_quant, split, weights_quant
from test_conv import grouped as factored

from edgesdk import ops, passes
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant


def operands(draw: Any, shape: tuple[int, ...], w_shape: tuple[int, ...], types: str) -> tuple[list, list, Any]:
    """x, w and b (or None) with random data; the arrays; and the output's quantisation."""
    rng, (x_type, w_type) = np.random.default_rng(draw(seeds)), split(types)
    weights, out_c = random_array(rng, w_shape, w_type), w_shape[0]
    x = value("x", shape, x_type, None if x_type == "float32" else quant(draw, x_type))
    w_quant = weights_quant(draw, out_c, 0) if w_type in ("int8", "int4") else None
    w_quant = factored(draw, rng, w_quant, w_shape) if w_type == "int4" else w_quant
    w = value("w", w_shape, w_type, w_quant, weights)
    b = bias_value(draw, rng, x_type, out_c)
    arrays = [random_array(rng, shape, x_type), weights, None if b is None else b.data]
    return [x, w, b], arrays, out_quant(draw, x, w)


@st.composite
def grouped(draw, dtype: str) -> tuple[Node, list]:
    groups, kernel = draw(st.integers(2, 4)), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation, padding = draw(st.tuples(*[st.integers(1, 2)] * 2)), draw(st.tuples(*[st.integers(0, 2)] * 4))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    h, w = (draw(st.integers(max(1, spans[a] - padding[a] - padding[2 + a]), 7)) for a in (0, 1))
    few, more = st.integers(1, 6), st.sampled_from((8, 16, 20))
    shape = (draw(st.integers(1, 2)), h, w, groups * draw(few | more))
    w_shape = (groups * draw(few | more), *kernel, shape[3] // groups)
    inputs, arrays, q = operands(draw, shape, w_shape, dtype)
    attrs = {"stride": draw(st.tuples(*[st.integers(1, 2)] * 2)), "dilation": dilation, "padding": padding}
    return inferred("conv2d", inputs, q, groups=groups, activation=draw(activations), **attrs), arrays


@st.composite
def transposed(draw, dtype: str, groups: int = 1, like_torch: bool = False) -> tuple[Node, list]:
    """`like_torch`: alike on both sides, and no more output_padding than torch takes."""
    kernel, stride = draw(st.tuples(*[st.integers(1, 5)] * 2)), draw(st.tuples(*[st.integers(1, 4)] * 2))
    dilation = draw(st.tuples(*[st.integers(1, 4)] * 2))
    padding, extra = draw(st.tuples(*[st.integers(0, 3)] * 4)), draw(st.tuples(*[st.integers(0, 3)] * 2))
    if like_torch:
        padding = padding[:2] * 2
        extra = tuple(min(e, max(s, d) - 1) for e, s, d in zip(extra, stride, dilation, strict=True))
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 5)),
        draw(st.integers(1, 5)),
        groups * draw(st.integers(1, 5)),
    )
    size = [
        (shape[1 + a] - 1) * stride[a] + (kernel[a] - 1) * dilation[a] + 1 + extra[a] - padding[a] - padding[2 + a]
        for a in (0, 1)
    ]
    assume(min(size) > 0)
    inputs, arrays, q = operands(draw, shape, (groups * draw(st.integers(1, 6)), *kernel, shape[3] // groups), dtype)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "output_padding": extra}
    return inferred("transpose_conv2d", inputs, q, groups=groups, activation=draw(activations), **attrs), arrays


@pytest.mark.parametrize("types", TYPES)
@settings(max_examples=40)
@given(data=st.data())
def test_grouped_convolution_equals_reference(types: str, data) -> None:
    harness.check(*data.draw(grouped(types)))


@given(data=st.data())
def test_groups_are_convolutions_of_slices(data) -> None:
    node, (x, w, b) = data.draw(grouped("int8"))
    n = node.attrs["groups"]
    whole = ops.module("conv2d").reference(node, [x, w, b])[0]
    dense = np.zeros((*w.shape[:3], x.shape[3]), np.int8)
    for q, (rows, part) in enumerate(zip(np.split(np.arange(len(w)), n), np.split(w, n), strict=True)):
        dense[rows, :, :, q * w.shape[3] : (q + 1) * w.shape[3]] = part
    single = inferred(
        "conv2d",
        [node.input(0), value("w", dense.shape, "int8", node.input(1).quant, dense), node.optional(2)],
        node.output.quant,
        **{**node.attrs, "groups": 1},
    )
    assert np.array_equal(ops.module("conv2d").reference(single, [x, dense, b])[0], whole)


@pytest.mark.parametrize("types", TYPES)
@settings(max_examples=40)
@given(data=st.data())
def test_transposed_convolution_equals_reference(types: str, data) -> None:
    harness.check(*data.draw(transposed(types)))


@pytest.mark.parametrize("channels, factors, types", [(4, False, "s8s4"), (3, False, "s8s8"), (4, True, "s8s8")])
def test_int4_weights_stay_packed_where_phases_end_with_bytes(channels: int, factors: bool, types: str) -> None:
    rng = np.random.default_rng(0)
    shape = (6, 3, 2, channels)
    each = np.full((6, -(-6 * channels // 4)), 16, np.uint8) if factors else None
    weights = value("w", shape, "int4", Quant(np.ones(1, np.float32), np.zeros(1, np.int32), None, 4, each))
    weights.data = random_array(rng, shape, "int4")
    x = value("x", (1, 3, 3, channels), "int8", Quant.per_tensor(0.1, 3))
    attrs = {"stride": (2, 3), "dilation": (1, 1), "padding": (1, 0, 0, 1), "activation": "none"}
    node = inferred("transpose_conv2d", [x, weights], Quant.per_tensor(5.0, -3), **attrs)
    assert ops.module(node.op).types(node) == types
    harness.check(node, [random_array(rng, x.shape, "int8"), weights.data])


def test_factors_that_leave_8_bits_are_refused() -> None:
    each = np.full((1, 1), 17, np.uint8)
    quant = Quant(np.ones(1, np.float32), np.zeros(1, np.int32), None, 4, each)
    weights = value("w", (1, 1, 1, 4), "int4", quant, np.full((1, 1, 1, 4), -8, np.int8))
    x = value("x", (1, 3, 3, 4), "int8", Quant.per_tensor(0.1, 3))
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    node = inferred("transpose_conv2d", [x, weights], Quant.per_tensor(5.0, -3), **attrs)
    with pytest.raises(Unsupported, match="expected products of 8 bits"):
        ops.module(node.op).encode(node, harness.rows_of(node.op, "s8s8")[0])


@given(data=st.data())
def test_rows_that_are_read_are_all_that_matter(data) -> None:
    """Output row y stays the same whatever lies outside of `rows_read`."""
    node, (x, w, b) = data.draw(transposed("int8"))
    encoded = ops.module(node.op).encode(node, harness.rows_of(node.op, "s8s8")[0])
    y = data.draw(st.integers(0, node.output.shape[1] - 1))
    rows = ops.rows_read(node, encoded, 0, y)
    other = ~x
    other[:, rows.start : rows.stop] = x[:, rows.start : rows.stop]
    got = [ops.module(node.op).reference(node, [a, w, b])[0][:, y] for a in (x, other)]
    assert np.array_equal(*got)


@pytest.mark.parametrize("groups", [1, 3])
@settings(max_examples=30)
@given(data=st.data())
def test_transposed_convolution_equals_torch(groups: int, data) -> None:
    torch = pytest.importorskip("torch")
    node, (x, w, b) = data.draw(transposed("float32", groups, like_torch=True))
    node.attrs["activation"] = "none"
    pads, extra = node.attrs["padding"], node.attrs["output_padding"]
    # torch: [I, O / groups, KH, KW]
    laid = np.concatenate([part.transpose(3, 0, 1, 2) for part in np.split(w, groups)])
    bias = None if b is None else torch.tensor(b)
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(laid), bias, node.attrs["stride"], pads[:2], extra, groups,
        node.attrs["dilation"],
    )  # fmt: skip
    got = ops.module(node.op).reference(node, [x, w, b])[0]
    np.testing.assert_allclose(got, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@settings(max_examples=20)
@given(data=st.data())
def test_lowered_groups_give_the_same_bytes(data) -> None:
    node, (x, w, b) = data.draw(transposed("int8", data.draw(st.integers(2, 3))))
    expected = ops.module(node.op).reference(node, [x, w, b])[0]
    graph = passes.lower(Graph("g", [node.input(0)], [node.output], [node]))
    assert np.array_equal(ops.evaluate(graph, [x])[graph.outputs[0]], expected)


@settings(max_examples=30)
@given(data=st.data())
def test_a_group_per_channel_is_depthwise(data) -> None:
    c, kernel = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3))
    w_shape = (c * data.draw(st.integers(1, 2)), kernel, kernel, 1)
    inputs, (x, w, b), q = operands(data.draw, (1, 4, 4, c), w_shape, "int8")
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "relu", "groups": c}
    node = inferred("conv2d", inputs, q, **attrs)
    expected = ops.module("conv2d").reference(node, [x, w, b])[0]
    graph = passes.lower(Graph("g", [node.input(0)], [node.output], [node]))
    assert [n.op for n in graph.nodes] == ["depthwise_conv2d"]
    assert np.array_equal(ops.evaluate(graph, [x])[graph.outputs[0]], expected)
