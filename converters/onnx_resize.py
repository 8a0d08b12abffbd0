# SPDX-License-Identifier: Apache-2.0
"""What ONNX Resize becomes: TFLite's resizing where it reads the same pixels, else pixels by position or a filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import Builder
from edgesdk.converters.layers import axis_of, restored
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops import resize_filter

MAX_EXTENT = 32767  # rows or columns of a resized image
Size = tuple[int, int]


def resize(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = layers.image(b, activation(x[0]), 2)
    n, h, w, c = value.shape
    mode = op.attrs.get("mode", "nearest")
    if mode not in ("nearest", "linear", "cubic"):
        raise ValueError(f"mode {mode!r}")
    size, scales = resize_target(op, x, (n, c, h, w))
    regions = regions_of(op, operand(x, 1))
    sources = [
        source_positions(op, i, o, s, region) for i, o, s, region in zip((h, w), size, scales, regions, strict=True)
    ]
    outside = [(at < 0) | (at > d - 1) for at, d in zip(sources, (h, w), strict=True)]
    if op.attrs.get("coordinate_transformation_mode") == CROP and any(map(np.any, outside)):
        inside = [np.clip(at, 0, d - 1) for at, d in zip(sources, (h, w), strict=True)]
        y = extrapolated(b, op, resized(b, replace(op, outputs=("",)), value, size, scales, inside), outside)
    else:
        y = resized(b, op, value, size, scales, sources)
    return [restored(b, y, (n, c, *size))]


CROP = "tf_crop_and_resize"


def extrapolated(b: Builder, op: Op, y: Value, outside: list[np.ndarray]) -> Value:
    """extrapolation_value where a cropped region reaches out of the image."""
    if y.dtype != "float32":
        raise Unsupported(f"a region that reaches out of an image of {y.dtype}; expected float32")
    mask = (outside[0][:, None] | outside[1][None])[None, :, :, None]
    value = np.array(op.attrs.get("extrapolation_value", 0.0), np.float32)
    named = [b.constant(a, f"{op.name}/{name}") for a, name in ((mask, "outside"), (value, "extrapolation_value"))]
    return b.emit("select", [named[0], named[1], y], op.outputs[0])


def resized(b: Builder, op: Op, value: Value, size: Size, scales: Sequence[float], sources: list[np.ndarray]) -> Value:
    if op.attrs.get("mode", "nearest") == "nearest":
        return nearest(b, op, value, size, sources)
    return filtered(b, op, value, size, scales, sources)


def nearest(b: Builder, op: Op, value: Value, size: Size, sources: list[np.ndarray]) -> Value:
    """As resize_nearest where that reads the same pixels."""
    rounding = ROUNDINGS[op.attrs.get("nearest_mode", "round_prefer_floor")]
    extents = value.shape[1:3]
    index = [np.clip(rounding(at), 0, n - 1).astype(int) for at, n in zip(sources, extents, strict=True)]
    mode = matching_mode("nearest", (extents[0], extents[1]), size, index)
    if mode is not None:
        return b.emit("resize_nearest", [value], op.outputs[0], size=size, **mode)
    rows, columns = (tuple(i.tolist()) for i in index)
    return b.emit("take_pixels", [value], op.outputs[0], rows=rows, columns=columns)


def filtered(b: Builder, op: Op, value: Value, size: Size, scales: Sequence[float], sources: list[np.ndarray]) -> Value:
    """As resize_bilinear where that does the same."""
    extents, linear = value.shape[1:3], op.attrs.get("mode") == "linear"
    antialias, inside = (bool(op.attrs.get(k, 0)) for k in ("antialias", "exclude_outside"))
    shrink = [min(1.0, s) if antialias else 1.0 for s in scales]
    bounded = [np.clip(at, 0, n - 1) for at, n in zip(sources, extents, strict=True)]
    mode = matching_mode("linear", (extents[0], extents[1]), size, bounded)
    if linear and mode is not None and not inside and min(shrink) == 1.0:
        return b.emit("resize_bilinear", [value], op.outputs[0], size=size, **mode)
    kernel = resize_filter.linear if linear else resize_filter.cubic(float(op.attrs.get("cubic_coeff_a", -0.75)))
    filters = [
        resize_filter.make_filter(at, n, kernel, 1 if linear else 2, shrink=s, inside_only=inside)
        for at, n, s in zip(sources, extents, shrink, strict=True)
    ]
    return b.emit("resize_filter", [value], op.outputs[0], rows=filters[0], columns=filters[1])


def resize_target(op: Op, x: list[Operand], shape: tuple[int, ...]) -> tuple[Size, list[float]]:
    """((height, width), scales) from the scales or sizes input."""
    axes = [axis_of(int(a), len(shape)) for a in op.attrs.get("axes", range(len(shape)))]
    scales, sizes = operand(x, 2), operand(x, 3)
    if sizes is not None:
        factors, wanted = factors_of(op, axes, constant(sizes, "its sizes").ravel().tolist(), shape)
    elif scales is not None:
        factors = spread(axes, [float(v) for v in constant(scales, "its scales").ravel()], [1.0] * len(shape))
        wanted = [math.floor(s * f) for s, f in zip(shape, factors, strict=True)]
    else:
        raise ValueError("neither scales nor sizes")
    if wanted[:2] != list(shape[:2]):
        raise Unsupported("resizing the batch or the channels")
    if min(wanted) < 1 or max(wanted[2:]) > MAX_EXTENT:
        raise ValueError(f"target size {wanted[2:]}")
    return (wanted[2], wanted[3]), factors[2:]


def spread(axes: list[int], given: list[Any], rest: list[Any]) -> list[Any]:
    """The given values at their axes."""
    placed = dict(zip(axes, given, strict=True))
    return [placed.get(a, value) for a, value in enumerate(rest)]


def factors_of(op: Op, axes: list[int], sizes: list[int], shape: tuple[int, ...]) -> tuple[list[float], list[int]]:
    """(scales, sizes) of all axes; a kept aspect ratio has one scale, and sizes rounded half up."""
    each = [size / shape[a] for a, size in zip(axes, sizes, strict=True)]
    policy = op.attrs.get("keep_aspect_ratio_policy", "stretch")
    if policy in ("not_larger", "not_smaller"):
        each = [min(each) if policy == "not_larger" else max(each)] * len(each)
        sizes = [math.floor(f * shape[a] + 0.5) for a, f in zip(axes, each, strict=True)]
    elif policy != "stretch":
        raise ValueError(f"keep_aspect_ratio_policy {policy!r}")
    return spread(axes, each, [1.0] * len(shape)), spread(axes, [int(s) for s in sizes], list(shape))


def regions_of(op: Op, given: Operand) -> list[tuple[float, float]]:
    """(start, end) of the cropped region along height and width, in parts of the image."""
    if op.attrs.get("coordinate_transformation_mode") != CROP:
        return [(0.0, 1.0)] * 2
    roi = [float(v) for v in constant(given, "its region").ravel()]
    axes = [axis_of(int(a), 4) for a in op.attrs.get("axes", range(4))]
    if len(roi) != 2 * len(axes):
        raise ValueError(f"a region of {len(roi)} numbers for {len(axes)} axes")
    pairs = list(zip(roi[: len(axes)], roi[len(axes) :], strict=True))
    return list(spread(axes, pairs, [(0.0, 1.0)] * 4)[2:])


def source_positions(op: Op, before: int, after: int, scale: float, region: tuple[float, float]) -> np.ndarray:
    """The real position where each output index reads."""
    mode = op.attrs.get("coordinate_transformation_mode", "half_pixel")
    # The nearest of two pixels is found in float32, as onnxruntime does.
    nearest_pixel = op.attrs.get("mode", "nearest") == "nearest"
    at: np.ndarray = np.arange(after).astype(np.float32 if nearest_pixel else np.float64)
    scale = float(np.float32(scale)) if nearest_pixel else scale
    if mode == "align_corners":
        last = scale * before - 1  # the last output index, which a fractional scale leaves between two
        return at * (before - 1) / last if last > 0 else np.zeros(after)
    if mode == "asymmetric":
        return at / scale
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and after > 1):
        return (at + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(after)
    if mode == "half_pixel_symmetric":
        return before / 2 * (1 - after / (scale * before)) + (at + 0.5) / scale - 0.5
    if mode == CROP:
        return cropped_positions(before, at, region)
    raise Unsupported(f"coordinate_transformation_mode {mode!r}")


def cropped_positions(before: int, at: np.ndarray, region: tuple[float, float]) -> np.ndarray:
    """In the type of the output indices `at`."""
    if not np.isfinite(region).all():
        raise ValueError(f"a region {region}")
    start, end = (at.dtype.type(v) for v in region)
    last = at.dtype.type(before - 1)
    if at.size == 1:
        return np.array([at.dtype.type(0.5) * (start + end) * last])
    found: np.ndarray = start * last + at * (end - start) * last / at.dtype.type(at.size - 1)
    return found


ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda p: np.ceil(p - 0.5),
    "round_prefer_ceil": lambda p: np.floor(p + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def graph_positions(kind: str, before: int, after: int, corners: bool, half: bool) -> np.ndarray:
    """Where resize_nearest and resize_bilinear read, as TFLite defines them."""
    at = np.arange(after, dtype=np.float64)
    scale = (before - 1) / (after - 1) if corners and after > 1 else before / after
    if kind == "nearest":
        position = (at + 0.5) * scale if half else at * scale
        position = np.floor(position + 0.5) if corners else np.floor(position)
    else:
        position = (at + 0.5) * scale - 0.5 if half else at * scale
    return np.clip(position, 0, before - 1)


def matching_mode(kind: str, before: Size, after: Size, sources: list[np.ndarray]) -> dict[str, bool] | None:
    """The coordinate mode of the graph's op that reads exactly where the ONNX node reads."""
    for corners, half in ((False, True), (False, False), (True, False)):
        positions = [graph_positions(kind, i, o, corners, half) for i, o in zip(before, after, strict=True)]
        if all(np.allclose(p, s, rtol=0, atol=1e-6) for p, s in zip(positions, sources, strict=True)):
            return {"align_corners": corners, "half_pixel_centers": half}
    return None


RULES: dict[str, Rule] = {"Resize": resize}
