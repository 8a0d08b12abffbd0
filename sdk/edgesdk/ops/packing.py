# SPDX-License-Identifier: Apache-2.0
"""Orders of weights that kernels of an instruction set read; made when a program is written.

The C side of "pairs", "quads" and "twos" is in runtime_c/kernels.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import rescale

MOST_SUM = {"pairs": 2**23, "quads": 2**19}  # of the products of a channel, for inputs in -128..127
MOST_TOTAL = 2**30  # with the bias


def fits(node: Node, kernel: Kernel, parts: int = 1) -> bool:
    """Whether the weights [O, ...] of a layer may be packed for a kernel that sums them up in so many parts: see
    runtime_c/kernels/pairs.h, quads.h."""
    if kernel.layout not in MOST_SUM:
        return True
    value = node.input(1)
    if value.quant is not None and value.quant.factors is not None:
        return False
    w = rescale.integer_weights(value).astype(np.int64).reshape(value.shape[0], -1)
    most = 128 * np.abs(w).sum(1)
    most_of_part = 128 * np.abs(w).reshape(len(w) * parts, -1).sum(1)
    _, shift = rescale.multipliers(node)
    high = w[1::2] * 256 + w[0::2][: len(w[1::2])]
    return bool(
        (np.abs(rescale.folded_bias(node, 0).astype(np.int64)) + most).max() < MOST_TOTAL
        and most_of_part.max() < MOST_SUM[kernel.layout]
        and shift.max() <= -1
        and shift.min() >= -31
        and high.min(initial=0) >= -(2**15)
        and high.max(initial=0) < 2**15
    )


def is_packed(kernel: Kernel) -> bool:
    return kernel.layout in MOST_SUM


def pairs(weights: np.ndarray) -> np.ndarray:
    """int8 [O, ...] as the words of pairs.h.

    >>> [hex(w) for w in pairs(np.array([[1, 2, 3], [-1, -2, -3]]))]
    ['0xfd03ff01', '0x0', '0xfe02', '0x0']
    """
    w = weights.reshape(weights.shape[0], -1).astype(np.int32)
    w = np.pad(w, ((0, -w.shape[0] % 4), (0, -w.shape[1] % 4)))
    halves = (w[0::2] + 256 * w[1::2]).astype(np.int16)
    # [block, pair, four, half (k, k + 2), word (even k, odd k)]: words of the two pairs alternate
    parts = halves.reshape(len(w) // 4, 2, -1, 2, 2)
    return np.ascontiguousarray(parts.transpose(0, 2, 4, 1, 3)).ravel().view(np.uint32)


def quads(weights: np.ndarray) -> np.ndarray:
    """int4 [O, ...] as the words of quads.h.

    >>> [hex(w) for w in quads(np.array([[1, 2, 3], [-1, -2, -3]]))]
    ['0x85b0879', '0x888086a']
    """
    w = weights.reshape(weights.shape[0], -1).astype(np.int32)
    w = np.pad(w, ((0, -w.shape[0] % 4), (0, -w.shape[1] % 4)))
    biased = w.reshape(len(w) // 4, 4, -1) + np.array([[8], [8], [8], [0]])
    halves = np.tensordot(biased, [1, 16, 256, 4096], (1, 0)).astype(np.int16)
    parts = halves.reshape(len(halves), -1, 2, 2)  # [block, four, half (k, k + 2), word (even k, odd k)]
    return np.ascontiguousarray(parts.transpose(0, 1, 3, 2)).ravel().view(np.uint32)


def twos(weights: np.ndarray) -> np.ndarray:
    """int8 [O, ...] as the words of twos.h.

    >>> [hex(w) for w in twos(np.array([[1, 2, 3], [-1, -2, -3]]))]
    ['0xfe02ff01', '0x0', '0xfd03', '0x0']
    """
    w = weights.reshape(weights.shape[0], -1).astype(np.int8)
    w = np.pad(w, ((0, -w.shape[0] % 4), (0, -w.shape[1] % 4)))
    parts = w.reshape(len(w) // 4, 2, 2, -1, 2)  # [block, pair, channel, two, item]
    return np.ascontiguousarray(parts.transpose(0, 3, 1, 4, 2)).ravel().view(np.uint32)


PACKED = {"pairs": pairs, "quads": quads}


def packed(node: Node, kernel: Kernel) -> np.ndarray:
    return PACKED[kernel.layout](rescale.integer_weights(node.input(1)))


def doubled(node: Node) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int | np.ndarray | None]]:
    """Twice the bias, multipliers, shifts less one, and the ert_rescale words after those."""
    bias, multiplier, shift, *rest = rescale.words(node, channel_axis=0)
    assert isinstance(bias, np.ndarray)
    assert isinstance(multiplier, np.ndarray)
    assert isinstance(shift, np.ndarray)
    return bias * 2, multiplier, (-1 - shift).astype(np.int8), rest


def factors(bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The factors of ert_pairs_rescale: nine words per block of four channels."""
    blocks = -(-len(bias) // 4)
    columns = [np.broadcast_to(a, bias.shape) for a in (bias, multiplier, shift)]
    b, m, s = (np.pad(a, (0, -len(a) % 4)).reshape(blocks, 4) for a in columns)
    shifts = np.ascontiguousarray(s.astype(np.int8)).view(np.int32)
    return np.concatenate([shifts, np.stack([b, m], 2).reshape(blocks, 8)], 1).astype(np.int32)


def block_words(node: Node, kernel: Kernel) -> list[int | np.ndarray | None]:
    """The words of ert_pairs_rescale and ert_quads_rescale."""
    bias, multiplier, shift, (_, *rest) = doubled(node)
    return [packed(node, kernel), factors(bias, multiplier, shift), *rest]


def words(node: Node, kernel: Kernel) -> list[int | np.ndarray | None]:
    """The packed weights, then the ert_rescale words."""
    bias, multiplier, shift, rest = doubled(node)
    return [packed(node, kernel), bias, multiplier, shift, *rest]
