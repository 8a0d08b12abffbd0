# SPDX-License-Identifier: Apache-2.0
"""Windows over three axes in terms of windows over two. Volumes are [N,D,H,W,C].

A convolution reads the `taps` of its kernel along the depth as channels of one image, so the products are summed by a
single 2-D convolution. Pools are separable: first over height and width, then over the depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import Builder, Shape
from edgesdk.ir import Value

LAST: Shape = (0, 2, 3, 4, 1)  # [N,C,D,H,W] -> [N,D,H,W,C]
FIRST: Shape = (0, 4, 1, 2, 3)


@dataclass(frozen=True)
class Window:
    """A sliding window: one number per spatial axis each. `before` and `after` are its padding."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    after: Shape

    @property
    def span(self) -> Shape:
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def counts(self, size: Shape) -> Shape:
        """Positions along each axis."""
        each = zip(size, self.span, self.stride, self.before, self.after, strict=True)
        return tuple((n + first + last - k) // s + 1 for n, k, s, first, last in each)

    def plane(self) -> Window:
        """Its last two axes, (height, width); a signal has height 1."""
        return Window(
            *((1, *v)[-2:] for v in (self.kernel, self.stride, self.dilation)),
            *((0, *v)[-2:] for v in (self.before, self.after)),
        )

    def depth(self) -> Window:
        """Its first axis alone, as the height of images."""
        return Window(
            *((v[0], 1) for v in (self.kernel, self.stride, self.dilation)),
            *((v[0], 0) for v in (self.before, self.after)),
        )


def fitted(b: Builder, x: Value, axis: int, first: int, count: int) -> Value:
    """x[first : first + count] along `axis`, real zeros outside of x."""
    size = x.shape[axis]
    x = layers.cut(b, x, axis, max(first, 0), min(first + count, size))
    pads = [(0, 0)] * len(x.shape)
    pads[axis] = (max(-first, 0), max(first + count - size, 0))
    return b.emit("pad", [x], pads=tuple(pads), value=0.0) if any(pads[axis]) else x


def stacked(b: Builder, x: Value, taps: list[int], count: int, stride: int, groups: int) -> Value:
    """[N * count, H, W, C * taps]: beside each other what a kernel reads at depths tap + stride * i.

    The taps of a channel are neighbours where there are groups, else the channels of a tap."""
    n, _, h, w, c = x.shape
    parts = [layers.cut(b, x, 1, k, k + stride * (count - 1) + 1, stride) for k in taps]
    if len(parts) == 1:
        return b.reshape(parts[0], (n * count, h, w, c))
    if groups == 1:
        return b.reshape(b.emit("concat", parts, axis=4), (n * count, h, w, len(parts) * c))
    joined = b.emit("concat", [b.reshape(p, (*p.shape, 1)) for p in parts], axis=5)
    return b.reshape(joined, (n * count, h, w, c * len(parts)))


def stacked_weights(weights: np.ndarray, axis: int, groups: int) -> np.ndarray:
    """[.., .., KD, KH, KW] with the taps along the depth in the input channels, `axis`, in the order of `stacked`."""
    at = axis + 1 if groups > 1 else axis
    moved = np.moveaxis(weights, 2, at)
    shape = (*moved.shape[:axis], -1, *moved.shape[axis + 2 :])
    return np.ascontiguousarray(moved).reshape(shape)


def unstacked(b: Builder, y: Value, n: int) -> Value:
    """[N,C,D,H,W] of the images [N * D, H, W, C]."""
    return b.transpose(b.reshape(y, (n, y.shape[0] // n, *y.shape[1:])), FIRST)


def conv(
    b: Builder, x: Value, weights: np.ndarray, window: Window, groups: int, layer: Callable[[Value, np.ndarray], Value]
) -> Value:
    """A convolution of [N,C,D,H,W] with weights [O, I / groups, KD, KH, KW] by `layer`, which does it for images."""
    (count, *_), d = window.counts(x.shape[2:]), window.depth()
    deep = b.transpose(x, LAST)
    reach = d.stride[0] * (count - 1) + window.span[0]
    deep = fitted(b, deep, 1, -d.before[0], reach)
    taps = [k * d.dilation[0] for k in range(d.kernel[0])]
    images = stacked(b, deep, taps, count, d.stride[0], groups)
    return unstacked(b, layer(images, stacked_weights(weights, 1, groups)), x.shape[0])


def conv_transpose(
    b: Builder,
    x: Value,
    weights: np.ndarray,
    window: Window,
    extra: int,
    groups: int,
    layer: Callable[[Value, np.ndarray], Value],
) -> Value:
    """A transposed convolution of [N,C,D,H,W] with weights [I, O / groups, KD, KH, KW]: along the depth a convolution,
    read backwards, of the input with zeros between its planes. `extra` planes make the result longer."""
    (n, c, planes, h, w), d = x.shape, window.depth()
    stride, dilation, kernel = d.stride[0], d.dilation[0], d.kernel[0]
    spread = b.reshape(b.transpose(x, LAST), (n, planes, 1, h, w, c))
    spread = fitted(b, spread, 2, 0, stride)
    spread = b.reshape(spread, (n, planes * stride, h, w, c))
    reach = (kernel - 1) * dilation
    count = (planes - 1) * stride + extra + reach + 1 - d.before[0] - d.after[0]
    if count < 1:
        raise ValueError(f"padding {window.before} and {window.after} leaves nothing")
    spread = fitted(b, spread, 1, d.before[0] - reach, count + reach)
    images = stacked(b, spread, [reach - k * dilation for k in range(kernel)], count, 1, groups)
    return unstacked(b, layer(images, stacked_weights(weights, 0, groups)), n)


def pool(b: Builder, x: Value, window: Window, plane: Callable[[Value, Window], Value]) -> Value:
    """A pool of [N,C,D,H,W] by `plane`, which does it for images."""
    n, c, depth, h, w = x.shape
    images = b.reshape(b.transpose(x, LAST), (n * depth, h, w, c))
    flat = plane(images, window.plane())
    _, h, w, _ = flat.shape
    deep = plane(b.reshape(flat, (n, depth, h * w, c)), window.depth())
    return b.transpose(b.reshape(deep, (n, deep.shape[1], h, w, c)), FIRST)
