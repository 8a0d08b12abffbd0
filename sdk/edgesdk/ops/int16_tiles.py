# SPDX-License-Identifier: Apache-2.0
"""Scales of int16 layers in tiles: the C side is runtime_c/kernels/tiles.h.

Sums of 32 bits are rescaled in vectors, as those of int8 layers are. Where a sum may have more, or a scale is one that
vectors do not apply, sums of parts are added up in 64 bits, and rescaled one by one.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import rescale, vectors
from edgesdk.ops.vectors import by_panel

LARGEST = 2**15  # of an input


def fits(node: Node, in_halves: bool = False) -> bool:
    """Whether every bias has 32 bits; in halves also the sum of a channel's products with bytes."""
    bias = np.abs(rescale.folded_bias(node, vectors.channel_axis(node)))
    if in_halves:
        bias = bias + 128 * np.abs(_rows(node)).sum(1)
    return int(bias.max(initial=0)) < 2**31


def _rows(node: Node) -> np.ndarray:
    """The weights of each output of a layer, int64."""
    w = rescale.integer_weights(node.input(1)).astype(np.int64)
    return w.reshape(len(w), -1)


def is_fast(node: Node) -> bool:
    """Whether sums have 32 bits, and scales are those of vectors."""
    multiplier, shift = rescale.multipliers(node)
    if (multiplier < 0).any():
        return False
    if rescale.is_wide(node):
        whole = vectors.largest_sums(node) < 2**31
        return bool(whole.all() and (((shift >= -16) & (shift <= -1)) | (multiplier == 0)).all())
    room = vectors.largest_sums(node) + 2.0 ** (-shift - 1) < 2**31
    return vectors.fits_right_shifts(node) and bool((room | (multiplier == 0)).all())


def columns(node: Node, bias_change: np.ndarray | int = 0) -> tuple[list[np.ndarray], list[int | np.ndarray | None]]:
    """Bias, multiplier and right shift of every channel, as vectors take them; then the words of wide, min and max."""
    bias, multiplier, shift, limits = _scales(node)
    if rescale.is_wide(node):
        multiplier, right = multiplier << np.clip(16 + shift, 0, 15), np.zeros_like(shift)
    else:
        right = np.where(multiplier == 0, 1, -shift)
    return [a.astype(np.int32) for a in (bias + bias_change, multiplier, right)], limits


def _scales(node: Node) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int | np.ndarray | None]]:
    """Bias, multiplier and shift of every channel as requantize.h has them, and the words behind."""
    bias, multiplier, shift, _, *limits = rescale.words(node, vectors.channel_axis(node))
    assert isinstance(bias, np.ndarray)
    return (
        bias,
        np.broadcast_to(np.asarray(multiplier, np.int64), bias.shape),
        np.broadcast_to(np.asarray(shift, np.int64), bias.shape),
        limits,
    )


def doubles(node: Node, nr: int) -> list[int | np.ndarray | None]:
    """The panels of layouts that end in d, then wide, min and max."""
    bias, multiplier, shift, limits = _scales(node)
    if rescale.is_wide(node):
        factor, half, unit = multiplier * 2.0 ** (shift - 15), 2.0 ** (shift - 16), np.zeros(bias.shape)
    else:
        unit = np.where(multiplier == 0, 0.0, 2.0**shift)
        factor, half = multiplier * unit * 2.0**-31, unit / 2 + unit * 2.0**-32
    biases = by_panel(bias.astype(np.int32), nr)
    words = (by_panel(a, nr).view(np.int32) for a in (factor, half, unit))
    return [np.concatenate([biases, biases, *words], 1), *limits]


def terms(w: np.ndarray, kr: int, in_halves: bool) -> int:
    """Of how many successive weights [O, window], a multiple of KR, every sum of products has 32 bits."""
    n = -(-w.shape[1] // kr) * kr
    if in_halves:
        return n
    sums = np.cumsum(np.pad(np.abs(w), ((0, 0), (1, n - w.shape[1]))), 1)
    while (sums[:, n:] - sums[:, : sums.shape[1] - n]).max() * LARGEST >= 2**31:
        n = -(-n // 2 // kr) * kr
    return n


def by_channel(
    node: Node, nr: int, scale_words: int, bias_change: np.ndarray | int = 0
) -> list[int | np.ndarray | None]:
    """The panels of sums of 64 bits, filled up to so many words for a channel; then wide, min and max."""
    bias, multiplier, shift, limits = _scales(node)
    table = by_panel(np.stack([a.astype(np.int32) for a in (bias + bias_change, multiplier, shift)], 1), nr)
    flat = table.reshape(len(table), -1)
    return [np.pad(flat, ((0, 0), (0, nr * scale_words - flat.shape[1]))), *limits]


def words(node: Node, kernel: Kernel, nr: int, kr: int) -> list[int | np.ndarray | None]:
    """The words of the tiles parameters behind the weights."""
    in_doubles, in_halves = kernel.layout.endswith("d"), kernel.layout.endswith("h")
    w = _rows(node)
    change = 128 * w.sum(1) if in_halves else 0
    if not is_fast(node):
        return [*by_channel(node, nr, 8 if in_doubles else 3, change), terms(w, kr, in_halves)]
    if in_doubles:
        return [*doubles(node, nr), 0]
    table, limits = columns(node, change)
    return [np.ascontiguousarray(np.stack([by_panel(a, nr) for a in table], 1)), *limits, 0]
