# SPDX-License-Identifier: Apache-2.0
"""JSON objects of the verbs as terminal tables."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(r[i], int | float) for r in rows)
        wide = name in ("source", "fix", "found")
        table.add_column(name, justify="right" if numeric else "left", overflow="ellipsis", no_wrap=not wide or name == "source")
    for row in rows:
        table.add_row(*(_cell(c) for c in row))
    return table


def _cell(x: Any) -> str:
    if isinstance(x, bool):
        return "yes" if x else "no"
    if isinstance(x, float):
        return f"{x:,.0f}" if x.is_integer() or abs(x) >= 1000 else f"{x:.4g}"
    return f"{x:,}" if isinstance(x, int) else "-" if x is None else str(x)


def _short(source: str) -> str:
    """The first of the names that a converter merged into one."""
    return source.split(";")[0]


def _pairs(title: str, content: dict[str, Any]) -> Table:
    table = _table(title, ["", ""], [[k, _cell(v)] for k, v in content.items()])
    table.show_header = False
    table.title_style = "bold"
    return table


def show(verb: str, result: dict[str, Any], console: Console | None = None) -> None:
    """Prints the result of one verb."""
    # Piped output has no width of its own: wide enough for a step table.
    console = console or Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for table in _TABLES[verb](result):
        console.print(table)
        console.print()


def _convert(r: dict[str, Any]) -> list[Table]:
    keys = ("board", "model_bytes", "weights_bytes", "arena_bytes", "arena_lower_bound_bytes", "macs", "steps")
    rows: dict[str, Any] = {k: r[k] for k in keys}
    return [_pairs("converted", {**rows, "warnings": "; ".join(r["warnings"]) or "none"})]


def _inspect(r: dict[str, Any]) -> list[Table]:
    ports = [[k, t["name"], t["dtype"], str(t["shape"])] for k in ("inputs", "outputs") for t in r[k]]
    steps = [
        [i, s["op"], s["kernel"] or "-", str(s["shapes"][0]), s["weights_bytes"], s["macs"], _short(s["source"])]
        for i, s in enumerate(r["steps"])
    ]
    return [
        _pairs("header", r["header"]),
        _table("inputs and outputs", ["", "name", "dtype", "shape"], ports),
        _table("steps", ["", "op", "kernel", "shape", "weights", "MACs", "source"], steps),
    ]


def _run(r: dict[str, Any]) -> list[Table]:
    return [_table("outputs", ["name", "dtype", "shape"], [[o["name"], o["dtype"], str(o["shape"])] for o in r["outputs"]])]


def _validate(r: dict[str, Any]) -> list[Table]:
    keys = ("name", "equal", "max_abs_diff", "rel_l2", "cosine", "mae")
    tables = [_table(f"{r['samples']} samples", list(keys), [[o[k] for k in keys] for o in r["outputs"]])]
    extra = {k: r[k] for k in ("top1", "top1_reference") if k in r}
    if r.get("worst_step"):
        extra["worst step"] = f"{r['worst_step']['step']} {_short(r['worst_step']['source'])}: {r['worst_step']['rel_l2']:.3g}"
    return [*tables, _pairs("accuracy", extra)] if extra else tables


def _profile(r: dict[str, Any]) -> list[Table]:
    unit = r["clock"]
    times = {"init": r["init"], "first": r["first"], "warm-up": r["warm_up"], **r["steady"]}
    sizes = {k: r[k] for k in ("arena_bytes", "stack_bytes", "code_bytes", "model_bytes")}
    total = sum(s["cost"] for s in r["steps"]) or 1.0
    rows = [
        [s["name"], s["kernel"], s["cost"], f"{100 * s['cost'] / total:.1f} %", _bar(s["cost"] / total), s["macs"], _short(s["source"])]
        for s in r["steps"]
    ]
    return [
        _pairs(f"{r['board']} ({r['core']}), {unit}", times),
        _pairs("memory", sizes),
        _table("steps", ["step", "kernel", unit, "share", "", "MACs", "source"], rows),
    ]


def _bar(share: float) -> str:
    return "#" * max(1, round(share * 30)) if share > 0 else ""


def _boards(r: dict[str, Any]) -> list[Table]:
    rows = [[b["id"], b["name"], b["core"], b["ram_bytes"], b["flash_bytes"], b["runner"]] for b in r["boards"]]
    return [_table("boards", ["id", "name", "core", "RAM", "flash", "runner"], rows)]


def _doctor(r: dict[str, Any]) -> list[Table]:
    rows = [[c["name"], c["ok"], c["found"], c["fix"]] for c in r["checks"]]
    return [_table("checks", ["", "ok", "found", "fix"], rows)]


_TABLES = {
    "convert": _convert,
    "inspect": _inspect,
    "run": _run,
    "validate": _validate,
    "profile": _profile,
    "boards": _boards,
    "doctor": _doctor,
}
