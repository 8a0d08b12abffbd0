# SPDX-License-Identifier: Apache-2.0
"""ONNX ops that slide a window over one, two or three axes: convolutions and pools. RULES: op type -> rule.

A signal is an image of height 1; how a volume becomes images is in volumes.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from edgesdk.converters import layers, volumes
from edgesdk.converters.build import Builder, Shape
from edgesdk.converters.layers import restored
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand
from edgesdk.converters.volumes import Window
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


def numbers(op: Op, name: str, spatial: int, default: int | Shape, least: int = 1) -> Shape:
    """An attribute with one integer per spatial axis."""
    whole = default if isinstance(default, tuple) else (default,) * spatial
    values = tuple(int(v) for v in op.attrs.get(name, whole))
    if len(values) != spatial or min(values) < least:
        raise ValueError(f"{name} {list(values)}, expected {spatial} integers from {least} on")
    return values


def spatial_axes(x: Value) -> int:
    """1 for a signal, 2 for an image, 3 for a volume."""
    if not 3 <= len(x.shape) <= 5:
        raise Unsupported(f"a window over {len(x.shape) - 2} axes; expected 1, 2 or 3")
    return len(x.shape) - 2


def stated_padding(op: Op, spatial: int) -> tuple[Shape, Shape]:
    """The attribute pads as (before, after)."""
    given = op.attrs.get("auto_pad", "NOTSET") == "NOTSET"
    pads = [int(p) for p in op.attrs.get("pads", ())] if given else []
    pads = pads or [0] * (2 * spatial)
    if len(pads) != 2 * spatial or min(pads) < 0:
        raise ValueError(f"pads {pads}, expected {2 * spatial} integers from 0 on")
    return tuple(pads[:spatial]), tuple(pads[spatial:])


def window_of(op: Op, size: Shape, kernel: Shape) -> Window:
    """The window of a convolution or pool, with auto_pad and ceil_mode resolved."""
    n = len(size)
    stride, dilation = (numbers(op, name, n, 1) for name in ("strides", "dilations"))
    window = Window(kernel, stride, dilation, *stated_padding(op, n))
    mode = op.attrs.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        each = zip(size, stride, window.span, strict=True)
        total = [max((math.ceil(d / s) - 1) * s + k - d, 0) for d, s, k in each]
        first = tuple(t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total)
        return replace(window, before=first, after=tuple(t - f for t, f in zip(total, first, strict=True)))
    if mode not in ("NOTSET", "VALID"):
        raise ValueError(f"auto_pad {mode!r}")
    return replace(window, after=ceiled(window, size)) if op.attrs.get("ceil_mode", 0) else window


def ceiled(window: Window, size: Shape) -> Shape:
    """The padding behind the data with what ceil_mode adds; a window that would start behind it is dropped."""
    after = []
    for n, k, s, first, last in zip(size, window.span, window.stride, window.before, window.after, strict=True):
        count = -(-(n + first + last - k) // s) + 1
        count -= (count - 1) * s >= n + first
        after.append(max((count - 1) * s + k - (n + first), last))
    return tuple(after)


def plane_attrs(window: Window) -> dict[str, Any]:
    """Those of an op on images."""
    flat = window.plane()
    padding = (*flat.before, *flat.after)
    return {"stride": flat.stride, "dilation": flat.dilation, "padding": padding, "activation": "none"}


def result_shape(y: Value, spatial: int) -> Shape:
    """The source's shape of an image [N,H,W,C]."""
    n, h, w, c = y.shape
    return (n, c, h, w) if spatial == 2 else (n, c, w)


def as_images(weights: np.ndarray) -> np.ndarray:
    """[.., .., KH, KW], also of a signal's."""
    return weights[:, :, None] if weights.ndim == 3 else weights


def weights_of(op: Op, x: Value, w: Operand, channels: int) -> np.ndarray:
    """The weights of a convolution whose axis `channels` is that of the input."""
    weights, group = constant(w, "its weights"), int(op.attrs.get("group", 1))
    if not 1 <= weights.ndim - 2 <= 3:
        raise Unsupported(f"{weights.ndim - 2}-D convolution; expected 1 to 3 spatial axes")
    of_input = weights.shape[channels] * (group if channels else 1)
    if len(x.shape) != weights.ndim or group < 1 or of_input != x.shape[1] or weights.shape[0] % group:
        raise ValueError(f"weights {list(weights.shape)} in {group} groups do not match the input {list(x.shape)}")
    if numbers(op, "kernel_shape", weights.ndim - 2, weights.shape[2:]) != weights.shape[2:]:
        raise ValueError(f"weights {list(weights.shape)} do not match kernel_shape")
    return weights


def conv(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    weights, group = weights_of(op, value, operand(x, 1), 1), int(op.attrs.get("group", 1))
    window, spatial = window_of(op, value.shape[2:], weights.shape[2:]), weights.ndim - 2
    bias, attrs = bias_of(operand(x, 2), weights.shape[0]), plane_attrs(window)

    def layer(image: Value, laid: np.ndarray) -> Value:
        return layers.grouped(b, image, laid, bias, group, op.outputs[0], attrs)

    if spatial == 3:
        if min(window.counts(value.shape[2:])) < 1:
            raise ValueError(f"a kernel {list(weights.shape[2:])} larger than the input {list(value.shape)}")
        return [volumes.conv(b, value, weights, window, group, layer)]
    y = layer(layers.image(b, value, spatial), as_images(weights))
    return [restored(b, y, result_shape(y, spatial))]


def bias_of(x: Operand, channels: int) -> np.ndarray | None:
    if x is None:
        return None
    bias = constant(x, "its bias")
    if bias.shape != (channels,):
        raise ValueError(f"bias {list(bias.shape)}, expected [{channels}]")
    return bias


def conv_transpose(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    weights, group = weights_of(op, value, operand(x, 1), 0), int(op.attrs.get("group", 1))
    spatial = weights.ndim - 2
    window, extra = transposed_window(op, value.shape[2:], weights.shape[2:])
    attrs = {**plane_attrs(window), "output_padding": (0, *extra)[-2:]}
    bias = bias_of(operand(x, 2), weights.shape[1] * group)

    def layer(image: Value, laid: np.ndarray) -> Value:
        return layers.transposed(b, image, laid, bias, group, op.outputs[0], attrs)

    if spatial == 3:
        return [volumes.conv_transpose(b, value, weights, window, extra[0], group, layer)]
    y = layer(layers.image(b, value, spatial), as_images(weights))
    return [restored(b, y, result_shape(y, spatial))]


def transposed_window(op: Op, size: Shape, kernel: Shape) -> tuple[Window, Shape]:
    """The window, whose padding is cut from the full result, and output_padding; auto_pad and output_shape resolved."""
    n = len(size)
    extra = numbers(op, "output_padding", n, 0, 0)
    stride, dilation = (numbers(op, name, n, 1) for name in ("strides", "dilations"))
    window = Window(kernel, stride, dilation, *stated_padding(op, n))
    mode, wanted = op.attrs.get("auto_pad", "NOTSET"), [int(d) for d in op.attrs.get("output_shape", ())]
    if not wanted and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [d * s for d, s in zip(size, stride, strict=True)]
    if not wanted:
        return window, extra
    if len(wanted) not in (n, n + 2) or min(wanted) < 1:
        raise ValueError(f"output_shape {wanted}, expected {n} integers from 1 on")
    each = zip(size, stride, window.span, extra, wanted[-n:], strict=True)
    total = [(d - 1) * s + k + e - w for d, s, k, e, w in each]
    cut = [max(t, 0) for t in total]
    first = tuple(t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in cut)
    longer = tuple(e + max(-t, 0) for e, t in zip(extra, total, strict=True))
    return replace(window, before=first, after=tuple(t - f for t, f in zip(cut, first, strict=True))), longer


def kernel_of(op: Op, spatial: int) -> Shape:
    if "kernel_shape" not in op.attrs:
        raise ValueError("kernel_shape is missing")
    return numbers(op, "kernel_shape", spatial, 1)


def pooled(b: Builder, x: Value, window: Window, plane: Any) -> Value:
    """A pool by `plane`, which does it for images [N,H,W,C]."""
    spatial = spatial_axes(x)
    if spatial == 3:
        return volumes.pool(b, x, window, plane)
    y = plane(layers.image(b, x, spatial), window.plane())
    return restored(b, y, result_shape(y, spatial))


def pool_window(op: Op, x: Value) -> Window:
    spatial = spatial_axes(x)
    window = window_of(op, x.shape[2:], kernel_of(op, spatial))
    if any(p >= k for p, k in zip((*window.before, *window.after), window.span * 2, strict=True)):
        raise ValueError(f"padding {list((*window.before, *window.after))} as large as the window {list(window.span)}")
    return window


def max_pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    window = pool_window(op, value)
    results: list[Operand] = [pooled(b, value, window, partial(maximum, b, op.outputs[0]))]
    return [*results, indices(b, op, value, window)] if any(op.outputs[1:]) else results


def maximum(b: Builder, name: str, image: Value, window: Window) -> Value:
    attrs = pool_attrs(window)
    dilated = {} if max(window.dilation) == 1 else {"dilation": window.dilation}
    return b.emit("max_pool2d", [image], name, **attrs, **dilated)


def pool_attrs(window: Window) -> dict[str, Any]:
    padding = (*window.before, *window.after)
    return {"kernel": window.kernel, "stride": window.stride, "padding": padding, "activation": "none"}


def indices(b: Builder, op: Op, x: Value, window: Window) -> Value:
    """Where in the whole tensor each maximum lies, the first of equal ones: the taps of the kernel side by side."""
    size, counts = x.shape[2:], window.counts(x.shape[2:])
    if len(size) > 3:
        raise Unsupported(f"indices of a pool over {len(size)} axes; expected 1 to 3")
    pads = ((0, 0), (0, 0), *zip(window.before, window.after, strict=True))
    padded = b.emit("pad", [x], pads=pads, value=-math.inf) if any(map(any, pads)) else x
    taps = list(np.ndindex(*window.kernel))
    found = b.emit("arg_max", [side_by_side(b, padded, window, counts, taps)], axis=len(x.shape), **FIRST_LARGEST)
    steps = strides(size, bool(op.attrs.get("storage_order", 0)))
    offsets = np.array([np.dot(np.multiply(t, window.dilation), steps) for t in taps], np.int64)
    table = b.constant(offsets, f"{op.name}/offsets")
    inside = b.emit("gather", [table, found], axis=0, batch_dims=0)
    return layers.binary(b, "add", inside, first_pixels(x.shape, counts, window, steps), op.outputs[1])


FIRST_LARGEST: dict[str, Any] = {"keep_dims": False, "index_dtype": "int64", "last": False}


def side_by_side(b: Builder, x: Value, window: Window, counts: Shape, taps: Sequence[Shape]) -> Value:
    """[..., taps]: the items that a window reads, along a last axis."""
    size, stride = (*x.shape[:2], *counts), (1, 1, *window.stride)
    parts = []
    for tap in taps:
        begin = (0, 0, *(t * d for t, d in zip(tap, window.dilation, strict=True)))
        part = b.emit("slice", [x], begin=begin, size=size, stride=stride)
        parts.append(b.reshape(part, (*size, 1)))
    return parts[0] if len(parts) == 1 else b.emit("concat", parts, axis=len(size))


def strides(size: Shape, columns_first: bool) -> np.ndarray:
    """How far apart neighbours along each spatial axis are in the flattened tensor."""
    order = size[::-1] if not columns_first else size
    steps = np.cumprod([1, *order[:-1]])
    return steps if columns_first else steps[::-1]


def first_pixels(shape: Shape, counts: Shape, window: Window, steps: np.ndarray) -> np.ndarray:
    """The flat place of each window's first pixel, padding included; int64 [N,C,...]."""
    n, c, *size = shape
    images = np.arange(n * c).reshape(n, c, *(1,) * len(size)) * math.prod(size)
    for axis, (count, stride, before, step) in enumerate(zip(counts, window.stride, window.before, steps, strict=True)):
        at = (np.arange(count) * stride - before) * step
        images = images + at.reshape(count, *(1,) * (len(size) - 1 - axis))
    return np.asarray(images, np.int64)


def average_pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    window, counted = pool_window(op, value), bool(op.attrs.get("count_include_pad", 0))
    if not counted or op.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        mean = partial(average, b, op.outputs[0], counted and any((*window.before, *window.after)))
        return [pooled(b, value, window, mean)]
    before, after = stated_padding(op, len(value.shape) - 2)
    if after == window.after:
        return [pooled(b, value, window, partial(average, b, op.outputs[0], any((*before, *after))))]
    # Padding that a mean counts is written out as zeros; what ceil_mode adds behind it is not counted.
    pads = ((0, 0), (0, 0), *zip(before, after, strict=True))
    written = b.emit("pad", [value], pads=pads, value=0.0) if any((*before, *after)) else value
    rest = tuple(a - s for a, s in zip(window.after, after, strict=True))
    window = replace(window, before=(0,) * len(before), after=rest)
    return [pooled(b, written, window, partial(average, b, op.outputs[0], False))]


def average(b: Builder, name: str, counted: bool, image: Value, window: Window) -> Value:
    """The mean over the pixels of each window, those of the padding included where they are `counted`."""
    if max(window.dilation) > 1:
        return dilated_average(b, name, counted, image, window)
    counted = counted and any((*window.before, *window.after))
    return b.emit("avg_pool2d", [image], name, **pool_attrs(window), count_padding=counted)


def dilated_average(b: Builder, name: str, counted: bool, image: Value, window: Window) -> Value:
    """A depthwise convolution with equal weights; the pixels that a window counts are known here."""
    _, h, w, c = image.shape
    counts = np.outer(*(tap_counts(window, i, size, counted) for i, size in enumerate((h, w))))
    same = bool((counts == counts.flat[0]).all())
    laid = b.constant(np.full((*window.kernel, c), 1.0 / counts.flat[0] if same else 1.0), f"{name}/weights")
    y = b.emit("depthwise_conv2d", [image, laid, None], name if same else "", **plane_attrs(window))
    return y if same else layers.binary(b, "mul", y, (1.0 / counts)[None, :, :, None], name)


def tap_counts(window: Window, axis: int, size: int, counted: bool) -> np.ndarray:
    """Per position along an axis: how many taps lie in the data, or in its padding too where that is counted."""
    count = window.counts((size, size))[axis]
    if counted:
        return np.full(count, window.kernel[axis])
    at = np.arange(count)[:, None] * window.stride[axis] - window.before[axis]
    at = at + np.arange(window.kernel[axis])[None] * window.dilation[axis]
    return np.maximum(((at >= 0) & (at < size)).sum(1), 1)


def global_pool(kind: str) -> Rule:
    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        value = activation(x[0])
        return [b.emit(kind, [value], op.outputs[0], axes=axes_behind_channels(value), keep_dims=True)]

    return rule


def axes_behind_channels(x: Value) -> Shape:
    if len(x.shape) < 3:
        raise ValueError(f"expected [N, C, ...], found {list(x.shape)}")
    return tuple(range(2, len(x.shape)))


def to_power(b: Builder, value: Value, p: float) -> Value:
    """|x|^p"""
    if p == 2:
        return b.emit("square", [value])
    magnitude = b.emit("abs", [value])
    return magnitude if p == 1 else b.emit("power", [magnitude], exponent=p)


def root_of_sum(b: Builder, op: Op, mean: Value, count: int, p: float) -> Value:
    """The p-th root of a mean times its count."""
    total = layers.binary(b, "mul", mean, float(count), "" if p != 1 else op.outputs[0])
    if p == 1:
        return total
    return b.emit("sqrt", [total], op.outputs[0]) if p == 2 else b.emit("power", [total], op.outputs[0], exponent=1 / p)


def lp_pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """Zeros of the padding add nothing: the mean over the whole window times its size is the sum."""
    value, p = activation(x[0]), float(op.attrs.get("p", 2))
    window = window_of(op, value.shape[2:], kernel_of(op, spatial_axes(value)))
    mean = pooled(b, to_power(b, value, p), window, partial(average, b, "", True))
    return [root_of_sum(b, op, mean, math.prod(window.kernel), p)]


def global_lp_pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, p = activation(x[0]), float(op.attrs.get("p", 2))
    mean = b.emit("mean", [to_power(b, value, p)], axes=axes_behind_channels(value), keep_dims=True)
    return [root_of_sum(b, op, mean, math.prod(value.shape[2:]), p)]


RULES: dict[str, Rule] = {
    "AveragePool": average_pool,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "GlobalAveragePool": global_pool("mean"),
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_pool("reduce_max"),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
