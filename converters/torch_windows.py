# SPDX-License-Identifier: Apache-2.0
"""What each ATen op over images and signals becomes: convolutions, pools, resizing. RULES as in torch_ops.py.

A signal [N,C,L] is an image of height 1. All ops here want channels last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgesdk.converters.build import NHWC, Builder, Shape
from edgesdk.converters.layers import grouped, image, restored, shuffled_to_space, transposed
from edgesdk.converters.torch_ops import Call, Rule, constant, tensor
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops import resize_filter

Pair = tuple[int, int]


def window(call: Call, name: str, spatial: int, default: Any = None) -> Pair:
    """An argument with one number for all axes or one per axis; the height of a signal is 1."""
    given = call.get(name)
    given = default if given is None or given == [] else given
    values = [int(v) for v in given] if isinstance(given, list | tuple) else [int(given)]
    values = values * spatial if len(values) == 1 else values
    return (values[0], values[1]) if spatial == 2 else (1, values[0])


def edge(call: Call, name: str, spatial: int) -> Pair:
    """Like window, of an argument that is 0 along the height of a signal."""
    h, w = window(call, name, spatial, 0)
    return (h if spatial == 2 else 0, w)


def conv_padding(call: Call, kernel: Pair, dilation: Pair, spatial: int) -> Shape:
    """(top, left, bottom, right)"""
    given = call["padding"]
    if given == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
    if given == "valid":
        return (0, 0, 0, 0)
    h, w = window(call, "padding", spatial)
    return (h, w, h, w) if spatial == 2 else (0, w, 0, w)


def conv(b: Builder, call: Call) -> Value:
    weights = constant(call["weight"], "its weight")
    spatial = weights.ndim - 2
    if call.get("transposed", False):
        return conv_transpose(b, call)
    x = image(b, tensor(call["input"]), spatial)
    weights = weights.reshape(*weights.shape[:2], *(1,) * (2 - spatial), *weights.shape[2:])
    stride, dilation = window(call, "stride", spatial, 1), window(call, "dilation", spatial, 1)
    padding = conv_padding(call, (weights.shape[2], weights.shape[3]), dilation, spatial)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "none"}
    bias = None if call["bias"] is None else constant(call["bias"], "its bias")
    return restored(b, grouped(b, x, weights, bias, int(call["groups"]), call.name, attrs), call.shape)


def conv_transpose(b: Builder, call: Call) -> Value:
    weights = constant(call["weight"], "its weight")
    spatial = weights.ndim - 2
    x = image(b, tensor(call["input"]), spatial)
    weights = weights.reshape(*weights.shape[:2], *(1,) * (2 - spatial), *weights.shape[2:])
    (h, w), extra = (edge(call, name, spatial) for name in ("padding", "output_padding"))
    attrs = {
        "stride": window(call, "stride", spatial, 1),
        "dilation": window(call, "dilation", spatial, 1),
        "padding": (h, w, h, w),
        "output_padding": extra,
        "activation": "none",
    }
    bias = None if call["bias"] is None else constant(call["bias"], "its bias")
    return restored(b, transposed(b, x, weights, bias, int(call["groups"]), call.name, attrs), call.shape)


def pool(op: str, spatial: int) -> Rule:
    def rule(b: Builder, call: Call) -> Value:
        x = image(b, tensor(call["self"]), spatial)
        kernel = window(call, "kernel_size", spatial)
        stride = window(call, "stride", spatial, kernel[2 - spatial :])
        h, w = window(call, "padding", spatial, 0)
        dilation = window(call, "dilation", spatial, 1)
        span = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
        padding = pool_padding(call, x, span, stride, (h if spatial == 2 else 0, w))
        attrs: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "activation": "none"}
        if dilation != (1, 1):
            attrs["dilation"] = dilation
        if op == "avg_pool2d":
            attrs["count_padding"] = counts_padding(call, padding, (h, w) if spatial == 2 else (0, w))
        return restored(b, b.emit(op, [x], call.name, **attrs), call.shape)

    return rule


def pool_padding(call: Call, x: Value, kernel: Pair, stride: Pair, padding: Pair) -> Shape:
    """(top, left, bottom, right); behind the data as much as the last window needs with ceil_mode."""
    behind = list(padding)
    if call.get("ceil_mode", False):
        for i, size in enumerate(x.shape[1:3]):
            count = -(-(size + 2 * padding[i] - kernel[i]) // stride[i]) + 1
            count -= (count - 1) * stride[i] >= size + padding[i]  # a window that would start behind the data
            behind[i] = max((count - 1) * stride[i] + kernel[i] - size - padding[i], padding[i])
    return (*padding, *behind)


def counts_padding(call: Call, padding: Shape, own: Pair) -> bool:
    if call.get("divisor_override") is not None:
        raise Unsupported("divisor_override; multiply the result instead")
    counted = bool(call.get("count_include_pad", True)) and any(own)
    if counted and padding[2:] != own:
        raise Unsupported("ceil_mode together with count_include_pad; set one of them to False")
    return counted


def adaptive_pool(op: str, reduce: str, spatial: int) -> Rule:
    """Static sizes: one reduction, a plain pool where the windows are alike, else slice by slice."""

    def rule(b: Builder, call: Call) -> Value:
        x = image(b, tensor(call["self"]), spatial)
        size = (call.shape[-2], call.shape[-1]) if spatial == 2 else (1, call.shape[-1])
        if size == (1, 1):
            y = b.emit(reduce, [x], call.name, axes=(1, 2), keep_dims=True)
        elif all(n % s == 0 for n, s in zip(x.shape[1:3], size, strict=True)):
            kernel = (x.shape[1] // size[0], x.shape[2] // size[1])
            attrs: dict[str, Any] = {"count_padding": False} if op == "avg_pool2d" else {}
            attrs |= {"kernel": kernel, "stride": kernel, "padding": (0, 0, 0, 0), "activation": "none"}
            y = b.emit(op, [x], call.name, **attrs)
        else:
            y = sliced_pool(b, sliced_pool(b, x, 1, size[0], reduce), 2, size[1], reduce)
        return restored(b, y, call.shape)

    return rule


def sliced_pool(b: Builder, x: Value, axis: int, count: int, reduce: str) -> Value:
    """Window i covers [floor(i n / count), ceil((i + 1) n / count)) of `axis`."""
    n, parts = x.shape[axis], []
    if n == count:
        return x
    for i in range(count):
        first, last = i * n // count, -(-(i + 1) * n // count)
        begin = tuple(first if a == axis else 0 for a in range(4))
        size = tuple(last - first if a == axis else d for a, d in enumerate(x.shape))
        part = b.emit("slice", [x], begin=begin, size=size, stride=(1, 1, 1, 1))
        parts.append(b.emit(reduce, [part], axes=(axis,), keep_dims=True))
    return b.emit("concat", parts, axis=axis)


def resize(op: str, exact: bool, spatial: int) -> Rule:
    """Nearest and bilinear upsampling to the static size of the result."""

    def rule(b: Builder, call: Call) -> Value:
        x = image(b, tensor(call.first("input", "self")), spatial)
        size = (call.shape[-2], call.shape[-1]) if spatial == 2 else (1, call.shape[-1])
        align = bool(call.get("align_corners", False))
        check_scales(call, x.shape[3 - spatial : 3], size[2 - spatial :], align)
        attrs = {"size": size, "align_corners": align, "half_pixel_centers": exact and not align}
        return restored(b, b.emit(op, [x], call.name, **attrs), call.shape)

    return rule


def cubic(b: Builder, call: Call) -> Value:
    x = image(b, tensor(call.first("input", "self")), 2)
    size, align = (call.shape[-2], call.shape[-1]), bool(call.get("align_corners", False))
    check_scales(call, x.shape[1:3], size, align)
    filters = []
    for n, m in zip(x.shape[1:3], size, strict=True):
        at = np.arange(m)
        positions = at * (n - 1) / max(m - 1, 1) if align else (at + 0.5) * n / m - 0.5
        filters.append(resize_filter.make_filter(positions, n, resize_filter.cubic(-0.75), 2))
    return restored(b, b.emit("resize_filter", [x], call.name, rows=filters[0], columns=filters[1]), call.shape)


def check_scales(call: Call, before: Sequence[int], after: Sequence[int], align: bool) -> None:
    """torch steps by the given factor, not by the ratio of the sizes."""
    given = call.get("scale_factors") or [call.get(n) for n in ("scales_h", "scales_w", "scales") if n in call.args]
    for factor, n, m in zip(given, before, after, strict=False):
        if factor is not None and not align and not math.isclose(n * float(factor), m, rel_tol=1e-6):
            raise Unsupported(f"a scale factor of {factor} for {n} pixels; expected one that gives whole pixels")


def pixel_shuffle(b: Builder, call: Call) -> Value:
    """[N, C r r, H, W] -> [N, C, H r, W r]; channel c r r + y r + x is pixel (y, x) of a block."""
    x, r = tensor(call["self"]), int(call["upscale_factor"])
    *lead, deep, h, w = x.shape
    y = b.transpose(b.reshape(x, (math.prod(lead), deep, h, w)), NHWC)
    return restored(b, shuffled_to_space(b, y, r), call.shape)


def pixel_unshuffle(b: Builder, call: Call) -> Value:
    x, r = tensor(call["self"]), int(call["downscale_factor"])
    *lead, c, h, w = x.shape
    n, h, w = math.prod(lead), h // r, w // r
    y = b.transpose(b.reshape(x, (n, c, h * r, w * r)), NHWC)
    if c == 1:
        y = b.emit("space_to_depth", [y], call.name, block=r)
    else:
        y = b.transpose(b.reshape(y, (n, h, r, w, r, c)), (0, 1, 3, 5, 2, 4), call.name)
        y = b.reshape(y, (n, h, w, c * r * r))
    return restored(b, y, call.shape)


def channel_shuffle(b: Builder, call: Call) -> Value:
    x, groups = tensor(call["self"]), int(call["groups"])
    n, c, *rest = x.shape
    y = b.reshape(x, (n, groups, c // groups, math.prod(rest)))
    return b.reshape(b.transpose(y, (0, 2, 1, 3)), call.shape)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "convolution"), conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), conv_transpose),
    "avg_pool1d": pool("avg_pool2d", 1),
    "avg_pool2d": pool("avg_pool2d", 2),
    "max_pool1d": pool("max_pool2d", 1),
    "max_pool2d": pool("max_pool2d", 2),
    "max_pool2d_with_indices": pool("max_pool2d", 2),
    "adaptive_avg_pool1d": adaptive_pool("avg_pool2d", "mean", 1),
    "adaptive_avg_pool2d": adaptive_pool("avg_pool2d", "mean", 2),
    "_adaptive_avg_pool2d": adaptive_pool("avg_pool2d", "mean", 2),
    "adaptive_max_pool1d": adaptive_pool("max_pool2d", "reduce_max", 1),
    "adaptive_max_pool2d": adaptive_pool("max_pool2d", "reduce_max", 2),
    "upsample_nearest1d": resize("resize_nearest", False, 1),
    "upsample_nearest2d": resize("resize_nearest", False, 2),
    "_upsample_nearest_exact1d": resize("resize_nearest", True, 1),
    "_upsample_nearest_exact2d": resize("resize_nearest", True, 2),
    "upsample_linear1d": resize("resize_bilinear", True, 1),
    "upsample_bicubic2d": cubic,
    "upsample_bilinear2d": resize("resize_bilinear", True, 2),
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), channel_shuffle),
}
