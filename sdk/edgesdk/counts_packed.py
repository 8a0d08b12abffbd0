# SPDX-License-Identifier: Apache-2.0
"""What kernels count that have weights in an order of their own, or take several items at once: those of instruction
sets. counts.py has the portable ones, counts_vectors.py those of layers on vectors.

A convolution computes tiles of pixels x channels, `deep` products at a time; what is left over of pixels and of
channels is counted apart, and so are windows that are copied or filled before they are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edgesdk import counts_vectors
from edgesdk.counts import Counts, Window, geometry, itemsize, loop, parameters
from edgesdk.kernels import Kernel
from edgesdk.schedule import Step

# Layout of the weights -> pixels and channels of a tile, and products that its inner loop takes at a time.
TILES = {"pairs": (2, 4, 4), "quads": (2, 4, 4), "twos": (2, 4, 4), "panels": (2, 4, 4)}
SINGLE = ("pairs", "quads", "twos")  # whose fully connected layers take one pixel at a time
GROUP = 4  # channels that a depthwise kernel takes at a time
WORD = 4
BYTE = (-128, 127)


def rule(kernel: Kernel) -> Callable[[Step], Counts] | None:
    """How a kernel is counted; None where counts.py says it."""
    if kernel.isa == "mve" and kernel.op in counts_vectors.RULES:
        return counts_vectors.RULES[kernel.op]
    if kernel.op in _BY_LAYOUT and kernel.layout:
        return _BY_LAYOUT[kernel.op].get(kernel.layout, _OTHERS[kernel.op])
    if kernel.isa != "c" and kernel.op in _BINARY:
        return _binary
    return None


def again(step: Step) -> Counts:
    """What a kernel does once more in each call, besides starting."""
    return _planes_again(step) if (step.kernel.op, step.kernel.layout) == ("depthwise_conv2d", "planes") else Counter()


def _tiles(groups: int, left: int, n: int, n_out: int, tile: tuple[int, int, int], filled: bool) -> Counts:
    """`groups` whole groups of pixels, and `left` of fewer pixels; weights are `filled` up to whole depths, or the last
    products are single ones."""
    _, channels, depth = tile
    blocks, rest = n_out // channels, n_out % channels
    deep, single = (-(-n // depth), 0) if filled else (n // depth, n % depth)
    found: Counts = Counter()
    for name, times in (("tile", groups), ("last", left)):
        found += Counter({
            f"{name}s": times, f"{name}s deep": times * deep,
            name: times * blocks, f"{name} deep": times * blocks * deep,
            f"{name} rest": times * (rest > 0), f"{name} rest deep": times * (rest > 0) * deep,
            f"{name} rest item": times * rest, f"{name} left": times * (blocks + (rest > 0)) * single,
        })  # fmt: skip
    return found


def _conv2d(step: Step) -> Counts:
    g, tile = geometry(step), TILES.get(step.kernel.layout, (1, 4, 4))
    pixels, n = step.encoded.rows * g.out_w, g.kernel_h * g.kernel_w * g.in_c
    groups, left = pixels // tile[0], int(pixels % tile[0] > 0)
    if step.kernel.layout == "panels" and _reads_apart(g):
        dots = _apart(g, groups, left, tile)
    else:
        dots = _tiles(groups, left, n, g.out_c, tile, step.kernel.layout != "panels")
    return dots + _windows(g, step.encoded.rows, itemsize(step)) + _finished(step)


def _reads_apart(g: Window) -> bool:
    """Whether conv2d_thumb2.c reads the rows of a window where they lie."""
    return 2 <= g.kernel_h <= 8 and 17 * g.out_c < 4 * (40 + g.kernel_w * g.in_c)


def _apart(g: Window, groups: int, left: int, tile: tuple[int, int, int]) -> Counts:
    """Each row of a window is a dot of its own that is added to the others."""
    rows = _tiles(groups * g.kernel_h, left * g.kernel_h, g.kernel_w * g.in_c, g.out_c, tile, False)
    blocks = -(-g.out_c // tile[1])
    return Counter({f"apart {what}": n for what, n in rows.items()}) + Counter({
        "apart": groups * blocks, "apart last": left * blocks, "apart items": groups * g.out_c
    })  # fmt: skip


def _windows(g: Window, rows: int, size: int) -> Counts:
    """Runs of windows, those that lie in their row of the image and those that do not; copied byte by byte."""
    if g.kernel_h * g.kernel_w == 1 and g.whole == g.out_w and int(g.taps_y.min(initial=1)):
        return Counter({"in place": rows * g.out_w})
    run, rows_inside = g.kernel_w * g.in_c * size, int(g.taps_y.sum())
    whole, border = rows_inside * g.whole, rows_inside * (g.out_w - g.whole)
    missing = (rows * g.kernel_h - rows_inside) * g.out_w
    outer = rows * g.out_w - int((g.taps_y == g.kernel_h).sum()) * g.whole
    copied = loop("copy", run, whole) if run % WORD else Counter({"run": whole, "run x16": whole * (run // 16)})
    return (
        Counter({"window": rows * g.out_w, "outer": outer, "outer row": outer * g.kernel_h})
        + Counter({"border column": border * g.kernel_w})
        + copied
        + loop("border", run, border)
        + loop("missing", run, missing)
    )


def _fully_connected(step: Step) -> Counts:
    in_c, out_c = parameters(step)[:2]
    tile = TILES.get(step.kernel.layout, (1, 4, 4))
    pixels = 1 if step.kernel.layout in SINGLE else tile[0]
    rows = step.encoded.rows
    return (
        _tiles(rows // pixels, int(rows % pixels > 0), in_c, out_c, (pixels, *tile[1:]), step.kernel.layout != "panels")
        + Counter({"one left": int(rows % pixels == 1)})
        + (_finished(step) if itemsize(step) == 2 else Counter())
    )


def _fully_connected_rows(step: Step) -> Counts:
    rows, in_c, out_c = parameters(step)[:3]
    return _tiles(rows, 0, in_c, out_c, (1, *TILES["pairs"][1:]), True) + Counter({"output": out_c})


def _listed(g: Window, rows: int) -> int:
    """Windows whose taps are looked up: others lie a stride behind one that is inside the image, too."""
    whole_rows = int((g.taps_y == g.kernel_h).sum())
    return rows * g.out_w - whole_rows * max(0, g.whole - 1)


def _depthwise(step: Step) -> Counts:
    """Groups of channels, pairs of taps."""
    g, rows = geometry(step), step.encoded.rows
    pixels, taps = rows * g.out_w, g.kernel_h * g.kernel_w
    groups, listed = pixels * -(-g.out_c // GROUP), _listed(g, rows)
    return _finished(step) + Counter({
        "pixel": pixels, "group": groups, "group pair": groups * (taps // 2), "group tap": groups * (taps % 2),
        "rest": pixels * (g.out_c % GROUP > 0), "listed": listed, "listed row": listed * g.kernel_h,
        "listed tap": listed * taps, "channel group": -(-g.out_c // GROUP), "row group": rows * -(-g.out_c // GROUP),
    })  # fmt: skip


def _finished(step: Step) -> Counts:
    """What rescaling takes besides the tiles: int16 layers whose sums are not wide round twice."""
    if itemsize(step) == 1:
        return _clamp(step)
    return Counter({"rounded twice": step.node.output.elements * (parameters(step)[-3] == 0)})


def _clamp(step: Step) -> Counts:
    """Of outputs that are narrower than a byte."""
    narrow = tuple(parameters(step)[-2:]) != BYTE
    return Counter({"clamped row": step.encoded.rows * narrow, "clamped": step.node.output.elements * narrow})


def _planes(step: Step) -> Counts:
    """Channel by channel, two outputs at a time; rows of two channels are gathered together."""
    g, rows = geometry(step), step.encoded.rows
    lines = rows * g.out_c
    return _clamp(step) + _gathered_rows(step, rows) + Counter({
        "line": lines, "line pair": lines * (g.out_w // 2), "line last": lines * (g.out_w % 2)
    })  # fmt: skip


def _gathered_rows(step: Step, rows: int) -> Counts:
    g = geometry(step)
    pairs = -(-g.out_c // 2)
    return Counter({"gather": rows * pairs, "gather x2": rows * pairs * ((g.out_w + 3) // 2)})


def _planes_again(step: Step) -> Counts:
    """The first two rows of a call, and the constants of each channel."""
    return _gathered_rows(step, 2) + Counter({"channel": geometry(step).out_c})


def _by_channel(step: Step) -> Counts:
    """Two neighbours inside the image share columns; other pairs read each item on its own."""
    g, rows = geometry(step), step.encoded.rows
    whole_rows = int((g.taps_y == g.kernel_h).sum())
    near = whole_rows * (g.whole // 2)
    far = -(-(rows * g.out_w - 2 * near) // 2)
    return _clamp(step) + Counter({
        "near": near, "near channel": near * g.out_c, "far": far, "far channel": far * g.out_c,
        "far tap": far * g.kernel_h * g.kernel_w,
    })  # fmt: skip


def _binary(step: Step) -> Counts:
    """Rows of items that lie side by side in both inputs, or pixels of broadcast ones."""
    w, c = parameters(step)[:2]
    alike = all(v.elements == step.node.output.elements for v in step.node.inputs if v is not None)
    return (loop("run", w * c, step.encoded.rows) if alike else loop("pixel", c, w * step.encoded.rows)) + _clamp(step)


_BINARY = ("add", "mul", "minmax")
_BY_LAYOUT: dict[str, dict[str, Callable[[Step], Counts]]] = {
    "conv2d": {},
    "fully_connected": {},
    "fully_connected_rows": {},
    "depthwise_conv2d": {"planes": _planes, "by_channel": _by_channel},
    "add": {},
}
_OTHERS: dict[str, Callable[[Step], Counts]] = {
    "conv2d": _conv2d,
    "fully_connected": _fully_connected,
    "fully_connected_rows": _fully_connected_rows,
    "depthwise_conv2d": _depthwise,
    "add": _binary,
}
