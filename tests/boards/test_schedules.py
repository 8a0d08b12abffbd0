# SPDX-License-Identifier: Apache-2.0
"""Fused, streamed and sliding programs on emulated boards: the bytes of the plain program, in exactly the arena that
was planned."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgesdk import boards, flow, memory, ops, program, runtime, schedule, search, toolchain
from edgesdk.boards import Board
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.library import library
from edgesdk.runners import host, link, qemu
from edgesdk.runners.agent import AgentSession
from edgesdk.runners.link import Link
from edgesdk.schedule import Schedule, Stage, Step, frames

SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"
MODELS = {
    "ic": "mlperf-tiny-ic-resnet8/pretrainedResnet_quant.tflite",
    "vww": "mlperf-tiny-vww-mobilenetv1/vww_96_int8.tflite",
    "kws": "mlperf-tiny-kws-dscnn/kws_ref_model.tflite",
    "person": "tflm-person-detect/person_detect.tflite",
    "mcunet": "tinyengine-mcunet/vww.tflite",
}
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
SPARE_BYTES = 64  # behind the arena, where a byte that is written was not planned
EMULATED = [name for name in boards.names() if boards.load(name).runner == "qemu"]
needs_board = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or not any(map(toolchain.command, ("gcc", "zig"))),
    reason="qemu-system-arm or a compiler for Cortex-M is not installed",
)


def tensor(name: str, shape: tuple[int, ...], zero: int) -> Value:
    return Value(name, shape, "int8", Quant.per_tensor(0.05, zero))


def constant(shape: tuple[int, ...], dtype: str, quant: Quant | None) -> Value:
    rng = np.random.default_rng(len(shape))
    return Value(dtype, shape, dtype, quant, rng.integers(-100, 100, shape).astype(dtype))


def conv(x: Value, y: Value, size: int, padding: tuple[int, int, int, int], stride: int = 1) -> Node:
    w = constant((y.shape[3], size, size, x.shape[3]), "int8", Quant.per_tensor(0.01, 0))
    attrs = {"stride": (stride, 1), "dilation": (1, 1), "padding": padding, "activation": "relu"}
    return Node("conv2d", [x, w, constant(y.shape[3:], "int32", None)], [y], attrs, y.name)


def network() -> Graph:
    """Two convolutions, the mean of the image in two steps, a classifier."""
    x, a, b = tensor("x", (1, 12, 10, 3), 3), tensor("a", (1, 12, 10, 6), -7), tensor("b", (1, 6, 10, 5), -3)
    m, z = tensor("m", (1, 5), -3), tensor("z", (1, 4), 1)
    w = constant((4, 5), "int8", Quant.per_tensor(0.01, 0))
    nodes = [
        conv(x, a, 3, (1, 1, 1, 1)),
        conv(a, b, 3, (1, 1, 1, 1), stride=2),
        Node("mean", [b], [m], {"axes": (1, 2), "keep_dims": False}, "m"),
        Node("fully_connected", [m, w, constant((4,), "int32", None)], [z], {"activation": "none"}, "z"),
    ]
    return Graph("small", [x], [z], nodes)


def window() -> Graph:
    """A network that slides over 7 frames."""
    x, a, b = tensor("x", (1, 7, 4, 2), 3), tensor("a", (1, 5, 4, 3), -7), tensor("b", (1, 1, 4, 2), -3)
    last = conv(a, b, 5, (0, 2, 0, 2))
    return Graph("window", [x], [b], [conv(x, a, 3, (0, 1, 0, 1)), last])


def inputs(graph: Graph) -> list[np.ndarray]:
    return [np.random.default_rng(5).integers(-128, 128, v.shape).astype(v.dtype) for v in graph.inputs]


def staged(base: Schedule, kind: str) -> Schedule:
    """All of it in one stage; "streamed": of rows, its input too."""
    streamed = base.graph.inputs[0] if kind == "streamed" else None
    stages = [Stage("plain" if kind == "plain" else "rows", 0, len(base.steps))]
    return Schedule(base.graph, base.steps, stages, base.roots, streamed)


def written(s: Schedule) -> bytes:
    return program.write(program.assemble(s, memory.plan(s)))


SMALL = schedule.schedule(network(), ("c",))
KINDS = {kind: written(staged(SMALL, kind)) for kind in ("plain", "rows", "streamed")}


@pytest.fixture(scope="module", params=[(b, k) for b in EMULATED for k in KINDS], ids="-".join)
def session(request: pytest.FixtureRequest) -> Iterator[AgentSession]:
    name, kind = request.param
    with qemu.open(boards.load(name), KINDS[kind], spare_bytes=SPARE_BYTES) as opened:
        yield opened


@needs_board
def test_every_step_has_the_bytes_of_the_reference(session: AgentSession) -> None:
    x = inputs(SMALL.graph)
    values = ops.evaluate(SMALL.graph, x)
    assert session.run(x)[0].tobytes() == values[SMALL.graph.outputs[0]].tobytes()
    assert session.step_outputs(x) == [values[s.node.output].tobytes() for s in SMALL.steps]


@needs_board
def test_counts_are_exact_and_the_arena_is_the_planned_one(session: AgentSession) -> None:
    x = inputs(SMALL.graph)
    a, b = session.measure(x, 1), session.measure(x, 1)
    assert a == b
    assert len({a.first, a.warm_up, *a.steady}) == 1
    assert a.arena_bytes == session.program.arena_bytes
    calls = 1 if session.program.stages[0].kind == "plain" else 12 + 6 + 12 + 1 + 2 * 12
    assert 0 < a.first - sum(a.steps) < 300 + 300 * calls, "what lies between the calls"


def refusal(connection: Link, kind: int, payload: bytes) -> int:
    with pytest.raises(link.AgentError) as error:
        link.exchange(connection, kind, payload)
    return error.value.code


@needs_board
@pytest.mark.parametrize("name", ["microbit", "mps2_an386", "mps3_an547"])
def test_pushes_that_cannot_be(name: str) -> None:
    x = inputs(SMALL.graph)
    row = x[0][0, 0].tobytes()
    with qemu.open(boards.load(name), KINDS["streamed"]) as opened:
        link.exchange(opened.link, link.PUSH, struct.pack("<IIi", 0, 0, -1) + row[:4])
        for y, at, part in ((1, 0, row), (0, 8, row[8:]), (0, 4, row), (0, 2**32 - 1, b"xx"), (7, 4, row[4:])):
            assert refusal(opened.link, link.PUSH, struct.pack("<IIi", y, at, -1) + part) == -105
        assert refusal(opened.link, link.WRITE, struct.pack("<BI", 0, 0) + b"x") == -13
        assert refusal(opened.link, link.RUN, struct.pack("<I", 1)) == -13
        assert refusal(opened.link, link.PROFILE, b"") == -13
        assert refusal(opened.link, link.STEP, struct.pack("<I", 0)) == -13
        assert np.array_equal(opened.run(x)[0], ops.evaluate(SMALL.graph, x)[SMALL.graph.outputs[0]])


@needs_board
def test_loading_forgets_a_half_pushed_row() -> None:
    with qemu.open(boards.load("mps2_an386"), KINDS["streamed"]) as opened:
        link.exchange(opened.link, link.PUSH, struct.pack("<IIi", 0, 0, -1) + b"abcd")
        link.load(opened.link)
        with pytest.raises(link.AgentError, match="out of range"):
            link.exchange(opened.link, link.PUSH, struct.pack("<IIi", 0, 4, -1) + b"abcd")


@needs_board
def test_a_window_slides_on_the_board() -> None:
    graph = window()
    sliding = frames.sliding(schedule.schedule(graph, ("c",)))
    assert sliding is not None
    x = np.random.default_rng(9).integers(-128, 128, (10, 4, 2)).astype(np.int8)
    with qemu.open(boards.load("mps2_an386"), written(sliding), spare_bytes=SPARE_BYTES) as opened:
        costs = [c for y in range(10) for c in opened.push(x[y : y + 1], y)]
        assert np.array_equal(opened.outputs()[0], ops.evaluate(graph, [x[None, 3:]])[graph.outputs[0]])
        assert np.array_equal(opened.run([x[None, :7]])[0], ops.evaluate(graph, [x[None, :7]])[graph.outputs[0]])
        assert opened.marks([x[None, :7]]).arena_used == opened.program.arena_bytes
    assert max(costs[7:]) < sum(costs[:7]) / 2


def next_row(s: runtime.Session) -> int | None:
    place = library().ert_next_row
    place.argtypes, place.restype = [ctypes.c_void_p], ctypes.c_void_p
    found: int | None = place(ctypes.byref(s._session))
    return found


def push_in_place(s: runtime.Session, row: np.ndarray) -> int:
    push = library().ert_push_frames if s.sliding else library().ert_push_rows
    push.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32]
    where = next_row(s)
    assert where == next_row(s), "asking again changes nothing"
    assert where is not None and where >= s.arena.ctypes.data
    assert where + row.nbytes <= s.arena.ctypes.data + s.arena.size
    ctypes.memmove(where, row.tobytes(), row.nbytes)
    done: int = push(ctypes.byref(s._session), None, 1)
    return done


@pytest.mark.parametrize("graph", [network(), window()], ids=["rows", "frames"])
def test_rows_written_in_place(graph: Graph) -> None:
    base = schedule.schedule(graph, ("c",))
    chosen = staged(base, "streamed") if graph.name == "small" else frames.sliding(base)
    assert chosen is not None
    opened, x = runtime.open_session(written(chosen)), inputs(graph)
    for _ in range(2):
        opened.reset()
        assert [push_in_place(opened, row) for row in x[0][0]] == [0] * (x[0].shape[1] - 1) + [1]
        assert np.array_equal(opened.outputs[0], ops.evaluate(graph, x)[graph.outputs[0]])


def test_one_row_is_in_place_and_none_where_nothing_is_streamed() -> None:
    plain, streamed = (runtime.open_session(KINDS[kind]) for kind in ("plain", "streamed"))
    assert next_row(plain) is None
    push = library().ert_push_rows
    push.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32]
    assert push(ctypes.byref(streamed._session), None, 2) == -13
    assert push(ctypes.byref(plain._session), None, 1) == -13


def test_the_host_runner_takes_every_kind() -> None:
    x = inputs(SMALL.graph)
    for data in KINDS.values():
        with host.open(boards.load("host"), data) as opened:
            assert np.array_equal(opened.run(x)[0], ops.evaluate(SMALL.graph, x)[SMALL.graph.outputs[0]])
            measured = opened.measure(x, 2)
            assert len(measured.steps) == len(SMALL.steps) and all(s > 0 for s in measured.steps)
            # What vectors need besides lies behind the arena of a portable file, which is packed as it loads.
            assert measured.arena_bytes >= program.read(data).arena_bytes


def cost(step: Step, calls: int) -> float:
    return calls * 300 + 3.0 * ops.macs(step.node)


@cache
def front(key: str, isa: tuple[str, ...], streamed: bool) -> tuple[Schedule, list[search.Point]]:
    graph = flow.convert(SHARED / MODELS[key], "host").graph
    base = schedule.schedule(graph, isa)
    start = Schedule(graph, base.steps, base.stages, base.roots, graph.inputs[0] if streamed else None)
    return base, search.front(start, cost)


@contextmanager
def on_board(board: Board, s: Schedule) -> Iterator[AgentSession]:
    with qemu.open(board, written(s), spare_bytes=SPARE_BYTES) as opened:
        yield opened


NORMAL = [("kws", "mps2_an386"), ("kws", "mps3_an547"), ("ic", "mps3_an547"), ("person", "mps2_an386")]
EVERY = [(key, name) for key in MODELS for name in ("mps2_an386", "mps3_an547")]


@needs_board
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/models beside the project")
@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
@pytest.mark.parametrize(("key", "name"), EVERY if LONG else NORMAL)
def test_points_of_the_front(key: str, name: str, streamed: bool) -> None:
    """Every point in the long run, else the smallest."""
    board = boards.load(name)
    base, points = front(key, board.core.isa, streamed)
    x = inputs(base.graph)
    wanted = runtime.run(runtime.open_session(written(schedule.schedule(base.graph, ("c",)))), x)
    for point in points if LONG else points[-1:]:
        with on_board(board, point.schedule) as opened:
            for got, want in zip(opened.run(x), wanted, strict=True):
                assert np.array_equal(got, want)
            assert opened.marks(x).arena_used == opened.program.arena_bytes == point.plan.arena_bytes
