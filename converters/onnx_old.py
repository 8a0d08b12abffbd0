# SPDX-License-Identifier: Apache-2.0
"""Operators of old opsets in terms of the newer ones, where attributes meant what inputs and broadcasting mean now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgesdk.converters.onnx_node import Op, Operand, constant, operand
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

BROADCASTING = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")


def modern(op: Op, x: list[Operand]) -> tuple[Op, list[Operand]]:
    """The node and its operands as rules expect them."""
    if op.opset < 7 and op.kind in BROADCASTING and "axis" in op.attrs:
        return op, [x[0], aligned(x[0], operand(x, 1), int(op.attrs["axis"]))]
    if op.opset < 7 and op.kind == "PRelu" and isinstance(x[1], np.ndarray) and x[1].size > 1:
        return op, [x[0], aligned(x[0], x[1], 1)]
    if op.opset < 9 and op.kind == "BatchNormalization" and not op.attrs.get("spatial", 1):
        raise Unsupported("statistics per item (spatial 0)")
    if op.kind == "Upsample" or (op.kind == "Resize" and op.opset < 11):
        return resized(op, x)
    return op, x


def aligned(x: Operand, y: Operand, axis: int) -> Operand:
    """The second operand with its axes from `axis` of the first on."""
    if x is None or y is None:
        raise ValueError("an input is missing")
    axis %= max(len(x.shape), 1)
    after = len(x.shape) - axis - len(y.shape)
    return constant(y, "its second input, which is broadcast along an axis,").reshape((*y.shape, *(1,) * max(after, 0)))


def resized(op: Op, x: list[Operand]) -> tuple[Op, list[Operand]]:
    """Resize of opset 10 and Upsample: output index / scale, rounded down where one pixel is taken."""
    scales = np.asarray(op.attrs["scales"], np.float32) if "scales" in op.attrs else operand(x, 1)
    if isinstance(scales, Value) or scales is None:
        raise Unsupported("its scales must be a constant")
    fixed = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    attrs = {**{k: v for k, v in op.attrs.items() if k != "scales"}, **fixed}
    return replace(op, kind="Resize", attrs=attrs), [x[0], None, scales]
