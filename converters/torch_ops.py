# SPDX-License-Identifier: Apache-2.0
"""What each ATen op that computes item by item, over an axis or as a matrix product becomes.

RULES: name of the op (all its overloads) -> rule. A rule takes the builder and the call, whose tensor
arguments are Values, or numpy arrays where they are constant, and returns a Value or a list of them.
ValueError means a malformed call, Unsupported one that edgesdk lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk.converters.build import Builder, Shape
from edgesdk.converters.layers import (
    Operand,
    axis_of,
    binary,
    dense,
    expanded,
    limited,
    norm,
    over_axis,
    product,
    scaled,
)
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


@dataclass(frozen=True)
class Call:
    """One ATen call; `shape` and `dtype` are those of its (first) result."""

    kind: str
    name: str
    args: dict[str, Any]
    shape: Shape
    dtype: str = "float32"

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument that not every overload has."""
        return self.args.get(name, default)

    def first(self, *names: str) -> Any:
        """The first of several names under which versions of torch pass one argument."""
        return next((self.args[n] for n in names if n in self.args), None)


Rule = Callable[[Builder, Call], Any]


def tensor(x: Any, what: str = "its input") -> Value:
    if not isinstance(x, Value):
        raise Unsupported(f"{what} is a constant; expected a result of the model's inputs")
    return x


def constant(x: Any, what: str) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise Unsupported(f"{what} must be constant; expected parameters or buffers")
    return x


def same(b: Builder, call: Call) -> Value:
    return tensor(next(iter(call.args.values())))


def typed(b: Builder, x: Operand, dtype: str, name: str) -> Value:
    """A tensor, a constant or a number as a value of `dtype`."""
    if isinstance(x, Value):
        return x if x.dtype == dtype else b.emit("cast", [x], to=dtype)
    return b.constant(np.asarray(x).astype(dtype), f"{name}/constant", finite=False)


def promoted(b: Builder, x: Operand, dtype: str) -> Operand:
    """An operand of arithmetic in the type of the result; numbers follow the tensor that they meet."""
    if isinstance(x, np.ndarray):
        return x.astype(dtype)
    return typed(b, x, dtype, "") if isinstance(x, Value) else x


def cast(b: Builder, call: Call) -> Value:
    x = same(b, call)
    return x if x.dtype == call.dtype else b.emit("cast", [x], call.name, to=call.dtype)


def copy(b: Builder, call: Call) -> Value:
    """The second tensor in the shape and type of the first."""
    x = typed(b, call["src"], call.dtype, call.name)
    return expanded(b, b.reshape(x, (1,) * (len(call.shape) - len(x.shape)) + x.shape), call.shape)


def add(b: Builder, call: Call) -> Value:
    """add, sub and rsub with their alpha."""
    x, y = (promoted(b, v, call.dtype) for v in (call.first("self", "input"), call["other"]))
    alpha = float(call.get("alpha", 1) or 1)
    if call.kind == "rsub":
        return binary(b, "sub", y, times(b, x, alpha), call.name)
    return binary(b, "add" if call.kind == "add" else "sub", x, times(b, y, alpha), call.name)


def times(b: Builder, x: Operand, factor: float) -> Operand:
    if isinstance(x, Value):
        return scaled(b, x, factor)
    return x if factor == 1 else x * factor


def pairwise(op: str) -> Rule:
    def rule(b: Builder, call: Call) -> Value:
        x, y = (promoted(b, call[k], call.dtype) for k in ("self", "other"))
        return binary(b, op, x, y, call.name)

    return rule


def unary(op: str) -> Rule:
    return lambda b, call: b.emit(op, [tensor(call["self"])], call.name)


def clamp(b: Builder, call: Call) -> Value:
    """clamp, clamp_min, clamp_max and hardtanh; tensors as limits are minimum and maximum."""
    low, high = call.first("min", "min_val"), call.first("max", "max_val")
    x = tensor(call["self"])
    x = typed(b, x, call.dtype, call.name)
    computed = any(isinstance(v, Value) or (isinstance(v, np.ndarray) and v.size > 1) for v in (low, high))
    if computed or call.dtype != "float32":
        x = x if low is None else binary(b, "maximum", x, promoted(b, low, call.dtype))
        return x if high is None else binary(b, "minimum", x, promoted(b, high, call.dtype), call.name)
    ends = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return limited(b, x, *ends, call.name)


def glu(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    axis = axis_of(int(call["dim"]), len(x.shape))
    half = tuple(d // 2 if a == axis else d for a, d in enumerate(x.shape))
    ones = (1,) * len(half)
    begins = [tuple(half[axis] * i if a == axis else 0 for a in range(len(half))) for i in range(2)]
    left, right = (b.emit("slice", [x], begin=begin, size=half, stride=ones) for begin in begins)
    return binary(b, "mul", left, b.emit("logistic", [right]), call.name)


def leaky_relu(b: Builder, call: Call) -> Value:
    return b.emit("leaky_relu", [tensor(call["self"])], call.name, alpha=float(call["negative_slope"]))


def softmax(b: Builder, call: Call) -> Value:
    return over_axis(b, tensor(call["self"]), int(call["dim"]), "softmax", call.name, beta=1.0)


def reduction(op: str) -> Rule:
    def rule(b: Builder, call: Call) -> Value:
        x, given = typed(b, tensor(call["self"]), call.dtype, call.name), call.get("dim")
        given = given if isinstance(given, list) else [] if given is None else [given]
        axes = tuple(sorted({axis_of(int(a), len(x.shape)) for a in given})) or tuple(range(len(x.shape)))
        return b.emit(op, [x], call.name, axes=axes, keep_dims=bool(call.get("keepdim", False)))

    return rule


def batch_norm(b: Builder, call: Call) -> Value:
    x = tensor(call.first("input", "self"))
    mean, variance = (call.first(n) for n in ("running_mean", "running_var"))
    if mean is None or variance is None:
        raise Unsupported("it takes its statistics from the input; set track_running_stats=True")
    mean, variance = (constant(v, "its statistics").astype(np.float64) for v in (mean, variance))
    gamma = 1.0 if call["weight"] is None else constant(call["weight"], "its weight").astype(np.float64)
    beta = 0.0 if call["bias"] is None else constant(call["bias"], "its bias").astype(np.float64)
    scale = gamma / np.sqrt(variance + float(call.first("eps", "epsilon")))
    return norm(b, x, scale, beta - mean * scale, call.name)


def linear(b: Builder, call: Call) -> Value:
    x, weights, bias = tensor(call["input"]), call["weight"], call["bias"]
    if isinstance(weights, np.ndarray) and not isinstance(bias, Value):
        return dense(b, x, weights, bias, call.name)
    turned = b.transpose(weights, (1, 0)) if isinstance(weights, Value) else weights.T
    return biased(b, product(b, x, turned, f"{call.name}/product"), bias, call.name)


def biased(b: Builder, x: Value, bias: Operand | None, name: str) -> Value:
    return x if bias is None else binary(b, "add", x, bias, name)


def addmm(b: Builder, call: Call) -> Value:
    alpha, beta = float(call.get("alpha", 1)), float(call.get("beta", 1))
    bias, x, y = call["self"], call["mat1"], call["mat2"]
    if isinstance(x, Value) and isinstance(y, np.ndarray) and isinstance(bias, np.ndarray) and bias.ndim == 1:
        return dense(b, x, y.T * np.float32(alpha), bias * np.float32(beta), call.name)
    result = scaled(b, product(b, x, y, f"{call.name}/product"), alpha)
    return binary(b, "add", result, times(b, bias, beta), call.name)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("clone", "alias", "contiguous", "detach", "lift_fresh_copy", "dropout", "alpha_dropout"), same),
    **dict.fromkeys(("feature_dropout", "native_dropout", "positive"), same),
    **dict.fromkeys(("_to_copy", "to", "type_as"), cast),
    **dict.fromkeys(("add", "sub", "rsub", "subtract"), add),
    "copy": copy,
    **dict.fromkeys(("mul", "multiply"), pairwise("mul")),
    "minimum": pairwise("minimum"),
    "maximum": pairwise("maximum"),
    "relu": unary("relu"),
    "relu6": unary("relu6"),
    "hardswish": unary("hard_swish"),
    "sigmoid": unary("logistic"),
    "tanh": unary("tanh"),
    "leaky_relu": leaky_relu,
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max", "hardtanh"), clamp),
    "glu": glu,
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), softmax),
    "mean": reduction("mean"),
    "sum": reduction("sum"),
    "amax": reduction("reduce_max"),
    "amin": reduction("reduce_min"),
    "prod": reduction("reduce_prod"),
    "any": reduction("reduce_any"),
    "all": reduction("reduce_all"),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm"), batch_norm),
    "linear": linear,
    "addmm": addmm,
}
