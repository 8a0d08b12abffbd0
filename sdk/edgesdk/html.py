# SPDX-License-Identifier: Apache-2.0
"""Reports as one page each: no scripts, nothing loaded from elsewhere, plots as inline SVG."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

import edgesdk
from edgesdk import memory_map, plots
from edgesdk.plots import n_bytes
from edgesdk.program import Program
from edgesdk.search import Point

TEMPLATE = "report.html.j2"
MOST_MAPS = 8
UNKNOWN = "–"
# Twelve fills that differ from their neighbours in hue and lightness, on light and on dark paper.
COLOURS = (
    "#4c8eda", "#e0853d", "#4fae77", "#c7588b", "#8c79d6", "#c9a732",
    "#35a5b5", "#d2605a", "#7fa83b", "#6b84b8", "#b479c4", "#a9835a",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Cells are text already; a column is numeric where its cells are to stand at the right."""

    columns: list[str]
    rows: list[list[str]]
    numeric: list[bool]


@dataclass(frozen=True)
class Card:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Fold:
    """A part that opens on a click."""

    title: str
    note: str
    plot: Markup
    table: Table | None = None
    open: bool = False


@dataclass(frozen=True)
class Section:
    title: str
    text: str = ""
    plot: Markup | None = None
    table: Table | None = None
    folds: list[Fold] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    cards: list[Card]
    sections: list[Section]


def render(page: Page) -> str:
    loader = jinja2.FunctionLoader(lambda name: resources.files("edgesdk").joinpath(name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.get_template(TEMPLATE)
    return template.render(page=page, colours=COLOURS, version=edgesdk.__version__)


def table(columns: str, rows: Sequence[Sequence[Any]]) -> Table:
    """`columns` are names between commas, a leading # for numbers."""
    names = columns.split(",")
    cells = [[_cell(c) for c in row] for row in rows]
    return Table([c.lstrip("#") for c in names], cells, [c.startswith("#") for c in names])


def _cell(x: Any) -> str:
    if isinstance(x, float):
        return f"{x:,.0f}" if x.is_integer() or abs(x) >= 1000 else f"{x:.3g}"
    return f"{x:,}" if isinstance(x, int) else UNKNOWN if x is None else str(x)


def _times(x: float) -> str:
    return f"{x:.4f}×"


def pareto_page(result: dict[str, Any], points: Sequence[Point]) -> str:
    """The page of `edgesdk pareto`: `result` is its JSON object, `points` the programs behind it."""
    bound = "input read where it lies" if result.get("bound") else "input resident"
    streamed = "input arrives row by row" if result["streamed"] else bound
    sections = [_front(result), _comparison(result), _maps(result, points)]
    if result["advice"]:
        sections.append(_advice(result["advice"]))
    title = f"{result['model']}: memory against time"
    return render(Page(title, f"{result['board']} ({result['core']}), {streamed}", _pareto_cards(result), sections))


def _pareto_cards(result: dict[str, Any]) -> list[Card]:
    whole, least = result["layer_by_layer"], result["points"][-1]
    cost, smaller = least["cost_ratio"], whole["arena_bytes"] / max(1, least["arena_bytes"])
    return [
        Card("layer by layer", n_bytes(whole["arena_bytes"]), "peak of the arena, input resident"),
        Card("smallest arena", n_bytes(least["arena_bytes"]), f"{least['arena_bytes']:,} bytes"),
        Card("smaller by", f"{smaller:.2f}×", "layer by layer over smallest"),
        Card("at the cost of", _times(cost), f"{_times(least['recompute_ratio'])} multiply-accumulates"),
        Card("schedules", str(len(result["points"])), "none beaten in both arena and cost"),
    ]


def _cost_axis(result: dict[str, Any]) -> tuple[Callable[[dict[str, Any]], float], str, Callable[[float], str]]:
    """How a point's cost is read, the axis' name, and its ticks: instructions where they are known."""
    if any(p["instructions"] is None for p in [result["layer_by_layer"], *result["points"]]):
        name = "cost over layer by layer (only an order: this core has no prices)"
        return lambda p: p["cost_ratio"], name, lambda x: f"{x:.3f}×"
    whole = _millions(result["layer_by_layer"]["instructions"])
    return lambda p: p["instructions"], f"modelled instructions per run (layer by layer: {whole})", _millions


def _millions(x: float) -> str:
    return f"{x / 1e6:,.7g} M" if x >= 1e5 else f"{x:,.0f}"


def _front(result: dict[str, Any]) -> Section:
    cost, name, text = _cost_axis(result)
    whole, last = result["layer_by_layer"], result["points"][-1]
    marks = [
        plots.Mark(cost(p), p["arena_bytes"], n_bytes(p["arena_bytes"]), _point_title(p), p is last)
        for p in result["points"]
    ]
    lines = [plots.Line(whole["arena_bytes"], f"layer by layer: {n_bytes(whole['arena_bytes'])}")]
    ram = result["ram_bytes"]
    if ram is not None and ram <= 1.5 * whole["arena_bytes"]:
        lines.append(plots.Line(ram, f"RAM of {result['board']}: {n_bytes(ram)}"))
    note = "Each point is a program that can be written; a smaller arena costs more calls, or rows computed twice."
    return Section("The front", note, plots.front(marks, lines, name, text))


def _point_title(p: dict[str, Any]) -> str:
    return f"{p['arena_bytes']:,} bytes, {_times(p['cost_ratio'])} cost\n{p['schedule']}"


def _comparison(result: dict[str, Any]) -> Section:
    whole = result["layer_by_layer"]
    named = [("layer by layer", whole), *((f"point {i}", p) for i, p in enumerate(result["points"]))]
    rows = [[name, *_point_cells(p, whole), _unbroken(p["schedule"])] for name, p in named]
    columns = "schedule,#arena bytes,#smaller by,#instructions,#latency µs,#cost,#MACs,stages"
    text = "Cost and multiply-accumulates (MACs) are over those of the layer-by-layer program."
    return Section("Before and after", text, table=_filled(table(columns, rows)))


def _filled(t: Table) -> Table:
    """Without the columns that nothing is known for."""
    kept = [i for i in range(len(t.columns)) if any(row[i] != UNKNOWN for row in t.rows)]
    return Table([t.columns[i] for i in kept], [[row[i] for i in kept] for row in t.rows], [t.numeric[i] for i in kept])


def _unbroken(schedule: str) -> str:
    """Lines may break between stages only."""
    return re.sub(r"(\w) (\d)", "\\1\u00a0\\2", schedule).replace("-", "\u2011")


def _point_cells(p: dict[str, Any], whole: dict[str, Any]) -> list[Any]:
    smaller = f"{whole['arena_bytes'] / max(1, p['arena_bytes']):.2f}×"
    costs = (p["instructions"], p["latency_us"], _times(p["cost_ratio"]), _times(p["recompute_ratio"]))
    return [p["arena_bytes"], smaller, *costs]


def shown(n: int) -> list[int]:
    """Which of n points get a map: all, or the ends and some between."""
    if n <= MOST_MAPS:
        return list(range(n))
    return sorted({round(i * (n - 1) / (MOST_MAPS - 1)) for i in range(MOST_MAPS)})


def _maps(result: dict[str, Any], points: Sequence[Point]) -> Section:
    text = (
        "What lies where in the arena while the program runs. Each colour is a value (point at it for its name), each "
        "bar a row or a whole tensor; grey is scratch and counters, the line is the sum of the bytes in use."
    )
    folds = [_point_fold(i, result["points"][i], points[i], i == len(points) - 1) for i in shown(len(points))]
    return Section("Memory over time", text, folds=folds[::-1])


def _point_fold(i: int, p: dict[str, Any], point: Point, is_open: bool) -> Fold:
    plot = plots.arena(memory_map.of_plan(point.schedule, point.plan))
    note = f"point {i}, {_times(p['cost_ratio'])} cost: {_unbroken(p['schedule'])}"
    return Fold(f"{p['arena_bytes']:,} bytes", note, plot, _stages(p["stages"]), is_open)


def _stages(stages: Sequence[dict[str, Any]]) -> Table:
    rows = [
        [
            _range(s["first"], s["last"]), s["kind"], s["rows"], s["rows_computed"], s["macs"],
            _times(s["recompute_ratio"]), s["input_rows"], s["halo_rows"],
        ]
        for s in stages
    ]  # fmt: skip
    columns = "steps,kind,#rows,#rows computed,#MACs,#recompute,#input rows per output row,#halo rows"
    return table(columns, rows)


def _range(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)


def _advice(entries: Sequence[dict[str, Any]]) -> Section:
    text = (
        "The halo is what neighbouring output rows of a fused stage share of its input: it is held in memory or "
        "computed twice. Smaller kernels in these layers, larger ones in later layers where a row is cheap, keep the "
        "receptive field. Such a network must be trained; the figures are of its plan with the same stages. Where they "
        "do not fall, the kernels are better left as they are."
    )
    columns = "stage,#halo rows,forced by,kernels after,#halo after,#arena,#arena after,#MACs,#MACs after"
    return Section("Receptive field", text, table=table(columns, [_advice_row(e) for e in entries]))


def _advice_row(e: dict[str, Any]) -> list[Any]:
    forced = "; ".join(f"step {x['step']} {size_text(x['kernel'])} +{x['rows']:g}" for x in e["layers"][:4])
    more = f"; {len(e['layers']) - 4} more" if len(e["layers"]) > 4 else ""
    after = e["redistributed"]
    before = [e["stage"], e["halo_rows"], forced + more]
    if after is None:
        return [*before, "none can move", None, e["arena_bytes"], None, e["macs"], None]
    kernels = "; ".join(f"{k['step']}: {size_text(k['before'])} → {size_text(k['after'])}" for k in after["kernels"])
    figures = (e["arena_bytes"], after["arena_bytes"], e["macs"], after["macs"])
    return [*before, kernels, after["halo_rows"], *figures]


def size_text(kernel: Sequence[int] | None) -> str:
    return "" if kernel is None else "×".join(str(k) for k in kernel)


def profile_page(result: dict[str, Any], program: Program) -> str:
    """The page of `edgesdk profile`: `result` is its JSON object."""
    unit = result["clock"]
    name = program.metadata.get("name") or "profile"
    sections = [_costs(result), _program_map(program), _step_table(result)]
    subtitle = f"{result['board']} ({result['core']}), measured in {unit}"
    return render(Page(f"{name}: profile", subtitle, _profile_cards(result), sections))


def _profile_cards(result: dict[str, Any]) -> list[Card]:
    steady, unit = result["steady"], result["clock"]
    sizes = ((label, result[f"{label}_bytes"]) for label in ("arena", "stack", "code", "model"))
    return [
        Card("one run", f"{steady['median']:,.0f}", f"{unit}, median; p95 {steady['p95']:,.0f}"),
        *(Card(label, n_bytes(size), f"{size:,} bytes") for label, size in sizes if size is not None),
    ]


def _costs(result: dict[str, Any]) -> Section:
    total = sum(s["cost"] for s in result["steps"]) or 1.0
    shares = [f"{s['cost']:,.0f}  ({100 * s['cost'] / total:.1f} %)" for s in result["steps"]]
    rows = [
        plots.StepBar(s["name"], s["cost"], share, f"{s['kernel']}\n{s['source']}")
        for s, share in zip(result["steps"], shares, strict=True)
    ]
    return Section("Where the time goes", f"{result['clock']} per step of one run.", plots.bars(rows))


def _program_map(program: Program) -> Section:
    text = "What lies where in the arena while the program runs; each colour is a value, grey is scratch."
    return Section("Memory over time", text, plots.arena(memory_map.of_program(program), live=False))


def _per_mac(step: dict[str, Any]) -> float | None:
    return step["cost"] / step["macs"] if step["macs"] else None


def _step_table(result: dict[str, Any]) -> Section:
    rows = [
        [*(s[k] for k in ("name", "kernel", "cost", "macs")), _per_mac(s), s["bytes"], s["source"].split(";")[0]]
        for s in result["steps"]
    ]
    return Section("Steps", table=table(f"step,kernel,#{result['clock']},#MACs,#per MAC,#bytes,source", rows))
