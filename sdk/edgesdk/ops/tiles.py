# SPDX-License-Identifier: Apache-2.0
"""Panels of weights for tiles of pixels x channels: conv2d and fully_connected of vector instruction sets.

The C side is runtime_c/kernels/tiles.h. A layout is named n<NR>k<KR>, with a u where inputs are made unsigned, a p
where two products are added up in 16 bits, a d where scales are doubles, an h where a block of terms has all channels
of a term together; of depthwise_conv2d d<NR>, perhaps with that
p or d, or d<NR>k4, d<NR>k4p and d<NR>k4s (runtime_c/kernels/columns.h).
"""

from __future__ import annotations

import re

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import double_scales, f32_word, fixedpoint, rescale, vectors
from edgesdk.ops.vectors import by_panel

LAYOUT = re.compile(r"n(\d+)k(\d+)([updh]?)")
DEPTHWISE = re.compile(r"d(\d+)(k4)?([pds]?)")


def is_tiled(kernel: Kernel) -> bool:
    return LAYOUT.fullmatch(kernel.layout) is not None


def fits(node: Node, kernel: Kernel) -> bool:
    """Whether the node may be written in the kernel's layout, where that is one of tiles."""
    found = LAYOUT.fullmatch(kernel.layout)
    if found is None:
        return True
    if node.input(1).dtype == "int4" and not _fits_nibbles(node, kernel, int(found[2])):
        return False
    if node.output.dtype == "float32":
        return kernel.isa != "simd128" or _is_finite(node.input(1))
    if found[3] == "p" and not fits_pairs(node.input(1)):
        return False
    if found[3] == "d" and not _has_factors(node.input(1)) and not double_scales.fits(node):
        return False
    return vectors.fits_right_shifts(node) and _fits_halves(node)


def _has_factors(weights: Value) -> bool:
    return weights.quant is not None and weights.quant.factors is not None


def _is_finite(weights: Value) -> bool:
    """Whether float16 weights are numbers: WebAssembly has no instruction for them, and shifts take them for such."""
    assert weights.data is not None
    return weights.dtype != "float16" or bool(np.isfinite(weights.data).all())


def _fits_nibbles(node: Node, kernel: Kernel, kr: int) -> bool:
    """Whether groups of int4 weights are whole blocks of terms in every tap, and 16 times every sum has 32 bits; in
    WebAssembly nibbles are what they are, and only biases 16 times as large."""
    w = node.input(1)
    if node.output.dtype != "float32":
        most = np.abs(rescale.folded_bias(node, 0)) if kernel.isa == "simd128" else vectors.largest_sums(node)
        if 16 * int(most.max()) >= 2**31:
            return False
    if w.quant is None or w.quant.factors is None:
        return True
    return w.quant.group % kr == 0 and w.shape[-1] % w.quant.group == 0


def _fits_halves(node: Node) -> bool:
    """Whether no sum leaves 32 bits when half of what the shift divides by is added to it."""
    multiplier, shift = rescale.multipliers(node)
    return bool(((vectors.largest_sums(node) + 2.0 ** (-shift - 1) < 2**31) | (multiplier == 0)).all())


def fits_pairs(weights: Value) -> bool:
    """Whether the sum of any two products with int8 inputs has 16 bits."""
    return bool(rescale.integer_weights(weights).min(initial=0) > -128)


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


def halves(blocks: np.ndarray) -> np.ndarray:
    """int4 weights [..., kr] in bytes [..., kr / 2]: those of the first half low, of the second high.

    >>> halves(np.array([1, 2, 3, -1])).tolist()
    [49, 242]
    """
    low, high = np.split(blocks.astype(np.uint8) & 15, 2, axis=-1)
    return np.ascontiguousarray(low | high << 4)


def is_depthwise(kernel: Kernel) -> bool:
    return DEPTHWISE.fullmatch(kernel.layout) is not None


def fits_depthwise(node: Node, kernel: Kernel) -> bool:
    """fits() of depthwise_conv2d."""
    if not is_depthwise(kernel):
        return True
    if node.input(0).shape[-1] != node.output.shape[-1]:
        return False
    if node.output.dtype == "float32":
        return True
    if kernel.layout.endswith("p") and not fits_pairs(node.input(1)):
        return False
    if kernel.layout.endswith("d") and not double_scales.fits(node):
        return False
    if kernel.layout.endswith("k4s") and not fits_four_rows(node):
        return False
    return vectors.fits_right_shifts(node) and _fits_halves(node)


def fits_four_rows(node: Node) -> bool:
    """Whether the windows of a depthwise_conv2d are those of the layouts d<NR>k4s."""
    (kh, kw, _), dilation = node.input(1).shape, node.attrs.get("dilation", (1, 1))
    return kh <= 4 and kw == 3 and node.attrs["stride"][1] <= 2 and int(dilation[1]) == 1


def scale_table(
    node: Node, nr: int, bias_change: np.ndarray | int = 0, factor: int = 1
) -> list[int | np.ndarray | None]:
    """[panels][bias times the factor, multiplier, right shift][nr], then the words of zero point and limits."""
    scales, limits = vectors.by_channel(node)
    bias = (scales["bias"].astype(np.int64) + bias_change) * factor
    columns = (bias.astype(np.int32), scales["multiplier"], -scales["shift"].astype(np.int32))
    table = np.stack([by_panel(a.astype(np.int32), nr) for a in columns], 1)
    table[:, 2][table[:, 1] == 0] = 1  # any shift of 0 is 0
    return [np.ascontiguousarray(table), *limits]


def float_limits(node: Node) -> list[int | np.ndarray | None]:
    return [f32_word(v) for v in fixedpoint.float_range(node.attrs["activation"])]


def depthwise_words(node: Node, kernel: Kernel) -> list[int | np.ndarray | None]:
    """The words of the tiles parameters of a depthwise_conv2d from the weights on: [panels][taps][nr]."""
    found = DEPTHWISE.fullmatch(kernel.layout)
    assert found is not None
    nr, w = int(found[1]), node.input(1).data
    assert w is not None
    if node.output.dtype == "float32":
        w = rescale.real_weights(node, 2).astype(np.float32)
    if found[2]:
        order = interleaved(nr)
        table, *limits = scale_table(node, nr, 0 if found[3] else -128 * w.astype(np.int64).sum((0, 1)))
        assert isinstance(table, np.ndarray)
        return [columns(w, nr), np.ascontiguousarray(table[:, :, order]), *limits]
    flat = w.reshape(-1, w.shape[-1])
    filled = np.pad(flat, ((0, 0), (0, -flat.shape[1] % nr))).reshape(len(flat), -1, nr)
    weights = np.ascontiguousarray(filled.transpose(1, 0, 2))
    if node.output.dtype == "float32":
        return [weights, by_panel(rescale.bias(node), nr), *float_limits(node)]
    if found[3] == "d":
        return [weights, *double_scales.words(node, nr, flat.astype(np.int64).sum(0))]
    return [weights, *scale_table(node, nr)]


def interleaved(nr: int) -> np.ndarray:
    """The order of the channels of a panel in columns.h.

    >>> interleaved(32)[:12].tolist()
    [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7]
    """
    i = np.arange(nr)
    return 16 * (i // 4 % (nr // 16)) + 4 * (i // (nr // 4)) + i % 4


def columns(w: np.ndarray, nr: int) -> np.ndarray:
    """Weights [KH, KW, C] as [panels, kw, kh / 4, nr, 4], the channels interleaved."""
    kh, kw, c = w.shape
    filled = np.pad(w, ((0, -kh % 4), (0, 0), (0, -c % nr)))
    parts = filled.reshape(-1, 4, kw, filled.shape[2] // nr, nr)[..., interleaved(nr)]
    return np.ascontiguousarray(parts.transpose(3, 2, 0, 4, 1)).astype(np.int8)


def words(node: Node, kernel: Kernel) -> list[int | np.ndarray | None]:
    """The words of the tiles parameters from the weights on."""
    found = LAYOUT.fullmatch(kernel.layout)
    assert found is not None
    nr, kr, kind = int(found[1]), int(found[2]), found[3]
    value = node.input(1)
    assert value.data is not None
    w = panels(value.data, nr, kr)
    if kind == "h":
        w = np.ascontiguousarray(w.swapaxes(-1, -2))
    weights = halves(w) if value.dtype == "int4" else w
    if node.output.dtype == "float32":
        return [weights, _float_scales(node, nr), *float_limits(node), *_groups(value, nr)]
    sums = rescale.integer_weights(value).astype(np.int64).reshape(len(value.data), -1).sum(1)
    factor = 16 if value.dtype == "int4" else 1
    if kind == "d":
        return [weights, *double_scales.words(node, nr, sums, factor), *_groups(value, nr)]
    change = -128 * sums if kind == "u" else 0
    return [weights, *scale_table(node, nr, change, factor), *_groups(value, nr)]


def _float_scales(node: Node, nr: int) -> np.ndarray:
    """[panels][bias, scale where weights have one][nr]"""
    value, bias = node.input(1), rescale.bias(node)
    if value.dtype not in rescale.SCALED:
        return by_panel(bias, nr)
    assert value.quant is not None
    scales = np.broadcast_to(value.quant.scale.astype(np.float32), bias.shape)
    return np.ascontiguousarray(np.stack([by_panel(bias, nr), by_panel(scales, nr)], 1))


def _groups(value: Value, nr: int) -> list[int | np.ndarray | None]:
    """Words of int4 weights: how many share a factor, and the factors [panels][groups][nr]."""
    if value.dtype != "int4":
        return []
    if value.quant is None or value.quant.factors is None:
        return [value.elements // value.shape[0], None]
    return [value.quant.group, np.ascontiguousarray(by_panel(value.quant.factors, nr).swapaxes(1, 2))]
