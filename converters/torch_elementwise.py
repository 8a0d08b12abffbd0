# SPDX-License-Identifier: Apache-2.0
"""What further ATen ops that compute item by item become: functions, quotients, powers. RULES as in torch_ops.py."""

from __future__ import annotations

import numpy as np

from edgesdk.converters.build import Builder
from edgesdk.converters.layers import Operand, axis_of, binary, over_axis
from edgesdk.converters.torch_ops import Call, Rule, promoted, tensor, unary
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

# Those of one input whose name is the graph's.
SAME_NAME = (
    "abs neg exp log log1p expm1 sqrt rsqrt reciprocal square sin cos tan asin acos atan sinh cosh asinh acosh atanh "
    "floor ceil sign"
).split()


def pair(b: Builder, call: Call) -> list[Operand]:
    """Both operands in the type of the result."""
    return [promoted(b, x, call.dtype) for x in (call.first("self", "input"), call["other"])]


def div(b: Builder, call: Call) -> Value:
    """By a constant it is a product."""
    (top, below), mode = pair(b, call), call.get("rounding_mode")
    if mode == "floor":
        return binary(b, "floor_div", top, below, call.name)
    if mode is not None:
        raise Unsupported(f"rounding_mode {mode!r}; expected floor or a plain quotient")
    if isinstance(below, Value):
        return binary(b, "div", top, below, call.name)
    divisor = np.asarray(below, np.float64)
    if not np.all(divisor):
        raise Unsupported("division by zero")
    return binary(b, "mul", top, 1.0 / divisor, call.name)


def pairwise(op: str) -> Rule:
    def rule(b: Builder, call: Call) -> Value:
        x, y = pair(b, call)
        return binary(b, op, x, y, call.name)

    return rule


def pow_(b: Builder, call: Call) -> Value:
    base, exponent = (promoted(b, x, call.dtype) for x in (call.first("self", "base"), call["exponent"]))
    return binary(b, "pow", base, exponent, call.name)


def prelu(b: Builder, call: Call) -> Value:
    """One slope, or one per channel: axis 1."""
    x, slope = tensor(call["self"]), call["weight"]
    elements = slope.elements if isinstance(slope, Value) else slope.size
    if elements == 1 or len(slope.shape) > 1:
        return binary(b, "prelu", x, slope if elements > 1 else np.asarray(slope).reshape(-1), call.name)
    column = (elements, *(1,) * (len(x.shape) - 2))
    laid = b.reshape(slope, column) if isinstance(slope, Value) else slope.reshape(column)
    return binary(b, "prelu", x, laid, call.name)


def round_(b: Builder, call: Call) -> Value:
    if call.get("decimals"):
        raise Unsupported(f"round to {call['decimals']} decimals; multiply before and divide after")
    return unary("round")(b, call)


def celu(b: Builder, call: Call) -> Value:
    return b.emit("celu", [tensor(call["self"])], call.name, alpha=float(call.get("alpha", 1.0)))


def threshold(b: Builder, call: Call) -> Value:
    if call["value"] != 0:
        raise Unsupported(f"a threshold with value {call['value']}; expected 0")
    return b.emit("thresholded_relu", [tensor(call["self"])], call.name, alpha=float(call["threshold"]))


def log_softmax(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    return over_axis(b, x, axis_of(int(call["dim"]), len(x.shape)), "log_softmax", call.name)


RULES: dict[str, Rule] = {
    **{name: unary(name) for name in SAME_NAME},
    **dict.fromkeys(("div", "divide", "true_divide"), div),
    "celu": celu,
    "floor_divide": pairwise("floor_div"),
    "fmod": pairwise("fmod"),
    **dict.fromkeys(("log_softmax", "_log_softmax"), log_softmax),
    "pow": pow_,
    **dict.fromkeys(("prelu", "_prelu_kernel"), prelu),
    "remainder": pairwise("floor_mod"),
    "round": round_,
    "threshold": threshold,
}
