# SPDX-License-Identifier: Apache-2.0
"""Placement: nothing overlaps, small problems are solved exactly, large ones nearly."""

from __future__ import annotations

import os
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planner_cases import answers, cases, fused, network
from shared import MODELS, needs_shared

from edgesdk import converters, memory, passes, schedule
from edgesdk.placement import ALIGN, Item, Placement, Segment, first_fit, lower_bound, place
from edgesdk.schedule import Schedule, Stage

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
CASES = cases(200 if LONG else 40)
SMALL = 12


@st.composite
def problems(draw, n: int = 12, rows: int = 4, n_bytes: int = 100) -> list[Item]:  # type: ignore[no-untyped-def]
    """Items of rows with any lifetimes, which no network would have."""

    def item(name: str) -> Item:
        sizes = draw(st.lists(st.integers(1, n_bytes), min_size=1, max_size=rows))
        births = [draw(st.integers(-1, 6)) for _ in sizes]
        spans = [(b, b + draw(st.integers(0, 4))) for b in births]
        return Item(name, [Segment(sum(sizes[:y]), sizes[y], *spans[y]) for y in range(len(sizes))])

    return [item(f"v{k}") for k in range(draw(st.integers(0, n)))]


def check(items: list[Item], placed: Placement) -> None:
    """Byte by byte, call by call."""
    used: set[tuple[int, int]] = set()
    for item in items:
        at = placed.offsets[item]
        assert at % ALIGN == 0 and 0 <= at <= placed.arena_bytes - item.n_bytes
        for s in item.segments:
            cells = set(product(range(s.first, s.last + 1), range(at + s.offset, at + s.offset + s.n_bytes)))
            assert not cells & used, item.name
            used |= cells
    assert lower_bound(items) <= placed.lower_bound_bytes <= placed.arena_bytes


@given(problems())
def test_nothing_overlaps(items: list[Item]) -> None:
    check(items, place(items))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_overlaps_in_large_problems(seed: int) -> None:
    items = fused(seed, 5, 12)
    check(items, place(items))
    items = network(seed, 60)
    check(items, place(items))


@given(problems(n=4, rows=3, n_bytes=40))
def test_small_problems_are_solved(items: list[Item]) -> None:
    placed = place(items)
    assert placed.proved
    tops = [range((placed.arena_bytes - i.n_bytes) // ALIGN + 1) for i in items]
    assert all(_end(items, at) >= placed.arena_bytes or _overlaps(items, at) for at in product(*tops))


def _end(items: list[Item], at: tuple[int, ...]) -> int:
    return max((x * ALIGN + i.n_bytes for i, x in zip(items, at, strict=True)), default=0)


def _overlaps(items: list[Item], at: tuple[int, ...]) -> bool:
    segments = [
        (k, x * ALIGN + s.offset, s) for k, (i, x) in enumerate(zip(items, at, strict=True)) for s in i.segments
    ]
    return any(
        j != k and a < b + t.n_bytes and b < a + s.n_bytes and s.first <= t.last and t.first <= s.last
        for j, a, s in segments
        for k, b, t in segments
    )


def test_a_value_grows_over_the_one_that_it_eats() -> None:
    eaten = Item("x", [Segment(64 * y, 64, 0, y + 1) for y in range(8)])
    grows = Item("y", [Segment(64 * y, 64, y + 1, 9) for y in range(8)])
    placed = place([eaten, grows])
    assert placed.arena_bytes == 64 * 9
    assert placed.offsets[eaten] - placed.offsets[grows] == 64


def test_alignment_counts_in_the_bound() -> None:
    items = [Item(f"v{k}", [Segment(0, 17, 0, 1)]) for k in range(3)]
    placed = place(items)
    assert lower_bound(items) == 51
    assert (placed.lower_bound_bytes, placed.arena_bytes, placed.proved) == (2 * 32 + 17, 2 * 32 + 17, True)


def test_an_item_is_never_smaller_than_its_extent() -> None:
    ring = Item("x", [Segment(100 * y, 100, y, y) for y in range(5)])
    assert place([ring]).arena_bytes == place([ring]).lower_bound_bytes == 500


def test_nothing_to_place() -> None:
    assert place([]).arena_bytes == 0


def test_the_same_problem_gets_the_same_plan() -> None:
    first, second = (place(items) for items in (fused(1, 8, 16), fused(1, 8, 16)))
    assert list(first.offsets.values()) == list(second.offsets.values())


def test_out_of_effort_falls_back_to_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = next(items for items in CASES if len(items) > SMALL and not _first_is_enough(items))
    monkeypatch.setattr(first_fit, "EFFORT", 0)
    placed = place(hard)
    check(hard, placed)
    assert not placed.proved


def _first_is_enough(items: list[Item]) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_fit, "EFFORT", 0)
        return place(items).proved


@pytest.mark.parametrize(("n_layers", "rows", "gap"), [(9, 48, 0.02), (30, 96, 0.05)], ids=["430 items", "2,900 items"])
def test_stages_of_rows(n_layers: int, rows: int, gap: float) -> None:
    placed = place(fused(1, n_layers, rows))
    assert placed.arena_bytes <= (1 + gap) * placed.lower_bound_bytes


@needs_shared
@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
@pytest.mark.parametrize(
    ("model", "gap"),
    [("*ic-resnet8/*quant", 0.01), ("*vww-mobilenetv1/*int8", 0.01), ("*person-detect/*", 0.01), ("*mcunet/vww", 0.03)],
)
def test_fused_networks(model: str, gap: float, streamed: bool) -> None:
    graph = passes.lower(passes.simplify(converters.load(next(MODELS.glob(f"{model}.tflite")))))
    base = schedule.schedule(graph, ("c",))
    n = len(base.steps)
    for k in (n // 4, n // 2, n - 2):
        stages = [Stage("rows", 0, k), Stage("plain", k, n - k)]
        plan = memory.plan(Schedule(graph, base.steps, stages, base.roots, graph.inputs[0] if streamed else None))
        assert plan.arena_bytes <= (1 + gap) * plan.lower_bound_bytes, k


def test_no_worse_than_the_oracle() -> None:
    pytest.importorskip("ortools")
    gaps = []
    for items in CASES:
        placed = place(items)
        status, oracle = answers(items, placed.arena_bytes, seconds=20 if len(items) <= SMALL else 2)
        gaps.append(placed.arena_bytes / oracle - 1)
        if len(items) <= SMALL:
            assert (status, gaps[-1]) == ("optimal", 0), items[0].name
        if placed.proved:
            assert gaps[-1] == 0
    large = [g for g, items in zip(gaps, CASES, strict=True) if len(items) > SMALL]
    assert sum(large) / len(large) <= 0.02
