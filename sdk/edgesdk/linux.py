# SPDX-License-Identifier: Apache-2.0
"""ert-run, the runtime as one static Linux program for all cores of an architecture, and QEMU's user mode for it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path

from edgesdk import boards, firmware, toolchain
from edgesdk.boards import Board, Core
from edgesdk.errors import DeviceError
from edgesdk.toolchain import Unit

POSIX = "-D_DEFAULT_SOURCE"  # what POSIX and the BSDs have; strict C hides it
PLUGIN = "count_instructions.c"
OPTIMIZE = "-O2"
ARCHITECTURES = ("aarch64", "armv7-a", "x86-64", "riscv64")  # cores whose program runs on all of their architecture
NEW_PLUGINS = 9  # the major version of QEMU whose plugins have another interface


@cache
def app_folder() -> Path:
    return Path(str(resources.files("edgesdk.apps").joinpath("linux")))


def isas_of(core: Core) -> set[str]:
    """The instruction sets of all cores that the same program is for."""
    return {isa for other in boards.cores().values() if other.linux == core.linux for isa in other.isa}


def runtime_units(core: Core) -> Iterator[Unit]:
    """The runtime with every kernel that a core of the architecture may choose."""
    root = firmware.runtime_folder()
    headers = toolchain.digest_files([*root.rglob("*.h"), *root.rglob("*.inc")])
    include = tuple(f"-I{root / name}" for name in ("include", "kernels", "src"))
    skipped = firmware.other_isas(tuple(isas_of(core)))
    for source in sorted([*root.glob("src/*.c"), *root.glob("kernels/*.c"), *root.glob("kernels/*/*.c")]):
        if source.stem.rpartition("_")[2] not in skipped:
            yield Unit(source, (core.optimize, *include), headers)


def app_units(sources: list[Path]) -> Iterator[Unit]:
    """Sources that call the runtime and Linux."""
    root = firmware.runtime_folder()
    headers = toolchain.digest_files([*app_folder().glob("*.h"), *root.rglob("*.h")])
    include = tuple(f"-I{path}" for path in (app_folder(), *(root / n for n in ("include", "kernels", "src", "port"))))
    for source in [*sources, root / "port" / "ert_pool.c"]:
        yield Unit(source, (OPTIMIZE, "-std=c11", POSIX, *include), headers)


def build(core: Core, symbols: bool = False) -> Path:
    """ert-run for the core's architecture. Raises DeviceError where there is no zig."""
    sources = [p for p in sorted(app_folder().glob("*.c")) if p.name != PLUGIN]
    return build_program(core, "ert-run", sources, symbols)


def build_program(core: Core, name: str, sources: list[Path], symbols: bool = False) -> Path:
    """A static program of these sources and the runtime, from the cache where it is there."""
    tools = toolchain.find_linux(core)
    objects = toolchain.compile_units(tools, [*runtime_units(core), *app_units(sources)])
    key = toolchain.digest(tools.version, *tools.flags, str(symbols), *(o.name for o in objects))
    return cached(f"{name}-{key[:32]}", lambda path: toolchain.link_program(tools, objects, path, symbols))


def build_all(folder: Path) -> list[Path]:
    """ert-run of every architecture as folder/ert-run-<core>."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(build(boards.cores()[name]), folder / f"ert-run-{name}")) for name in ARCHITECTURES]


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """A file of the cache, made where it is missing; it appears whole."""
    path = toolchain.cache_folder() / name
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            make(Path(folder) / name)
            (Path(folder) / name).replace(path)
    return path


def emulator(board: Board) -> list[str]:
    """The command that runs a program of the board's core on this machine."""
    if board.emulator is None:
        raise DeviceError(f"board {board.id}: its board.toml names no emulator; expected one of QEMU's user mode")
    return [found_emulator(board.emulator.program), "-cpu", board.emulator.machine]


@cache
def found_emulator(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise DeviceError(f"{program} was not found on PATH; install QEMU's user mode (Debian: apt install qemu-user)")
    return found


@cache
def emulator_version(program: str) -> str:
    """ "7.2.22", or what else it says first."""
    said = toolchain.call([found_emulator(program), "--version"])
    match = re.search(r"version (\S+)", said)
    return match[1] if match else said.splitlines()[0]


def host_compiler() -> list[str]:
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    zig = toolchain.command("zig")
    if found is None and zig is None:
        raise DeviceError(
            "counting instructions needs a C compiler for this machine; install gcc or `pip install ziglang`"
        )
    return [found] if found else list(zig or ())


def build_plugin(program: str, source: Path | None = None) -> Path:
    """The counter of instructions for this emulator, or another plugin."""
    source = source or app_folder() / PLUGIN
    interface = f"-DPLUGIN_INTERFACE={2 if int(emulator_version(program).split('.')[0]) >= NEW_PLUGINS else 1}"
    command = [*host_compiler(), "-O2", "-shared", "-fPIC", interface, str(source), "-o"]
    key = toolchain.digest(*command, source.read_bytes())
    return cached(f"{source.stem}-{key[:32]}.so", lambda path: _compile(command, path))


def _compile(command: list[str], path: Path) -> None:
    toolchain.call([*command, str(path)])


def counting(board: Board, counter: Path) -> list[str]:
    """`emulator`, its count of executed instructions in the file `counter`."""
    assert board.emulator
    return [*emulator(board), "-plugin", f"{build_plugin(board.emulator.program)},counter={counter}"]


def execute(command: list[str], timeout_s: float = 600.0) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end. Raises DeviceError where it cannot be run or does not end."""
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{command[0]}: did not run to its end ({error}); check the installation") from error
