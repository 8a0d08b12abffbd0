# SPDX-License-Identifier: Apache-2.0
"""Data with updates written at places that indices point at, in order; indices as for gather.

scatter_nd        inputs data, indices [..., n], updates; attrs reduction
scatter_elements  inputs data, indices, updates of one rank; attrs axis, reduction
update_slice      inputs data, start [rank of data], update: a window written at a start that is clamped so that the
                  window lies inside

`reduction` is one of none add mul min max; integers are computed modulo 2^bits. int8 of a scale only moves or is
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import DTYPES, Node, Quant
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, indexed
from edgesdk.ops.indexed import Walk, check_indices

NAMES = ("scatter_nd", "scatter_elements", "update_slice")
REDUCTIONS = ("none", "add", "mul", "min", "max")


def kernel_op(node: Node) -> str:
    return "scatter"


def types(node: Node) -> str:
    return "any"


def reduction(node: Node) -> str:
    return str(node.attrs.get("reduction", "none"))


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    data, indices, updates = node.input(0), check_indices(node, 1), node.input(2)
    if data.dtype != updates.dtype or reduction(node) not in REDUCTIONS:
        raise ValueError(f"expected updates of {data.dtype} and one of {REDUCTIONS}, found {updates.dtype}")
    rule = {"scatter_nd": _sliced, "scatter_elements": _elements, "update_slice": _window}[node.op]
    if not rule(node, data.shape, indices.shape, updates.shape):
        raise ValueError(
            f"expected indices and updates that fit data {data.shape}, found {indices.shape} and {updates.shape}"
        )
    scaled = data.quant is not None and not data.quant.same_as(Quant.per_tensor(1.0, 0))
    if scaled and reduction(node) in ("add", "mul"):
        raise Unsupported(f"{node.source}: {node.op} computes with quantised values; expected floats or plain integers")
    return [(data.shape, data.dtype)]


def _sliced(node: Node, data: tuple[int, ...], indices: tuple[int, ...], updates: tuple[int, ...]) -> bool:
    if not indices or not 1 <= indices[-1] <= len(data):
        return False
    return updates == (*indices[:-1], *data[indices[-1] :])


def _elements(node: Node, data: tuple[int, ...], indices: tuple[int, ...], updates: tuple[int, ...]) -> bool:
    axis = node.attrs["axis"]
    inside = len(data) == len(indices) and 0 <= axis < len(data) and indices == updates
    return inside and all(i <= d for a, (i, d) in enumerate(zip(indices, data, strict=True)) if a != axis)


def _window(node: Node, data: tuple[int, ...], indices: tuple[int, ...], updates: tuple[int, ...]) -> bool:
    inside = len(data) == len(updates) and all(u <= d for u, d in zip(updates, data, strict=True))
    return inside and indices == (len(data),) and len(data) > 0


def walk(node: Node) -> Walk:
    data, indices, updates = (node.input(i).shape for i in range(3))
    if node.op == "scatter_nd":
        return indexed.of_slices(data, indices, 0)
    if node.op == "scatter_elements":
        return indexed.of_elements(data, indices, node.attrs["axis"])
    return indexed.of_window(data, updates)


_COMBINED: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda old, new: new,
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Block by block: a place may occur twice."""
    flat = arrays[0].ravel().copy()
    way = walk(node)
    found = indexed.places(way, arrays[1]).reshape(-1, way.block)
    combine = _COMBINED[reduction(node)]
    with np.errstate(all="ignore"):
        for at, new in zip(found, arrays[2].reshape(-1, way.block), strict=True):
            flat[at] = combine(flat[at], new)
    return [flat.reshape(arrays[0].shape)]


def encode(node: Node, kernel: Kernel) -> Encoded:
    data, y = node.input(0), node.output
    words = indexed.words(node, walk(node), data.itemsize, node.input(1))
    words += [REDUCTIONS.index(reduction(node)), DTYPES.index(data.dtype)]
    views = [RowView(v, 1, v.n_bytes) for v in (data, node.input(1), node.input(2))]
    return Encoded(words, RowView(y, 1, y.n_bytes), views, 1)


def in_place(node: Node) -> tuple[int, ...]:
    return (0,)
