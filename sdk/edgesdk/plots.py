# SPDX-License-Identifier: Apache-2.0
"""Plots as inline SVG: the front, the arena over time, bars of steps. Colours are classes of report.html.j2."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgesdk.memory_map import SERVICE, MemoryMap, live_bytes

WIDTH, LEFT, RIGHT = 960, 84, 24
MIDDLE = (LEFT + WIDTH - RIGHT) / 2
COLOURS = 12  # classes c0 ... c11
BAR_STEP, BAR_WIDTH = 19, 380
LIVE_PIXELS = 3
LABEL_WIDTH, LABEL_HEIGHT = 58, 15
PLAIN_SHARE = 48  # a call of a plain stage is at least this part of the map's width


@dataclass(frozen=True)
class Mark:
    """A point of the front plot."""

    x: float
    y: float
    label: str
    title: str
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """A horizontal line of the front plot."""

    y: float
    label: str


@dataclass(frozen=True)
class StepBar:
    label: str
    value: float
    text: str
    title: str


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / about))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size * about >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def n_bytes(x: float) -> str:
    return f"{x:,.0f} B" if abs(x) < 10_000 else f"{x / 1000:,.1f} kB" if abs(x) < 1e6 else f"{x / 1e6:,.2f} MB"


def _axis_bytes(x: float) -> str:
    return "0" if x == 0 else f"{x:,.0f} B" if x < 1000 else f"{x / 1000:,g} kB" if x < 1e6 else f"{x / 1e6:,g} MB"


def _text(x: float, y: float, text: str, cls: str = "", anchor: str = "start") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>').format(x, y, cls, anchor, text)


def _line(x1: float, y1: float, x2: float, y2: float, cls: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, cls)


def _level(y: float, label: str) -> Markup:
    return _line(LEFT, y, WIDTH - RIGHT, y, "grid") + _text(LEFT - 10, y + 4, label, "tick", "end")


def _svg(height: float, parts: Sequence[Markup], title: str) -> Markup:
    head = Markup('<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">')
    return head.format(WIDTH, height, title) + Markup("").join(parts) + Markup("</svg>")


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda v: start + (v - low) / span * (end - start)


def front(marks: Sequence[Mark], lines: Sequence[Line], x_label: str, x_text: Callable[[float], str]) -> Markup:
    """Arena over cost; between two points the larger arena is what a cost buys."""
    height, top, bottom = 420, 28, 364
    y_ticks = ticks(0, max([m.y for m in marks] + [ln.y for ln in lines]))
    x_ticks = ticks(min(m.x for m in marks), max(m.x for m in marks))
    x = _scale(x_ticks[0], x_ticks[-1], LEFT + 16, WIDTH - RIGHT - 70)
    y = _scale(0, y_ticks[-1], bottom, top)
    parts = [_level(y(t), _axis_bytes(t)) for t in y_ticks]
    parts += [_text(x(t), bottom + 22, x_text(t), "tick", "middle") for t in x_ticks]
    parts += [_text(MIDDLE, height - 8, x_label, "axis", "middle"), _text(LEFT, 14, "arena", "axis")]
    for ln in lines:
        parts.append(_line(LEFT, y(ln.y), WIDTH - RIGHT, y(ln.y), "reference"))
        parts.append(_text(WIDTH - RIGHT, y(ln.y) - 6, ln.label, "tick", "end"))
    return _svg(height, [*parts, _stairs(marks, x, y), *_marks(marks, x, y)], "Arena over cost of each schedule")


def _stairs(marks: Sequence[Mark], x: Callable[[float], float], y: Callable[[float], float]) -> Markup:
    path = f"M{x(marks[0].x):.1f} {y(marks[0].y):.1f}"
    path += "".join(f"H{x(m.x):.1f}V{y(m.y):.1f}" for m in marks[1:])
    return Markup('<path d="{}H{:.1f}" class="stairs"/>').format(path, WIDTH - RIGHT)


def _marks(marks: Sequence[Mark], x: Callable[[float], float], y: Callable[[float], float]) -> list[Markup]:
    parts: list[Markup] = []
    labelled: list[tuple[float, float]] = []
    circle = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"><title>{}</title></circle>')
    for m in sorted(marks, key=lambda m: not m.strong):
        at = (x(m.x), y(m.y))
        parts.append(circle.format(*at, 6 if m.strong else 5, "mark strong" if m.strong else "mark", m.title))
        if all(abs(at[0] - a) > LABEL_WIDTH or abs(at[1] - b) > LABEL_HEIGHT for a, b in labelled):
            parts.append(_text(at[0] + 9, at[1] - 9, m.label, "label"))
            labelled.append(at)
    return parts


def arena(m: MemoryMap, live: bool = True) -> Markup:
    """Offsets over calls: each value in one colour, stages side by side."""
    height, top, bottom = 400, 34, 352
    y_ticks = [t for t in ticks(0, max(1, m.arena_bytes)) if t < m.arena_bytes * 0.96] + [m.arena_bytes]
    edges, y = _call_edges(m), _scale(0, max(1, m.arena_bytes), bottom, top)
    parts = [_level(y(t), _axis_bytes(t)) for t in y_ticks]
    parts += [*_bars(m, edges, y), *_spans(m, edges, top, bottom)]
    if live:
        parts.append(_live(m, edges, y))
    parts.append(_text(MIDDLE, height - 8, f"time: {m.n_calls:,} kernel calls", "axis", "middle"))
    return _svg(height, parts, "What lies where in the arena at each call")


def _call_edges(m: MemoryMap) -> list[float]:
    """Where each call begins: calls of plain stages are few and long, so they get room."""
    weights = [1.0] * m.n_calls
    for span in m.spans:
        if span.label.startswith("plain"):
            weights[span.first : span.end] = [max(1.0, m.n_calls / PLAIN_SHARE)] * (span.end - span.first)
    scale = (WIDTH - RIGHT - LEFT) / (sum(weights) or 1.0)
    edges = [float(LEFT)]
    for w in weights:
        edges.append(edges[-1] + w * scale)
    return edges


def _bars(m: MemoryMap, edges: list[float], y: Callable[[float], float]) -> list[Markup]:
    """One path per value, so that a map of thousands of rows stays small."""
    paths: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for b in m.bars:
        x0, x1, y0, y1 = edges[b.first], edges[b.last + 1], y(b.offset + b.n_bytes), y(b.offset)
        paths.setdefault(b.name, []).append(f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}Z")
        sizes[b.name] = sizes.get(b.name, 0) + b.n_bytes
    values = [name for name in paths if name not in SERVICE]
    classes = {name: f"c{i % COLOURS}" for i, name in enumerate(values)}
    shape = Markup('<path d="{}" class="bar {}"><title>{}</title></path>')
    return [
        shape.format("".join(p), classes.get(name, "service"), f"{name}: {sizes[name]:,} bytes in {len(p)} pieces")
        for name, p in paths.items()
    ]


def _spans(m: MemoryMap, edges: list[float], top: float, bottom: float) -> list[Markup]:
    parts, free = [], 0.0
    for span in m.spans:
        x0, x1 = edges[span.first], edges[span.end]
        parts.append(_line(x0, top - 8, x0, bottom, "boundary"))
        if x1 - x0 > 7 * len(span.label) and x0 >= free:
            parts.append(_text((x0 + x1) / 2, top - 12, span.label, "tick", "middle"))
            free = (x0 + x1) / 2 + 3.5 * len(span.label)
    return parts


def _live(m: MemoryMap, edges: list[float], y: Callable[[float], float]) -> Markup:
    """The most bytes in use per pixel or two: every call would be a black area."""
    path, t, used = "", 0, live_bytes(m)
    while t < m.n_calls:
        end = t + 1
        while end < m.n_calls and edges[end] - edges[t] < LIVE_PIXELS:
            end += 1
        path += f"L{edges[t]:.1f} {y(max(used[t:end])):.1f}H{edges[end]:.1f}"
        t = end
    return Markup('<path d="M{}" class="live"><title>bytes in use</title></path>').format(path[1:])


def bars(rows: Sequence[StepBar]) -> Markup:
    """One horizontal bar per step."""
    largest = max((r.value for r in rows), default=0.0) or 1.0
    x = _scale(0, largest, 300, 300 + BAR_WIDTH)
    parts = []
    for i, r in enumerate(rows):
        y = 6 + BAR_STEP * i
        box = Markup('<rect x="300" y="{}" width="{:.1f}" height="13" rx="2" class="cost"><title>{}</title></rect>')
        parts.append(_text(290, y + 11, r.label, "tick", "end"))
        parts.append(box.format(y, max(1.0, x(r.value) - 300), r.title))
        parts.append(_text(x(r.value) + 8, y + 11, r.text, "tick"))
    return _svg(12 + BAR_STEP * len(rows), parts, "Cost of each step")
