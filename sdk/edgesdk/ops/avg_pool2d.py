# SPDX-License-Identifier: Apache-2.0
"""Mean over a sliding window. x [N,H,W,C].

attrs: kernel (h,w), stride (h,w), padding (top,left,bottom,right), activation,
count_padding (the mean is over the whole window, padding being real 0; default False).
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d, pool

types = pool.types
infer = pool.infer
rows_read = pool.rows_read


def _count_padding(node: Node) -> bool:
    return bool(node.attrs.get("count_padding", False))


def _counts(node: Node) -> np.ndarray:
    """Pixels that each window's sum is divided by, [1, OH, OW, 1]."""
    _, h, w, _ = node.input(0).shape
    ones = np.ones((1, h, w, 1), np.int64)
    return conv2d.windows(node, ones, node.attrs["kernel"], float(_count_padding(node))).sum((3, 4))


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, kernel = node.input(0), node.attrs["kernel"]
    counts = _counts(node)
    if x.dtype == "float32":
        sums = conv2d.windows(node, arrays[0].astype(np.float64), kernel, 0.0).sum((3, 4))
        return [pool.clamp(node, sums / counts)]
    fill = x.zero_point if _count_padding(node) else 0
    sums = conv2d.windows(node, arrays[0].astype(np.int64), kernel, fill).sum((3, 4))
    magnitude = (np.abs(sums) + counts // 2) // counts
    return [pool.clamp(node, np.where(sums > 0, magnitude, -magnitude))]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x = node.input(0)
    zero_point = [x.zero_point] if x.dtype == "int8" else []
    return pool.encode(node, [int(_count_padding(node)), *zero_point])
