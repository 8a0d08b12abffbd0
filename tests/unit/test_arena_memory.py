# SPDX-License-Identifier: Apache-2.0
"""Which memory of a board the arena goes to, and which point of the front with it."""

from __future__ import annotations

import msgspec
import pytest
from graphs import Builder

from edgesdk import boards, firmware, flow, pareto, passes, schedule
from edgesdk.boards import Board, Memory
from edgesdk.errors import DoesNotFit
from edgesdk.ir import Graph
from edgesdk.schedule import Schedule
from edgesdk.search import Point

M4 = boards.load("mps2_an386")


def ram(name: str, n_bytes: int, wait_states: int | None) -> Memory:
    return Memory(name=name, kind="ram", bytes=n_bytes, wait_states=wait_states)


def board(*memories: Memory) -> Board:
    return msgspec.structs.replace(M4, memories=(M4.of_kind("flash")[0], *memories))


def network() -> Schedule:
    """A front of some points: three convolutions on an image that is wide at first."""
    b = Builder(1, "int8")
    x = y = b.input((1, 24, 24, 3))
    for stride in (1, 2, 2):
        y = b.depthwise(b.conv(y, 16, 1, 1), 3, stride)
    return schedule.schedule(passes.lower(passes.simplify(Graph("net", [x], [y], b.nodes))), ("c",))


BASE = network()
WHOLE = pareto.layer_by_layer(BASE, M4)
FRONT = pareto.points(BASE, M4)
STREAMED = pareto.points(pareto.streamed(BASE), M4)
SMALLEST = FRONT[-1]
TAKEN = firmware.RESERVED_BYTES


@pytest.fixture(autouse=True)
def searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The front does not depend on the memories."""
    monkeypatch.setattr(pareto, "points", lambda base, board, tick: FRONT if base.streamed is None else STREAMED)


def chosen(on: Board, ram_bytes: int | None = None, stream: bool = False) -> tuple[Point, str | None]:
    point, room = flow.choose(BASE, on, ram_bytes, None, stream, lambda stage: None)
    return point, room.memory.name if room.memory else None


def fast_and_slow(fast_bytes: int, slow_bytes: int, wait_states: int | None = 2) -> Board:
    return board(ram("fast", fast_bytes + TAKEN, 0), ram("slow", slow_bytes, wait_states))


def test_the_front_has_several_points() -> None:
    assert len(FRONT) > 2 and SMALLEST.plan.arena_bytes < WHOLE.plan.arena_bytes / 2
    assert SMALLEST.cost < WHOLE.cost * (1 + 2 * M4.core.arena_accesses), "else the slow memory were right"


def test_a_smaller_arena_in_the_fast_memory_beats_the_fastest_point_in_the_slow_one() -> None:
    point, name = chosen(fast_and_slow(SMALLEST.plan.arena_bytes, 2**20))
    assert (point.plan.arena_bytes, name) == (SMALLEST.plan.arena_bytes, "fast")


def test_in_the_fast_memory_the_fastest_point_that_fits() -> None:
    second = FRONT[-2].plan.arena_bytes
    point, name = chosen(fast_and_slow(second + 15, 2**20))
    assert (point.plan.arena_bytes, name) == (second, "fast")
    point, name = chosen(fast_and_slow(WHOLE.plan.arena_bytes, 2**20))
    assert (point.plan.arena_bytes, name) == (WHOLE.plan.arena_bytes, "fast")


def test_the_slow_memory_where_the_fast_one_is_too_small() -> None:
    point, name = chosen(fast_and_slow(SMALLEST.plan.arena_bytes - 1, 2**20))
    assert (point.plan.arena_bytes, name) == (WHOLE.plan.arena_bytes, "slow")


def test_without_wait_states_the_largest() -> None:
    for wait_states in (0, None):
        point, name = chosen(fast_and_slow(2**16, 2**20, wait_states))
        assert (point.plan.arena_bytes, name) == (WHOLE.plan.arena_bytes, "slow")


def test_a_core_without_counted_accesses_takes_memories_as_equal() -> None:
    on = fast_and_slow(2**16, 2**20)
    assert chosen(on)[1] == "fast"
    assert chosen(msgspec.structs.replace(on, core=msgspec.structs.replace(on.core, arena_accesses=0.0)))[1] == "slow"


def test_ram_keeps_its_meaning() -> None:
    on = fast_and_slow(SMALLEST.plan.arena_bytes, 2**20)
    for budget in (SMALLEST.plan.arena_bytes, WHOLE.plan.arena_bytes - 1):
        assert chosen(on, budget)[0].plan.arena_bytes <= budget
    point, name = chosen(fast_and_slow(16, 32), WHOLE.plan.arena_bytes)
    assert (point.plan.arena_bytes, name) == (WHOLE.plan.arena_bytes, None), "--ram may exceed the board's memories"
    with pytest.raises(DoesNotFit, match=f"--ram has {SMALLEST.plan.arena_bytes - 1}: 1 bytes too few"):
        chosen(on, SMALLEST.plan.arena_bytes - 1)


def test_memories_are_not_added_up() -> None:
    half = SMALLEST.plan.arena_bytes // 2 + 1
    with pytest.raises(DoesNotFit, match=f"slow of {M4.id} has {half}: {SMALLEST.plan.arena_bytes - half} bytes"):
        chosen(fast_and_slow(half - TAKEN, half))
    with pytest.raises(DoesNotFit, match=rf"fast of {M4.id} \(less stack and firmware\) has 100"):
        chosen(fast_and_slow(100, 50))


def test_a_streamed_input_too() -> None:
    least = min(p.plan.arena_bytes for p in STREAMED)
    point, name = chosen(fast_and_slow(least, 2**20), stream=True)
    assert (point.plan.arena_bytes, name) == (least, "fast")


def test_a_host_has_no_memories() -> None:
    assert chosen(boards.load("host"))[1] is None


def test_an_arena_that_moved_is_still_linked() -> None:
    """The named memory first; where it is not there, the others in their order."""
    placed = {m.name: m for m in M4.of_kind("ram")}
    for wanted in ("ssram23", "psram", "none"):
        order = [p.arena.name for p in firmware.placements(M4, wanted)]
        assert order == (["psram", "ssram23"] if wanted == "psram" else ["ssram23", "psram"])
        assert all(p.data == placed["ssram23"] for p in firmware.placements(M4, wanted))
