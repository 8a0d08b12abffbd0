# SPDX-License-Identifier: Apache-2.0
"""Networks of the CPU benchmark as data: real shapes, random weights.

Weights are drawn as He et al. do; then each layer in turn is scaled so that its channels, over random images, have
means and deviations like those behind trained batch norms, which are thereby folded in. Padding is SAME as TensorFlow
defines it: all of these networks were published that way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from networks import MOBILENET_V2, divisible

# expansion, channels, repeats, stride, kernel: EfficientNet-B0 (arXiv 1905.11946, table 1) without its attention
EFFICIENTNET = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
MOBILENET_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
IMAGES = 2  # that weights are scaled with
EPSILON = 1e-3


@dataclass(frozen=True)
class Layer:
    """`inputs` are numbers of layers, 0 the image and n the n-th layer. `kind` is one of conv, depthwise, add, mean,
    dense; a layer without weights keeps `channels` of its input."""

    kind: str
    inputs: tuple[int, ...]
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    activation: str = "none"


@dataclass(frozen=True)
class Net:
    """`image` is (height, width, channels)."""

    name: str
    image: tuple[int, int, int]
    layers: tuple[Layer, ...]


@dataclass(eq=False)
class Weights:
    """w is [O, KH, KW, I], of a depthwise layer [KH, KW, C], of a dense one [O, I]."""

    w: np.ndarray
    b: np.ndarray


class _Draft:
    """Layers in the making; every method answers the number of the layer that it added."""

    def __init__(self, channels: int, activation: str) -> None:
        self.layers: list[Layer] = []
        self.channels = [channels]
        self.activation = activation

    def append(self, layer: Layer) -> int:
        self.layers.append(layer)
        self.channels.append(layer.channels)
        return len(self.layers)

    def conv(
        self, x: int, channels: int, kernel: int | tuple[int, int], stride: int = 1, act: str | None = None
    ) -> int:
        window = (kernel, kernel) if isinstance(kernel, int) else kernel
        return self.append(Layer("conv", (x,), channels, window, stride, self.activation if act is None else act))

    def depthwise(self, x: int, kernel: int, stride: int) -> int:
        return self.append(Layer("depthwise", (x,), self.channels[x], (kernel, kernel), stride, self.activation))

    def add(self, a: int, b: int, act: str = "none") -> int:
        return self.append(Layer("add", (a, b), self.channels[a], activation=act))

    def classes(self, x: int, n: int) -> tuple[Layer, ...]:
        mean = self.append(Layer("mean", (x,), self.channels[x]))
        self.append(Layer("dense", (mean,), n))
        return tuple(self.layers)


def mobilenet_v1(name: str, size: int, classes: int, width: float = 1.0) -> Net:
    """Table 1 of arXiv 1704.04861."""
    net = _Draft(3, "relu6")
    x = net.conv(0, max(8, int(32 * width)), 3, 2)
    for channels, stride in MOBILENET_V1:
        x = net.conv(net.depthwise(x, 3, stride), max(8, int(channels * width)), 1)
    return Net(name, (size, size, 3), net.classes(x, classes))


def inverted(name: str, size: int, classes: int, width: float, rows: Sequence[tuple[int, ...]]) -> Net:
    """A network of inverted residuals; a row may name its kernel."""
    net = _Draft(3, "relu6")
    x = net.conv(0, divisible(32 * width), 3, 2)
    for expansion, channels, repeats, first, *kernel in rows:
        for k in range(repeats):
            stride = first if k == 0 else 1
            inner = net.conv(x, net.channels[x] * expansion, 1) if expansion > 1 else x
            inner = net.conv(net.depthwise(inner, *(kernel or [3]), stride), divisible(channels * width), 1, act="none")
            same = stride == 1 and net.channels[inner] == net.channels[x]
            x = net.add(x, inner) if same else inner
    x = net.conv(x, max(1280, divisible(1280 * width)), 1)
    return Net(name, (size, size, 3), net.classes(x, classes))


def ds_cnn(name: str) -> Net:
    """Keyword spotting of MLPerf Tiny: 49 frames of 10 coefficients."""
    net = _Draft(1, "relu")
    x = net.conv(0, 64, (10, 4), 2)
    for _ in range(4):
        x = net.conv(net.depthwise(x, 3, 1), 64, 1)
    return Net(name, (49, 10, 1), net.classes(x, 12))


def resnet8(name: str) -> Net:
    """Image classification of MLPerf Tiny."""
    net = _Draft(3, "relu")
    x = net.conv(0, 16, 3)
    for channels, stride in [(16, 1), (32, 2), (64, 2)]:
        inner = net.conv(net.conv(x, channels, 3, stride), channels, 3, act="none")
        x = net.add(x if stride == 1 else net.conv(x, channels, 1, stride, act="none"), inner, "relu")
    return Net(name, (32, 32, 3), net.classes(x, 10))


NETS = {
    net.name: net
    for net in (
        mobilenet_v1("mobilenet_v1_224", 224, 1000),
        inverted("mobilenet_v2_224", 224, 1000, 1.0, MOBILENET_V2),
        inverted("efficientnet_lite0_224", 224, 1000, 1.0, EFFICIENTNET),
        inverted("mobilenet_v2_035_96", 96, 2, 0.35, MOBILENET_V2),
        ds_cnn("ds_cnn"),
        resnet8("resnet8"),
    )
}


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def pads(layer: Layer, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right, for an input of `shape` (height, width, ...)."""
    (top, bottom), (left, right) = (same_pads(n, k, layer.stride) for n, k in zip(shape[:2], layer.kernel, strict=True))
    return top, left, bottom, right


def shapes(net: Net) -> list[tuple[int, ...]]:
    """Of the image and of what each layer writes: (height, width, channels), or (channels,) behind the mean."""
    found: list[tuple[int, ...]] = [net.image]
    for layer in net.layers:
        given = found[layer.inputs[0]]
        spatial = () if layer.kind in ("mean", "dense") else tuple(-(-n // layer.stride) for n in given[:2])
        found.append((*spatial, layer.channels))
    return found


def macs(net: Net) -> list[int]:
    """Products of each layer."""
    sizes, counted = shapes(net), []
    for layer, out in zip(net.layers, sizes[1:], strict=True):
        deep = sizes[layer.inputs[0]][-1] if layer.kind in ("conv", "dense") else 1
        multiplies = layer.kind in ("conv", "depthwise", "dense")
        counted.append(int(np.prod(out)) * deep * int(np.prod(layer.kernel)) if multiplies else 0)
    return counted


def drawn(layer: Layer, channels: int, rng: np.random.Generator) -> Weights:
    """He-initialised, for an input of so many channels."""
    window = layer.kernel if layer.kind != "dense" else ()
    shape = (*window, channels) if layer.kind == "depthwise" else (layer.channels, *window, channels)
    fan = int(np.prod(window)) * (1 if layer.kind == "depthwise" else channels)
    w = rng.standard_normal(shape) * np.sqrt(2 / fan)
    return Weights(w.astype(np.float32), np.zeros(layer.channels, np.float32))


def scaled(weights: Weights, out: np.ndarray, layer: Layer, rng: np.random.Generator) -> Weights:
    """So that `out`, what the layer gives with these weights, would have a batch norm's moments."""
    axes = tuple(range(out.ndim - 1))
    gain = rng.uniform(0.7, 1.3, layer.channels) / (out.std(axes) + EPSILON)
    shift = rng.normal(0.2, 0.3, layer.channels)
    channel_last = layer.kind == "depthwise"
    w = weights.w * (gain if channel_last else gain.reshape(-1, *[1] * (weights.w.ndim - 1)))
    b = (weights.b - out.mean(axes)) * gain + shift
    return Weights(w.astype(np.float32), b.astype(np.float32))


def activated(x: np.ndarray, name: str) -> np.ndarray:
    if name == "none":
        return x
    return np.clip(x, 0, 6) if name == "relu6" else np.maximum(x, 0)


def taps(x: np.ndarray, layer: Layer) -> list[np.ndarray]:
    """The input that each tap of the window sees, [N, OH, OW, C]."""
    top, left, bottom, right = pads(layer, x.shape[1:])
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    oh, ow = (-(-n // layer.stride) for n in x.shape[1:3])
    rows = [slice(i, i + (oh - 1) * layer.stride + 1, layer.stride) for i in range(layer.kernel[0])]
    columns = [slice(j, j + (ow - 1) * layer.stride + 1, layer.stride) for j in range(layer.kernel[1])]
    return [padded[:, r, c] for r in rows for c in columns]


def multiplied(x: np.ndarray, layer: Layer, weights: Weights) -> np.ndarray:
    """What a layer with weights gives, before its activation."""
    if layer.kind == "dense":
        return x @ weights.w.T + weights.b
    seen = taps(x, layer)
    if layer.kind == "depthwise":
        by_tap = weights.w.reshape(len(seen), -1)
        return sum((t * w for t, w in zip(seen, by_tap, strict=True)), np.zeros((), np.float32)) + weights.b
    w = weights.w.reshape(layer.channels, len(seen), -1)
    return sum((t @ w[:, k].T for k, t in enumerate(seen)), np.zeros((), np.float32)) + weights.b


def evaluate(
    net: Net, images: np.ndarray, weights_of: Callable[[int, Layer, np.ndarray], Weights | None]
) -> np.ndarray:
    """What the network gives for images [N, H, W, C]; `weights_of` is asked in order, with the layer's input."""
    values = [images]
    for n, layer in enumerate(net.layers):
        x = values[layer.inputs[0]]
        if layer.kind == "mean":
            values.append(x.mean((1, 2)))
            continue
        weights = weights_of(n, layer, x)
        y = multiplied(x, layer, weights) if weights else x + values[layer.inputs[1]]
        values.append(activated(y, layer.activation))
    return values[-1]


def random_images(net: Net, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *net.image)).astype(np.float32)


def weights(net: Net, seed: int = 0) -> list[Weights | None]:
    """The same for the same seed; None for layers without."""
    rng = np.random.default_rng(seed)
    made: list[Weights | None] = [None] * len(net.layers)

    def draw(n: int, layer: Layer, x: np.ndarray) -> Weights | None:
        if layer.kind == "add":
            return None
        first = drawn(layer, x.shape[-1], rng)
        pixels = x.ndim == 4  # behind the mean there are too few numbers for moments
        made[n] = scaled(first, multiplied(x, layer, first), layer, rng) if pixels else first
        return made[n]

    evaluate(net, random_images(net, IMAGES, seed + 1), draw)
    return made


def reference(net: Net, made: list[Weights | None], images: np.ndarray) -> np.ndarray:
    return evaluate(net, images, lambda n, layer, x: made[n])
