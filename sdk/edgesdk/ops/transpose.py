# SPDX-License-Identifier: Apache-2.0
"""Axes in another order. attrs: perm; output axis i is input axis perm[i]."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops.copy import axis, copy_node, loops_suffice, strides

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


def split(node: Node) -> list[Node]:
    """The same as two transpositions of which the kernel has the loops."""
    perm = node.attrs["perm"]
    steps = (_by_way_of(node, first) for first in permutations(range(len(perm))) if first != tuple(perm))
    return next(s for s in steps if all(loops_suffice(lower(n)) for n in s))


def _by_way_of(node: Node, first: tuple[int, ...]) -> list[Node]:
    """`first`, and then what brings its axes into the node's order."""
    x = node.input(0)
    between = Value(f"{node.output.name}/inner", tuple(x.shape[a] for a in first), x.dtype, x.quant)
    second = tuple(first.index(a) for a in node.attrs["perm"])
    return [
        Node("transpose", [x], [between], {"perm": first}, node.source),
        Node("transpose", [between], node.outputs, {"perm": second}, node.source),
    ]
