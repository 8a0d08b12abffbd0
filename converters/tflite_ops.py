# SPDX-License-Identifier: Apache-2.0
"""TFLite operators in the vocabulary of edgesdk: one small function each, found by `OPS`.

A function reads its operator's inputs and options, checks what the op's shape rule does
not, and emits one node or a few. It raises Unsupported with a short reason (the caller
lists all of them with their operators) and UsageError where the file contradicts itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from edgesdk.converters import tflite_elementwise, tflite_file
from edgesdk.converters import tflite_schema as schema
from edgesdk.converters.tflite_scope import (
    QUANTISED_DTYPES,
    Operator,
    activation,
    activations,
    axis,
    declare,
    emit,
    given,
    integers,
    known,
    step,
    value,
)
from edgesdk.converters.tflite_slices import strided_slice
from edgesdk.converters.tflite_states import assign_variable, call_once, lstm, read_variable, svdf, var_handle
from edgesdk.converters.tflite_weights import bias, dequantized, weights
from edgesdk.errors import Unsupported
from edgesdk.ir import MAX_RANK, Value

MAX_EXTENT = 2**20  # stride, dilation, kernel and padding: beyond any model, within int32 products


def extent(op: Operator, key: str) -> int:
    number = int(op.options[key])
    if not 1 <= number <= MAX_EXTENT:
        raise op.fail(f"has {key} {number}, expected 1 to {MAX_EXTENT}")
    return number


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """(before, after) such that the output has ceil(size / stride) items; an odd one goes after."""
    span = (kernel - 1) * dilation + 1
    total = max(0, (-(-size // stride) - 1) * stride + span - size)
    return total // 2, total - total // 2


def window(op: Operator, x: Value, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    """Stride, explicit padding and activation of an operator that slides a window over x."""
    stride = extent(op, "stride_h"), extent(op, "stride_w")
    code = int(op.options["padding"])
    if not 0 <= code < len(schema.PADDINGS):
        raise op.fail(f"has padding code {code}, expected 0 (SAME) or 1 (VALID)")
    (top, bottom), (left, right) = (0, 0), (0, 0)
    if schema.PADDINGS[code] == "SAME":
        top, bottom = same_padding(x.shape[1], kernel[0], stride[0], dilation[0])
        left, right = same_padding(x.shape[2], kernel[1], stride[1], dilation[1])
    return {"stride": stride, "padding": (top, left, bottom, right), "activation": activation(op)}


def conv2d(op: Operator) -> None:
    x = activations(op, 0, rank=4)
    w = weights(op, 1, x, rank=4, channel_axis=0)
    groups = x.shape[3] // w.shape[3]
    dilation = extent(op, "dilation_h"), extent(op, "dilation_w")
    attrs = window(op, x, (w.shape[1], w.shape[2]), dilation)
    attrs |= {"groups": groups} if groups > 1 else {}
    emit(op, "conv2d", [x, w, bias(op, 2, x, w, w.shape[0])], dilation=dilation, **attrs)


def transpose_conv(op: Operator) -> None:
    x, size = activations(op, 2, rank=4), integers(op, 0, limit=4)
    w = weights(op, 1, x, rank=4, channel_axis=0)
    if len(size) != 4 or size[0] != x.shape[0] or size[3] != w.shape[0] or not all(1 <= d <= MAX_EXTENT for d in size):
        raise op.fail(f"asks for an output {size} from {x.shape} and weights {w.shape}, expected [N, height, width, O]")
    # TFLite takes the padding from the output's size, as if a convolution led from there to the input.
    attrs = window(op, replace(x, shape=size), (w.shape[1], w.shape[2]))
    top, left, _, _ = attrs.pop("padding")
    full = [(x.shape[a] - 1) * attrs["stride"][a - 1] + w.shape[a] for a in (1, 2)]
    after = [f - before - d for f, before, d in zip(full, (top, left), size[1:3], strict=True)]
    padding, extra = (top, left, max(after[0], 0), max(after[1], 0)), (max(-after[0], 0), max(-after[1], 0))
    operands = [x, w, bias(op, 3, x, w, w.shape[0])]
    if x.dtype == "int16" and operands[2] is not None and operands[2].dtype == "int32":
        raise Unsupported("int32 bias beside int16 activations, which TFLite reads as int64")
    emit(op, "transpose_conv2d", operands, dilation=(1, 1), padding=padding, output_padding=extra, **attrs)


def depthwise_conv2d(op: Operator) -> None:
    x = activations(op, 0, rank=4)
    w = weights(op, 1, x, rank=4, channel_axis=3)
    depth, multiplier = w.shape[3], int(op.options["depth_multiplier"])
    if w.shape[0] != 1 or depth % x.shape[3] or multiplier not in (0, depth // x.shape[3]):
        raise op.fail(
            f"has weights {w.shape} and depth multiplier {multiplier} for input {x.shape}, expected weights "
            f"[1, KH, KW, channels * multiplier]"
        )
    assert w.data is not None
    quant = replace(w.quant, axis=2) if w.quant is not None and w.quant.axis is not None else w.quant
    w = Value(w.name, w.shape[1:], w.dtype, quant, w.data[0])
    dilation = extent(op, "dilation_h"), extent(op, "dilation_w")
    attrs = window(op, x, (w.shape[0], w.shape[1]), dilation)
    emit(op, "depthwise_conv2d", [x, w, bias(op, 2, x, w, depth)], dilation=dilation, **attrs)


def fully_connected(op: Operator) -> None:
    x = activations(op, 0)
    w = weights(op, 1, x, rank=2, channel_axis=0)
    if op.options["weights_format"]:
        raise Unsupported("shuffled weights")
    depth = w.shape[1]
    if not op.options["keep_num_dims"] and (len(x.shape) != 2 or x.shape[1] != depth):
        if x.elements % depth:
            raise op.fail(f"has input {x.shape} for weights {w.shape}, expected a multiple of {depth} elements")
        x = step(op, "reshape", [x], shape=(x.elements // depth, depth))
    operands = [x, w, bias(op, 2, x, w, w.shape[0])]
    attrs: dict[str, Any] = {"activation": activation(op)}
    if x.dtype == "float32" and op.options["asymmetric_inputs"]:
        attrs["asymmetric_inputs"] = True  # of hybrid execution, see passes/quantize_activations.py
    claimed = tflite_file.signature(op.scope.file, op.outputs[0])
    inferred = (*x.shape[:-1], w.shape[0])
    if op.scope.resized or len(claimed) == len(inferred):
        emit(op, "fully_connected", operands, **attrs)
        return
    # TFLite Micro takes the file's word for the shape, whatever keep_num_dims says.
    quant = tflite_file.quant(op.scope.file, op.outputs[0]) if x.dtype in QUANTISED_DTYPES else None
    y = step(op, "fully_connected", operands, quant=quant, **attrs)
    emit(op, "reshape", [y], shape=tflite_file.shape(op.scope.file, op.outputs[0]))


def batch_matmul(op: Operator) -> None:
    a, b = activations(op, 0), activations(op, 1)
    emit(op, "batch_matmul", [a, b], adj_x=bool(op.options["adj_x"]), adj_y=bool(op.options["adj_y"]))


def pool2d(kind: str, op: Operator) -> None:
    x = activations(op, 0, rank=4)
    kernel = extent(op, "filter_h"), extent(op, "filter_w")
    emit(op, kind, [x], kernel=kernel, **window(op, x, kernel))


def l2_pool2d(op: Operator) -> None:
    """The root of the mean of squares."""
    x = activations(op, 0, rank=4)
    kernel = extent(op, "filter_h"), extent(op, "filter_w")
    attrs = window(op, x, kernel)
    if x.dtype != "float32" or attrs["activation"] != "none":
        raise Unsupported("L2_POOL_2D of int8 or with a fused activation")
    emit(op, "sqrt", [step(op, "avg_pool2d", [step(op, "square", [x])], kernel=kernel, **attrs)])


def reduce(kind: str, op: Operator) -> None:
    x = value(op, 0)
    axes = {axis(op, a, len(x.shape)) for a in integers(op, 1, limit=2 * MAX_RANK)}
    emit(op, kind, [x], axes=tuple(sorted(axes)), keep_dims=bool(op.options["keep_dims"]))


def unary(kind: str, op: Operator) -> None:
    emit(op, kind, [activations(op, 0)])


def elu(op: Operator) -> None:
    emit(op, "elu", [activations(op, 0)], alpha=1.0)


def gelu(op: Operator) -> None:
    emit(op, "gelu", [activations(op, 0)], approximate=bool(op.options["approximate"]))


def leaky_relu(op: Operator) -> None:
    emit(op, "leaky_relu", [activations(op, 0)], alpha=finite(op, "alpha"))


def softmax(op: Operator) -> None:
    beta = finite(op, "beta")
    if beta <= 0:
        raise op.fail(f"has beta {beta}, expected a positive number")
    emit(op, "softmax", [activations(op, 0)], beta=beta)


def finite(op: Operator, key: str) -> float:
    number = float(op.options[key])
    if not math.isfinite(number):
        raise op.fail(f"has {key} {number}, expected a finite number; the file is damaged")
    return number


def pad(op: Operator) -> None:
    x = value(op, 0)
    flat = integers(op, 1, limit=2 * MAX_RANK)
    if len(flat) != 2 * len(x.shape) or not all(0 <= p <= MAX_EXTENT for p in flat):
        raise op.fail(f"has paddings {flat} for shape {x.shape}, expected (before, after) >= 0 per axis")
    emit(op, "pad", [x], pads=tuple(zip(flat[::2], flat[1::2], strict=True)), value=pad_value(op, x))


def pad_value(op: Operator, x: Value) -> float:
    """The real number that PADV2 pads with; PAD pads with 0."""
    if not given(op, 2):
        return 0.0
    v = value(op, 2)
    if v.data is None or v.elements != 1 or v.dtype != x.dtype:
        raise Unsupported(f"padding with {v.name!r}, which is no {x.dtype} constant of one element")
    number = float(v.data.ravel()[0])
    if not math.isfinite(number):
        raise Unsupported(f"padding with {number}")
    return number if v.quant is None else v.scale * (number - v.zero_point)


def resolve(op: Operator, x: Value, dims: tuple[int, ...]) -> tuple[int, ...]:
    """`dims` with its one -1 replaced by what the elements of x leave for it."""
    rest = math.prod(d for d in dims if d != -1)
    if dims.count(-1) > 1 or any(d < 1 and d != -1 for d in dims) or x.elements % rest:
        raise op.fail(f"asks for shape {dims} from {x.shape}, expected the same number of elements")
    return tuple(x.elements // rest if d == -1 else d for d in dims)


def reshape(op: Operator) -> None:
    x = value(op, 0)
    if given(op, 1):
        dims = integers(op, 1)
    elif len(op.options["dims"]) <= MAX_RANK:
        dims = tuple(op.options["dims"].tolist())
    else:
        raise op.fail(f"asks for {len(op.options['dims'])} dimensions, expected at most {MAX_RANK}")
    emit(op, "reshape", [x], shape=resolve(op, x, dims))


def squeeze(op: Operator) -> None:
    x = value(op, 0)
    if len(op.options["dims"]) > MAX_RANK:
        raise op.fail(f"names {len(op.options['dims'])} axes, expected at most {MAX_RANK}")
    axes = {axis(op, a, len(x.shape)) for a in op.options["dims"].tolist()}
    if any(x.shape[a] != 1 for a in axes):
        raise op.fail(f"removes axes {sorted(axes)} of shape {x.shape}, expected dimensions of 1")
    kept = [d for a, d in enumerate(x.shape) if (a not in axes if axes else d != 1)]
    emit(op, "reshape", [x], shape=tuple(kept))


def inserted(op: Operator, shape: tuple[int, ...], number: int) -> tuple[int, ...]:
    """`shape` with a dimension of 1 at axis `number` of the result."""
    at = axis(op, number, len(shape) + 1)
    return (*shape[:at], 1, *shape[at:])


def expand_dims(op: Operator) -> None:
    x, numbers = value(op, 0), integers(op, 1, limit=1)
    emit(op, "reshape", [x], shape=inserted(op, x.shape, numbers[0]))


def transpose(op: Operator) -> None:
    x = value(op, 0)
    perm = tuple(axis(op, a, len(x.shape)) for a in integers(op, 1))
    if sorted(perm) != list(range(len(x.shape))):
        raise op.fail(f"has permutation {perm} for shape {x.shape}, expected each axis once")
    emit(op, "transpose", [x], perm=perm)


def concatenation(op: Operator) -> None:
    xs = [value(op, i) for i in range(len(op.inputs))]
    if activation(op) != "none":
        raise Unsupported("CONCATENATION with a fused activation")
    join(op, xs, int(op.options["axis"]))


def join(op: Operator, xs: list[Value], number: int) -> None:
    if not xs or any(x.dtype != xs[0].dtype for x in xs):
        raise op.fail("has no inputs or inputs of several types, expected at least one, all of one type")
    if len(xs) == 1:
        emit(op, "reshape", [xs[0]], shape=xs[0].shape)
        return
    emit(op, "concat", [*xs], axis=axis(op, number, len(xs[0].shape)))


def pack(op: Operator) -> None:
    xs = [value(op, i) for i in range(len(op.inputs))]
    number = int(op.options["axis"])
    rows = [step(op, "reshape", [x], shape=inserted(op, x.shape, number)) for x in xs]
    join(op, rows, number)


def part(x: Value, at: int, begin: int, size: int) -> dict[str, Any]:
    """Attributes of the slice [begin, begin + size) along one axis of x."""
    begins = tuple(begin if a == at else 0 for a in range(len(x.shape)))
    sizes = tuple(size if a == at else d for a, d in enumerate(x.shape))
    return {"begin": begins, "size": sizes, "stride": (1,) * len(x.shape)}


def unpack(op: Operator) -> None:
    x = value(op, 0)
    at = axis(op, int(op.options["axis"]), len(x.shape))
    if len(op.outputs) != x.shape[at]:
        raise op.fail(f"has {len(op.outputs)} outputs for {x.shape} along axis {at}, expected {x.shape[at]}")
    rest = x.shape[:at] + x.shape[at + 1 :]
    for i in range(x.shape[at]):
        emit(op, "reshape", [step(op, "slice", [x], **part(x, at, i, 1))], out=i, shape=rest)


def split(op: Operator) -> None:
    x, n = value(op, 1), len(op.outputs)
    at = axis(op, integers(op, 0, limit=1)[0], len(x.shape))
    if x.shape[at] % n:
        raise op.fail(f"has {n} outputs for {x.shape} along axis {at}, expected parts of equal size")
    cut(op, x, at, (x.shape[at] // n,) * n)


def split_v(op: Operator) -> None:
    x, n = value(op, 0), len(op.outputs)
    sizes = integers(op, 1, limit=n)
    at = axis(op, integers(op, 2, limit=1)[0], len(x.shape))
    left = x.shape[at] - sum(s for s in sizes if s != -1)
    sizes = tuple(left if s == -1 else s for s in sizes)
    if len(sizes) != n or any(s < 1 for s in sizes) or sum(sizes) != x.shape[at]:
        raise op.fail(f"has parts {sizes} of {x.shape} along axis {at} and {n} outputs, expected parts that add up")
    cut(op, x, at, sizes)


def cut(op: Operator, x: Value, at: int, sizes: tuple[int, ...]) -> None:
    begin = 0
    for i, size in enumerate(sizes):
        emit(op, "slice", [x], out=i, **part(x, at, begin, size))
        begin += size


def slice_(op: Operator) -> None:
    x, begin, size = value(op, 0), integers(op, 1), integers(op, 2)
    if not len(begin) == len(size) == len(x.shape):
        raise op.fail(f"has begin {begin} and size {size} for shape {x.shape}, expected one of each per axis")
    size = tuple(d - b if s == -1 else s for b, s, d in zip(begin, size, x.shape, strict=True))
    if any(b < 0 or s < 1 or b + s > d for b, s, d in zip(begin, size, x.shape, strict=True)):
        raise op.fail(f"takes {size} from {begin} of shape {x.shape}, expected a part of it")
    emit(op, "slice", [x], begin=begin, size=size, stride=(1,) * len(x.shape))


def resize(kind: str, op: Operator) -> None:
    x, size = activations(op, 0, rank=4), integers(op, 1, limit=2)
    align_corners, half_pixel = bool(op.options["align_corners"]), bool(op.options["half_pixel_centers"])
    if len(size) != 2 or min(size) < 1 or (align_corners and half_pixel):
        raise op.fail(f"has size {size}, expected height and width, and not both align_corners and half_pixel_centers")
    emit(op, kind, [x], size=size, align_corners=align_corners, half_pixel_centers=half_pixel)


def quantize(op: Operator) -> None:
    emit(op, "quantize", [activations(op, 0)])


def dequantize(op: Operator) -> None:
    index = op.inputs[0] if given(op, 0) else -1
    if index in op.scope.values and op.scope.values[index].data is None:
        emit(op, "dequantize", [activations(op, 0)])
        return
    stored = value(op, 0)
    out = known(op, dequantized(op, stored, tflite_file.quant(op.scope.file, index)))
    if stored.dtype in ("int8", "int4", "float16"):
        op.scope.stored[out] = stored


def densify(op: Operator) -> None:
    """A constant that was stored sparse: `value` has it dense already."""
    x, index = value(op, 0), op.outputs[0]
    if x.data is None:
        raise Unsupported(f"input {x.name!r} computed while the model runs")
    quant = tflite_file.quant(op.scope.file, index) if x.dtype in QUANTISED_DTYPES else None
    out = Value(op.scope.unique(tflite_file.name(op.scope.file, index)), x.shape, x.dtype, quant, x.data)
    if tflite_file.dtype(op.scope.file, index) != x.dtype or index in op.scope.values:
        raise op.fail(f"gives {x.dtype} to another type or a second time, expected one output of its input's type")
    declare(op, 0, out, x.shape, x.dtype)


def rearrange_blocks(kind: str, op: Operator) -> None:
    x, block = activations(op, 0, rank=4), extent(op, "block")
    emit(op, kind, [x], block=block)


def shape(op: Operator) -> None:
    """A constant, since shapes are static here."""
    kind = tflite_file.dtype(op.scope.file, op.outputs[0])
    if kind not in ("int32", "int64"):
        raise op.fail(f"gives {kind}, expected int32 or int64")
    known(op, np.array(value(op, 0).shape, kind))


OPS: dict[str, Callable[[Operator], None]] = {
    "ASSIGN_VARIABLE": assign_variable,
    **tflite_elementwise.OPS,
    "AVERAGE_POOL_2D": partial(pool2d, "avg_pool2d"),
    "BATCH_MATMUL": batch_matmul,
    "CALL_ONCE": call_once,
    "CONCATENATION": concatenation,
    "CONV_2D": conv2d,
    "DENSIFY": densify,
    "DEPTHWISE_CONV_2D": depthwise_conv2d,
    "DEPTH_TO_SPACE": partial(rearrange_blocks, "depth_to_space"),
    "DEQUANTIZE": dequantize,
    "ELU": elu,
    "EXPAND_DIMS": expand_dims,
    "FULLY_CONNECTED": fully_connected,
    "GELU": gelu,
    "HARD_SWISH": partial(unary, "hard_swish"),
    "L2_POOL_2D": l2_pool2d,
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": partial(unary, "logistic"),
    "MAX_POOL_2D": partial(pool2d, "max_pool2d"),
    "MEAN": partial(reduce, "mean"),
    "PACK": pack,
    "PAD": pad,
    "PADV2": pad,
    "QUANTIZE": quantize,
    "REDUCE_ALL": partial(reduce, "reduce_all"),
    "REDUCE_ANY": partial(reduce, "reduce_any"),
    "READ_VARIABLE": read_variable,
    "REDUCE_MAX": partial(reduce, "reduce_max"),
    "REDUCE_MIN": partial(reduce, "reduce_min"),
    "REDUCE_PROD": partial(reduce, "reduce_prod"),
    "RELU": partial(unary, "relu"),
    "RELU_N1_TO_1": partial(unary, "relu_n1_to_1"),
    "RESHAPE": reshape,
    "RESIZE_BILINEAR": partial(resize, "resize_bilinear"),
    "RESIZE_NEAREST_NEIGHBOR": partial(resize, "resize_nearest"),
    "SHAPE": shape,
    "SLICE": slice_,
    "SOFTMAX": softmax,
    "SPACE_TO_DEPTH": partial(rearrange_blocks, "space_to_depth"),
    "SPLIT": split,
    "SPLIT_V": split_v,
    "SQUEEZE": squeeze,
    "STRIDED_SLICE": strided_slice,
    "SUM": partial(reduce, "sum"),
    "SVDF": svdf,
    "TANH": partial(unary, "tanh"),
    "TRANSPOSE": transpose,
    "TRANSPOSE_CONV": transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "UNPACK": unpack,
    "VAR_HANDLE": var_handle,
}
