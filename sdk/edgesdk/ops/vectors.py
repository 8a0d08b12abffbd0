# SPDX-License-Identifier: Apache-2.0
"""Orders of weights and scales that kernels of vectors read, and those of int16 layers on cores with DSP instructions;
made when a program is written.

The C sides are runtime_c/kernels/<layout>.h.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import packing, rescale

SPARE = np.zeros(16, np.int8)
FOUR = np.dtype([("bias", "<i4", 4), ("multiplier", "<i4", 4), ("shift", "i1", 4)])


def fits_right_shifts(node: Node) -> bool:
    """Whether every scale is a right shift by 1 or more, as MVE kernels round."""
    multiplier, shift = rescale.multipliers(node)
    return bool((((shift <= -1) & (shift >= -31)) | (multiplier == 0)).all())


def by_channel(node: Node) -> tuple[dict[str, np.ndarray], list[int | np.ndarray | None]]:
    """Bias, multiplier and shift of every output channel, and the words of zero point (int16: wide), min and max."""
    bias, multiplier, shift, _, *rest = rescale.words(node, channel_axis(node))
    assert isinstance(bias, np.ndarray)
    assert isinstance(multiplier, np.ndarray)
    assert isinstance(shift, np.ndarray)
    if rescale.is_wide(node):
        multiplier, shift = (multiplier.astype(np.int64) << (17 + shift)).astype(np.int32), np.zeros_like(shift)
    words = {"bias": bias, "multiplier": multiplier, "shift": shift}
    return {name: np.broadcast_to(a, bias.shape) for name, a in words.items()}, rest


def scales(node: Node, factor: int) -> list[int | np.ndarray | None]:
    """The ert_lanes words of lanes.h with `factor` times the biases; channels are filled up with zeros."""
    words, rest = by_channel(node)
    words["bias"] = words["bias"] * factor
    n = len(words["bias"])
    fours = np.zeros(-(-n // 4), FOUR)
    for name, a in words.items():
        fours[name] = np.pad(a, (0, -n % 4)).reshape(-1, 4)
    return [fours.view(np.int32), *rest]


def has_nibbles(node: Node) -> bool:
    """Whether weights are kept as int4: rows of fewer than 32 are widened."""
    w = node.input(1)
    return w.dtype == "int4" and w.elements // w.shape[0] >= 32


def largest_sums(node: Node) -> np.ndarray:
    """The largest magnitude that a sum of each channel of an integer layer with its bias can have."""
    value, axis = node.input(1), channel_axis(node)
    w = np.moveaxis(rescale.integer_weights(value).astype(np.int64), axis, 0).reshape(value.shape[axis], -1)
    largest = 2**15 if node.input(0).dtype == "int16" else 2**7
    return np.abs(rescale.folded_bias(node, axis).astype(np.int64)) + largest * np.abs(w).sum(1)


def by_panel(items: np.ndarray, nr: int) -> np.ndarray:
    """[O, ...] as [panels, nr, ...], filled up with zeros."""
    filled = np.pad(items, [(0, -len(items) % nr), *[(0, 0)] * (items.ndim - 1)])
    return filled.reshape(-1, nr, *items.shape[1:])


def fits_int16(node: Node) -> bool:
    """Whether the sums of an int16 layer have 32 bits, and its scales are such that one instruction applies them."""
    if not rescale.is_wide(node):
        return fits_right_shifts(node)
    multiplier, shift = rescale.multipliers(node)
    return bool(largest_sums(node).max() < 2**31) and bool((((shift >= -17) & (shift <= -1)) | (multiplier == 0)).all())


def fits_halves(node: Node) -> bool:
    """Whether kernels that multiply halves of words take an int16 layer: see runtime_c/kernels/twos.h."""
    return fits_int16(node) and (rescale.is_wide(node) or largest_sums(node).max() < packing.MOST_TOTAL)


def channel_axis(node: Node) -> int:
    """That of output channels in the weights."""
    return 2 if node.op == "depthwise_conv2d" else 0


def fits_lanes(node: Node) -> bool:
    value = node.input(1)
    if node.op == "depthwise_conv2d" and value.shape[-1] != node.input(0).shape[-1]:
        return False
    if node.input(0).dtype == "int16":
        return fits_int16(node)
    if value.quant is not None and value.quant.factors is not None:
        return False
    if not has_nibbles(node):
        return fits_right_shifts(node)
    return fits_right_shifts(node) and bool(16 * largest_sums(node).max() < 2**31)


def halves(rows: np.ndarray) -> np.ndarray:
    """int4 weights [O, n] in bytes whose nibbles are those of the two halves of n.

    >>> halves(np.array([[1, 2, 3, 4]])).tolist()
    [[49, 66]]
    """
    low, high = np.split(rows.astype(np.uint8), 2, axis=1)
    return (low & 15) | (high << 4)


def run_count(node: Node) -> int:
    """ert_conv2d_runs; a fully connected layer has one."""
    shape = node.input(1).shape
    if len(shape) != 4:
        return 1
    whole = shape[1] <= 3 and node.attrs.get("dilation", (1, 1))[1] == 1 and shape[2] * shape[3] % 16 == 0
    return shape[1] if whole else 1


def nibble_run(rows: np.ndarray) -> list[np.ndarray]:
    """A run of each of the int4 rows [O, n] as lanes.h has it."""
    whole = rows.shape[1] // 32 * 32
    parts = [halves(rows[:, i : i + 32]) for i in range(0, whole, 32)]
    return [*parts, rows[:, whole:].astype(np.uint8) << 4]


def nibble_rows(rows: np.ndarray, runs: int) -> np.ndarray:
    """int4 weights [O, n] as lanes.h has them."""
    parts = [part for run in np.split(rows, runs, axis=1) for part in nibble_run(run)]
    return np.concatenate(parts, axis=1).view(np.int8)


def lanes_words(node: Node) -> list[int | np.ndarray | None]:
    """Weights [O, ...] with those of channels up to a multiple of four and 16 more bytes, then the ert_lanes words."""
    w = rescale.integer_weights(node.input(1)).astype(np.int8)
    if node.op == "depthwise_conv2d":
        return [w, *scales(node, 1)]
    rows = w.reshape(len(w), -1)
    if has_nibbles(node):
        rows = nibble_rows(rows, run_count(node))
    elif node.input(0).dtype == "int8":
        rows = np.pad(rows, ((0, 0), (0, max(0, 16 - rows.shape[1]))))
    filled = np.zeros((-len(w) % 4, rows.shape[1]), np.int8)
    return [np.concatenate([rows.ravel(), filled.ravel(), SPARE]), *scales(node, 16 if has_nibbles(node) else 1)]


def twos_words(node: Node) -> list[int | np.ndarray | None]:
    """Weights in the order of twos.h, then the ert_lanes words."""
    return [packing.twos(rescale.integer_weights(node.input(1))), *scales(node, 1)]


SIXTEEN = np.dtype([("shift", "i1", (4, 4)), ("bias", "<i4", (4, 4)), ("multiplier", "<i4", (4, 4))])


def fits_sixteens(node: Node) -> bool:
    w = rescale.integer_weights(node.input(1))
    return fits_right_shifts(node) and bool(w.min(initial=0) > -128) and w.shape[-1] == node.input(0).shape[-1]


def lanes(items: np.ndarray, node: Node) -> np.ndarray:
    """[..., C] as [blocks, ..., 16]: see runtime_c/kernels/sixteens.h."""
    c = items.shape[-1]
    pixels = 16 // c if c <= 8 and node.attrs["stride"][1] == 1 else 1
    tiled = np.tile(items, pixels)
    padded = np.pad(tiled, [(0, 0)] * (items.ndim - 1) + [(0, -tiled.shape[-1] % 16)])
    return np.moveaxis(padded.reshape(*items.shape[:-1], -1, 16), -2, 0)


def sixteens_words(node: Node) -> list[int | np.ndarray | None]:
    """The words of a depthwise_conv2d in the layout "sixteens" from its weights on."""
    words, rest = by_channel(node)
    items = {name: lanes(a, node) for name, a in words.items()}
    blocks = np.zeros(len(items["bias"]), SIXTEEN)
    for name, a in items.items():
        blocks[name] = a.reshape(-1, 4, 4).swapaxes(1, 2)
    weights = lanes(rescale.integer_weights(node.input(1)).astype(np.int8), node)
    return [np.ascontiguousarray(weights), blocks.view(np.int32), *rest]


_FITS = {"lanes": fits_lanes, "sixteens": fits_sixteens, "twos": fits_halves}
_WORDS = {"lanes": lanes_words, "sixteens": sixteens_words, "twos": twos_words}


def fits(node: Node, kernel: Kernel) -> bool:
    """Whether the node may be written in the kernel's layout, where that is one of vectors."""
    return kernel.layout not in _FITS or _FITS[kernel.layout](node)


def words(node: Node, kernel: Kernel) -> list[int | np.ndarray | None] | None:
    """The words of the kernel's parameters from the weights on, where its layout is one of vectors."""
    return _WORDS[kernel.layout](node) if kernel.layout in _WORDS else None
