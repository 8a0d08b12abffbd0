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


NETWORKS = (decoder, grouped, attention)


def graphs() -> dict[str, Graph]:
    """Name -> network, each in int8 and in float32."""
    found = {}
    for i, network in enumerate(NETWORKS):
        for dtype in ("int8", "float32"):
            b = Builder(i, dtype)
            x = b.input((1, 6, 5, 4))
            name = f"{network.__name__}_{dtype}"
            found[name] = Graph(name, [x], [network(b, x)], b.nodes)
    return found
