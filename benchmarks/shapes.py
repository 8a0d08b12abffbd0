# SPDX-License-Identifier: Apache-2.0
"""Draws nodes of the ops that models are made of, in shapes that models have."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from steps import POOL_BYTES, single

from edgesdk.ir import Graph, Node, Quant, Value


@dataclass(eq=False)
class Shapes:
    """Draws the nodes of one pair of types: of activations, and of weights where it is another one."""

    rng: random.Random
    types: str

    @property
    def dtype(self) -> str:
        return self.types.split()[0]

    def quant(self) -> Quant | None:
        if self.dtype not in ("int8", "int16"):
            return None
        if self.dtype == "int16":
            return Quant.per_tensor(self.rng.uniform(0.0005, 0.001), 0)
        return Quant.per_tensor(self.rng.uniform(0.02, 0.1), self.rng.randint(-20, 20))

    def out_quant(self, activation: str) -> Quant | None:
        """Behind a ReLU mostly that of positive numbers, as models have it."""
        if self.dtype == "int8" and activation == "relu" and self.rng.random() < 0.7:
            return Quant.per_tensor(self.rng.uniform(0.02, 0.1), -128)
        return self.quant()

    def channels(self) -> int:
        return self.rng.choice([1, 2, 3, 4, 6, 8, 8, 12, 16, 16, 24, 32, 48, 64, 96, self.rng.randint(1, 64)])

    def image(self, c: int | None = None) -> Value:
        """Of at most POOL_BYTES; small ones are as likely as large ones."""
        c = c or self.channels()
        most = max(1, POOL_BYTES // (c * np.dtype(self.dtype).itemsize))
        pixels = int(2 ** self.rng.uniform(0, np.log2(most)))
        h = self.rng.randint(1, min(pixels, 40))
        batch = self.rng.choice([1, 1, 1, 2, 3]) if pixels // h >= 6 else 1
        return Value("x", (batch, h, max(1, pixels // h // batch), c), self.dtype, self.quant())

    def weights(self, shape: tuple[int, ...], channels: int, axis: int) -> list[Value | None]:
        """Weights, normal as those of trained layers are, and bias."""
        numbers = np.random.default_rng(self.rng.getrandbits(32))
        normal, stored = numbers.standard_normal(shape), self.types.split()[-1]
        bias = numbers.integers(-999, 999, channels).astype("int32" if self.dtype == "int8" else "int64")
        if self.dtype == "float32":
            bias = (bias / 999).astype(np.float32)
        b = Value("b", (channels,), bias.dtype.name, None, bias)
        if stored in ("float32", "float16"):
            return [Value("w", shape, stored, None, (normal / 4).astype(stored)), b]
        most = 7 if stored == "int4" else 127
        quant = Quant(numbers.uniform(0.002, 0.01, channels).astype(np.float32), np.zeros(channels, np.int32), axis)
        w = np.clip(np.rint(normal * most / 3), -most, most).astype(np.int8)
        return [Value("w", shape, "int4" if stored == "int4" else "int8", quant, w), b]

    def window(self, x: Value, kernel: tuple[int, int]) -> dict[str, Any]:
        dilation = self.rng.choice([1] * 9 + [2])
        spans = [(k - 1) * dilation for k in kernel]
        same = self.rng.random() < 0.6
        pad = [(s // 2, s - s // 2) if same else (0, 0) for s in spans]
        step = self.rng.choice([1, 1, 2])
        padding = (pad[0][0], pad[1][0], pad[0][1], pad[1][1])
        activation = self.rng.choice(["relu", "relu", "none"])
        return {"stride": (step, step), "dilation": (dilation,) * 2, "padding": padding, "activation": activation}

    def kernel(self) -> tuple[int, int]:
        odd = (self.rng.randint(1, 10), self.rng.randint(1, 5))
        return self.rng.choice([(1, 1), (1, 1), (3, 3), (3, 3), (5, 5), (3, 1), (1, 3), odd])


def conv2d(s: Shapes) -> Graph:
    x, kernel, out_c = s.image(), s.kernel(), s.channels()
    inputs = [x, *s.weights((out_c, *kernel, x.shape[3]), out_c, 0)]
    window = s.window(x, kernel)
    return single("conv2d", inputs, s.out_quant(window["activation"]), **window)


def depthwise_conv2d(s: Shapes) -> Graph:
    x, kernel = s.image(), s.rng.choice([(3, 3), (3, 3), (5, 5), (7, 7), s.kernel()])
    out_c = x.shape[3] * s.rng.choice([1, 1, 1, 1, 2, 8])
    window = s.window(x, kernel)
    weights = s.weights((*kernel, out_c), out_c, 2)
    return single("depthwise_conv2d", [x, *weights], s.out_quant(window["activation"]), **window)


def wide_depthwise_conv2d(s: Shapes) -> Graph:
    """3x3, of images whose rows are long."""
    c = s.rng.choice([2, 3, 4, 8, 8, 16, 24, 32, s.rng.randint(2, 40)])
    w = s.rng.randint(8, max(8, min(48, POOL_BYTES // c // 2)))
    x = Value("x", (1, s.rng.randint(2, 20), w, c), s.dtype, s.quant())
    activation, inputs = s.rng.choice(["relu", "none"]), [x, *s.weights((3, 3, c), c, 2)]
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": activation}
    return single("depthwise_conv2d", inputs, s.out_quant(activation), **attrs)


def fully_connected(s: Shapes) -> Graph:
    n, out_c = int(2 ** s.rng.uniform(1, 10)), s.channels() * s.rng.choice([1, 1, 4])
    x = Value("x", (s.rng.choice([1, 1, 1, 2, 5]), n), s.dtype, s.quant())
    return single("fully_connected", [x, *s.weights((out_c, n), out_c, 0)], s.quant(), activation="none")


def pool(s: Shapes) -> Graph:
    x, kernel = s.image(), s.rng.choice([(2, 2), (3, 3), s.kernel()])
    attrs = s.window(x, kernel) | {"dilation": (1, 1), "activation": "relu6"}
    return single(s.rng.choice(["max_pool2d", "avg_pool2d"]), [x], x.quant, kernel=kernel, **attrs)


def reduction(s: Shapes) -> Graph:
    ops_of = {"int8": ["mean", "mean", "sum", "reduce_max", "image_mean"], "float32": ["mean", "sum", "reduce_max"]}
    ops_of |= {"int16": ops_of["float32"], "int32": ["sum", "reduce_max"], "int64": ["sum", "reduce_max"]}
    x, op = s.image(s.rng.choice([None, None, 1])), s.rng.choice(ops_of[s.dtype])
    axes = (1, 2) if op == "image_mean" else s.rng.choice([(1, 2), (1, 2), (2,), (3,)])
    attrs = {"activation": "none"} if op == "image_mean" else {}
    same = op in ("reduce_max", "image_mean")
    return single(op, [x], x.quant if same else s.quant(), axes=axes, keep_dims=op == "image_mean", **attrs)


def binary(s: Shapes) -> Graph:
    op, x = s.rng.choice(["add", "sub", "mul", "minimum", "maximum"]), s.image()
    shape = s.rng.choice([x.shape, x.shape, (x.shape[0], 1, 1, x.shape[3])])
    same = op in ("minimum", "maximum")
    y = Value("y", shape, s.dtype, x.quant if same else s.quant())
    return single(op, [x, y], x.quant if same else s.quant(), **({} if same else {"activation": "none"}))


def joined(s: Shapes) -> Graph:
    x, axis = s.image(), s.rng.choice([3, 3, 2, 1])
    sizes = [s.rng.randint(1, 2 * x.shape[axis]) for _ in range(s.rng.randint(1, 3))]
    others = [Value(f"x{i}", (*x.shape[:axis], n, *x.shape[axis + 1 :]), s.dtype, x.quant) for i, n in enumerate(sizes)]
    return single("concat", [x, *others], x.quant, axis=axis)


def moved(s: Shapes) -> Graph:
    x = s.image()
    n, h, w, c = x.shape
    begin = (0, s.rng.randint(0, h - 1), s.rng.randint(0, w - 1), s.rng.choice([0, s.rng.randint(0, c - 1)]))
    rest = tuple(d - b for d, b in zip(x.shape, begin, strict=True))
    borders = [(s.rng.randint(0, 2), s.rng.randint(0, 2)) for _ in range(2)]
    op, attrs = s.rng.choice([
        ("pad", {"pads": ((0, 0), *borders, (0, 0)), "value": 0.0}),
        ("transpose", {"perm": s.rng.choice([(0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1)])}),
        ("slice", {"begin": begin, "size": rest, "stride": (1,) * 4}),
        ("space_to_depth", {"block": 2}),
    ])  # fmt: skip
    return single(op, [x], x.quant, **attrs)


def resized(s: Shapes) -> Graph:
    x, op = s.image(), s.rng.choice(["resize_nearest", "resize_bilinear"])
    size = (s.rng.randint(1, 3 * x.shape[1]), s.rng.randint(1, 3 * x.shape[2]))
    return single(op, [x], x.quant, size=size, align_corners=False, half_pixel_centers=op == "resize_bilinear")


def softmax(s: Shapes) -> Graph:
    x = Value("x", (s.rng.choice([1, 1, 2, 5]), int(2 ** s.rng.uniform(1, 8))), s.dtype, s.quant())
    quants = {"int8": Quant.per_tensor(1 / 256, -128), "int16": Quant.per_tensor(1 / 32768, 0)}
    return single("softmax", [x], quants.get(s.dtype), beta=1.0)


def unary(s: Shapes) -> Graph:
    floats = ["relu6", "leaky_relu", "hard_swish", "logistic", "tanh"]
    op = s.rng.choice(floats if s.dtype != "int8" else ["hard_swish"])
    fixed = Quant.per_tensor(1 / 32768, 0) if s.dtype == "int16" and op in ("logistic", "tanh") else s.quant()
    return single(op, [s.image()], fixed, **({"alpha": 0.1} if op == "leaky_relu" else {}))


def converted(s: Shapes) -> Graph:
    """To and from floats, and from one grid to another."""
    x = s.image()
    fine, coarse = Quant.per_tensor(s.rng.uniform(0.0005, 0.001), 0), Quant.per_tensor(s.rng.uniform(0.02, 0.1), 3)
    if s.dtype != "float32" and s.rng.random() < 0.4:
        return single("dequantize", [x], None)
    to = s.rng.choice(["int8", "int16"] if s.dtype != "int8" else ["int16"])
    return quantized(x, to, fine if to == "int16" else coarse)


def quantized(x: Value, to: str, quant: Quant) -> Graph:
    """The output's type is the writer's choice, not the shape rule's."""
    node = Node("quantize", [x], [Value("y", x.shape, to, quant)], {}, "quantize")
    return Graph("quantize", [x], [node.output], [node])


# Family -> shapes; those whose kernels differ most get most.
Family = Callable[[Shapes], Graph]
LAYERS: dict[Family, int] = {conv2d: 200, depthwise_conv2d: 140, wide_depthwise_conv2d: 80, fully_connected: 120}
OTHERS: dict[Family, int] = {
    pool: 140, reduction: 200, binary: 140, joined: 70, moved: 120, resized: 80, softmax: 60, unary: 90, converted: 60,
}  # fmt: skip
