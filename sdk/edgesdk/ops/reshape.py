# SPDX-License-Identifier: Apache-2.0
"""Another shape for the same bytes. attrs: shape.

There is no kernel: the memory plan lets the output view its input.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, shape = node.input(0), tuple(node.attrs["shape"])
    if int(np.prod(shape, dtype=np.int64)) != x.elements:
        raise ValueError(f"expected a shape of {x.elements} elements, found {shape}")
    return [(shape, x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [arrays[0].reshape(node.attrs["shape"])]


def types(node: Node) -> str:
    return "view"


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)
