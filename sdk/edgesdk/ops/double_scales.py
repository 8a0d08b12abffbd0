# SPDX-License-Identifier: Apache-2.0
"""Scales of tiles whose kernels rescale with doubles: layouts of runtime_c/kernels/tiles.h that end in d."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops import rescale, vectors
from edgesdk.ops.vectors import by_panel

MOST_EXACT = 2**21


def fits(node: Node) -> bool:
    """Whether doubles hold every product of a sum with its multiplier that does not leave int8's range."""
    multiplier, shift = rescale.multipliers(node)
    exact = (shift >= -13) | (vectors.largest_sums(node) < MOST_EXACT) | (multiplier == 0)
    return bool(((multiplier >= 0) & exact).all())


def words(node: Node, nr: int, sums: np.ndarray, factor: int = 1) -> list[int | np.ndarray | None]:
    """[panels][bias, bias of unsigned inputs, multiplier, half, unit][nr], biases times the factor; then the words of
    zero point and limits. `sums` are those of each channel's weights."""
    scales, limits = vectors.by_channel(node)
    bias = scales["bias"].astype(np.int64)
    unit = np.where(scales["multiplier"] == 0, 0.0, 2.0 ** scales["shift"].astype(np.float64))
    doubles = (scales["multiplier"] * unit * 2.0**-31, unit / 2 + unit * 2.0**-32, unit)
    biases = [by_panel((a * factor).astype(np.int32), nr) for a in (bias, bias - 128 * sums)]
    return [np.concatenate([*biases, *(by_panel(a, nr).view(np.int32) for a in doubles)], 1), *limits]
