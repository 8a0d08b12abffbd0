# SPDX-License-Identifier: Apache-2.0
"""The least and greatest stored integer of every channel (index of the last axis), whatever a graph's inputs are.

Sums of a layer are bounded by interval arithmetic over its input channels, exactly for each way in which its window
can reach past the image, and brought to the output's grid by the layer's own arithmetic, which never falls where the
sum grows. An op without a rule here may give anything that its type can store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import binary, conv2d, fixedpoint, pool, reduce, rescale
from edgesdk.ops.activation import NAMES as ACTIVATIONS
from edgesdk.ops.arithmetic import INT8
from edgesdk.ops.elementary import NAMES as ELEMENTARY
from edgesdk.ops.unary import NAMES as UNARY

LAYERS = {"conv2d": 0, "transpose_conv2d": 0, "fully_connected": 0, "depthwise_conv2d": 2}  # op -> channel axis
UNARIES = (*UNARY, *ACTIVATIONS, *ELEMENTARY, "quantize", "lut")  # item by item
BINARIES = ("add", "sub", "mul", "minimum", "maximum", *INT8)
MONOTONE = ("add", "sub", "mul", "minimum", "maximum")  # in each operand while the other stays
CHUNK = 1 << 20  # weights
LARGEST = 2.0**31 - 1
SAFE_SHIFT = 14  # to the left, of the difference of two items


@dataclass(frozen=True, eq=False)
class Range:
    """int64 arrays with an item for each channel."""

    low: np.ndarray
    high: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        return np.asarray(self.low == self.high)


Ranges = dict[Value, Range]


def is_integer(value: Value) -> bool:
    """Whether the value's stored integers stand for real numbers on one grid."""
    q = value.quant
    return value.dtype in ("int8", "int16") and q is not None and q.scale.size == 1 and bool(q.scale[0] > 0)


def is_layer(node: Node) -> bool:
    """A layer of integers with constant weights."""
    if node.op not in LAYERS or not (is_integer(node.input(0)) and is_integer(node.output)):
        return False
    return all(v.data is not None for v in node.inputs[1:] if v is not None) and node.input(1).quant is not None


def channel_ranges(graph: Graph) -> Ranges:
    found: Ranges = {}
    for node in graph.nodes:
        for value in node.outputs:
            if is_integer(value):
                found[value] = _RULES.get(node.op, _unknown)(node, found)
    return found


def full(value: Value) -> Range:
    info, ones = np.iinfo(value.dtype), np.ones(value.shape[-1] if value.shape else 1, np.int64)
    return Range(ones * info.min, ones * info.max)


def range_of(value: Value, ranges: Ranges) -> Range:
    """That of an input, too: a constant's own items, else what its type can store."""
    if value.data is None:
        return ranges.get(value) or full(value)
    rows = value.data.reshape(-1, value.shape[-1] if value.shape else 1).astype(np.int64)
    return Range(rows.min(0), rows.max(0))


def _unknown(node: Node, ranges: Ranges) -> Range:
    return full(node.output)


# Layers.


def axis_taps(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> np.ndarray:
    """Which taps of a window lie inside the image along one axis: every way that occurs, [ways, kernel]."""
    at = np.arange(out)[:, None] * stride - before + np.arange(kernel) * dilation
    return np.unique((at >= 0) & (at < size), axis=0)


def window_taps(node: Node) -> np.ndarray:
    """The sets of taps that windows of a layer read, [sets, taps]; the others read padding, which adds nothing."""
    if node.op == "fully_connected":
        return np.ones((1, 1), bool)
    shape = node.input(1).shape
    kernel = shape[:2] if node.op == "depthwise_conv2d" else shape[1:3]
    dilation = node.attrs.get("dilation", (1, 1))
    rows, columns = (
        axis_taps(
            node.input(0).shape[1 + a], node.output.shape[1 + a], kernel[a], node.attrs["stride"][a], dilation[a],
            node.attrs["padding"][a],
        )
        for a in (0, 1)
    )  # fmt: skip
    return (rows[:, None, :, None] & columns[None, :, None, :]).reshape(len(rows) * len(columns), -1)


def tap_weights(node: Node) -> np.ndarray:
    """The layer's integers as [O, taps, inputs of a channel]."""
    w = rescale.integer_weights(node.input(1))
    if node.op == "depthwise_conv2d":
        return w.reshape(-1, w.shape[2], 1).swapaxes(0, 1)
    return w.reshape(w.shape[0], -1, w.shape[-1])


def _tap_sums(node: Node, w: np.ndarray, x: np.ndarray, of: Callable[..., np.ndarray]) -> np.ndarray:
    """Sums of the products of a function of the weights with an array over the input's channels, [O, taps]; float64
    holds them exactly."""
    groups = x.size if node.op == "depthwise_conv2d" else conv2d.groups(node)
    read = x.reshape(groups, -1, 1).astype(np.float64)
    read = read if groups == 1 else np.repeat(read, len(w) // groups, 0)
    step = max(1, CHUNK // w[0].size)  # so many channels at once, that a large layer takes little memory
    at = [slice(o, o + step) for o in range(0, len(w), step)]
    return np.concatenate([(of(w[s], dtype=np.float64) @ (read if groups == 1 else read[s]))[..., 0] for s in at])


def layer_sums(node: Node, x: Range) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest sum of each output channel, bias included."""
    w, zero_point = tap_weights(node), node.input(0).zero_point
    middle = _tap_sums(node, w, x.low + x.high - 2 * zero_point, np.asarray)
    reach = _tap_sums(node, w, x.high - x.low, np.abs)
    low, high = (middle - reach) / 2, (middle + reach) / 2
    if node.op == "transpose_conv2d":  # an output reads some of the taps
        sums = np.minimum(low, 0).sum(1), np.maximum(high, 0).sum(1)
    else:
        taps = window_taps(node).T.astype(np.float64)
        sums = (low @ taps).min(1), (high @ taps).max(1)
    return sums[0].astype(np.int64) + rescale.bias(node), sums[1].astype(np.int64) + rescale.bias(node)


def _layer(node: Node, ranges: Ranges) -> Range:
    if not is_layer(node):
        return full(node.output)
    low, high = layer_sums(node, range_of(node.input(0), ranges))
    return _rescaled(node, low, high)


def _rescaled(node: Node, low: np.ndarray, high: np.ndarray) -> Range:
    y = node.output
    first, last = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)
    rises = _rises(node, low) & _rises(node, high)
    ends = (rescale.finish(node, s).astype(np.int64) for s in (low, high))
    return Range(*(np.where(rises, end, limit) for end, limit in zip(ends, (first, last), strict=True)))


def _rises(node: Node, sums: np.ndarray) -> np.ndarray:
    """Where no step of the rescaling wraps on the way from 0 to such a sum, nor turns it round."""
    multiplier, shift = (a.astype(np.int64) for a in rescale.multipliers(node))
    if rescale.is_wide(node):
        multiplier = fixedpoint.reduced_multipliers(multiplier)
        scaled = np.abs(sums).astype(np.float64) * multiplier * 2.0 ** (shift - 15)
    else:
        scaled = np.abs(sums).astype(np.float64) * 2.0 ** np.maximum(shift, 0)
    return np.asarray((scaled < LARGEST) & (multiplier >= 0) & (np.abs(sums) < 2.0**47))


# Item by item.


def _reference(node: Node, arrays: list[np.ndarray]) -> np.ndarray:
    return np.asarray(ops.module(node.op).reference(node, arrays)[0], np.int64)


def item_table(node: Node) -> np.ndarray:
    """The results of an op on single items for the 256 stored values of its int8 input."""
    if node.op == "lut":
        return np.asarray(node.input(1).data, np.int64)
    return _reference(node, [np.arange(-128, 128).astype(np.int8)])


def _unary(node: Node, ranges: Ranges) -> Range:
    if not is_integer(node.input(0)):
        return full(node.output)
    x = range_of(node.input(0), ranges)
    if node.input(0).dtype == "int8":
        return _looked_up(item_table(node), x)
    return full(node.output) if node.op == "lut" else _where_constant(node, [x])


def _looked_up(table: np.ndarray, x: Range) -> Range:
    """Least and greatest entry between the ends of each channel."""
    lows, highs = (np.empty((256, 256), np.int64) for _ in range(2))
    for first in np.unique(x.low) + 128:
        lows[first, first:] = np.minimum.accumulate(table[first:])
        highs[first, first:] = np.maximum.accumulate(table[first:])
    at = x.low + 128, x.high + 128
    return Range(lows[at], highs[at])


def _where_constant(node: Node, given: list[Range]) -> Range:
    """The node's result where all operands are constant, anything elsewhere."""
    anything, known = full(node.output), np.logical_and.reduce(np.broadcast_arrays(*(r.constant for r in given)))
    result = _reference(node, [r.low.astype(v.dtype) for r, v in zip(given, _values(node), strict=True)])
    return Range(np.where(known, result, anything.low), np.where(known, result, anything.high))


def _values(node: Node) -> list[Value]:
    return [v for v in node.inputs if v is not None]


def _binary(node: Node, ranges: Ranges) -> Range:
    values = _values(node)
    if not all(is_integer(v) for v in values):
        return full(node.output)
    given = [range_of(v, ranges) for v in values]
    if node.op not in MONOTONE or not _keeps_bits(node):
        return _where_constant(node, given)
    (a, b), kinds = given, [v.dtype for v in values]
    pairs = [(p, q) for p in (a.low, a.high) for q in (b.low, b.high)]
    corners = [_reference(node, [p.astype(kinds[0]), q.astype(kinds[1])]) for p, q in pairs]
    ends = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return Range(*(np.broadcast_to(e, node.output.shape[-1:] or (1,)) for e in ends))


# What moves items or takes means and extremes of them: results lie between those of the least and the greatest items.


def _pooled(node: Node, ranges: Ranges) -> Range:
    """A mean of integers, rounded, stays between them."""
    if not is_integer(node.input(0)) or not _keeps_bits(node):
        return full(node.output)
    x, zero_point = range_of(node.input(0), ranges), node.input(0).zero_point
    low, high = x.low, x.high
    if node.attrs.get("count_padding", False):
        low, high = np.minimum(low, zero_point), np.maximum(high, zero_point)
    kind = node.input(0).dtype
    return Range(*(np.asarray(pool.clamp(node, e.astype(kind)), np.int64) for e in (low, high)))


def _filled(node: Node, ranges: Ranges) -> Range:
    """Both ends through the op's reference."""
    values = _values(node)
    if not all(is_integer(v) for v in values) or not _keeps_bits(node):
        return full(node.output)
    given = [(v, range_of(v, ranges)) for v in values]
    low, high = (
        _reference(node, [_filling(v, end) for v, end in ends])
        for ends in ([(v, r.low) for v, r in given], [(v, r.high) for v, r in given])
    )
    rows = [e.reshape(-1, node.output.shape[-1] if node.output.shape else 1) for e in (low, high)]
    return Range(rows[0].min(0), rows[1].max(0))


def _filling(value: Value, channels: np.ndarray) -> np.ndarray:
    return value.data if value.data is not None else np.broadcast_to(channels.astype(value.dtype), value.shape)


def _keeps_bits(node: Node) -> bool:
    """Whether what the op rescales, if anything, is not shifted so far to the left that it could wrap."""
    if node.op in ("add", "sub"):
        return True
    if node.op == "mul":
        return binary.product_scale(node)[1] <= (SAFE_SHIFT if node.output.dtype == "int8" else 0)
    if node.op in ("mean", "sum"):
        return reduce.rescale_words(node)[2] <= 0
    ratios = [v.scale / node.output.scale for v in _values(node)]
    return all(fixedpoint.quantize_multiplier(r)[1] <= SAFE_SHIFT for r in ratios)


_MOVES = ("reshape", "slice", "transpose", "concat", "pad", "space_to_depth", "depth_to_space", "tile", "broadcast_to")
_EXTREMES = ("mean", "sum", "reduce_max", "reduce_min", "resize_nearest", "resize_bilinear", "take_pixels")

_RULES: dict[str, Callable[[Node, Ranges], Range]] = {
    **dict.fromkeys(LAYERS, _layer),
    **dict.fromkeys(UNARIES, _unary),
    **dict.fromkeys(BINARIES, _binary),
    **dict.fromkeys(("avg_pool2d", "max_pool2d", "image_mean"), _pooled),
    **dict.fromkeys((*_MOVES, *_EXTREMES), _filled),
}
