# SPDX-License-Identifier: Apache-2.0
"""What each ONNX op that only moves data becomes in the graph. RULES: op type -> rule."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgesdk.converters import common
from edgesdk.converters.build import NHWC, Builder
from edgesdk.converters.common import axis_of, restored
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, integers, operand, value_of
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

MAX_EXTENT = 65536  # rows or columns of a resized image


def axes_of(op: Op, x: Operand, rank: int) -> list[int] | None:
    """The `axes` of an op, which newer opsets give as an input."""
    given = integers(x, "its list of axes") if x is not None else op.attrs.get("axes")
    return None if given is None else [axis_of(int(a), rank) for a in given]


def same(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [x[0]]


def dropout(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    training = operand(x, 2)
    if training is not None and constant(training, "training_mode").any():
        raise Unsupported("training_mode")
    return [x[0]]


def new_shape(op: Op, before: tuple[int, ...], wanted: list[int]) -> tuple[int, ...]:
    """Reshape's shape with its 0 (keep) and -1 (infer) resolved."""
    if not op.attrs.get("allowzero", 0):
        if any(d == 0 and i >= len(before) for i, d in enumerate(wanted)):
            raise ValueError(f"shape {wanted} for {list(before)}")
        wanted = [before[i] if d == 0 else d for i, d in enumerate(wanted)]
    if wanted.count(-1) > 1 or any(d < -1 for d in wanted):
        raise ValueError(f"shape {wanted}")
    known = math.prod(d for d in wanted if d != -1)
    inferred = math.prod(before) // known if known else 0
    return tuple(inferred if d == -1 else d for d in wanted)


def reshaped(b: Builder, op: Op, x: Value, shape: tuple[int, ...]) -> list[Operand]:
    if math.prod(shape) != x.elements:
        raise ValueError(f"{list(x.shape)} cannot be reshaped to {list(shape)}")
    return [b.reshape(x, shape, op.outputs[0])]


def reshape(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    return reshaped(b, op, value, new_shape(op, value.shape, integers(operand(x, 1), "its shape")))


def flatten(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    axis, rank = int(op.attrs.get("axis", 1)), len(value.shape)
    axis = axis if axis == rank else axis_of(axis, rank)
    return reshaped(b, op, value, (math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def squeeze(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    axes = axes_of(op, operand(x, 1), len(value.shape))
    axes = [a for a, d in enumerate(value.shape) if d == 1] if axes is None else axes
    if any(value.shape[a] != 1 for a in axes):
        raise ValueError(f"axes {axes} of {list(value.shape)} are not all 1")
    return reshaped(b, op, value, tuple(d for a, d in enumerate(value.shape) if a not in axes))


def unsqueeze(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, given = activation(x[0]), operand(x, 1)
    rank = len(value.shape) + len(integers(given, "its axes") if given is not None else op.attrs["axes"])
    axes, rest = axes_of(op, given, rank) or [], iter(value.shape)
    return reshaped(b, op, value, tuple(1 if a in axes else next(rest) for a in range(rank)))


def transpose(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    perm = tuple(int(a) for a in op.attrs.get("perm", reversed(range(len(value.shape)))))
    if sorted(perm) != list(range(len(value.shape))):
        raise ValueError(f"perm {perm} for {list(value.shape)}")
    return [b.transpose(value, perm, op.outputs[0])]


def concat(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    rank = len(activation(next((o for o in x if isinstance(o, Value)), None)).shape)
    parts = [o if isinstance(o, Value) else constant(o, "a part") for o in x]
    if any(len(o.shape) != rank for o in parts):
        raise ValueError("parts with different numbers of axes")
    axis = axis_of(int(op.attrs["axis"]), rank)
    values = [value_of(b, o, "part") for o in parts]
    return [values[0] if len(values) == 1 else b.emit("concat", values, op.outputs[0], axis=axis)]


def cut(b: Builder, x: Value, begin: list[int], end: list[int], stride: list[int], name: str) -> Value:
    """x[begin:end:stride]"""
    size = tuple(len(range(s, e, k)) for s, e, k in zip(begin, end, stride, strict=True))
    if size == x.shape and min(stride, default=1) > 0:
        return x
    return b.emit("slice", [x], name, begin=tuple(begin), size=size, stride=tuple(stride))


def slice_(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    starts, ends = integers(operand(x, 1), "its starts"), integers(operand(x, 2), "its ends")
    axes = axes_of(op, operand(x, 3), len(t.shape)) or list(range(len(starts)))
    steps = integers(operand(x, 4), "its steps") if operand(x, 4) is not None else [1] * len(starts)
    begin, end, stride = [0] * len(t.shape), list(t.shape), [1] * len(t.shape)
    for axis, first, last, step in zip(axes, starts, ends, steps, strict=True):
        if step == 0:
            raise ValueError("a step of 0")
        begin[axis], end[axis], stride[axis] = slice(first, last, step).indices(t.shape[axis])
    return [cut(b, t, begin, end, stride, op.outputs[0])]


def split(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    axis = axis_of(int(op.attrs.get("axis", 0)), len(t.shape))
    given = integers(operand(x, 1), "its sizes") if operand(x, 1) is not None else op.attrs.get("split")
    count = len(op.outputs)
    each = -(-t.shape[axis] // count)
    sizes = list(given) if given is not None else [min(each, t.shape[axis] - i * each) for i in range(count)]
    if len(sizes) != count or min(sizes) < 1 or sum(sizes) != t.shape[axis]:
        raise ValueError(f"{sizes} does not split {t.shape[axis]} into {count} parts")
    results: list[Operand] = []
    at = 0
    for size, name in zip(sizes, op.outputs, strict=True):
        begin, end = [0] * len(t.shape), list(t.shape)
        begin[axis], end[axis] = at, at + size
        results.append(cut(b, t, begin, end, [1] * len(t.shape), name))
        at += size
    return results


def pad(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    if op.attrs.get("mode", "constant") != "constant":
        raise Unsupported(f"mode {op.attrs['mode']!r}; expected constant")
    amounts = integers(operand(x, 1), "its amounts")
    axes = axes_of(op, operand(x, 3), len(t.shape)) or list(range(len(t.shape)))
    if len(amounts) != 2 * len(axes):
        raise ValueError(f"{len(amounts)} amounts for {len(axes)} axes")
    if min(amounts, default=0) < 0:
        raise Unsupported("negative padding")
    around = dict(zip(axes, zip(amounts[: len(axes)], amounts[len(axes) :], strict=True), strict=True))
    if not any(amounts):
        return [t]
    given = operand(x, 2)
    value = float(constant(given, "its value").astype(np.float32).reshape(())) if given is not None else 0.0
    pads = tuple(around.get(a, (0, 0)) for a in range(len(t.shape)))
    return [b.emit("pad", [t], op.outputs[0], pads=pads, value=value)]


def resize(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = common.image(b, activation(x[0]), 2)
    n, h, w, c = value.shape
    mode = op.attrs.get("mode", "nearest")
    if mode not in ("nearest", "linear") or op.attrs.get("antialias", 0):
        raise Unsupported(f"mode {mode!r} or antialias; expected nearest or linear without antialias")
    if op.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch" or "axes" in op.attrs:
        raise Unsupported("keep_aspect_ratio_policy or axes")
    size, scales = resize_target(x, (n, c, h, w))
    sources = [source_positions(op, i, o, s) for i, o, s in zip((h, w), size, scales, strict=True)]
    attrs = matching_mode(mode, (h, w), size, sources)
    kind = "resize_nearest" if mode == "nearest" else "resize_bilinear"
    return [restored(b, b.emit(kind, [value], op.outputs[0], size=size, **attrs), (n, c, *size))]


def resize_target(x: list[Operand], shape: tuple[int, ...]) -> tuple[tuple[int, int], list[float]]:
    """((height, width), scales) from the scales or sizes input."""
    scales, sizes = operand(x, 2), operand(x, 3)
    if sizes is not None:
        wanted = integers(sizes, "its sizes")
        factors = [w / s for w, s in zip(wanted, shape, strict=True)]
    elif scales is not None:
        factors = [float(v) for v in constant(scales, "its scales").ravel()]
        wanted = [math.floor(s * f) for s, f in zip(shape, factors, strict=True)]
    else:
        raise ValueError("neither scales nor sizes")
    if wanted[:2] != list(shape[:2]):
        raise Unsupported("resizing the batch or the channels")
    if min(wanted) < 1 or max(wanted[2:]) > MAX_EXTENT:
        raise ValueError(f"target size {wanted[2:]}")
    return (wanted[2], wanted[3]), factors[2:]


def source_positions(op: Op, before: int, after: int, scale: float) -> np.ndarray:
    """Where each output index reads: whole indices for nearest, real positions for linear."""
    mode = op.attrs.get("coordinate_transformation_mode", "half_pixel")
    at = np.arange(after, dtype=np.float64)
    if mode == "align_corners":
        position = at * (before - 1) / max(after - 1, 1)
    elif mode == "asymmetric":
        position = at / scale
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and after > 1):
        position = (at + 0.5) / scale - 0.5
    elif mode == "pytorch_half_pixel":
        position = np.zeros(after)
    else:
        raise Unsupported(f"coordinate_transformation_mode {mode!r}")
    if op.attrs.get("mode", "nearest") == "nearest":
        rounding = op.attrs.get("nearest_mode", "round_prefer_floor")
        position = ROUNDINGS[rounding](position)
    return np.clip(position, 0, before - 1)


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


def matching_mode(
    kind: str, before: tuple[int, int], after: tuple[int, int], sources: list[np.ndarray]
) -> dict[str, bool]:
    """The coordinate mode of the graph's op that reads exactly where the ONNX node reads."""
    for corners, half in ((False, True), (False, False), (True, False)):
        positions = [graph_positions(kind, i, o, corners, half) for i, o in zip(before, after, strict=True)]
        if all(np.allclose(p, s, rtol=0, atol=1e-6) for p, s in zip(positions, sources, strict=True)):
            return {"align_corners": corners, "half_pixel_centers": half}
    raise Unsupported(f"coordinates from {list(before)} to {list(after)} that no resize of edgesdk has")


def depth_space(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, block = b.transpose(activation(x[0]), NHWC), int(op.attrs["blocksize"])
    if block < 1:
        raise ValueError(f"blocksize {block}")
    kind = "depth_to_space" if op.kind == "DepthToSpace" else "space_to_depth"
    if kind == "depth_to_space" and op.attrs.get("mode", "DCR") == "CRD":
        y = common.shuffled_to_space(b, value, block)
    else:
        y = b.emit(kind, [value], op.outputs[0], block=block)
    return [restored(b, y, (y.shape[0], y.shape[3], *y.shape[1:3]))]


RULES: dict[str, Rule] = {
    "Identity": same,
    "Dropout": dropout,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Slice": slice_,
    "Split": split,
    "Pad": pad,
    "Resize": resize,
    "DepthToSpace": depth_space,
    "SpaceToDepth": depth_space,
}
