# SPDX-License-Identifier: Apache-2.0
"""Constants that a TFLite file stores without their zeros, as the dense arrays that they stand for.

A sparse tensor is a tree: one level per dimension, in the order of traversal, blocks as dimensions
of their own after the tensor's. A dense level has every index, a sparse one the indices that its
segments list for each node above (compressed sparse rows).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgesdk.converters import flatbuffer
from edgesdk.converters import tflite_schema as schema
from edgesdk.errors import UsageError

DENSE, SPARSE = 0, 1


@dataclass(frozen=True)
class Level:
    """One dimension of the tree; `size` is how many indices it has."""

    dim: int
    size: int
    segments: np.ndarray | None
    indices: np.ndarray | None


@dataclass(frozen=True)
class Layout:
    """`blocks`: (the tensor's dimension, block size) of each block dimension."""

    levels: list[Level]
    blocks: list[tuple[int, int]]


def dense(
    where: str,
    sparsity: flatbuffer.Table,
    shape: tuple[int, ...],
    stored: Callable[[int], np.ndarray],
    charge: Callable[[int], None],
) -> np.ndarray:
    """The whole array; `stored(n)` gives the n values of the file, `charge` hears of other memory that is taken."""
    layout = read_layout(where, sparsity, shape)
    charge(sum(8 * a.size for level in layout.levels for a in (level.segments, level.indices) if a is not None))
    coordinates, count = walk(where, layout, math.prod(shape))
    values = stored(count)
    index = [coordinates[d] for d in range(len(shape))]
    for k, (dim, size) in enumerate(layout.blocks):
        index[dim] = index[dim] * size + coordinates[len(shape) + k]
    out = np.zeros(shape, values.dtype)
    out[tuple(index)] = values
    return out


def read_layout(where: str, sparsity: flatbuffer.Table, shape: tuple[int, ...]) -> Layout:
    order = sparsity.array(schema.SPARSITY["traversal_order"], "int32").tolist()
    mapped = sparsity.array(schema.SPARSITY["block_map"], "int32").tolist()
    tables = sparsity.tables(schema.SPARSITY["dim_metadata"])
    rank = len(shape)
    if len(order) > 2 * rank or sorted(order) != list(range(rank + len(mapped))) or len(tables) != len(order):
        raise damaged(where, f"a traversal order {order[: 2 * rank + 1]} and {len(tables)} levels")
    if any(not 0 <= dim < rank for dim in mapped) or len(set(mapped)) != len(mapped):
        raise damaged(where, f"a block map {mapped}")
    sizes = {dim: tables[order.index(rank + k)].integer(schema.DIMENSION["size"]) for k, dim in enumerate(mapped)}
    if any(size < 1 or shape[dim] % size for dim, size in sizes.items()):
        raise damaged(where, f"blocks of {sizes} for shape {shape}")
    extents = [d // sizes.get(dim, 1) for dim, d in enumerate(shape)] + [sizes[dim] for dim in mapped]
    levels = [read_level(where, table, dim, extents[dim]) for dim, table in zip(order, tables, strict=True)]
    return Layout(levels, [(dim, sizes[dim]) for dim in mapped])


def read_level(where: str, table: flatbuffer.Table, dim: int, extent: int) -> Level:
    kind = table.integer(schema.DIMENSION["format"], "b")
    if kind == DENSE:
        if table.integer(schema.DIMENSION["size"]) != extent:
            raise damaged(where, f"{table.integer(schema.DIMENSION['size'])} indices of dimension {dim}")
        return Level(dim, extent, None, None)
    if kind != SPARSE:
        raise damaged(where, f"dimension format {kind}")
    segments = read_indices(where, table, "segments_type")
    indices = read_indices(where, table, "indices_type")
    ends = np.diff(segments)
    if not segments.size or segments[0] != 0 or (ends < 0).any() or segments[-1] > indices.size:
        raise damaged(where, f"segments of dimension {dim} that do not count its {indices.size} indices")
    if ((indices < 0) | (indices >= extent)).any():
        raise damaged(where, f"indices of dimension {dim} outside of its {extent}")
    return Level(dim, extent, segments, indices)


def read_indices(where: str, table: flatbuffer.Table, field: str) -> np.ndarray:
    """A vector of int32, uint16 or uint8; the union's value stands in the slot after its type."""
    slot = schema.DIMENSION[field]
    vector, kind = table.table(slot + 1), table.integer(slot, "B")
    if vector is None or kind not in schema.INDEX_TYPES:
        raise damaged(where, f"an index vector of type {kind}")
    return vector.array(0, schema.INDEX_TYPES[kind]).astype(np.int64)


def walk(where: str, layout: Layout, limit: int) -> tuple[dict[int, np.ndarray], int]:
    """The index along each dimension of every stored value, in the file's order, and their number."""
    coordinates: dict[int, np.ndarray] = {}
    at, count = np.zeros(1, np.int64), 1
    for level in layout.levels:
        if level.segments is None or level.indices is None:
            repeats = np.full(count, level.size)
            inner = np.tile(np.arange(level.size), count) if count * level.size <= limit else None
            place = None if inner is None else np.repeat(at, level.size) * level.size + inner
        else:
            if level.segments.size <= at.max(initial=-1) + 1:
                raise damaged(where, f"{level.segments.size} segments of dimension {level.dim}")
            first, repeats = level.segments[at], level.segments[at + 1] - level.segments[at]
            place = np.repeat(first - np.cumsum(repeats) + repeats, repeats) + np.arange(repeats.sum())
            inner = level.indices[place]
        if inner is None or place is None or place.size > limit:
            raise damaged(where, f"more values than the {limit} elements of its shape")
        coordinates = {dim: np.repeat(c, repeats) for dim, c in coordinates.items()} | {level.dim: inner}
        at, count = place, place.size
    return coordinates, count


def damaged(where: str, what: str) -> UsageError:
    return UsageError(
        f"{where}: is sparse with {what}, expected a sparsity that matches its shape; the file is damaged"
    )
