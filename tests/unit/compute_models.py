# SPDX-License-Identifier: Apache-2.0
"""Small networks with transposed and grouped convolutions, products of matrices, norms and smooth activations."""

from __future__ import annotations

import numpy as np
from graphs import Builder

from edgesdk.ir import Graph, Quant, Value

SHARES = Quant.per_tensor(1 / 256, -128)
SELU = {"alpha": 1.6732632, "gamma": 1.050701}


def factor(b: Builder, *shape: int) -> Value:
    return Value("f", shape, "float32", None, b.rng.normal(1, 0.3, shape).astype(np.float32))


def decoder(b: Builder, x: Value) -> Value:
    y = b.conv(x, 5, 3, 2)
    for stride, kernel, extra in (((2, 2), 3, (1, 0)), ((3, 1), 2, (0, 0))):
        w = b.constant((4, kernel, kernel, y.shape[3]), 4, 0)
        window = {"stride": stride, "dilation": (1, 1), "padding": (1, 0, 0, 1), "output_padding": extra}
        y = b.add_node("transpose_conv2d", [y, w, b.bias(4)], b.quant(), activation="relu6", **window)
    return b.conv(y, 3, 3, 1)


def grouped(b: Builder, x: Value) -> Value:
    window = {"stride": (1, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "none", "groups": 2}
    y = b.add_node("conv2d", [x, b.constant((6, 3, 3, 2), 6, 0), b.bias(6)], b.quant(), **window)
    y = b.add_node("group_norm", [y, factor(b, 6), factor(b, 6)], b.quant(), groups=3, epsilon=1e-5)
    y = b.add_node("instance_norm", [y, None, factor(b, 6)], b.quant(), epsilon=1e-3)
    y = b.add_node("silu", [y], b.quant())
    for op, attrs in (("mish", {}), ("softplus", {}), ("selu", SELU), ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5})):
        y = b.add_node(op, [y], b.quant(), **attrs)
    return y


def attention(b: Builder, x: Value) -> Value:
    rows = b.add_node("reshape", [x], x.quant, shape=(1, 30, 4))
    scores = b.add_node("batch_matmul", [rows, rows], b.quant(), adj_x=False, adj_y=True)
    shares = b.add_node("softmax", [scores], SHARES if b.dtype == "int8" else None, beta=0.5)
    y = b.add_node("batch_matmul", [shares, rows], b.quant(), adj_x=False, adj_y=False)
    y = b.add_node("layer_norm", [y, factor(b, 4), factor(b, 4)], b.quant(), axis=2, epsilon=1e-5)
    y = b.add_node("gelu", [y], b.quant(), approximate=False)
    y = b.add_node("rms_norm", [y, factor(b, 4)], b.quant(), axis=2, epsilon=1e-5)
    return b.add_node("erf", [b.add_node("elu", [y], b.quant(), alpha=1.0)], b.quant())


def segments(b: Builder, x: Value) -> Value:
    """Groups, a transposed convolution, shares of each pixel's channels, all pixels compared, and a layer over that."""
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 0, 1, 1), "activation": "none"}
    shrinking = {**window, "stride": (2, 2)}
    y = b.add_node("conv2d", [x, b.constant((4, 3, 2, 2), 4, 0), b.bias(4)], b.quant(), groups=2, **shrinking)
    w, wider = b.constant((6, 2, 1, 4), 6, 0), {**window, "stride": (2, 1), "padding": (1, 0, 0, 0)}
    bias = Value("b", (6,), "int64", None, b.rng.integers(-5000, 5000, 6)) if b.dtype == "int16" else b.bias(6)
    y = b.add_node("transpose_conv2d", [y, w, bias], b.quant(), output_padding=(0, 0), **wider)
    shares = {"int8": SHARES, "int16": Quant.per_tensor(1 / 32768, 0)}.get(b.dtype)
    y = b.add_node("reshape", [b.add_node("softmax", [y], shares, beta=1.0)], shares, shape=(1, y.elements // 6, 6))
    pairs = b.add_node("batch_matmul", [y, y], b.quant(), adj_x=False, adj_y=True)
    image = b.add_node("reshape", [pairs], pairs.quant, shape=(1, 3, pairs.elements // 3, 1))
    return dense(b, image, 3)


def dense(b: Builder, x: Value, classes: int) -> Value:
    """A layer over the whole image, whose weights have one scale per class."""
    flat = b.add_node("reshape", [x], x.quant, shape=(1, x.elements))
    w = b.constant((classes, x.elements), classes, 0)
    w.quant = w.quant and Quant(w.quant.scale, w.quant.zero_point, 0)
    return b.add_node("fully_connected", [flat, w, b.bias(classes)], b.quant(), activation="none")


NETWORKS = (decoder, grouped, attention)
# Types of activations and of weights.
SEGMENTS = (("int8", "float32"), ("int16", "float32"), ("float32", "float32"), ("float32", "int8"))
SEGMENTS += (("float32", "float16"), ("int8", "int4"), ("float32", "int4"))


def graphs() -> dict[str, Graph]:
    """Name -> network, each in int8 and in float32."""
    found = {}
    for i, network in enumerate(NETWORKS):
        for dtype in ("int8", "float32"):
            b = Builder(i, dtype)
            x = b.input((1, 6, 5, 4))
            name = f"{network.__name__}_{dtype}"
            found[name] = Graph(name, [x], [network(b, x)], b.nodes)
    for dtype, weights in SEGMENTS:
        b = Builder(7, dtype, weights)
        x = b.input((1, 6, 5, 4))
        name = f"segments_{dtype}" + ("" if weights == "float32" else f"_{weights}")
        found[name] = Graph(name, [x], [segments(b, x)], b.nodes)
    return found
