# SPDX-License-Identifier: Apache-2.0
"""Scales of tiles whose kernels rescale with doubles: layouts of runtime_c/kernels/tiles.h that end in d."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops import rescale, vectors

MOST_EXACT = 2**21


def fits(node: Node) -> bool:
    """Whether doubles hold every product of a sum with its multiplier that does not leave int8's range."""
    multiplier, shift = rescale.multipliers(node)
    w, axis = rescale.integer_weights(node.input(1)).astype(np.int64), vectors.channel_axis(node)
    most = 128 * np.abs(np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)).sum(1)
    most = most + np.abs(rescale.folded_bias(node, axis).astype(np.int64))
    return bool(((multiplier >= 0) & ((shift >= -13) | (most < MOST_EXACT) | (multiplier == 0))).all())


def by_panel(items: np.ndarray, nr: int) -> np.ndarray:
    return np.pad(items, (0, -len(items) % nr)).reshape(-1, nr)


def words(node: Node, nr: int, sums: np.ndarray) -> list[int | np.ndarray | None]:
    """[panels][bias, bias of unsigned inputs, factor, half, unit][nr], then the words of zero point and limits; `sums`
    are those of each channel's weights."""
    scales, limits = vectors.by_channel(node)
    bias = scales["bias"].astype(np.int64)
    unit = np.where(scales["multiplier"] == 0, 0.0, 2.0 ** scales["shift"].astype(np.float64))
    doubles = (scales["multiplier"] * unit * 2.0**-31, unit / 2 + unit * 2.0**-32, unit)
    biases = [by_panel(a.astype(np.int32), nr) for a in (bias, bias - 128 * sums)]
    return [np.concatenate([*biases, *(by_panel(a, nr).view(np.int32) for a in doubles)], 1), *limits]
