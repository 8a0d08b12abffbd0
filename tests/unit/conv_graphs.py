# SPDX-License-Identifier: Apache-2.0
"""Random int8 convolutional networks that are hard on schedules: every block of mobile networks, with odd widths,
dilations, uneven padding, strides past the kernel, and images that are resized half way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphs import Builder
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgesdk.ir import Graph, Quant, Value

MAX_SIDE = 20
Draw = Callable[[Any], Any]


def _axis(draw: Draw, size: int) -> tuple[int, int, int, int, int]:
    """(kernel, stride, dilation, padding before, after) along an axis of `size`, with at least one output."""
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    reach = (kernel - 1) * dilation + 1
    before = draw(st.integers(0, reach))
    least = max(0, reach - size - before)
    after = draw(st.integers(least, max(least, min(reach, MAX_SIDE - size))))
    return kernel, draw(st.integers(1, 3)), dilation, before, after


def _window(draw: Draw, x: Value) -> tuple[tuple[int, int], dict[str, Any]]:
    """A kernel and the attributes of its convolution."""
    (kh, sh, dh, top, bottom), (kw, sw, dw, left, right) = (_axis(draw, x.shape[i]) for i in (1, 2))
    activation = draw(st.sampled_from(["none", "relu", "relu6"]))
    padding = (top, left, bottom, right)
    return (kh, kw), {"stride": (sh, sw), "dilation": (dh, dw), "padding": padding, "activation": activation}


def _same(draw: Draw, x: Value) -> tuple[tuple[int, int], dict[str, Any]]:
    """A window that keeps the size of the image; the padding of an even kernel is uneven."""
    kernel, dilation = (draw(st.integers(2, 4)) for _ in range(2)), draw(st.integers(1, 2))
    kh, kw = kernel
    pads = [(k - 1) * dilation for k in (kh, kw)]
    padding = (pads[0] // 2, pads[1] // 2, pads[0] - pads[0] // 2, pads[1] - pads[1] // 2)
    return (kh, kw), {"stride": (1, 1), "dilation": (dilation,) * 2, "padding": padding, "activation": "none"}


def _conv(b: Builder, x: Value, channels: int, kernel: tuple[int, int], attrs: dict[str, Any]) -> Value:
    w = b.constant((channels, *kernel, x.shape[3]), channels, 0)
    return b.add_node("conv2d", [x, w, b.bias(channels)], b.quant(), **attrs)


def _depthwise(b: Builder, x: Value, kernel: tuple[int, int], attrs: dict[str, Any], each: int = 1) -> Value:
    channels = x.shape[3] * each
    w = b.constant((*kernel, channels), channels, 2)
    return b.add_node("depthwise_conv2d", [x, w, b.bias(channels)], b.quant(), **attrs)


def _chain(draw: Draw, b: Builder, x: Value) -> Value:
    x = _conv(b, x, draw(st.integers(1, 8)), *_window(draw, x))
    each = draw(st.integers(1, 2)) if x.shape[3] < 5 else 1
    return _depthwise(b, x, *_window(draw, x), each)


def _residual(draw: Draw, b: Builder, x: Value) -> Value:
    y = _conv(b, x, x.shape[3], *_same(draw, x))
    return b.add_node("add", [x, _depthwise(b, y, *_same(draw, y))], b.quant(), activation="relu")


def _bottleneck(draw: Draw, b: Builder, x: Value) -> Value:
    """Expand, filter, project; with a shortcut where the image keeps its size."""
    wide = b.conv(x, 2 * x.shape[3], 1, 1)
    shortcut = draw(st.booleans())
    y = _depthwise(b, wide, *(_same if shortcut else _window)(draw, wide))
    one = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "activation": "none"}
    y = _conv(b, y, x.shape[3], (1, 1), one)
    return b.add_node("add", [y, x], b.quant(), activation="none") if shortcut else y


def _branches(draw: Draw, b: Builder, x: Value) -> Value:
    """Side by side, two or three of: a convolution, a wide one, a pool."""
    ways = [_conv(b, x, draw(st.integers(1, 4)), *_same(draw, x)), _depthwise(b, x, *_same(draw, x))]
    pool = {"kernel": (3, 3), "stride": (1, 1), "padding": (1,) * 4, "activation": "none"}
    if draw(st.booleans()):
        ways.append(b.add_node("max_pool2d", [x], x.quant, **pool))
    for way in ways:
        way.quant = x.quant
    return b.add_node("concat", ways, x.quant, axis=3)


def _pool(draw: Draw, b: Builder, x: Value) -> Value:
    kernel = tuple(draw(st.integers(1, min(3, size))) for size in x.shape[1:3])
    top, left = (draw(st.integers(0, k - 1)) for k in kernel)
    bottom, right = (draw(st.integers(0, k - 1)) for k in kernel)
    attrs = {"kernel": kernel, "stride": (draw(st.integers(1, 2)), draw(st.integers(1, 2)))}
    op = draw(st.sampled_from(["max_pool2d", "avg_pool2d"]))
    return b.add_node(op, [x], x.quant, padding=(top, left, bottom, right), activation="none", **attrs)


def _resize(draw: Draw, b: Builder, x: Value) -> Value:
    size = (draw(st.integers(2, 12)), draw(st.integers(2, 12)))
    corners = draw(st.booleans())
    centers = not corners and draw(st.booleans())
    op = draw(st.sampled_from(["resize_nearest", "resize_bilinear"]))
    y = b.add_node(op, [x], x.quant, size=size, align_corners=corners, half_pixel_centers=centers)
    return _conv(b, y, draw(st.integers(1, 6)), *_window(draw, y))


def _groups(draw: Draw, b: Builder, x: Value) -> Value:
    """A convolution in groups; channels are made to fit."""
    n, kernel = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    wide = b.conv(x, 2 * n, 1, 1)
    out_c = n * draw(st.integers(1, 3))
    pads = ((kernel - 1) // 2, 0, kernel - 1 - (kernel - 1) // 2, kernel - 1)
    attrs = {"stride": (draw(st.integers(1, 2)), 1), "dilation": (1, 1), "padding": pads, "activation": "relu"}
    w = b.constant((out_c, kernel, kernel, 2), out_c, 0)
    return b.add_node("conv2d", [wide, w, b.bias(out_c)], b.quant(), groups=n, **attrs)


def _decoder(draw: Draw, b: Builder, x: Value) -> Value:
    """A transposed convolution that makes the image larger, where it is small; else one that keeps it."""
    most = 2 if max(x.shape[1:3]) <= MAX_SIDE // 2 else 1
    kernel, stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4))), (draw(st.integers(1, most)),) * 2
    cut = tuple(draw(st.integers(0, max(0, k - 1))) for k in kernel)
    size = [(x.shape[1 + a] - 1) * stride[a] + kernel[a] - cut[a] for a in (0, 1)]
    channels = draw(st.integers(1, 6))
    w = b.constant((channels, *kernel, x.shape[3]), channels, 0)
    attrs = {"stride": stride, "dilation": (1, 1), "activation": draw(st.sampled_from(["none", "relu"]))}
    pads = {"padding": (cut[0], 0, 0, cut[1]), "output_padding": (0, 0)}
    assert min(size) > 0
    return b.add_node("transpose_conv2d", [x, w, b.bias(channels)], b.quant(), **attrs, **pads)


def _classes(draw: Draw, b: Builder, x: Value) -> Value:
    """Shares of the channels of each pixel, or of the image's own and a gate."""
    y = b.conv(x, draw(st.integers(2, 5)), 1, 1)
    if draw(st.booleans()):
        y = b.add_node(
            "mul", [y, b.add_node("logistic", [y], Quant.per_tensor(1 / 256, -128))], b.quant(), activation="none"
        )
    return b.add_node("softmax", [y], Quant.per_tensor(1 / 256, -128), beta=1.0)


BLOCKS = (_chain, _residual, _bottleneck, _branches, _pool, _resize, _groups, _decoder, _classes)


@st.composite
def networks(draw: Any, blocks: int = 5) -> Graph:
    """2 to `blocks` blocks with a classifier or a feature map at the end."""
    b = Builder(draw(st.integers(0, 2**32 - 1)), "int8")
    x = y = b.input((1, draw(st.integers(5, 17)), draw(st.integers(5, 17)), draw(st.integers(1, 4))))
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=blocks)):
        y = block(draw, b, y)
    if draw(st.booleans()):
        y = b.classifier(y, draw(st.integers(2, 6)))
    return Graph("random", [x], [y], b.nodes)


def sample(n: int) -> list[Graph]:
    """The same n networks every time, for what is checked on all of them at once."""
    found: list[Graph] = []

    @settings(max_examples=n, phases=[Phase.generate], derandomize=True, database=None)
    @given(networks())
    def collect(graph: Graph) -> None:
        found.append(graph)

    collect()
    return found
