# SPDX-License-Identifier: Apache-2.0
"""Every point of the front of random networks gives the bytes of the reference on emulated cores.

One firmware image holds hundreds of programs with their inputs and outputs (many_models.c): it compares the bytes
itself and looks for writes past each arena.
"""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import conv_graphs
import pytest
from graphs import random_inputs

from edgesdk import boards, firmware, ops, pareto, passes, program, schedule, toolchain
from edgesdk.boards import Board
from edgesdk.ir import Graph
from edgesdk.placement import first_fit
from edgesdk.runners import link, qemu
from edgesdk.toolchain import Unit

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
GRAPHS = 200 if LONG else 20
IMAGE_BYTES = 1 << 20  # of models in one image
SPARE_BYTES = 64
RUN_S = 120.0
CODES = {0: "equal", 1: "another output", 2: "it wrote past its arena", 3: "the image's arena is too short"}
pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or not any(map(toolchain.command, ("gcc", "zig"))),
    reason="qemu-system-arm or a compiler for Cortex-M is not installed",
)


@dataclass(frozen=True)
class Case:
    """A program and what it makes of its input."""

    name: str
    data: bytes
    given: bytes
    expected: bytes
    arena_bytes: int

    def record(self) -> bytes:
        parts = (self.data, self.given, self.expected)
        head = struct.pack("<4I", *map(len, parts), 0)
        return head + b"".join(p + bytes(-len(p) % program.ALIGN) for p in parts)


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


def images(all_cases: Sequence[Case]) -> Iterator[list[Case]]:
    """The cases in lots that fit an image."""
    lot: list[Case] = []
    for case in all_cases:
        if lot and sum(len(c.record()) for c in lot) + len(case.record()) > IMAGE_BYTES:
            yield lot
            lot = []
        lot.append(case)
    yield lot


def built(lot: Sequence[Case], board: Board, arena_bytes: int, folder: Path) -> Path:
    """The image with all kernels and, in place of the agent, many_models.c."""
    tools = toolchain.find(board.core)
    agent, *rest = firmware.agent_units(board, arena_bytes)
    assert agent.source.name == "agent.c"
    own = Unit(
        Path(__file__).with_name("many_models.c"), (*agent.flags, f"-I{firmware.agent_folder()}"), agent.includes
    )
    objects = toolchain.compile_units(tools, [*firmware.runtime_units(board, None), own, *rest])
    model = firmware.model_object(tools, b"".join(c.record() for c in lot), folder)
    for at in firmware.placements(board):
        image = firmware.link(tools, [*objects, model], board, at, firmware.STACK_BYTES, folder)
        if not firmware.excess(image):
            return image.elf
    raise firmware.refuse(board, image)


def verdicts(lot: Sequence[Case], board: Board, elf: Path) -> Iterator[str]:
    """What the board says of each case."""
    with qemu.emulator(board, elf) as connection:
        for index in range(len(lot)):
            frame = link.receive(connection, time.monotonic() + RUN_S)
            said, code, _ = struct.unpack("<IiI", frame.payload)
            assert (frame.kind, said) == (link.BYTES, index)
            yield CODES.get(code, f"error {code}")


def wrong(all_cases: Sequence[Case], board: Board, folder: Path) -> list[str]:
    arena_bytes = max(c.arena_bytes for c in all_cases) + SPARE_BYTES
    found = []
    for lot in images(all_cases):
        said = verdicts(lot, board, built(lot, board, arena_bytes, folder))
        found += [f"{case.name}: {v}" for case, v in zip(lot, said, strict=True) if v != "equal"]
    return found


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
