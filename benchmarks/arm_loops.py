# SPDX-License-Identifier: Apache-2.0
"""The loops of a program in QEMU's user mode that take the most instructions, and their cycles by llvm-mca."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from edgesdk import linux
from edgesdk.boards import Board
from edgesdk.errors import DeviceError

PLUGIN = Path(__file__).with_name("hot_blocks.c")
ATTRIBUTES = "+dotprod,+fullfp16,+i8mm"
MODELS = ("cortex-a53", "cortex-a72", "neoverse-n1")  # LLVM's model of cortex-a76 is that of cortex-a57
TURNS = 1000


@dataclass(frozen=True)
class Block:
    """Instructions without a branch between them, and how often they were executed."""

    address: int
    executed: int
    words: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.address + 4 * len(self.words)

    @property
    def cost(self) -> int:
        return self.executed * len(self.words)


@dataclass(frozen=True)
class Loop:
    """`share` of all instructions; for each model the cycles of a turn and the least that its ports allow."""

    function: str
    instructions: int
    share: float
    cycles: dict[str, tuple[float, float]]


def tool(name: str) -> str:
    """The newest of LLVM's tools of that name: version 14 has no model of neoverse-n1."""
    found = next(filter(None, (shutil.which(f"{name}{v}") for v in ("-19", "-20", "-21", "-18", "", "-14"))), None)
    if found is None:
        raise DeviceError(f"{name} was not found; install it (Debian: apt install llvm-19)")
    return found


def read_blocks(said: str) -> list[Block]:
    rows = (line.split() for line in said.splitlines() if line.startswith("block "))
    return [Block(int(a, 16), int(n), tuple(int(w, 16) for w in words)) for _, a, n, *words in rows]


def joined(blocks: Sequence[Block]) -> list[Block]:
    """Blocks that only the end of a page parts, as one."""
    left = {(b.address, b.executed): b for b in sorted(blocks, key=lambda b: -b.address)}
    for key in list(left):
        block = left.get(key)
        after = left.get((block.end, block.executed)) if block else None
        if block and after and not branches(block.words[-1]):
            del left[after.address, after.executed]
            left[key] = Block(block.address, block.executed, block.words + after.words)
    return sorted(left.values(), key=lambda b: -b.cost)


def branches(word: int) -> bool:
    """b, bl, b.cond, cbz, tbz and what goes where a register says."""
    return word >> 26 in (0x05, 0x25) or word >> 24 == 0x54 or word >> 25 & 0x3F in (0x1A, 0x1B) or word >> 25 == 0x6B


def is_loop(block: Block) -> bool:
    """Its last instruction, b.cond or cbz, goes back to its first."""
    last = block.words[-1]
    if last >> 24 != 0x54 and last >> 25 & 0x3F != 0x1A:
        return False
    distance = last >> 5 & 0x7FFFF
    distance -= (distance & 0x40000) << 1
    return distance == 1 - len(block.words)


def functions(binary: Path) -> list[tuple[int, int, str]]:
    with binary.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        symbols = [s for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"] if table else []
        return sorted((s["st_value"], s["st_size"], s.name) for s in symbols)


def name_at(address: int, named: list[tuple[int, int, str]]) -> str:
    return next((name for start, size, name in named if start <= address < start + size), hex(address))


def call(command: list[str], given: str) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError(f"{command[0]}: {done.stderr.splitlines()[0]}; install llvm-19")
    return done.stdout


def assembly(block: Block) -> str:
    raw = "\n".join(" ".join(f"0x{b:02x}" for b in w.to_bytes(4, "little")) for w in block.words)
    return call([tool("llvm-mc"), "--disassemble", "-triple=aarch64", f"-mattr={ATTRIBUTES}"], raw)


def cycles(block: Block, model: str) -> tuple[float, float]:
    """Of one turn, and the least that the ports allow."""
    command = [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={model}", f"-mattr={ATTRIBUTES}", f"-iterations={TURNS}"]
    said = call(command, assembly(block))
    total, bound = re.search(r"Total Cycles:\s+(\d+)", said), re.search(r"Block RThroughput:\s+([\d.]+)", said)
    assert total and bound, said
    return int(total[1]) / TURNS, float(bound[1])


def hottest(board: Board, model: Path, n: int = 5) -> Iterator[Loop]:
    """The loops of one inference on the board's processor, the most instructions first."""
    assert board.emulator
    binary = linux.build(board.core, symbols=True)
    plugin = linux.build_plugin(board.emulator.program, PLUGIN)
    done = linux.execute([*linux.emulator(board), "-plugin", str(plugin), str(binary), str(model), "--runs", "1"])
    blocks = joined(read_blocks(done.stderr.decode()))
    named, whole = functions(binary), sum(b.cost for b in blocks)
    for block in [b for b in blocks if is_loop(b)][:n]:
        found = {m: cycles(block, m) for m in MODELS}
        yield Loop(name_at(block.address, named), len(block.words), block.cost / whole, found)
