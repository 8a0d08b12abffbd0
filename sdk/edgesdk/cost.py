# SPDX-License-Identifier: Apache-2.0
"""Modelled instructions of a step on a core: a sum of counts, each with its price.

What a kernel does is counted here from the step's shape (pixels, inner-loop turns, copied blocks);
what one of each takes on a core is in boards/costs.toml, fitted to instructions that were counted
in the emulator (benchmarks/fit_cost.py). Prices hold for kernels as edgesdk's firmware builds them.

A core or kernel without prices has no estimate (None). The schedule search still needs an order of
programs there: `instructions` then falls back on the prices of REFERENCE_CORE, or on those of
another kernel of the same op and types, or on GUESS. Such numbers rank; they are never reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgesdk import boards, ops
from edgesdk.schedule import Schedule, Step

Counts = Counter[str]
REFERENCE_CORE = "cortex-m4"
GUESS = {"call": 200.0, "row": 20.0, "mac": 3.0, "item": 10.0}
# Types whose loops are counted alike: their prices rank kernels that have none of their own.
ALIKE = {
    "s16s8": ("s8s8", "f32s8"),  # convolutions, quantize
    "s16s16": ("s8s8", "f32s8"),
    "s16": ("s8", "f32"),
    "f32s8": ("f32",),
    "f32f16": ("f32",),
    "s8s4": ("s8s8",),
    "f32s4": ("f32",),
    "f32s16": ("f32s8",),
    "s8s16": ("f32s8",),
    "s16f32": ("s8f32",),
    "b2": ("b4",),
}
VECTOR, QUARTER = 16, 4  # bytes of a vector and of a word: copies and compiled loops step by them


class KernelPrices(boards.Record, frozen=True):
    """Instructions per unit of each count; `error_percent` is the root mean square of the errors on shapes that
    were not fitted."""

    error_percent: float
    prices: dict[str, float]


class CorePrices(boards.Record, frozen=True):
    """`dispatch` is what the runtime spends to call a kernel. A latency needs `cycles_per_instruction`,
    with the source of that figure."""

    dispatch: float
    kernels: dict[str, KernelPrices]
    cycles_per_instruction: float | None = None
    source: str | None = None


@dataclass(frozen=True)
class Estimate:
    """Modelled cost of one run; None is what cannot be known for the board."""

    instructions: float | None
    latency_us: float | None
    error_percent: float | None


@cache
def prices() -> dict[str, CorePrices]:
    """Core name -> its prices."""
    path = boards.folder() / "costs.toml"
    return {
        core: boards.checked(table, CorePrices, f"{path}: {core}") for core, table in boards.read_toml(path).items()
    }


def program_cost(schedule: Schedule, core: str, clock_hz: int | None = None) -> Estimate:
    """The estimate of one run of a schedule, of a sliding window that of a new output.

    `error_percent` is the steps' errors, weighted by their cost.
    """
    known = prices().get(core)
    if known is None or any(s.kernel.name not in known.kernels for s in schedule.steps):
        return Estimate(None, None, None)
    calls = schedule.kernel_calls()
    costs = [_cost(schedule, s, calls[i], core) for i, s in enumerate(schedule.steps)]
    doubts = [known.kernels[s.kernel.name].error_percent for s in schedule.steps]
    total = sum(costs)
    error = sum(c * d for c, d in zip(costs, doubts, strict=True)) / total if total else 0.0
    latency = None
    if clock_hz is not None and known.cycles_per_instruction is not None:
        latency = total * known.cycles_per_instruction / clock_hz * 1e6
    return Estimate(total, latency, error)


def _cost(schedule: Schedule, step: Step, calls: int, core: str) -> float:
    """A step of a sliding window computes one row per call, of rows without end."""
    if step.node.output not in schedule.rings:
        return instructions(step, calls, core)
    work = instructions(step, 0, core)
    return work * calls / step.encoded.rows + instructions(step, calls, core) - work


def instructions(step: Step, calls: int, core: str) -> float:
    """Modelled instructions of a step whose rows are computed in `calls` calls of its kernel."""
    known = prices().get(core) or prices()[REFERENCE_CORE]
    each = _prices_of(step, known)
    work = sum(n * each.get(what, 0.0) for what, n in counts(step).items())
    start = sum(n * each.get(what, 0.0) for what, n in call_counts(step).items())
    return work + calls * (start + known.dispatch)


def _prices_of(step: Step, known: CorePrices) -> dict[str, float]:
    kernel = step.kernel
    if kernel.name in known.kernels:
        return known.kernels[kernel.name].prices
    for types in (kernel.types, *ALIKE.get(kernel.types, ())):
        alike = (name for name in known.kernels if name.startswith(f"ert_{kernel.op}_{types}_"))
        found = next(alike, None)
        if found:
            return known.kernels[found].prices
    return GUESS


@cache
def counts(step: Step) -> Counts:
    """How often the kernel does each thing to compute the whole output; calls apart."""
    rule = _RULES.get(step.kernel.op, _unknown)
    once = rule(step) + Counter({"row": step.encoded.rows})
    return Counter({what: n * step.encoded.batch for what, n in once.items() if n})


def call_counts(step: Step) -> Counts:
    """What each call of the kernel begins with: a step of several images starts on each of them."""
    return Counter({"call": 1, "image": step.encoded.batch})


def _words(step: Step) -> list[int]:
    return [p if isinstance(p, int) else 0 for p in step.encoded.params]


def _itemsize(step: Step) -> int:
    return step.encoded.output.value.itemsize


def _row_items(step: Step) -> int:
    return step.encoded.output.row_bytes // _itemsize(step)


def _loop(name: str, n: int, times: int) -> Counts:
    """A loop of n turns, run `times` times: apart what a vectorising compiler takes 16 or 4 at a time."""
    return Counter({
        name: times,
        f"{name} x16": n // VECTOR * times,
        f"{name} x4": n % VECTOR // QUARTER * times,
        f"{name} x1": n % QUARTER * times,
    })  # fmt: skip


def _copied(name: str, n_bytes: int, times: int, aligned: bool) -> Counts:
    """memcpy or memset. Where words must be aligned and are not, single bytes are moved."""
    return _loop(name, n_bytes, times) + Counter({f"{name} odd": 0 if aligned else n_bytes * times})


def _unknown(step: Step) -> Counts:
    return Counter({"mac": ops.macs(step.node), "item": step.node.output.elements})


def _taps(n_out: int, n_in: int, kernel: int, stride: int, dilation: int, pad: int) -> np.ndarray:
    """Of each window along an axis: how many of its taps lie inside the image."""
    at = (np.arange(n_out) * stride - pad)[:, None] + np.arange(kernel) * dilation
    inside: np.ndarray = ((at >= 0) & (at < n_in)).sum(1)
    return inside


def _dots(pixels: int, n: int, n_out: int) -> Counts:
    """n products for each of n_out channels, four channels at a time."""
    groups, rest = pixels * (n_out // 4), pixels * (n_out % 4)
    return Counter({"pixel": pixels, "group": groups, "group mac": groups * n}) + _loop("rest", n, rest)


@dataclass(frozen=True)
class _Window:
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


def _window(step: Step) -> _Window:
    h, w, c, out_w, out_c, kh, kw, sh, sw, dh, dw, top, left = _words(step)[:13]
    taps_y = _taps(step.encoded.rows, h, kh, sh, dh, top)
    taps_x = _taps(out_w, w, kw, sw, dw, left)
    whole = int((taps_x == kw).sum()) if dw == 1 or kw == 1 else 0
    return _Window(c, out_w, out_c, kh, kw, whole, taps_y, taps_x)


def _conv2d(step: Step) -> Counts:
    g = _window(step)
    pixels, taps = step.encoded.rows * g.out_w, g.kernel_h * g.kernel_w
    dots = _dots(pixels, taps * g.in_c, g.out_c)
    if _itemsize(step) == 4:
        dots = _float_dots(pixels, g.out_c, g.in_c * g.inside, g.in_c * (pixels * taps - g.inside))
    return dots + _gathered(g, pixels, g.in_c * _itemsize(step))


def _float_dots(pixels: int, n_out: int, products: int, padding: int) -> Counts:
    """A core without a floating-point unit takes less time for products with 0."""
    groups, rest = n_out // 4, n_out % 4
    return Counter({
        "pixel": pixels, "group": pixels * groups, "group mac": products * groups, "group pad": padding * groups,
        "rest": pixels * rest, "rest mac": products * rest, "rest pad": padding * rest,
    })  # fmt: skip


def _gathered(g: _Window, pixels: int, pixel_bytes: int) -> Counts:
    """Windows that are copied into scratch: whole rows of them, or pixel by pixel at the border."""
    rows = int(g.taps_y.sum())
    in_place = rows * g.whole if g.kernel_h == 1 else 0
    border = g.taps_x if g.whole == 0 else g.taps_x[g.taps_x < g.kernel_w]
    n_border, span, aligned = g.out_w - g.whole, g.kernel_w * pixel_bytes, pixel_bytes % QUARTER == 0
    inside, outside = int(border.sum()), n_border * g.kernel_w - int(border.sum())
    return (
        Counter({"gather": pixels - in_place, "border row": rows * n_border})
        + _copied("copy", span, rows * g.whole - in_place, aligned)
        + _copied("copy", pixel_bytes, rows * inside, aligned)
        + _copied("fill", pixel_bytes, rows * outside, aligned)
        + _copied("fill", span, pixels * g.kernel_h - rows * g.out_w, aligned)
    )


def _grouped_conv2d(step: Step) -> Counts:
    """Each group's window is gathered apart; then its channels are dots of its own part."""
    g, groups = _window(step), _words(step)[13]
    pixels, taps = step.encoded.rows * g.out_w, g.kernel_h * g.kernel_w
    part = g.in_c // groups
    dots = _dots(pixels * groups, taps * part, g.out_c // groups)
    return dots + _copied("copy", part * _itemsize(step), pixels * taps * groups, part % QUARTER == 0)


def _transpose_conv2d(step: Step) -> Counts:
    """A convolution per phase: all of them together gather and multiply each tap once per input pixel."""
    h, w, c, out_w, out_c, kh, kw, sh, sw = _words(step)[:9]
    pixels, taps = step.encoded.rows * out_w, max(1, round(kh * kw / (sh * sw)))
    copied = _copied("copy", c * _itemsize(step), pixels * taps, c % QUARTER == 0)
    return (
        Counter({"gather": pixels, "phase": step.encoded.rows * min(sw, out_w)})
        + _dots(pixels, taps * c, out_c)
        + copied
    )


def _depthwise_conv2d(step: Step) -> Counts:
    g = _window(step)
    pixels = step.encoded.rows * g.out_w
    inside, outside = g.inside, pixels * g.kernel_h * g.kernel_w - g.inside
    listed = Counter({"pixel": pixels, "tap row": pixels * g.kernel_h, "tap": inside, "pad tap": outside})
    if _itemsize(step) == 4:
        vectors = _loop("mac", g.out_c, inside) if g.in_c == g.out_c else Counter({"repeat": inside * g.in_c})
        repeats = Counter({"repeat mac": inside * g.out_c if g.in_c != g.out_c else 0})
        return listed + vectors + repeats + _loop("item", g.out_c, pixels)
    groups = g.out_c // 4 if g.in_c == g.out_c else 0
    rest = g.out_c - 4 * groups
    return listed + Counter({
        "group": pixels * groups, "group mac": inside * groups, "group pad": outside * groups,
        "rest": pixels * rest, "rest mac": inside * rest, "rest pad": outside * rest,
        "divide": pixels * rest if g.in_c != g.out_c else 0,
    })  # fmt: skip


def _fully_connected(step: Step) -> Counts:
    in_c, out_c = _words(step)[:2]
    return _dots(step.encoded.rows, in_c, out_c)


def _fully_connected_rows(step: Step) -> Counts:
    rows, in_c, out_c = _words(step)[:3]
    return _dots(rows, in_c, out_c)


def _batch_matmul(step: Step) -> Counts:
    """Dots of four columns at a time where b is stored transposed, else rows of b are added up."""
    _, k, n, transposed = _words(step)[:4]
    rows = step.encoded.rows
    if transposed:
        return _dots(rows, k, n) + Counter({"centre": rows * k})
    return _loop("sum", n, rows * k) + _loop("item", n, rows)


def _pool(step: Step) -> Counts:
    h, w, c, out_w, kh, kw, sh, sw, top, left = _words(step)[:10]
    pixels = step.encoded.rows * out_w
    rows = int(_taps(step.encoded.rows, h, kh, sh, 1, top).sum())
    inside = rows * int(_taps(out_w, w, kw, sw, 1, left).sum())
    aligned = c * _itemsize(step) % QUARTER == 0
    return (
        Counter({"window row": rows * out_w})
        + _loop("tap", c, inside)
        + _loop("item", c, pixels)
        + _copied("start", c * _itemsize(step), pixels, aligned)
    )


def _reduce(step: Step) -> Counts:
    in_rows, width, inner, kind = _words(step)[:4]
    rows, groups = step.encoded.rows, step.encoded.rows // in_rows
    added = Counter({"sum": rows * width}) if inner == 1 else _loop("tap", inner, rows * width)
    return Counter({f"kind {kind} {what}": n for what, n in (added + _loop("item", inner, groups)).items()})


def _binary(step: Step) -> Counts:
    w, c = _words(step)[:2]
    return _loop("pixel", c, w * step.encoded.rows)


def _concat(step: Step) -> Counts:
    by_rows, repeats, *parts = _words(step)
    if by_rows:
        rows = Counter({"passed": sum(n * i for i, n in enumerate(parts))})
        return rows + _copied("copy", step.encoded.output.row_bytes, step.encoded.rows, True)
    total = Counter({"part": sum(p > 0 for p in parts) * step.encoded.rows})
    for part in filter(None, parts):
        total += _copied("copy", part, repeats * step.encoded.rows, part % QUARTER == 0)
    return total


def _copy(step: Step) -> Counts:
    """Runs along the last axis: copied where the items are neighbours, else one by one."""
    axes = np.array(_words(step)[:20]).reshape(5, 4)
    size, n = _itemsize(step), axes[:, 2] - axes[:, 1]
    rows = int(n[0] * n[1])
    filled = step.encoded.rows if (n < axes[:, 0]).any() else 0
    planes, runs, items = rows * int(n[2]), rows * int(n[2] * n[3]), int(n[4])
    total = Counter({"block": rows, "plane": planes}) + _copied("fill", _row_items(step) * size, filled, True)
    if axes[4, 3] == size:
        return total + _copied("copy", items * size, runs, items * size % QUARTER == 0)
    return total + _loop("run", items, runs)


def _items(step: Step) -> Counts:
    return _loop("item", _row_items(step), step.encoded.rows)


def _unary(step: Step) -> Counts:
    kind = _words(step)[1]
    return Counter({f"kind {kind}": _row_items(step) * step.encoded.rows})


def _normalize(step: Step) -> Counts:
    outer, groups, inner = _words(step)[:3]
    return Counter({"item": step.encoded.rows * outer * groups * inner, "group": step.encoded.rows * groups})


def _resize(step: Step) -> Counts:
    _, _, out_w, pixel = _words(step)[:4]
    pixels = step.encoded.rows * out_w
    if step.kernel.types == "b1":
        return _copied("copy", pixel, pixels, pixel % QUARTER == 0)
    return _loop("pixel", pixel, pixels)


def _gather(step: Step) -> Counts:
    """One block for each turn of the loops."""
    words = _words(step)
    turns, block = int(np.prod(words[0:18:3], dtype=np.int64)), words[38]
    moved = step.node.output.n_bytes if step.kernel.op == "scatter" else 0
    return (
        Counter({"place": turns})
        + _copied("copy", block, turns, block % QUARTER == 0)
        + _copied("copy", moved, 1, True)
    )


def _top_k(step: Step) -> Counts:
    groups, n, inner, k = _words(step)[:4]
    return Counter({"item": groups * n * inner * k * step.encoded.rows})


def _nms(step: Step) -> Counts:
    """The worst case: no box suppresses another."""
    words = _words(step)
    images, classes, boxes, most = words[:4] if step.kernel.op == "nms" else (1, words[3], words[0], words[4])
    return Counter({"item": images * classes * boxes * min(most, boxes)})


def _svdf(step: Step) -> Counts:
    in_c, units, rank, memory = _words(step)[:4]
    rows, filters = step.encoded.rows, units * rank
    cells = filters * memory
    products = _loop("feature", in_c, rows * filters) + _loop("time", rank * memory, rows * units)
    return products + _copied("shift", cells * step.node.input(4).itemsize, rows, True)


def _lstm(step: Step) -> Counts:
    batch, in_c, units = _words(step)[2:5]
    return _recurrence(step.encoded.rows * batch, in_c, units, 4)


def _rnn(step: Step) -> Counts:
    kind, _, _, batch, in_c, units = _words(step)[:6]
    return _recurrence(step.encoded.rows * batch, in_c, units, RNN_GATES[kind])


RNN_GATES = (4, 3, 3, 1, 1)  # by kind


def _recurrence(items: int, in_c: int, units: int, gates: int) -> Counts:
    """Products with the input and with the state, and what is done once per gate and unit."""
    rows = items * gates * units
    return _loop("input", in_c, rows) + _loop("state", units, rows) + Counter({"gate": rows, "unit": items * units})


def _lrn(step: Step) -> Counts:
    w, c, before, after = _words(step)[:4]
    pixels = w * step.encoded.rows
    return Counter({"item": pixels * c, "mac": pixels * c * min(c, before + after + 1)})


def _resize_filter(step: Step) -> Counts:
    _, _, out_w, c, row_taps, column_taps = _words(step)[:6]
    items = step.encoded.rows * out_w * c
    return Counter({"item": items, "tap row": items * row_taps, "mac": items * row_taps * column_taps})


_RULES: dict[str, Callable[[Step], Counts]] = {
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
    "lut": _items,
    "quantize": _items,
    "dequantize": _items,
    "softmax": _items,
    "unary": _unary,
    "resize": _resize,
    "elementwise": _items,
    "cast": _items,
    "cumsum": _items,
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
    "arith": _binary,
    "pow": _binary,
    "div": _binary,
    "squared_difference": _binary,
    "prelu": _binary,
    "elementary": _unary,
    "power": _items,
    "log_softmax": _items,
    "l2_norm": _items,
    "hardmax": _items,
    "lrn": _lrn,
    "resize_filter": _resize_filter,
}
