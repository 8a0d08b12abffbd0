# SPDX-License-Identifier: Apache-2.0
"""The real firmware on every emulated board: same bytes as the reference, exact counts, no crash on bad frames."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgesdk import boards, firmware, memory, ops, program, runners, schedule, toolchain
from edgesdk.boards import Board, Device, Memory
from edgesdk.errors import DeviceError, DoesNotFit, UsageError
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.runners import agent, link, qemu
from edgesdk.runners.agent import AgentSession, Clock
from edgesdk.runners.link import Frame, Link
from edgesdk.runtime import LoadError

EMULATED = [name for name in boards.names() if boards.load(name).runner == "qemu"]
TOOLCHAINS = [name for name in ("gcc", "zig") if toolchain.command(name)]
pytestmark = [
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed"),
    pytest.mark.skipif(not TOOLCHAINS, reason="neither arm-none-eabi-gcc nor ziglang is installed"),
]


def tensor(name: str, shape: tuple[int, ...], scale: float, zero: int) -> Value:
    return Value(name, shape, "int8", Quant.per_tensor(scale, zero))


def weights(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> tuple[Value, Value]:
    w = rng.integers(-127, 128, shape).astype(np.int8)
    b = rng.integers(-2000, 2000, shape[0]).astype(np.int32)
    quant = Quant.per_tensor(scale, 0)
    return Value("w", w.shape, "int8", quant, w), Value("b", b.shape, "int32", None, b)


def network(side: int, channels: int = 4) -> Graph:
    """A 3x3 convolution and a classifier over all of its output."""
    rng = np.random.default_rng(side)
    x, y = tensor("x", (1, side, side, 3), 0.05, 3), tensor("y", (1, side, side, channels), 0.06, -7)
    flat, z = tensor("flat", (1, side * side * channels), 0.06, -7), tensor("z", (1, 10), 0.3, -5)
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "relu"}
    nodes = [
        Node("conv2d", [x, *weights(rng, (channels, 3, 3, 3), 0.01)], [y], window, "conv"),
        Node("reshape", [y], [flat], {"shape": flat.shape}, "flatten"),
        Node("fully_connected", [flat, *weights(rng, (10, flat.shape[1]), 0.002)], [z], {"activation": "none"}, "fc"),
    ]
    return Graph("small", [x], [z], nodes)


def edge(graph: Graph) -> bytes:
    steps = schedule.schedule(graph, ("c",))
    return program.write(program.assemble(steps, memory.plan(steps)))


GRAPH = network(12)
DATA = edge(GRAPH)
SAMPLES = [np.random.default_rng(i).integers(-128, 128, GRAPH.inputs[0].shape).astype(np.int8) for i in range(2)]


def expected(sample: np.ndarray) -> list[np.ndarray]:
    arrays = ops.evaluate(GRAPH, [sample])
    return [arrays[GRAPH.nodes[0].output], arrays[GRAPH.outputs[0]]]


@pytest.fixture(scope="module", params=EMULATED)
def session(request: pytest.FixtureRequest) -> Iterator[AgentSession]:
    with qemu.open(boards.load(request.param), DATA) as opened:
        yield opened


def test_same_bytes_as_the_reference(session: AgentSession) -> None:
    for sample in SAMPLES:
        conv, logits = expected(sample)
        assert np.array_equal(session.run([sample])[0], logits)
        assert session.step_outputs([sample]) == [conv.tobytes(), logits.tobytes()]


def test_counts_are_exact_and_repeat(session: AgentSession) -> None:
    a, b = (session.measure([SAMPLES[0]], 2) for _ in range(2))
    assert a == b
    assert a.clock == "instructions"
    assert len({a.first, a.warm_up, *a.steady}) == 1
    assert len(a.steps) == 2
    assert 0 < a.first - sum(a.steps) < 300, "what lies between the steps"
    assert 0 < a.init < 10_000


def test_marks(session: AgentSession) -> None:
    m = session.measure([SAMPLES[0]], 1)
    assert m.stack_bytes is not None and 100 < m.stack_bytes < firmware.STACK_BYTES
    assert m.arena_bytes == session.program.arena_bytes
    assert session.loaded.arena_needed == session.program.arena_bytes


def test_an_array_of_the_wrong_shape(session: AgentSession) -> None:
    with pytest.raises(DeviceError, match="expected int8"):
        session.run([np.zeros((1, 2), np.int8)])


def wire_answer(connection: Link, wire: bytes) -> Frame:
    """What the agent answers to raw bytes."""
    connection.port.write(wire)
    return link.receive(connection, 1e18)


def code(frame: Frame) -> int:
    assert frame.kind == link.ERROR, frame
    return int(struct.unpack_from("<i", frame.payload)[0])


def bad_frames() -> list[tuple[bytes, int]]:
    good = link.encode(Frame(link.HELLO, 1, b""))
    flipped = bytes([good[0], good[1] ^ 2, *good[2:]])
    return [
        (flipped, -101),
        (good[:3] + b"\0", -103),
        (b"\x01\0", -101),
        (b"\xff" * 20 + b"\0", -103),
        (b"\x07" * 5000 + b"\0", -102),
        (link.encode(Frame(0, 1, b"")), -104),
        (link.encode(Frame(77, 1, b"")), -104),
        (link.encode(Frame(255, 1, b"")), -104),
        (link.encode(Frame(link.HELLO, 1, b"x")), -105),
        (link.encode(Frame(link.WRITE, 1, struct.pack("<BI", 0, 432) + b"x")), -105),
        (link.encode(Frame(link.WRITE, 1, struct.pack("<BI", 0, 0xFFFFFFFF) + b"xx")), -105),
        (link.encode(Frame(link.WRITE, 1, struct.pack("<BI", 1, 0) + b"x")), -12),
        (link.encode(Frame(link.WRITE, 1, b"\0" * 4)), -105),
        (link.encode(Frame(link.WRITE, 1, b"\0" * 262)), -105),
        (link.encode(Frame(link.READ, 1, struct.pack("<BIH", 0, 5, 6))), -105),
        (link.encode(Frame(link.READ, 1, struct.pack("<BIH", 0, 0, 257))), -105),
        (link.encode(Frame(link.READ, 1, struct.pack("<BIH", 255, 0, 1))), -12),
        (link.encode(Frame(link.RUN, 1, struct.pack("<I", 0))), -105),
        (link.encode(Frame(link.RUN, 1, struct.pack("<I", 33))), -105),
        (link.encode(Frame(link.STEP, 1, struct.pack("<I", 2))), -105),
        (link.encode(Frame(link.STEP, 1, struct.pack("<I", 0x80000000))), -105),
        (link.encode(Frame(link.LOAD, 1, b"")), -105),
        (link.encode(Frame(link.PUSH, 1, b"\0" * 11)), -105),
        (link.encode(Frame(link.PUSH, 1, struct.pack("<IIi", 0, 0, -1) + b"x")), -13),
    ]


def test_bad_frames_are_answered(session: AgentSession) -> None:
    for wire, wanted in bad_frames():
        assert code(wire_answer(session.link, wire)) == wanted, wire[:20]
    assert np.array_equal(session.run([SAMPLES[0]])[0], expected(SAMPLES[0])[1])


def test_garbage_never_crashes(session: AgentSession) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        noise = bytes(rng.integers(1, 256, int(rng.integers(1, 600)), dtype=np.uint8))
        assert code(wire_answer(session.link, b"\0\0" + noise + b"\0")) in (-101, -102, -103)
    assert np.array_equal(session.run([SAMPLES[1]])[0], expected(SAMPLES[1])[1])


def test_reset_starts_afresh(session: AgentSession) -> None:
    link.reset(session.link)
    with pytest.raises(link.AgentError, match="no model is loaded"):
        link.run(session.link)
    again = link.load(session.link)
    assert (again.code, again.arena_needed) == (0, session.loaded.arena_needed)
    assert np.array_equal(session.run([SAMPLES[0]])[0], expected(SAMPLES[0])[1])


@pytest.mark.parametrize("name", ["mps2_an386", "mps3_an547", "microbit"])
@pytest.mark.parametrize("tools", TOOLCHAINS)
def test_both_toolchains(name: str, tools: str) -> None:
    with qemu.open(boards.load(name), DATA, tools) as opened:
        assert np.array_equal(opened.run([SAMPLES[0]])[0], expected(SAMPLES[0])[1])


def test_the_registry_opens_it() -> None:
    with runners.open(boards.load("mps2_an386"), DATA) as opened:
        assert np.array_equal(opened.run([SAMPLES[0]])[0], expected(SAMPLES[0])[1])
    with pytest.raises(DeviceError, match="no runner"):
        runners.open(boards.load("nucleo_l4r5zi"), DATA)


def test_only_needed_kernels_are_linked(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    everything = firmware.build(board, None, tmp_path)
    needed = firmware.build(board, DATA, tmp_path)
    assert needed.code_bytes < everything.code_bytes
    assert needed.model_bytes == len(DATA)
    assert needed.ram_bytes == sum(needed.sections.get(s, 0) for s in (".arena", ".stack", ".data", ".bss"))


def test_a_firmware_without_model(tmp_path: Path) -> None:
    board = boards.load("microbit")
    with qemu.emulator(board, firmware.build(board, None, tmp_path).elf) as connection:
        assert link.hello(connection).model_bytes == 0
        with pytest.raises(link.AgentError, match="has no model"):
            link.load(connection)


def test_a_damaged_model_is_refused_by_the_board(tmp_path: Path) -> None:
    """The image holds other bytes than the program it was built for: a kernel number that does not exist."""
    board, parsed = boards.load("mps2_an386"), program.read(DATA)
    broken = bytearray(DATA)
    (step_at,) = struct.unpack_from("<I", DATA, 32 + 12 + 4)
    broken[step_at : step_at + 2] = b"\xff\xff"
    tools = toolchain.find(board.core)
    units = [*firmware.runtime_units(board, parsed), *firmware.agent_units(board, parsed.arena_bytes)]
    objects = [*toolchain.compile_units(tools, units), firmware.model_object(tools, bytes(broken), tmp_path)]
    image = firmware.link(tools, objects, board, next(firmware.placements(board)), firmware.STACK_BYTES, tmp_path)
    with qemu.emulator(board, image.elf) as connection, pytest.raises(LoadError) as refusal:
        agent.begin(connection, parsed, Clock("ticks", float), 0, {})
    assert refusal.value.code == -7


def test_a_model_that_does_not_fit(tmp_path: Path) -> None:
    data = edge(network(64))
    with pytest.raises(DoesNotFit) as refusal:
        firmware.build(boards.load("microbit"), data, tmp_path)
    said = str(refusal.value)
    ram = int(said.split(" bytes of RAM")[0].split()[-1])
    assert f"{ram - 16384} bytes too few" in said
    assert f"arena {program.read(data).arena_bytes}" in said


@pytest.mark.parametrize("name", ["mps2_an385", "mps3_an547"])
def test_the_arena_moves_to_a_memory_that_has_room(name: str) -> None:
    board = boards.load(name)
    small = tuple(msgspec.structs.replace(m, bytes=2304) if m is board.of_kind("ram")[0] else m for m in board.memories)
    with qemu.open(msgspec.structs.replace(board, memories=small), DATA) as opened:
        assert np.array_equal(opened.run([SAMPLES[0]])[0], expected(SAMPLES[0])[1])


def test_the_model_moves_to_a_memory_that_has_room() -> None:
    board = boards.load("mps3_an547")
    small = tuple(msgspec.structs.replace(m, bytes=0x3000) if m.name == "itcm" else m for m in board.memories)
    with qemu.open(msgspec.structs.replace(board, memories=small), DATA) as opened:
        assert np.array_equal(opened.run([SAMPLES[0]])[0], expected(SAMPLES[0])[1])


def with_timer_at(board: Board, base: int) -> Board:
    assert board.timer
    return msgspec.structs.replace(board, timer=Device(kind=board.timer.kind, base=base, hz=board.timer.hz))


@pytest.mark.parametrize("name", ["mps2_an385", "mps2_an505", "microbit"])
def test_a_fault_is_reported(name: str, tmp_path: Path) -> None:
    board = with_timer_at(boards.load(name), 0xDEAD0000)
    image = firmware.build(board, None, tmp_path)
    with pytest.raises(DeviceError, match="took a fault at 0x"), qemu.emulator(board, image.elf):
        pass


@pytest.mark.parametrize("name", ["mps2_an386", "mps3_an547"])
def test_a_small_stack_is_an_error_and_no_wrong_answer(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    image = firmware.build(board, DATA, tmp_path, stack_bytes=200)
    with pytest.raises(DeviceError), qemu.emulator(board, image.elf) as connection:
        agent.begin(connection, program.read(DATA), Clock("ticks", float), 0, {}).measure([SAMPLES[0]], 1)


def test_boards_that_cannot_have_firmware(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="needs a console"):
        firmware.build(boards.load("nucleo_l4r5zi"), None, tmp_path)
    board = boards.load("mps2_an386")
    assert board.console
    odd = msgspec.structs.replace(board, console=msgspec.structs.replace(board.console, kind="pl011"))
    with pytest.raises(UsageError, match="'pl011'; expected one of cmsdk, nrf51"):
        firmware.build(odd, None, tmp_path)
    with pytest.raises(DeviceError, match="no compiler flags"):
        toolchain.find(boards.load("esp32_s3_devkitc_1").core)


def test_no_compiler_and_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "command", lambda name: None)
    with pytest.raises(DeviceError, match="install arm-none-eabi-gcc"):
        toolchain.find(boards.load("mps2_an386").core)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match="qemu-system-arm was not found"):
        qemu.arguments(boards.load("mps2_an386"), Path("firmware.elf"))


def test_an_emulator_that_does_not_start() -> None:
    board = boards.load("mps2_an386")
    assert board.emulator
    odd = msgspec.structs.replace(board, emulator=msgspec.structs.replace(board.emulator, machine="mps9"))
    with pytest.raises(DeviceError, match=r"did not start.*unsupported machine"), qemu.emulator(odd, Path("none.elf")):
        pass


STRICT = ("-std=c99", "-ffreestanding", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


@pytest.mark.parametrize("tools", TOOLCHAINS)
@pytest.mark.parametrize("name", ["microbit", "mps2_an386", "mps3_an547"])
def test_the_firmware_compiles_without_warnings(name: str, tools: str, tmp_path: Path) -> None:
    board = boards.load(name)
    found = toolchain.find(board.core, tools)
    for unit in firmware.agent_units(board, 1024):
        to = ("-c", str(unit.source), "-o", str(tmp_path / "unit.o"))
        command = [*found.command, *found.flags, *STRICT, *unit.flags, *to]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_linker_regions_take_any_memory_name(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    odd = Memory(name="a b-c/d", kind="ram", bytes=0x400000, base=0x20000000)
    named = msgspec.structs.replace(board, memories=(board.memories[0], odd))
    assert firmware.build(named, DATA, tmp_path).placement.arena == odd
