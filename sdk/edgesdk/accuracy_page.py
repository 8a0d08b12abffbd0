# SPDX-License-Identifier: Apache-2.0
"""The accuracy of a quantised network as a page: how far each layer is from float, and what its numbers look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgesdk import accuracy, histogram_plot, plots
from edgesdk.html import Card, Fold, Page, Section, render, table
from edgesdk.ir import Node, Value
from edgesdk.ptq import Quantised

MOST_FOLDS = 24
OPEN_FOLDS = 2
PERCENT = 100


def convert_page(result: dict[str, Any], q: Quantised) -> str:
    """The page of `convert --html`: `result` is its JSON object."""
    a = result["accuracy"]
    name = q.work.floats.name or "model"
    sections = [_errors(a["layers"]), *_warnings(result["warnings"]), _distributions(q), _layer_table(a["layers"])]
    how = f"{a['recipe']}, ranges by {a['calibrate']} over {a['calibration_samples']} samples"
    cards = [*_output_cards(a["outputs"]), *_top_cards(result), *_worst_card(a["worst_layer"])]
    return render(Page(f"{name}: accuracy", how, cards, sections))


def validate_page(result: dict[str, Any], name: str) -> str:
    """The page of `validate --html`: `result` is its JSON object."""
    tops: dict[str, Any] = {
        k: {"program": result[k], "reference": result[f"{k}_reference"]} for k in ("top1", "top5") if k in result
    }
    cards = [*_output_cards(result["outputs"]), *_top_cards(tops), *_worst_card(result["worst_layer"])]
    sections = [_errors(result["layers"]), _layer_table(result["layers"])]
    return render(Page(f"{name or 'model'}: accuracy", f"{result['samples']} samples", cards, sections))


def _output_cards(outputs: Sequence[dict[str, Any]]) -> list[Card]:
    notes = [f"relative L2; cosine {o['cosine']:.6f}" for o in outputs]
    names = ["output"] if len(outputs) == 1 else [_short(o["name"]) for o in outputs]
    return [Card(name, f"{o['rel_l2']:.3g}", note) for name, o, note in zip(names, outputs, notes, strict=True)][:4]


def _top_cards(result: dict[str, Any]) -> list[Card]:
    return [
        Card(f"top-{n}", f"{PERCENT * t['program']:.2f} %", f"float: {PERCENT * t['reference']:.2f} %")
        for n in accuracy.TOP
        if (t := result.get(f"top{n}"))
    ]


def _worst_card(worst: dict[str, Any] | None) -> list[Card]:
    return [] if worst is None else [Card("worst layer", f"{worst['rel_l2']:.3g}", _short(worst["source"]))]


def _short(source: str) -> str:
    name = source.split(";")[0]
    return name if len(name) <= 40 else f"…{name[-39:]}"


def _warnings(found: Sequence[str]) -> list[Section]:
    return [Section("Warnings", table=table("what,", [[w, ""] for w in found]))] if found else []


def _ranked(layers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(layers, key=lambda r: -float(r["rel_l2"]))


def _errors(layers: Sequence[dict[str, Any]]) -> Section:
    text = (
        "Each layer's output against that of the float network, in the order of computation: relative L2 error, "
        "0.01 is 40 dB. Errors of early layers reach the later ones."
    )
    rows = [plots.StepBar(_short(r["source"]), r["rel_l2"], _bar_text(r), f"{r['op']}\n{r['name']}") for r in layers]
    return Section("How far each layer is from float", text, plots.bars(rows))


def _bar_text(r: dict[str, Any]) -> str:
    beyond = f", {PERCENT * r['saturated']:.2g} % saturated" if r["saturated"] > 1e-5 else ""
    decibels = f" ({r['sqnr_db']:.0f} dB)" if r["sqnr_db"] is not None else ""
    return f"{r['rel_l2']:.3g}{decibels}{beyond}"


def _layer_table(layers: Sequence[dict[str, Any]]) -> Section:
    rows = [
        [
            _short(r["source"]), r["op"], r["dtype"], f"{r['rel_l2']:.4g}", f"{r['cosine']:.6f}",
            None if r["sqnr_db"] is None else f"{r['sqnr_db']:.1f}", f"{PERCENT * r['saturated']:.3g} %",
        ]
        for r in _ranked(layers)
    ]  # fmt: skip
    columns = "layer,op,type,#relative L2,#cosine,#SQNR dB,#saturated"
    return Section("All layers, worst first", table=table(columns, rows))


def _distributions(q: Quantised) -> Section:
    """The worst layers' activations with the range that was chosen, and their weights."""
    text = (
        "Shares of the values that the calibration set gave, on a logarithmic scale; the shaded part is the range that "
        "int8 covers, what lies outside is clipped. Weights are those of the float network."
    )
    nodes = {v.name: (n, v) for n in q.work.floats.nodes for v in n.outputs}
    stored = {accuracy.plain_name(v.name): v for n in q.graph.nodes for v in n.outputs}
    ranked = [(r, *nodes[accuracy.plain_name(r["name"])]) for r in _ranked(q.layers)]
    folds = [_fold(q, r, n, v, stored.get(v.name), i < OPEN_FOLDS) for i, (r, n, v) in enumerate(ranked[:MOST_FOLDS])]
    more = f" The {MOST_FOLDS} worst of {len(ranked)} layers are shown." if len(ranked) > MOST_FOLDS else ""
    return Section("Distributions, worst layers first", text + more, folds=folds)


def _fold(q: Quantised, r: dict[str, Any], node: Node, value: Value, stored: Value | None, is_open: bool) -> Fold:
    observed = q.work.observed[value]
    covered = accuracy.limits(stored) if stored is not None else None
    edges, counts = histogram_plot.of_histogram(observed.histogram, observed.low, observed.high)
    parts = [histogram_plot.Panel("activations", edges, counts, covered)]
    weights = node.optional(1)
    if weights is not None and weights.data is not None and weights.data.size > 1:
        counts, edges = np.histogram(weights.data, histogram_plot.BARS)
        parts.append(histogram_plot.Panel("weights", edges, counts, None))
    note = f"{r['op']}: relative L2 {r['rel_l2']:.3g}, seen {observed.low:.4g} to {observed.high:.4g}"
    if covered is not None:
        note += f", covered {covered[0]:.4g} to {covered[1]:.4g}"
    return Fold(_short(r["source"]), note, histogram_plot.panels(parts), open=is_open)
