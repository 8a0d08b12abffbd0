# SPDX-License-Identifier: Apache-2.0
"""What ONNX's products of matrices, norms and smooth activations become. RULES: op -> rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import Builder
from edgesdk.converters.einsum import einsum
from edgesdk.converters.layers import axis_of
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand
from edgesdk.ir import Value


def matmul(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [layers.product(b, *both(x), op.outputs[0])]


def both(x: list[Operand]) -> tuple[layers.Operand, layers.Operand]:
    left, right = operand(x, 0), operand(x, 1)
    if left is None or right is None:
        raise ValueError("an input is missing")
    return left, right


def equation(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    given = [layers.operand(b, o, op.outputs[0]) for o in x if o is not None]
    return [einsum(str(op.attrs["equation"]), given, lambda kind, inputs, attrs: b.emit(kind, inputs, **attrs))]


def layer_norm(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """LayerNormalization and RMSNormalization, over the axes from `axis` on."""
    value, name = activation(x[0]), op.outputs[0]
    axis = axis_of(int(op.attrs.get("axis", -1)), len(value.shape))
    factors = layers.norm_factors(b, factors_of(x), value.shape[axis:], name)
    kind = "layer_norm" if op.kind == "LayerNormalization" else "rms_norm"
    epsilon = float(op.attrs.get("epsilon", 1e-5))
    y = b.emit(kind, [value, *factors], name, axis=axis, epsilon=epsilon)
    return [y, *statistics(b, op, value, axis, epsilon)] if any(op.outputs[1:]) else [y]


def statistics(b: Builder, op: Op, x: Value, axis: int, epsilon: float) -> list[Operand]:
    """The mean and 1 / deviation that LayerNormalization tells beside its result."""
    attrs: dict[str, Any] = {"axes": tuple(range(axis, len(x.shape))), "keep_dims": True}
    names = [*op.outputs[1:], "", ""]
    mean = b.emit("mean", [x], names[0], **attrs)
    variance = b.emit("mean", [b.emit("square", [layers.binary(b, "sub", x, mean)])], **attrs)
    return [mean, b.emit("rsqrt", [layers.binary(b, "add", variance, epsilon)], names[1])]


def factors_of(x: list[Operand]) -> list[np.ndarray | None]:
    """The scale and the shift, where they are given."""
    given = [(operand(x, i), f"its {what}") for i, what in ((1, "scale"), (2, "shift"))]
    return [None if o is None else constant(o, what) for o, what in given]


def channel_norm(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """InstanceNormalization and GroupNormalization, whose factors are per group before opset 21."""
    value, factors = activation(x[0]), factors_of(x)
    if len(value.shape) < 3:
        raise ValueError(f"expected [N, C, ...], found {list(value.shape)}")
    channels = value.shape[1]
    groups = int(op.attrs.get("num_groups", channels))
    if any(f is None or f.size not in (groups, channels) for f in factors):
        raise ValueError(f"its scale and shift do not match {groups} groups of {channels} channels")
    each = [None if f is None else np.repeat(f.ravel(), channels // f.size) for f in factors]
    return [layers.own_norm(b, value, groups, each, float(op.attrs.get("epsilon", 1e-5)), op.outputs[0])]


def smooth(kind: str, **defaults: float) -> Rule:
    """An activation whose attributes have these names and defaults."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        attrs = {name: float(op.attrs.get(name, value)) for name, value in defaults.items()}
        return [b.emit(kind, [activation(x[0])], op.outputs[0], **attrs)]

    return rule


def gelu(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    near = op.attrs.get("approximate", "none") == "tanh"
    return [b.emit("gelu", [activation(x[0])], op.outputs[0], approximate=near)]


def swish(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """x * logistic(alpha * x)"""
    alpha = float(op.attrs.get("alpha", 1.0))
    if alpha == 1.0:
        return smooth("silu")(b, op, x)
    value = activation(x[0])
    share = b.emit("logistic", [layers.scaled(b, value, alpha)])
    return [layers.binary(b, "mul", value, share, op.outputs[0])]


RULES: dict[str, Rule] = {
    "MatMul": matmul,
    "Einsum": equation,
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    "InstanceNormalization": channel_norm,
    "GroupNormalization": channel_norm,
    "Gelu": gelu,
    "Erf": smooth("erf"),
    "Softplus": smooth("softplus"),
    "Mish": smooth("mish"),
    "Elu": smooth("elu", alpha=1.0),
    "Selu": smooth("selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "HardSigmoid": smooth("hard_sigmoid", alpha=0.2, beta=0.5),
    "Swish": swish,
}
