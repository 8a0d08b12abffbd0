# SPDX-License-Identifier: Apache-2.0
"""Histograms side by side as inline SVG, counts on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from edgesdk.compress.histogram import HALF, Histogram
from edgesdk.plots import WIDTH, ticks

BARS = 96
HEIGHT, TOP, BOTTOM, GAP, SIDE = 190, 26, 158, 44, 12


@dataclass(frozen=True)
class Panel:
    """`edges` has one number more than `counts`; `covered` is the part that is shaded."""

    title: str
    edges: np.ndarray
    counts: np.ndarray
    covered: tuple[float, float] | None


def of_histogram(h: Histogram, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """(edges, counts) of about BARS bars over what was seen."""
    first, last = int(np.floor(low / h.width)), int(np.floor(high / h.width)) + 1
    each = max(1, -(-(last - first) // BARS))
    starts = np.arange(first, last, each)
    padded = np.zeros(len(starts) * each, np.int64)
    inside = h.counts[max(0, first + HALF) : last + HALF]
    padded[: len(inside)] = inside
    return np.append(starts, starts[-1] + each) * h.width, padded.reshape(-1, each).sum(1)


def panels(parts: Sequence[Panel]) -> Markup:
    width = (WIDTH - GAP * (len(parts) - 1)) / len(parts)
    drawn = [_panel(p, i * (width + GAP) + SIDE, (i + 1) * width + i * GAP - SIDE) for i, p in enumerate(parts)]
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">')
    names = " and ".join(p.title for p in parts)
    return head.format(WIDTH, HEIGHT, f"Histograms of {names}") + Markup("").join(drawn) + Markup("</svg>")


def _panel(p: Panel, left: float, right: float) -> Markup:
    low, high = float(p.edges[0]), float(p.edges[-1])
    if p.covered is not None:
        low, high = min(low, p.covered[0]), max(high, p.covered[1])
    span = (high - low) or 1.0

    def x(v: float) -> float:
        return left + (v - low) / span * (right - left)

    parts = [Markup('<text x="{:.1f}" y="14" class="axis">{}</text>').format(left, p.title)]
    if p.covered is not None:
        parts.append(_covered(x(p.covered[0]), x(p.covered[1])))
    parts.append(Markup('<path d="{}" class="cost"/>').format(_outline(p, [x(float(e)) for e in p.edges])))
    parts.append(
        Markup('<line x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}" class="grid"/>').format(left, BOTTOM, right, BOTTOM)
    )
    label = Markup('<text x="{:.1f}" y="{}" class="tick" text-anchor="middle">{:g}</text>')
    parts += [label.format(x(t), BOTTOM + 20, round(t, 9)) for t in ticks(low, high, 6) if low <= t <= high]
    return Markup("").join(parts)


def _covered(x0: float, x1: float) -> Markup:
    box = Markup('<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" class="covered"/>')
    line = Markup('<line x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}" class="reference"/>')
    return box.format(x0, TOP, max(0.0, x1 - x0), BOTTOM - TOP) + Markup("").join(
        line.format(x, TOP, x, BOTTOM) for x in (x0, x1)
    )


def _outline(p: Panel, xs: Sequence[float]) -> str:
    """One path for all bars: heights are log(1 + count)."""
    heights = np.log1p(p.counts) / max(float(np.log1p(p.counts.max(initial=0))), 1e-9) * (BOTTOM - TOP - 6)
    bars = (
        f"M{x0:.1f} {BOTTOM}V{BOTTOM - h:.1f}H{x1:.1f}V{BOTTOM}Z"
        for x0, x1, h in zip(xs[:-1], xs[1:], heights, strict=True)
        if h > 0
    )
    return "".join(bars)
