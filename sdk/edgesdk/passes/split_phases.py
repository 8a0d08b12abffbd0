# SPDX-License-Identifier: Apache-2.0
"""A transposed convolution becomes ordinary ones: the outputs with one remainder modulo the stride are a convolution of
stride 1 with some of the taps. Where all of these read the same pixels they are one, with that many times the channels,
whose pixels are spread afterwards; else their outputs are interleaved. Bytes stay the same.

For cores whose convolutions have vectors: it takes memory for the output before it is spread."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import transpose_conv2d
from edgesdk.ops.transpose_conv2d import Phase


def split_phases(graph: Graph) -> Graph:
    nodes: list[Node] = []
    for node in graph.nodes:
        parts = _parts(node) if node.op == "transpose_conv2d" else None
        nodes += _split(node, parts) if parts else [node]
    graph.nodes = nodes
    return graph


@dataclass(frozen=True)
class Axis:
    """The phases along height or width, each of `size` outputs, which read `padding` (before, after) more."""

    phases: list[Phase]
    padding: list[tuple[int, int]]
    size: int

    @property
    def alike(self) -> bool:
        return len({(p.first, len(p.taps)) for p in self.phases}) == 1


def _parts(node: Node) -> tuple[Axis, Axis] | None:
    """Height and width; None where a phase is no convolution of the whole input."""
    w = node.input(1)
    if node.attrs.get("groups", 1) > 1 or transpose_conv2d.dilation(node) != (1, 1) or w.data is None:
        return None
    if w.quant is not None and w.quant.factors is not None:
        return None
    rows, columns = _axis(node, 0), _axis(node, 1)
    return (rows, columns) if rows and columns else None


def _axis(node: Node, axis: int) -> Axis | None:
    extent, size = node.input(0).shape[1 + axis], -(-node.output.shape[1 + axis] // node.attrs["stride"][axis])
    found = transpose_conv2d.phases(node, axis)
    padding = [(-p.first, size + p.first + len(p.taps) - 1 - extent) for p in found]
    return Axis(found, padding, size) if all(p.taps for p in found) and min(map(min, padding)) >= 0 else None


def _split(node: Node, parts: tuple[Axis, Axis]) -> list[Node]:
    rows, columns = parts
    steps: list[Node] = []
    pairs = [(i, j) for i in range(len(rows.phases)) for j in range(len(columns.phases))]
    if rows.alike and columns.alike:
        lots = [pairs]
    else:
        lots = [[pair] for pair in pairs]
    results = [_convolution(node, rows, columns, lot, steps) for lot in lots]
    full = _spread(node, results[0], parts, steps) if len(lots) == 1 else _interleave(node, results, parts, steps)
    y = node.output
    if full.shape == y.shape:
        steps.append(Node("reshape", [full], [y], {"shape": y.shape}, node.source))
    else:
        cut = {"begin": (0, 0, 0, 0), "size": y.shape, "stride": (1, 1, 1, 1)}
        steps.append(Node("slice", [full], [y], cut, node.source))
    return steps


def _value(node: Node, steps: list[Node], shape: tuple[int, ...]) -> Value:
    y = node.output
    return Value(f"{y.name}/phases{len(steps)}", shape, y.dtype, y.quant)


def _convolution(node: Node, rows: Axis, columns: Axis, lot: list[tuple[int, int]], steps: list[Node]) -> Value:
    """The phases of a lot as one convolution, the channels of one after those of another."""
    w, b, (i, j) = node.input(1), node.optional(2), lot[0]
    assert w.data is not None
    taps = [w.data[:, rows.phases[r].taps][:, :, columns.phases[c].taps] for r, c in lot]
    name = f"{node.output.name}/phase{i}.{j}"
    weights = np.concatenate(taps)
    inputs = [node.input(0), Value(f"{name}/w", weights.shape, w.dtype, _repeated(w.quant, len(lot)), weights)]
    (top, bottom), (left, right) = rows.padding[i], columns.padding[j]
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (top, left, bottom, right)}
    attrs["activation"] = node.attrs["activation"]
    result = _value(node, steps, (node.output.shape[0], rows.size, columns.size, len(weights)))
    steps.append(Node("conv2d", [*inputs, _tiled(b, f"{name}/b", len(lot))], [result], attrs, node.source))
    return result


def _repeated(quant: Quant | None, n: int) -> Quant | None:
    if quant is None or quant.axis is None:
        return quant
    return replace(quant, scale=np.tile(quant.scale, n), zero_point=np.tile(quant.zero_point, n))


def _tiled(b: Value | None, name: str, n: int) -> Value | None:
    if b is None or b.data is None:
        return b
    data = np.tile(b.data, n)
    return Value(name, data.shape, b.dtype, _repeated(b.quant, n), data)


def _reshaped(node: Node, x: Value, shape: tuple[int, ...], steps: list[Node]) -> Value:
    y = _value(node, steps, shape)
    steps.append(Node("reshape", [x], [y], {"shape": shape}, node.source))
    return y


def _spread(node: Node, x: Value, parts: tuple[Axis, Axis], steps: list[Node]) -> Value:
    """[N, H, W, (rows, columns, C)] as an image; rows and columns of pixels change places."""
    n, h, w, _ = x.shape
    (sh, sw), c = (len(a.phases) for a in parts), node.output.shape[3]
    if sh > 1:
        x = _reshaped(node, x, (n * h, w, sh, sw * c), steps)
        turned = _value(node, steps, (n * h, sh, w, sw * c))
        steps.append(Node("transpose", [x], [turned], {"perm": (0, 2, 1, 3)}, node.source))
        x = turned
    return _reshaped(node, x, (n, h * sh, w * sw, c), steps)


def _interleave(node: Node, images: list[Value], parts: tuple[Axis, Axis], steps: list[Node]) -> Value:
    """Columns of pixels in turns, then rows."""
    (sh, sw), (n, h, w, c) = (len(a.phases) for a in parts), images[0].shape
    lines = [_joined(node, images[r * sw : (r + 1) * sw], (n * h, w, 1, c), 2, steps) for r in range(sh)]
    full = _joined(node, lines, (n * h, 1, w * sw, c), 1, steps)
    return _reshaped(node, full, (n, h * sh, w * sw, c), steps)


def _joined(node: Node, values: list[Value], shape: tuple[int, ...], axis: int, steps: list[Node]) -> Value:
    """The values, seen in this shape, one after another along the axis."""
    if len(values) == 1:
        return values[0]
    seen: list[Value | None] = [_reshaped(node, v, shape, steps) for v in values]
    size = tuple(d * len(values) if a == axis else d for a, d in enumerate(shape))
    y = _value(node, steps, size)
    steps.append(Node("concat", seen, [y], {"axis": axis}, node.source))
    return y
