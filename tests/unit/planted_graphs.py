# SPDX-License-Identifier: Apache-2.0
"""Random integer networks of every op that keeps channels apart, with channels in them that are constant or unused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from graphs import Builder
from hypothesis import strategies as st

from edgesdk.ir import Graph, Node, Value

Draw = Callable[[Any], Any]
CHANNEL_AXIS = {"conv2d": 0, "fully_connected": 0, "transpose_conv2d": 0, "depthwise_conv2d": 2}


def window(draw: Draw, most: int, padded: bool | None = None) -> tuple[tuple[int, int], dict[str, Any]]:
    """A kernel of at most `most` by `most`, and the attributes of its layer."""
    kernel = (draw(st.integers(1, most)), draw(st.integers(1, most)))
    ends = [draw(st.integers(0, k - 1)) if padded is not False else 0 for k in (*kernel, *kernel)]
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    activation = draw(st.sampled_from(["none", "relu", "relu", "relu6"]))
    return kernel, {"stride": stride, "dilation": (1, 1), "padding": tuple(ends), "activation": activation}


def conv(draw: Draw, b: Builder, x: Value, **more: Any) -> Value:
    kernel, attrs = window(draw, min(3, *x.shape[1:3]))
    out = draw(st.integers(2, 6))
    w = b.constant((out, *kernel, x.shape[3]), out, 0)
    bias = b.bias(out) if draw(st.booleans()) else None
    return b.add_node("conv2d", [x, w, bias], b.quant(), **{**attrs, **more})


def pointwise(b: Builder, x: Value, out: int, activation: str = "relu") -> Value:
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "activation": activation}
    return b.add_node("conv2d", [x, b.constant((out, 1, 1, x.shape[3]), out, 0), b.bias(out)], b.quant(), **attrs)


def depthwise(draw: Draw, b: Builder, x: Value) -> Value:
    kernel, attrs = window(draw, min(3, *x.shape[1:3]))
    c = x.shape[3] * (draw(st.integers(1, 2)) if x.shape[3] < 5 else 1)
    return b.add_node("depthwise_conv2d", [x, b.constant((*kernel, c), c, 2), b.bias(c)], b.quant(), **attrs)


def transposed(draw: Draw, b: Builder, x: Value) -> Value:
    if b.dtype == "int16" or b.weights == "int4":
        return conv(draw, b, x)
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 1, 1), "activation": "relu"}
    return b.add_node("transpose_conv2d", [x, b.constant((3, 2, 2, x.shape[3]), 3, 0), b.bias(3)], b.quant(), **attrs)


def residual(draw: Draw, b: Builder, x: Value) -> Value:
    op = draw(st.sampled_from(["add", "sub", "mul"]))
    left, right = pointwise(b, x, 5), pointwise(b, x, 5)
    return b.add_node(op, [left, right], b.quant(), activation=draw(st.sampled_from(["none", "relu"])))


def gated(draw: Draw, b: Builder, x: Value) -> Value:
    """Squeeze and excite, by as many gates as there are channels, or one."""
    x = pointwise(b, x, 4)
    mean = b.add_node("mean", [x], b.quant(), axes=(1, 2), keep_dims=True)
    gate = pointwise(b, mean, draw(st.sampled_from([1, 4])), "none")
    gate = b.add_node("logistic", [gate], b.fixed(1 / 256, -128))
    return b.add_node("mul", [x, gate], b.quant(), activation="none")


def branches(draw: Draw, b: Builder, x: Value) -> Value:
    left, right = pointwise(b, x, 3), pointwise(b, x, 4)
    right.quant = left.quant
    return b.add_node("concat", [left, right], left.quant, axis=3)


def part(draw: Draw, b: Builder, x: Value) -> Value:
    """Some of a layer's channels."""
    y = pointwise(b, x, 6)
    begin, size = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    at = {"begin": (0, 0, 0, begin), "size": (*y.shape[:3], size), "stride": (1,) * 4}
    return b.add_node("slice", [y], y.quant, **at)


def pooled(draw: Draw, b: Builder, x: Value) -> Value:
    kernel, attrs = window(draw, min(2, *x.shape[1:3]))
    op = draw(st.sampled_from(["max_pool2d", "avg_pool2d"]))
    more = {"count_padding": draw(st.booleans())} if op == "avg_pool2d" else {}
    pool = {k: attrs[k] for k in ("stride", "padding", "activation")}
    return b.add_node(op, [x], x.quant, kernel=kernel, **pool, **more)


def single(draw: Draw, b: Builder, x: Value) -> Value:
    op = draw(st.sampled_from(["relu", "relu6", "hard_swish", "leaky_relu", "quantize", "pad", "resize_nearest"]))
    if op == "pad":
        return b.add_node(op, [x], x.quant, pads=((0, 0), (1, 0), (0, 1), (0, 0)), value=0.0)
    if op == "resize_nearest":
        return b.add_node(op, [x], x.quant, size=(5, 4), align_corners=False, half_pixel_centers=False)
    return b.add_node(op, [x], b.quant(), **({"alpha": 0.1} if op == "leaky_relu" else {}))


def shifted(draw: Draw, b: Builder, x: Value) -> Value:
    """With a constant, of one item or one per channel."""
    op = draw(st.sampled_from(["add", "mul", "minimum", "maximum"]))
    shape = (draw(st.sampled_from([1, x.shape[3]])),)
    data = b.rng.integers(-128, 128, shape).astype(b.dtype)
    constant = Value("c", shape, b.dtype, b.quant(), data)
    more = {"activation": "none"} if op in ("add", "mul") else {}
    return b.add_node(op, [x, constant], b.quant(), **more)


BLOCKS = (conv, depthwise, transposed, residual, gated, branches, part, pooled, single, shifted)


def ending(draw: Draw, b: Builder, x: Value) -> Value:
    kind = draw(st.sampled_from(["map", "mean", "flat"]))
    if kind == "map":
        return x
    return b.classifier(x, 3) if kind == "mean" else b.flat_classifier(x, 3)


def plant(rng: np.random.Generator, node: Node) -> None:
    """Makes some of a layer's output channels constant, and some of its input channels unused."""
    w, bias, axis = node.input(1), node.optional(2), CHANNEL_AXIS[node.op]
    assert w.data is not None
    data = np.moveaxis(w.data, axis, 0)
    constant = rng.random(len(data)) < rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.5, 0.2])
    data[constant] = 0
    if axis == 0 and rng.random() < 0.5:
        data[..., rng.random(data.shape[-1]) < 0.4] = 0
    if bias is not None and bias.data is not None:
        far = rng.random(len(data)) < 0.3  # a clamp hides what the weights do
        bias.data[far] = rng.choice([-(10**7), 10**7], far.sum())


@st.composite
def networks(draw: Any, dtype: str = "int8", weights: str = "float32", blocks: int = 5) -> Graph:
    """2 to `blocks` blocks; of int16 networks only what has 16-bit kernels."""
    b = Builder(draw(st.integers(0, 2**32 - 1)), dtype, weights)
    x = y = b.input((1, draw(st.integers(3, 7)), draw(st.integers(3, 7)), draw(st.integers(1, 4))))
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=blocks)):
        y = block(draw, b, y)
    y = ending(draw, b, y)
    for node in b.nodes:
        if node.op in CHANNEL_AXIS:
            plant(b.rng, node)
    return Graph("planted", [x], [y], b.nodes)
