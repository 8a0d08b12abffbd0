# SPDX-License-Identifier: Apache-2.0
"""How often a kernel does each thing (pixels, inner-loop turns, copied blocks), by a step's shape: what cost.py prices.

Rules are by op, those of kernels with weights in an order of their own in counts_packed.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgesdk import ops
from edgesdk.schedule import Step

Counts = Counter[str]
VECTOR, QUARTER = 16, 4  # bytes of a vector and of a word: copies and compiled loops step by them


def parameters(step: Step) -> list[int]:
    return [p if isinstance(p, int) else 0 for p in step.encoded.params]


def itemsize(step: Step) -> int:
    return step.encoded.output.value.itemsize


def row_items(step: Step) -> int:
    return step.encoded.output.row_bytes // itemsize(step)


def loop(name: str, n: int, times: int) -> Counts:
    """A loop of n turns, run `times` times: apart what a vectorising compiler takes 16 or 4 at a time."""
    return Counter({
        name: times,
        f"{name} x16": n // VECTOR * times,
        f"{name} x4": n % VECTOR // QUARTER * times,
        f"{name} x1": n % QUARTER * times,
    })  # fmt: skip


def copied(name: str, n_bytes: int, times: int, aligned: bool) -> Counts:
    """memcpy or memset. Where words must be aligned and are not, single bytes are moved."""
    return loop(name, n_bytes, times) + Counter({f"{name} odd": 0 if aligned else n_bytes * times})


def unknown(step: Step) -> Counts:
    return Counter({"mac": ops.macs(step.node), "item": step.node.output.elements})


def taps_inside(n_out: int, n_in: int, kernel: int, stride: int, dilation: int, pad: int) -> np.ndarray:
    """Of each window along an axis: how many of its taps lie inside the image."""
    at = (np.arange(n_out) * stride - pad)[:, None] + np.arange(kernel) * dilation
    inside: np.ndarray = ((at >= 0) & (at < n_in)).sum(1)
    return inside


def dot_groups(pixels: int, n: int, n_out: int) -> Counts:
    """n products for each of n_out channels, four channels at a time."""
    groups, rest = pixels * (n_out // 4), pixels * (n_out % 4)
    return Counter({"pixel": pixels, "group": groups, "group mac": groups * n}) + loop("rest", n, rest)


@dataclass(frozen=True)
class Window:
    """The geometry words of conv2d and depthwise_conv2d, and the taps inside the image along both axes."""

    in_c: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    whole: int  # columns whose taps are neighbours, all of them inside
    taps_y: np.ndarray
    taps_x: np.ndarray

    @property
    def inside(self) -> int:
        """Taps inside the image, of all windows."""
        return int(self.taps_y.sum()) * int(self.taps_x.sum())


def geometry(step: Step) -> Window:
    h, w, c, out_w, out_c, kh, kw, sh, sw, dh, dw, top, left = parameters(step)[:13]
    taps_y = taps_inside(step.encoded.rows, h, kh, sh, dh, top)
    taps_x = taps_inside(out_w, w, kw, sw, dw, left)
    whole = int((taps_x == kw).sum()) if dw == 1 or kw == 1 else 0
    return Window(c, out_w, out_c, kh, kw, whole, taps_y, taps_x)


def _conv2d(step: Step) -> Counts:
    g = geometry(step)
    pixels, taps = step.encoded.rows * g.out_w, g.kernel_h * g.kernel_w
    dots = dot_groups(pixels, taps * g.in_c, g.out_c)
    if itemsize(step) == 4:
        dots = _float_dots(pixels, g.out_c, g.in_c * g.inside, g.in_c * (pixels * taps - g.inside))
    return dots + _gathered(g, pixels, g.in_c * itemsize(step))


def _float_dots(pixels: int, n_out: int, products: int, padding: int) -> Counts:
    """A core without a floating-point unit takes less time for products with 0."""
    groups, rest = n_out // 4, n_out % 4
    return Counter({
        "pixel": pixels, "group": pixels * groups, "group mac": products * groups, "group pad": padding * groups,
        "rest": pixels * rest, "rest mac": products * rest, "rest pad": padding * rest,
    })  # fmt: skip


def _gathered(g: Window, pixels: int, pixel_bytes: int) -> Counts:
    """Windows that are copied into scratch: whole rows of them, or pixel by pixel at the border."""
    rows = int(g.taps_y.sum())
    in_place = rows * g.whole if g.kernel_h == 1 else 0
    border = g.taps_x if g.whole == 0 else g.taps_x[g.taps_x < g.kernel_w]
    n_border, span, aligned = g.out_w - g.whole, g.kernel_w * pixel_bytes, pixel_bytes % QUARTER == 0
    inside, outside = int(border.sum()), n_border * g.kernel_w - int(border.sum())
    return (
        Counter({"gather": pixels - in_place, "border row": rows * n_border})
        + copied("copy", span, rows * g.whole - in_place, aligned)
        + copied("copy", pixel_bytes, rows * inside, aligned)
        + copied("fill", pixel_bytes, rows * outside, aligned)
        + copied("fill", span, pixels * g.kernel_h - rows * g.out_w, aligned)
    )


def _grouped_conv2d(step: Step) -> Counts:
    """Each group's window is gathered apart; then its channels are dots of its own part."""
    g, part, groups = geometry(step), step.node.input(1).shape[-1], step.node.attrs["groups"]
    pixels, taps = step.encoded.rows * g.out_w, g.kernel_h * g.kernel_w
    dots = dot_groups(pixels * groups, taps * part, step.node.output.shape[-1] // groups)
    return dots + copied("copy", part * itemsize(step), pixels * taps * groups, part % QUARTER == 0)


def _transpose_conv2d(step: Step) -> Counts:
    """A convolution per phase: all of them together gather and multiply each tap once per input pixel."""
    h, w, c, out_w, out_c, kh, kw, sh, sw = parameters(step)[:9]
    pixels, taps = step.encoded.rows * out_w, max(1, round(kh * kw / (sh * sw)))
    taken = copied("copy", c * itemsize(step), pixels * taps, c % QUARTER == 0)
    return (
        Counter({"gather": pixels, "phase": step.encoded.rows * min(sw, out_w)})
        + dot_groups(pixels, taps * c, out_c)
        + taken
    )


def _depthwise_conv2d(step: Step) -> Counts:
    g = geometry(step)
    pixels = step.encoded.rows * g.out_w
    inside, outside = g.inside, pixels * g.kernel_h * g.kernel_w - g.inside
    listed = Counter({"pixel": pixels, "tap row": pixels * g.kernel_h, "tap": inside, "pad tap": outside})
    if itemsize(step) == 4:
        vectors = loop("mac", g.out_c, inside) if g.in_c == g.out_c else Counter({"repeat": inside * g.in_c})
        repeats = Counter({"repeat mac": inside * g.out_c if g.in_c != g.out_c else 0})
        return listed + vectors + repeats + loop("item", g.out_c, pixels)
    groups = g.out_c // 4 if g.in_c == g.out_c else 0
    rest = g.out_c - 4 * groups
    return listed + Counter({
        "group": pixels * groups, "group mac": inside * groups, "group pad": outside * groups,
        "rest": pixels * rest, "rest mac": inside * rest, "rest pad": outside * rest,
        "divide": pixels * rest if g.in_c != g.out_c else 0,
    })  # fmt: skip


def _fully_connected(step: Step) -> Counts:
    in_c, out_c = parameters(step)[:2]
    return dot_groups(step.encoded.rows, in_c, out_c)


def _fully_connected_rows(step: Step) -> Counts:
    rows, in_c, out_c = parameters(step)[:3]
    return dot_groups(rows, in_c, out_c) + Counter({"output": out_c})


def _batch_matmul(step: Step) -> Counts:
    """Dots of four columns at a time where b is stored transposed, else rows of b are added up."""
    _, k, n, transposed = parameters(step)[:4]
    rows = step.encoded.rows
    if transposed:
        return dot_groups(rows, k, n) + Counter({"centre": rows * k})
    return loop("sum", n, rows * k) + loop("item", n, rows)


def _pool(step: Step) -> Counts:
    h, w, c, out_w, kh, kw, sh, sw, top, left = parameters(step)[:10]
    pixels = step.encoded.rows * out_w
    rows = int(taps_inside(step.encoded.rows, h, kh, sh, 1, top).sum())
    inside = rows * int(taps_inside(out_w, w, kw, sw, 1, left).sum())
    aligned = c * itemsize(step) % QUARTER == 0
    return (
        Counter({"window row": rows * out_w})
        + loop("tap", c, inside)
        + loop("item", c, pixels)
        + copied("start", c * itemsize(step), pixels, aligned)
    )


def _reduce(step: Step) -> Counts:
    in_rows, width, inner, kind = parameters(step)[:4]
    rows, groups = step.encoded.rows, step.encoded.rows // in_rows
    added = Counter({"sum": rows * width}) if inner == 1 else loop("tap", inner, rows * width)
    if step.kernel.types == "int":  # kind and type are taken for independent
        taps, dtype = rows * width * inner, parameters(step)[4]
        return Counter({"pixel": rows * width, "item": groups * inner, f"kind {kind}": taps, f"dtype {dtype}": taps})
    return Counter({f"kind {kind} {what}": n for what, n in (added + loop("item", inner, groups)).items()})


def _binary(step: Step) -> Counts:
    w, c = parameters(step)[:2]
    return loop("pixel", c, w * step.encoded.rows)


def _concat(step: Step) -> Counts:
    by_rows, repeats, *parts = parameters(step)
    if by_rows:
        rows = Counter({"passed": sum(n * i for i, n in enumerate(parts))})
        return rows + copied("copy", step.encoded.output.row_bytes, step.encoded.rows, True)
    total = Counter({"part": sum(p > 0 for p in parts) * step.encoded.rows})
    for part in filter(None, parts):
        if part == 1:
            total += Counter({"single": repeats * step.encoded.rows})
        else:
            total += copied("copy", part, repeats * step.encoded.rows, part % QUARTER == 0)
    return total


def _copy(step: Step) -> Counts:
    """Runs along the last axis: copied where the items are neighbours, else one by one."""
    axes = np.array(parameters(step)[:20]).reshape(5, 4)
    size, n = itemsize(step), axes[:, 2] - axes[:, 1]
    rows = int(n[0] * n[1])
    filled = step.encoded.rows if (n < axes[:, 0]).any() else 0
    planes, runs, items = rows * int(n[2]), rows * int(n[2] * n[3]), int(n[4])
    total = Counter({"block": rows, "plane": planes}) + copied("fill", row_items(step) * size, filled, True)
    if axes[4, 3] == size:
        return total + copied("copy", items * size, runs, items * size % QUARTER == 0)
    return total + loop("run", items, runs)


def each_item(step: Step) -> Counts:
    return loop("item", row_items(step), step.encoded.rows)


def _pixels(step: Step) -> Counts:
    """Runs of items one after another in a row."""
    pixels, n = parameters(step)[:2]
    return loop("item", n, pixels * step.encoded.rows)


def _unary(step: Step) -> Counts:
    kind = parameters(step)[1]
    return Counter({f"kind {kind}": row_items(step) * step.encoded.rows})


def _arith(step: Step) -> Counts:
    """What an item takes depends on its kind alone."""
    w, c, *_ = parameters(step)
    kind = parameters(step)[6]
    return _binary(step) + Counter({f"kind {kind}": w * c * step.encoded.rows})


def _elementwise(step: Step) -> Counts:
    """Kind and type are taken for independent."""
    w, c, *_ = parameters(step)
    kind, dtype = parameters(step)[8:10]
    items = w * c * step.encoded.rows
    return Counter({"pixel": w * step.encoded.rows, "item": items, f"kind {kind}": items, f"dtype {dtype}": items})


def _cast(step: Step) -> Counts:
    _, source, to = parameters(step)
    items = row_items(step) * step.encoded.rows
    return Counter({"item": items, f"from {source}": items, f"to {to}": items})


def _cumsum(step: Step) -> Counts:
    groups, n, inner, dtype = parameters(step)[:4]
    items = groups * n * inner * step.encoded.rows
    return Counter({"sum": groups * inner * step.encoded.rows, "item": items, f"dtype {dtype}": items})


def _rows_of_items(step: Step) -> Counts:
    """w runs of n items, and loops over each of them."""
    w, n = parameters(step)[:2]
    return loop("run", n, w * step.encoded.rows)


def _normalize(step: Step) -> Counts:
    outer, groups, inner = parameters(step)[:3]
    return Counter({"item": step.encoded.rows * outer * groups * inner, "group": step.encoded.rows * groups})


def _resize(step: Step) -> Counts:
    _, _, out_w, pixel = parameters(step)[:4]
    pixels = step.encoded.rows * out_w
    if step.kernel.types == "b1":
        return copied("copy", pixel, pixels, pixel % QUARTER == 0)
    return loop("pixel", pixel, pixels)


def _gather(step: Step) -> Counts:
    """One block for each turn of the loops."""
    words = parameters(step)
    turns, block = int(np.prod(words[0:18:3], dtype=np.int64)), words[38]
    moved = step.node.output.n_bytes if step.kernel.op == "scatter" else 0
    return (
        Counter({"place": turns}) + copied("copy", block, turns, block % QUARTER == 0) + copied("copy", moved, 1, True)
    )


def _top_k(step: Step) -> Counts:
    """Each of the k best is looked for among all items that are not yet taken."""
    groups, n, inner, k, dtype = parameters(step)[:5]
    found = groups * inner * k * step.encoded.rows
    return Counter({"found": found, "item": found * n, f"dtype {dtype}": found * n, "again": found * k})


def _nms(step: Step) -> Counts:
    """The worst case: no box suppresses another."""
    words = parameters(step)
    images, classes, boxes, most = words[:4] if step.kernel.op == "nms" else (1, words[3], words[0], words[4])
    return Counter({"item": images * classes * boxes * min(most, boxes)})


def _svdf(step: Step) -> Counts:
    in_c, units, rank, memory = parameters(step)[:4]
    rows, filters = step.encoded.rows, units * rank
    cells = filters * memory
    products = loop("feature", in_c, rows * filters) + loop("time", rank * memory, rows * units)
    return products + copied("shift", cells * step.node.input(4).itemsize, rows, True)


def _lstm(step: Step) -> Counts:
    batch, in_c, units = parameters(step)[2:5]
    return _recurrence(step.encoded.rows * batch, in_c, units, 4)


def _rnn(step: Step) -> Counts:
    kind, _, _, batch, in_c, units = parameters(step)[:6]
    return _recurrence(step.encoded.rows * batch, in_c, units, RNN_GATES[kind])


RNN_GATES = (4, 3, 3, 1, 1)  # by kind


def _recurrence(items: int, in_c: int, units: int, gates: int) -> Counts:
    """Products with the input and with the state, and what is done once per gate and unit."""
    rows = items * gates * units
    return loop("input", in_c, rows) + loop("state", units, rows) + Counter({"gate": rows, "unit": items * units})


def _lrn(step: Step) -> Counts:
    w, c, before, after = parameters(step)[:4]
    pixels = w * step.encoded.rows
    return Counter({"item": pixels * c, "mac": pixels * c * min(c, before + after + 1)})


def _resize_filter(step: Step) -> Counts:
    _, _, out_w, c, row_taps, column_taps = parameters(step)[:6]
    items = step.encoded.rows * out_w * c
    return Counter({"item": items, "tap row": items * row_taps, "mac": items * row_taps * column_taps})


RULES: dict[str, Callable[[Step], Counts]] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "fully_connected": _fully_connected,
    "fully_connected_rows": _fully_connected_rows,
    "avg_pool2d": _pool,
    "max_pool2d": _pool,
    "reduce": _reduce,
    "add": _binary,
    "mul": _binary,
    "minmax": _binary,
    "concat": _concat,
    "copy": _copy,
    "lut": each_item,
    "quantize": each_item,
    "dequantize": each_item,
    "softmax": each_item,
    "pixel_softmax": _pixels,
    "unary": _unary,
    "resize": _resize,
    "elementwise": _elementwise,
    "cast": _cast,
    "cumsum": _cumsum,
    "gather": _gather,
    "scatter": _gather,
    "top_k": _top_k,
    "nms": _nms,
    "detect": _nms,
    "grouped_conv2d": _grouped_conv2d,
    "transpose_conv2d": _transpose_conv2d,
    "batch_matmul": _batch_matmul,
    "normalize": _normalize,
    "activation": _unary,
    "svdf": _svdf,
    "lstm": _lstm,
    "rnn": _rnn,
    "peephole_lstm": _rnn,
    "arith": _arith,
    "pow": _binary,
    "div": _binary,
    "squared_difference": _binary,
    "prelu": _binary,
    "elementary": _unary,
    "power": each_item,
    "log_softmax": _rows_of_items,
    "l2_norm": _rows_of_items,
    "hardmax": _rows_of_items,
    "lrn": _lrn,
    "resize_filter": _resize_filter,
}
