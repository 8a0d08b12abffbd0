# SPDX-License-Identifier: Apache-2.0
"""Fully connected layer over a whole image, row by row. x [1,H,W,C], w [O,H*W*C], b [O] or None.

attrs: activation. Output [1,O]. A pass writes it for `fully_connected` of a flattened image: sums of the
rows that have come are kept, so that a fused stage needs no whole image.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, packing, rescale
from edgesdk.ops.conv2d import image_view

types = rescale.types


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w = node.input(0), node.input(1)
    if len(x.shape) != 4 or x.shape[0] != 1 or len(w.shape) != 2 or w.shape[1] != x.elements:
        raise ValueError(f"expected x [1,H,W,C] and w [O,H*W*C], found {x.shape} and {w.shape}")
    return [((1, w.shape[0]), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, w = arrays[0].reshape(1, -1).astype(np.float64), arrays[1].astype(np.float64)
    if arrays[0].dtype == np.float32:
        return [rescale.finish_float(node, x @ w.T + rescale.bias(node))]
    acc = (x - node.input(0).zero_point) @ w.T
    return [rescale.finish(node, acc.astype(np.int64) + rescale.bias(node))]


def fits(node: Node, kernel: Kernel) -> bool:
    return packing.fits(node, kernel, parts=node.input(0).shape[1])


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, w, y = node.input(0), node.input(1), node.output
    rows, out_c = x.shape[1], w.shape[0]
    assert w.data is not None
    by_row = np.ascontiguousarray(w.data.reshape(out_c, rows, -1).transpose(1, 0, 2))
    params: list[int | np.ndarray | None] = [rows, x.elements // rows, out_c]
    if packing.is_packed(kernel):
        bias, multiplier, shift, rest = packing.doubled(node)
        params += [np.concatenate([packing.PACKED[kernel.layout](r) for r in by_row]), bias, multiplier, shift, *rest]
    else:
        params.append(rescale.nibbles(by_row.reshape(rows * out_c, -1)) if w.dtype == "int4" else by_row)
        params += rescale.float_words(node) if y.dtype == "float32" else rescale.words(node, channel_axis=0)
    return Encoded(params, RowView(y, 1, y.n_bytes), [image_view(x)], rows, keeps_scratch=True)


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    return range(y, y + 1)


def macs(node: Node) -> int:
    return node.input(1).elements
