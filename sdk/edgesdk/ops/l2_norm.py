# SPDX-License-Identifier: Apache-2.0
"""Division by the Euclidean norm over the last axis. attrs: epsilon (least norm, floats only).

int8 output has scale 1/128 and zero point 0.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, fixedpoint, pool, same_row, softmax
from edgesdk.ops.fixed_root import inverse_root
from edgesdk.ops.rowwise import last_axis

types = pool.types
infer = softmax.infer

MAX_ITEMS = 33025  # int8: as many squares as sum up below 2**31


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if x.dtype == np.float32:
        wide = x.astype(np.float64)
        norm = np.maximum(np.sqrt(np.square(wide).sum(-1, keepdims=True)), np.float32(node.attrs["epsilon"]))
        with np.errstate(all="ignore"):
            return [(wide / norm).astype(np.float32)]
    centred = x.astype(np.int64) - node.input(0).zero_point
    multiplier, shift = inverse_root(np.square(centred).sum(-1, keepdims=True))
    return [np.clip(fixedpoint.requantize(centred, multiplier, shift + 7), -128, 127).astype(np.int8)]


def encode(node: Node, kernel: Kernel) -> Encoded:
    n, y = node.output.shape[-1], node.output
    if y.dtype == "float32":
        return last_axis(node, [f32_word(node.attrs["epsilon"])])
    if (y.scale, y.zero_point) != (1 / 128, 0):
        raise Unsupported(
            f"{node.source}: int8 l2_norm expects output scale 1/128 and zero point 0, found {y.scale} and "
            f"{y.zero_point}; requantise after it"
        )
    if n > MAX_ITEMS:
        raise Unsupported(f"{node.source}: int8 l2_norm takes at most {MAX_ITEMS} items, found {n}; keep it float32")
    return last_axis(node, [node.input(0).zero_point])


def in_place(node: Node) -> tuple[int, ...]:
    """The norm is known before the first item is written."""
    return (0,)


rows_read = same_row
