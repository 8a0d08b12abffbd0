# SPDX-License-Identifier: Apache-2.0
"""Weights, biases and constants that were stored in a smaller type."""

from __future__ import annotations

import numpy as np

from edgesdk.converters import tflite_file
from edgesdk.converters import tflite_schema as schema
from edgesdk.converters.tflite_scope import QUANTISED_DTYPES, Operator, given, value
from edgesdk.errors import Unsupported
from edgesdk.ir import Quant, Value

# Layers whose kernels read int4 weights, and beside floats int8 and float16 ones, as they are stored.
READS_STORED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
BIASES = {"int8": ("int32",), "int16": ("int32", "int64")}


def weights(op: Operator, i: int, x: Value, rank: int, channel_axis: int) -> Value:
    """Constant input `i`, int8 beside int8 and int16 activations, floats (in any stored form) beside float32 ones."""
    w = value(op, i)
    if w.data is None:
        raise Unsupported(f"weights {w.name!r} computed while the model runs")
    if len(w.shape) != rank:
        raise op.fail(f"has weights of shape {w.shape}, expected {rank} dimensions")
    if w.dtype == "int4":
        w = nibbles(op, w, x, channel_axis)
    if x.dtype == "float32" and op.name in READS_STORED:
        small = op.scope.stored.get(w, w)
        if small.dtype == "float16" or (small.dtype in ("int8", "int4") and is_symmetric(small, channel_axis)):
            return small
    if w.dtype == "int8":
        check_scales(op, w, channel_axis)
        if x.dtype == "float32":
            return floating(op, w)
        if x.dtype == "int16":
            return w
    if w.dtype != x.dtype and (w.dtype, x.dtype) != ("int4", "int8"):
        raise Unsupported(f"{w.dtype} weights beside {x.dtype} activations")
    return w


def nibbles(op: Operator, w: Value, x: Value, channel_axis: int) -> Value:
    """int4 weights where a kernel reads them, else as int8: the same numbers."""
    check_scales(op, w, channel_axis)
    if op.name in READS_STORED and x.dtype in ("int8", "float32"):
        return w
    return Value(w.name, w.shape, "int8", w.quant, w.data)


def is_symmetric(w: Value, channel_axis: int) -> bool:
    """int8 weights with one scale, or one per output channel, and no zero point."""
    return w.quant is not None and w.quant.axis in (None, channel_axis) and not w.quant.zero_point.any()


def check_scales(op: Operator, w: Value, channel_axis: int) -> None:
    if w.quant is None or w.quant.axis not in (None, channel_axis):
        raise op.fail(
            f"has {w.dtype} weights {w.name!r} with no scale or scales along another axis, "
            f"expected one for all or one per index of axis {channel_axis}"
        )
    op.scope.file.charge(w.quant.zero_point.nbytes, op.source)
    if w.quant.zero_point.any():
        raise Unsupported(f"weights {w.name!r} with a zero point other than 0; quantise them symmetrically")


def floating(op: Operator, w: Value) -> Value:
    """int8 weights of a float layer (dynamic-range quantisation) as the floats that they stand for."""
    op.scope.dequantized.append(w.name)
    data = dequantized(op, w, w.quant)
    op.scope.file.charge(data.nbytes, op.source)
    return Value(op.scope.unique(f"{w.name}/float32"), w.shape, "float32", None, data)


def dequantized(op: Operator, v: Value, quant: Quant | None) -> np.ndarray:
    """scale * (q - zero point) of a constant, rounded once to float32; float16 as it is."""
    assert v.data is not None
    if v.dtype == "float16":
        return v.data.astype(np.float32)
    if quant is None or v.dtype not in ("int8", "int4", "int32"):
        raise op.fail(f"reads {v.dtype} constant {v.name!r} without a scale, expected float16 or a quantised type")
    op.scope.file.charge(v.elements, op.source)
    along = [1] * len(v.shape)
    if quant.axis is not None:
        along[quant.axis] = -1
    scale = quant.scale.reshape(along) if along else quant.scale[0]
    zero_point = quant.zero_point.reshape(along) if along else quant.zero_point[0]
    wide = np.int64 if v.dtype == "int32" else np.int32
    # Exact in float32 for int8, whose differences have 9 bits; wider ones need the double.
    exact = np.float64 if v.dtype == "int32" else np.float32
    real: np.ndarray = ((v.data.astype(wide) - zero_point).astype(exact) * scale).astype(np.float32)
    return real


def bias(op: Operator, i: int, x: Value, w: Value, depth: int) -> Value | None:
    """Input `i` as [depth], an integer at the scale of the products for an integer layer."""
    if not given(op, i):
        return narrow_zeros(op, x, w, i, depth)
    b = value(op, i)
    if b.data is None:
        raise Unsupported(f"bias {b.name!r} computed while the model runs")
    if b.dtype not in BIASES.get(x.dtype, ("float32",)):
        raise Unsupported(f"{b.dtype} bias beside {x.dtype} activations")
    if b.elements != depth:
        raise op.fail(f"has a bias of shape {b.shape} for {depth} output channels, expected as many elements")
    quant = product_quant(op, x, w, i) if x.dtype in QUANTISED_DTYPES else None
    return Value(op.scope.unique(b.name), (depth,), b.dtype, quant, b.data.reshape(depth))


def narrow_zeros(op: Operator, x: Value, w: Value, i: int, depth: int) -> Value | None:
    """An int16 layer without a bias sums up in 64 bits; where its options ask for 32, zeros of that type say so."""
    if x.dtype != "int16" or op.options.get("bias_type") != schema.TYPES.index("INT32"):
        return None
    op.scope.file.charge(4 * depth, op.source)
    quant = product_quant(op, x, w, i)
    return Value(op.scope.unique(f"{w.name}/bias"), (depth,), "int32", quant, np.zeros(depth, np.int32))


def product_quant(op: Operator, x: Value, w: Value, i: int) -> Quant:
    """Scale of the int32 sums: input scale * weight scale."""
    assert w.quant is not None
    op.scope.file.charge(2 * w.quant.scale.nbytes, op.source)
    with np.errstate(all="ignore"):
        scale = np.float32(x.scale) * w.quant.scale
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise op.fail("has input and weight scales whose product is not a positive float32; quantise the model again")
    check_bias_scale(op, scale, i)
    return Quant(scale, np.zeros(scale.size, np.int32), None if w.quant.axis is None else 0)


def check_bias_scale(op: Operator, product: np.ndarray, i: int) -> None:
    """One scale for the whole bias must be the product, as TFLite demands, within 2 % of an output step."""
    stated = tflite_file.quant(op.scope.file, op.inputs[i]) if given(op, i) else None
    output = tflite_file.quant(op.scope.file, op.outputs[0])
    if stated is None or output is None or stated.scale.size != 1 or product.size != 1:
        return
    if abs(float(stated.scale[0]) - float(product[0])) > 0.02 * float(output.scale[0]):
        raise op.fail(
            f"has a bias of scale {stated.scale[0]:g}, expected input scale times weight scale, {product[0]:g}; "
            f"quantise the model again"
        )
