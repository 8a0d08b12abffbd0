# SPDX-License-Identifier: Apache-2.0
"""What each ONNX op that only moves data becomes in the graph. RULES: op type -> rule."""

from __future__ import annotations

import math

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import NHWC, Builder
from edgesdk.converters.layers import axis_of, restored
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, integers, operand, value_of
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


def axes_of(op: Op, x: Operand, rank: int) -> list[int] | None:
    """The `axes` of an op, which newer opsets give as an input."""
    given = integers(x, "its list of axes") if x is not None else op.attrs.get("axes")
    return None if given is None else [axis_of(int(a), rank) for a in given]


def same(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [x[0]]


def dropout(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """The identity, which keeps every item: what its mask tells."""
    training, ratio = operand(x, 2), operand(x, 1)
    if training is not None and constant(training, "training_mode").any():
        if ratio is None or constant(ratio, "its ratio").any():
            raise Unsupported("training_mode; export the model in eval mode")
    if not any(op.outputs[1:]) or x[0] is None:
        return [x[0]]
    return [x[0], np.ones(x[0].shape, bool if op.opset >= 10 else np.float32)]


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
    values = [value_of(b, o, "part") for o in parts if not isinstance(o, np.ndarray) or o.size]
    return [values[0] if len(values) == 1 else b.emit("concat", values, op.outputs[0], axis=axis)]


def cut(b: Builder, x: Value, begin: list[int], end: list[int], stride: list[int], name: str) -> Value:
    """x[begin:end:stride]"""
    size = tuple(len(range(s, e, k)) for s, e, k in zip(begin, end, stride, strict=True))
    if size == x.shape and min(stride, default=1) > 0:
        return x
    if 0 in size:
        raise Unsupported(f"an empty slice of {list(x.shape)}; expected at least one item")
    return b.emit("slice", [x], name, begin=tuple(begin), size=size, stride=tuple(stride))


def slice_(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    starts, ends = (
        [int(v) for v in op.attrs[k]] if k in op.attrs else integers(operand(x, i), f"its {k}")
        for i, k in ((1, "starts"), (2, "ends"))
    )
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
    if len(sizes) != count or min(sizes) < 0 or sum(sizes) != t.shape[axis]:
        raise ValueError(f"{sizes} does not split {t.shape[axis]} into {count} parts")
    results: list[Operand] = []
    at = 0
    for size, name in zip(sizes, op.outputs, strict=True):
        begin, end = [0] * len(t.shape), list(t.shape)
        begin[axis], end[axis] = at, at + size
        if size:
            results.append(cut(b, t, begin, end, [1] * len(t.shape), name))
        else:  # a graph holds nothing without items; Concat leaves it out
            results.append(np.zeros([e - s for s, e in zip(begin, end, strict=True)], t.dtype))
        at += size
    return results


def pad(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    mode = str(op.attrs.get("mode", "constant"))
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise Unsupported(f"mode {mode!r}; expected constant, reflect, edge or wrap")
    amounts = [int(v) for v in op.attrs["pads"]] if "pads" in op.attrs else integers(operand(x, 1), "its amounts")
    axes = axes_of(op, operand(x, 3), len(t.shape)) or list(range(len(t.shape)))
    if len(amounts) != 2 * len(axes):
        raise ValueError(f"{len(amounts)} amounts for {len(axes)} axes")
    around = dict(zip(axes, zip(amounts[: len(axes)], amounts[len(axes) :], strict=True), strict=True))
    grows = max(amounts, default=0) > 0
    t = cropped(b, t, around, "" if grows else op.outputs[0])
    if not grows:
        return [t]
    pads = tuple((max(first, 0), max(last, 0)) for first, last in (around.get(a, (0, 0)) for a in range(len(t.shape))))
    if mode != "constant":
        return [b.emit("border_pad", [t], op.outputs[0], pads=pads, mode=mode)]
    given = operand(x, 2)
    stated = float(op.attrs.get("value", 0.0))  # before opset 11
    value = float(constant(given, "its value").astype(np.float32).reshape(())) if given is not None else stated
    return [b.emit("pad", [t], op.outputs[0], pads=pads, value=value)]


def cropped(b: Builder, x: Value, around: dict[int, tuple[int, int]], name: str) -> Value:
    """What negative amounts leave."""
    begin, end = [0] * len(x.shape), list(x.shape)
    for axis, (first, last) in around.items():
        begin[axis], end[axis] = max(-first, 0), x.shape[axis] - max(-last, 0)
    return cut(b, x, begin, end, [1] * len(x.shape), name)


def channels_outside(b: Builder, x: Value, block: int, name: str) -> Value:
    """[N,C,H b,W b] -> [N,C b b,H,W] with the channel before the pixel of a block."""
    n, c, h, w = x.shape
    if h % block or w % block:
        raise ValueError(f"blocksize {block} of {list(x.shape)}")
    split = b.reshape(x, (n, c, h // block, block, w // block, block))
    turned = b.transpose(split, (0, 1, 3, 5, 2, 4))
    return b.reshape(turned, (n, c * block * block, h // block, w // block), name)


def depth_space(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, block = b.transpose(activation(x[0]), NHWC), int(op.attrs["blocksize"])
    if block < 1:
        raise ValueError(f"blocksize {block}")
    if op.kind == "SpaceToDepth" and op.attrs.get("mode", "DCR") == "CRD":
        return [channels_outside(b, activation(x[0]), block, op.outputs[0])]
    kind = "depth_to_space" if op.kind == "DepthToSpace" else "space_to_depth"
    if kind == "depth_to_space" and op.attrs.get("mode", "DCR") == "CRD":
        y = layers.shuffled_to_space(b, value, block)
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
    "DepthToSpace": depth_space,
    "SpaceToDepth": depth_space,
}
