# SPDX-License-Identifier: Apache-2.0
"""Programs for several threads: what is shared out, that it gives the same bytes, and that nothing else is."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import conv_graphs
import graphs
import numpy as np
import pytest
from graphs import Builder, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk import boards, cli, flow, kernels, memory, ops, pareto, passes, program, runners, runtime, schedule
from edgesdk.errors import DoesNotFit, Unsupported, UsageError
from edgesdk.ir import Graph
from edgesdk.program import StepRecord, ViewRecord
from edgesdk.runtime import LoadError
from edgesdk.schedule import threads
from edgesdk.schedule.trace import goes_by_rows

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "apps" / "digits" / "digits.onnx"
HOST = boards.load("host")
MORE_THAN_CORES = 2 * (os.cpu_count() or 1) + 1
needs_threads = pytest.mark.skipif(
    not hasattr(kernels.library(), "ert_pool_begin"), reason="this build of the runtime has no threads"
)


@pytest.fixture
def all_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the smallest step is worth a thread, a row at a time."""
    monkeypatch.setattr(threads, "LEAST_WORK", 1)
    monkeypatch.setattr(threads, "PART_PIXELS", 1)


def scheduled(graph: Graph, n: int, isa: Sequence[str] = HOST.core.isa) -> schedule.Schedule:
    return replace(schedule.schedule(passes.lower(passes.simplify(graph.copy())), isa), threads=n)


def written(chosen: schedule.Schedule) -> program.Program:
    return program.assemble(chosen, memory.plan(chosen))


def parts(read: program.Program) -> list[int]:
    """Rows in a part of each step of a program of one plain stage."""
    (stage,) = read.stages
    return list(read.weights[stage.program : stage.program + stage.program_bytes])


def deep(blocks: int = 3) -> Graph:
    b = Builder(1, "int8")
    x = y = b.input((1, 24, 24, 4))
    for _ in range(blocks):
        y = b.depthwise(b.conv(y, 16, 1, 1), 3, 1)
    return Graph("net", [x], [y], b.nodes)


def span(view: ViewRecord, batch: int) -> range:
    return range(view.offset, view.offset + view.rows * view.row_bytes * batch)


def apart(step: StepRecord, view: ViewRecord) -> bool:
    same = (view.offset, view.rows, view.row_bytes) == (step.output.offset, step.output.rows, step.output.row_bytes)
    a, b = span(view, step.batch), span(step.output, step.batch)
    return view.constant or view.bound or same or a.stop <= b.start or b.stop <= a.start


@settings(max_examples=25)
@given(st.one_of(conv_graphs.networks(), graphs.graphs("float32"), graphs.graphs("int8")), st.integers(2, 8))
def test_outputs_of_split_steps_lie_apart_from_their_inputs(graph: Graph, n: int) -> None:
    chosen = scheduled(graph, n, ("c",))
    read = written(chosen)
    for step, share in zip(read.steps, parts(read), strict=False):
        assert not share or all(apart(step, view) for view in step.inputs)
        assert not share or step.rows == step.output.rows


@needs_threads
@settings(max_examples=25)
@given(st.one_of(conv_graphs.networks(), graphs.graphs("int8"), graphs.graphs("float32")))
def test_any_number_of_threads_gives_the_same_bytes(graph: Graph) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "LEAST_WORK", 1)
        patch.setattr(threads, "PART_PIXELS", 1)
        read = written(scheduled(graph, 3))
    inputs, data = random_inputs(graph), program.write(read)
    expected = ops.evaluate(graph, inputs)
    alone = runtime.open_session(data)
    first, steps = runtime.run(alone, inputs), runtime.step_outputs(alone, inputs)
    for value, got in zip(graph.outputs, first, strict=True):
        if value.dtype != "float32":
            assert got.tobytes() == expected[value].tobytes()
    if not program.threads(read):
        return
    for n in (2, 3, MORE_THAN_CORES):
        session = runtime.open_session(data, n)
        for _ in range(3):
            assert [o.tobytes() for o in runtime.run(session, inputs)] == [o.tobytes() for o in first]
        assert runtime.step_outputs(session, inputs) == steps


def test_a_plan_for_threads_gives_up_outputs_that_grow_over_inputs() -> None:
    graph = deep()
    one, two = scheduled(graph, 1, ("c",)), scheduled(graph, 2, ("c",))
    assert any(goes_by_rows(s) for s in one.steps)
    assert memory.plan(one).arena_bytes < memory.plan(two).arena_bytes
    assert not program.threads(written(one)) and program.threads(written(two))
    assert all(parts(written(two)))


def test_small_steps_stay_with_one_thread() -> None:
    b = Builder(1, "int8")
    x = b.input((1, 6, 6, 4))
    graph = Graph("net", [x], [b.conv(x, 4, 1, 1)], b.nodes)
    assert not program.threads(written(scheduled(graph, 4)))


@pytest.mark.parametrize(("n", "rows"), [(2, 7), (3, 5), (4, 4), (16, 1)])
def test_parts_suit_the_threads(n: int, rows: int) -> None:
    """A 14 x 14 image is three times what a kernel goes through weights once for: a part for each thread."""
    b = Builder(1, "int8")
    x = b.input((1, 14, 14, 64))
    graph = Graph("net", [x], [b.conv(x, 64, 1, 1)], b.nodes)
    assert parts(written(scheduled(graph, n))) == [rows]


def test_a_file_keeps_its_parts() -> None:
    read = written(scheduled(deep(), 4))
    assert program.read(program.write(read)) == read


@needs_threads
def test_rows_of_fused_stages_stay_in_order(all_work: None) -> None:
    """Points of the front with stages of rows and of strips run with threads, too."""
    graph = deep()
    base = scheduled(graph, 2)
    inputs = random_inputs(graph)
    expected = ops.evaluate(graph, inputs)[graph.outputs[0]].tobytes()
    found = pareto.points(base, HOST)
    assert any(s.kind == "rows" for p in found for s in p.schedule.stages)
    for point in found:
        read = program.assemble(point.schedule, point.plan)
        session = runtime.open_session(program.write(read), 2 if program.threads(read) else 1)
        assert runtime.run(session, inputs)[0].tobytes() == expected


@needs_threads
def test_states_and_streams_with_threads(all_work: None) -> None:
    """A pushed input is computed row by row, what follows it on threads."""
    for how in ({"stream": True}, {"bind_input": True}):
        one, two = (flow.convert(DIGITS, HOST, threads=n, **how) for n in (1, 2))  # type: ignore[arg-type]
        given_input = [np.random.default_rng(1).uniform(0, 1, one.program.inputs[0].shape).astype(np.float32)]
        session = runtime.open_session(two.data, 2 if program.threads(two.program) else 1)
        (expected,) = runtime.run(runtime.open_session(one.data), given_input)
        assert runtime.run(session, given_input)[0].tobytes() == expected.tobytes()


def damaged(read: program.Program, **changes: object) -> bytes:
    return program.write(replace(read, stages=(replace(read.stages[0], **changes),)))  # type: ignore[arg-type]


def with_parts(read: program.Program, shares: list[int]) -> bytes:
    at = len(read.weights)
    return damaged(replace(read, weights=read.weights + bytes(shares)), program=at, program_bytes=len(shares))


@needs_threads
def test_marks_that_lie_are_refused(all_work: None) -> None:
    """A step whose rows depend on each other, an output over its input, and marks that point outside."""
    b = Builder(1, "int8")
    x = b.input((1, 9, 9, 8))
    reduced = written(scheduled(Graph("net", [x], [b.classifier(x, 10)], b.nodes), 1, ("c",)))
    over = written(scheduled(deep(), 1, ("c",)))
    assert any(not apart(step, view) for step in over.steps for view in step.inputs)
    end = len(over.weights)
    for data in (
        with_parts(reduced, [1] * len(reduced.steps)),
        with_parts(over, [1] * len(over.steps)),
        damaged(over, program=end, program_bytes=len(over.steps)),
        with_parts(over, [0] * (len(over.steps) + 1)),
    ):
        runtime.open_session(data)  # one thread does not look at them
        with pytest.raises(LoadError) as refusal:
            runtime.open_session(data, 2)
        assert refusal.value.code == -6


@needs_threads
def test_scratch_for_threads_is_asked_for_and_checked() -> None:
    """Each thread but the first has the largest scratch of the steps that are split."""
    read = written(scheduled(deep(), 2, ("c",)))
    lib, data = kernels.library(), runtime.aligned(len(program.write(read)))
    data[:] = np.frombuffer(program.write(read), np.uint8)
    session = runtime.open_session(program.write(read), pack=False)
    lib.ert_threads_bytes.restype = ctypes.c_size_t
    need = [lib.ert_threads_bytes(ctypes.byref(session._model), n) for n in (0, 1, 2, 5)]
    rounded = [-(-s.scratch_bytes // 16) * 16 for s in scheduled(deep(), 2, ("c",)).steps]
    assert need == [0, 0, max(rounded), 4 * max(rounded)] and max(rounded) > 0
    team, scratch = runtime._Threads(), runtime.aligned(need[3])

    def use(n: int, at: int, n_bytes: int) -> int:
        memory_given = (ctypes.c_void_p(at), ctypes.c_size_t(n_bytes))
        return int(
            lib.ert_use_threads(ctypes.byref(session._session), ctypes.byref(team), n, None, None, *memory_given)
        )

    assert use(5, scratch.ctypes.data, need[3]) == 0
    assert use(5, scratch.ctypes.data, need[3] - 1) == -10
    assert use(5, scratch.ctypes.data + 1, need[3]) == -5
    assert use(0, scratch.ctypes.data, need[3]) == -12


@needs_threads
@pytest.mark.parametrize("n", [0, 65, -1])
def test_odd_numbers_of_threads_are_refused(n: int) -> None:
    data = program.write(written(scheduled(deep(), 2)))
    with pytest.raises(UsageError, match="expected 1 to 64"):
        runtime.open_session(data, n)


def test_a_program_for_one_thread_is_not_run_on_two(tmp_path: Path) -> None:
    data = program.write(written(scheduled(deep(), 1)))
    with pytest.raises(UsageError, match="was not written for threads; convert it with --threads 2"):
        runtime.open_session(data, 2)
    with pytest.raises(Unsupported, match="it has one thread"):
        runners.open(boards.load("mps2_an386"), data, 2)
    with pytest.raises(UsageError, match="expected 1 to 64"):
        flow.convert(DIGITS, HOST, threads=0)


@needs_threads
def test_the_command_line_runs_on_threads(tmp_path: Path) -> None:
    from click.testing import CliRunner

    def call(*words: str | Path) -> str:
        done = CliRunner().invoke(cli.main, [str(w) for w in words])
        assert done.exit_code == 0, done.output
        return done.output

    given_input = np.random.default_rng(0).uniform(0, 1, (3, 8, 8, 1)).astype(np.float32)
    np.savez(tmp_path / "in.npz", given_input)
    outputs = []
    for n in ("1", "2"):
        call("convert", DIGITS, "-o", tmp_path / "m.edge", "--threads", n)
        call(
            "run", tmp_path / "m.edge", "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz", "--threads", n
        )
        outputs.append(np.load(tmp_path / "out.npz")["probabilities"].tobytes())
    assert outputs[0] == outputs[1]
    assert '"threads":2' in call("profile", tmp_path / "m.edge", "--threads", "2", "--runs", "2", "--json")


def test_an_arena_that_is_too_small_for_threads_is_told(tmp_path: Path) -> None:
    small = flow.convert(DIGITS, HOST, portable=True).plan.arena_bytes
    assert flow.convert(DIGITS, HOST, portable=True, threads=4, ram_bytes=2 * small).plan.arena_bytes <= 2 * small
    with pytest.raises(DoesNotFit):
        flow.convert(DIGITS, HOST, portable=True, threads=4, ram_bytes=64)


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcc") is None, reason="needs gcc on Linux")
def test_threads_have_no_races(all_work: None, tmp_path: Path) -> None:
    """ert-run under ThreadSanitizer: more threads than cores, every step shared out, parts of a row."""
    app, root = ROOT / "apps" / "linux", ROOT / "runtime_c"
    read = written(scheduled(deep(), 8, ("c",)))
    assert all(parts(read))
    (tmp_path / "m.edge").write_bytes(program.write(read))
    (tmp_path / "used.inc").write_text(used_rows(read))
    needed = {kernels.by_number(s.kernel).op for s in read.steps}  # type: ignore[union-attr]
    sources = [p for p in app.glob("*.c") if p.name != "count_instructions.c"]
    sources += [*root.glob("port/*.c"), *root.glob("src/*.c"), *root.glob("kernels/*_c.c")]
    sources += [p for op in needed for p in root.glob(f"kernels/{op}/*_c.c")]
    include = [f"-I{root / n}" for n in ("include", "src", "kernels", "port")]
    flags = ["-O1", "-g", "-std=c11", "-D_DEFAULT_SOURCE", "-fsanitize=thread", f'-DERT_USED="{tmp_path / "used.inc"}"']
    command = ["gcc", *flags, f"-I{app}", *include, *map(str, sources), "-lpthread", "-o", str(tmp_path / "ert-run")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if "libtsan" in built.stderr:
        pytest.skip("gcc has no ThreadSanitizer here")
    assert built.returncode == 0, built.stderr
    options = ["--threads", "8", "--runs", "20"]
    done = subprocess.run(
        [tmp_path / "ert-run", tmp_path / "m.edge", *options], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def used_rows(read: program.Program) -> str:
    from edgesdk import firmware

    return firmware.used_rows(read)
