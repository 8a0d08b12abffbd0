# SPDX-License-Identifier: Apache-2.0
"""Problems for the memory planner, and CP-SAT's answers to them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from edgesdk.placement import ALIGN, Item, Segment


def network(seed: int, n_values: int) -> list[Item]:
    """Values of a random graph. Some are written and read row by row, so that they grow over each other."""
    rng = random.Random(seed)
    calls = [rng.choice((1, 1, 2, 3, 5)) for _ in range(n_values + 1)]
    starts = [sum(calls[:k]) for k in range(n_values + 1)]
    items = []
    for k in range(n_values):
        reader = min(k + rng.choice((1, 1, 1, 2, 3, rng.randint(1, n_values))), n_values)
        dies = [starts[reader] + (y + 1) * calls[reader] // (calls[k] + 1) for y in range(calls[k])]
        row_bytes = rng.choice((rng.randint(1, 99), 16 * rng.randint(1, 40)))
        rows = [(y * row_bytes, row_bytes, starts[k] + y, d) for y, d in enumerate(dies)]
        items.append(Item(f"v{k}", [Segment(*row) for row in rows]))
    return items


def cases(n: int) -> list[list[Item]]:
    """Half of up to 12 values, half of 13 to 40."""
    rng = random.Random(0)
    return [network(k, rng.randint(3, 12) if k % 2 == 0 else rng.randint(13, 40)) for k in range(n)]


def fused(seed: int, n_layers: int, rows: int) -> list[Item]:
    """Single rows of a stage of convolutions, each computed just before it is needed, and the whole output."""
    rng = random.Random(seed)
    kernels = [rng.choice((1, 3, 3, 5)) for _ in range(n_layers)]
    unit = 8 * rng.randint(6, 40)
    sizes = [unit * rng.choice((1, 2, 6)) for _ in range(n_layers + 1)]  # networks widen as they shrink
    spans = _spans(kernels, rows)
    items = [Item(f"v{k}[{y}]", [Segment(0, sizes[k], *s)]) for k in range(n_layers) for y, s in enumerate(spans[k])]
    end = max(last for _, last in spans[-1])
    grown = [Segment(y * sizes[-1], sizes[-1], first, end) for y, (first, _) in enumerate(spans[-1])]
    return [*items, Item("output", grown)]


def _spans(kernels: Sequence[int], rows: int) -> list[list[tuple[int, int]]]:
    """First and last call of each row of each layer, from the input to the output."""
    spans: list[list[tuple[int, int]]] = [[] for _ in range(len(kernels) + 1)]
    now = 0

    def produce(layer: int, stop: int) -> None:
        nonlocal now
        for y in range(len(spans[layer]), stop):
            half = kernels[layer - 1] // 2
            if layer:
                produce(layer - 1, min(y + half + 1, rows))
            for below in range(max(0, y - half), min(y + half + 1, rows)) if layer else ():
                spans[layer - 1][below] = spans[layer - 1][below][0], now
            spans[layer].append((now, now))
            now += 1

    produce(len(kernels), rows)
    return spans


def answers(items: Sequence[Item], known: int, seconds: float) -> tuple[str, int]:
    """(what is certain about it, the smallest arena that CP-SAT finds in that time); `known` where it finds none."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    end = model.new_int_var(0, known - 1, "end")
    times, places = [], []
    for item in items:
        at = ALIGN * model.new_int_var(0, known // ALIGN, item.name)
        model.add(at + item.n_bytes <= end)
        for s in item.segments:
            times.append(model.new_fixed_size_interval_var(s.first, s.last - s.first + 1, ""))
            places.append(model.new_fixed_size_interval_var(at + s.offset, s.n_bytes, ""))
    model.add_no_overlap_2d(times, places)
    model.add_cumulative(times, [s.n_bytes for i in items for s in i.segments], end)
    model.minimize(end)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds, solver.parameters.num_workers = seconds, 2
    status = solver.solve(model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return solver.status_name(status).lower(), int(solver.objective_value)
    return ("optimal" if status == cp_model.INFEASIBLE else "unknown"), known
