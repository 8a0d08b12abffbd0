# SPDX-License-Identifier: Apache-2.0
"""Random int8, int16 and float graphs: chains, residual blocks and branches of convolutional networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value


class Builder:
    """Appends nodes to a graph; every method returns the new value. `weights`: how float layers store theirs;
    "int4": how all do."""

    def __init__(self, seed: int, dtype: str, weights: str = "float32") -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype, self.weights = dtype, weights
        self.nodes: list[Node] = []
        self.n = 0

    def quant(self) -> Quant | None:
        if self.dtype == "float32":
            return None
        if self.dtype == "int16":
            return Quant.per_tensor(float(np.float32(self.rng.uniform(0.005, 0.01))), 0)
        return Quant.per_tensor(float(np.float32(self.rng.uniform(0.02, 0.1))), int(self.rng.integers(-20, 20)))

    def input(self, shape: tuple[int, ...]) -> Value:
        return Value("x", shape, self.dtype, self.quant())

    def constant(self, shape: tuple[int, ...], channels: int, axis: int) -> Value:
        if self.weights == "int4":
            return self.nibbles(shape, channels, axis)
        if self.dtype == "float32" and self.weights != "int8":
            data = (self.rng.standard_normal(shape) / 4).astype(self.weights)
            return Value("w", shape, self.weights, None, data)
        scale = self.rng.uniform(0.005, 0.02, channels).astype(np.float32)
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        return Value("w", shape, "int8", Quant(scale, np.zeros(channels, np.int32), axis), data)

    def nibbles(self, shape: tuple[int, ...], channels: int, axis: int) -> Value:
        """int4 weights; those of long windows in groups of 8."""
        scale, zeros = self.rng.uniform(0.02, 0.1, channels).astype(np.float32), np.zeros(channels, np.int32)
        data = self.rng.integers(-8, 8, shape).astype(np.int8)
        n = data[0].size
        if axis != 0 or n <= 8:
            return Value("w", shape, "int4", Quant(scale, zeros, axis), data)
        factors = self.rng.integers(1, 17, (channels, -(-n // 8))).astype(np.uint8)
        return Value("w", shape, "int4", Quant(scale / 16, zeros, axis, 8, factors), data)

    def bias(self, channels: int) -> Value:
        if self.dtype == "float32":
            return Value("b", (channels,), "float32", None, self.rng.standard_normal(channels).astype(np.float32))
        dtype = "int32" if self.dtype == "int8" or self.n % 2 else "int64"  # of int16 layers, now one, now the other
        return Value("b", (channels,), dtype, None, self.rng.integers(-5000, 5000, channels).astype(dtype))

    def add_node(self, op: str, inputs: list[Value | None], quant: Quant | None, **attrs: Any) -> Value:
        self.n += 1
        node = Node(op, inputs, [Value(f"v{self.n}", (1,), self.dtype, quant)], attrs, f"#{self.n} {op}")
        (shape, dtype), *_ = ops.module(op).infer(node)
        node.output.shape, node.output.dtype = tuple(shape), dtype
        self.nodes.append(node)
        return node.output

    def conv(self, x: Value, out_c: int, kernel: int, stride: int) -> Value:
        pad = int(self.rng.integers(0, kernel))
        w = self.constant((out_c, kernel, kernel, x.shape[3]), out_c, 0)
        return self.add_node("conv2d", [x, w, self.bias(out_c)], self.quant(), **_window(kernel, stride, pad))

    def depthwise(self, x: Value, kernel: int, stride: int) -> Value:
        c = x.shape[3]
        w = self.constant((kernel, kernel, c), c, 2)
        return self.add_node(
            "depthwise_conv2d", [x, w, self.bias(c)], self.quant(), **_window(kernel, stride, kernel // 2)
        )

    def classifier(self, x: Value, classes: int) -> Value:
        pooled = self.add_node("mean", [x], self.quant(), axes=(1, 2), keep_dims=False)
        w = self.constant((classes, pooled.shape[1]), classes, 0)
        logits = self.add_node("fully_connected", [pooled, w, self.bias(classes)], self.quant(), activation="none")
        return self.add_node("softmax", [logits], self.fixed(1 / 256, -128), beta=1.0)

    def fixed(self, scale: float, zero_point: int) -> Quant | None:
        """The quantisation that the specification gives an output: this one in int8, 1 / 32768 in int16."""
        if self.dtype == "float32":
            return None
        return Quant.per_tensor(scale, zero_point) if self.dtype == "int8" else Quant.per_tensor(1 / 32768, 0)

    def flat_classifier(self, x: Value, classes: int) -> Value:
        flat = self.add_node("reshape", [x], x.quant, shape=(1, x.elements))
        w = self.constant((classes, x.elements), classes, 0)
        return self.add_node("fully_connected", [flat, w, self.bias(classes)], self.quant(), activation="none")


def _window(kernel: int, stride: int, pad: int) -> dict[str, Any]:
    return {"stride": (stride, stride), "dilation": (1, 1), "padding": (pad,) * 4, "activation": "relu"}


@st.composite
def graphs(draw: Any, dtype: str = "int8", blocks: int = 4) -> Graph:
    """A network of 1 to `blocks` random blocks with a classifier or a feature map at its end."""
    b = Builder(draw(st.integers(0, 2**32 - 1)), dtype)
    x = b.input((1, draw(st.integers(5, 12)), draw(st.integers(5, 12)), draw(st.integers(1, 5))))
    current = x
    for _ in range(draw(st.integers(1, blocks))):
        current = _block(draw, b, current)
    if draw(st.booleans()):
        current = b.classifier(current, draw(st.integers(2, 6)))
    return Graph("random", [x], [current], b.nodes)


def _block(draw: Any, b: Builder, x: Value) -> Value:
    kind = draw(st.sampled_from(["conv", "depthwise", "residual", "branches", "pool", "pad"]))
    stride = draw(st.integers(1, 2))
    if kind == "conv":
        return b.conv(x, draw(st.integers(1, 9)), min(draw(st.integers(1, 3)), *x.shape[1:3]), stride)
    if kind == "depthwise":
        return b.depthwise(x, 3, stride)
    if kind == "residual":
        inner = b.conv(x, x.shape[3], 1, 1)
        return b.add_node("add", [x, b.depthwise(inner, 3, 1)], b.quant(), activation="none")
    if kind == "branches":
        left, right = b.conv(x, 4, 1, 1), b.depthwise(b.conv(x, 3, 1, 1), 3, 1)
        right.quant = left.quant
        return b.add_node("concat", [left, right], left.quant, axis=3)
    if kind == "pool":
        k = min(2, *x.shape[1:3])
        return b.add_node("max_pool2d", [x], x.quant, kernel=(k, k), stride=(k, k), padding=(0,) * 4, activation="none")
    return b.add_node("pad", [x], x.quant, pads=((0, 0), (1, 0), (0, 2), (0, 0)), value=0.0)


def random_inputs(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal(v.shape).astype(np.float32)
        if v.dtype == "float32"
        else rng.integers(-128, 128, v.shape).astype(v.dtype)
        for v in graph.inputs
    ]
