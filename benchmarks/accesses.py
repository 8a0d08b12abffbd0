# SPDX-License-Identifier: Apache-2.0
"""Loads and stores of the arena per instruction, on emulated cores: what wait states of its memory cost.

    python benchmarks/accesses.py --models ../shared/models

Counted by a plugin of QEMU (accesses.c, compiled by cc). The mean of the models is `arena_accesses` of
boards/cores.toml.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile
from rich.console import Console
from rich.table import Table

from edgesdk import boards, firmware, flow
from edgesdk.errors import DoesNotFit
from edgesdk.runners import link, qemu

BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547")
HERE = Path(__file__).parent
RUNS = 4


def plugin(folder: Path) -> Path:
    path = folder / "accesses.so"
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", str(HERE / "accesses.c"), "-o", str(path)], check=True)
    return path


def share(model: Path, board_id: str, counter: Path, folder: Path) -> float | None:
    """Accesses per instruction of one inference; None where the model does not fit the board."""
    board = boards.load(board_id)
    try:
        converted = flow.convert(model, board)
        image = firmware.build(board, converted.data, folder)
    except DoesNotFit:
        return None
    with image.elf.open("rb") as file:
        arena = ELFFile(file).get_section_by_name(".arena")
    begin, end = arena["sh_addr"], arena["sh_addr"] + converted.plan.arena_bytes
    count = folder / "count"
    extra = ("-plugin", f"{counter},begin={begin:#x},end={end:#x},count={count}")
    with qemu.emulator(board, image.elf, extra) as connection:
        link.load(connection)
        before = read(count)
        ticks = link.run(connection, RUNS)
        assert board.timer
        return (read(count) - before) / sum(qemu.instructions(t, board.timer.hz) for t in ticks)


def read(count: Path) -> int:
    return int(struct.unpack("<Q", count.read_bytes())[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--boards", default=",".join(BOARDS))
    options = parser.parse_args()
    models = {
        name: options.models / peer["model"]
        for name, peer in boards.read_toml(HERE / "mcu_peers.toml").items()
        if "input" in peer
    }
    table = Table("core", *models, "mean")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counter = plugin(folder)
        for board in options.boards.split(","):
            shares = [share(model, board, counter, folder) for model in models.values()]
            known = [s for s in shares if s is not None]
            cells = ["-" if s is None else f"{s:.4f}" for s in shares]
            table.add_row(boards.load(board).core.name, *cells, f"{sum(known) / len(known):.3f}")
            print(f"{board} done", file=sys.stderr)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
