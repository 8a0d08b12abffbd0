# SPDX-License-Identifier: Apache-2.0
"""What each ATen op that only moves data becomes. RULES as in torch_ops.py."""

from __future__ import annotations

from edgesdk.converters.build import Builder
from edgesdk.converters.layers import axis_of, cut, expanded, operand, repeated
from edgesdk.converters.torch_ops import Call, Rule, tensor
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

BORDERS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def reshape(b: Builder, call: Call) -> Value:
    """view, flatten, squeeze and whatever else keeps the items in their order."""
    return b.reshape(tensor(call.first("self", "input")), call.shape, call.name)


def permute(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    rank = len(x.shape)
    if call.kind == "permute":
        return b.transpose(x, tuple(axis_of(int(a), rank) for a in call["dims"]), call.name)
    order = list(range(rank))
    if call.kind == "t":
        return b.transpose(x, tuple(reversed(order)), call.name)
    i, j = (axis_of(int(call.first(*names)), rank) for names in (("dim0", "axis0"), ("dim1", "axis1")))
    order[i], order[j] = order[j], order[i]
    return b.transpose(x, tuple(order), call.name)


def cat(b: Builder, call: Call) -> Value:
    given = [x for x in call["tensors"] if x.shape != (0,)]  # an empty one counts as nothing
    parts = [operand(b, x, call.name) for x in given]
    axis = axis_of(int(call.first("dim", "axis") or 0), len(parts[0].shape))
    return parts[0] if len(parts) == 1 else b.emit("concat", parts, call.name, axis=axis)


def stack(b: Builder, call: Call) -> Value:
    parts = [operand(b, x, call.name) for x in call["tensors"]]
    axis = axis_of(int(call["dim"]), len(call.shape))
    raised = [b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in parts]
    return raised[0] if len(raised) == 1 else b.emit("concat", raised, call.name, axis=axis)


def slice_(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    axis = axis_of(int(call["dim"]), len(x.shape))
    if call.kind == "narrow":
        return cut(b, x, axis, int(call["start"]), int(call["start"]) + int(call["length"]), 1, call.name)
    span = slice(call["start"], call["end"], int(call["step"]))
    return cut(b, x, axis, *span.indices(x.shape[axis]), call.name)


def select(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    axis = axis_of(int(call["dim"]), len(x.shape))
    at = int(call["index"]) % x.shape[axis]
    return b.reshape(cut(b, x, axis, at, at + 1), call.shape, call.name)


def split(b: Builder, call: Call) -> list[Value]:
    """split, chunk and unbind: a list of slices."""
    x = tensor(call["self"])
    axis = axis_of(int(call.get("dim", 0)), len(x.shape))
    n, results, at = x.shape[axis], [], 0
    for i, size in enumerate(split_sizes(call, n)):
        results.append(cut(b, x, axis, at, at + size, 1, f"{call.name}/{i}"))
        at += size
    if at != n:
        raise ValueError(f"parts of {at} items for {n}")
    return [b.reshape(y, call.shape) for y in results] if call.kind == "unbind" else results


def split_sizes(call: Call, n: int) -> list[int]:
    if call.kind == "unbind":
        return [1] * n
    if call.kind == "chunk":
        each = -(-n // int(call["chunks"]))
    else:
        given = call.first("split_sizes", "split_size", "sizes")
        if isinstance(given, list):
            return [int(v) for v in given]
        each = int(given)
    return [min(each, n - at) for at in range(0, n, each)]


def expand(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    return expanded(b, b.reshape(x, (1,) * (len(call.shape) - len(x.shape)) + x.shape), call.shape, call.name)


def repeat(b: Builder, call: Call) -> Value:
    x, counts = tensor(call["self"]), [int(n) for n in call.first("repeats", "dims")]
    counts = [1] * (len(x.shape) - len(counts)) + counts
    return repeated(b, b.reshape(x, (1,) * (len(counts) - len(x.shape)) + x.shape), counts, call.name)


def pad(b: Builder, call: Call) -> Value:
    x, amounts = tensor(call["self"]), [int(v) for v in call["pad"]]
    mode = call.get("mode", "constant")
    around = [(0, 0)] * (len(x.shape) - len(amounts) // 2)
    around += [(amounts[i], amounts[i + 1]) for i in range(len(amounts) - 2, -1, -2)]
    for axis, (before, after) in enumerate(around):  # a negative amount crops
        x = cut(b, x, axis, max(-before, 0), x.shape[axis] - max(-after, 0))
    around = [(max(p, 0), max(q, 0)) for p, q in around]
    if mode != "constant":
        if mode not in BORDERS:
            raise Unsupported(f"padding mode {mode!r}; expected constant, {', '.join(BORDERS)}")
        return b.emit("border_pad", [x], call.name, pads=tuple(around), mode=BORDERS[mode])
    if not any(map(any, around)):
        return x
    return b.emit("pad", [x], call.name, pads=tuple(around), value=float(call["value"] or 0))


def broadcast_tensors(b: Builder, call: Call) -> list[Value]:
    return [
        expand(b, Call("expand", call.name, {"self": operand(b, x, call.name)}, call.shape, call.dtype))
        for x in call["tensors"]
    ]


RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten", "view_as"), reshape),
    **dict.fromkeys(("squeeze", "unsqueeze", "reshape_as"), reshape),
    **dict.fromkeys(("permute", "transpose", "t", "swapaxes"), permute),
    **dict.fromkeys(("cat", "concat", "concatenate"), cat),
    "stack": stack,
    **dict.fromkeys(("slice", "narrow"), slice_),
    "select": select,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), split),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), expand),
    **dict.fromkeys(("repeat", "tile"), repeat),
    **dict.fromkeys(("pad", "constant_pad_nd"), pad),
    "broadcast_tensors": broadcast_tensors,
}
