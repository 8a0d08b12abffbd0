# SPDX-License-Identifier: Apache-2.0
"""Instructions of the portable kernels on RV32IMC, counted in QEMU's user mode.

    python benchmarks/rv32.py --models ../shared/models --inputs ../shared/data/mcu-parity

Needs qemu-riscv32 and gcc (for the plugin that counts); the program itself is built by zig. A core of boards/cores.toml
is all that RISC-V has so far: the model is converted without a board. Counts are exact: those of two runs less those of
one are an inference, those of no run are what loading takes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import boards, firmware, flow, linux, program

HERE = Path(__file__).parent
FLAGS = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c", "-std=c99", "-ffreestanding", "-nostdlib")
SECTIONS = ("-ffunction-sections", "-fdata-sections", "-fno-stack-protector", "-fno-sanitize=all", "-g0")


def compiler(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *FLAGS, *SECTIONS, *map(str, arguments)], check=True)


def kernel_objects(folder: Path) -> list[Path]:
    """The portable runtime, without the table of kernels, which is made for each model."""
    root = firmware.runtime_folder()
    skipped = firmware.other_isas(("c",))
    found = [*root.glob("src/*.c"), *root.glob("kernels/*.c"), *root.glob("kernels/*/*.c")]
    chosen = [p for p in sorted(found) if p.stem.rpartition("_")[2] not in skipped and p.name != "table.c"]
    includes = [f"-I{root / name}" for name in ("include", "kernels", "src")]
    objects = []
    for source in [*chosen, firmware.agent_folder() / "memory.c"]:
        objects.append(folder / f"{source.stem}.o")
        compiler("-O2", *includes, "-c", source, "-o", objects[-1])
    return objects


def data_source(data: Path, sample: Path) -> str:
    return (
        f'.section .rodata\n.balign 16\n.globl model_bytes, model_end, input_bytes\nmodel_bytes: .incbin "{data}"\n'
        f'model_end:\n.balign 16\ninput_bytes: .incbin "{sample}"\n'
    )


def build(data: bytes, sample: Path, objects: list[Path], runs: int, folder: Path) -> Path:
    root, written = firmware.runtime_folder(), program.read(data)
    model, blob, used, elf = (folder / name for name in ("model.edge", "data.S", "used.inc", f"run{runs}"))
    model.write_bytes(data)
    blob.write_text(data_source(model, sample.resolve()))
    used.write_text(firmware.used_rows(written))
    includes = [f"-I{root / name}" for name in ("include", "kernels", "src")]
    defines = (f"-DRUNS={runs}", f"-DARENA_BYTES={written.arena_bytes}", f'-DERT_USED="{used}"')
    sources = (HERE / "rv32.c", root / "src" / "table.c", blob)
    compiler("-O2", *includes, *defines, *sources, *objects, "-Wl,--gc-sections", "-static", "-o", elf)
    return elf


def execute(elf: Path, plugin: Path) -> tuple[int, bytes]:
    """Executed instructions and what the program wrote."""
    done = subprocess.run(["qemu-riscv32", "-plugin", str(plugin), str(elf)], capture_output=True, check=True)
    return int(done.stderr.split()[-1]), done.stdout


def measure(model: Path, sample: Path, objects: list[Path], plugin: Path, folder: Path) -> tuple[int, int, bool]:
    """Instructions of an inference and of loading, and whether the output is that of the host."""
    from edgesdk import runners

    converted = flow.convert(model)
    counts, outputs = zip(
        *(execute(build(converted.data, sample, objects, n, folder), plugin) for n in (0, 1, 2)), strict=True
    )
    raw = np.fromfile(sample, np.int8).reshape(converted.program.inputs[0].shape)
    with runners.open(boards.load("host"), converted.data) as session:
        expected = session.run([raw])[0].tobytes()
    return counts[2] - counts[1], counts[0], outputs[1] == outputs[2] == expected


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    options = parser.parse_args()
    table = Table("model", "instructions", "load", "output as on the host", title="RV32IMC, portable kernels")
    same = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = folder / "count_instructions.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", linux.app_folder() / linux.PLUGIN, "-o", plugin], check=True)
        objects = kernel_objects(folder)
        peers = boards.read_toml(HERE / "mcu_peers.toml")
        for model, peer in ((m, p) for m, p in peers.items() if "input" in p):
            paths = options.models / peer["model"], options.inputs / peer["input"]
            instructions, load, equal = measure(*paths, objects, plugin, folder)
            table.add_row(model, f"{instructions:,}", f"{load:,}", str(equal))
            same &= equal
    Console().print(table)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
