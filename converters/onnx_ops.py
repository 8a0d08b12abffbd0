# SPDX-License-Identifier: Apache-2.0
"""What each ONNX op that computes becomes in the graph. RULES: op type -> rule.

A rule takes the builder, the ONNX node and its operands (numpy arrays for constants) and returns
the node's first outputs. ValueError means a malformed node, Unsupported one that edgesdk lacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import Builder, Shape
from edgesdk.converters.layers import axis_of, limited, over_axis, restored, scaled
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

Pair = tuple[int, int]


def spatial_axes(x: Value) -> int:
    """2 for an image, 1 for a signal."""
    if len(x.shape) not in (3, 4):
        raise Unsupported(f"a tensor with {len(x.shape)} axes where only images (4) and signals (3) are supported")
    return len(x.shape) - 2


def pair(op: Op, name: str, spatial: int, default: Sequence[int] = (1, 1), least: int = 1) -> Pair:
    """(height, width) of an attribute; a signal has height 1."""
    values = tuple(int(v) for v in op.attrs.get(name, default[-spatial:]))
    if len(values) != spatial or min(values) < least:
        raise ValueError(f"{name} {list(values)}, expected {spatial} integers from {least} on")
    return (values[0], values[1]) if spatial == 2 else (1, values[0])


def window_padding(op: Op, x: Value, spatial: int, kernel: Shape, stride: Shape, dilation: Shape = (1, 1)) -> Shape:
    """(top, left, bottom, right) on an image [N,H,W,C], with auto_pad and ceil_mode resolved."""
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    mode, size = op.attrs.get("auto_pad", "NOTSET"), x.shape[1:3]
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, s, k in zip(size, stride, span, strict=True)]
        first = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total]
        return (*first, *(t - f for t, f in zip(total, first, strict=True)))
    if mode not in ("NOTSET", "VALID"):
        raise ValueError(f"auto_pad {mode!r}")
    pads = [int(p) for p in op.attrs.get("pads", ())] if mode == "NOTSET" else []
    pads = pads or [0] * (2 * spatial)
    if len(pads) != 2 * spatial or min(pads) < 0:
        raise ValueError(f"pads {pads}, expected {2 * spatial} integers from 0 on")
    pads = pads if spatial == 2 else [0, pads[0], 0, pads[1]]
    if op.attrs.get("ceil_mode", 0):
        for i in range(2 - spatial, 2):
            pads[2 + i] += ceil_padding(size[i], span[i], stride[i], pads[i], pads[2 + i])
    return tuple(pads)


def ceil_padding(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """What ceil_mode adds behind the data; a window that would start behind it is dropped."""
    count = -(-(size + before + after - kernel) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max((count - 1) * stride + kernel - (size + before + after), 0)


def conv(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, weights = activation(x[0]), constant(operand(x, 1), "its weights")
    spatial, group = weights.ndim - 2, int(op.attrs.get("group", 1))
    if spatial not in (1, 2):
        raise Unsupported(f"{spatial}-D convolution")
    if len(value.shape) != weights.ndim or weights.shape[1] * group != value.shape[1] or weights.shape[0] % group:
        raise ValueError(f"weights {list(weights.shape)} in {group} groups do not match the input {list(value.shape)}")
    weights = weights.reshape(*weights.shape[:2], *(1,) * (2 - spatial), *weights.shape[2:])
    kernel, image = weights.shape[2:], layers.image(b, value, spatial)
    if pair(op, "kernel_shape", spatial, kernel) != kernel:
        raise ValueError(f"weights {list(weights.shape)} do not match kernel_shape")
    stride, dilation = pair(op, "strides", spatial), pair(op, "dilations", spatial)
    padding = window_padding(op, image, spatial, kernel, stride, dilation)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "none"}
    y = layers.grouped(b, image, weights, bias_of(operand(x, 2), weights.shape[0]), group, op.outputs[0], attrs)
    return [restored(b, y, channels_first(y, spatial))]


def channels_first(y: Value, spatial: int) -> Shape:
    """The source's shape of an image [N,H,W,C]."""
    n, h, w, c = y.shape
    return (n, c, h, w) if spatial == 2 else (n, c, w)


def bias_of(x: Operand, channels: int) -> np.ndarray | None:
    if x is None:
        return None
    bias = constant(x, "its bias")
    if bias.shape != (channels,):
        raise ValueError(f"bias {list(bias.shape)}, expected [{channels}]")
    return bias


def pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    spatial = spatial_axes(activation(x[0]))
    value = layers.image(b, activation(x[0]), spatial)
    if "kernel_shape" not in op.attrs:
        raise ValueError("kernel_shape is missing")
    kernel, stride = pair(op, "kernel_shape", spatial), pair(op, "strides", spatial)
    dilation = pair(op, "dilations", spatial)
    padding = window_padding(op, value, spatial, kernel, stride, dilation)
    if any(p >= (k - 1) * d + 1 for p, k, d in zip(padding, kernel * 2, dilation * 2, strict=True)):
        raise ValueError(f"padding {list(padding)} as large as the kernel {list(kernel)}")
    attrs: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "activation": "none"}
    if dilation != (1, 1):
        if op.kind != "MaxPool":
            raise Unsupported("dilated average pooling")
        attrs["dilation"] = dilation
    if op.kind == "AveragePool":
        attrs["count_padding"] = bool(op.attrs.get("count_include_pad", 0)) and any(padding)
        if attrs["count_padding"] and op.attrs.get("ceil_mode", 0):
            value, attrs = written_padding(b, op, value, spatial, attrs)
    y = b.emit("max_pool2d" if op.kind == "MaxPool" else "avg_pool2d", [value], op.outputs[0], **attrs)
    return [restored(b, y, channels_first(y, spatial))]


def written_padding(
    b: Builder, op: Op, value: Value, spatial: int, attrs: dict[str, Any]
) -> tuple[Value, dict[str, Any]]:
    """Padding that a mean counts as zeros of the image; what ceil_mode adds behind it is not counted."""
    stated = replace(op, attrs={**op.attrs, "ceil_mode": 0})
    top, left, bottom, right = window_padding(stated, value, spatial, attrs["kernel"], attrs["stride"])
    rest = (0, 0, attrs["padding"][2] - bottom, attrs["padding"][3] - right)
    value = b.emit("pad", [value], pads=((0, 0), (top, bottom), (left, right), (0, 0)), value=0.0)
    return value, {**attrs, "padding": rest, "count_padding": False}


def global_pool(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value = activation(x[0])
    kind = "mean" if op.kind == "GlobalAveragePool" else "reduce_max"
    axes = tuple(range(2, 2 + spatial_axes(value)))
    return [b.emit(kind, [value], op.outputs[0], axes=axes, keep_dims=True)]


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
    gamma, beta, mean, variance = (constant(operand(x, i), "its statistics").astype(np.float64) for i in range(1, 5))
    if op.attrs.get("training_mode", 0):
        raise Unsupported("training_mode; export the model in eval mode")
    if len(value.shape) < 2 or any(p.shape != (value.shape[1],) for p in (gamma, beta, mean, variance)):
        raise ValueError(f"statistics do not match the channels of {list(value.shape)}")
    scale = gamma / np.sqrt(variance + op.attrs.get("epsilon", 1e-5))
    return [layers.norm(b, value, scale, beta - mean * scale, op.outputs[0])]


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
        return [b.emit(kind, [value], op.outputs[0], axes=axes, keep_dims=bool(op.attrs.get("keepdims", 1)))]

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
