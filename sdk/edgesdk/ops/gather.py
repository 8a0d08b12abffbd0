# SPDX-License-Identifier: Apache-2.0
"""Items of x that indices point at; negative indices count from the end, others are clamped into range.

gather            attrs axis, batch_dims: x[..., i, ...] for every index, whose axes take the place of x's axis
gather_nd         attrs batch_dims: the last axis of the indices holds a position in x
gather_elements   attrs axis: out[p] = x[p with p[axis] replaced by indices[p]]

An embedding is a gather of rows of a constant table.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, indexed
from edgesdk.ops.indexed import Walk, check_indices

NAMES = ("gather", "gather_nd", "gather_elements")


def kernel_op(node: Node) -> str:
    return "gather"


def types(node: Node) -> str:
    """Bytes are moved, whatever they mean."""
    return "b1"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, indices = node.input(0), check_indices(node, 1)
    rule = {"gather": _gathered, "gather_nd": _sliced, "gather_elements": _elements}[node.op]
    return [(rule(node, x.shape, indices.shape), x.dtype)]


def _gathered(node: Node, x: tuple[int, ...], indices: tuple[int, ...]) -> tuple[int, ...]:
    axis, batch = node.attrs["axis"], node.attrs["batch_dims"]
    if not (0 <= batch <= axis < len(x) and batch <= len(indices) and x[:batch] == indices[:batch]):
        raise ValueError(f"expected batch_dims <= axis within {x} and {indices}, found axis {axis}, batch_dims {batch}")
    return (*x[:axis], *indices[batch:], *x[axis + 1 :])


def _sliced(node: Node, x: tuple[int, ...], indices: tuple[int, ...]) -> tuple[int, ...]:
    batch = node.attrs["batch_dims"]
    fits = 0 <= batch < len(indices) and x[:batch] == indices[:batch] and 1 <= indices[-1] <= len(x) - batch
    if not fits:
        raise ValueError(
            f"expected indices [..., up to {len(x) - batch}] for {x} and {batch} batch axes, found {indices}"
        )
    return (*indices[:-1], *x[batch + indices[-1] :])


def _elements(node: Node, x: tuple[int, ...], indices: tuple[int, ...]) -> tuple[int, ...]:
    axis = node.attrs["axis"]
    inside = len(x) == len(indices) and 0 <= axis < len(x)
    if not inside or any(i > d for a, (i, d) in enumerate(zip(indices, x, strict=True)) if a != axis):
        raise ValueError(f"expected indices no larger than {x} but along axis {axis}, found {indices}")
    return indices


def walk(node: Node) -> Walk:
    x, indices = node.input(0).shape, node.input(1).shape
    if node.op == "gather":
        return indexed.along_axis(x, indices, node.attrs["axis"], node.attrs["batch_dims"])
    if node.op == "gather_nd":
        return indexed.of_slices(x, indices, node.attrs["batch_dims"])
    return indexed.of_elements(x, indices, node.attrs["axis"])


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    found = arrays[0].ravel()[indexed.places(walk(node), arrays[1])]
    return [found.reshape(infer(node)[0][0])]


def encode(node: Node, kernel: Kernel) -> Encoded:
    """The outermost loop counts rows."""
    x, indices, y = node.input(0), node.input(1), node.output
    way = walk(node)
    rows = way.loops[0].extent if way.loops else 1
    views = [RowView(v, 1, v.n_bytes) for v in (x, indices)]
    return Encoded(indexed.words(node, way, x.itemsize, indices), RowView(y, rows, y.n_bytes // rows), views, rows)
