# SPDX-License-Identifier: Apache-2.0
"""A border of the value's own items. attrs: pads ((before, after) per axis), mode:

reflect (the edge is the mirror), symmetric (the mirror lies behind the edge, which so appears twice), edge (repeats the
edge), wrap (goes on with the other end). reflect and symmetric go on to and fro where a pad is wider than the value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk.ir import Node

STAGE = "source"
MODES = ("reflect", "symmetric", "edge", "wrap")


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, pads, mode = node.input(0), node.attrs["pads"], node.attrs["mode"]
    if len(pads) != len(x.shape) or any(p < 0 for pair in pads for p in pair) or mode not in MODES:
        raise ValueError(
            f"expected non-negative (before, after) for each axis of {x.shape} and a mode of {MODES}, "
            f"found {pads} and {mode!r}"
        )
    return [(tuple(n + sum(pair) for n, pair in zip(x.shape, pads, strict=True)), x.dtype)]


def positions(node: Node, axis: int) -> tuple[int, ...]:
    """The input index of each output index along an axis."""
    n, mode = node.input(0).shape[axis], node.attrs["mode"]
    how: Any = "edge" if n == 1 else mode  # one item mirrors to itself
    return tuple(np.pad(np.arange(n), node.attrs["pads"][axis], mode=how).tolist())


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    y = arrays[0]
    for axis in range(y.ndim):
        y = np.take(y, positions(node, axis), axis)
    return [y]
