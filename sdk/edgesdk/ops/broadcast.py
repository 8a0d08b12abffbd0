# SPDX-License-Identifier: Apache-2.0
"""How a kernel of two operands walks them: rows, pixels and items, with steps of 0 where an operand is broadcast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.ops import Encoded, RowView


@dataclass(frozen=True)
class Operand:
    """How the kernel walks an input: `rows` rows of `row_items`, and its steps within a row."""

    rows: int
    row_items: int
    pixel: int
    item: int


@dataclass(frozen=True)
class Layout:
    """The output as rows of w pixels of c items, with all operands broadcast to it."""

    rows: int
    w: int
    c: int
    operands: tuple[Operand, ...]


def layout(node: Node) -> Layout | None:
    """The kernel's view of the node; None where its broadcast needs more axes than that."""
    out = node.output.shape or (1,)
    values = [node.input(i) for i in range(len(node.inputs))]
    shapes = [(1,) * (len(out) - len(v.shape)) + v.shape for v in values]
    return next((found for split in _splits(len(out)) if (found := _split_layout(out, shapes, split))), None)


def _splits(rank: int) -> list[int]:
    """Numbers of leading axes to try as rows; first the one that makes rows of an image."""
    first = 2 if rank == 4 else rank - 1
    return [first, *(s for s in range(rank + 1) if s != first)]


def _split_layout(out: tuple[int, ...], shapes: list[tuple[int, ...]], split: int) -> Layout | None:
    rows = [_row_count(out[:split], s[:split]) for s in shapes]
    inner = _pixel_axes(out[split:], [s[split:] for s in shapes])
    if None in rows or inner is None:
        return None
    (w, c), steps = inner
    operands = [
        Operand(n, int(np.prod(s[split:])), pixel, item)
        for n, s, (pixel, item) in zip(rows, shapes, steps, strict=True)
        if n is not None
    ]
    return Layout(int(np.prod(out[:split])), w, c, tuple(operands))


def _row_count(out: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """Rows of an operand whose row y is y mod rows: leading axes broadcast, the others do not."""
    axes = [(o, s) for o, s in zip(out, shape, strict=True) if o > 1]
    while axes and axes[0][1] == 1:
        axes.pop(0)
    return None if any(s == 1 for _, s in axes) else int(np.prod([s for _, s in axes], dtype=np.int64))


def _pixel_axes(
    out: tuple[int, ...], shapes: list[tuple[int, ...]]
) -> tuple[tuple[int, int], list[tuple[int, int]]] | None:
    """(w, c) and each operand's (pixel, item) steps, after merging axes that broadcast alike."""
    merged: list[list[int]] = []  # [extent, extent of a, extent of b, ...]
    for extents in zip(out, *shapes, strict=True):
        last = merged[-1] if merged else None
        if extents[0] == 1:
            continue
        if last is not None and all((e > 1) == (m > 1) for e, m in zip(extents, last, strict=True)):
            merged[-1] = [e * m for e, m in zip(extents, last, strict=True)]
        else:
            merged.append(list(extents))
    if len(merged) > 2:
        return None
    (w, *pixels), (c, *items) = [[1] * (1 + len(shapes))] * (2 - len(merged)) + merged
    steps = [(item if pixel > 1 else 0, int(item > 1)) for pixel, item in zip(pixels, items, strict=True)]
    return (w, c), steps


def encode(node: Node, words: list[int], values: list[Value], found: Layout) -> Encoded:
    """The shape words, then the op's own; `values` in the order of the layout's operands."""
    a, b = found.operands
    views = [RowView(v, o.rows, o.row_items * v.itemsize) for v, o in zip(values, (a, b), strict=True)]
    output = RowView(node.output, found.rows, found.w * found.c * node.output.itemsize)
    return Encoded([found.w, found.c, a.pixel, a.item, b.pixel, b.item, *words], output, views, found.rows)


def in_place(node: Node) -> tuple[int, ...]:
    """Inputs with the output's shape: item k is read before it is written."""

    def whole(v: Value) -> bool:
        return v.data is None and v.shape == node.output.shape

    return tuple(i for i in (0, 1) if whole(node.input(i)))
