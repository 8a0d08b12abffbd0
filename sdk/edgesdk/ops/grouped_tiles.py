# SPDX-License-Identifier: Apache-2.0
"""Grouped convolutions in tiles (runtime_c/kernels/tiles.h): a convolution for each group, several groups being made
one where each alone would leave most of a panel empty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgesdk.ir import Node, Quant, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import rescale, tiles


def groups_of(node: Node, nr: int) -> int:
    """The most groups that fill a panel of nr channels each, where there are as many."""
    own, out_c = int(node.attrs["groups"]), node.output.shape[-1]
    joined = next((m for m in range(1, own) if own % m == 0 and out_c // own * m >= nr), own)
    return own // joined


def words(node: Node, kernel: Kernel) -> tuple[int, list[int | np.ndarray | None]]:
    """How many groups the kernel computes, and the words of its parameters from the weights on."""
    found = tiles.LAYOUT.fullmatch(kernel.layout)
    assert found is not None
    n = groups_of(node, int(found[1]))
    return n, tiles.words(filled(node, n, int(found[1])), kernel)


def filled(node: Node, n: int, nr: int) -> Node:
    """A convolution of n groups, of each the output channels filled up to a multiple of nr with weights of 0."""
    y, w, b = node.output, joined_weights(node, n), rescale.bias(node)
    channels = _places(len(w), n, nr)
    data, there = w[channels], channels >= 0
    data[~there] = 0
    numbers = np.where(there, b[channels], 0).astype(b.dtype)
    quant = None if y.dtype == "float32" else _quant(node.input(1).quant, channels)
    weights = replace(node.input(1), shape=data.shape, dtype=data.dtype.name, quant=quant, data=data)
    bias = Value("bias", numbers.shape, numbers.dtype.name, None, numbers)
    out = replace(y, shape=(*y.shape[:-1], len(channels)))
    return replace(node, inputs=[node.input(0), weights, bias], outputs=[out])


def _places(out_c: int, n: int, nr: int) -> np.ndarray:
    """The channel at each place of n groups of whole panels, -1 where there is none.

    >>> _places(6, 2, 4).tolist()
    [0, 1, 2, -1, 3, 4, 5, -1]
    """
    own = np.arange(out_c).reshape(n, -1)
    return np.pad(own, ((0, 0), (0, -own.shape[1] % nr)), constant_values=-1).ravel()


def _quant(quant: Quant | None, channels: np.ndarray) -> Quant | None:
    """Scales of the channels; any do where there is no channel."""
    if quant is None or len(quant.scale) == 1:
        return quant
    return replace(quant, scale=quant.scale[channels], zero_point=quant.zero_point[channels])


def joined_weights(node: Node, n: int) -> np.ndarray:
    """Weights [O, KH, KW, I / n] of n groups: those of `groups`, with zeros where two of them are made one."""
    value = node.input(1)
    w = rescale.real_weights(node, 0).astype(np.float32) if node.output.dtype == "float32" else value.data
    assert w is not None
    together = int(node.attrs["groups"]) // n
    parts = w.reshape(n, together, -1, *w.shape[1:])
    wide = np.zeros((*parts.shape[:-1], together, w.shape[-1]), w.dtype)
    for i in range(together):
        wide[:, i, ..., i, :] = parts[:, i]
    return wide.reshape(len(w), *w.shape[1:3], -1)
