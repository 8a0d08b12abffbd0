# SPDX-License-Identifier: Apache-2.0
"""Instructions of an inference on 64-bit Arm cores, counted in QEMU's user mode, beside XNNPACK's; modelled cycles of
the hot loops.

    python benchmarks/arm.py [--models DIR] [--nets ds_cnn ...] [--levels neon neondot neoni8mm] [--loops] [--json OUT]

DIR holds <net>_fp32.tflite and <net>_int8.tflite as cpu.py writes them. Counts are exact and those of one inference:
loading is not among them. A level is the fastest instruction set that kernels may use; neon runs on a cortex-a53,
neondot on a cortex-a76, neonfp16 there with float16 weights and arithmetic, neoni8mm on a processor with all that QEMU
knows: no board here has one. Needs qemu-aarch64, ziglang, a C compiler for the counting plugin, and for --loops
llvm-19.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import arm_loops
import cpu_models
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import boards, flow, kernels, ops, runners, runtime
from edgesdk.boards import Board

HERE = Path(__file__).parent
TYPES = ("int8", "fp32")
LEVELS = {
    "neon": "raspberry_pi_zero_2w",
    "neondot": "raspberry_pi_5",
    "neoni8mm": "raspberry_pi_5",
    "neonfp16": "raspberry_pi_5",
}
MACHINES = {"neoni8mm": "max"}  # in place of the board's own
CHAINS = {
    "neon": ("neon", "c"),
    "neondot": ("neondot", "neon", "c"),
    "neoni8mm": ("neoni8mm", "neondot", "neon", "c"),
    "neonfp16": ("neonfp16", "neon", "c"),
}
FLOATS = ("neon", "neonfp16")  # levels with kernels of their own for floats
EXACT, HALVES = 1e-5, 0.03  # relative L2 of float outputs: layers of random weights add up what float16 rounds
HOTTEST = 5
WIDTH = 150  # of what is not printed to a terminal


@dataclass(frozen=True)
class Row:
    """`step_instructions` are by kernel; `equal`: the outputs are those of the portable kernels on this machine."""

    net: str
    type: str
    level: str
    instructions: float
    load: float
    macs: int
    arena_bytes: int
    equal: bool
    step_instructions: dict[str, float]


def board_of(level: str) -> Board:
    board = boards.load(LEVELS[level])
    assert board.emulator
    emulator = msgspec.structs.replace(board.emulator, machine=MACHINES.get(level, board.emulator.machine))
    core = msgspec.structs.replace(board.core, isa=CHAINS[level])
    return msgspec.structs.replace(board, core=core, emulator=emulator)


def inputs_of(converted: flow.Converted) -> list[np.ndarray]:
    """Pseudo-random: counts do not depend on them, but for the few steps that look at values."""
    rng = np.random.default_rng(1)
    found = []
    for tensor in converted.program.inputs:
        drawn = rng.standard_normal(tensor.shape)
        whole = np.clip(np.round(32 * drawn), -128, 127) if tensor.dtype == "int8" else drawn
        found.append(whole.astype(tensor.dtype))
    return found


def converted_for(model: Path, level: str) -> flow.Converted:
    """At neonfp16 with weights and arithmetic of float16."""
    halves = level == "neonfp16"
    return flow.convert(model, board_of(level), quantize="w16" if halves else "none", float16_arithmetic=halves)


def same(got: list[np.ndarray], expected: list[np.ndarray], most: float) -> bool:
    """Integers: the same bytes."""
    return all(
        np.linalg.norm(a - b) <= most * np.linalg.norm(b) if a.dtype == np.float32 else a.tobytes() == b.tobytes()
        for a, b in zip(got, expected, strict=True)
    )


def by_kernel(converted: flow.Converted, steps: list[float]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for step, cost in zip(converted.schedule.steps, steps, strict=True):
        totals[step.kernel.name] = totals.get(step.kernel.name, 0.0) + cost
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def measure(model: Path, net: str, kind: str, level: str) -> Row:
    board, converted = board_of(level), converted_for(model, level)
    given = inputs_of(converted)
    portable = flow.convert(model, "host", portable=True)
    expected = runtime.run(runtime.open_session(portable.data), given)
    with runners.open(board, converted.data) as session:
        got = session.run(given)
        found = session.measure(given, 1)
    macs = sum(ops.macs(s.node) for s in converted.schedule.steps)
    steps = by_kernel(converted, found.steps)
    equal = same(got, expected, HALVES if level == "neonfp16" else EXACT)
    return Row(net, kind, level, found.steady[0], found.init, macs, converted.plan.arena_bytes, equal, steps)


def loops(model: Path, level: str) -> Iterator[arm_loops.Loop]:
    converted = converted_for(model, level)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.edge"
        path.write_bytes(converted.data)
        yield from arm_loops.hottest(board_of(level), path, HOTTEST)


def verdict(row: Row, peer: dict[str, Any]) -> str:
    bar = peer["bars"].get(f"{row.type}_{row.level}")
    if bar is None:
        return "-"
    return f"{'pass' if row.instructions <= bar * 1e6 else 'MISS'} (<= {bar:g})"


def show(rows: list[Row], peers: dict[str, Any]) -> Table:
    columns = (
        "net",
        "type",
        "level",
        "M instructions",
        "MACs each",
        "load, M",
        "XNNPACK",
        "ratio",
        "bar",
        "as portable",
    )
    table = Table(*columns, title="One inference, million executed instructions")
    for row in rows:
        peer, own = peers[row.net], row.instructions / 1e6
        theirs = peer["xnnpack"][row.type]
        each, load, ratio = row.macs / row.instructions, row.load / 1e6, own / theirs
        told = (f"{own:.2f}", f"{each:.2f}", f"{load:.3f}", f"{theirs:g}", f"{ratio:.2f}", verdict(row, peer))
        table.add_row(peer["name"], row.type, row.level, *told, "yes" if row.equal else "NO")
    return table


def show_kernels(rows: list[Row]) -> Table:
    table = Table("net", "type", "level", "kernel", "M instructions", "share", title="Where they go")
    for row in rows:
        for name, cost in list(row.step_instructions.items())[:HOTTEST]:
            share = f"{cost / row.instructions:.0%}"
            table.add_row(row.net, row.type, row.level, name, f"{cost / 1e6:.2f}", share)
    return table


def show_loops(found: dict[str, list[arm_loops.Loop]]) -> Table:
    columns = [f"{m}, cycles (ports)" for m in arm_loops.MODELS]
    table = Table("net", "loop of", "instructions", "share", *columns, title="Hot loops, modelled cycles of a turn")
    for name, rows in found.items():
        for loop in rows:
            modelled = [f"{t:.1f} ({bound:.1f})" for t, bound in loop.cycles.values()]
            table.add_row(name, loop.function, str(loop.instructions), f"{loop.share:.0%}", *modelled)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peers = boards.read_toml(HERE / "arm_peers.toml")
    parser.add_argument("--models", type=Path, default=cpu_models.FOLDER)
    parser.add_argument("--nets", nargs="+", choices=peers, default=list(peers))
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    parser.add_argument("--levels", nargs="+", choices=list(LEVELS), default=list(LEVELS))
    parser.add_argument("--loops", action="store_true", help="the hot loops of the first net")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    known = {k.isa for k in kernels.table()}
    levels = [level for level in options.levels if level in known]
    cases = [(net, kind, level) for net in options.nets for kind in options.types for level in levels]
    cases = [c for c in cases if (c[2] in FLOATS if c[1] == "fp32" else c[2] != "neonfp16")]
    paths = {c: options.models / f"{c[0]}_{c[1]}.tflite" for c in cases}
    if missing := sorted({str(p) for p in paths.values() if not p.is_file()}):
        parser.error(f"{', '.join(missing)}: not there; benchmarks/cpu.py writes them")
    rows = [measure(paths[c], *c) for c in cases]
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(show(rows, peers))
    console.print(show_kernels(rows))
    watched = [c for c in cases if options.loops and c[0] == options.nets[0]]
    found = {" ".join(c): list(loops(paths[c], c[2])) for c in watched}
    if found:
        console.print(show_loops(found))
    if options.json:
        loops_told = {name: [asdict(x) for x in each] for name, each in found.items()}
        options.json.write_text(json.dumps({"rows": [asdict(r) for r in rows], "loops": loops_told}, indent=1))
    return 0 if all(r.equal for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
