# SPDX-License-Identifier: Apache-2.0
"""How gather and scatter walk the tensor that indices point into (runtime_c/kernels/indexed.h).

An index that is negative counts from the end; what is out of range then is clamped into it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import DTYPES, Node, Value
from edgesdk.ops.copy import strides

LOOPS = 6
INDEX_DTYPES = ("int32", "int64")


@dataclass(frozen=True)
class Loop:
    """`extent` turns; each moves `data` items on in the tensor and `index` numbers on among the indices."""

    extent: int
    data: int
    index: int


@dataclass(frozen=True)
class Part:
    """One number of an index: clamped to [0, last], after `extent` is added to a negative one; times `stride`."""

    extent: int
    last: int
    stride: int


@dataclass(frozen=True)
class Walk:
    """All loops, outermost first, and the items that lie at each place."""

    loops: tuple[Loop, ...]
    parts: tuple[Part, ...]
    block: int


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def along_axis(x: tuple[int, ...], indices: tuple[int, ...], axis: int, batch_dims: int) -> Walk:
    n, inner = _size(indices[batch_dims:]), _size(x[axis + 1 :])
    step = x[axis] * inner
    outer = _size(x[batch_dims:axis])
    loops = (Loop(_size(x[:batch_dims]), outer * step, n), Loop(outer, step, 0), Loop(n, 0, 1))
    return merged(Walk(loops, (Part(x[axis], x[axis] - 1, inner),), inner))


def of_slices(x: tuple[int, ...], indices: tuple[int, ...], batch_dims: int) -> Walk:
    """The last axis of the indices holds one number for each axis of x behind the batch."""
    count, n = indices[-1], _size(indices[batch_dims:-1])
    steps = strides(x)
    parts = tuple(Part(x[a], x[a] - 1, steps[a]) for a in range(batch_dims, batch_dims + count))
    loops = (Loop(_size(x[:batch_dims]), _size(x[batch_dims:]), n * count), Loop(n, 0, count))
    return merged(Walk(loops, parts, _size(x[batch_dims + count :])))


def of_elements(x: tuple[int, ...], indices: tuple[int, ...], axis: int) -> Walk:
    steps = zip(indices, strides(x), strides(indices), strict=True)
    loops = tuple(Loop(n, 0 if a == axis else s, i) for a, (n, s, i) in enumerate(steps))
    return merged(Walk(loops, (Part(x[axis], x[axis] - 1, strides(x)[axis]),), 1))


def of_window(x: tuple[int, ...], window: tuple[int, ...]) -> Walk:
    """A window at a start that is clamped so that it lies inside; a negative start is 0."""
    loops = tuple(Loop(n, s, 0) for n, s in zip(window, strides(x), strict=True))
    ranges = zip(x, window, strides(x), strict=True)
    return merged(Walk(loops, tuple(Part(1, d - w, s) for d, w, s in ranges), 1))


def merged(walk: Walk) -> Walk:
    """Without loops of one turn; loops that continue each other and those that continue the block are one."""
    kept: list[Loop] = []
    for loop in walk.loops:
        outer = kept[-1] if kept else None
        if loop.extent == 1:
            continue
        if outer and (outer.data, outer.index) == (loop.data * loop.extent, loop.index * loop.extent):
            kept[-1] = replace(loop, extent=loop.extent * outer.extent)
        else:
            kept.append(loop)
    block = walk.block
    if kept and (kept[-1].data, kept[-1].index) == (block, 0):
        block *= kept.pop().extent
    return Walk(tuple(kept), walk.parts, block)


def words(node: Node, walk: Walk, item_bytes: int, indices: Value) -> list[int | np.ndarray | None]:
    """The ert_indexed words."""
    if len(walk.loops) > LOOPS or len(walk.parts) > LOOPS:
        raise Unsupported(f"{node.source}: {node.op} needs {len(walk.loops)} loops, expected at most {LOOPS}")
    result: list[int | np.ndarray | None] = []
    for loop in (*walk.loops, *[Loop(1, 0, 0)] * (LOOPS - len(walk.loops))):
        result += [loop.extent, loop.data * item_bytes, loop.index]
    result.append(len(walk.parts))
    for part in (*walk.parts, *[Part(1, 0, 0)] * (LOOPS - len(walk.parts))):
        result += [part.extent, part.last, part.stride * item_bytes]
    return [*result, DTYPES.index(indices.dtype), walk.block * item_bytes]


def places(walk: Walk, indices: np.ndarray) -> np.ndarray:
    """Items at all places, [..., block], in the order of the loops."""
    at, first = np.zeros((), np.int64), np.zeros((), np.int64)
    for loop in walk.loops:
        turns = np.arange(loop.extent)
        at, first = at[..., None] + turns * loop.data, first[..., None] + turns * loop.index
    flat = indices.ravel().astype(np.int64)
    for m, part in enumerate(walk.parts):
        i = flat[first + m]
        at = at + np.clip(np.where(i < 0, i + part.extent, i), 0, part.last) * part.stride
    found: np.ndarray = at[..., None] + np.arange(walk.block)
    return found


def check_indices(node: Node, i: int) -> Value:
    v = node.input(i)
    if v.dtype not in INDEX_DTYPES:
        raise ValueError(f"expected int32 or int64 indices, found {v.dtype}")
    return v
