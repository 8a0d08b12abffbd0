# SPDX-License-Identifier: Apache-2.0
"""What convolutions and fully connected layers on vectors count: runtime_c/kernels/<op>/<op>_mve.c.

Three pixels are computed together, or one alone, for four channels at a time; a window is read in runs where it lies,
or gathered before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgesdk.counts import Counts, Window, geometry, itemsize, parameters
from edgesdk.schedule import Step

VECTOR = 16  # bytes
BLOCK = 32  # int4 weights that are unpacked together
FEW = 42  # items of windows that are gathered three at a time
MOST_RUNS = 3


def vectors(n_bytes: int) -> int:
    return -(-n_bytes // VECTOR)


def dots(step: Step, threes: int, ones: int, runs: int, run: int, n_out: int) -> Counts:
    """Pixels of `runs` runs of `run` items each."""
    blocks, bytes_of_run = -(-n_out // 4), run * itemsize(step)
    nibbles = run // BLOCK if step.kernel.types == "s8s4" and runs * run >= BLOCK else 0
    twice = itemsize(step) == 2 and parameters(step)[-3] == 0
    found: Counts = Counter()
    for name, n in (("three", threes), ("one", ones)):
        found += Counter({
            name: n, f"{name} block": n * blocks, f"{name} rest": n * (n_out % 4 > 0), f"{name} run": n * blocks * runs,
            f"{name} nibbles": n * blocks * runs * nibbles,
            f"{name} vector": n * blocks * runs * vectors(bytes_of_run - nibbles * BLOCK),
            f"{name} rounded twice": n * blocks * twice,
        })  # fmt: skip
    return found


@dataclass(frozen=True)
class Inside:
    """Of the rows and columns of an output, those under which no tap lies outside the image; rows of windows inside."""

    rows: int
    columns: int
    kernel_rows: int


def inside_of(g: Window) -> Inside:
    rows, columns = (int((taps == n).sum()) for taps, n in ((g.taps_y, g.kernel_h), (g.taps_x, g.kernel_w)))
    return Inside(rows, columns, int(g.taps_y.sum()))


def conv2d(step: Step) -> Counts:
    g, rows = geometry(step), step.encoded.rows
    w, c = parameters(step)[1:3]
    stride_h, stride_w, dilation_h, dilation_w, top, left = parameters(step)[7:13]
    pixels, n, within = rows * g.out_w, g.kernel_h * g.kernel_w * c, inside_of(g)
    one_run = dilation_w == 1 or g.kernel_w == 1
    room = (g.out_w - 1) * stride_w <= w - g.kernel_w
    if (g.kernel_h, dilation_h, top, left) == (1, 1, 0, 0) and one_run and room:
        lines = 1 if stride_h == 1 and w == g.out_w * stride_w else rows
        line = pixels // lines
        return dots(step, lines * (line // 3), lines * (line % 3), 1, n, g.out_c)
    if g.kernel_h <= MOST_RUNS and dilation_w == 1 and g.kernel_w * c % VECTOR == 0:
        inner = within.rows * within.columns
        threes, ones = within.rows * (within.columns // 3), within.rows * (within.columns % 3)
        moved = Counter({"runs begin": within.rows * g.kernel_h, "runs move": (threes + ones) * g.kernel_h})
        ones += pixels - inner
        return (
            moved + dots(step, threes, ones, g.kernel_h, n // g.kernel_h, g.out_c) + _gathered(g, step, within, inner)
        )
    threes = pixels // 3 if n <= FEW else 0
    return dots(step, threes, pixels - 3 * threes, 1, n, g.out_c) + _gathered(g, step, within, 0)


def _gathered(g: Window, step: Step, within: Inside, in_place: int) -> Counts:
    """Windows that are put together, but for those inside that are read in place."""
    rows, span = step.encoded.rows, g.kernel_w * g.in_c * itemsize(step)
    dilated = parameters(step)[10] > 1
    columns = 0 if dilated else within.columns
    full = within.rows * columns * g.kernel_h
    narrow = full if span <= VECTOR and not in_place else 0
    copied = within.kernel_rows * columns - narrow - in_place * g.kernel_h
    border = within.kernel_rows * (g.out_w - columns)
    missing = (rows * g.kernel_h - within.kernel_rows) * g.out_w
    return Counter({
        "gather": rows * g.out_w - in_place, "narrow": narrow, "copy": copied, "copy vector": copied * vectors(span),
        "border": border, "border vector": border * vectors(span), "border column": border * g.kernel_w * dilated,
        "missing": missing, "missing vector": missing * vectors(span),
        "gathered row": rows, "found row": rows * g.kernel_h,
    })  # fmt: skip


def fully_connected(step: Step) -> Counts:
    in_c, out_c = parameters(step)[:2]
    rows = step.encoded.rows
    return dots(step, rows // 3, rows % 3, 1, in_c, out_c)


def depthwise_conv2d(step: Step) -> Counts:
    return _fours(step) if itemsize(step) == 2 else _sixteens(step)


def _fours(step: Step) -> Counts:
    """int16: taps inside the image, four channels at a time."""
    g, pixels = geometry(step), step.encoded.rows * geometry(step).out_w
    groups, kernel_rows = -(-g.out_c // 4), int(g.taps_y.sum()) * g.out_w
    return Counter({
        "pixel": pixels, "group": pixels * groups, "group row": kernel_rows * groups,
        "group missing": (pixels * g.kernel_h - kernel_rows) * groups, "group tap": g.inside * groups,
        "rest tap": g.inside * (g.out_c % 4 > 0), "rounded twice": pixels * groups * (parameters(step)[-3] == 0),
    })  # fmt: skip


def _sixteens(step: Step) -> Counts:
    """Windows of 3x3 inside the image go on from one to the next; of others the taps are looked up."""
    g, within = geometry(step), inside_of(geometry(step))
    taps, blocks = g.kernel_h * g.kernel_w, -(-g.out_c // VECTOR)
    pixels = VECTOR // g.out_c if g.out_c <= 8 and parameters(step)[8] == 1 else 1
    inner_rows = within.rows if (g.kernel_h, g.kernel_w) == (3, 3) else 0
    inner = within.columns // pixels
    outer = step.encoded.rows * g.out_w - inner_rows * inner * pixels
    partial = g.out_c * pixels % VECTOR > 0
    return Counter({
        "inner row": inner_rows * blocks * (inner > 0), "inner": inner_rows * inner * blocks,
        "inner partial": inner_rows * inner * partial,
        "outer": outer, "outer row": outer * g.kernel_h, "outer tap": outer * taps, "outer inside": g.inside,
        "outer block": outer * blocks, "outer pair": outer * blocks * (taps // 2),
        "outer odd": outer * blocks * (taps % 2), "outer next": outer * (blocks - 1) * -(-taps // 4),
    })  # fmt: skip


RULES = {"conv2d": conv2d, "fully_connected": fully_connected, "depthwise_conv2d": depthwise_conv2d}
