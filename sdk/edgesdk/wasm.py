# SPDX-License-Identifier: Apache-2.0
"""Builds the runtime as WebAssembly modules, with the kernels that one program calls or with all of them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from edgesdk import boards, firmware, kernels, program, toolchain
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
SCRIPTS = ("edgesdk", "errors", "files", "model", "runtime", "tensor", "threads", "tune", "worker")
PACKAGE = (*(f"{name}{end}" for name in SCRIPTS for end in (".js", ".d.ts")), "package.json", "README.md")
DOCUMENTATION = re.compile(r"^ */\*\*.*?\*/\n", re.DOTALL | re.MULTILINE)
THREADED = ("simd128", "relaxed")  # flavours that modules with threads have: every engine with them has vectors
STACK_BYTES = 65536  # below the data: an overflow traps instead of overwriting it
LINK = ("-nostdlib", "-s", "-Wl,--no-entry", "-Wl,--gc-sections", f"-Wl,-z,stack-size={STACK_BYTES}")
# JavaScript makes the memory, which workers share, no smaller than this (threads.ts).
FIRST_BYTES = 32 * 65536
LINK_THREADS = (
    "-Wl,--import-memory",
    "-Wl,--shared-memory",
    f"-Wl,--initial-memory={FIRST_BYTES}",
    f"-Wl,--max-memory={65535 * 65536}",
    "-Wl,--export=__stack_pointer",
)


@cache
def web_folder() -> Path:
    return Path(str(resources.files("edgesdk.apps").joinpath("web")))


def file_name(flavour: str, threads: bool = False) -> str:
    """What JavaScript looks for."""
    return f"ert_{flavour}{'_threads' * threads}.wasm"


def find_toolchain(flavour: str, threads: bool = False) -> Toolchain:
    """zig with the flavour's instruction sets. Raises DeviceError where it is not installed."""
    if flavour not in FLAVOURS:
        raise UsageError(f"flavour {flavour!r} is not known; expected one of {', '.join(FLAVOURS)}")
    found = toolchain.find(boards.cores()["wasm32"], "zig")
    features = (*BASE, *(FEATURES[isa] for isa in FLAVOURS[flavour]), *(("atomics",) * threads))
    return replace(found, flags=(*found.flags, f"-mcpu={'+'.join(features)}"))


def board_of(flavour: str) -> Board:
    """The board whose core has the flavour's instruction sets, and no others."""
    board = boards.load("wasm")
    core = msgspec.structs.replace(board.core, isa=(*reversed(FLAVOURS[flavour]), "c"))
    return msgspec.structs.replace(board, core=core)


def vectors_of(model: program.Program) -> frozenset[int]:
    """The kernels that a portable program may be packed for while it is loaded; none for other programs."""
    called = {step.kernel for step in model.steps}
    found = [k for k in kernels.table() if k.number in called]
    if any(k.isa != kernels.PORTABLE for k in found):
        return frozenset()
    jobs = {(k.op, k.types) for k in found}
    return frozenset(k.number for k in kernels.table() if k.isa == "simd128" and (k.op, k.types) in jobs)


def units(flavour: str, model: program.Program | None, threads: bool = False) -> Iterator[Unit]:
    """A module for one program that is not packed lacks what packs."""
    more = vectors_of(model) if model and flavour != "plain" else frozenset()
    yield from firmware.runtime_units(board_of(flavour), model, threads, more)
    include = firmware.runtime_folder() / "include"
    headers = toolchain.digest_files([*include.glob("*.h"), web_folder() / "ert_web.h"])
    flags = (*firmware.CORE_FLAGS, f"-I{include}", *(("-DEDGE_AS_IS",) if model and not more else ()))
    for name in ("ert_web.c", *(("ert_web_threads.c",) * threads)):
        yield Unit(web_folder() / name, flags, headers)
    yield Unit(web_folder() / "memory.c", ("-O3",), "")


def build(flavour: str, model: program.Program | None = None, threads: bool = False) -> Path:
    """The module of a flavour, from the cache where it is there; `model`: with the kernels of that program only;
    `threads`: whose memory workers share.

    Raises UsageError for an unknown flavour, DeviceError where there is no compiler.
    """
    tools = find_toolchain(flavour, threads)
    objects = toolchain.compile_units(tools, list(units(flavour, model, threads)))
    link = (*LINK, *(LINK_THREADS if threads else ()))
    key = toolchain.digest(tools.version, *tools.flags, *link, *(o.name for o in objects))
    path = toolchain.cache_folder() / f"ert-{flavour}-{key[:32]}.wasm"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            toolchain.call([*tools.command, *tools.flags, *link, *map(str, objects), "-o", str(fresh)])
            fresh.replace(path)
    return path


def write_package(folder: Path, model: program.Program | None = None) -> list[Path]:
    """What a page needs in `folder`: the binding with its types, and the modules of each flavour.

    Pages load scripts without what documents them, a quarter of their compressed bytes; the types keep it for editors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / name for name in PACKAGE]
    for path in written:
        text = (web_folder() / path.name).read_text()
        path.write_text(DOCUMENTATION.sub("", text) if path.suffix == ".js" else text)
    for flavour, threads in (*((f, False) for f in FLAVOURS), *((f, True) for f in THREADED)):
        written.append(folder / file_name(flavour, threads))
        shutil.copyfile(build(flavour, model, threads), written[-1])
    return written
