# SPDX-License-Identifier: Apache-2.0
"""Panels of weights for tiles of pixels x channels: conv2d and fully_connected of vector instruction sets.

The C side is runtime_c/kernels/tiles.h. A layout is named n<NR>k<KR>, with a u where inputs are made unsigned, a d
where scales are doubles.
"""

from __future__ import annotations

import re

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import f32_word, fixedpoint, rescale, vectors

LAYOUT = re.compile(r"n(\d+)k(\d+)([ud]?)")


def is_tiled(kernel: Kernel) -> bool:
    return LAYOUT.fullmatch(kernel.layout) is not None


def fits(node: Node, kernel: Kernel) -> bool:
    """Whether the node may be written in the kernel's layout, where that is one of tiles."""
    if not is_tiled(kernel) or node.output.dtype == "float32":
        return True
    value = node.input(1)
    if kernel.layout.endswith("d") and not fits_doubles(node):
        return False
    return vectors.fits_right_shifts(node) and (value.quant is None or value.quant.factors is None)


def fits_doubles(node: Node) -> bool:
    """Whether doubles hold every product of a sum with its multiplier that does not leave int8's range."""
    multiplier, shift = rescale.multipliers(node)
    w, axis = rescale.integer_weights(node.input(1)).astype(np.int64), vectors.channel_axis(node)
    most = 128 * np.abs(np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)).sum(1)
    most = most + np.abs(rescale.folded_bias(node, axis).astype(np.int64))
    return bool(((multiplier >= 0) & ((shift >= -13) | (most < 2**21) | (multiplier == 0))).all())


def panels(w: np.ndarray, nr: int, kr: int) -> np.ndarray:
    """Weights [O, ..., I] as [panels, runs, k / kr, nr, kr].

    >>> panels(np.array([[1, 2], [3, 4], [5, 6]]), 2, 2).tolist()
    [[[[[1, 2], [3, 4]]]], [[[[5, 6], [0, 0]]]]]
    """
    in_c = w.shape[-1]
    runs = w.reshape(len(w), -1, in_c) if in_c % kr == 0 else w.reshape(len(w), 1, -1)
    filled = np.pad(runs, ((0, -len(w) % nr), (0, 0), (0, -runs.shape[2] % kr)))
    parts = filled.reshape(len(filled) // nr, nr, filled.shape[1], -1, kr)
    return np.ascontiguousarray(parts.transpose(0, 2, 3, 1, 4))


def by_panel(items: np.ndarray, nr: int) -> np.ndarray:
    """[O] as [panels, nr]."""
    return np.pad(items, (0, -len(items) % nr)).reshape(-1, nr)


def words(node: Node, kernel: Kernel) -> list[int | np.ndarray | None]:
    """The words of the tiles parameters from the weights on."""
    found = LAYOUT.fullmatch(kernel.layout)
    assert found is not None
    nr, kr, kind = int(found[1]), int(found[2]), found[3]
    if node.output.dtype == "float32":
        low, high = fixedpoint.float_range(node.attrs["activation"])
        w = node.input(1).data
        assert w is not None
        return [panels(w, nr, kr), by_panel(rescale.bias(node), nr), f32_word(low), f32_word(high)]
    w = rescale.integer_weights(node.input(1)).astype(np.int8)
    scales, limits = vectors.by_channel(node)
    bias = scales["bias"].astype(np.int64)
    unsigned_bias = bias - 128 * w.astype(np.int64).reshape(len(w), -1).sum(1)
    if kind == "d":
        return [panels(w, nr, kr), doubles(scales, unsigned_bias, nr), *limits]
    columns = (unsigned_bias if kind == "u" else bias, scales["multiplier"], -scales["shift"].astype(np.int32))
    table = np.stack([by_panel(a.astype(np.int32), nr) for a in columns], 1)
    table[:, 2][table[:, 1] == 0] = 1  # any shift of 0 is 0
    return [panels(w, nr, kr), np.ascontiguousarray(table), *limits]


def doubles(scales: dict[str, np.ndarray], unsigned_bias: np.ndarray, nr: int) -> np.ndarray:
    """The scales of layouts that end in d, as words."""
    unit = np.where(scales["multiplier"] == 0, 0.0, 2.0 ** scales["shift"].astype(np.float64))
    columns = (scales["multiplier"] * unit * 2.0**-31, unit / 2 + unit * 2.0**-32, unit)
    words = [by_panel(a.astype(np.int32), nr) for a in (scales["bias"], unsigned_bias)]
    return np.concatenate([*words, *(by_panel(a, nr).view(np.int32) for a in columns)], 1)
