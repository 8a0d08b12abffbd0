# SPDX-License-Identifier: Apache-2.0
"""What conv2d, depthwise_conv2d and fully_connected share: int32 sums back to int8.

The C side is runtime_c/kernels/requantize.h. `channel_axis` is the output-channel axis of
the weights; every other axis is summed over.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.ops import f32_word, fixedpoint


def types(node: Node) -> str:
    """Kernel type string: activation, then weights."""
    names = {"int8": "s8", "float32": "f32"}
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


def folded_bias(node: Node, channel_axis: int) -> np.ndarray:
    """int32 bias - input zero point * sum of the channel's weights.

    Refuses a node whose sums could leave int32 for some input.
    """
    w = node.input(1).data
    assert w is not None
    axes = tuple(a for a in range(w.ndim) if a != channel_axis % w.ndim)
    wide = w.astype(np.int64)
    folded = bias(node) - node.input(0).zero_point * wide.sum(axes)
    if (np.abs(folded) + 128 * np.abs(wide).sum(axes)).max(initial=0) >= 2**31:
        raise Unsupported(
            f"{node.source}: sums of {node.op} can leave 32 bits; expected fewer or smaller weights, split the layer"
        )
    return folded.astype(np.int32)


def words(node: Node, channel_axis: int) -> list[int | np.ndarray | None]:
    """The ert_rescale words of an integer node."""
    y = node.output
    multiplier, shift = multipliers(node)
    low, high = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point)
    per_channel = int(multiplier.size > 1)
    return [folded_bias(node, channel_axis), multiplier, shift, per_channel, y.zero_point, low, high]


def float_words(node: Node) -> list[int | np.ndarray | None]:
    """bias, min, max words of a float node."""
    low, high = fixedpoint.float_range(node.attrs["activation"])
    return [bias(node), f32_word(low), f32_word(high)]


def finish(node: Node, acc: np.ndarray) -> np.ndarray:
    """int32 sums [..., O] (bias included) -> int8 outputs."""
    y = node.output
    multiplier, shift = multipliers(node)
    low, high = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point)
    scaled = fixedpoint.requantize(acc, multiplier.astype(np.int64), shift.astype(np.int64))
    return np.clip(scaled + y.zero_point, low, high).astype(np.int8)


def finish_float(node: Node, acc: np.ndarray) -> np.ndarray:
    low, high = fixedpoint.float_range(node.attrs["activation"])
    return np.clip(acc, low, high).astype(np.float32)
