# SPDX-License-Identifier: Apache-2.0
"""What conv2d, depthwise_conv2d and fully_connected share: sums back to int8 or int16, or to floats.

The C side is runtime_c/kernels/requantize.h. `channel_axis` is the output-channel axis of
the weights; every other axis is summed over. Float layers may have int8 or int4 weights with
scales or float16 ones: they stand for floats.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Value
from edgesdk.ops import f32_word, fixedpoint

SCALED = ("int8", "int4")  # weights that stand for floats with a scale


def types(node: Node) -> str:
    """Kernel type string: activation, then weights."""
    names = {"int8": "s8", "int16": "s16", "float32": "f32", "float16": "f16", "int4": "s4"}
    x, w = node.input(0).dtype, node.input(1).dtype
    if x == w == "float32":
        return "f32"
    return names.get(x, x) + names.get(w, w)


def multipliers(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """int32 multipliers and int8 shifts of input scale * weight scale / output scale."""
    x, w, y = node.input(0), node.input(1), node.output
    assert w.quant is not None
    return fixedpoint.quantize_multipliers(x.scale * w.quant.scale.astype(np.float64) / y.scale)


def bias(node: Node) -> np.ndarray:
    """The bias, zeros where there is none; int64 for integer nodes, float32 for float ones."""
    b, y = node.optional(2), node.output
    dtype = np.float32 if y.dtype == "float32" else np.int64
    if b is None:
        return np.zeros(y.shape[-1], dtype)
    assert b.data is not None
    return b.data.ravel().astype(dtype)


def is_wide(node: Node) -> bool:
    """Whether an int16 layer sums up in 64 bits: the type of its bias decides, 64 where there is none."""
    b = node.optional(2)
    return node.input(0).dtype == "int16" and (b is None or b.dtype == "int64")


def integer_weights(value: Value) -> np.ndarray:
    """The stored array; of grouped int4 weights the integers that they stand for."""
    assert value.data is not None
    if value.quant is None or value.quant.factors is None:
        return value.data
    w = value.data.reshape(value.shape[0], -1)
    each = np.repeat(value.quant.factors, value.quant.group, 1)[:, : w.shape[1]]
    return (w.astype(np.int32) * each).reshape(value.shape)


def real_weights(node: Node, channel_axis: int) -> np.ndarray:
    """Weights as float64: integers, and what the integers of a float layer stand for."""
    value, w = node.input(1), integer_weights(node.input(1)).astype(np.float64)
    if node.input(0).dtype != "float32" or value.dtype not in SCALED:
        return w
    assert value.quant is not None
    along = [1] * w.ndim
    along[channel_axis] = -1
    return w * value.quant.scale.astype(np.float64).reshape(along)


def nibbles(rows: np.ndarray) -> np.ndarray:
    """int4 weights [rows, n] as the file has them: two in a byte, low nibble first, each row from a byte of its own.

    >>> nibbles(np.array([[1, -1, 2]])).tolist()
    [[241, 2]]
    """
    even = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).astype(np.uint8) & 15
    return np.asarray(even[:, ::2] | even[:, 1::2] << 4)


def weight_words(node: Node, grouped: bool = True) -> list[int | np.ndarray | None]:
    """The blob of the weights; of int4 ones in rows along the last axis, or, `grouped`, the ert_weights_s4 words."""
    w = node.input(1)
    assert w.data is not None
    if w.dtype != "int4":
        return [w.data]
    if not grouped:
        return [nibbles(w.data.reshape(-1, w.shape[-1]))]
    rows = w.data.reshape(w.shape[0], -1)
    if w.quant is None or w.quant.factors is None:
        return [nibbles(rows), rows.shape[1], None]
    return [nibbles(rows), min(w.quant.group, rows.shape[1]), w.quant.factors]


def folded_bias(node: Node, channel_axis: int) -> np.ndarray:
    """int32 bias - input zero point * sum of the channel's weights; of int16 layers int64.

    Refuses a node whose sums could leave their type for some input.
    """
    w = integer_weights(node.input(1))
    axes = tuple(a for a in range(w.ndim) if a != channel_axis % w.ndim)
    wide = w.astype(np.int64)
    folded = bias(node) - node.input(0).zero_point * wide.sum(axes)
    integer16, bits = node.input(0).dtype == "int16", 47 if is_wide(node) else 31
    largest = 2**15 if integer16 else 2**7
    if (np.abs(folded) + largest * np.abs(wide).sum(axes)).max(initial=0) >= 2**bits:
        raise Unsupported(
            f"{node.source}: sums of {node.op} can leave {bits + 1} bits; expected fewer or smaller weights, "
            "split the layer"
        )
    return folded.astype(np.int64 if integer16 else np.int32)


def words(node: Node, channel_axis: int) -> list[int | np.ndarray | None]:
    """The ert_rescale words of an integer node."""
    y = node.output
    multiplier, shift = multipliers(node)
    low, high = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)
    per_channel = int(multiplier.size > 1)
    if y.dtype == "int16":
        if is_wide(node):
            multiplier = reduced(node, multiplier, shift)
        return [folded_bias(node, channel_axis), multiplier, shift, per_channel, int(is_wide(node)), low, high]
    return [folded_bias(node, channel_axis), multiplier, shift, per_channel, y.zero_point, low, high]


def reduced(node: Node, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The 15-bit multipliers of a wide layer."""
    if shift.max() > 7:
        raise Unsupported(
            f"{node.source}: the output scale of {node.op} is below 1/128 of input scale * weight scale; expected a "
            "larger one, quantise the output again"
        )
    return fixedpoint.reduced_multipliers(multiplier).astype(np.int32)


def float_words(node: Node) -> list[int | np.ndarray | None]:
    """bias, min, max words of a float node; between them the scales of int8 weights and their step."""
    low, high = fixedpoint.float_range(node.attrs["activation"])
    w = node.input(1)
    scales: list[int | np.ndarray | None] = []
    if w.dtype in SCALED:
        assert w.quant is not None
        scales = [w.quant.scale, int(w.quant.scale.size > 1)]
    return [bias(node), *scales, f32_word(low), f32_word(high)]


def finish(node: Node, acc: np.ndarray) -> np.ndarray:
    """Sums [..., O] (bias included) -> int8 or int16 outputs."""
    y = node.output
    multiplier, shift = multipliers(node)
    low, high = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)
    if is_wide(node):
        scaled = fixedpoint.requantize_wide(acc, reduced(node, multiplier, shift), shift)
        return np.clip(scaled, low, high).astype(np.int16)
    scaled = fixedpoint.requantize(acc, multiplier.astype(np.int64), shift.astype(np.int64))
    return np.clip(scaled + y.zero_point, low, high).astype(y.dtype)


def finish_float(node: Node, acc: np.ndarray) -> np.ndarray:
    low, high = fixedpoint.float_range(node.attrs["activation"])
    return np.clip(acc, low, high).astype(np.float32)
