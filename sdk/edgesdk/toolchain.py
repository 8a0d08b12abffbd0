# SPDX-License-Identifier: Apache-2.0
"""Finds a C compiler for a core and calls it. Objects are cached by what they are made from."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgesdk.boards import Core
from edgesdk.errors import DeviceError

COMMON = ("-std=c99", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables")
# Programs for Linux: compilers know memmove and memset there.
HOSTED = ("-std=c99", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables", "-fno-sanitize=all", "-g0")
# gcc would turn the loops of memcpy and memset into calls of themselves; clang asks for nothing of the kind.
OWN_FLAGS = {"gcc": ("-fno-tree-loop-distribute-patterns", "-fno-asynchronous-unwind-tables"), "zig": ("-g0",)}
LINK = ("-Wl,--gc-sections", "-Wl,--build-id=none")
LINK_LAST = {"gcc": ("-nostdlib", "-Wl,--no-warn-rwx-segments", "-lgcc"), "zig": ()}


@dataclass(frozen=True)
class Toolchain:
    """`flags` are the core's, `common` those of every source. `version` goes into the key of every cached object."""

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...]
    version: str
    common: tuple[str, ...]


@dataclass(frozen=True)
class Unit:
    """A source file, the flags of its own, and the digest of everything that it may include."""

    source: Path
    flags: tuple[str, ...]
    includes: str


@cache
def command(name: str) -> tuple[str, ...] | None:
    if name == "gcc":
        gcc = shutil.which("arm-none-eabi-gcc")
        return (gcc,) if gcc else None
    return (sys.executable, "-m", "ziglang", "cc") if importlib.util.find_spec("ziglang") else None


@cache
def version(name: str) -> str:
    found = command(name)
    assert found is not None, name
    return call([*found, "--version"]).splitlines()[0]


def find(core: Core, name: str | None = None) -> Toolchain:
    """The toolchain for a core: GNU where installed, else zig. `name` asks for one of them."""
    for candidate in (name,) if name else ("gcc", "zig"):
        flags: tuple[str, ...] = getattr(core, candidate)
        found = command(candidate)
        if flags and found:
            return Toolchain(candidate, found, flags, version(candidate), (*COMMON, *OWN_FLAGS[candidate]))
    if not (core.gcc or core.zig):
        raise DeviceError(f"core {core.name}: edgesdk has no compiler flags for it; firmware exists for Cortex-M only")
    raise DeviceError(
        f"core {core.name}: no {name or 'C'} compiler was found; install arm-none-eabi-gcc "
        "(Debian: gcc-arm-none-eabi) or `pip install ziglang`"
    )


def find_linux(core: Core) -> Toolchain:
    """The toolchain for static Linux programs: zig, which brings a C library for every architecture."""
    if not core.linux:
        raise DeviceError(f"core {core.name}: edgesdk builds no Linux program for it; expected a core that runs Linux")
    found = command("zig")
    if found is None:
        raise DeviceError(f"core {core.name}: programs for Linux need zig; `pip install ziglang`")
    return Toolchain("zig", found, core.linux, version("zig"), HOSTED)


def call(arguments: list[str]) -> str:
    """Runs a compiler; raises with its first complaint."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{arguments[0]}: cannot be run ({error}); check the installation") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line or "undefined" in line]
        first = lines[0] if lines else done.stderr.strip() or f"exit code {done.returncode}"
        raise DeviceError(f"{Path(arguments[0]).name}: {first}")
    return done.stdout


def cache_folder(kind: str = "build") -> Path:
    """A folder of the user's cache, which EDGESDK_CACHE may name."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(os.environ.get("EDGESDK_CACHE") or Path(base) / "edgesdk") / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: bytes | str) -> str:
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def digest_files(paths: list[Path]) -> str:
    return digest(*(part for path in sorted(paths) for part in (path.name, path.read_bytes())))


def flags_of(toolchain: Toolchain, unit: Unit) -> list[str]:
    return [*toolchain.flags, *toolchain.common, *unit.flags]


def compile_to(toolchain: Toolchain, unit: Unit, path: Path) -> Path:
    """Compiles past the cache: for what is made once, such as a model."""
    call([*toolchain.command, *flags_of(toolchain, unit), "-c", str(unit.source), "-o", str(path)])
    return path


def compile_unit(toolchain: Toolchain, unit: Unit) -> Path:
    """The object of one source, from the cache where it is there."""
    flags = flags_of(toolchain, unit)
    key = digest(toolchain.version, *flags, unit.includes, unit.source.name, unit.source.read_bytes())
    path = cache_folder() / f"{unit.source.stem}-{key[:32]}.o"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            compile_to(toolchain, unit, Path(folder) / path.name).replace(path)
    return path


def compile_units(toolchain: Toolchain, units: list[Unit]) -> list[Path]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda unit: compile_unit(toolchain, unit), units))


def link(toolchain: Toolchain, objects: list[Path], script: Path, output: Path) -> None:
    flags = [*toolchain.flags, *LINK, f"-Wl,-T,{script}"]
    call([*toolchain.command, *flags, *map(str, objects), *LINK_LAST[toolchain.name], "-o", str(output)])


def link_program(toolchain: Toolchain, objects: list[Path], output: Path, symbols: bool = False) -> None:
    """A static program for Linux, with or without the names of its functions."""
    flags = [*toolchain.flags, *LINK[:1], "-static", *([] if symbols else ["-s"])]
    call([*toolchain.command, *flags, *map(str, objects), "-o", str(output)])
