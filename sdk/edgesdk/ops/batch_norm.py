# SPDX-License-Identifier: Apache-2.0
"""y = x * scale + shift per channel. x [N,H,W,C] or [N,C] float32; scale [C], shift [C] constants."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, scale, shift = node.input(0), node.input(1), node.input(2)
    if not x.shape or {scale.shape, shift.shape} != {x.shape[-1:]}:
        raise ValueError(f"expected x [..., C], scale [C] and shift [C], found {x.shape}, {scale.shape}, {shift.shape}")
    return [(x.shape, x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, scale, shift = (a.astype(np.float64) for a in arrays)
    return [(x * scale + shift).astype(np.float32)]
