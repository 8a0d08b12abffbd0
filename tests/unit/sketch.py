# SPDX-License-Identifier: Apache-2.0
"""Float graphs written line by line."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value


class Sketch:
    """A graph under construction; shapes come from the ops' own rules."""

    def __init__(self, *shapes: tuple[int, ...], dtype: str = "float32", quant: Quant | None = None) -> None:
        self.random = np.random.default_rng(0)
        self.inputs = [Value(f"x{i}", s, dtype, quant) for i, s in enumerate(shapes)]
        self.nodes: list[Node] = []

    def constant(self, *shape: int, scale: float = 1.0) -> Value:
        data = (self.random.normal(0, scale, shape)).astype(np.float32)
        return Value(f"c{self.random.integers(1 << 30)}", shape, "float32", data=data)

    def op(self, kind: str, *inputs: Value | None, **attrs: Any) -> Value:
        if kind in ("conv2d", "depthwise_conv2d"):
            attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), **attrs}
        if kind in ("conv2d", "depthwise_conv2d", "transpose_conv2d", "fully_connected", "add", "sub", "mul"):
            attrs.setdefault("activation", "none")
        node = Node(kind, list(inputs), [], attrs, f"n{len(self.nodes)}")
        first = next(v for v in inputs if v is not None)
        value = Value(f"v{len(self.nodes)}", (), first.dtype, first.quant)
        node.outputs = [value]
        ((value.shape, value.dtype),) = ops.module(kind).infer(node)
        self.nodes.append(node)
        return value

    def graph(self, *outputs: Value) -> Graph:
        return Graph("sketch", self.inputs, list(outputs), self.nodes)

    def samples(self, n: int = 8) -> list[np.ndarray]:
        return [self.random.normal(0, 1, (n, *v.shape)).astype(np.float32) for v in self.inputs]
