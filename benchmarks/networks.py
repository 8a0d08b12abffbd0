# SPDX-License-Identifier: Apache-2.0
"""Networks whose memory is compared but whose trained weights are not at hand: shapes are real, weights random."""

from __future__ import annotations

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value

# expansion, channels, repeats, stride: table 2 of MobileNetV2 (arXiv 1801.04381)
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def divisible(channels: float) -> int:
    """Rounded to a multiple of 8, never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class _Net:
    """Appends int8 nodes; every activation is quantised alike."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[Node] = []

    def node(self, op: str, inputs: list[Value | None], **attrs: object) -> Value:
        name = f"{len(self.nodes)} {op}"
        node = Node(op, inputs, [Value(name, (1,), "int8", Quant.per_tensor(0.05, 0))], dict(attrs), name)
        (shape, dtype), *_ = ops.module(op).infer(node)
        node.output.shape, node.output.dtype = tuple(shape), dtype
        self.nodes.append(node)
        return node.output

    def weights(self, shape: tuple[int, ...], channels: int, axis: int) -> tuple[Value, Value]:
        quant = Quant(np.full(channels, 0.01, np.float32), np.zeros(channels, np.int32), axis)
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        return Value("w", shape, "int8", quant, data), Value(
            "b", (channels,), "int32", None, np.zeros(channels, np.int32)
        )

    def conv(self, x: Value, channels: int, kernel: int, stride: int, activation: str = "relu6") -> Value:
        w, b = self.weights((channels, kernel, kernel, x.shape[3]), channels, 0)
        return self.node("conv2d", [x, w, b], **_same(x, kernel, stride), activation=activation)

    def depthwise(self, x: Value, stride: int) -> Value:
        w, b = self.weights((3, 3, x.shape[3]), x.shape[3], 2)
        return self.node("depthwise_conv2d", [x, w, b], **_same(x, 3, stride), activation="relu6")


def _same(x: Value, kernel: int, stride: int) -> dict[str, object]:
    def pads(size: int) -> tuple[int, int]:
        total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        return total // 2, total - total // 2

    (top, bottom), (left, right) = pads(x.shape[1]), pads(x.shape[2])
    return {"stride": (stride, stride), "dilation": (1, 1), "padding": (top, left, bottom, right)}


def mobilenet_v2(width: float, size: int, classes: int = 1000) -> Graph:
    """int8 MobileNetV2 on a size x size x 3 image."""
    net = _Net()
    x = image = Value("image", (1, size, size, 3), "int8", Quant.per_tensor(0.05, 0))
    x = net.conv(x, divisible(32 * width), 3, 2)
    for expansion, channels, repeats, first in MOBILENET_V2:
        for k in range(repeats):
            stride, inner = (first if k == 0 else 1), x
            if expansion > 1:
                inner = net.conv(inner, x.shape[3] * expansion, 1, 1)
            inner = net.conv(net.depthwise(inner, stride), divisible(channels * width), 1, 1, "none")
            same = stride == 1 and inner.shape == x.shape
            x = net.node("add", [x, inner], activation="none") if same else inner
    x = net.conv(x, max(1280, divisible(1280 * width)), 1, 1)
    x = net.node("mean", [x], axes=(1, 2), keep_dims=False)
    w, b = net.weights((classes, x.shape[1]), classes, 0)
    return Graph(
        f"mobilenet_v2_{width}_{size}", [image], [net.node("fully_connected", [x, w, b], activation="none")], net.nodes
    )
