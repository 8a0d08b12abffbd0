# SPDX-License-Identifier: Apache-2.0
"""What ONNX's products of matrices, transposed convolutions, norms and smooth activations become. RULES: op -> rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgesdk.converters.einsum import einsum
from edgesdk.converters.onnx_layout import NHWC, Builder, Op, Operand, Shape, Tensor, identity, settled, stored
from edgesdk.converters.onnx_ops import Rule, activation, axis_of, bias_of, constant, dense, image, operand, pair
from edgesdk.errors import Unsupported
from edgesdk.ir import Value


def conv_transpose(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    weights = constant(operand(x, 1), "its weights")
    if weights.ndim != 4:
        raise Unsupported(f"{weights.ndim - 2}-D transposed convolution")
    value, group = image(b, x[0]), int(op.attrs.get("group", 1))
    kernel = (weights.shape[2], weights.shape[3])
    if (
        weights.shape[0] != value.shape[3]
        or group < 1
        or weights.shape[0] % group
        or pair(op, "kernel_shape", kernel) != kernel
    ):
        raise ValueError(f"weights {list(weights.shape)} do not match kernel_shape, group or the input's channels")
    laid = np.concatenate([w.transpose(1, 2, 3, 0) for w in np.split(weights, group)])
    stride, dilation, extra = pair(op, "strides"), pair(op, "dilations"), pair(op, "output_padding", (0, 0), 0)
    padding, extra = transposed_padding(op, value.shape[1:3], kernel, stride, dilation, extra)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "output_padding": extra, "groups": group}
    inputs = [value, b.constant(laid, "weights"), bias_of(b, operand(x, 2), len(laid))]
    return [Tensor(b.emit("transpose_conv2d", inputs, {**attrs, "activation": "none"}, op.outputs[0]), NHWC)]


def transposed_padding(
    op: Op, size: Shape, kernel: Shape, stride: Shape, dilation: Shape, extra: tuple[int, int]
) -> tuple[Shape, tuple[int, int]]:
    """(top, left, bottom, right) and output_padding, with auto_pad and output_shape resolved."""
    mode, wanted = op.attrs.get("auto_pad", "NOTSET"), [int(d) for d in op.attrs.get("output_shape", ())]
    if not wanted and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [d * s for d, s in zip(size, stride, strict=True)]
    if not wanted:
        pads = tuple(int(p) for p in op.attrs.get("pads", ())) if mode == "NOTSET" else ()
        if len(pads) not in (0, 4) or min(pads, default=0) < 0:
            raise ValueError(f"pads {list(pads)}, expected four integers from 0 on")
        return pads or (0, 0, 0, 0), extra
    if len(wanted) not in (2, 4) or min(wanted) < 1:
        raise ValueError(f"output_shape {wanted}, expected height and width")
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(size, stride, kernel, dilation, strict=True)]
    total = [f + e - w for f, e, w in zip(full, extra, wanted[-2:], strict=True)]
    cut = [max(t, 0) for t in total]
    first = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in cut]
    longer = (extra[0] + max(-total[0], 0), extra[1] + max(-total[1], 0))
    return (*first, *(t - f for t, f in zip(cut, first, strict=True))), longer


def matmul(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    right = operand(x, 1)
    if isinstance(right, np.ndarray) and right.size == np.prod(right.shape[-2:]) and right.ndim >= 2:
        return [dense(b, op, x[0], right.reshape(right.shape[-2:]).T, None)]
    sides = [o for o in x[:2] if isinstance(o, Tensor | np.ndarray)]
    if len(sides) != 2 or any(len(o.shape) < 2 for o in sides):
        raise Unsupported("a product with a vector")
    left = side(b, sides[0])
    second = settled(b, sides[1]) if isinstance(sides[1], Tensor) else sides[1]
    rank = len(second.shape)
    swapped = isinstance(second, Tensor) and second.perm == (*range(rank - 2), rank - 1, rank - 2)
    # What was transposed in the source lies as the product may read it.
    value = second.value if swapped and isinstance(second, Tensor) else side(b, second)
    product = b.emit("batch_matmul", [left, value], {"adj_x": False, "adj_y": swapped}, op.outputs[0])
    return [Tensor(product, identity(len(product.shape)))]


def side(b: Builder, x: Operand) -> Value:
    """An operand with its axes in the source's order."""
    if isinstance(x, np.ndarray):
        return b.constant(x, "matrix")
    t = settled(b, activation(x))
    return stored(b, t, identity(len(t.shape)))


def equation(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    def emit(kind: str, inputs: Sequence[Value | None], attrs: dict[str, Any]) -> Value:
        return b.emit(kind, inputs, attrs)

    result = einsum(str(op.attrs["equation"]), [side(b, o) for o in x], emit)
    return [Tensor(result, identity(len(result.shape)))]


def layer_norm(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """LayerNormalization and RMSNormalization: the axes from `axis` on, in the source's order, must lie last."""
    if len([o for o in op.outputs if o]) > 1:
        raise Unsupported("its mean and deviation as outputs")
    t = settled(b, activation(x[0]))
    rank = len(t.shape)
    axis = axis_of(int(op.attrs.get("axis", -1)), rank)
    order = (*(a for a in t.perm if a < axis), *range(axis, rank))
    factors = [factor(b, operand(x, i), t.shape[axis:], name) for i, name in ((1, "scale"), (2, "shift"))]
    kind = "layer_norm" if op.kind == "LayerNormalization" else "rms_norm"
    attrs = {"axis": axis, "epsilon": float(op.attrs.get("epsilon", 1e-5))}
    return [Tensor(b.emit(kind, [stored(b, t, order), *factors], attrs, op.outputs[0]), order)]


def factor(b: Builder, x: Operand, shape: Shape, name: str) -> Value | None:
    return None if x is None else b.constant(np.broadcast_to(constant(x, f"its {name}"), shape), name)


def channel_norm(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    """InstanceNormalization and GroupNormalization, whose factors are per group before opset 21."""
    t = settled(b, activation(x[0]))
    rank, channels = len(t.shape), t.shape[1] if len(t.shape) > 1 else 0
    if rank < 3:
        raise ValueError(f"expected [N, C, ...], found {list(t.shape)}")
    groups = int(op.attrs.get("num_groups", channels))
    if groups < 1 or channels % groups:
        raise ValueError(f"{groups} groups of {channels} channels")
    factors: list[Value | None] = []
    for i, name in ((1, "scale"), (2, "shift")):
        given = constant(operand(x, i), f"its {name}").ravel()
        if given.size not in (groups, channels):
            raise ValueError(f"{name} has {given.size} items; expected {channels}")
        factors.append(b.constant(np.repeat(given, channels // given.size), name))
    order = (0, *range(2, rank), 1)
    attrs: dict[str, Any] = {"epsilon": float(op.attrs.get("epsilon", 1e-5))}
    kind = "instance_norm" if op.kind == "InstanceNormalization" else "group_norm"
    attrs |= {"groups": groups} if kind == "group_norm" else {}
    return [Tensor(b.emit(kind, [stored(b, t, order), *factors], attrs, op.outputs[0]), order)]


def smooth(kind: str, **defaults: float) -> Rule:
    """An activation whose attributes have these names and defaults."""

    def rule(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        t = activation(x[0])
        attrs: dict[str, Any] = {name: float(op.attrs.get(name, value)) for name, value in defaults.items()}
        attrs |= {"approximate": op.attrs.get("approximate", "none") == "tanh"} if kind == "gelu" else {}
        return [replace(t, value=b.emit(kind, [t.value], attrs, op.outputs[0]))]

    return rule


def swish(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    if float(op.attrs.get("alpha", 1.0)) != 1.0:
        raise Unsupported(f"alpha {op.attrs['alpha']}; expected 1")
    return smooth("silu")(b, op, x)


RULES: dict[str, Rule] = {
    "ConvTranspose": conv_transpose,
    "MatMul": matmul,
    "Einsum": equation,
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    "InstanceNormalization": channel_norm,
    "GroupNormalization": channel_norm,
    "Gelu": smooth("gelu"),
    "Erf": smooth("erf"),
    "Softplus": smooth("softplus"),
    "Mish": smooth("mish"),
    "Elu": smooth("elu", alpha=1.0),
    "Selu": smooth("selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "HardSigmoid": smooth("hard_sigmoid", alpha=0.2, beta=0.5),
    "Swish": swish,
}
