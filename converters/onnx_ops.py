# SPDX-License-Identifier: Apache-2.0
"""What each ONNX op that computes becomes in the graph. RULES: op type -> rule.

A rule takes the builder, the ONNX node and its operands (numpy arrays for constants) and returns
the node's first outputs. ValueError means a malformed node, Unsupported one that edgesdk lacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import Builder
from edgesdk.converters.layers import axis_of, limited, over_axis, scaled
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


def dense(b: Builder, op: Op, x: Value, weights: np.ndarray, bias: np.ndarray | None, name: str = "") -> Value:
    """x times weights [O, I] over the last axis."""
    if x.shape[-1:] != weights.shape[1:]:
        raise ValueError(f"{list(x.shape)} times {list(weights.shape[::-1])}")
    return layers.dense(b, x, weights, bias, name)


def gemm(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    left = activation(x[0])
    weights = constant(operand(x, 1), "its second matrix").astype(np.float32)
    if weights.ndim != 2 or len(left.shape) != 2:
        raise ValueError("expected two matrices")
    left = b.transpose(left, (1, 0)) if op.attrs.get("transA", 0) else left
    weights = weights if op.attrs.get("transB", 0) else weights.T
    weights = weights * np.float32(op.attrs.get("alpha", 1.0))
    third, beta = operand(x, 2), np.float32(op.attrs.get("beta", 1.0))
    if third is None:
        return [dense(b, op, left, weights, None, op.outputs[0])]
    if isinstance(third, np.ndarray) and is_row(third, weights.shape[0]):
        return [dense(b, op, left, weights, third.reshape(-1) * beta, op.outputs[0])]
    third = third * beta if isinstance(third, np.ndarray) else scaled(b, third, float(beta))
    return [layers.binary(b, "add", dense(b, op, left, weights, None), third, op.outputs[0])]


def is_row(x: np.ndarray, columns: int) -> bool:
    return x.size in (1, columns) and x.shape[-1:] in ((), (x.size,))


def batch_normalization(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    if op.attrs.get("training_mode", 0):
        if all(not isinstance(o, Value) for o in x[1:5]):
            raise Unsupported("training_mode; export the model in eval mode")
        return training_norm(b, op, value, x)
    gamma, beta, mean, variance = (constant(operand(x, i), "its statistics").astype(np.float64) for i in range(1, 5))
    if len(value.shape) < 2 or any(p.shape != (value.shape[1],) for p in (gamma, beta, mean, variance)):
        raise ValueError(f"statistics do not match the channels of {list(value.shape)}")
    scale = gamma / np.sqrt(variance + op.attrs.get("epsilon", 1e-5))
    return [layers.norm(b, value, scale, beta - mean * scale, op.outputs[0])]


def training_norm(b: Builder, op: Op, x: Value, given: list[Operand]) -> list[Operand]:
    """By the statistics of the batch itself; also what training keeps: those given and those of the batch, mixed. Of
    use where a graph trains: with constant statistics it is a network that was exported too early."""
    if len(x.shape) < 2 or any(o is None or o.shape != (x.shape[1],) for o in given[1:5]):
        raise ValueError(f"scale, shift and statistics do not match the channels of {list(x.shape)}")
    gamma, beta, mean, variance = (per_channel(b, o, len(x.shape)) for o in given[1:5])
    axes = tuple(a for a in range(len(x.shape)) if a != 1)
    own_mean = b.emit("mean", [x], axes=axes, keep_dims=True)
    centred = binary(b, "sub", x, own_mean)
    own_variance = b.emit("mean", [b.emit("square", [centred])], axes=axes, keep_dims=True)
    below = b.emit("sqrt", [binary(b, "add", own_variance, np.array(op.attrs.get("epsilon", 1e-5), np.float32))])
    scaled_up = binary(b, "mul", binary(b, "div", centred, below), gamma)
    momentum = float(op.attrs.get("momentum", 0.9))
    kept = [mixed(b, old, new, momentum) for old, new in ((mean, own_mean), (variance, own_variance))]
    named = zip(kept, (*op.outputs[1:], "", ""), strict=False)
    y = binary(b, "add", scaled_up, beta, op.outputs[0])
    return [y, *(b.reshape(v, (x.shape[1],), name) for v, name in named)]


def per_channel(b: Builder, x: Operand, rank: int) -> Value | np.ndarray:
    """[C] as [1, C, 1, ...]"""
    if x is None:
        raise ValueError("an input is missing")
    shape = (1, *x.shape, *(1,) * (rank - 2))
    return b.reshape(x, shape) if isinstance(x, Value) else x.reshape(shape).astype(np.float32)


def mixed(b: Builder, old: Value | np.ndarray, new: Value, momentum: float) -> Value:
    before = scaled(b, old, momentum) if isinstance(old, Value) else (old * np.float32(momentum))
    return binary(b, "add", scaled(b, new, 1 - momentum), before)


def binary(b: Builder, kind: str, x: Operand, y: Operand, name: str = "") -> Value:
    if x is None or y is None:
        raise ValueError("an input is missing")
    return layers.binary(b, kind, x, y, name)


def elementwise(kind: str) -> Rule:
    """Two inputs or, for Sum, Min and Max, any number, taken pairwise."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        result: Operand = x[0]
        for i, y in enumerate(x[1:], 2):
            result = binary(b, kind, result, y, op.outputs[0] if i == len(x) else "")
        return [result]

    return rule


def mean_of_inputs(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    (total,) = elementwise("add")(b, replace(op, outputs=("",)), x)
    return [layers.binary(b, "mul", activation(total), 1.0 / len(x), op.outputs[0])]


def unary(kind: str) -> Rule:
    return lambda b, op, x: [b.emit(kind, [activation(x[0])], op.outputs[0])]


def clip(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    limits = [-math.inf, math.inf]
    for i in range(2):
        bound = operand(x, i + 1)
        if bound is not None:
            limits[i] = float(constant(bound, "its limit").astype(np.float32).reshape(()))
    # Exporters write an open end as the largest float.
    low = -math.inf if limits[0] <= -3.4e38 else limits[0]
    high = math.inf if limits[1] >= 3.4e38 else limits[1]
    return [limited(b, activation(x[0]), low, high, op.outputs[0])]


def leaky_relu(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [b.emit("leaky_relu", [activation(x[0])], op.outputs[0], alpha=float(op.attrs.get("alpha", 0.01)))]


def softmax(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, shape = activation(x[0]), activation(x[0]).shape
    axis = axis_of(int(op.attrs.get("axis", -1 if op.opset >= 13 else 1)), len(shape))
    if op.opset < 13 and axis != len(shape) - 1 and math.prod(shape[axis + 1 :]) != 1:
        # Before opset 13, softmax runs over all axes from `axis` on.
        flat = b.reshape(value, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        return [b.reshape(b.emit("softmax", [flat], beta=1.0), shape, op.outputs[0])]
    return [over_axis(b, value, axis, "softmax", op.outputs[0], beta=1.0)]


def reduction(kind: str) -> Rule:
    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        value = activation(x[0])
        axes = tuple(reduced_axes(op, operand(x, 1), len(value.shape)))
        if not axes:
            return [value]
        found = OF_BOOLS.get(kind, kind) if value.dtype == "bool" else kind
        return [b.emit(found, [value], op.outputs[0], axes=axes, keep_dims=bool(op.attrs.get("keepdims", 1)))]

    return rule


OF_BOOLS = {"reduce_max": "reduce_any", "reduce_min": "reduce_all"}


def reduced_axes(op: Op, x: Operand, rank: int) -> list[int]:
    given: Sequence[int] = op.attrs.get("axes", ()) if x is None else constant(x, "its list of axes").ravel().tolist()
    if not given and op.attrs.get("noop_with_empty_axes", 0):
        return []
    return sorted({axis_of(int(a), rank) for a in given}) or list(range(rank))


RULES: dict[str, Rule] = {
    "Gemm": gemm,
    "BatchNormalization": batch_normalization,
    "Relu": unary("relu"),
    "HardSwish": unary("hard_swish"),
    "Sigmoid": unary("logistic"),
    "Tanh": unary("tanh"),
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "Softmax": softmax,
    "Add": elementwise("add"),
    "Mean": mean_of_inputs,
    "Sum": elementwise("add"),
    "Sub": elementwise("sub"),
    "Mul": elementwise("mul"),
    "Min": elementwise("minimum"),
    "Max": elementwise("maximum"),
    "ReduceMean": reduction("mean"),
    "ReduceSum": reduction("sum"),
    "ReduceMax": reduction("reduce_max"),
}
