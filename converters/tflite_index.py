# SPDX-License-Identifier: Apache-2.0
"""TFLite operators that look items up, rank them or move them by index."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgesdk.converters import tflite_file
from edgesdk.converters.tflite_logic import check_scales, scalar
from edgesdk.converters.tflite_scope import Operator, axis, emit, integers, step, value
from edgesdk.errors import Unsupported
from edgesdk.ir import MAX_RANK, Value


def indices(op: Operator, i: int) -> Value:
    """Input `i` as int32 or int64."""
    v = value(op, i)
    return v if v.dtype in ("int32", "int64") else step(op, "cast", [v], to="int32")


def gather(op: Operator) -> None:
    x, where, batch = value(op, 0), indices(op, 1), int(op.options["batch_dims"])
    batch += len(where.shape) if batch < 0 else 0
    check_scales(op, [x])
    emit(op, "gather", [x, where], axis=axis(op, int(op.options["axis"]), len(x.shape)), batch_dims=batch)


def gather_nd(op: Operator) -> None:
    check_scales(op, [value(op, 0)])
    emit(op, "gather_nd", [value(op, 0), indices(op, 1)], batch_dims=0)


def embedding_lookup(op: Operator) -> None:
    """Rows of a table; an int8 table with a float output is dequantised behind the lookup."""
    where, table = indices(op, 0), value(op, 1)
    if tflite_file.dtype(op.scope.file, op.outputs[0]) == table.dtype:
        emit(op, "gather", [table, where], axis=0, batch_dims=0)
        return
    if table.dtype != "int8" or table.quant is None or table.quant.axis is not None:
        raise Unsupported(f"a table of {table.dtype} without one scale")
    emit(op, "dequantize", [step(op, "gather", [table, where], axis=0, batch_dims=0)])


def scatter_nd(op: Operator) -> None:
    """Updates added up where nothing was."""
    where, updates, shape = indices(op, 0), value(op, 1), integers(op, 2)
    if updates.dtype in ("bool", "int8") or updates.quant is not None:
        raise Unsupported(f"sums of {updates.dtype}")
    if any(d < 1 for d in shape):
        raise op.fail(f"writes shape {shape}, expected positive dimensions")
    zero = scalar(op, "zero", np.zeros((1,) * len(shape), updates.dtype))
    empty = step(op, "broadcast_to", [zero], shape=shape)
    emit(op, "scatter_nd", [empty, where, updates], reduction="add")


def update_slice(op: Operator) -> None:
    x, update = value(op, 0), value(op, 1)
    check_scales(op, [x, update])
    emit(op, "update_slice", [x, indices(op, 2), update])


def arg(kind: str, op: Operator) -> None:
    x = value(op, 0)
    at = axis(op, integers(op, 1, limit=1)[0], len(x.shape))
    to = tflite_file.dtype(op.scope.file, op.outputs[0])
    if to not in ("int32", "int64"):
        raise Unsupported(f"indices of {to}")
    emit(op, kind, [x], axis=at, keep_dims=False, index_dtype=to)


def top_k(op: Operator) -> None:
    x, (k, *_) = value(op, 0), integers(op, 1, limit=1)
    if not x.shape or len(op.outputs) != 2:
        raise op.fail(f"has input {x.shape} and {len(op.outputs)} outputs, expected an axis and two outputs")
    check_scales(op, [x])
    attrs = {"axis": len(x.shape) - 1, "k": k, "largest": True}
    emit(op, "top_k_values", [x], out=0, **attrs)
    emit(op, "top_k_indices", [x], out=1, index_dtype=tflite_file.dtype(op.scope.file, op.outputs[1]), **attrs)


def cumsum(op: Operator) -> None:
    x = value(op, 0)
    at = axis(op, integers(op, 1, limit=1)[0], len(x.shape))
    emit(op, "cumsum", [x], axis=at, exclusive=bool(op.options["exclusive"]), reverse=bool(op.options["reverse"]))


def one_hot(op: Operator) -> None:
    """on where the index equals the position along the new axis, off elsewhere and for indices out of range."""
    where, (depth, *_), on, off = value(op, 0), integers(op, 1, limit=1), value(op, 2), value(op, 3)
    rank = len(where.shape)
    if depth < 1 or on.elements != 1 or off.elements != 1:
        raise op.fail(f"has depth {depth} and values {on.shape} and {off.shape}, expected a positive depth and scalars")
    at = axis(op, int(op.options["axis"]), rank + 1)
    op.scope.file.charge(8 * depth, op.source)
    shape = (*where.shape[:at], 1, *where.shape[at:])
    positions = np.arange(depth).astype(where.dtype).reshape((depth,) + (1,) * (rank - at))
    spread = step(op, "reshape", [where], shape=shape)
    hot = step(op, "equal", [spread, scalar(op, "positions", positions)])
    emit(op, "select", [hot, on, off])


def tile(op: Operator) -> None:
    x, repeats = value(op, 0), integers(op, 1)
    emit(op, "tile", [x], repeats=repeats)


def broadcast_to(op: Operator) -> None:
    emit(op, "broadcast_to", [value(op, 0)], shape=integers(op, 1))


def reverse(op: Operator) -> None:
    x = value(op, 0)
    axes = {axis(op, a, len(x.shape)) for a in integers(op, 1, limit=MAX_RANK)}
    check_scales(op, [x])
    emit(op, "slice", [x], **reversal(x, axes))


def reversal(x: Value, axes: set[int]) -> dict[str, Any]:
    """Attributes of the slice that walks these axes backwards."""
    begin = tuple(d - 1 if a in axes else 0 for a, d in enumerate(x.shape))
    return {"begin": begin, "size": x.shape, "stride": tuple(-1 if a in axes else 1 for a in range(len(x.shape)))}


def block_axes(op: Operator, x: Value) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Block sizes and (before, after) of the spatial axes of x, of which there are one or two."""
    blocks, flat = integers(op, 1), integers(op, 2, limit=2 * MAX_RANK)
    spatial = len(x.shape) - 2
    if (
        spatial not in (1, 2)
        or len(blocks) != spatial
        or len(flat) != 2 * spatial
        or min(*blocks, 1) < 1
        or min(flat) < 0
    ):
        raise op.fail(f"has blocks {blocks} and amounts {flat} for {x.shape}, expected one and two per spatial axis")
    return blocks, list(zip(flat[::2], flat[1::2], strict=True))


def space_to_batch(op: Operator) -> None:
    x = value(op, 0)
    blocks, pads = block_axes(op, x)
    check_scales(op, [x])
    if any(map(any, pads)):
        x = step(op, "pad", [x], pads=((0, 0), *pads, (0, 0)), value=0.0)
    n, *space, c = x.shape
    if any(d % b for d, b in zip(space, blocks, strict=True)):
        raise op.fail(f"cuts {tuple(space)} into blocks of {blocks}, expected multiples of them")
    split = tuple(m for d, b in zip(space, blocks, strict=True) for m in (d // b, b))
    x = step(op, "reshape", [x], shape=(n, *split, c))
    inner, outer = tuple(range(2, 2 * len(blocks) + 1, 2)), tuple(range(1, 2 * len(blocks), 2))
    x = step(op, "transpose", [x], perm=(*inner, 0, *outer, len(x.shape) - 1))
    whole = tuple(d // b for d, b in zip(space, blocks, strict=True))
    emit(op, "reshape", [x], shape=(n * int(np.prod(blocks)), *whole, c))


def batch_to_space(op: Operator) -> None:
    x = value(op, 0)
    blocks, crops = block_axes(op, x)
    check_scales(op, [x])
    n, *space, c = x.shape
    total = int(np.prod(blocks))
    if n % total:
        raise op.fail(f"joins {n} images in blocks of {blocks}, expected a multiple of {total}")
    count = len(blocks)
    x = step(op, "reshape", [x], shape=(*blocks, n // total, *space, c))
    pairs = tuple(a for i in range(count) for a in (count + 1 + i, i))
    x = step(op, "transpose", [x], perm=(count, *pairs, len(x.shape) - 1))
    grown = tuple(d * b for d, b in zip(space, blocks, strict=True))
    sizes = tuple(d - before - after for d, (before, after) in zip(grown, crops, strict=True))
    if any(s < 1 for s in sizes):
        raise op.fail(f"crops {crops} of {grown}, expected something to be left")
    if not any(map(any, crops)):
        emit(op, "reshape", [x], shape=(n // total, *grown, c))
        return
    x = step(op, "reshape", [x], shape=(n // total, *grown, c))
    begin = (0, *(before for before, _ in crops), 0)
    emit(op, "slice", [x], begin=begin, size=(n // total, *sizes, c), stride=(1,) * len(begin))


def non_max_suppression(op: Operator) -> None:
    """Indices of the selected boxes and their count (V5: the scores between them), zeros where there are no more."""
    boxes, scores, (most, *_) = value(op, 0), value(op, 1), integers(op, 2, limit=1)
    iou, threshold = number(op, 3), number(op, 4)
    if op.name.endswith("V5") and number(op, 5) != 0:
        raise Unsupported("soft suppression")
    if len(boxes.shape) != 2 or most < 1:
        raise op.fail(f"has boxes {boxes.shape} and room for {most}, expected [N,4] and at least one")
    boxes = step(op, "reshape", [boxes], shape=(1, *boxes.shape))
    ranked = step(op, "reshape", [scores], shape=(1, 1, scores.elements))
    found = step(op, "nms", [boxes, ranked], most=most, threshold=threshold, iou=iou, center=False)
    column = step(op, "slice", [found], begin=(0, 2), size=(most, 1), stride=(1, 1))
    flat = step(op, "reshape", [column], shape=(most,))
    zero = scalar(op, "zero", np.zeros((1,), np.int32))
    none = step(op, "less", [flat, zero])
    picked = emit(op, "select", [none, zero, flat])
    if op.name.endswith("V5"):
        items = step(op, "gather", [scores, picked], axis=0, batch_dims=0)
        emit(op, "select", [none, scalar(op, "no score", np.zeros((1,), np.float32)), items], out=1)
    count = step(op, "slice", [found], begin=(most, 0), size=(1, 1), stride=(1, 1))
    emit(op, "reshape", [count], out=len(op.outputs) - 1, shape=())


def number(op: Operator, i: int) -> float:
    v = value(op, i)
    if v.data is None or v.elements != 1 or v.dtype != "float32":
        raise Unsupported(f"input {i} ({v.name!r}) that is no float32 constant of one element")
    return float(v.data.ravel()[0])


OPS: dict[str, Callable[[Operator], None]] = {
    "ARG_MAX": partial(arg, "arg_max"),
    "ARG_MIN": partial(arg, "arg_min"),
    "BATCH_TO_SPACE_ND": batch_to_space,
    "BROADCAST_TO": broadcast_to,
    "CUMSUM": cumsum,
    "DYNAMIC_UPDATE_SLICE": update_slice,
    "EMBEDDING_LOOKUP": embedding_lookup,
    "GATHER": gather,
    "GATHER_ND": gather_nd,
    "NON_MAX_SUPPRESSION_V4": non_max_suppression,
    "NON_MAX_SUPPRESSION_V5": non_max_suppression,
    "ONE_HOT": one_hot,
    "REVERSE_V2": reverse,
    "SCATTER_ND": scatter_nd,
    "SPACE_TO_BATCH_ND": space_to_batch,
    "TILE": tile,
    "TOPK_V2": top_k,
}
