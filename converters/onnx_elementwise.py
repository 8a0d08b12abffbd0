# SPDX-License-Identifier: Apache-2.0
"""ONNX ops that compute item by item or normalise. RULES: op type -> rule (see onnx_ops.py)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgesdk.converters.build import Builder
from edgesdk.converters.layers import axis_of, binary, over_axis
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, operand
from edgesdk.converters.onnx_ops import unary
from edgesdk.ir import Value

LEAST_NORM = 1e-30  # a row of zeros stays zero
MVN_EPSILON = 1e-9  # of the specification


def with_attrs(kind: str, **defaults: float) -> Rule:
    """An elementwise op with attributes of its own; those of ONNX have the same names."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        attrs = {k: float(op.attrs.get(k, v)) for k, v in defaults.items()}
        return [b.emit(kind, [activation(x[0])], op.outputs[0], **attrs)]

    return rule


def given(x: list[Operand], i: int) -> Value | np.ndarray:
    value = operand(x, i)
    if value is None:
        raise ValueError(f"input {i} is missing")
    return value


def pairwise(kind: str) -> Rule:
    return lambda b, op, x: [binary(b, kind, given(x, 0), given(x, 1), op.outputs[0])]


def div(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """By a constant it is a product, of a constant 1 a reciprocal."""
    top, below = given(x, 0), given(x, 1)
    if isinstance(below, np.ndarray):
        if not np.all(below):
            raise ValueError("division by zero")
        return [binary(b, "mul", activation(top), 1.0 / below.astype(np.float64), op.outputs[0])]
    if isinstance(top, np.ndarray) and top.size == 1 and top.ravel()[0] == 1:
        return [b.emit("reciprocal", [below], op.outputs[0])]
    return [binary(b, "div", top, below, op.outputs[0])]


def mod(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return pairwise("fmod" if op.attrs.get("fmod", 0) else "floor_mod")(b, op, x)


def power(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """Of the base's type; computed in float, of two integers exact while results stay below 2^24."""
    base, exponent = given(x, 0), given(x, 1)
    kind = str(base.dtype)
    whole = np.dtype(kind).kind in "iu"
    y = binary(b, "pow", as_float(b, base), as_float(b, exponent), "" if whole else op.outputs[0])
    if not whole:
        return [y]
    if np.dtype(str(exponent.dtype)).kind in "iu":
        y = b.emit("round", [y])
    return [b.emit("cast", [y], op.outputs[0], to=kind)]


def as_float(b: Builder, x: Value | np.ndarray) -> Value | np.ndarray:
    if isinstance(x, np.ndarray):
        return x.astype(np.float32)
    return x if x.dtype == "float32" else b.emit("cast", [x], to="float32")


def celu(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    if not op.attrs.get("alpha", 1.0):
        raise ValueError("alpha 0")
    return with_attrs("celu", alpha=1.0)(b, op, x)


def axis_rule(kind: str) -> Rule:
    """LogSoftmax and Hardmax: one axis, before opset 13 all axes from it on."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        value, shape = activation(x[0]), activation(x[0]).shape
        axis = axis_of(int(op.attrs.get("axis", -1 if op.opset >= 13 else 1)), len(shape))
        if op.opset < 13 and math.prod(shape[axis + 1 :]) != 1:
            flat = b.reshape(value, (math.prod(shape[:axis]), math.prod(shape[axis:])))
            return [b.reshape(b.emit(kind, [flat]), shape, op.outputs[0])]
        return [over_axis(b, value, axis, kind, op.outputs[0])]

    return rule


def lp_normalization(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, p = activation(x[0]), int(op.attrs.get("p", 2))
    axis = axis_of(int(op.attrs.get("axis", -1)), len(value.shape))
    if p == 2:
        return [over_axis(b, value, axis, "l2_norm", op.outputs[0], epsilon=LEAST_NORM)]
    if p != 1:
        raise ValueError(f"p {p}")
    total = b.emit("sum", [b.emit("abs", [value])], axes=(axis,), keep_dims=True)
    return [binary(b, "div", value, binary(b, "maximum", total, LEAST_NORM), op.outputs[0])]


def mean_variance_normalization(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """(x - mean) / (deviation + 1e-9)"""
    value = activation(x[0])
    axes = tuple(sorted({axis_of(int(a), len(value.shape)) for a in op.attrs.get("axes", (0, 2, 3))}))
    centred = binary(b, "sub", value, b.emit("mean", [value], axes=axes, keep_dims=True))
    variance = b.emit("mean", [b.emit("square", [centred])], axes=axes, keep_dims=True)
    deviation = binary(b, "add", b.emit("sqrt", [variance]), MVN_EPSILON)
    return [binary(b, "div", centred, deviation, op.outputs[0])]


def lrn(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    size = int(op.attrs["size"])
    if size < 1:
        raise ValueError(f"size {size}")
    attrs: dict[str, Any] = {"before": (size - 1) // 2, "after": size // 2}
    attrs["alpha"] = float(op.attrs.get("alpha", 1e-4)) / size
    attrs.update({k: float(op.attrs.get(k, default)) for k, default in (("beta", 0.75), ("bias", 1.0))})
    return [over_axis(b, activation(x[0]), 1, "lrn", op.outputs[0], **attrs)]


# Those of one input whose name is the graph's in lower case.
SAME_NAME = (
    "Abs Neg Exp Log Sqrt Reciprocal Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Floor Ceil Round Sign "
    "Softsign"
).split()

RULES: dict[str, Rule] = {
    **{name: unary(name.lower()) for name in SAME_NAME},
    "Celu": celu,
    "Div": div,
    "Hardmax": axis_rule("hardmax"),
    "LRN": lrn,
    "LogSoftmax": axis_rule("log_softmax"),
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "Mod": mod,
    "PRelu": pairwise("prelu"),
    "Pow": power,
    "Shrink": with_attrs("shrink", lambd=0.5, bias=0.0),
    "ThresholdedRelu": with_attrs("thresholded_relu", alpha=1.0),
}
