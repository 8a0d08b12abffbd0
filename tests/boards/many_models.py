# SPDX-License-Identifier: Apache-2.0
"""Many programs in one firmware image, which says of each whether a board makes of its inputs what is expected.

The image (many_models.c in place of the agent) compares the bytes itself and looks for writes past each arena.
"""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgesdk import firmware, program, toolchain
from edgesdk.boards import Board
from edgesdk.runners import link, qemu
from edgesdk.toolchain import Unit

IMAGE_BYTES = 1 << 20  # of models in one image
KERNEL_BYTES = 160 * 1024  # of flash that all kernels and what runs them take
SPARE_BYTES = 64
RUN_S = 120.0
CODES = {0: "equal", 1: "another output", 2: "it wrote past its arena", 3: "the image's arena is too short"}
needs_emulator = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or not any(map(toolchain.command, ("gcc", "zig"))),
    reason="qemu-system-arm or a compiler for Cortex-M is not installed",
)


@dataclass(frozen=True)
class Case:
    """A program and what it makes of its inputs, which follow one another in `given`."""

    name: str
    data: bytes
    given: bytes
    expected: bytes
    arena_bytes: int

    def record(self) -> bytes:
        parts = (self.data, self.given, self.expected)
        head = struct.pack("<4I", *map(len, parts), 0)
        return head + b"".join(p + bytes(-len(p) % program.ALIGN) for p in parts)


def images(all_cases: Sequence[Case], board: Board) -> Iterator[list[Case]]:
    """The cases in lots that fit an image."""
    most = min(IMAGE_BYTES, max(m.bytes for m in board.of_kind("flash")) - KERNEL_BYTES)
    lot: list[Case] = []
    for case in all_cases:
        if lot and sum(len(c.record()) for c in lot) + len(case.record()) > most:
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
    for lot in images(all_cases, board):
        said = verdicts(lot, board, built(lot, board, arena_bytes, folder))
        found += [f"{case.name}: {v}" for case, v in zip(lot, said, strict=True) if v != "equal"]
    return found
