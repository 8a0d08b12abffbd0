# SPDX-License-Identifier: Apache-2.0
"""Local response normalisation over the last axis, float32: x / (bias + alpha * sum of squares)**beta.

attrs: before, after (channels of the sum on either side), bias, alpha, beta.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, pool, same_row
from edgesdk.ops.rowwise import row_view, rows_of

types = pool.types


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, sides = node.input(0), (node.attrs["before"], node.attrs["after"])
    if not x.shape or min(sides) < 0:
        raise ValueError(f"expected at least one axis and sides from 0 on, found {x.shape} and {sides}")
    if x.dtype != "float32":
        raise Unsupported(f"{node.source}: lrn of {x.dtype}; expected float32, dequantise before it")
    return [(x.shape, "float32")]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0].astype(np.float64)
    before, after = (min(node.attrs[k], x.shape[-1]) for k in ("before", "after"))
    bias, alpha, beta = (float(np.float32(node.attrs[k])) for k in ("bias", "alpha", "beta"))
    padding = [(0, 0)] * (x.ndim - 1) + [(before, after)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(np.square(x), padding), before + after + 1, -1)
    with np.errstate(all="ignore"):
        return [(x * np.power(bias + alpha * windows.sum(-1), -beta)).astype(np.float32)]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y, c = node.input(0), node.output, node.output.shape[-1]
    batch, rows, items = rows_of(y.shape)
    sides = [min(int(node.attrs[k]), c) for k in ("before", "after")]
    words = [f32_word(node.attrs[k]) for k in ("bias", "alpha", "beta")]
    return Encoded([items // c, c, *sides, *words], row_view(y), [row_view(x)], rows, batch)


rows_read = same_row
