# SPDX-License-Identifier: Apache-2.0
"""What the importers have in common: ops of frameworks that count axes channels first, in terms of the graph's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from edgesdk.converters.build import NCHW, NHWC, Builder, Shape
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Value
from edgesdk.ops import masks

Operand = Value | np.ndarray | float
ACTIVATED = ("add", "sub", "mul")  # binary ops with a fused activation


def axis_of(axis: int, rank: int) -> int:
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise ValueError(f"axis {axis} of a tensor with {rank} axes")
    return axis % max(rank, 1)


def operand(b: Builder, x: Operand, name: str, dtype: str = "float32") -> Value:
    """A tensor; a constant in its own type; a number in `dtype`."""
    if isinstance(x, Value):
        return x
    if not isinstance(x, np.ndarray) and dtype != "float32" and x != np.asarray(x).astype(dtype):
        raise Unsupported(f"{x} together with {dtype}; expected a number of that type, cast the tensor before")
    return b.constant(x if isinstance(x, np.ndarray) else np.asarray(x, dtype), f"{name}/constant")


def operands(b: Builder, given: Sequence[Operand], name: str) -> list[Value]:
    """Numbers become constants of the dtype that the tensors have."""
    dtype = next((v.dtype for v in given if isinstance(v, Value)), "float32")
    return [operand(b, v, name, dtype) for v in given]


def binary(b: Builder, op: str, x: Operand, y: Operand, name: str = "") -> Value:
    given = unexpanded(b, x, y)
    values = operands(b, [masks.bounded(v) if op == "add" and is_mask(v) else v for v in given], name or op)
    b.masks.update({v: o for v, o in zip(values, given, strict=True) if op == "add" and is_mask(o)})
    attrs = {"activation": "none"} if op in ACTIVATED else {}
    return b.emit(op, values, name, **attrs)


def is_mask(x: Operand) -> TypeGuard[np.ndarray]:
    return masks.is_mask(x)


def restore_masks(b: Builder, graph: Graph) -> None:
    """Sums whose infinities something but softmax sees have them."""
    consumers = graph.consumers()
    for node in graph.nodes:
        if b.masks.keys() & node.inputs and not masks.meets_only_softmax(node.output, consumers, graph.results):
            for i, v in enumerate(node.inputs):
                if v in b.masks:
                    node.inputs[i] = b.constant(b.masks[v], f"{v.name}/mask", finite=False)


def unexpanded(b: Builder, x: Operand, y: Operand) -> list[Operand]:
    """Operands without an expand that broadcasting does anyway."""
    pair: list[Operand] = [x, y]
    full = np.broadcast_shapes(shape_of(x), shape_of(y))
    for i, own in enumerate(pair):
        before = b.expanded.get(own) if isinstance(own, Value) else None
        if before is not None and np.broadcast_shapes(before.shape, shape_of(pair[1 - i])) == full:
            pair[i] = before
    return pair


def shape_of(x: Operand) -> Shape:
    return x.shape if isinstance(x, Value | np.ndarray) else ()


def scaled(b: Builder, x: Value, factor: float, name: str = "") -> Value:
    return x if factor == 1 else binary(b, "mul", x, factor, name)


def limited(b: Builder, x: Value, low: float, high: float, name: str = "") -> Value:
    if math.isnan(low) or math.isnan(high) or low > high:
        raise ValueError(f"limits {low} and {high}")
    named = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}
    op = named.get((low, high), "clip")
    return b.emit(op, [x], name, **({"min": low, "max": high} if op == "clip" else {}))


def over_axis(
    b: Builder, x: Value, axis: int, op: str, name: str, factors: Sequence[Value | None] = (), **attrs: Any
) -> Value:
    """An op over the last axis, applied to `axis`; `factors` are its other inputs."""
    axis, rank = axis_of(axis, len(x.shape)), len(x.shape)
    order = (*(a for a in range(rank) if a != axis), axis)
    y = b.emit(op, [b.transpose(x, order), *factors], name, **attrs)
    return b.transpose(y, tuple(order.index(a) for a in range(rank)))


def dense(b: Builder, x: Value, weights: np.ndarray, bias: np.ndarray | None, name: str) -> Value:
    """x times weights [O,I] over the last axis."""
    if len(x.shape) == 1:
        row = dense(b, b.reshape(x, (1, *x.shape)), weights, bias, name)
        return b.reshape(row, row.shape[1:])
    terms = None if bias is None else b.constant(np.broadcast_to(bias, weights.shape[:1]), f"{name}/bias")
    inputs = [x, b.constant(weights, f"{name}/weights"), terms]
    return b.emit("fully_connected", inputs, name, activation="none")


def product(b: Builder, x: Operand, y: Operand, name: str) -> Value:
    """numpy's matmul: vectors are matrices of one row or column, a constant matrix on the right is a layer."""
    left, right = shape_of(x), shape_of(y)
    if not left or not right:
        raise ValueError("a product of matrices with a number")
    rows = () if len(left) == 1 else left[-2:-1]
    columns = () if len(right) == 1 else right[-1:]
    x = raised(b, x, (1, *left)) if len(left) == 1 else x
    y = raised(b, y, (*right, 1)) if len(right) == 1 else y
    if isinstance(x, Value) and isinstance(y, np.ndarray) and y.size == math.prod(y.shape[-2:]):
        result = dense(b, x, y.reshape(y.shape[-2:]).T, None, name)
    else:
        result = b.emit("batch_matmul", [operand(b, x, name), operand(b, y, name)], name, adj_x=False, adj_y=False)
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    return b.reshape(result, (*batch, *rows, *columns))


def raised(b: Builder, x: Operand, shape: Shape) -> Operand:
    return b.reshape(x, shape) if isinstance(x, Value) else np.asarray(x).reshape(shape)


def image(b: Builder, x: Value, spatial: int) -> Value:
    """[N,H,W,C] of [N,C,L] or [N,C,H,W], whose batch axis may be missing."""
    if spatial > 2:
        raise Unsupported(f"a convolution or pool over {spatial} axes; expected 1 or 2")
    if not spatial + 1 <= len(x.shape) <= spatial + 2:
        raise ValueError(f"an input of shape {list(x.shape)} for {spatial} spatial axes")
    n = x.shape[0] if len(x.shape) == spatial + 2 else 1
    return b.transpose(b.reshape(x, (n, x.shape[-spatial - 1], *(1,) * (2 - spatial), *x.shape[-spatial:])), NHWC)


def restored(b: Builder, y: Value, shape: Shape) -> Value:
    """The result of an op on an image in the source's shape."""
    return b.reshape(b.transpose(y, NCHW), shape)


def grouped(
    b: Builder, x: Value, weights: np.ndarray, bias: np.ndarray | None, groups: int, name: str, attrs: dict[str, Any]
) -> Value:
    """A convolution, in groups where there are several, or a depthwise one. weights [O, I / groups, KH, KW]."""
    terms = None if bias is None else b.constant(bias, f"{name}/bias")
    if groups > 1 and groups == x.shape[3]:
        laid = b.constant(weights[:, 0].transpose(1, 2, 0), f"{name}/weights")
        return b.emit("depthwise_conv2d", [x, laid, terms], name, **attrs)
    laid = b.constant(weights.transpose(0, 2, 3, 1), f"{name}/weights")
    return b.emit("conv2d", [x, laid, terms], name, **attrs, **({"groups": groups} if groups > 1 else {}))


def transposed(
    b: Builder, x: Value, weights: np.ndarray, bias: np.ndarray | None, groups: int, name: str, attrs: dict[str, Any]
) -> Value:
    """A transposed convolution. weights [I, O / groups, KH, KW]."""
    laid = np.concatenate([w.transpose(1, 2, 3, 0) for w in np.split(weights, groups)])
    terms = None if bias is None else b.constant(bias, f"{name}/bias")
    inputs = [x, b.constant(laid, f"{name}/weights"), terms]
    return b.emit("transpose_conv2d", inputs, name, **attrs, groups=groups)


def cut(b: Builder, x: Value, axis: int, first: int, last: int, step: int = 1, name: str = "") -> Value:
    """x[first:last:step] along `axis`"""
    rank, count = len(x.shape), len(range(first, last, step))
    if count < 1:
        raise Unsupported(f"an empty slice [{first}:{last}:{step}] of {list(x.shape)}; expected at least one item")
    if count == x.shape[axis] and step > 0:
        return x
    begin = tuple(first if a == axis else 0 for a in range(rank))
    size = tuple(count if a == axis else d for a, d in enumerate(x.shape))
    stride = tuple(step if a == axis else 1 for a in range(rank))
    return b.emit("slice", [x], name, begin=begin, size=size, stride=stride)


def repeated(b: Builder, x: Value, counts: Sequence[int], name: str = "") -> Value:
    """x as often along each axis as `counts` says."""
    if len(counts) != len(x.shape) or min(counts, default=1) < 1:
        raise ValueError(f"repeats {list(counts)} for {list(x.shape)}")
    return x if max(counts, default=1) == 1 else b.emit("tile", [x], name, repeats=tuple(counts))


def expanded(b: Builder, x: Value, shape: Shape, name: str = "") -> Value:
    """Axes of 1 are repeated; an op that broadcasts anyway reads what was there before."""
    if shape == x.shape:
        return x
    result = b.emit("broadcast_to", [x], name, shape=shape)
    b.expanded[result] = x
    return result


def norm(b: Builder, x: Value, scale: np.ndarray, shift: np.ndarray, name: str) -> Value:
    """x * scale + shift, one of each per channel, axis 1."""
    factors = [b.constant(scale, f"{name}/scale"), b.constant(shift, f"{name}/shift")]
    return over_axis(b, x, 1, "batch_norm", name, factors)


def own_norm(
    b: Builder, x: Value, groups: int, factors: Sequence[np.ndarray | None], epsilon: float, name: str
) -> Value:
    """Channels, axis 1, normalised in groups by their own statistics; `factors` scale and shift each channel."""
    channels = x.shape[1]
    if groups < 1 or channels % groups:
        raise ValueError(f"{groups} groups of {channels} channels")
    values = norm_factors(b, factors, (channels,), name)
    if groups == channels:
        return over_axis(b, x, 1, "instance_norm", name, values, epsilon=epsilon)
    return over_axis(b, x, 1, "group_norm", name, values, epsilon=epsilon, groups=groups)


def norm_factors(b: Builder, factors: Sequence[np.ndarray | None], shape: Shape, name: str) -> list[Value | None]:
    """Scale and shift as constants of this shape, where they are given."""
    named = zip(factors, ("scale", "shift"), strict=True)
    return [None if f is None else b.constant(np.broadcast_to(f, shape), f"{name}/{what}") for f, what in named]


def shuffled_to_space(b: Builder, x: Value, block: int) -> Value:
    """[N,H,W,C b b] -> [N,H b,W b,C]; channel c b b + y b + x is pixel (y, x) of a block."""
    return b.emit("depth_to_space", [x], block=block, channels_first=True)
