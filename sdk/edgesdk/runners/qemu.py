# SPDX-License-Identifier: Apache-2.0
"""Runs a program on an emulated board: the real firmware in QEMU, its UART on a pseudo terminal."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import serial

from edgesdk import firmware, program
from edgesdk.boards import Board
from edgesdk.errors import DeviceError
from edgesdk.runners import agent, link
from edgesdk.runners.agent import AgentSession, Clock
from edgesdk.runners.link import Link

START_S = 20.0
PTY = re.compile(rb"redirected to (\S+)")


def instruction_shift(timer_hz: int) -> int:
    """The smallest N for which an instruction of 2^N ns is longer than two ticks, so that ticks convert exactly.

    Both ends of a count are rounded down to a tick: the count is off by less than one, half an instruction.
    """
    shift = 0
    while 2**shift * timer_hz <= 2 * 10**9:
        shift += 1
    return shift


def instructions(ticks: int, timer_hz: int) -> float:
    """Executed instructions of a timer count under -icount."""
    ns_per_instruction = 2 ** instruction_shift(timer_hz)
    return float(round(ticks * 10**9 / (timer_hz * ns_per_instruction)))


def tick_scale(timer_hz: int) -> int:
    """Instructions per tick, times 2^32: what the agent converts the ticks of one call with."""
    ns = 2 ** instruction_shift(timer_hz)
    return int(round(2**32 * 10**9 / (timer_hz * ns)))


def arguments(board: Board, elf: Path) -> list[str]:
    """The command line. The machine waits (-S) until the terminal is open: QEMU drops what nobody reads."""
    if board.emulator is None or board.timer is None:
        raise DeviceError(f"board {board.id}: its board.toml names no emulator and timer; use a board that has them")
    found = shutil.which(board.emulator.program)
    if found is None:
        name = board.emulator.program
        raise DeviceError(f"{name} was not found on PATH; install QEMU (Debian: apt install qemu-system-arm)")
    count = f"shift={instruction_shift(board.timer.hz)},sleep=off"
    quiet = ["-display", "none", "-serial", "pty", "-monitor", "stdio", "-S"]
    return [found, "-M", board.emulator.machine, *quiet, "-icount", count, "-kernel", str(elf)]


def _terminal(process: subprocess.Popen[bytes], deadline: float) -> str:
    """The path of the pseudo terminal that QEMU prints when it starts."""
    assert process.stdout
    text = b""
    while not (match := PTY.search(text)):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            said = text.decode(errors="replace").strip() or "nothing"
            raise DeviceError(f"the emulator did not start: it said {said!r}; expected a serial terminal")
        text += chunk
    return match[1].decode()


@contextmanager
def emulator(board: Board, elf: Path, extra: tuple[str, ...] = ()) -> Iterator[Link]:
    """A link to the firmware in a fresh QEMU, which is killed at the end whatever happens."""
    process = subprocess.Popen(
        [*arguments(board, elf), *extra], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin
    try:
        with serial.Serial(_terminal(process, time.monotonic() + START_S)) as port:
            process.stdin.write(b"cont\n")
            process.stdin.flush()
            connection = Link(port, f"{board.id} in {board.emulator.program if board.emulator else ''}")
            link.wait_boot(connection, START_S)
            process.stdin.write(b"\n")  # wakes QEMU's main loop, which else takes a second to see the open terminal
            process.stdin.flush()
            yield connection
    finally:
        process.kill()
        process.communicate()


@contextmanager
def open(board: Board, data: bytes, toolchain_name: str | None = None, spare_bytes: int = 0) -> Iterator[AgentSession]:
    """The program in the board's emulator. Costs are executed instructions, exact."""
    parsed = program.read(data)
    with tempfile.TemporaryDirectory(prefix="edgesdk-") as folder:
        image = firmware.build(board, data, Path(folder), toolchain_name, spare_bytes=spare_bytes)
        with emulator(board, image.elf) as connection:
            assert board.timer
            assert board.emulator
            clock = Clock("instructions", partial(instructions, timer_hz=board.timer.hz), tick_scale(board.timer.hz))
            context = {"emulator": board.emulator.machine, "toolchain": image.toolchain, "ram_bytes": image.ram_bytes}
            yield agent.begin(connection, parsed, clock, image.code_bytes, context)
