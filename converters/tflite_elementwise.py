# SPDX-License-Identifier: Apache-2.0
"""TFLite operators that compute item by item or along a row, and borders: one small function each, found by `OPS`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgesdk.converters import tflite_file
from edgesdk.converters.tflite_scope import (
    ACTIVATION_DTYPES,
    INTEGER_DTYPES,
    Operator,
    activation,
    activations,
    declare,
    emit,
    integers,
    stated_output,
    step,
)
from edgesdk.errors import Unsupported
from edgesdk.ir import MAX_RANK, Node, Quant, Value

MODES = ("reflect", "symmetric")
L2_EPSILON = 1e-6  # TFLite Micro's least norm
NARROW_DTYPES = ("int8", "float32")  # of ops without a 16-bit kernel
WIDE = ("add", "sub", "mul", "minimum", "maximum", "squared_difference", "abs")  # have a 16-bit kernel

Options = dict[str, Any]


def unary(kind: str, op: Operator) -> None:
    emit(op, kind, [activations(op, 0, dtypes=ACTIVATION_DTYPES if kind in WIDE else NARROW_DTYPES)])


def relu6(op: Operator) -> None:
    """TFLite Micro clamps the stored bytes in the input's quantisation, whatever the file says of the output's.

    Its bytes are kept: where the two differ they are read with the output's scale afterwards, as it does. (LiteRT
    rescales there.)
    """
    x = activations(op, 0)
    quant = tflite_file.quant(op.scope.file, op.outputs[0]) if x.dtype == "int8" else None
    if x.quant is None or quant is None or x.quant.same_as(quant):
        emit(op, "relu6", [x])
        return
    clamped, y = step(op, "relu6", [x]), stated_output(op, 0)
    declare(op, 0, y, clamped.shape, clamped.dtype)
    op.scope.nodes.append(Node("reshape", [clamped], [y], {"shape": y.shape}, op.source))


def pair(op: Operator, dtypes: tuple[str, ...]) -> tuple[Value, Value]:
    a, b = activations(op, 0, dtypes=dtypes), activations(op, 1, dtypes=dtypes)
    if a.dtype != b.dtype:
        raise op.fail(f"has {a.dtype} and {b.dtype} inputs, expected one type")
    return a, b


def binary(kind: str, op: Operator, integer: bool = True) -> None:
    attrs: Options = {"activation": activation(op)} if "activation" in op.options else {}
    dtypes = (*(ACTIVATION_DTYPES if kind in WIDE else NARROW_DTYPES), *(INTEGER_DTYPES if integer else ()))
    emit(op, kind, [*pair(op, dtypes)], **attrs)


def prelu(op: Operator) -> None:
    x, slope = activations(op, 0), activations(op, 1)
    if x.dtype == "int16" and slope.dtype == "int8":  # as TFLite has it; the kernel reads two of a kind
        if slope.data is None:
            raise Unsupported(f"int8 slopes {slope.name!r} computed beside int16 activations")
        wide = slope.data.astype(np.int16) - np.int16(slope.zero_point)
        slope = Value(slope.name, slope.shape, "int16", Quant.per_tensor(slope.scale, 0), wide)
    if x.dtype != slope.dtype:
        raise op.fail(f"has {x.dtype} and {slope.dtype} inputs, expected one type")
    emit(op, "prelu", [x, slope])


def l2_normalization(op: Operator) -> None:
    if activation(op) != "none":
        raise Unsupported("L2_NORMALIZATION with a fused activation")
    emit(op, "l2_norm", [activations(op, 0, dtypes=NARROW_DTYPES)], epsilon=L2_EPSILON)


def local_response_normalization(op: Operator) -> None:
    radius = int(op.options["radius"])
    words: Options = {key: float(op.options[key]) for key in ("bias", "alpha", "beta")}
    if radius < 0 or not all(map(math.isfinite, words.values())):
        raise op.fail(f"has radius {radius} and {words}, expected a radius from 0 on and finite numbers")
    emit(op, "lrn", [activations(op, 0, rank=4)], before=radius, after=radius, **words)


def mirror_pad(op: Operator) -> None:
    x, flat, code = activations(op, 0), integers(op, 1, limit=2 * MAX_RANK), int(op.options["mode"])
    if not 0 <= code < len(MODES):
        raise op.fail(f"has mode {code}, expected 0 (REFLECT) or 1 (SYMMETRIC)")
    pads = tuple(zip(flat[::2], flat[1::2], strict=True)) if len(flat) == 2 * len(x.shape) else ()
    widest = [n - 1 if MODES[code] == "reflect" else n for n in x.shape]
    if not pads or any(not 0 <= p <= most for both, most in zip(pads, widest, strict=True) for p in both):
        raise op.fail(f"has paddings {flat} for shape {x.shape}, expected (before, after) within the mirrored axis")
    emit(op, "border_pad", [x], pads=pads, mode=MODES[code])


OPS: dict[str, Callable[[Operator], None]] = {
    "ABS": partial(unary, "abs"),
    "ADD": partial(binary, "add"),
    "CEIL": partial(unary, "ceil"),
    "COS": partial(unary, "cos"),
    "DIV": partial(binary, "div"),
    "EXP": partial(unary, "exp"),
    "FLOOR": partial(unary, "floor"),
    "FLOOR_DIV": partial(binary, "floor_div"),
    "FLOOR_MOD": partial(binary, "floor_mod"),
    "L2_NORMALIZATION": l2_normalization,
    "LOCAL_RESPONSE_NORMALIZATION": local_response_normalization,
    "LOG": partial(unary, "log"),
    "LOG_SOFTMAX": partial(unary, "log_softmax"),
    "MAXIMUM": partial(binary, "maximum"),
    "MINIMUM": partial(binary, "minimum"),
    "MIRROR_PAD": mirror_pad,
    "MUL": partial(binary, "mul"),
    "NEG": partial(unary, "neg"),
    "POW": partial(binary, "pow", integer=False),
    "PRELU": prelu,
    "RELU6": relu6,
    "ROUND": partial(unary, "round"),
    "RSQRT": partial(unary, "rsqrt"),
    "SIGN": partial(unary, "sign"),
    "SIN": partial(unary, "sin"),
    "SQRT": partial(unary, "sqrt"),
    "SQUARE": partial(unary, "square"),
    "SQUARED_DIFFERENCE": partial(binary, "squared_difference"),
    "SUB": partial(binary, "sub"),
}
