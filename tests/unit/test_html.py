# SPDX-License-Identifier: Apache-2.0
"""The pages are whole by themselves, say what the JSON says, and their maps show what the plan holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from graphs import Builder, graphs
from hypothesis import given, settings
from test_memory import schedules

from edgesdk import advice, boards, html, memory, memory_map, pareto, passes, plots, program, schedule
from edgesdk.ir import Graph
from edgesdk.memory_map import Span
from edgesdk.schedule import Schedule, Stage

BOARD = boards.load("mps2_an386")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balance(HTMLParser):
    """Checks that every tag is closed, and gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> str:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not re.findall(r"<script|<link|<img|url\(|@import|(?:src|href)=", page)
    assert [u for u in re.findall(r"https?://[^\"' )]*", page) if u != "http://www.w3.org/2000/svg"] == []
    assert "nan" not in re.findall(r'(?:x|y|d|width)="([^"]*)"', page)
    return balance.text


def network(name: str = "<n>&'\"") -> Schedule:
    b = Builder(1, "int8")
    x = y = b.input((1, 32, 32, 3))
    for kernel, stride in ((5, 2), (3, 1), (3, 2), (3, 1)):
        y = b.depthwise(b.conv(y, 6, 1, 1), kernel, stride)
    graph = Graph(name, [x], [b.classifier(y, 3)], b.nodes)
    return schedule.schedule(passes.lower(passes.simplify(graph)), BOARD.core.isa)


def report(base: Schedule, board: boards.Board = BOARD) -> tuple[dict[str, Any], list[Any]]:
    points = pareto.points(base, board)
    found = advice.advise(points, board.core.isa)
    return pareto.report(points, pareto.layer_by_layer(base, board), board, found), points


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("board", ["mps2_an386", "host"])
def test_the_front_page(streamed: bool, board: str) -> None:
    base = pareto.streamed(network()) if streamed else network()
    result, points = report(base, boards.load(board))
    text = parsed(html.pareto_page(result, points))
    assert "<n>&'\"" in text and "Receptive field" in text
    assert all(f"{p['arena_bytes']:,}" in text for p in result["points"])


@given(graphs())
@settings(max_examples=10)
def test_any_front_has_a_page(graph: Graph) -> None:
    base = schedule.schedule(passes.lower(passes.simplify(graph)), BOARD.core.isa)
    if base.steps:
        parsed(html.pareto_page(*report(base)))


@given(schedules())
@settings(max_examples=20)
def test_the_map_of_a_plan_lies_in_the_arena_and_counts_its_bytes(s: Schedule) -> None:
    plan = memory.plan(s)
    found = memory_map.of_plan(s, plan)
    assert all(0 <= b.first <= b.last < found.n_calls and 0 <= b.offset for b in found.bars)
    assert all(b.offset + b.n_bytes <= plan.arena_bytes for b in found.bars)
    assert max(memory_map.live_bytes(found), default=0) <= plan.lower_bound_bytes
    assert "nan" not in plots.arena(found)


@given(schedules())
@settings(max_examples=20)
def test_the_map_of_a_program_covers_that_of_its_plan(s: Schedule) -> None:
    """What a file alone tells is never less than what the plan knows to be needed."""
    plan = memory.plan(s)
    exact, told = memory_map.of_plan(s, plan), memory_map.of_program(program.assemble(s, plan))
    of = told_calls(s)
    spans = [Span(x.label, of[x.first], of[x.end - 1] + 1) for x in exact.spans]
    assert (told.arena_bytes, told.n_calls, told.spans) == (exact.arena_bytes, of[-1] + 1, spans)
    assert all(0 <= b.first <= b.last < told.n_calls and b.offset + b.n_bytes <= plan.arena_bytes for b in told.bars)
    needed = _occupied(exact, [b for b in exact.bars if b.name not in memory_map.SERVICE])
    in_a_call = np.maximum.reduceat(needed, np.searchsorted(of, np.arange(told.n_calls)))
    assert not (_units(in_a_call) & ~_units(_occupied(told, told.bars))).any()


def _units(grid: np.ndarray) -> np.ndarray:
    """Occupied units of 16 bytes: where a row is written over a longer one, the plan keeps the longer one's bytes."""
    filled = np.pad(grid, ((0, 0), (0, -grid.shape[1] % memory.ALIGN)))
    return filled.reshape(len(grid), -1, memory.ALIGN).any(2)


def told_calls(s: Schedule) -> list[int]:
    """The program's call for each call of the schedule, which lists those of plain steps row by row."""
    found: list[int] = []
    for stage, calls in s.spans():
        steps = [c.step for c in s.calls[calls.start : calls.stop]]
        fresh = [stage.kind != "plain" or i == 0 or steps[i] != steps[i - 1] for i in range(len(steps))]
        found += (np.cumsum(fresh) - 1 + (found[-1] + 1 if found else 0)).tolist()
    return found


def _occupied(m: memory_map.MemoryMap, bars: list[memory_map.Bar]) -> np.ndarray:
    grid = np.zeros((m.n_calls, m.arena_bytes), bool)
    for b in bars:
        grid[b.first : b.last + 1, b.offset : b.offset + b.n_bytes] = True
    return grid


def test_the_profile_page() -> None:
    base = network()
    s = Schedule(base.graph, base.steps, [Stage("rows", 0, 4), Stage("plain", 4, len(base.steps) - 4)], base.roots)
    made = program.assemble(s, memory.plan(s))
    steps = [
        {"name": f"{i} {x.node.op}", "kernel": x.kernel.name, "cost": 10.0 * i, "macs": i, "bytes": 1, "source": "<s>"}
        for i, x in enumerate(s.steps)
    ]
    result = {
        "board": "mps2_an386", "core": "cortex-m4", "clock": "instructions", "arena_bytes": 1, "stack_bytes": None,
        "code_bytes": 5, "model_bytes": 7, "steady": {"median": 1.0, "p95": 2.0, "min": 1.0}, "steps": steps,
    }  # fmt: skip
    text = parsed(html.profile_page(result, made))
    assert "Where the time goes" in text and "<s>" in text and "stack" not in text


RANGES = [(0, 1), (0, 11168), (0.999, 1.002), (5, 5), (0, 0), (4.1e7, 4.2e7), (0, 3e9)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_ticks_are_few_and_enclose(low: float, high: float) -> None:
    found = plots.ticks(low, high)
    slack = 1e-6 * max(1.0, abs(high))
    assert found[0] <= low + slack and found[-1] >= high - slack and 2 <= len(found) <= 9
    assert found == sorted(set(found))


def test_many_points_show_some_maps_and_both_ends() -> None:
    assert html.shown(3) == [0, 1, 2]
    many = html.shown(100)
    assert len(many) == html.MOST_MAPS and (many[0], many[-1]) == (0, 99)
