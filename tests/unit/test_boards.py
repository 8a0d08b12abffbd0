# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edgesdk import boards
from edgesdk.errors import UsageError

EMULATED = ("mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547", "microbit")
MINIMAL = 'id = "mine"\nname = "Mine"\ncore = "cortex-m4"\n'
MEMORY = '[[memories]]\nname = "ram"\nkind = "ram"\nbytes = 1024\n'


@pytest.mark.parametrize("name", boards.names())
def test_every_board_loads(name: str) -> None:
    board = boards.load(name)
    assert board.id == name
    assert board.core.isa[-1] == "c"
    assert board.source or board.runner in ("host", "wasm", "browser"), "facts need a source"


@pytest.mark.parametrize("name", EMULATED)
def test_emulated_boards_are_complete(name: str) -> None:
    board = boards.load(name)
    assert board.runner == "qemu" and board.emulator and board.console and board.timer
    assert board.of_kind("flash") and board.of_kind("ram")
    assert all(m.base is not None for m in board.memories)
    assert board.core.gcc and board.core.zig


def test_memories_do_not_overlap() -> None:
    for board in map(boards.load, boards.names()):
        placed = sorted((m.base, m.base + m.bytes) for m in board.memories if m.base is not None)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(placed)), board.id


def test_totals() -> None:
    assert boards.load("microbit").total_bytes("ram") == 16 * 1024
    assert boards.load("host").total_bytes("ram") is None


def test_own_board_by_path(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(MINIMAL + "[power]\nactive_watts = 0.1\nsource = 'bench'\n" + MEMORY)
    for path in (file, str(file), tmp_path):
        board = boards.load(path)
        assert (board.id, board.core.isa, board.total_bytes("ram")) == ("mine", ("dsp", "thumb2", "c"), 1024)
    assert board.power is not None and board.power.active_watts == 0.1
    assert board.clock_hz is None and board.emulator is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id = ", "not valid TOML"),
        ('name = "x"\ncore = "cortex-m4"\n', "`id`"),
        ('id = "x"\nname = "x"\n', "`core`"),
        (MINIMAL + "speed = 3\n", "`speed`"),
        (MINIMAL.replace("cortex-m4", "z80"), "core 'z80' is not known"),
        (MINIMAL + 'clock_hz = "fast"\n', "`$.clock_hz`"),
        (MINIMAL + MEMORY.replace('"ram"\nbytes', '"rom"\nbytes'), "'rom'"),
        (MINIMAL + MEMORY.replace("1024", "0"), "0 bytes"),
        (MINIMAL + MEMORY + "colour = 1\n", "`colour`"),
        (MINIMAL + "[power]\nactive_watts = 1\n", "`source`"),
    ],
)
def test_a_bad_board_is_refused_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "board.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as refusal:
        boards.load(file)
    assert said in str(refusal.value)
    assert str(file) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_board_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"'mps9' is not known.*microbit"):
        boards.load("mps9")


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        boards.load(file)
