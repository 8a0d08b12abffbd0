# SPDX-License-Identifier: Apache-2.0
"""Boards: what edgesdk knows about each target. One folder per board, found by a scan.

A board names its core; cores.toml gives the core's instruction sets and compiler flags.
What is unknown is absent, never guessed.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgesdk import kernels
from edgesdk.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A TOML table whose keys are checked."""


class Core(Record, frozen=True):
    """`isa` lists instruction sets, fastest first; gcc and zig are compiler flags, empty where there is no firmware,
    and linux zig's for static programs, empty where there is no Linux, the same for all cores that one program is for;
    `optimize` is the compiler's level for kernels; `arena_accesses` are loads and stores of the arena per instruction,
    0 where that was not counted."""

    name: str
    isa: tuple[str, ...]
    optimize: str = "-O2"
    arena_accesses: float = 0.0
    gcc: tuple[str, ...] = ()
    zig: tuple[str, ...] = ()
    linux: tuple[str, ...] = ()


class Memory(Record, frozen=True):
    """`base` is absent where nothing is linked for the board (Linux, profiles for estimates). `wait_states` are cycles
    that each access takes longer than one of the core's fastest memory; absent where unknown."""

    name: str
    kind: Literal["flash", "ram"]
    bytes: int
    base: int | None = None
    wait_states: int | None = None


class Device(Record, frozen=True):
    """A UART or a timer: `kind` names its driver in the firmware (uart_<kind>.c, timer_<kind>.c)."""

    kind: str
    base: int
    hz: int


class Emulator(Record, frozen=True):
    """QEMU's program, and the machine that it emulates: in user mode the processor."""

    program: str
    machine: str


class Flasher(Record, frozen=True):
    """The program that writes the board's flash, its name for the target, and the device pack it may need."""

    program: str
    target: str
    pack: str | None = None


class Power(Record, frozen=True):
    """Power of the running board in watts, with where the figure comes from."""

    active_watts: float
    source: str


class Board(Record, frozen=True):
    """A board.toml, its core resolved."""

    id: str
    name: str
    core: Core
    runner: str | None = None
    clock_hz: int | None = None
    memories: tuple[Memory, ...] = ()
    emulator: Emulator | None = None
    console: Device | None = None
    timer: Device | None = None
    flash: Flasher | None = None
    power: Power | None = None
    source: str | None = None

    def of_kind(self, kind: Literal["flash", "ram"]) -> tuple[Memory, ...]:
        return tuple(m for m in self.memories if m.kind == kind)

    def total_bytes(self, kind: Literal["flash", "ram"]) -> int | None:
        """None where the board has no such memory of its own (the host, a browser)."""
        found = self.of_kind(kind)
        return sum(m.bytes for m in found) if found else None


# The core with every instruction set of a machine's architecture; those that it lacks are left out.
NATIVE = {"x86_64": "ice-lake", "AMD64": "ice-lake", "aarch64": "armv8.6-a", "arm64": "armv8.6-a"}

# What Linux says of an x86 or an Arm processor, the name first.
PROCESSOR_KEYS = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")


def folder() -> Path:
    return Path(str(resources.files("edgesdk.boards").joinpath("cores.toml"))).parent


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); expected a board.toml") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}; correct the file") from error


def checked(table: Any, kind: type[Any], where: str) -> Any:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        keys = ", ".join(kind.__struct_fields__)
        raise UsageError(f"{where}: {error}; its keys are {keys}") from error


@cache
def cores() -> dict[str, Core]:
    path = folder() / "cores.toml"
    return {name: checked({"name": name, **table}, Core, str(path)) for name, table in read_toml(path).items()}


def core(name: str, where: str) -> Core:
    if name == "native":
        full = cores().get(NATIVE.get(platform.machine(), ""), Core(name=platform.machine(), isa=("c",)))
        return msgspec.structs.replace(full, isa=tuple(i for i in full.isa if i in kernels.native_isas()))
    if name not in cores():
        raise UsageError(f"{where}: core {name!r} is not known; expected one of {', '.join(cores())}")
    return cores()[name]


def read(path: Path) -> Board:
    """The board of one file. Its core is looked up first: everything else is checked as written."""
    table = read_toml(path)
    if isinstance(table.get("core"), str):
        table["core"] = msgspec.to_builtins(core(table["core"], str(path)))
    board: Board = checked(table, Board, str(path))
    for memory in board.memories:
        if memory.bytes < 1 or (memory.base or 0) < 0:
            raise UsageError(f"{path}: memory {memory.name!r} has {memory.bytes} bytes; expected 1 or more")
        if (memory.wait_states or 0) < 0:
            raise UsageError(f"{path}: memory {memory.name!r} has {memory.wait_states} wait states; expected 0 or more")
    return board


def names() -> list[str]:
    """The ids of the boards that come with edgesdk."""
    return sorted(p.parent.name for p in folder().glob("*/board.toml"))


def load(board: str | Path) -> Board:
    """A board by its id, or by the path of a user's own board.toml (or of its folder)."""
    path = Path(board)
    if str(board) in names():
        path = folder() / board / "board.toml"
    elif path.is_dir():
        path = path / "board.toml"
    if not path.is_file():
        known = ", ".join(names())
        raise UsageError(f"board {str(board)!r} is not known; expected the path of a board.toml or one of {known}")
    return read(path)


def host_processor() -> str:
    """The name that this machine's processor gives itself."""
    said = Path("/proc/cpuinfo")
    if said.is_file():
        lines = [line.partition(":") for line in said.read_text(errors="replace").split("\n\n")[0].splitlines()]
        words = {key.strip(): value.strip() for key, _, value in lines}
        known = [words[k] for k in PROCESSOR_KEYS if words.get(k)]
        if known:
            return " ".join(known)
    if sys.platform == "darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()
