# SPDX-License-Identifier: Apache-2.0
"""ONNX nodes whose inputs are all known at import: shape arithmetic and prepared weights.

FOLDS: op type -> (node, arrays) -> array. ValueError means a malformed node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgesdk.converters.layers import axis_of
from edgesdk.converters.onnx_node import MAX_CONSTANT, Op
from edgesdk.converters.onnx_shapes import new_shape

Fold = Callable[[Op, list[Any]], np.ndarray]

CAST = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "float32",
}


def check_elements(shape: tuple[int, ...]) -> tuple[int, ...]:
    if min(shape, default=0) < 0 or math.prod(shape) > MAX_CONSTANT:
        raise ValueError(f"a constant of shape {list(shape)}")
    return shape


def constant(op: Op, x: list[Any]) -> np.ndarray:
    names = {"value": None, "value_float": "float32", "value_floats": "float32", "value_int": "int64"}
    names["value_ints"] = "int64"
    for name, dtype in names.items():
        if name in op.attrs:
            return np.asarray(op.attrs[name], dtype)
    raise ValueError("no numeric value")


def pairwise(function: Callable[[Any, Any], Any]) -> Fold:
    def fold(op: Op, x: list[Any]) -> np.ndarray:
        check_elements(np.broadcast_shapes(x[0].shape, x[1].shape))
        result: np.ndarray = np.asarray(function(x[0], x[1]))
        return result if result.dtype == bool else result.astype(x[0].dtype, copy=False)

    return fold


def div(op: Op, x: list[Any]) -> np.ndarray:
    if not np.all(x[1]):
        raise ValueError("division by zero")
    whole = np.issubdtype(x[0].dtype, np.integer)
    return pairwise(lambda a, b: np.trunc(a / b) if whole else a / b)(op, x)


def modulo(op: Op, x: list[Any]) -> np.ndarray:
    if not np.all(x[1]):
        raise ValueError("division by zero")
    return pairwise(np.fmod if op.attrs.get("fmod", 0) else np.mod)(op, x)


def each(function: Callable[[Any], Any]) -> Fold:
    return lambda op, x: np.asarray(function(x[0])).astype(x[0].dtype, copy=False)


def axes_of(op: Op, x: list[Any], rank: int) -> tuple[int, ...] | None:
    given = x[1].ravel().tolist() if len(x) > 1 and x[1] is not None else op.attrs.get("axes")
    return None if given is None else tuple(axis_of(int(a), rank) for a in given)


def unsqueeze(op: Op, x: list[Any]) -> np.ndarray:
    count = len(x[1].ravel() if len(x) > 1 else op.attrs["axes"])
    return np.expand_dims(x[0], axes_of(op, x, x[0].ndim + count) or ())


def concat(op: Op, x: list[Any]) -> np.ndarray:
    return np.concatenate(x, int(op.attrs["axis"]))


def gather(op: Op, x: list[Any]) -> np.ndarray:
    axis = axis_of(int(op.attrs.get("axis", 0)), x[0].ndim)
    rest = x[0].shape[:axis] + x[0].shape[axis + 1 :]
    check_elements(x[1].shape + rest)
    return np.asarray(np.take(x[0], x[1].astype(np.int64), axis))


def slice_(op: Op, x: list[Any]) -> np.ndarray:
    starts, ends = x[1].ravel().tolist(), x[2].ravel().tolist()
    axes = x[3].ravel().tolist() if len(x) > 3 and x[3] is not None else range(len(starts))
    steps = x[4].ravel().tolist() if len(x) > 4 else [1] * len(starts)
    index = [slice(None)] * x[0].ndim
    for axis, first, last, step in zip(axes, starts, ends, steps, strict=True):
        index[axis_of(int(axis), x[0].ndim)] = slice(int(first), int(last), int(step))
    return np.asarray(x[0][tuple(index)])


def cast(op: Op, x: list[Any]) -> np.ndarray:
    if op.attrs.get("to") not in CAST:
        raise ValueError(f"cast to type {op.attrs.get('to')}")
    return np.asarray(x[0]).astype(CAST[op.attrs["to"]])


def constant_of_shape(op: Op, x: list[Any]) -> np.ndarray:
    fill = np.asarray(op.attrs.get("value", np.zeros(1, np.float32))).reshape(-1)[:1]
    return np.array(np.broadcast_to(fill, check_elements(tuple(int(d) for d in x[0].ravel()))))


def expand(op: Op, x: list[Any]) -> np.ndarray:
    wanted = check_elements(tuple(int(d) for d in x[1].ravel()))
    return np.array(np.broadcast_to(x[0], check_elements(np.broadcast_shapes(x[0].shape, wanted))))


def range_(op: Op, x: list[Any]) -> np.ndarray:
    start, limit, delta = (float(v.reshape(())) for v in x[:3])
    check_elements((max(math.ceil((limit - start) / delta), 0) if delta else -1,))
    return np.arange(start, limit, delta).astype(x[0].dtype)


def reduce_product(op: Op, x: list[Any]) -> np.ndarray:
    keep = bool(op.attrs.get("keepdims", 1))
    return np.asarray(np.prod(x[0], axes_of(op, x, x[0].ndim), keepdims=keep)).astype(x[0].dtype)


def where(op: Op, x: list[Any]) -> np.ndarray:
    check_elements(np.broadcast_shapes(x[0].shape, x[1].shape, x[2].shape))
    return np.asarray(np.where(x[0], x[1], x[2]))


def product(op: Op, x: list[Any]) -> np.ndarray:
    if x[0].ndim > 1 and x[1].ndim > 1:
        lead = np.broadcast_shapes(x[0].shape[:-2], x[1].shape[:-2])
        check_elements((*lead, x[0].shape[-2], x[1].shape[-1]))
    return np.asarray(np.matmul(x[0], x[1]))


def logistic(x: np.ndarray) -> np.ndarray:
    """Without overflow on either side."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


FOLDS: dict[str, Fold] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Shape": lambda op, x: sliced_shape(op, x[0].shape),
    "Size": lambda op, x: np.array(x[0].size, np.int64),
    "Gather": gather,
    "Concat": concat,
    "Unsqueeze": unsqueeze,
    "Squeeze": lambda op, x: np.squeeze(x[0], axes_of(op, x, x[0].ndim)),
    "Reshape": lambda op, x: x[0].reshape(new_shape(op, x[0].shape, [int(d) for d in x[1].ravel()])),
    "Transpose": lambda op, x: np.transpose(x[0], op.attrs.get("perm")),
    "Slice": slice_,
    "Cast": cast,
    "Identity": lambda op, x: x[0],
    "Expand": expand,
    "Range": range_,
    "Add": pairwise(np.add),
    "Sub": pairwise(np.subtract),
    "Mul": pairwise(np.multiply),
    "Div": div,
    "MatMul": product,
    "Min": pairwise(np.minimum),
    "Max": pairwise(np.maximum),
    "Equal": pairwise(np.equal),
    "Greater": pairwise(np.greater),
    "Less": pairwise(np.less),
    "Where": where,
    "Mod": modulo,
    "ReduceProd": reduce_product,
    "Neg": each(np.negative),
    "Floor": each(np.floor),
    "Ceil": each(np.ceil),
    "Sqrt": each(np.sqrt),
    "Abs": each(np.abs),
    "Exp": each(np.exp),
    "Log": each(np.log),
    "Tanh": each(np.tanh),
    "Sigmoid": each(logistic),
    "Sign": each(np.sign),
    "Pow": pairwise(np.power),
    "NonZero": lambda op, x: np.array(np.nonzero(x[0]), np.int64),
}


def sliced_shape(op: Op, shape: tuple[int, ...]) -> np.ndarray:
    """Shape with its optional `start` and `end`."""
    return np.array(shape[op.attrs.get("start", 0) : op.attrs.get("end")], np.int64)
