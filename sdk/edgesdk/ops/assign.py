# SPDX-License-Identifier: Apache-2.0
"""A value in memory of its own: what a constant or shared state becomes before a kernel changes it,
and how a variable gets its new content."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    return [(node.input(0).shape, node.input(0).dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [arrays[0].copy()]


def types(node: Node) -> str:
    """Bytes are moved, whatever they mean."""
    return "b1"


def kernel_op(node: Node) -> str:
    return "concat"


def encode(node: Node, kernel: Kernel) -> Encoded:
    n_bytes = node.output.n_bytes
    row = RowView(node.output, 1, n_bytes)
    return Encoded([0, 1, n_bytes, 0, 0, 0], row, [RowView(node.input(0), 1, n_bytes)], 1)
