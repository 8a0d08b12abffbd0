# SPDX-License-Identifier: Apache-2.0
"""A user's board with a small fast and a large slow RAM: the arena lies where the schedule was chosen for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from elftools.elf.elffile import ELFFile

from edgesdk import boards, cli, firmware, flow, program, runtime, toolchain
from edgesdk.boards import Board
from edgesdk.runners import qemu

models = pytest.importorskip("tflite_models", reason="ai-edge-litert is not installed")
pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or not any(map(toolchain.command, ("gcc", "zig"))),
    reason="qemu-system-arm or a compiler for Cortex-M is not installed",
)

# The memory map of the emulated board, with sizes and wait states of another.
BOARD = """
id = "mine"
name = "Two memories"
core = "cortex-m4"
runner = "qemu"

[[memories]]
name = "flash"
kind = "flash"
base = 0x00000000
bytes = 0x400000

[[memories]]
name = "slow"
kind = "ram"
base = 0x21000000
bytes = 0x20000
wait_states = 4

[[memories]]
name = "fast"
kind = "ram"
base = 0x20000000
bytes = {fast_bytes}
wait_states = 0

[emulator]
program = "qemu-system-arm"
machine = "mps2-an386"

[console]
kind = "cmsdk"
base = 0x40004000
hz = 25_000_000

[timer]
kind = "cmsdk"
base = 0x40000000
hz = 25_000_000
"""


def network() -> bytes:
    """16 channels of a 24x24 image, then less: 10 kB layer by layer, far less row by row."""
    rng = np.random.default_rng(4)
    shapes = [(1, 24, 24, 3), (1, 24, 24, 16), (1, 12, 12, 16), (1, 12, 12, 8)]
    kernels = [(16, 3, 3, 3), (1, 3, 3, 16), (8, 1, 1, 16)]
    tensors = [models.Tensor(f"v{i}", s, scale=0.05, zero_point=3) for i, s in enumerate(shapes)]
    ops = []
    for i, (kernel, code) in enumerate(zip(kernels, ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"), strict=True)):
        w = models.constant(f"w{i}", rng.integers(-127, 128, kernel), "int8", scale=0.01)
        b = models.constant(f"b{i}", rng.integers(-500, 500, shapes[i + 1][3]), "int32", scale=0.05 * 0.01)
        stride = 2 if i == 1 else 1
        options = {"strideW": stride, "strideH": stride, **({"depthMultiplier": 1} if i == 1 else {})}
        tensors += [w, b]
        ops.append(models.Op(code, [f"v{i}", w.name, b.name], [f"v{i + 1}"], options))
    return models.build(tensors, ops)


def converted(folder: Path, fast_bytes: int) -> tuple[dict[str, object], Board, bytes]:
    """The verb's JSON, the board of the user's file and the bytes of the program."""
    (folder / "board.toml").write_text(BOARD.format(fast_bytes=fast_bytes))
    (folder / "net.tflite").write_bytes(network())
    arguments = [
        "convert",
        folder / "net.tflite",
        "-o",
        folder / "net.edge",
        "--board",
        folder / "board.toml",
        "--json",
    ]
    done = CliRunner().invoke(cli.main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), boards.load(folder), (folder / "net.edge").read_bytes()


def arena_range(elf: Path) -> range:
    with elf.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".arena")
        return range(section["sh_addr"], section["sh_addr"] + section["sh_size"])


@pytest.mark.parametrize(("fast_bytes", "name"), [(4096, "fast"), (128, "slow")])
def test_the_arena_lies_in_the_chosen_memory(tmp_path: Path, fast_bytes: int, name: str) -> None:
    result, board, data = converted(tmp_path, fast_bytes)
    wanted = next(m for m in board.memories if m.name == name)
    assert result["arena_memory"] == name == program.read(data).metadata["arena_memory"]
    image = firmware.build(board, data, tmp_path)
    placed = arena_range(image.elf)
    assert wanted.base is not None and image.placement.arena == wanted
    assert wanted.base <= placed.start and placed.stop <= wanted.base + wanted.bytes
    assert len(placed) == program.read(data).arena_bytes == result["arena_bytes"]

    x = np.random.default_rng(1).integers(-128, 128, (1, 24, 24, 3)).astype(np.int8)
    (expected,) = runtime.run(runtime.open_session(flow.convert(tmp_path / "net.tflite").data), [x])
    with qemu.open(board, data) as opened:
        assert np.array_equal(opened.run([x])[0], expected)
        assert opened.marks([x]).arena_used == result["arena_bytes"]


def test_the_fast_memory_takes_a_smaller_arena_than_the_slow_one(tmp_path: Path) -> None:
    """Both programs are of the same front: only the memory decides."""
    sizes = {}
    for fast_bytes in (128, 4096):
        result, board, _ = converted(tmp_path, fast_bytes)
        sizes[fast_bytes] = result["arena_bytes"]
    whole = flow.convert(tmp_path / "net.tflite", "mps2_an386").plan.arena_bytes
    assert sizes[128] == whole > 4096 >= sizes[4096]  # type: ignore[operator]
    assert board.of_kind("ram")[1].wait_states == 0
