# SPDX-License-Identifier: Apache-2.0
"""What each ONNX op that only moves data becomes in the graph. RULES: op type -> rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgesdk.converters.onnx_layout import (
    NHWC,
    Builder,
    Op,
    Operand,
    Tensor,
    aligned,
    reshaped,
    settled,
    stored_dtype,
)
from edgesdk.converters.onnx_ops import Rule, activation, axis_of, constant, image, operand
from edgesdk.errors import Unsupported

MAX_EXTENT = 65536  # rows or columns of a resized image


def integers(x: Operand, what: str) -> list[int]:
    return [int(v) for v in constant(x, what).ravel().tolist()]


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


def reshape(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    return [reshaped(b, t, new_shape(op, t.shape, integers(operand(x, 1), "its shape")))]


def flatten(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    axis = int(op.attrs.get("axis", 1))
    axis = axis if axis == len(t.shape) else axis_of(axis, len(t.shape))
    return [reshaped(b, t, (math.prod(t.shape[:axis]), math.prod(t.shape[axis:])))]


def squeeze(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    axes = axes_of(op, operand(x, 1), len(t.shape))
    axes = [a for a, d in enumerate(t.shape) if d == 1] if axes is None else axes
    if any(t.shape[a] != 1 for a in axes):
        raise ValueError(f"axes {axes} of {list(t.shape)} are not all 1")
    return [reshaped(b, t, [d for a, d in enumerate(t.shape) if a not in axes])]


def unsqueeze(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    given = operand(x, 1)
    count = len(integers(given, "its axes") if given is not None else op.attrs["axes"])
    axes = axes_of(op, given, len(t.shape) + count) or []
    rest = iter(t.shape)
    return [reshaped(b, t, [1 if a in axes else next(rest) for a in range(len(t.shape) + count)])]


def transpose(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = settled(b, activation(x[0]))
    perm = [int(a) for a in op.attrs.get("perm", reversed(range(len(t.shape))))]
    if sorted(perm) != list(range(len(t.shape))):
        raise ValueError(f"perm {perm} for {list(t.shape)}")
    return [replace(t, perm=tuple(perm.index(a) for a in t.perm))]


def concat(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    parts: list[Tensor | np.ndarray] = [settled(b, o) if isinstance(o, Tensor) else constant(o, "a part") for o in x]
    rank = len(activation(next((o for o in parts if isinstance(o, Tensor)), None)).shape)
    if any(len(o.shape) != rank for o in parts):
        raise ValueError("parts with different numbers of axes")
    axis = axis_of(int(op.attrs["axis"]), rank)
    if len(parts) == 1:
        return [parts[0]]
    values, lead = aligned(b, parts)
    for i, part in enumerate(parts):
        if isinstance(part, np.ndarray) and part.size == 1:
            values[i] = b.constant(part.reshape((1,) * rank), f"part{i}", stored_dtype(part))
    return [replace(lead, value=b.emit("concat", values, {"axis": lead.perm.index(axis)}, op.outputs[0]))]


def cut(b: Builder, t: Tensor, begin: list[int], end: list[int], stride: list[int], name: str) -> Tensor:
    """t[begin:end:stride], all in the tensor's own axis order."""
    size = [len(range(s, e, k)) for s, e, k in zip(begin, end, stride, strict=True)]
    if tuple(size) == t.shape and min(stride, default=1) > 0:
        return t
    attrs = {k: tuple(v[a] for a in t.perm) for k, v in (("begin", begin), ("size", size), ("stride", stride))}
    return replace(t, value=b.emit("slice", [t.value], attrs, name))


def slice_(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = settled(b, activation(x[0]))
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
    t = settled(b, activation(x[0]))
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
    t = settled(b, activation(x[0]))
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
    attrs = {"pads": tuple(around.get(a, (0, 0)) for a in t.perm), "value": value}
    return [replace(t, value=b.emit("pad", [t.value], attrs, op.outputs[0]))]


def resize(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = image(b, x[0])
    n, h, w, c = value.shape
    mode = op.attrs.get("mode", "nearest")
    if mode not in ("nearest", "linear") or op.attrs.get("antialias", 0):
        raise Unsupported(f"mode {mode!r} or antialias; expected nearest or linear without antialias")
    if op.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch" or "axes" in op.attrs:
        raise Unsupported("keep_aspect_ratio_policy or axes")
    size, scales = resize_target(x, (n, c, h, w))
    sources = [source_positions(op, i, o, s) for i, o, s in zip((h, w), size, scales, strict=True)]
    attrs = {"size": size, **matching_mode(mode, (h, w), size, sources)}
    kind = "resize_nearest" if mode == "nearest" else "resize_bilinear"
    return [Tensor(b.emit(kind, [value], attrs, op.outputs[0]), NHWC)]


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
    value, block = image(b, x[0]), int(op.attrs["blocksize"])
    if block < 1:
        raise ValueError(f"blocksize {block}")
    kind = "depth_to_space" if op.kind == "DepthToSpace" else "space_to_depth"
    # With one output channel, column-row-depth and depth-column-row are the same.
    crd = kind == "depth_to_space" and op.attrs.get("mode", "DCR") != "DCR"
    if crd and value.shape[3] != block * block:
        raise Unsupported(f"mode {op.attrs['mode']!r}; expected DCR")
    return [Tensor(b.emit(kind, [value], {"block": block}, op.outputs[0]), NHWC)]


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
