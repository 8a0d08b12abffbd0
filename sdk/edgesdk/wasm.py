# SPDX-License-Identifier: Apache-2.0
"""Builds the runtime as WebAssembly modules, with the kernels that one program calls or with all of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from edgesdk import boards, firmware, program, toolchain
from edgesdk.boards import Board
from edgesdk.errors import UsageError
from edgesdk.toolchain import Toolchain, Unit

# Flavour -> the instruction sets that it adds to what every engine of the last years has, fastest last.
FLAVOURS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "simd128": ("simd128",),
    "relaxed": ("simd128", "relaxed"),
}
BASE = ("mvp", "bulk_memory", "bulk_memory_opt", "mutable_globals", "nontrapping_fptoint", "sign_ext")
FEATURES = {"simd128": "simd128", "relaxed": "relaxed_simd"}
PACKAGE = ("edgesdk.js", "edgesdk.d.ts", "package.json", "README.md")
STACK_BYTES = 65536  # below the data: an overflow traps instead of overwriting it
LINK = ("-nostdlib", "-s", "-Wl,--no-entry", "-Wl,--gc-sections", f"-Wl,-z,stack-size={STACK_BYTES}")


@cache
def web_folder() -> Path:
    return Path(str(resources.files("edgesdk.apps").joinpath("web")))


def file_name(flavour: str) -> str:
    """What JavaScript looks for."""
    return f"ert_{flavour}.wasm"


def find_toolchain(flavour: str) -> Toolchain:
    """zig with the flavour's instruction sets. Raises DeviceError where it is not installed."""
    if flavour not in FLAVOURS:
        raise UsageError(f"flavour {flavour!r} is not known; expected one of {', '.join(FLAVOURS)}")
    found = toolchain.find(boards.cores()["wasm32"], "zig")
    features = (*BASE, *(FEATURES[isa] for isa in FLAVOURS[flavour]))
    return replace(found, flags=(*found.flags, f"-mcpu={'+'.join(features)}"))


def board_of(flavour: str) -> Board:
    """The board whose core has the flavour's instruction sets, and no others."""
    board = boards.load("wasm")
    core = msgspec.structs.replace(board.core, isa=(*reversed(FLAVOURS[flavour]), "c"))
    return msgspec.structs.replace(board, core=core)


def units(flavour: str, model: program.Program | None) -> Iterator[Unit]:
    yield from firmware.runtime_units(board_of(flavour), model)
    include = firmware.runtime_folder() / "include"
    headers = toolchain.digest_files(list(include.glob("*.h")))
    yield Unit(web_folder() / "ert_web.c", (*firmware.CORE_FLAGS, f"-I{include}"), headers)


def build(flavour: str, model: program.Program | None = None) -> Path:
    """The module of a flavour, from the cache where it is there; `model`: with the kernels of that program only.

    Raises UsageError for an unknown flavour, DeviceError where there is no compiler.
    """
    tools = find_toolchain(flavour)
    objects = toolchain.compile_units(tools, list(units(flavour, model)))
    key = toolchain.digest(tools.version, *tools.flags, *LINK, *(o.name for o in objects))
    path = toolchain.cache_folder() / f"ert-{flavour}-{key[:32]}.wasm"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            toolchain.call([*tools.command, *tools.flags, *LINK, *map(str, objects), "-o", str(fresh)])
            fresh.replace(path)
    return path


def write_package(folder: Path, model: program.Program | None = None) -> list[Path]:
    """What a page needs in `folder`: the binding with its types, and a module of each flavour."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / name for name in PACKAGE]
    for path in written:
        shutil.copyfile(web_folder() / path.name, path)
    for flavour in FLAVOURS:
        written.append(folder / file_name(flavour))
        shutil.copyfile(build(flavour, model), written[-1])
    return written
