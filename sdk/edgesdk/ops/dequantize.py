# SPDX-License-Identifier: Apache-2.0
"""int8 or int16 to float32: scale * (x - zero_point)."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, quantize, same_row

types = quantize.types


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    if node.input(0).dtype not in ("int8", "int16"):
        raise ValueError(f"expected an int8 or int16 input, found {node.input(0).dtype}")
    return [(node.input(0).shape, "float32")]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = node.input(0)
    return [(x.scale * (arrays[0].astype(np.float64) - x.zero_point)).astype(np.float32)]


def encode(node: Node, kernel: Kernel) -> Encoded:
    return quantize.encode_affine(node, node.input(0))


rows_read = same_row
