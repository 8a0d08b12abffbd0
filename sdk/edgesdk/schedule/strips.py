# SPDX-License-Identifier: Apache-2.0
"""Column strips: a region of layers computed for some columns of its output at a time, each strip row by row.

A strip's values hold its columns and those that their readers' windows reach beyond them: neighbouring strips
compute these twice. Every strip has steps of its own, made by the ops' own `encode` from nodes of the strip's
width, so that nothing else needs to know of strips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgesdk.ir import Node, Value
from edgesdk.ops import RowView, transpose_conv2d
from edgesdk.schedule import Schedule, Stage, Step, encode
from edgesdk.schedule.frames import ROW_OPS, WINDOW_OPS


@dataclass(frozen=True)
class Piece:
    """Steps [first, first + count) of a base schedule as stages of one kind, in `strips` strips of columns."""

    kind: str
    first: int
    count: int
    strips: int = 1

    @property
    def steps(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(eq=False)
class _Window:
    """Columns `columns` of a value that lies in memory as `stored`, from its column `origin` on."""

    stored: Value
    origin: int
    columns: range


@dataclass(eq=False)
class _Strip:
    """One strip of a region: the columns that are needed of each value, and where they lie."""

    base: Schedule
    needs: dict[Value, range]
    stored: dict[Value, Value] = field(default_factory=dict)

    def window(self, value: Value, columns: range) -> _Window:
        if value in self.stored:
            return _Window(self.stored[value], self.needs[value].start, columns)
        return _Window(value, 0, columns)


def expand(base: Schedule, pieces: Sequence[Piece]) -> Schedule:
    """The schedule of these pieces, which cover all steps of `base` in order; plain neighbours are one stage."""
    steps: list[Step] = []
    stages: list[Stage] = []
    for piece in pieces:
        if piece.strips == 1:
            if stages and stages[-1].kind == piece.kind == "plain":
                stages[-1] = replace(stages[-1], count=stages[-1].count + piece.count)
            else:
                stages.append(Stage(piece.kind, len(steps), piece.count))
            steps += (base.steps[i] for i in piece.steps)
            continue
        made = strips(base, piece)
        assert made is not None, piece
        for k, strip in enumerate(made):
            stages.append(Stage(piece.kind, len(steps), piece.count, k, piece.strips))
            steps += strip
    return replace(base, steps=steps, stages=stages)


def strips(base: Schedule, piece: Piece) -> list[list[Step]] | None:
    """The steps of each strip; None where the region cannot be cut into columns."""
    steps = [base.steps[i] for i in piece.steps]
    last = steps[-1].output
    if len(last.shape) != 4 or last.shape[2] < piece.strips:
        return None
    made: list[list[Step]] = []
    for k in range(piece.strips):
        columns = range(last.shape[2] * k // piece.strips, last.shape[2] * (k + 1) // piece.strips)
        needs = _needs(base, steps, columns)
        if needs is None:
            return None
        made.append(_steps(_Strip(base, needs), steps, k))
    return made


def _needs(base: Schedule, steps: Sequence[Step], columns: range) -> dict[Value, range] | None:
    """Columns of each value of the region that this strip of the last one needs."""
    written = {s.output for s in steps}
    if _whole_phases(steps[-1].node, columns) != columns:
        return None
    needs = {steps[-1].output: columns}
    for step in reversed(steps):
        if step.output not in needs or not _has_columns(base, step):
            return None
        needs[step.output] = _whole_phases(step.node, needs[step.output])
        for view in step.encoded.inputs:
            if view.value in written:
                needs[view.value] = _union(needs.get(view.value), columns_read(step.node, needs[step.output]))
            if not columns_read(step.node, needs[step.output]):
                return None  # all of it is padding
    return needs


def _whole_phases(node: Node, columns: range) -> range:
    """More columns of a transposed convolution, so that every strip has its taps in one order and reads one copy of the
    weights."""
    if node.op != "transpose_conv2d":
        return columns
    return range(columns.start - columns.start % node.attrs["stride"][1], columns.stop)


def _union(a: range | None, b: range) -> range:
    return b if a is None else range(min(a.start, b.start), max(a.stop, b.stop))


def _has_columns(base: Schedule, step: Step) -> bool:
    """Whether the step's columns come from columns of its inputs: images of one height and item order throughout."""
    node = step.node
    images = [node.output, *(v for v in node.inputs if v is not None and v.data is None)]
    if step.encoded.batch != 1 or any(len(v.shape) != 4 or v.shape[0] != 1 or v in base.roots for v in images):
        return False
    views = [v for v in (step.encoded.output, *step.encoded.inputs) if v.value.data is None]
    if any(v.rows != v.value.shape[1] or v.row_bytes * v.rows != v.value.n_bytes for v in views):
        return False
    if node.op in (*WINDOW_OPS, "transpose_conv2d"):
        return True
    same_width = all(v.shape[2] == node.output.shape[2] for v in images)
    constants = [v for v in node.inputs if v is not None and v.data is not None]
    narrow = node.op == "lut" or all(len(v.shape) < 2 or v.shape[-2] == 1 for v in constants)
    return node.op in ROW_OPS and same_width and narrow and node.attrs.get("axis", 3) == 3


def columns_read(node: Node, columns: range) -> range:
    """Columns of the inputs that these columns of the output need, cut at the borders of the image."""
    if node.op == "transpose_conv2d":
        return _columns_spread(node, columns)
    if node.op not in WINDOW_OPS:
        return columns
    start, stop = _reach(node, columns)
    return range(max(0, start), min(node.input(0).shape[2], stop))


def _columns_spread(node: Node, columns: range) -> range:
    """Of a transposed convolution: columns of which a tap meets the output, and one more where the first would begin
    behind it."""
    stride, first, last = node.attrs["stride"][1], *(_ahead(node, c) for c in (columns.start, columns.stop - 1))
    span = (node.input(1).shape[2] - 1) * transpose_conv2d.dilation(node)[1]
    start = min(-((span - first) // stride), first // stride)
    return range(max(0, start), min(node.input(0).shape[2], last // stride + 1))


def _ahead(node: Node, column: int) -> int:
    """The column of the result before anything was cut from it."""
    return int(column + node.attrs["padding"][1])


def _reach(node: Node, columns: range) -> tuple[int, int]:
    """First column under the windows of these outputs, and the one after the last; may lie outside the image."""
    left, stride, dilation = node.attrs["padding"][1], node.attrs["stride"][1], node.attrs.get("dilation", (1, 1))[1]
    span = (_kernel_w(node) - 1) * dilation + 1
    return columns.start * stride - left, (columns.stop - 1) * stride - left + span


def _kernel_w(node: Node) -> int:
    if node.op == "conv2d":
        return node.input(1).shape[2]
    return node.input(1).shape[1] if node.op == "depthwise_conv2d" else int(node.attrs["kernel"][1])


def _steps(strip: _Strip, steps: Sequence[Step], k: int) -> list[Step]:
    for step in steps[:-1]:
        whole, columns = step.output, strip.needs[step.output]
        strip.stored[whole] = _cut(whole, columns, f"{whole.name}#{k}")
    return [_step(strip, s) for s in steps]


def _cut(value: Value, columns: range, name: str) -> Value:
    n, h, _, c = value.shape
    return Value(name, (n, h, len(columns), c), value.dtype, value.quant)


def _step(strip: _Strip, step: Step) -> Step:
    """The step for the strip's columns of its output."""
    node, columns = step.node, strip.needs[step.output]
    read = columns_read(node, columns)
    windows: dict[Value, _Window] = {}

    def cut(value: Value, window: _Window) -> Value:
        view = _cut(value, window.columns, f"{window.stored.name}[{window.columns.start}:{window.columns.stop}]")
        windows[view] = window
        return view

    inputs = [v if v is None or v.data is not None else cut(v, strip.window(v, read)) for v in node.inputs]
    output = cut(node.output, strip.window(node.output, columns))
    made = encode(Node(node.op, inputs, [output], _attrs(node, columns, read), node.source), step.kernel)
    views = [_view(v, windows) for v in made.encoded.inputs]
    encoded = replace(made.encoded, output=_view(made.encoded.output, windows), inputs=views)
    stored = {v: w.stored for v, w in windows.items()}
    return replace(made, encoded=encoded, origin=step, columns=columns, stored=stored)


def _view(view: RowView, windows: dict[Value, _Window]) -> RowView:
    if view.value not in windows:
        return view
    w = windows[view.value]
    _, rows, width, channels = w.stored.shape
    pixel = channels * w.stored.itemsize
    assert (view.rows, view.row_bytes) == (rows, len(w.columns) * pixel), view
    return RowView(w.stored, rows, width * pixel, (w.columns.start - w.origin) * pixel)


def _attrs(node: Node, columns: range, read: range) -> dict[str, object]:
    if node.op == "transpose_conv2d":
        return _spread_attrs(node, columns, read)
    if node.op not in WINDOW_OPS:
        return node.attrs
    start, stop = _reach(node, columns)
    top, _, bottom, _ = node.attrs["padding"]
    return {**node.attrs, "padding": (top, read.start - start, bottom, max(0, stop - read.stop))}


def _spread_attrs(node: Node, columns: range, read: range) -> dict[str, object]:
    """What is cut from the full result of the columns that are read."""
    stride, kernel = node.attrs["stride"][1], node.input(1).shape[2]
    top, _, bottom, _ = node.attrs["padding"]
    left = _ahead(node, columns.start) - read.start * stride
    full = (len(read) - 1) * stride + (kernel - 1) * transpose_conv2d.dilation(node)[1] + 1
    right, longer = full - left - len(columns), node.attrs.get("output_padding", (0, 0))[0]
    cut = (top, left, bottom, max(right, 0))
    return {**node.attrs, "padding": cut, "output_padding": (longer, max(-right, 0))}
