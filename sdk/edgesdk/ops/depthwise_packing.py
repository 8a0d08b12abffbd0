# SPDX-License-Identifier: Apache-2.0
"""Depthwise weights as kernels of an instruction set read them, with biases and scales; made when a program is written.

The C side of "fours" and "planes" is depthwise_conv2d.h.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops import fixedpoint, rescale, vectors

MOST_TOTAL = 2**30  # of the products of a channel with its bias, for inputs in -128..127
LEAST_COLUMNS = 8  # of an output in planes
MOST_SHIFT = 22  # to the right, in fours: a zero point so far up is still below 2^30


def most_sums(node: Node) -> np.ndarray:
    """Of each channel the largest magnitude that its sum of products with the bias can have."""
    w = rescale.integer_weights(node.input(1)).astype(np.int64)
    folded = rescale.folded_bias(node, -1).astype(np.int64)
    return np.asarray(np.abs(folded) + 128 * np.abs(w).sum((0, 1)))


def scales_per_channel(node: Node, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multipliers and right shifts, one per channel: 0 and 1 of a channel that no input moves off the zero point."""
    multiplier, shift = (np.broadcast_to(a, most.shape).astype(np.int64) for a in rescale.multipliers(node))
    still = (shift < 0) & (most * multiplier < 2.0 ** (30 - shift) - 2.0**31)
    return np.where(still, 0, multiplier), np.where(still, 1, -shift)


def fits_channels(node: Node, relu: bool) -> bool:
    """Whether weights [KH, KW, O] of 8 or 4 bits may be doubled and packed channel by channel, for a kernel that counts
    on the clamp of a ReLU or one that does not."""
    y, most = node.output, most_sums(node)
    _, shift = scales_per_channel(node, most)
    low, _ = fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point)
    return bool(
        node.input(1).shape[-1] == node.input(0).shape[-1]
        and most.max() < MOST_TOTAL
        and shift.min() >= 1
        and shift.max() <= MOST_SHIFT
        and (low >= y.zero_point or not relu)
    )


def fits_fours(node: Node, relu: bool) -> bool:
    if node.input(0).dtype == "int16":
        channels = node.input(1).shape[-1]
        return 4 <= channels == node.input(0).shape[-1] and vectors.fits_halves(node)
    return node.input(1).shape[-1] >= 4 and fits_channels(node, relu)


def fits_planes(node: Node, relu: bool) -> bool:
    """Rows that are shorter are faster in fours."""
    return (
        node.input(1).shape[:2] == (3, 3)
        and node.input(1).shape[-1] >= 2
        and tuple(node.attrs["stride"]) == (1, 1) == tuple(node.attrs.get("dilation", (1, 1)))
        and node.output.shape[2] >= LEAST_COLUMNS
        and node.attrs["padding"][1] <= 2
        and fits_channels(node, relu)
    )


def four_channels(taps: np.ndarray, bias: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The int32 words of four channels: taps [n, 4], bias [4], scales [3, 4] (multipliers, offsets, shifts)."""
    odd = np.pad(taps, ((0, 1 - len(taps) % 2), (0, 0))) * 2
    paired = odd[:-1].reshape(-1, 2, 4).swapaxes(1, 2)
    last = odd[-1].reshape(2, 2).T  # channels (0, 2), (1, 3)
    weights = np.concatenate([paired.ravel(), last.ravel()]).astype(np.int16).view(np.int32)
    return np.concatenate([bias * 2, weights, scales[:2].T.ravel(), scales[2]]).astype(np.int32)


def channel_words(node: Node) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [taps, O], biases [O] and scales [3, O] (multipliers, offsets, shifts), not doubled yet."""
    w = rescale.integer_weights(node.input(1)).astype(np.int64)
    multiplier, shift = scales_per_channel(node, most_sums(node))
    scales = np.stack([multiplier, (2 * node.output.zero_point + 1) << (shift - 1), shift])
    return w.reshape(-1, w.shape[-1]), rescale.folded_bias(node, -1).astype(np.int64), scales


def int16_fours(node: Node) -> np.ndarray:
    """The words of an int16 layer for four channels after four."""
    words, _ = vectors.by_channel(node)
    taps = rescale.integer_weights(node.input(1)).astype(np.int16).reshape(-1, len(words["bias"]))
    return np.concatenate([
        np.concatenate([
            words["bias"][o : o + 4].astype(np.int32),
            np.ascontiguousarray(taps[:, o : o + 4]).view(np.int32).ravel(),
            words["multiplier"][o : o + 4].astype(np.int32),
            np.ascontiguousarray(words["shift"][o : o + 4].astype(np.int8)).view(np.int32),
        ])
        for o in starts(taps.shape[1])
    ])  # fmt: skip


def starts(channels: int) -> list[int]:
    """Of the fours of channels; the last overlaps the one before where four does not divide their number."""
    return [*range(0, channels - 4, 4), channels - 4]


def fours(node: Node) -> np.ndarray:
    """The weights of a depthwise convolution, its biases and scales as words for four channels after four."""
    if node.input(0).dtype == "int16":
        return int16_fours(node)
    taps, bias, scales = channel_words(node)
    each = [slice(o, o + 4) for o in starts(bias.size)]
    return np.concatenate([four_channels(taps[:, i], bias[i], scales[:, i]) for i in each])


def planes(node: Node) -> np.ndarray:
    """The same of 3x3 weights as ten words per channel."""
    taps, bias, scales = channel_words(node)
    rows = taps.T.reshape(-1, 3, 3)[:, :, [0, 1, 1, 2]].reshape(-1, 12) * 2
    weights = rows.astype(np.int16).view(np.int32)
    return np.concatenate([weights, (2 * bias)[:, None].astype(np.int32), scales.T.astype(np.int32)], 1)
