# SPDX-License-Identifier: Apache-2.0
"""Modelled cycles of the models, and of their hot loops, on cores without wait states.

    python benchmarks/cycles.py --models ../shared/models [--boards mps2_an386,...] [--wait-states 4] [--json OUT]

A plugin of QEMU (trace.c, compiled by cc) counts how often each instruction of one inference is executed and how often
each branch is taken; timing.py says what straight code takes. What that leaves out is in README.md. Beside hot loops
stands what llvm-mca (llvm-mca-14 or llvm-mca on PATH) makes of them on the cores that it knows. Needs binutils and cc.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import arm_code
import mcu
import numpy as np
import timing
from arm_code import Instruction
from elftools.elf.elffile import ELFFile
from rich.console import Console
from rich.table import Table

from edgesdk import boards, firmware, flow
from edgesdk.boards import Board
from edgesdk.errors import DoesNotFit
from edgesdk.runners import link, qemu

HERE = Path(__file__).parent
MCA = {"cortex-m4": "cortex-m4", "cortex-m7": "cortex-m7"}  # others it models as cortex-m4
MCA_TURNS = 100
LINE_WORDS = 4  # of flash that are fetched at once
ENDS = ("branch", "call", "loop")


@dataclass(frozen=True)
class Count:
    """Of an instruction: how often it ran, how often not the next one followed, how many of its loads were of flash."""

    executed: int
    left: int
    flash: int


@dataclass(frozen=True)
class Block:
    """Straight code that is entered at its first instruction and left after its last."""

    function: str
    code: list[Instruction]
    counts: list[Count]

    @property
    def at(self) -> int:
        return self.code[0].at

    @property
    def executed(self) -> int:
        return self.counts[0].executed


@dataclass(frozen=True)
class Modelled:
    """A block on a core. `multiplies` are executed instructions that multiply."""

    block: Block
    instructions: int
    cycles: float
    multiplies: int
    flash: int
    left: int


def plugin(folder: Path) -> Path:
    path = folder / "trace.so"
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", str(HERE / "trace.c"), "-o", str(path)], check=True)
    return path


def addresses(elf: Path) -> tuple[dict[str, int], tuple[int, int]]:
    """Symbols, and the begin and size of the code."""
    with elf.open("rb") as file:
        image = ELFFile(file)
        symbols = {s.name: s["st_value"] & ~1 for s in image.get_section_by_name(".symtab").iter_symbols()}
        text = image.get_section_by_name(".text")
        return symbols, (text["sh_addr"], text["sh_size"])


def traced(board: Board, case: mcu.Case, tracer: Path, folder: Path) -> tuple[Path, dict[int, Count]]:
    """The firmware and what each address of its code did in one inference."""
    converted = flow.convert(case.path, board, **case.convert)
    elf, file = firmware.build(board, converted.data, folder).elf, folder / "counts"
    symbols, (base, size) = addresses(elf)
    flash = max(m.bytes for m in board.of_kind("flash"))
    where = f"begin={symbols['work_run']:#x},end={symbols['timer_now']:#x},flash={flash:#x},counts={file}"
    with qemu.emulator(board, elf, ("-plugin", f"{tracer},base={base:#x},bytes={size:#x},{where}")) as connection:
        about = link.hello(connection)
        link.load(connection)
        sample = mcu.read_input(converted.program.inputs[0], case.sample)
        link.write_input(connection, 0, sample.tobytes(), about.chunk_bytes)
        link.run(connection)
    found = np.fromfile(file, np.uint64).reshape(-1, 3)
    return elf, {base + 2 * int(i): Count(*map(int, found[i])) for i in np.flatnonzero(found[:, 0])}


def functions(elf: Path) -> list[tuple[int, str]]:
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        found = {s["st_value"] & ~1: s.name for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"}
    return sorted(found.items())


def blocks(elf: Path, counts: dict[int, Count]) -> Iterator[Block]:
    """The code that was executed."""
    code = [x for x in arm_code.disassembled(elf) if x.at in counts]
    targets = {x.target for x in code}
    names = functions(elf)
    begin = 0
    for i, x in enumerate(code):
        last = i + 1 == len(code)
        if last or cut(x, code[i + 1], counts, targets):
            part = code[begin : i + 1]
            yield Block(function_at(names, part[0].at), part, [counts[c.at] for c in part])
            begin = i + 1


def cut(x: Instruction, after: Instruction, counts: dict[int, Count], targets: set[int | None]) -> bool:
    apart = after.at != x.end or after.at in targets or x.kind in ENDS
    return apart or counts[x.at].executed != counts[after.at].executed or counts[x.at].left > 0


def function_at(names: list[tuple[int, str]], at: int) -> str:
    return next((name for address, name in reversed(names) if address <= at), "?")


def modelled(core: str, block: Block, before: list[Instruction]) -> Modelled:
    """`before` is the code that mostly runs before the block."""
    model, n = timing.CORES[core], len(before)
    each = model.cycles([*before, *block.code])[n:]
    last = block.counts[-1]
    taken = 0.0 if block.code[-1].kind == "loop" else model.taken * last.left
    wrong = model.mispredicted * min(last.left, last.executed - last.left)
    return Modelled(
        block,
        sum(c.executed for c in block.counts),
        sum(each) * block.executed + taken + wrong,
        sum(c.executed for x, c in zip(block.code, block.counts, strict=True) if x.multiplies),
        sum(c.flash for c in block.counts),
        last.left,
    )


def all_modelled(core: str, found: list[Block]) -> list[Modelled]:
    """Before a block runs itself where it is a loop of its own, else what lies before it."""
    parts = []
    for i, block in enumerate(found):
        above = found[i - 1] if i and found[i - 1].code[-1].end == block.at else None
        before = block if block.code[-1].target == block.at and block.counts[-1].left else above
        parts.append(modelled(core, block, before.code if before else []))
    return parts


def loops(parts: list[Modelled]) -> list[list[Modelled]]:
    """Innermost loops: what lies between the target of a branch backwards and the branch."""
    found = []
    for i, p in enumerate(parts):
        target = p.block.code[-1].target
        if p.left and target is not None and target <= p.block.at:
            first = next((k for k in range(i + 1) if parts[k].block.at == target), i)
            if not any(first <= begin and end <= i for begin, end in found):
                found.append((first, i))
    return [parts[first : last + 1] for first, last in found]


def waiting(parts: list[Modelled], wait_states: int) -> float:
    """Cycles that flash adds without a cache: it hands out lines, code behind a taken branch is a new one."""
    return wait_states * sum(p.flash / LINE_WORDS + p.left for p in parts)


@cache
def mca_command() -> str | None:
    return next(filter(None, map(shutil.which, ("llvm-mca", "llvm-mca-14"))), None)


def mca(core: str, turn: list[Modelled]) -> float | None:
    """Cycles of a turn by llvm-mca; None where it does not know the core or not all of the loop runs in each turn."""
    straight = len({p.block.executed for p in turn[1:]} | {turn[-1].block.executed}) == 1
    if core not in MCA or mca_command() is None or not straight:
        return None
    code = [x for p in turn for x in p.block.code]
    lines = [f"{x.name} {re.sub(r'[0-9a-f]+ <.*', '1b', x.operands)}" for x in code]
    command = [str(mca_command()), "-mtriple=thumbv7em-none-eabi", f"-mcpu={MCA[core]}", f"-iterations={MCA_TURNS}"]
    done = subprocess.run(command, input="\n".join(["1:", *lines, ""]), capture_output=True, text=True, check=False)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    return int(found[1]) / MCA_TURNS if found and not done.returncode else None


def measure(board: Board, case: mcu.Case, tracer: Path) -> list[Modelled] | None:
    """The blocks of a model in the order of their addresses; None where it does not fit."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            elf, counts = traced(board, case, tracer, Path(folder))
        except DoesNotFit:
            return None
        return all_modelled(board.core.name, list(blocks(elf, counts)))


def total(name: str, core: str, parts: list[Modelled], wait_states: int) -> dict[str, Any]:
    instructions, cycles = sum(p.instructions for p in parts), sum(p.cycles for p in parts)
    by_function: Counter[str] = Counter()
    for p in parts:
        by_function[p.block.function] += round(p.cycles)
    return {
        "model": name, "core": core, "instructions": instructions, "cycles": round(cycles),
        "with_wait_states": round(cycles + waiting(parts, wait_states)),
        "multiplies": sum(p.multiplies for p in parts), "functions": dict(by_function.most_common(8)),
    }  # fmt: skip


def hottest(name: str, core: str, parts: list[Modelled], most: int) -> list[dict[str, Any]]:
    """The loops that take most cycles, by turn."""
    ranked = sorted(loops(parts), key=lambda turn: -sum(p.cycles for p in turn))[:most]
    return [loop(name, core, turn, sum(p.cycles for p in parts)) for turn in ranked]


def loop(name: str, core: str, turn: list[Modelled], whole: float) -> dict[str, Any]:
    turns, cycles = turn[-1].block.executed, sum(p.cycles for p in turn)
    return {
        "model": name, "core": core, "function": turn[0].block.function, "at": turn[0].block.at, "turns": turns,
        "instructions": sum(p.instructions for p in turn) / turns, "cycles": cycles / turns,
        "multiplies": sum(p.multiplies for p in turn) / turns, "llvm_mca": mca(core, turn), "share": cycles / whole,
    }  # fmt: skip


def totals_table(rows: list[dict[str, Any]], published: dict[tuple[str, str], int], wait_states: int) -> Table:
    columns = f"model core instructions cycles cycles/instruction multiply-slots best-published at-{wait_states}-waits"
    t = Table(*columns.split(), title="modelled cycles of an inference, no wait states")
    for r in rows:
        best = published.get((r["model"], r["core"]))
        t.add_row(
            r["model"], r["core"], f"{r['instructions']:,}", f"{r['cycles']:,}",
            f"{r['cycles'] / r['instructions']:.2f}", f"{r['multiplies'] / r['cycles']:.0%}",
            f"{best:,} ({r['cycles'] / best:.2f}x)" if best else "", f"{r['with_wait_states']:,}",
        )  # fmt: skip
    return t


def loops_table(rows: list[dict[str, Any]]) -> Table:
    t = Table(
        *"model core function turns instructions cycles multiplies llvm-mca share".split(), title="hot loops, a turn"
    )
    for r in rows:
        known = "" if r["llvm_mca"] is None else f"{r['llvm_mca']:.1f}"
        t.add_row(
            r["model"], r["core"], f"{r['function']}+{r['at']:#x}", f"{r['turns']:,}", f"{r['instructions']:.0f}",
            f"{r['cycles']:.1f}", f"{r['multiplies']:.0f}", known, f"{r['share']:.0%}",
        )  # fmt: skip
    return t


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--boards", default=",".join(mcu.BOARDS))
    parser.add_argument("--only", help="models, with commas")
    parser.add_argument("--loops", type=int, default=3, help="hot loops of each model")
    parser.add_argument("--wait-states", type=int, default=4, help="of flash, for the last column")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    totals, hot = [], []
    found = mcu.cases(options.models, options.inputs, options.only)
    with tempfile.TemporaryDirectory() as folder:
        tracer = plugin(Path(folder))
        for board in map(boards.load, options.boards.split(",")):
            for case in found:
                parts = measure(board, case, tracer)
                if parts is None:
                    continue
                totals.append(total(case.name, board.core.name, parts, options.wait_states))
                hot += hottest(case.name, board.core.name, parts, options.loops)
    best = {(c.name, core): x["cycles"] for c in found for core, x in c.peers.get("published", {}).items()}
    console = Console(width=170)
    console.print(totals_table(totals, best, options.wait_states))
    console.print(loops_table(hot))
    if options.json:
        options.json.write_text(json.dumps({"models": totals, "loops": hot}, indent=1))


if __name__ == "__main__":
    main()
