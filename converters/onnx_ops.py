# SPDX-License-Identifier: Apache-2.0
"""What each ONNX op that computes becomes in the graph. RULES: op type -> rule.

A rule takes the builder, the ONNX node and its operands (numpy arrays for constants) and returns
the node's first outputs. ValueError means a malformed node, Unsupported one that edgesdk lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgesdk.converters.onnx_layout import (
    NHWC,
    Builder,
    Op,
    Operand,
    Shape,
    Tensor,
    aligned,
    identity,
    reshaped,
    settled,
    stored,
)
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

Rule = Callable[[Builder, Op, list[Operand]], list[Operand]]


def activation(x: Operand) -> Tensor:
    if not isinstance(x, Tensor):
        raise Unsupported("its data input is a constant")
    return x


def constant(x: Operand, what: str) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise Unsupported(f"{what} must be a constant")
    return x


def operand(x: list[Operand], i: int) -> Operand:
    return x[i] if i < len(x) else None


def axis_of(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor with {rank} axes")
    return axis % rank


def pair(op: Op, name: str, default: tuple[int, int] = (1, 1), least: int = 1) -> tuple[int, int]:
    values = tuple(int(v) for v in op.attrs.get(name, default))
    if len(values) == 1 or len(values) == 3:
        raise Unsupported(f"{len(values)}-D windows")
    if len(values) != 2 or min(values) < least:
        raise ValueError(f"{name} {list(values)}, expected two integers from {least} on")
    return values[0], values[1]


def image(b: Builder, x: Operand) -> Value:
    """A rank-4 activation in NHWC."""
    t = activation(x)
    if len(t.shape) != 4:
        raise Unsupported(f"a tensor with {len(t.shape)} axes where only images (4 axes) are supported")
    return stored(b, t, NHWC)


def window_padding(op: Op, x: Value, kernel: Shape, stride: Shape, dilation: Shape = (1, 1)) -> Shape:
    """(top, left, bottom, right) with auto_pad and ceil_mode resolved."""
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    mode, size = op.attrs.get("auto_pad", "NOTSET"), x.shape[1:3]
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, s, k in zip(size, stride, span, strict=True)]
        first = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total]
        return (*first, *(t - f for t, f in zip(total, first, strict=True)))
    if mode not in ("NOTSET", "VALID"):
        raise ValueError(f"auto_pad {mode!r}")
    pads = [int(p) for p in op.attrs.get("pads", ())] if mode == "NOTSET" else []
    pads = pads or [0, 0, 0, 0]
    if len(pads) != 4 or min(pads) < 0:
        raise ValueError(f"pads {pads}, expected four integers from 0 on")
    if op.attrs.get("ceil_mode", 0):
        for i in range(2):
            pads[2 + i] += ceil_padding(size[i], span[i], stride[i], pads[i], pads[2 + i])
    return tuple(pads)


def ceil_padding(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """What ceil_mode adds behind the data; a window that would start behind it is dropped."""
    count = -(-(size + before + after - kernel) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max((count - 1) * stride + kernel - (size + before + after), 0)


def conv(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    weights = constant(operand(x, 1), "its weights")
    if weights.ndim == 3:
        raise Unsupported("1-D convolution; reshape the model to [N, C, 1, L]")
    if weights.ndim != 4:
        raise Unsupported(f"{weights.ndim - 2}-D convolution")
    group, channels = int(op.attrs.get("group", 1)), t.shape[1] if len(t.shape) == 4 else 0
    bias = bias_of(b, operand(x, 2), weights.shape[0])
    if group > 1 and group == channels == weights.shape[1] * group and weights.shape[0] % group == 0:
        kind, laid, axes = "depthwise_conv2d", weights[:, 0].transpose(1, 2, 0), (0, 1)
    else:
        kind, laid, axes = "conv2d", weights.transpose(0, 2, 3, 1), (1, 2)
    value = image(b, x[0])
    kernel = (laid.shape[axes[0]], laid.shape[axes[1]])
    if pair(op, "kernel_shape", kernel) != kernel or weights.shape[1] * group != channels:
        raise ValueError(f"weights {list(weights.shape)} do not match kernel_shape or the {channels} input channels")
    stride, dilation = pair(op, "strides"), pair(op, "dilations")
    padding = window_padding(op, value, kernel, stride, dilation)
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "none"}
    attrs |= {"groups": group} if group > 1 and kind == "conv2d" else {}
    return [Tensor(b.emit(kind, [value, b.constant(laid, "weights"), bias], attrs, op.outputs[0]), NHWC)]


def bias_of(b: Builder, x: Operand, channels: int) -> Value | None:
    if x is None:
        return None
    bias = constant(x, "its bias")
    if bias.shape != (channels,):
        raise ValueError(f"bias {list(bias.shape)}, expected [{channels}]")
    return b.constant(bias, "bias")


def pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = image(b, x[0])
    if "kernel_shape" not in op.attrs:
        raise ValueError("kernel_shape is missing")
    kernel, stride = pair(op, "kernel_shape"), pair(op, "strides")
    if pair(op, "dilations") != (1, 1):
        raise Unsupported("dilated pooling")
    padding = window_padding(op, value, kernel, stride)
    if any(p >= k for p, k in zip(padding, kernel * 2, strict=True)):
        raise ValueError(f"padding {list(padding)} as large as the kernel {list(kernel)}")
    attrs: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "activation": "none"}
    if op.kind == "AveragePool":
        attrs["count_padding"] = bool(op.attrs.get("count_include_pad", 0)) and any(padding)
        if attrs["count_padding"] and op.attrs.get("ceil_mode", 0):
            raise Unsupported("ceil_mode together with count_include_pad")
    kind = "max_pool2d" if op.kind == "MaxPool" else "avg_pool2d"
    return [Tensor(b.emit(kind, [value], attrs, op.outputs[0]), NHWC)]


def global_pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    kind = "mean" if op.kind == "GlobalAveragePool" else "reduce_max"
    value = b.emit(kind, [image(b, x[0])], {"axes": (1, 2), "keep_dims": True}, op.outputs[0])
    return [Tensor(value, NHWC)]


def dense(b: Builder, op: Op, x: Operand, weights: np.ndarray, bias: Value | None) -> Tensor:
    """x times weights [O, I] over the last axis. A flattened image stays as it lies: the
    columns of the weights are put in its order instead."""
    t = activation(x)
    if t.shape[-1:] != weights.shape[1:]:
        raise ValueError(f"{list(t.shape)} times {list(weights.shape[::-1])}")
    if t.view is not None and t.view == (t.source[0], weights.shape[1]) and t.perm[0] == 0:
        order = np.arange(weights.shape[1]).reshape(t.source[1:]).transpose([a - 1 for a in t.perm[1:]])
        weights, t = weights[:, order.ravel()], Tensor(b.reshape(t.value, t.view), (0, 1))
    t = settled(b, t)
    if t.perm[-1] != len(t.perm) - 1:
        t = Tensor(stored(b, t, identity(len(t.perm))), identity(len(t.perm)))
    inputs = [t.value, b.constant(weights, "weights"), bias]
    return replace(t, value=b.emit("fully_connected", inputs, {"activation": "none"}, op.outputs[0]))


def transposed(x: Operand) -> Operand:
    return replace(x, perm=tuple(1 - a for a in x.perm)) if isinstance(x, Tensor) else x


def gemm(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    left = settled(b, activation(x[0])) if op.attrs.get("transA", 0) else activation(x[0])
    weights = constant(operand(x, 1), "its second matrix").astype(np.float32)
    if weights.ndim != 2 or len(left.shape) != 2:
        raise ValueError("expected two matrices")
    left = activation(transposed(left)) if op.attrs.get("transA", 0) else left
    weights = weights if op.attrs.get("transB", 0) else weights.T
    weights = weights * np.float32(op.attrs.get("alpha", 1.0))
    third, beta = operand(x, 2), np.float32(op.attrs.get("beta", 1.0))
    if third is None:
        return [dense(b, op, left, weights, None)]
    if (
        isinstance(third, np.ndarray)
        and third.size in (1, weights.shape[0])
        and third.shape[-1:] in ((), (third.size,))
    ):
        bias = np.broadcast_to(third.reshape(-1) * beta, weights.shape[:1])
        return [dense(b, op, left, weights, b.constant(bias, "bias"))]
    if beta != 1.0:
        third = third * beta if isinstance(third, np.ndarray) else scaled(b, third, float(beta))
    return [binary(b, "add", dense(b, op, left, weights, None), third, op.outputs[0])]


def batch_normalization(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    gamma, beta, mean, variance = (constant(operand(x, i), "its statistics").astype(np.float64) for i in range(1, 5))
    if op.attrs.get("training_mode", 0):
        raise Unsupported("training_mode")
    if len(t.shape) < 2 or any(p.shape != (t.shape[1],) for p in (gamma, beta, mean, variance)):
        raise ValueError(f"statistics do not match the channels of {list(t.shape)}")
    scale = gamma / np.sqrt(variance + op.attrs.get("epsilon", 1e-5))
    shift = beta - mean * scale
    if t.view is None and t.perm[-1] == 1 and len(t.perm) in (2, 4):
        inputs = [t.value, b.constant(scale, "scale"), b.constant(shift, "shift")]
        return [replace(t, value=b.emit("batch_norm", inputs, {}, op.outputs[0]))]
    column = (-1,) + (1,) * (len(t.shape) - 2)
    return [binary(b, "add", binary(b, "mul", t, scale.reshape(column)), shift.reshape(column), op.outputs[0])]


def binary(b: Builder, kind: str, x: Operand, y: Operand, name: str = "") -> Tensor:
    if x is None or y is None:
        raise ValueError("an input is missing")
    values, lead = aligned(b, [x, y])
    attrs = {"activation": "none"} if kind in ("add", "sub", "mul") else {}
    return replace(lead, value=b.emit(kind, values, attrs, name))


def scaled(b: Builder, t: Tensor, factor: float, name: str = "") -> Tensor:
    return binary(b, "mul", t, np.array(factor, np.float32), name)


def elementwise(kind: str) -> Rule:
    """Two inputs or, for Sum, Min and Max, any number, taken pairwise."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        result = x[0]
        for i, y in enumerate(x[1:], 2):
            result = binary(b, kind, result, y, op.outputs[0] if i == len(x) else "")
        return [result]

    return rule


def div(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    divisor = constant(operand(x, 1), "its divisor").astype(np.float64)
    if not np.all(divisor):
        raise ValueError("division by zero")
    return [binary(b, "mul", activation(x[0]), 1.0 / divisor, op.outputs[0])]


def neg(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    return [scaled(b, activation(x[0]), -1.0, op.outputs[0])]


def unary(kind: str) -> Rule:
    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        t = activation(x[0])
        return [replace(t, value=b.emit(kind, [t.value], {}, op.outputs[0]))]

    return rule


def clipped(b: Builder, t: Tensor, low: float, high: float, name: str) -> Tensor:
    named = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}
    if math.isnan(low) or math.isnan(high) or low > high:
        raise ValueError(f"limits {low} and {high}")
    kind = named.get((low, high), "clip")
    attrs = {"min": low, "max": high} if kind == "clip" else {}
    return replace(t, value=b.emit(kind, [t.value], attrs, name))


def clip(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    limits = [-math.inf, math.inf]
    for i in range(2):
        bound = operand(x, i + 1)
        if bound is not None:
            limits[i] = float(constant(bound, "its limit").astype(np.float32).reshape(()))
    # Exporters write an open end as the largest float.
    low = -math.inf if limits[0] <= -3.4e38 else limits[0]
    high = math.inf if limits[1] >= 3.4e38 else limits[1]
    return [clipped(b, activation(x[0]), low, high, op.outputs[0])]


def leaky_relu(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = activation(x[0])
    alpha = float(op.attrs.get("alpha", 0.01))
    return [replace(t, value=b.emit("leaky_relu", [t.value], {"alpha": alpha}, op.outputs[0]))]


def softmax(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    t = settled(b, activation(x[0]))
    rank, shape = len(t.shape), t.shape
    axis = axis_of(int(op.attrs.get("axis", -1 if op.opset >= 13 else 1)), rank)
    if op.opset < 13 and axis != rank - 1 and math.prod(shape[axis + 1 :]) != 1:
        # Before opset 13, softmax runs over all axes from `axis` on.
        flat = reshaped(b, t, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        return [reshaped(b, last_softmax(b, flat, 1, ""), shape)]
    return [last_softmax(b, t, axis, op.outputs[0])]


def last_softmax(b: Builder, t: Tensor, axis: int, name: str) -> Tensor:
    t = settled(b, t)
    order = t.perm if t.perm[-1] == axis else (*(a for a in t.perm if a != axis), axis)
    return Tensor(b.emit("softmax", [stored(b, t, order)], {"beta": 1.0}, name), order)


def reduction(kind: str) -> Rule:
    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        t = settled(b, activation(x[0]))
        axes = reduced_axes(op, operand(x, 1), len(t.shape))
        keep = bool(op.attrs.get("keepdims", 1))
        if not axes:
            return [t]
        lying = tuple(sorted(t.perm.index(a) for a in axes))
        value = b.emit(kind, [t.value], {"axes": lying, "keep_dims": keep}, op.outputs[0])
        left = [a for a in t.perm if keep or a not in axes]
        return [Tensor(value, tuple(sorted(left).index(a) for a in left))]

    return rule


def reduced_axes(op: Op, x: Operand, rank: int) -> list[int]:
    given: Sequence[int] = op.attrs.get("axes", ()) if x is None else constant(x, "its list of axes").ravel().tolist()
    if not given and op.attrs.get("noop_with_empty_axes", 0):
        return []
    return sorted({axis_of(int(a), rank) for a in given}) or list(range(rank))


RULES: dict[str, Rule] = {
    "Conv": conv,
    "Gemm": gemm,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "BatchNormalization": batch_normalization,
    "Relu": unary("relu"),
    "HardSwish": unary("hard_swish"),
    "Sigmoid": unary("logistic"),
    "Tanh": unary("tanh"),
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "Softmax": softmax,
    "Add": elementwise("add"),
    "Sum": elementwise("add"),
    "Sub": elementwise("sub"),
    "Mul": elementwise("mul"),
    "Min": elementwise("minimum"),
    "Max": elementwise("maximum"),
    "Div": div,
    "Neg": neg,
    "ReduceMean": reduction("mean"),
    "ReduceSum": reduction("sum"),
    "ReduceMax": reduction("reduce_max"),
}
