# SPDX-License-Identifier: Apache-2.0
"""What ONNX ops on indices, truth values and plain integers become in the graph. RULES: op type -> rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from edgesdk import ops
from edgesdk.converters import layers, onnx_ops
from edgesdk.converters.build import Builder
from edgesdk.converters.layers import axis_of
from edgesdk.converters.onnx_node import (
    DTYPES,
    MAX_CONSTANT,
    Op,
    Operand,
    Rule,
    activation,
    constant,
    integers,
    operand,
    value_of,
)
from edgesdk.converters.onnx_ops import binary, reduction
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


def folded(rule: Rule, op: Op, x: list[Operand]) -> list[Operand]:
    """Results of a node whose operands are all constant, by the numpy references of what its rule emits."""
    b = Builder(source=op.name)
    results = rule(b, op, [value_of(b, constant(x[0], "its data"), "data"), *x[1:]])
    made = [v for n in b.nodes for v in n.outputs]
    if sum(v.elements for v in made) > MAX_CONSTANT or any(ops.macs(n) for n in b.nodes):
        raise Unsupported("its data input is a constant")
    arrays: dict[Value, np.ndarray] = {}
    for node in b.nodes:
        inputs = [None if v is None else v.data if v.data is not None else arrays[v] for v in node.inputs]
        found = ops.module(node.op).reference(node, inputs)
        arrays.update({v: a.astype(v.dtype) for v, a in zip(node.outputs, found, strict=True)})
    return [v if not isinstance(v, Value) else v.data if v.data is not None else arrays[v] for v in results]


def broadcasting(kind: str) -> Rule:
    return lambda b, op, x: [combined(b, kind, x, op.outputs[0])]


def combined(b: Builder, kind: str, x: list[Operand], name: str = "") -> Value:
    return b.emit(kind, [value_of(b, o) for o in x if o is not None], name)


def negation(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """Not and BitwiseNot: all bits are flipped."""
    t = activation(x[0])
    ones = np.array(True) if t.dtype == "bool" else np.array(-1).astype(t.dtype)
    return [combined(b, "bitwise_xor", [t, ones], op.outputs[0])]


def bit_shift(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    kind = {"LEFT": "shift_left", "RIGHT": "shift_right"}.get(op.attrs.get("direction", ""))
    if kind is None:
        raise ValueError(f"direction {op.attrs.get('direction')!r}")
    if any(o is not None and str(o.dtype) == "int8" for o in x):
        raise Unsupported("shifts of int8 numbers; expected uint8, int32 or int64, cast them before")
    width = 8 * np.dtype(value_of(b, x[0]).dtype).itemsize
    amounts = operand(x, 1)
    if isinstance(amounts, np.ndarray) and ((amounts >= 0) & (amounts < width)).all():
        return [combined(b, kind, x, op.outputs[0])]
    return [far_shifted(b, kind, value_of(b, x[0]), value_of(b, amounts), width, op.outputs[0])]


def far_shifted(b: Builder, kind: str, x: Value, amounts: Value, width: int, name: str) -> Value:
    """Amounts out of range shift everything out: zeros come from the right, copies of the sign from the left."""
    most = np.array(width - 1, amounts.dtype)
    far = combined(b, "greater", [amounts, most])
    if amounts.dtype != "uint8":
        far = combined(b, "bitwise_or", [far, combined(b, "less", [amounts, np.zeros((), amounts.dtype)])])
    shifted = combined(b, kind, [x, combined(b, "select", [far, most, amounts])])
    if kind == "shift_right" and x.dtype != "uint8":
        return shifted
    return combined(b, "select", [far, np.zeros((), x.dtype), shifted], name)


def is_nan(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [combined(b, "not_equal", [x[0], x[0]], op.outputs[0])]


def is_inf(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    signs = [s for s, k in ((np.inf, "detect_positive"), (-np.inf, "detect_negative")) if op.attrs.get(k, 1)]
    if not signs:
        raise Unsupported("neither sign is detected")
    found = [combined(b, "equal", [x[0], np.array(s, np.float32)]) for s in signs]
    return [found[0] if len(found) == 1 else combined(b, "bitwise_or", [*found], op.outputs[0])]


def cast(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, to = activation(x[0]), DTYPES.get(op.attrs.get("to", 0))
    if to is None:
        raise Unsupported(f"a cast to element type {op.attrs.get('to')}")
    return [value if value.dtype == to else b.emit("cast", [value], op.outputs[0], to=to)]


REAL = {"float16": "float32", "float64": "float32"}


def cast_like(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    like = operand(x, 1)
    if x[0] is None or like is None:
        raise ValueError("an input is missing")
    to = like.dtype if isinstance(like, Value) else REAL.get(like.dtype.name, like.dtype.name)
    if to not in DTYPES.values():
        raise Unsupported(f"a cast to {to}")
    if isinstance(x[0], np.ndarray):
        return [x[0].astype(to)]
    return [x[0] if x[0].dtype == to else b.emit("cast", [x[0]], op.outputs[0], to=to)]


def clip(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """Limits that are computed, or of integers, are a maximum and a minimum. Before opset 11 they are attributes."""
    x = [x[0], *(np.array(op.attrs[k], np.float32) if k in op.attrs else operand(x, i) for i, k in LIMITS)]
    if activation(x[0]).dtype == "float32" and not any(isinstance(o, Value) for o in x[1:]):
        return onnx_ops.clip(b, op, x)
    result = x[0]
    for kind, limit in zip(("maximum", "minimum"), x[1:], strict=False):
        result = result if limit is None else binary(b, kind, result, limit)
    return [result]


LIMITS = ((1, "min"), (2, "max"))


def index_values(b: Builder, x: Operand) -> Value:
    v = value_of(b, x, "indices")
    return v if v.dtype in ("int32", "int64") else b.emit("cast", [v], to="int32")


def gather(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """A single constant index is a slice without that axis."""
    table, indices = value_of(b, x[0], "table"), operand(x, 1)
    axis = axis_of(int(op.attrs.get("axis", 0)), len(table.shape))
    if isinstance(indices, np.ndarray) and not indices.ndim:
        at = axis_of(int(indices), table.shape[axis])
        part = layers.cut(b, table, axis, at, at + 1)
        return [b.reshape(part, (*table.shape[:axis], *table.shape[axis + 1 :]), op.outputs[0])]
    return [b.emit("gather", [table, index_values(b, indices)], op.outputs[0], axis=axis, batch_dims=0)]


def indexed(kind: str, attributes: Callable[[Op, int], dict[str, Any]]) -> Rule:
    """data, indices and perhaps updates"""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        data = value_of(b, x[0], "data")
        values = [data, index_values(b, operand(x, 1)), *(value_of(b, o, "updates") for o in x[2:])]
        return [b.emit(kind, values, op.outputs[0], **attributes(op, len(data.shape)))]

    return rule


def axis_attribute(op: Op, rank: int) -> dict[str, Any]:
    return {"axis": axis_of(int(op.attrs.get("axis", 0)), rank)}


def reduced_updates(op: Op, rank: int) -> dict[str, Any]:
    return {**axis_attribute(op, rank), "reduction": op.attrs.get("reduction", "none")}


def arg(kind: str) -> Rule:
    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        value = activation(x[0])
        attrs = {"keep_dims": bool(op.attrs.get("keepdims", 1)), "last": bool(op.attrs.get("select_last_index", 0))}
        attrs |= axis_attribute(op, len(value.shape))
        return [b.emit(kind, [value], op.outputs[0], index_dtype="int64", **attrs)]

    return rule


def top_k(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    (k,) = [int(op.attrs["k"])] if "k" in op.attrs else integers(operand(x, 1), "its number of items")
    axis = axis_of(int(op.attrs.get("axis", -1)), len(value.shape))
    attrs = {"axis": axis, "k": k, "largest": bool(op.attrs.get("largest", 1)), "index_dtype": "int64"}
    names = [*op.outputs, ""]
    return [b.emit(kind, [value], name, **attrs) for kind, name in zip(TOP_K, names, strict=False)]


TOP_K = ("top_k_values", "top_k_indices")


def cumsum(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    (number,) = integers(operand(x, 1), "its axis")
    attrs = {k: bool(op.attrs.get(k, 0)) for k in ("exclusive", "reverse")}
    return [b.emit("cumsum", [value], op.outputs[0], axis=axis_of(number, len(value.shape)), **attrs)]


def one_hot(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """Negative indices count from the end; those out of range give a row of `off`."""
    where, (depth,) = value_of(b, x[0], "indices"), integers(operand(x, 1), "its depth")
    off, on = constant(operand(x, 2), "its values").ravel()
    if not 1 <= depth <= MAX_CONSTANT:
        raise ValueError(f"depth {depth}")
    axis = axis_of(int(op.attrs.get("axis", -1)), len(where.shape) + 1)
    spread = b.reshape(where, (*where.shape[:axis], 1, *where.shape[axis:]))
    places = np.arange(depth).reshape((depth,) + (1,) * (len(where.shape) - axis)).astype(where.dtype)
    hot: Operand = combined(b, "equal", [spread, places])
    if where.dtype != "uint8":
        hot = combined(b, "bitwise_or", [hot, combined(b, "equal", [spread, places - depth])])
    return [combined(b, "select", [hot, np.array(on), np.array(off)], op.outputs[0])]


def tile(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [layers.repeated(b, activation(x[0]), integers(operand(x, 1), "its repeats"), op.outputs[0])]


def expand(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    shape = np.broadcast_shapes(value.shape, tuple(integers(operand(x, 1), "its shape")))
    return [layers.expanded(b, value, shape, op.outputs[0])]


def triangle(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    diagonal = operand(x, 1)
    k = integers(diagonal, "its diagonal")[0] if diagonal is not None else 0
    if len(t.shape) < 2:
        raise ValueError(f"a triangle of {list(t.shape)}")
    cut = np.triu if op.attrs.get("upper", 1) else np.tril
    keep = cut(np.ones(t.shape[-2:], bool), k)
    return [combined(b, "select", [keep, t, np.zeros((), t.dtype)], op.outputs[0])]


def eye_like(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    dtype = DTYPES.get(op.attrs.get("dtype", 0), t.dtype)
    return [np.eye(t.shape[0], t.shape[1], int(op.attrs.get("k", 0)), dtype)]


def computed(name: str) -> str:
    """An op of the graph that the last step needs."""
    if name not in ops.modules():
        raise Unsupported(f"the graph has no op {name!r}")
    return name


def composed(before: str, after: str) -> Rule:
    """A sum of a function of the items, and a function of that."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        t = activation(x[0])
        if before == "abs":
            t = binary(b, "maximum", t, binary(b, "mul", t, np.array(-1, np.float32)))
        elif before == "square":
            t = binary(b, "mul", t, t)
        (total,) = reduction("sum")(b, replace(op, outputs=("",)) if after else op, [t, *x[1:]])
        return [b.emit(computed(after), [activation(total)], op.outputs[0])] if after else [total]

    return rule


def log_sum_exp(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """log(sum(e^(x - m))) + m with the largest item m, so that nothing overflows."""
    t = activation(x[0])
    kept = replace(op, attrs={**op.attrs, "keepdims": 1}, outputs=("",))
    (largest,) = reduction("reduce_max")(b, kept, [t, *x[1:]])
    below = binary(b, "sub", t, largest)
    powers = b.emit(computed("exp"), [below])
    (total,) = reduction("sum")(b, kept, [powers, *x[1:]])
    logarithm = b.emit(computed("log"), [activation(total)])
    result = binary(b, "add", logarithm, largest)
    (flat,) = reduction("reduce_max")(b, op, [result, *x[1:]]) if not op.attrs.get("keepdims", 1) else (result,)
    return [flat]


def non_max_suppression(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """As many rows as there can be: those that select nothing are -1."""
    boxes, scores = value_of(b, x[0], "boxes"), value_of(b, operand(x, 1), "scores")
    limits = [operand(x, i) for i in (2, 3, 4)]
    most, iou, threshold = (0.0 if v is None else float(constant(v, "its limit").reshape(())) for v in limits)
    if most < 1:
        raise Unsupported("a limit of 0 boxes per class")
    most = min(int(most), boxes.shape[1] if len(boxes.shape) == 3 else 1)
    least = threshold if limits[2] is not None else -float(np.finfo(np.float32).max)
    center = bool(op.attrs.get("center_point_box", 0))
    found = b.emit("nms", [boxes, scores], most=most, threshold=least, iou=iou, center=center)
    rows = b.emit("slice", [found], begin=(0, 0), size=(found.shape[0] - 1, 3), stride=(1, 1))
    return [b.emit("cast", [rows], op.outputs[0], to="int64")]


RULES: dict[str, Rule] = {
    "And": broadcasting("bitwise_and"),
    "ArgMax": arg("arg_max"),
    "ArgMin": arg("arg_min"),
    "BitShift": bit_shift,
    "BitwiseAnd": broadcasting("bitwise_and"),
    "BitwiseNot": negation,
    "BitwiseOr": broadcasting("bitwise_or"),
    "BitwiseXor": broadcasting("bitwise_xor"),
    "Cast": cast,
    "CastLike": cast_like,
    "Clip": clip,
    "CumSum": cumsum,
    "Equal": broadcasting("equal"),
    "Expand": expand,
    "EyeLike": eye_like,
    "Gather": gather,
    "GatherElements": indexed("gather_elements", axis_attribute),
    "GatherND": indexed("gather_nd", lambda op, rank: {"batch_dims": int(op.attrs.get("batch_dims", 0))}),
    "Greater": broadcasting("greater"),
    "GreaterOrEqual": broadcasting("greater_equal"),
    "IsInf": is_inf,
    "IsNaN": is_nan,
    "Less": broadcasting("less"),
    "LessOrEqual": broadcasting("less_equal"),
    "NonMaxSuppression": non_max_suppression,
    "Not": negation,
    "OneHot": one_hot,
    "Or": broadcasting("bitwise_or"),
    "ReduceL1": composed("abs", ""),
    "ReduceL2": composed("square", "sqrt"),
    "ReduceLogSum": composed("", "log"),
    "ReduceLogSumExp": log_sum_exp,
    "ReduceMin": reduction("reduce_min"),
    "ReduceProd": reduction("reduce_prod"),
    "ReduceSumSquare": composed("square", ""),
    "ScatterElements": indexed("scatter_elements", reduced_updates),
    "ScatterND": indexed("scatter_nd", lambda op, rank: {"reduction": op.attrs.get("reduction", "none")}),
    "Tile": tile,
    "TopK": top_k,
    "Trilu": triangle,
    "Where": broadcasting("select"),
    "Xor": broadcasting("bitwise_xor"),
}
