# SPDX-License-Identifier: Apache-2.0
"""What each ATen op that compares, selects or ranks becomes. RULES as in torch_ops.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk.converters.build import Builder
from edgesdk.converters.layers import Operand, axis_of, cut
from edgesdk.converters.torch_ops import Call, Rule, pairwise, tensor, typed
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


def common_dtype(*given: Operand) -> str:
    """What torch computes in: a number or a scalar tensor counts only where it is of a higher kind."""
    kinds = [(x.dtype if isinstance(x, np.ndarray | Value) else np.asarray(x).dtype, rank_of(x)) for x in given]
    shaped = [np.dtype(d) for d, rank in kinds if rank > 0]
    scalars = [np.dtype(d) for d, rank in kinds if rank == 0]
    numbers = [np.dtype(d) for d, rank in kinds if rank < 0]
    found = np.dtype(bool)
    for group in (shaped, scalars, numbers):
        higher = [d for d in group if order_of(d) > order_of(found)]
        found = np.result_type(*higher) if higher else found
    return "float32" if found.kind == "f" else found.name


def rank_of(x: Operand) -> int:
    return len(x.shape) if isinstance(x, np.ndarray | Value) else -1


def order_of(dtype: np.dtype) -> int:
    """bool, integers, floats"""
    return "bif".index(dtype.kind.replace("u", "i"))


def combined(b: Builder, op: str, given: list[Any], dtype: str, name: str = "") -> Value:
    return b.emit(op, [typed(b, x, dtype, name or op) for x in given], name)


def comparison(op: str) -> Rule:
    def rule(b: Builder, call: Call) -> Value:
        given = [call["self"], call["other"]]
        return combined(b, op, given, common_dtype(*given), call.name)

    return rule


def bitwise(op: str) -> Rule:
    return lambda b, call: combined(b, op, [call["self"], call["other"]], call.dtype, call.name)


def truth(b: Builder, x: Operand, name: str = "") -> Value:
    return typed(b, x, "bool", f"{name}/truth")


def logical(op: str) -> Rule:
    return lambda b, call: b.emit(op, [truth(b, call[k], call.name) for k in ("self", "other")], call.name)


def negation(b: Builder, call: Call) -> Value:
    """logical_not and bitwise_not: all bits are flipped."""
    ones: Any = True if call.dtype == "bool" else -1
    return combined(b, "bitwise_xor", [tensor(call["self"]), ones], call.dtype, call.name)


def where(b: Builder, call: Call) -> Value:
    values = [typed(b, call[k], call.dtype, f"{call.name}/{k}") for k in ("self", "other")]
    return b.emit("select", [truth(b, call["condition"], call.name), *values], call.name)


def is_nan(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    return b.emit("not_equal", [x, x], call.name)


def is_inf(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    ends = [combined(b, "equal", [x, end], "float32") for end in (np.inf, -np.inf)]
    return b.emit("bitwise_or", ends, call.name)


def arg(op: str) -> Rule:
    """Over one axis, or over all items as they lie."""

    def rule(b: Builder, call: Call) -> Value:
        x, axis, keep = tensor(call["self"]), call["dim"], bool(call["keepdim"])
        if axis is None:
            x, axis, keep = b.reshape(x, (x.elements,)), 0, False
        return b.reshape(arg_of(b, op, x, int(axis), keep, call.name), call.shape)

    return rule


def arg_of(b: Builder, op: str, x: Value, axis: int, keep: bool, name: str) -> Value:
    attrs = {"axis": axis_of(axis, len(x.shape)), "keep_dims": keep, "last": False, "index_dtype": "int64"}
    return b.emit(op, [x], name, **attrs)


def extreme(reduction: str, index: str, pairs: str) -> Rule:
    """max and min: over all axes, over one with the index of what was found, or of two tensors."""

    def rule(b: Builder, call: Call) -> Any:
        if "other" in call.args:
            return pairwise(pairs)(b, call)
        x = tensor(call["self"])
        if call.get("dim") is None:
            return b.emit(reduction, [x], call.name, axes=tuple(range(len(x.shape))), keep_dims=False)
        axis, keep = axis_of(int(call["dim"]), len(x.shape)), bool(call["keepdim"])
        found = b.emit(reduction, [x], call.name, axes=(axis,), keep_dims=keep)
        return [found, arg_of(b, index, x, axis, keep, f"{call.name}/index")]

    return rule


def top_k(b: Builder, call: Call) -> list[Value]:
    """topk, and sort of all items."""
    x = tensor(call["self"])
    axis = axis_of(int(call["dim"]), len(x.shape))
    k = int(call["k"]) if call.kind == "topk" else x.shape[axis]
    attrs = {"axis": axis, "k": k, "largest": bool(call.first("largest", "descending")), "index_dtype": "int64"}
    return [b.emit(f"top_k_{what}", [x], f"{call.name}/{what}", **attrs) for what in ("values", "indices")]


def cumsum(b: Builder, call: Call) -> Value:
    x = typed(b, tensor(call["self"]), call.dtype, call.name)
    axis = axis_of(int(call["dim"]), len(x.shape))
    return b.emit("cumsum", [x], call.name, axis=axis, exclusive=False, reverse=False)


def flip(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    axes = {axis_of(int(a), len(x.shape)) for a in call["dims"]}
    begin = tuple(d - 1 if a in axes else 0 for a, d in enumerate(x.shape))
    stride = tuple(-1 if a in axes else 1 for a in range(len(x.shape)))
    return b.emit("slice", [x], call.name, begin=begin, size=x.shape, stride=stride)


def roll(b: Builder, call: Call) -> Value:
    """The last items first; without axes over all items as they lie."""
    x = tensor(call["self"])
    shifts = zip(call["shifts"], call["dims"] or [0], strict=True)
    y = x if call["dims"] else b.reshape(x, (x.elements,))
    for shift, given in shifts:
        axis = axis_of(int(given), len(y.shape))
        n = y.shape[axis]
        at = -int(shift) % n
        if at:
            y = b.emit("concat", [cut(b, y, axis, at, n), cut(b, y, axis, 0, at)], axis=axis)
    return b.reshape(y, x.shape)


def slice_scatter(b: Builder, call: Call) -> Value:
    """x with a slice replaced: what lies before it, the slice, what lies behind."""
    x, axis = call["self"], axis_of(int(call["dim"]), len(call.shape))
    first, last, step = slice(call["start"], call["end"], int(call["step"])).indices(call.shape[axis])
    if step != 1:
        raise Unsupported(f"a slice with step {step} is replaced; expected step 1")
    if first == 0 and last == call.shape[axis]:
        return tensor(call["src"])
    x, source = (typed(b, call[k], call.dtype, call.name) for k in ("self", "src"))
    parts = [cut(b, x, axis, 0, first)] if first else []
    parts += [source] if last > first else []
    parts += [cut(b, x, axis, max(last, first), call.shape[axis])] if last < call.shape[axis] else []
    return b.emit("concat", parts, call.name, axis=axis)


RULES: dict[str, Rule] = {
    "eq": comparison("equal"),
    "ne": comparison("not_equal"),
    "lt": comparison("less"),
    "le": comparison("less_equal"),
    "gt": comparison("greater"),
    "ge": comparison("greater_equal"),
    **dict.fromkeys(("bitwise_and", "__and__"), bitwise("bitwise_and")),
    **dict.fromkeys(("bitwise_or", "__or__"), bitwise("bitwise_or")),
    **dict.fromkeys(("bitwise_xor", "__xor__"), bitwise("bitwise_xor")),
    **dict.fromkeys(("bitwise_left_shift", "__lshift__"), bitwise("shift_left")),
    **dict.fromkeys(("bitwise_right_shift", "__rshift__"), bitwise("shift_right")),
    "bitwise_not": negation,
    "logical_and": logical("bitwise_and"),
    "logical_or": logical("bitwise_or"),
    "logical_xor": logical("bitwise_xor"),
    "logical_not": negation,
    "where": where,
    "isnan": is_nan,
    "isinf": is_inf,
    "argmax": arg("arg_max"),
    "argmin": arg("arg_min"),
    "max": extreme("reduce_max", "arg_max", "maximum"),
    "min": extreme("reduce_min", "arg_min", "minimum"),
    **dict.fromkeys(("topk", "sort"), top_k),
    "cumsum": cumsum,
    "flip": flip,
    "roll": roll,
    "slice_scatter": slice_scatter,
}
