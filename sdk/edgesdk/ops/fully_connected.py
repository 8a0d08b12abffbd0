# SPDX-License-Identifier: Apache-2.0
"""Fully connected layer over the last axis. x [..., I], w [O,I], b [O] or None.

attrs: activation. Output [..., O].
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, packing, panels, rescale, same_row, tiles, vectors

types = rescale.types


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w = node.input(0), node.input(1)
    if len(w.shape) != 2 or not x.shape or w.shape[1] != x.shape[-1]:
        raise ValueError(f"expected x [..., I] and w [O,I], found {x.shape} and {w.shape}")
    return [((*x.shape[:-1], w.shape[0]), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, w = arrays[0].astype(np.float64), rescale.real_weights(node, 0)
    if arrays[0].dtype == np.float32:
        return [rescale.finish_float(node, x @ w.T + rescale.bias(node))]
    acc = (x - node.input(0).zero_point) @ w.T
    return [rescale.finish(node, acc.astype(np.int64) + rescale.bias(node))]


def fits(node: Node, kernel: Kernel) -> bool:
    return vectors.fits(node, kernel) and packing.fits(node, kernel) and tiles.fits(node, kernel)


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, w, y = node.input(0), node.input(1), node.output
    out_c, in_c = w.shape
    rows = y.elements // out_c
    params: list[int | np.ndarray | None] = [in_c, out_c]
    if packed := vectors.words(node, kernel):
        params += packed
    elif tiles.is_tiled(kernel):
        params += tiles.words(node, kernel)
    elif kernel.layout == "panels":
        params += panels.words(node)
    elif packing.is_packed(kernel):
        params += packing.words(node, kernel)
    else:
        params += rescale.weight_words(node)
        params += rescale.float_words(node) if y.dtype == "float32" else rescale.words(node, channel_axis=0)
    return Encoded(params, RowView(y, rows, out_c * y.itemsize), [RowView(x, rows, in_c * x.itemsize)], rows)


def macs(node: Node) -> int:
    return node.output.elements * node.input(1).shape[1]


rows_read = same_row
