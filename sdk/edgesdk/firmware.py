# SPDX-License-Identifier: Apache-2.0
"""Builds the agent's firmware for a board, with a model linked in, and says exactly what it takes."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from pathlib import Path
from string import Template

from elftools.elf.elffile import ELFFile

from edgesdk import boards, program, toolchain
from edgesdk.boards import Board, Memory
from edgesdk.errors import DeviceError, DoesNotFit, UsageError
from edgesdk.toolchain import Toolchain, Unit

STACK_BYTES = 1024
RESERVED_BYTES = STACK_BYTES + 640  # of RAM, for stack, session and link buffers
CORE_FLAGS = ("-Os",)
TABLES = ("table.c", "pack.c")  # sources that list all kernels, or the ones that are used
MEMORY_FLAGS = ("-O2",)
REGION_BYTES = 0x4000000  # see firmware.ld
NO_MODEL_ARENA = 16


@dataclass(frozen=True)
class Placement:
    """Which memories hold the model and the arena; code and data lie in the first of their kind."""

    code: Memory
    model: Memory
    data: Memory
    arena: Memory


@dataclass(frozen=True)
class Image:
    """A linked firmware. `code_bytes` is vectors, text, constants and initialised data, without the model."""

    elf: Path
    toolchain: str
    placement: Placement
    sections: dict[str, int]
    code_bytes: int
    model_bytes: int
    ram_bytes: int


@cache
def runtime_folder() -> Path:
    return Path(str(resources.files("edgesdk.runtime_c").joinpath("src"))).parent


@cache
def agent_folder() -> Path:
    return Path(str(resources.files("edgesdk.apps").joinpath("firmware")))


def kernel_rows() -> dict[int, str]:
    """Kernel number -> its row in a kernels.inc."""
    lines = (
        line
        for path in sorted(runtime_folder().glob("kernels/*/kernels.inc"))
        for line in path.read_text().splitlines()
    )
    rows = ((re.match(r"ERT_(?:KERNEL|PACKED)\((\w+),", line), line) for line in lines)
    return {int(match[1], 0): line for match, line in rows if match}


def used_rows(model: program.Program, more: frozenset[int] = frozenset()) -> str:
    """The rows of the kernels that a program calls, and of `more`: the content of used.inc."""
    rows = kernel_rows()
    wanted = {step.kernel for step in model.steps} | more
    missing = [f"{n:#06x}" for n in sorted(wanted) if n not in rows]
    if missing:
        raise UsageError(
            f"the model calls kernels {', '.join(missing)}, which this edgesdk has not got; convert it again"
        )
    return "".join(row + "\n" for n, row in rows.items() if n in wanted)


def write_used(model: program.Program, more: frozenset[int]) -> Path:
    """used.inc under the cache, named by its content: programs with the same kernels share their objects."""
    text = used_rows(model, more)
    path = toolchain.cache_folder() / f"used-{toolchain.digest(text)[:32]}.inc"
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        fresh.write_text(text)
        fresh.replace(path)
    return path


def other_isas(isa: tuple[str, ...]) -> set[str]:
    known = {name for core in boards.cores().values() for name in core.isa}
    return (known | {"relaxed"}) - set(isa)  # no core has that one: wasm.py builds modules with it


def runtime_units(
    board: Board, model: program.Program | None, threads: bool = False, more: frozenset[int] = frozenset()
) -> Iterator[Unit]:
    """The runtime's sources, with the model's kernels and `more`, or all; kernel files carry their instruction set as
    suffix."""
    one = () if threads else ("-DERT_ONE_THREAD",)
    root = runtime_folder()
    needed = tuple(f"-DERT_NEEDS_{isa}" for isa in board.core.isa if isa != "c")
    headers = toolchain.digest_files([*root.rglob("*.h"), *root.rglob("*.inc")])
    include = tuple(f"-I{root / name}" for name in ("include", "kernels", "src"))
    for source in sorted(root.glob("src/*.c")):
        used = [f'-DERT_USED="{write_used(model, more)}"'] if source.name in TABLES and model else []
        yield Unit(source, (*CORE_FLAGS, *one, *include, *needed, *used), headers)
    skipped = other_isas(board.core.isa)
    for source in sorted([*root.glob("kernels/*.c"), *root.glob("kernels/*/*.c")]):
        if source.stem.rpartition("_")[2] not in skipped:
            yield Unit(source, (board.core.optimize, *include), headers)


def agent_units(
    board: Board, arena_bytes: int, steps: int = 1, bound_bytes: int = 1, streamed: bool = True
) -> Iterator[Unit]:
    """The agent's sources, for models of up to `steps` steps that bind an input of up to `bound_bytes`; not
    `streamed`: without the code that takes an input row by row."""
    assert board.console
    assert board.timer
    root = agent_folder()
    headers = toolchain.digest_files([*root.glob("*.h"), *runtime_folder().glob("include/*.h")])
    flags = (
        f"-I{runtime_folder() / 'include'}",
        f"-DCONSOLE_BASE={board.console.base:#x}u",
        f"-DCONSOLE_HZ={board.console.hz}u",
        f"-DTIMER_BASE={board.timer.base:#x}u",
        f"-DTIMER_HZ={board.timer.hz}u",
    )
    sizes = (f"-DARENA_BYTES={arena_bytes}", f"-DMODEL_STEPS={steps}", f"-DBOUND_BYTES={bound_bytes}")
    yield Unit(root / "agent.c", (*CORE_FLAGS, *flags, *sizes, f"-DSTREAMED={int(streamed)}"), headers)
    for name in ("startup.c", "link.c", f"uart_{board.console.kind}.c", f"timer_{board.timer.kind}.c"):
        yield Unit(root / name, (*CORE_FLAGS, *flags), headers)
    yield Unit(root / "memory.c", MEMORY_FLAGS, headers)


def check_board(board: Board) -> None:
    """Whether firmware can be built for the board at all."""
    memories = [m for m in board.memories if m.base is not None]
    kinds = {m.kind for m in memories}
    if not (board.console and board.timer and kinds == {"flash", "ram"}):
        raise DeviceError(
            f"board {board.id}: firmware needs a console, a timer, and flash and RAM with their base addresses; "
            "add them to its board.toml or use an emulated board"
        )
    for role, kind in (("uart", board.console.kind), ("timer", board.timer.kind)):
        if not (agent_folder() / f"{role}_{kind}.c").is_file():
            known = ", ".join(sorted(p.stem.partition("_")[2] for p in agent_folder().glob(f"{role}_*.c")))
            raise UsageError(f"board {board.id}: no {role} driver of kind {kind!r}; expected one of {known}")


def model_object(tools: Toolchain, data: bytes, folder: Path) -> Path:
    file = folder / "model.edge"
    file.write_bytes(data)
    flags = (f'-DMODEL_FILE="{file}"',) if data else ()
    return toolchain.compile_to(tools, Unit(agent_folder() / "model.S", flags, ""), folder / "model.o")


def data_memory(board: Board) -> Memory:
    """Where stack and data lie: the first RAM that firmware is linked to."""
    ram = board.of_kind("ram")
    return next((m for m in ram if m.base is not None), ram[0])


def placements(board: Board, arena_memory: str | None = None) -> Iterator[Placement]:
    """The arena in the memory of that name, everything else in the first memories; then the model and the arena in
    others of their kind."""
    flash, ram = ([m for m in board.of_kind(kind) if m.base is not None] for kind in ("flash", "ram"))
    for model, arena in product(flash, sorted(ram, key=lambda m: m.name != arena_memory)):
        yield Placement(flash[0], model, data_memory(board), arena)


def linker_script(board: Board, at: Placement, stack_bytes: int) -> str:
    placed = [m for m in board.memories if m.base is not None]
    names = {m: f"memory{i}" for i, m in enumerate(placed)}
    access = {"flash": "rx", "ram": "rwx"}
    regions = [f"  {names[m]} ({access[m.kind]}) : ORIGIN = {m.base:#x}, LENGTH = {REGION_BYTES:#x}" for m in placed]
    roles = {role: names[getattr(at, role)] for role in ("code", "model", "data", "arena")}
    template = Template((agent_folder() / "firmware.ld").read_text())
    return template.substitute(regions="\n".join(regions), stack_bytes=stack_bytes, **roles)


def section_bytes(elf: Path) -> dict[str, int]:
    """Bytes of each section that takes memory on the board."""
    with elf.open("rb") as file:
        return {s.name: s["sh_size"] for s in ELFFile(file).iter_sections() if s["sh_flags"] & 2 and s["sh_size"]}


def link(tools: Toolchain, objects: list[Path], board: Board, at: Placement, stack: int, folder: Path) -> Image:
    script, elf = folder / "firmware.ld", folder / "firmware.elf"
    script.write_text(linker_script(board, at, stack))
    toolchain.link(tools, objects, script, elf)
    sizes = section_bytes(elf)
    in_ram = sum(sizes.get(name, 0) for name in (".stack", ".data", ".bss", ".arena"))
    code = sum(sizes.values()) - in_ram - sizes.get(".model", 0) + sizes.get(".data", 0)
    return Image(elf, tools.name, at, sizes, code, sizes.get(".model", 0), in_ram)


def usage(image: Image) -> Counter[Memory]:
    """Bytes needed in each memory."""
    at, arena = image.placement, image.sections.get(".arena", 0)
    used: Counter[Memory] = Counter()
    used[at.code] += image.code_bytes
    used[at.model] += image.model_bytes
    used[at.data] += image.ram_bytes - arena
    used[at.arena] += arena
    return used


def excess(image: Image) -> int:
    return sum(max(0, need - memory.bytes) for memory, need in usage(image).items())


def refuse(board: Board, image: Image) -> DoesNotFit:
    """What is short, by how many bytes."""
    flash = f"code {image.code_bytes}, model {image.model_bytes}"
    ram = ", ".join(f"{name[1:]} {image.sections.get(name, 0)}" for name in (".arena", ".stack", ".data", ".bss"))
    short = [
        f"{need} bytes of {'RAM' if m.kind == 'ram' else 'flash'} in {m.name} ({ram if m.kind == 'ram' else flash}), "
        f"which has {m.bytes}: {need - m.bytes} bytes too few"
        for m, need in usage(image).items()
        if need > m.bytes
    ]
    return DoesNotFit(
        f"board {board.id}: the firmware needs {' and '.join(short)}; use a smaller model or a larger board"
    )


def build(
    board: Board,
    data: bytes | None,
    folder: Path,
    toolchain_name: str | None = None,
    stack_bytes: int = STACK_BYTES,
    spare_bytes: int = 0,
) -> Image:
    """The firmware for `board` with the .edge file `data` (None: no model) as folder/firmware.elf, the arena in the
    memory that the file was converted for.

    The arena is `spare_bytes` larger than the model needs: what lies there shows writes past its end.

    Raises DoesNotFit where a memory of the board is too small, DeviceError where there is no compiler.
    """
    check_board(board)
    model = program.read(data) if data is not None else None
    tools = toolchain.find(board.core, toolchain_name)
    arena_bytes = max(model.arena_bytes if model else 0, NO_MODEL_ARENA) + spare_bytes
    sizes = (len(model.steps), program.bound_bytes(model) or 1) if model else (1, 1)
    streamed = model is None or any(t.streamed for t in model.inputs)
    units = [*runtime_units(board, model), *agent_units(board, arena_bytes, *sizes, streamed)]
    objects = [*toolchain.compile_units(tools, units), model_object(tools, data or b"", folder)]
    chosen = model.metadata.get("arena_memory") if model else None
    images = (link(tools, objects, board, at, stack_bytes, folder) for at in placements(board, chosen))
    tried = []
    for image in images:
        if not excess(image):
            return image
        tried.append(image)
    raise refuse(board, min(tried, key=excess))
