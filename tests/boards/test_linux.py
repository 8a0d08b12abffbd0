# SPDX-License-Identifier: Apache-2.0
"""ert-run, and the boards that it stands in for in QEMU's user mode."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from linux_models import Processor, needs

from edgesdk import boards, flow, kernels, linux, profile, program, runners, runtime, samples
from edgesdk.boards import Board
from edgesdk.errors import DeviceError

DIGITS = Path(__file__).resolve().parents[2] / "apps" / "digits" / "digits.onnx"
A53 = Processor("cortex-a53", "cortex-a53")
PI4 = boards.load("raspberry_pi_4")


@pytest.fixture(autouse=True)
def _there() -> None:
    needs(A53)


@pytest.fixture(scope="module")
def digits() -> flow.Converted:
    return flow.convert(DIGITS, PI4)


@pytest.fixture(scope="module")
def integers() -> flow.Converted:
    given = np.random.default_rng(0).uniform(0, 1, (20, 8, 8, 1)).astype(np.float32)
    return flow.convert(DIGITS, PI4, quantize="int8", calibration={"image": given}, io="int8", portable=True)


def sample(converted: flow.Converted, seed: int = 0) -> list[np.ndarray]:
    specs = [samples.InputSpec(t.name, t.shape, t.dtype, t.scale, t.zero_point) for t in converted.program.inputs]
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-128, 128, s.shape).astype(s.dtype)
        if s.dtype == "int8"
        else rng.uniform(0, 1, s.shape).astype("f4")
        for s in specs
    ]


def test_a_board_gives_the_bytes_of_the_host_and_counts_the_same_twice(integers: flow.Converted) -> None:
    given, measured = sample(integers), []
    host = runtime.open_session(integers.data)
    for _ in range(2):
        with runners.open(PI4, integers.data) as session:
            assert [o.tobytes() for o in session.run(given)] == [o.tobytes() for o in runtime.run(host, given)]
            assert session.step_outputs(given) == runtime.step_outputs(host, given)
            measured.append(session.measure(given, 3))
    assert measured[0] == measured[1]
    once = measured[0]
    assert once.clock == "instructions"
    assert len({once.first, once.warm_up, *once.steady}) == 1
    assert 0.95 * once.first < sum(once.steps) < once.first
    assert min(once.steps) > 0 < once.init
    found = profile.profile(once, integers.program, integers.data, PI4)
    ran = {s["op"]: s["isa"] for s in found["steps"]}
    assert set(ran.values()) == {"neon"}


def test_floats_are_those_of_the_host(digits: flow.Converted) -> None:
    given = sample(digits)
    portable = flow.convert(DIGITS, PI4, portable=True)
    (expected,) = runtime.run(runtime.open_session(portable.data), given)
    with runners.open(PI4, digits.data) as session:
        (got,) = session.run(given)
    assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("how", ["stream", "bind_input"])
def test_inputs_that_are_pushed_or_bound(how: str) -> None:
    options = {how: True}
    converted = flow.convert(DIGITS, PI4, portable=True, **options)  # type: ignore[arg-type]
    given, again = sample(converted), sample(converted, 1)
    host = runtime.open_session(converted.data)
    with runners.open(PI4, converted.data) as session:
        for inputs in (given, again, given):
            (got,), (expected,) = session.run(inputs), runtime.run(host, inputs)
            assert np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected)
        assert [len(s) for s in session.step_outputs(given)] == [len(s) for s in runtime.step_outputs(host, given)]


def test_inputs_of_another_kind_are_refused(integers: flow.Converted) -> None:
    with runners.open(PI4, integers.data) as session, pytest.raises(DeviceError, match="input 0: float32.*int8"):
        session.run([np.zeros(integers.program.inputs[0].shape, np.float32)])


def test_an_emulator_that_cannot_start_says_why(integers: flow.Converted) -> None:
    assert PI4.emulator
    odd = msgspec.structs.replace(PI4, emulator=msgspec.structs.replace(PI4.emulator, machine="cortex-a1"))
    with pytest.raises(DeviceError, match="cortex-a1"), runners.open(odd, integers.data) as session:
        session.run(sample(integers))


def foreign() -> Iterator[tuple[str, Board, str]]:
    """Instruction sets that an emulated processor lacks, a board that has them, and that processor."""
    yield "mve", boards.load("mps3_an547"), "cortex-a53"
    if any(k.isa == "neondot" for k in kernels.table()):
        yield "neondot", boards.load("raspberry_pi_5"), "cortex-a72"
    newest = msgspec.structs.replace(boards.load("raspberry_pi_5"), core=boards.cores()["neoverse-v1"])
    yield "neoni8mm", newest, "cortex-a76"


@pytest.mark.parametrize(("isa", "board", "machine"), list(foreign()), ids=lambda x: x if isinstance(x, str) else "")
def test_kernels_that_a_processor_lacks_are_refused(isa: str, board: Board, machine: str, tmp_path: Path) -> None:
    """With the runtime's code through the runner, with a sentence from ert-run; never by a trap."""
    given = np.random.default_rng(0).uniform(0, 1, (20, 8, 8, 1)).astype(np.float32)
    data = flow.convert(DIGITS, board, quantize="int8", calibration={"image": given}).data
    used = {kernels.by_number(s.kernel).isa for s in program.read(data).steps}  # type: ignore[union-attr]
    assert isa in used
    lacking = msgspec.structs.replace(PI4, emulator=boards.Emulator(program="qemu-aarch64", machine=machine))
    with pytest.raises(runtime.LoadError) as refusal, runners.open(lacking, data):
        pass
    assert refusal.value.code == -8
    done = ert_run(tmp_path, data, machine=machine)
    assert done.returncode == 3
    assert f"needs kernels for {isa}" in done.stderr and "this processor has neon" in done.stderr


def test_float16_arithmetic_runs_where_a_processor_has_it_and_is_refused_elsewhere(tmp_path: Path) -> None:
    """Cortex-A76 has it; on Cortex-A72 its instructions would trap."""
    pi5 = boards.load("raspberry_pi_5")
    halves = flow.convert(DIGITS, pi5, quantize="w16", float16_arithmetic=True)
    exact = flow.convert(DIGITS, pi5, quantize="w16")
    given = sample(exact)
    with runners.open(pi5, halves.data) as session, runners.open(pi5, exact.data) as floats:
        got, expected = session.run(given)[0], floats.run(given)[0]
    assert 0 < np.linalg.norm(got - expected) <= 3e-3 * np.linalg.norm(expected)
    done = ert_run(tmp_path, halves.data, machine="cortex-a72")
    assert done.returncode == 3 and "needs kernels for neonfp16" in done.stderr


def ert_run(folder: Path, data: bytes, *options: str, machine: str = "cortex-a53") -> subprocess.CompletedProcess[str]:
    """ert-run on a model in the folder."""
    (folder / "model.edge").write_bytes(data)
    command = ["qemu-aarch64", "-cpu", machine, str(linux.build(PI4.core)), str(folder / "model.edge"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_ert_run_writes_outputs_and_what_it_took(integers: flow.Converted, tmp_path: Path) -> None:
    given = sample(integers)
    (tmp_path / "in").write_bytes(given[0].tobytes())
    done = ert_run(
        tmp_path, integers.data, "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--runs", "3"
    )
    assert (done.returncode, done.stderr) == (0, "")
    (expected,) = runtime.run(runtime.open_session(integers.data), given)
    assert (tmp_path / "out").read_bytes() == expected.tobytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "model.edge", "out"]
    said = json.loads(done.stdout)
    assert said["arena_bytes"] >= integers.plan.arena_bytes and said["model_bytes"] == len(integers.data)
    assert (said["runs"], said["threads"], said["isa"]) == (3, 1, "neon") and said["packed_bytes"] > 0
    assert 0 < said["steady_min_us"] <= said["steady_us"] and said["load_us"] > 0 < said["first_us"]
    assert said["peak_rss_bytes"] > said["arena_bytes"]


@pytest.mark.parametrize(("machine", "options", "isa"), [
    ("cortex-a53", ["--plain"], "c"), ("cortex-a53", ["--isa", "c"], "c"),
    ("cortex-a53", ["--isa", "neon,c"], "neon,c"), ("cortex-a76", [], "neondot,neon,c"),
])  # fmt: skip
def test_a_portable_model_is_packed_for_the_processor_that_it_meets(
    integers: flow.Converted, tmp_path: Path, machine: str, options: list[str], isa: str
) -> None:
    given = sample(integers)
    (tmp_path / "in").write_bytes(given[0].tobytes())
    files = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--runs", "1"]
    done = ert_run(tmp_path, integers.data, *files, *options, machine=machine)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said["isa"].split(",")) <= set(isa.split(",")) and (said["packed_bytes"] > 0) == (isa != "c")
    assert isa.split(",")[0] in said["isa"]
    (expected,) = runtime.run(runtime.open_session(integers.data, pack=False), given)
    assert (tmp_path / "out").read_bytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--runs", "0"], 2, "--runs 0: expected a number from 1"),
        (["--runs"], 2, "--runs : expected a number"),
        (["--fast"], 2, "--fast : expected an option that is known"),
        (["--isa", "neon,sse9"], 2, "not a list of instruction sets"),
        (["--isa", "neondot"], 3, "it calls kernels for c, which --isa leaves out"),
        (["--input", "/dev/null"], 2, "it has 0 bytes, the input takes 64"),
        (["--input", "/etc/passwd"], 2, "it has more than 64 bytes"),
        (["--input", "a", "b"], 2, "one file per input"),
        (["--output", "/nowhere/out"], 6, "/nowhere/out: No such file"),
        (["other.edge"], 2, "expected one model"),
    ],
)
def test_ert_run_refuses_in_one_sentence(
    integers: flow.Converted, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    done = ert_run(tmp_path, integers.data, *options)
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "Invalid"), (b"EDGE", "fewer bytes"), (b"x" * 64, "not a .edge file")]
)
def test_ert_run_refuses_files_that_are_no_models(data: bytes, said: str, tmp_path: Path) -> None:
    done = ert_run(tmp_path, data)
    assert done.returncode == 2 and said in done.stderr
