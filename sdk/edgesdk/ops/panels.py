# SPDX-License-Identifier: Apache-2.0
"""The orders of weights that thumb2 rows read: panels of four output channels for conv2d and fully_connected, channel
by channel for depthwise_conv2d.

The C side is in runtime_c/kernels/panels.h and depthwise_conv2d.h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops import fixedpoint, rescale

FAST_SUM = 2**30  # |sum + bias| below this can be doubled


@dataclass(frozen=True)
class Channels:
    """An int8 layer: weights [O, n], and of each channel the bias, the multiplier and the shift. `fast`: they suit the
    formula of panels.h, and shifts are its own."""

    w: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    fast: bool


def channels(node: Node, channel_axis: int) -> Channels:
    w = rescale.integer_weights(node.input(1)).astype(np.int64)
    w = np.moveaxis(w, channel_axis, 0).reshape(w.shape[channel_axis], -1)
    bias = rescale.folded_bias(node, channel_axis).astype(np.int64)
    multiplier, shift = (a.astype(np.int64) for a in rescale.multipliers(node))
    shift = np.where(multiplier == 0, -1, shift)  # any shift of 0 is 0
    low = bias + np.minimum(-128 * w, 127 * w).sum(1)
    high = bias + np.maximum(-128 * w, 127 * w).sum(1)
    zero_point = node.output.zero_point
    least, most = (np.clip(fixedpoint.requantize(v, multiplier, shift) + zero_point, -128, 127) for v in (low, high))
    still = (least == most) & (np.maximum(-low, high) << np.maximum(shift, 0) < 2**31)  # a sum that wraps jumps
    if not still.any():
        return _fast(Channels(w, bias, multiplier, shift, False), low, high)
    # Channels that are the same for every input often have biases beyond the fast formula: 4 v / 2 / 2 is v in both.
    low, high, bias = (np.where(still, 4 * (least - zero_point), v) for v in (low, high, bias))
    w = np.where(still[:, None], 0, w)
    return _fast(Channels(w, bias, np.where(still, 2**30, multiplier), np.where(still, -1, shift), False), low, high)


def _fast(c: Channels, low: np.ndarray, high: np.ndarray) -> Channels:
    if c.shift.max() >= 0 or np.maximum(-low, high).max(initial=0) >= FAST_SUM:
        return c
    return replace(c, shift=-1 - c.shift, fast=True)


def words(node: Node) -> list[int | np.ndarray | None]:
    """The ert_panels words of a layer whose weights have their output channels first."""
    y, c = node.output, channels(node, 0)
    low, high = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)
    blob = pack(c.w, c.bias, c.multiplier, c.shift).view("<i4")  # as words: short blobs are aligned by their items
    return [blob, int(c.multiplier.size > 1), int(c.fast), y.zero_point, low, high]


def fits_by_channel(node: Node) -> bool:
    """Whether a depthwise convolution has 3x3 windows that slide by one or two columns, and suits the fast formula."""
    x, w = node.input(0), node.input(1)
    square = w.shape[:2] == (3, 3) and tuple(node.attrs.get("dilation", (1, 1))) == (1, 1)
    return square and w.shape[2] == x.shape[3] and node.attrs["stride"][1] <= 2 and channels(node, 2).fast


def channel_words(node: Node) -> list[int | np.ndarray | None]:
    """Words of a depthwise layer behind its zero point: the blob of channels, then the output's range."""
    y, c = node.output, channels(node, 2)
    low, high = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)
    blob = np.zeros((len(c.w), 20), np.uint8)
    blob[:, :4] = c.bias.astype("<i4")[:, None].view(np.uint8)
    blob[:, 4:8] = np.broadcast_to(c.multiplier, len(blob)).astype("<i4")[:, None].view(np.uint8)
    blob[:, 8:17] = c.w.astype(np.int8).view(np.uint8)
    blob[:, 17] = np.broadcast_to(c.shift, len(blob)).astype(np.int8).view(np.uint8)
    return [blob.ravel().view("<i4"), y.zero_point, low, high]


def pack(w: np.ndarray, bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Bytes of the panels of w [O, n].

    >>> one = pack(np.array([[1, 2]] * 2), np.array([3, 4]), np.array([5, 6]), np.array([7, 8]))
    >>> one[[0, 4, 16, 17, 20, 24, 28, 40]].tolist()
    [3, 4, 1, 1, 2, 5, 6, 7]
    """
    if multiplier.size == 1:
        shared = [by_four(np.repeat(a, 4), dtype) for a, dtype in ((multiplier, "<i4"), (shift, "int8"))]
        return np.concatenate([*(a.ravel() for a in shared), _rows(((bias, "<i4"), (w, "int8")))])
    return _rows(((bias, "<i4"), (w, "int8"), (multiplier, "<i4"), (shift, "int8")))


def _rows(parts: tuple[tuple[np.ndarray, str], ...]) -> np.ndarray:
    return np.concatenate([by_four(a, dtype) for a, dtype in parts], 1).ravel()


def by_four(a: np.ndarray, dtype: str) -> np.ndarray:
    """Bytes of a [O, ...] in rows of four along O, filled up with zeros, those four next to each other."""
    padded = np.pad(a.astype(dtype), [(0, -len(a) % 4)] + [(0, 0)] * (a.ndim - 1))
    fours = padded.reshape(len(padded) // 4, 4, -1).swapaxes(1, 2)
    return np.ascontiguousarray(fours).view(np.uint8).reshape(len(fours), -1)
