# SPDX-License-Identifier: Apache-2.0
"""Orders of weights that kernels of an instruction set read; made when a program is written.

The C side of "pairs" is runtime_c/kernels/pairs.h.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops import rescale

MOST_SUM = 2**23  # of the products of a channel, for inputs in -128..127
MOST_TOTAL = 2**30  # with the bias


def fits_pairs(node: Node) -> bool:
    """Whether int8 weights [O, ...] may be packed in pairs: see runtime_c/kernels/pairs.h."""
    w = rescale.integer_weights(node.input(1)).astype(np.int64).reshape(node.input(1).shape[0], -1)
    most = 128 * np.abs(w).sum(1)
    _, shift = rescale.multipliers(node)
    high = w[1::2] * 256 + w[0::2][: len(w[1::2])]
    return bool(
        (np.abs(rescale.folded_bias(node, 0).astype(np.int64)) + most).max() < MOST_TOTAL
        and most.max() < MOST_SUM
        and shift.max() <= -1
        and shift.min() >= -31
        and high.min(initial=0) >= -(2**15)
        and high.max(initial=0) < 2**15
    )


def pairs(weights: np.ndarray) -> np.ndarray:
    """int8 [O, ...] as the words of pairs.h.

    >>> [hex(w) for w in pairs(np.array([[1, 2, 3], [-1, -2, -3]]))]
    ['0xfd03ff01', '0xfe02']
    """
    w = weights.reshape(weights.shape[0], -1).astype(np.int32)
    w = np.pad(w, ((0, w.shape[0] % 2), (0, -w.shape[1] % 4)))
    halves = w[0::2] + 256 * w[1::2]
    words = halves.reshape(len(halves), -1, 2, 2).swapaxes(2, 3).reshape(len(halves), -1, 2)  # (0, 2), (1, 3)
    whole = len(words) // 2 * 2
    blocks = words[:whole].reshape(-1, 2, *words.shape[1:]).swapaxes(1, 2)
    return np.concatenate([blocks.ravel(), words[whole:].ravel()]).astype(np.int16).view(np.uint32)


def pairs_words(node: Node) -> list[int | np.ndarray | None]:
    """The weights in pairs, then the ert_rescale words with twice the bias and shifts of one less."""
    bias, multiplier, shift, *rest = rescale.words(node, channel_axis=0)
    assert isinstance(bias, np.ndarray)
    assert isinstance(shift, np.ndarray)
    return [pairs(rescale.integer_weights(node.input(1))), bias * 2, multiplier, (-1 - shift).astype(np.int8), *rest]
