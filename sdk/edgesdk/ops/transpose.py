# SPDX-License-Identifier: Apache-2.0
"""Axes in another order. attrs: perm; output axis i is input axis perm[i]."""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.ops.copy import axis, copy_node, strides

STAGE = "source"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, perm = node.input(0), node.attrs["perm"]
    if sorted(perm) != list(range(len(x.shape))):
        raise ValueError(f"expected a permutation of {len(x.shape)} axes, found {perm}")
    return [(tuple(x.shape[i] for i in perm), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.ascontiguousarray(arrays[0].transpose(node.attrs["perm"]))]


def lower(node: Node) -> Node:
    x = node.input(0)
    steps = strides(x.shape)
    return copy_node(node, x, [axis(x.shape[i], steps[i]) for i in node.attrs["perm"]])
