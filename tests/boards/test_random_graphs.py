# SPDX-License-Identifier: Apache-2.0
"""Every point of the front of random networks gives the bytes of the reference on emulated cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import conv_graphs
import pytest
from graphs import random_inputs
from many_models import Case, built, needs_emulator, verdicts, wrong

from edgesdk import boards, ops, pareto, passes, program, schedule
from edgesdk.boards import Board
from edgesdk.ir import Graph
from edgesdk.placement import first_fit

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
GRAPHS = 200 if LONG else 20
pytestmark = needs_emulator


def cases(graphs: Sequence[Graph], board: Board) -> Iterator[Case]:
    """Layer by layer, and every point of the fronts of an input resident, streamed and bound."""
    for n, graph in enumerate(graphs):
        base = schedule.schedule(passes.lower(passes.simplify(graph)), board.core.isa)
        inputs = random_inputs(graph, n)
        expected = ops.evaluate(graph, inputs)[graph.outputs[0]].tobytes()
        arrivals = {"resident": base, "streamed": pareto.streamed(base), "bound": pareto.bound(base)}
        points = [("resident", pareto.layer_by_layer(base, board))]
        points += [(how, p) for how, arrival in arrivals.items() for p in pareto.points(arrival, board)]
        for how, p in points:
            name = f"graph {n}, {how}: {pareto.text(p.schedule)}"
            data = program.write(program.assemble(p.schedule, p.plan))
            yield Case(name, data, inputs[0].tobytes(), expected, p.plan.arena_bytes)


@pytest.fixture(autouse=True)
def quick_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans come from first fit alone: the schedules are of interest here, and repairs take nearly all the time."""
    monkeypatch.setattr(first_fit, "EFFORT", 0)


@pytest.mark.parametrize("name", ["mps2_an386", "mps3_an547"])
def test_every_point_gives_the_bytes_of_the_reference(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    found = list(cases(conv_graphs.sample(GRAPHS), board))
    assert len(found) > 2 * GRAPHS
    assert wrong(found, board, tmp_path) == []


def test_the_image_finds_a_wrong_byte_and_a_short_arena(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    good = next(cases(conv_graphs.sample(2)[1:], board))
    flipped = bytes([*good.expected[:-1], good.expected[-1] ^ 1])
    damaged = Case("damaged", bytes([good.data[0] ^ 1, *good.data[1:]]), good.given, good.expected, 16)
    bad = Case("flipped", good.data, good.given, flipped, good.arena_bytes)
    assert wrong([good, bad, damaged, good], board, tmp_path) == ["flipped: another output", "damaged: error -2"]
    elf = built([good], board, good.arena_bytes, tmp_path)
    assert list(verdicts([good], board, elf)) == ["the image's arena is too short"]
