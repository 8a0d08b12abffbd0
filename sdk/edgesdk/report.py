# SPDX-License-Identifier: Apache-2.0
"""JSON objects of the verbs as terminal tables."""

from __future__ import annotations

import sys
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160
WORST_LAYERS = 5
WRAPPED = ("fix", "found", "operators", "schedule", "kernels after")  # columns of sentences and lists


def _table(title: str, columns: list[str], rows: list[list[Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, min_width=len(title))
    for i, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(r[i], int | float) for r in rows)
        justify: Literal["right", "left"] = "right" if numeric else "left"
        table.add_column(name, justify=justify, overflow="ellipsis", no_wrap=name not in WRAPPED)
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


def _sentences(title: str, sentences: list[str]) -> list[Table]:
    """Each on lines of its own, none cut off."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False, title_style="bold")
    for sentence in sentences:
        table.add_row("-", sentence)
    return [table] if sentences else []


def show(verb: str, result: dict[str, Any], console: Console | None = None) -> None:
    """Prints the result of one verb."""
    # Piped output has no width of its own: wide enough for a step table.
    console = console or Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for table in _TABLES[verb](result):
        console.print(table)
        console.print()


def _convert(r: dict[str, Any]) -> list[Table]:
    arena = ("arena_bytes", "arena_lower_bound_bytes", "arena_memory")
    keys = ("board", "model_bytes", "weights_bytes", *arena, "macs", "steps")
    rows: dict[str, Any] = {k: r[k] for k in keys}
    left_out = r["removed"]
    if left_out["channels"]:
        rows["left out"] = f"{left_out['channels']} constant or unused channels, {left_out['macs']} MACs"
    tables = [_pairs("converted", rows), *_sentences("warnings", r["warnings"])]
    if "accuracy" not in r:
        return tables
    a = r["accuracy"]
    title = f"farthest from float, of {a['samples']} samples ({a['recipe']}, {a['calibrate']})"
    return [*tables, *_layers(title, a["layers"]), *_tops(r)]


def _tops(r: dict[str, Any]) -> list[Table]:
    found: dict[str, Any] = {}
    for name in ("top1", "top5"):
        if name in r:
            found[name] = f"{100 * r[name]['program']:.2f} %, float {100 * r[name]['reference']:.2f} %"
    return [_pairs("accuracy", found)] if found else []


def _layers(title: str, layers: list[dict[str, Any]]) -> list[Table]:
    """The worst of them."""
    columns = ["layer", "op", "relative L2", "cosine", "SQNR dB", "saturated"]
    farthest = sorted(layers, key=lambda x: -x["rel_l2"])[:WORST_LAYERS]
    rows = [
        [_short(x["source"]), x["op"], x["rel_l2"], f"{x['cosine']:.6f}", x["sqnr_db"], f"{100 * x['saturated']:.3g} %"]
        for x in farthest
    ]
    return [_table(title, columns, rows)] if rows else []


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
    rows = [[o["name"], o["dtype"], str(o["shape"])] for o in r["outputs"]]
    return [_table("outputs", ["name", "dtype", "shape"], rows)]


def _validate(r: dict[str, Any]) -> list[Table]:
    keys = ("name", "equal", "max_abs_diff", "rel_l2", "cosine", "mae")
    kind = "samples, one after another" if r.get("sequence") else "samples"
    tables = [_table(f"{r['samples']} {kind}", list(keys), [[o[k] for k in keys] for o in r["outputs"]])]
    tables += _layers("layers farthest from the source", r.get("layers", []))
    extra: dict[str, Any] = {k: r[k] for k in ("top1", "top1_reference", "top5", "top5_reference") if k in r}
    if worst := r.get("worst_step"):
        extra["worst step"] = f"{worst['step']} {_short(worst['source'])}: {worst['rel_l2']:.3g}"
    return [*tables, _pairs("accuracy", extra)] if extra else tables


def _profile(r: dict[str, Any]) -> list[Table]:
    unit = r["clock"]
    times = {"init": r["init"], "first": r["first"], "warm-up": r["warm_up"], **r["steady"]}
    sizes = {k: r[k] for k in ("arena_bytes", "stack_bytes", "code_bytes", "model_bytes")}
    total = sum(s["cost"] for s in r["steps"]) or 1.0
    rows = [
        [s["name"], s["kernel"], s["cost"], f"{100 * share:.1f} %", _bar(share), s["macs"], _short(s["source"])]
        for s in r["steps"]
        for share in [s["cost"] / total]
    ]
    return [
        _pairs(f"{r['board']} ({r['core']}), {unit}", times),
        _pairs("memory", sizes),
        _table("steps", ["step", "kernel", unit, "share", "", "MACs", "source"], rows),
    ]


def _pareto(r: dict[str, Any]) -> list[Table]:
    whole = r["layer_by_layer"]
    rows = [
        [name, p["arena_bytes"], whole["arena_bytes"] / max(1, p["arena_bytes"]), p["instructions"], p["latency_us"],
         f"{p['cost_ratio']:.3f}", f"{p['recompute_ratio']:.3f}", p["schedule"]]
        for name, p in [("whole", whole), *enumerate(r["points"])]
    ]  # fmt: skip
    columns = ["", "arena bytes", "smaller by", "instructions", "us", "cost", "MACs", "schedule"]
    known = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    shown = [[row[i] for i in known] for row in rows]
    tables = [_table(f"{r['model']} on {r['board']}", [columns[i] for i in known], shown)]
    return [*tables, _table("receptive field", _ADVICE, [_advice(e) for e in r["advice"]])] if r["advice"] else tables


_ADVICE = ["stage", "halo rows", "forced by", "kernels after", "halo after", "arena bytes", "arena after", "MACs after"]


def _advice(e: dict[str, Any]) -> list[Any]:
    """One fused prefix: what widens its halo, and its plan with smaller kernels there and larger ones later."""
    forced = ", ".join(f"{x['step']} (+{x['rows']:g})" for x in e["layers"][:3])
    after = e["redistributed"]
    if after is None:
        return [e["stage"], e["halo_rows"], forced, "none can move", None, e["arena_bytes"], None, None]
    sizes = ", ".join(f"{k['step']}: {k['before'][0]}->{k['after'][0]}" for k in after["kernels"][:4])
    more = ", ..." if len(after["kernels"]) > 4 else ""
    figures = (e["arena_bytes"], after["arena_bytes"], f"{after['macs'] / max(1, e['macs']):.3f}")
    return [e["stage"], e["halo_rows"], forced, sizes + more, after["halo_rows"], *figures]


def _tune(r: dict[str, Any]) -> list[Table]:
    faster = (
        f"{r['before'] / r['after']:.3f} times as fast" if r["after"] < r["before"] else "no gain: the static choice"
    )
    costs = {f"before, {r['clock']}": r["before"], f"after, {r['clock']}": r["after"], "": faster}
    counts = {"costs measured": r["measured"], "known before": r["remembered"], "kept in": r["cache"]}
    stopped = " (stopped)" if r["stopped"] else ""
    pairs: dict[str, Any] = {**costs, "took": f"{r['seconds']:.1f} s{stopped}", **counts}
    if r["schedule"] != r["schedule_before"]:
        pairs["schedule"] = r["schedule"]
    tables = [_pairs(f"tuned for {r['board']}", pairs), *_sentences("warnings", r["warnings"])]
    columns = ["layer", "before", "after", f"{r['clock']} before", f"{r['clock']} after"]
    rows = [[_short(x["source"]), x["before"], x["after"], x["cost_before"], x["cost_after"]] for x in r["layers"]]
    return [*tables, _table("layers that changed", columns, rows)] if rows else tables


def _bar(share: float) -> str:
    return "#" * max(1, round(share * 30)) if share > 0 else ""


def _boards(r: dict[str, Any]) -> list[Table]:
    rows = [[b["id"], b["name"], b["core"], b["ram_bytes"], b["flash_bytes"], b["runner"]] for b in r["boards"]]
    return [_table("boards", ["id", "name", "core", "RAM", "flash", "runner"], rows)]


def _doctor(r: dict[str, Any]) -> list[Table]:
    rows = [[c["name"], c["ok"], c["found"], c["fix"]] for c in r["checks"]]
    tables = [_table("checks", ["", "ok", "found", "fix"], rows)]
    if "kernels" in r:
        kernels = [[k["op"], " ".join(k["types"]), " ".join(k["isa"])] for k in r["kernels"]]
        tables.append(_table("kernels", ["op", "types", "instruction sets"], kernels))
        lists = [[source, ", ".join(names)] for source, names in r["operators"].items()]
        tables.append(_table("operators that are read", ["source", "operators"], lists))
    return tables


_TABLES = {
    "convert": _convert,
    "inspect": _inspect,
    "run": _run,
    "validate": _validate,
    "profile": _profile,
    "pareto": _pareto,
    "tune": _tune,
    "boards": _boards,
    "doctor": _doctor,
}
