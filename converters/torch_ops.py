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
from edgesdk.converters.common import Operand, axis_of, binary, dense, expanded, limited, norm, over_axis, scaled
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


def div(b: Builder, call: Call) -> Value:
    if call.get("rounding_mode") is not None:
        raise Unsupported(f"rounding_mode {call['rounding_mode']!r}; expected a plain quotient")
    if "float32" != getattr(call["self"], "dtype", "float32"):
        raise Unsupported("a quotient of integers; cast them to floats before")
    if isinstance(call["other"], Value):
        raise Unsupported("its divisor must be constant; multiply by a constant instead")
    divisor = np.asarray(call["other"], np.float64)
    if not np.all(divisor):
        raise Unsupported("division by zero")
    return binary(b, "mul", call["self"], 1.0 / divisor, call.name)


def pow_(b: Builder, call: Call) -> Value:
    if call["exponent"] not in (1, 2, 3) or not isinstance(call["self"], Value):
        raise Unsupported(f"exponent {call['exponent']}; expected 1, 2 or 3")
    x = result = call["self"]
    for _ in range(int(call["exponent"]) - 1):
        result = binary(b, "mul", result, x)
    return result


def square(b: Builder, call: Call) -> Value:
    return binary(b, "mul", call["self"], call["self"], call.name)


def neg(b: Builder, call: Call) -> Value:
    return binary(b, "mul", tensor(call["self"]), -1.0, call.name)


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


def hardsigmoid(b: Builder, call: Call) -> Value:
    line = binary(b, "add", scaled(b, tensor(call["self"]), 1 / 6), 0.5)
    return limited(b, line, 0.0, 1.0, call.name)


def silu(b: Builder, call: Call) -> Value:
    x = tensor(call["self"])
    return binary(b, "mul", x, b.emit("logistic", [x], f"{call.name}/gate"), call.name)


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
    weights = constant(call["weight"], "its weight")
    bias = None if call["bias"] is None else constant(call["bias"], "its bias")
    return dense(b, tensor(call["input"]), weights, bias, call.name)


def matmul(b: Builder, call: Call) -> Value:
    """mm, bmm and matmul by a constant matrix."""
    right = constant(call.first("mat2", "other"), "its second matrix")
    matrix = right.reshape(right.shape[-2:]) if math.prod(right.shape[:-2]) == 1 and right.ndim > 2 else right
    if matrix.ndim != 2:
        raise Unsupported(f"a product with a constant of {right.ndim} axes; expected one matrix")
    y = dense(b, tensor(call["self"]), matrix.T, None, call.name)
    return b.reshape(y, call.shape)


def addmm(b: Builder, call: Call) -> Value:
    alpha, beta = float(call.get("alpha", 1)), float(call.get("beta", 1))
    weights = constant(call["mat2"], "its second matrix").T * np.float32(alpha)
    bias, x = call["self"], tensor(call["mat1"])
    if isinstance(bias, np.ndarray) and bias.ndim == 1:
        return dense(b, x, weights, bias * np.float32(beta), call.name)
    return binary(b, "add", dense(b, x, weights, None, f"{call.name}/product"), times(b, bias, beta), call.name)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("clone", "alias", "contiguous", "detach", "lift_fresh_copy", "dropout", "alpha_dropout"), same),
    **dict.fromkeys(("feature_dropout", "native_dropout", "positive"), same),
    **dict.fromkeys(("_to_copy", "to", "type_as"), cast),
    **dict.fromkeys(("add", "sub", "rsub", "subtract"), add),
    "copy": copy,
    **dict.fromkeys(("mul", "multiply"), pairwise("mul")),
    **dict.fromkeys(("div", "divide", "true_divide"), div),
    "pow": pow_,
    "square": square,
    "neg": neg,
    "minimum": pairwise("minimum"),
    "maximum": pairwise("maximum"),
    "relu": unary("relu"),
    "relu6": unary("relu6"),
    "hardswish": unary("hard_swish"),
    "sigmoid": unary("logistic"),
    "tanh": unary("tanh"),
    "leaky_relu": leaky_relu,
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max", "hardtanh"), clamp),
    "hardsigmoid": hardsigmoid,
    "silu": silu,
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
    **dict.fromkeys(("mm", "bmm", "matmul"), matmul),
    "addmm": addmm,
}
