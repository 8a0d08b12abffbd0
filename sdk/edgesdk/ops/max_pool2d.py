# SPDX-License-Identifier: Apache-2.0
"""Maximum over a sliding window. x [N,H,W,C].

attrs: kernel (h,w), stride (h,w), padding (top,left,bottom,right), activation, dilation
(h,w; default (1, 1), others are lowered by passes/lower_dilated_pool.py).
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d, pool

types = pool.types
infer = pool.infer
rows_read = pool.rows_read


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    fill = -np.inf if x.dtype == np.float32 else np.iinfo(x.dtype).min
    return [pool.clamp(node, conv2d.windows(node, x, node.attrs["kernel"], fill).max((3, 4)))]


def encode(node: Node, kernel: Kernel) -> Encoded:
    return pool.encode(node, [])
