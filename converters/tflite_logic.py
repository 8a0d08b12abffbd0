# SPDX-License-Identifier: Apache-2.0
"""TFLite operators on truth values and plain integers: comparisons, logic, selection, casts, constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from edgesdk.converters import tflite_file
from edgesdk.converters.tflite_scope import (
    QUANTISED_DTYPES,
    STORED_DTYPES,
    Operator,
    emit,
    integers,
    known,
    step,
    value,
)
from edgesdk.errors import Unsupported
from edgesdk.ir import MAX_RANK, Value
from edgesdk.ops.cast import CASTS


def pair(kind: str, op: Operator) -> None:
    a, b = value(op, 0), value(op, 1)
    if a.dtype != b.dtype:
        raise op.fail(f"has {a.dtype} and {b.dtype} inputs, expected one type")
    emit(op, kind, [a, b])


def logical_not(op: Operator) -> None:
    x = value(op, 0)
    emit(op, "bitwise_xor", [x, scalar(op, "true", np.array(True))])


def scalar(op: Operator, name: str, data: np.ndarray) -> Value:
    return Value(op.scope.unique(f"{op.source}/{name}"), data.shape, data.dtype.name, None, data)


def select(op: Operator) -> None:
    which, a, b = value(op, 0), value(op, 1), value(op, 2)
    if op.name == "SELECT" and len(which.shape) == 1 and len(a.shape) > 1 and which.shape[0] == a.shape[0]:
        # The older operator lets a vector choose whole rows.
        which = step(op, "reshape", [which], shape=(*which.shape, *[1] * (len(a.shape) - 1)))
    check_scales(op, [a, b])
    emit(op, "select", [which, a, b])


def check_scales(op: Operator, values: list[Value], out: int = 0) -> None:
    """Stored items are moved: quantised inputs and output have one scale."""
    quant = tflite_file.quant(op.scope.file, op.outputs[out])
    for v in values:
        if v.dtype not in QUANTISED_DTYPES or v.quant is None or quant is None:
            continue
        scale = float(quant.scale[0])
        if abs(v.scale - scale) > 1e-5 * scale or v.zero_point != int(quant.zero_point[0]):
            raise Unsupported(f"output scale and zero point that differ from those of input {v.name!r}")


def cast(op: Operator) -> None:
    x, to = value(op, 0), tflite_file.dtype(op.scope.file, op.outputs[0])
    if x.dtype not in CASTS or to not in STORED_DTYPES or x.quant is not None:
        raise Unsupported(f"a cast from {x.dtype} to {to}")
    emit(op, "cast", [x], to=to)


def fill(op: Operator) -> None:
    dims, x = integers(op, 0), value(op, 1)
    if x.elements != 1 or any(d < 1 for d in dims):
        raise op.fail(f"fills shape {dims} with {x.elements} values, expected positive dimensions and one value")
    emit(op, "broadcast_to", [x], shape=dims)


def zeros_like(op: Operator) -> None:
    x = value(op, 0)
    if x.dtype == "int8":
        raise Unsupported("zeros of a quantised type")
    emit(op, "broadcast_to", [scalar(op, "zero", np.zeros((1,) * len(x.shape), x.dtype))], shape=x.shape)


def range_(op: Operator) -> None:
    start, limit, delta = (value(op, i) for i in range(3))
    if start.data is None or limit.data is None or delta.data is None:
        raise Unsupported("a range computed while the model runs")
    first, end, by = (float(v.data.ravel()[0]) for v in (start, limit, delta) if v.data is not None)
    count = math.ceil((end - first) / by) if by and math.isfinite((end - first) / by) else 0
    if count < 1:
        raise op.fail(f"counts from {first} to {end} by {by}, expected at least one number")
    op.scope.file.charge(8 * count, op.source)
    known(op, (first + by * np.arange(count)).astype(start.dtype))


def rank(op: Operator) -> None:
    known(op, np.array(len(value(op, 0).shape), np.int32))


def broadcast_args(op: Operator) -> None:
    a, b = integers(op, 0, MAX_RANK), integers(op, 1, MAX_RANK)
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError as error:
        raise op.fail(f"broadcasts {a} and {b}, expected shapes that match") from error
    known(op, np.array(shape, value(op, 0).dtype))


OPS: dict[str, Callable[[Operator], None]] = {
    "BITWISE_XOR": partial(pair, "bitwise_xor"),
    "BROADCAST_ARGS": broadcast_args,
    "CAST": cast,
    "EQUAL": partial(pair, "equal"),
    "FILL": fill,
    "GREATER": partial(pair, "greater"),
    "GREATER_EQUAL": partial(pair, "greater_equal"),
    "LESS": partial(pair, "less"),
    "LESS_EQUAL": partial(pair, "less_equal"),
    "LOGICAL_AND": partial(pair, "bitwise_and"),
    "LOGICAL_NOT": logical_not,
    "LOGICAL_OR": partial(pair, "bitwise_or"),
    "NOT_EQUAL": partial(pair, "not_equal"),
    "RANGE": range_,
    "RANK": rank,
    "RIGHT_SHIFT": partial(pair, "shift_right"),
    "SELECT": select,
    "SELECT_V2": select,
    "ZEROS_LIKE": zeros_like,
}
