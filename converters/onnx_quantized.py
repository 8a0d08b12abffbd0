# SPDX-License-Identifier: Apache-2.0
"""ONNX's quantised operators. RULES: op type -> rule.

QuantizeLinear and DequantizeLinear with one constant scale become the graph's; the pass fuse_quantized makes integer
layers of what stands between them. uint8 tensors are int8 ones with a zero point 128 lower (`Builder.twins`). Other
scales (computed, per channel of an activation, in blocks) are computed in float: round(x / scale) + zero point.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgesdk.converters import onnx_compute, onnx_windows
from edgesdk.converters.build import Builder
from edgesdk.converters.layers import axis_of, binary
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand, value_of
from edgesdk.errors import Unsupported
from edgesdk.ir import Quant, Value

RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
FOLD_THEMSELVES = ("DequantizeLinear", "QuantizeLinear")  # of constants
OUTPUTS = {2: "uint8", 3: "int8", 5: "int16"}  # output_dtype of QuantizeLinear


def one_grid(scale: Operand, zero: Operand) -> tuple[float, int] | None:
    """Scale and zero point where both are constant and single."""
    if not isinstance(scale, np.ndarray) or scale.size != 1 or isinstance(zero, Value):
        return None
    if zero is not None and zero.size != 1:
        return None
    value = float(scale.astype(np.float32).ravel()[0])
    if not value > 0 or not math.isfinite(value):
        raise ValueError(f"scale {value}")
    return value, 0 if zero is None else int(zero.ravel()[0])


def quantize_linear(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    zero = operand(x, 2)
    dtype = OUTPUTS.get(int(op.attrs.get("output_dtype", 0)), "uint8") if zero is None else str(zero.dtype)
    if dtype not in RANGES:
        raise Unsupported(f"quantisation to {dtype}; expected int8, uint8 or int16")
    if isinstance(x[0], np.ndarray):
        return [quantized_constant(op, x[0], constant(operand(x, 1), "its scale"), zero, dtype)]
    value, grid = activation(x[0]), one_grid(operand(x, 1), zero)
    if value.dtype != "float32":
        value = b.emit("cast", [value], to="float32")
    if grid is None or (dtype == "int16" and grid[1]):
        return [quantized_as_float(b, op, value, x, dtype)]
    if dtype == "uint8":
        return [as_uint8(b, quantized(b, value, grid[0], grid[1] - 128, "int8"), op.outputs[0])]
    return [quantized(b, value, *grid, dtype, op.outputs[0])]


def quantized_constant(op: Op, x: np.ndarray, scale: np.ndarray, zero: Operand, dtype: str) -> np.ndarray:
    low, high = RANGES[dtype]
    offset = along(op, zero, x.shape)
    whole = np.rint(x / np.asarray(along(op, scale, x.shape))) + (0 if offset is None else np.asarray(offset, np.int64))
    return np.clip(whole, low, high).astype(dtype)


def quantized(b: Builder, x: Value, scale: float, zero: int, dtype: str, name: str = "") -> Value:
    y = Value(b.unique(name or "quantize"), x.shape, dtype, Quant.per_tensor(scale, zero))
    return b.add("quantize", [x], y)


def as_uint8(b: Builder, x: Value, name: str) -> Value:
    """The bytes of an int8 tensor, 128 higher."""
    wide = quantized(b, x, x.scale, x.zero_point + 128, "int16")
    y = b.emit("cast", [wide], name, to="uint8")
    b.twins[y] = x
    return y


def as_int8(b: Builder, x: Value, scale: float, zero: int) -> Value:
    """The same of a uint8 tensor, 128 lower."""
    twin = b.twins.get(x)
    if twin is not None and (twin.scale, twin.zero_point) == (float(np.float32(scale)), zero - 128):
        return twin
    wide = Value(b.unique(f"{x.name}/wide"), x.shape, "int16", Quant.per_tensor(scale, zero))
    return quantized(b, b.add("cast", [x], wide, to="int16"), scale, zero - 128, "int8")


def along(op: Op, x: Operand, shape: tuple[int, ...]) -> Operand:
    """Scales or zero points with the shape that broadcasts over a tensor: one, per index of an axis, or in blocks."""
    if x is None or math.prod(x.shape) == 1 and len(x.shape) < 2:
        return x.reshape(()) if isinstance(x, np.ndarray) else x
    axis, block = axis_of(int(op.attrs.get("axis", 1)), len(shape)), int(op.attrs.get("block_size", 0))
    x = constant(x, "its scales")
    if block:
        return np.take(np.repeat(x, block, axis), range(shape[axis]), axis)
    if x.ndim != 1:
        raise ValueError(f"scales of shape {list(x.shape)}")
    return x.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def floats(b: Builder, x: Operand) -> Operand:
    if isinstance(x, Value):
        return x if x.dtype == "float32" else b.emit("cast", [x], to="float32")
    return None if x is None else x.astype(np.float32)


def quantized_as_float(b: Builder, op: Op, value: Value, x: list[Operand], dtype: str) -> Value:
    if dtype == "int8":
        raise Unsupported("int8 with a scale per channel or a computed one, which an activation cannot have")
    scale, zero = (floats(b, along(op, operand(x, i), value.shape)) for i in (1, 2))
    below = scale if isinstance(scale, Value) else value_of(b, scale)
    y = b.emit("round", [b.emit("div", [value, below])])
    y = y if zero is None else binary(b, "add", y, zero)
    low, high = RANGES[dtype]
    return b.emit("cast", [b.emit("clip", [y], min=float(low), max=float(high))], op.outputs[0], to=dtype)


def dequantize_linear(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    value, scale, zero = x[0], operand(x, 1), operand(x, 2)
    if isinstance(value, np.ndarray):
        return [dequantized_constant(b, op, value, constant(scale, "its scale"), zero)]
    value, grid = activation(value), one_grid(scale, zero)
    if grid is not None and value.dtype == "uint8":
        return [b.emit("dequantize", [as_int8(b, value, *grid)], op.outputs[0])]
    if grid is not None and value.dtype == "int8":
        if value in b.plain:  # an input whose grid is told here
            b.plain.remove(value)
            value.quant = Quant.per_tensor(*grid)
        if (value.scale, value.zero_point) == grid:
            return [b.emit("dequantize", [value], op.outputs[0])]
    return [dequantized_as_float(b, op, value, x)]


def dequantized_as_float(b: Builder, op: Op, value: Value, x: list[Operand]) -> Value:
    y = real_integers(b, value)
    scale, zero = (floats(b, along(op, operand(x, i), value.shape)) for i in (1, 2))
    y = y if zero is None else binary(b, "sub", y, zero)
    if scale is None:
        raise ValueError("its scale is missing")
    return binary(b, "mul", y, scale, op.outputs[0])


def real_integers(b: Builder, value: Value) -> Value:
    """The stored integers as floats."""
    if value.dtype != "int8":
        return b.emit("cast", [value], to="float32")
    b.plain.discard(value)
    y = b.emit("dequantize", [value])
    if (value.scale, value.zero_point) == (1.0, 0):
        return y
    y = binary(b, "mul", y, 1 / value.scale)
    return binary(b, "add", b.emit("round", [y]), float(value.zero_point))


def dequantized_constant(b: Builder, op: Op, value: np.ndarray, scale: np.ndarray, zero: Operand) -> np.ndarray:
    factors = np.asarray(along(op, scale, value.shape)).astype(np.float64)
    offset = along(op, zero, value.shape)
    wide = value.astype(np.float64) - (0 if offset is None else np.asarray(offset).astype(np.float64))
    result: np.ndarray = (wide * factors).astype(np.float32)
    if scale.ndim < 2:
        b.grids[id(result)] = (result, scale.astype(np.float32).ravel())
    return result


def layer(rule: Rule, x_at: int, w_at: int, y_at: int, bias_at: int | None) -> Rule:
    """A QLinear op: its operands are real numbers on grids, so is its result. `*_at` are the places of a tensor, its
    scale and its zero point."""

    def compute(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        inner = replace(
            op, attrs={**op.attrs, "axis": 0 if w_at == 3 and rule is onnx_windows.conv else -1}, outputs=("",)
        )
        (left,) = dequantize_linear(b, inner, x[x_at : x_at + 3])
        (right,) = dequantize_linear(b, inner, x[w_at : w_at + 3])
        operands = [left, right]
        if bias_at is not None and operand(x, bias_at) is not None:
            unit = constant(x[x_at + 1], "its scale").astype(np.float64) * constant(x[w_at + 1], "its scale").ravel()
            operands.append((constant(x[bias_at], "its bias") * unit).astype(np.float32))
        first = len(b.nodes)
        (y,) = rule(b, replace(op, outputs=("",)), operands)
        mark_grids(b, first, right)
        return quantize_linear(b, op, [y, x[y_at], x[y_at + 1]])

    return compute


def mark_grids(b: Builder, first: int, weights: Operand) -> None:
    """Weights of the nodes from `first` on tell the grid that they lie on: the pass fuse_quantized takes it back."""
    found = b.grids.get(id(weights))
    if found is None:
        return
    scale, axes = found[1], {"depthwise_conv2d": 2}
    for node in b.nodes[first:]:
        if node.op in ("conv2d", "depthwise_conv2d", "fully_connected", "transpose_conv2d", "batch_matmul"):
            axis = axes.get(node.op, 0) if scale.size > 1 else None
            constants = [v for v in node.inputs[:2] if v is not None and v.data is not None]
            for v in constants:
                if axis is None or (node.op != "batch_matmul" and v.shape[axis] == scale.size):
                    v.quant = Quant(scale, np.zeros(scale.size, np.int32), axis)


def integer_product(rule: Rule) -> Rule:
    """ConvInteger and MatMulInteger: integers less their zero points, in float: exact while sums stay below 2^24."""

    def compute(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
        kernel = len(x[1].shape) if rule is onnx_windows.conv and x[1] is not None else 0
        left, right = (less_zero(b, x[i], operand(x, i + 2), i, kernel) for i in (0, 1))
        (y,) = rule(b, replace(op, outputs=("",)), [left, right])
        return [b.emit("cast", [activation(y)], op.outputs[0], to="int32")]

    return compute


def less_zero(b: Builder, x: Operand, zero: Operand, side: int, kernel: int) -> Operand:
    """One zero point, or one per row of the left side or column of the right side of a product, or one per output
    channel of a convolution's weights of `kernel` axes."""
    offset, behind = floats(b, zero), 1 - side
    if kernel and side:
        behind = kernel - 1
    if offset is not None and len(offset.shape) == 1 and offset.shape[0] > 1 and behind:
        shape = (*offset.shape, *(1,) * behind)
        offset = b.reshape(offset, shape) if isinstance(offset, Value) else offset.reshape(shape)
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) - (0 if offset is None else constant(offset, "the zero point of its weights"))
    y = real_integers(b, activation(x))
    return y if offset is None else binary(b, "sub", y, offset)


RULES: dict[str, Rule] = {
    "ConvInteger": integer_product(onnx_windows.conv),
    "DequantizeLinear": dequantize_linear,
    "MatMulInteger": integer_product(onnx_compute.matmul),
    "QLinearConv": layer(onnx_windows.conv, 0, 3, 6, 8),
    "QLinearMatMul": layer(onnx_compute.matmul, 0, 3, 6, None),
    "QuantizeLinear": quantize_linear,
}
