# SPDX-License-Identifier: Apache-2.0
"""A strided copy with a fill value: what transposes, slices, pads and their like become.

attrs: shape (of the output), axes (Axis per loop, outermost first; their extents multiply to the
output's elements in row-major order), start (the input item that the first copied output item
reads), fill (the item written where nothing is copied).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word
from edgesdk.ops.rowwise import rows_of

ROW_AXES, ITEM_AXES = 2, 3  # of the kernel's five loops


@dataclass(frozen=True)
class Axis:
    """`extent` output positions; those in [low, high) read the input `stride` items apart, backwards where
    that is negative."""

    extent: int
    stride: int
    low: int
    high: int

    @property
    def whole(self) -> bool:
        return (self.low, self.high) == (0, self.extent)

    @property
    def reach(self) -> int:
        """Distance in items from the first to the last position that is copied."""
        return (self.high - self.low - 1) * self.stride


def axis(extent: int, stride: int) -> Axis:
    return Axis(extent, stride, 0, extent)


def strides(shape: Sequence[int]) -> list[int]:
    """Row-major strides in items."""
    return [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    return [(tuple(node.attrs["shape"]), node.input(0).dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    axes = node.attrs["axes"]
    index, copied = np.zeros((), np.int64) + node.attrs["start"], np.ones((), bool)
    for a in axes:
        i = np.arange(a.extent)
        index = index[..., None] + (i - a.low) * a.stride
        copied = copied[..., None] & (i >= a.low) & (i < a.high)
    items = arrays[0].ravel()[np.where(copied, index, 0)]
    return [np.where(copied, items, np.array(node.attrs["fill"], items.dtype)).reshape(node.attrs["shape"])]


def types(node: Node) -> str:
    return f"b{node.input(0).itemsize}"


def merged(axes: Sequence[Axis]) -> list[Axis]:
    """The same loops with fewer axes: single positions dropped, contiguous neighbours joined."""
    kept: list[Axis] = []
    for a in axes:
        if a == axis(1, a.stride):
            continue
        outer = kept[-1] if kept else None
        if outer is not None and a.whole and outer.stride == a.stride * a.extent:
            kept[-1] = Axis(outer.extent * a.extent, a.stride, outer.low * a.extent, outer.high * a.extent)
        else:
            kept.append(a)
    return kept


def is_contiguous(node: Node) -> bool:
    """The output holds the input's items in the same order."""
    n = node.input(0).elements
    return n == node.output.elements and merged(node.attrs["axes"]) in ([axis(n, 1)], [])


def _batch(node: Node, axes: list[Axis]) -> int:
    """Repetitions of the step: the first axis where it walks whole, separate parts of the input."""
    x, first = node.input(0), axes[0]
    if x.data is not None or len(axes) < 2 or not first.whole or first.extent * first.stride != x.elements:
        return 1
    return first.extent if _stays_within(node.attrs["start"], axes[1:], first.stride) else 1


def _stays_within(start: int, axes: Sequence[Axis], end: int) -> bool:
    """Whether all that is read from item `start` on lies in [0, end)."""
    ways = [a.reach for a in axes if a.high > a.low]
    return start + sum(min(w, 0) for w in ways) >= 0 and start + sum(max(w, 0) for w in ways) < end


def _split(axes: list[Axis], rows: int) -> tuple[list[Axis], list[Axis]] | None:
    """(loops over rows, loops in a row) for that many rows; None where they do not fit the kernel."""
    for cut in range(len(axes) + 1):
        if int(np.prod([a.extent for a in axes[:cut]], dtype=np.int64)) == rows:
            outer, inner = merged(axes[:cut]), merged(axes[cut:])
            if len(outer) <= ROW_AXES and len(inner) <= ITEM_AXES:
                return outer, inner
    return None


def _found_loops(axes: list[Axis], rows: int) -> tuple[list[Axis], list[Axis]] | None:
    found = _split(axes, rows)
    if found is None:
        joined = merged(axes)
        cuts = [int(np.prod([a.extent for a in joined[:n]], dtype=np.int64)) for n in (0, 1, 2)]
        found = next((s for n in cuts if (s := _split(joined, n))), None)
    return found


def _batch_loops(node: Node) -> tuple[int, list[Axis], int]:
    """(batch, its loops, rows of the output that are wanted)."""
    axes = list(node.attrs["axes"]) or [axis(1, 0)]
    batch = _batch(node, axes)
    out_batch, out_rows, _ = rows_of(node.output.shape)
    return batch, axes[1:] if batch > 1 else axes, out_batch * out_rows // batch


def loops_suffice(node: Node) -> bool:
    """Whether the kernel has as many nested loops as the copy needs."""
    _, axes, rows = _batch_loops(node)
    return _found_loops(axes, rows) is not None


def _loops(node: Node, axes: list[Axis], rows: int) -> tuple[list[Axis], list[Axis]]:
    found = _found_loops(axes, rows)
    if found is None:
        raise Unsupported(
            f"{node.source}: this rearrangement of {node.input(0).shape} into {node.output.shape} needs "
            f"{len(merged(axes))} nested loops; expected at most {ROW_AXES + ITEM_AXES}, do it in two steps"
        )
    return found


@dataclass(frozen=True)
class InputRows:
    """How the copy walks its input: whole rows where output rows map to input rows, else one long row."""

    rows: int
    row_items: int
    row_start: int
    row_step: int
    start: int
    outer: list[Axis]


def _input_rows(node: Node, outer: list[Axis], inner: list[Axis], batch: int) -> InputRows:
    x, start = node.input(0), int(node.attrs["start"])
    _, _, row = rows_of(x.shape)
    items = x.elements // batch
    inside = _stays_within(start % row, [*outer[1:], *inner], row)
    by_row = items % row == 0 and inside and (not outer or outer[0].stride % row == 0)
    if not by_row:
        return InputRows(1, items, 0, 0, start, outer)
    step = outer[0].stride // row if outer else 0
    flat = [replace(outer[0], stride=0), *outer[1:]] if outer else []
    return InputRows(items // row, row, start // row, step, start % row, flat)


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    batch, axes, wanted = _batch_loops(node)
    outer, inner = _loops(node, axes, wanted)
    walk = _input_rows(node, outer, inner, batch)
    rows = int(np.prod([a.extent for a in outer], dtype=np.int64))
    loops = [*walk.outer, *[axis(1, 0)] * (ROW_AXES - len(outer) + ITEM_AXES - len(inner)), *inner]
    words = [w for a in loops for w in (a.extent, a.low, a.high, a.stride * x.itemsize)]
    words += [walk.row_start, walk.row_step, walk.start * x.itemsize, fill_word(node)]
    out = RowView(y, rows, y.n_bytes // batch // rows)
    return Encoded(list(words), out, [RowView(x, walk.rows, walk.row_items * x.itemsize)], rows, batch)


def fill_word(node: Node) -> int:
    dtype, fill = node.input(0).dtype, node.attrs["fill"]
    if dtype == "float32":
        return f32_word(fill)
    if not -(2**31) <= fill < 2**31:
        raise Unsupported(f"{node.source}: writes {fill} around {node.input(0).name}; expected a number of 32 bits")
    return int(fill)


def copy_node(source: Node, x: Value, axes: Sequence[Axis], start: int = 0, fill: float = 0) -> Node:
    """The runtime node that does the work of `source`, a node of one output, on `x`."""
    attrs = {"shape": source.output.shape, "axes": tuple(axes), "start": start, "fill": fill}
    return Node("copy", [x], source.outputs, attrs, source.source)


def later_half(works: Sequence[bool]) -> list[bool]:
    """Of the axes along which a node does something, the last ones: what the first of two copies does."""
    active = [a for a, w in enumerate(works) if w]
    return [a in active[len(active) // 2 :] for a in range(len(works))]


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    """Rows where the copy walks its input by rows, else everything (see `encode` for the words)."""
    words = [int(w) for w in encoded.params if isinstance(w, int)]
    (_, low, high, _), inner_rows = words[0:4], words[4]
    row_start, row_step = words[20:22]
    if encoded.inputs[i].rows == 1:
        return range(1)
    outer = y // inner_rows
    row = row_start + (outer - low) * row_step
    return range(row, row + 1) if low <= outer < high else range(0)
