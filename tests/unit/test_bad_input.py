# SPDX-License-Identifier: Apache-2.0
"""Bad files, full disks and interrupts: one sentence on stderr, the right exit code, nothing half written."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib.util
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite_models as models
from click.testing import CliRunner
from tflite_models import Op, Tensor, constant

from edgesdk import cli, flow, library, program, runtime, samples
from edgesdk.errors import UsageError

ERT_EARENA = -10
needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(code: int, *arguments: object) -> str:
    """The one sentence of a refusal, which leaves the folder as it was."""
    before = sorted(Path.cwd().rglob("*"))
    result = CliRunner().invoke(cli.main, [str(a) for a in arguments])
    assert result.exit_code == code, (result.exit_code, result.output, repr(result.exception))
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.stdout == "" and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return result.stderr


def converts(name: str) -> int:
    """The exit code of converting file `name`; any refusal is one line and leaves no file."""
    result = CliRunner().invoke(cli.main, ["convert", name, "-o", "out.edge"])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    if result.exit_code:
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
        assert not Path("out.edge").exists()
    assert not list(Path().glob(".*"))
    return result.exit_code


def sound(suffix: str) -> bytes:
    """The bytes of a good file: a small .tflite, the .edge made of it, or a small .onnx."""
    if suffix == "onnx":
        return onnx_model([("Relu", ["x"], ["h"]), ("Tanh", ["h"], ["y"])])
    if suffix == "tflite":
        return models.conv_net()
    Path("net.tflite").write_bytes(models.conv_net())
    data = flow.convert("net.tflite", portable=True).data
    Path("net.tflite").unlink()
    return data


def onnx_model(nodes: list[tuple[str, list[str], list[str]]], shape: tuple[int, ...] = (1, 4), dtype: int = 1) -> bytes:
    from onnx import helper

    x, y = (helper.make_tensor_value_info(n, dtype, shape) for n in "xy")
    made = [helper.make_node(op, i, o, f"node{k}") for k, (op, i, o) in enumerate(nodes)]
    graph = helper.make_graph(made, "net", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


KINDS = ["tflite", "edge", pytest.param("onnx", marks=needs_onnx)]


def reads(suffix: str, data: bytes) -> int:
    Path(f"bad.{suffix}").write_bytes(data)
    if suffix == "edge":
        result = CliRunner().invoke(cli.main, ["inspect", "bad.edge"])
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result.exit_code
    return converts(f"bad.{suffix}")


@pytest.mark.parametrize("suffix", KINDS)
def test_cut_off_files(suffix: str) -> None:
    data = sound(suffix)
    assert reads(suffix, data) == 0
    Path("out.edge").unlink(missing_ok=True)
    for n in sorted({0, 1, 7, 15, 31, *range(40, len(data) - 1, max(1, len(data) // 25))}):
        code = reads(suffix, data[:n])
        # Protocol buffers carry no length of their own: a cut between two fields may leave a whole, smaller model.
        assert code in ((0, 2, 3) if suffix == "onnx" else (2,)), n
        Path("out.edge").unlink(missing_ok=True)


@pytest.mark.parametrize("suffix", KINDS)
def test_flipped_bits(suffix: str) -> None:
    data = sound(suffix)
    for at in np.random.default_rng(0).integers(0, 8 * len(data), 60):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        assert reads(suffix, bytes(changed)) in ((2,) if suffix == "edge" else (0, 2, 3, 4)), at
        Path("out.edge").unlink(missing_ok=True)


@pytest.mark.parametrize("suffix", KINDS)
def test_other_content(suffix: str) -> None:
    for content in (b"PK\x03\x04" + bytes(60), b"<html>not found</html>", bytes(4096), b"\xff" * 4096):
        assert reads(suffix, content) == 2, content[:8]


@pytest.mark.parametrize("suffix", ["tflite", pytest.param("onnx", marks=needs_onnx)])
def test_ten_gigabytes(suffix: str) -> None:
    with open(f"huge.{suffix}", "wb") as file:
        file.write(sound(suffix))
        file.truncate(10 * 2**30)  # sparse: nothing on the disk
    with memory_limit(4 * 2**30):
        assert "huge" in refused(2, "convert", f"huge.{suffix}", "-o", "out.edge")


@contextlib.contextmanager
def memory_limit(n_bytes: int) -> Iterator[None]:
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


@pytest.mark.parametrize("shape", [(1, 50000, 50000, 4), (1, 2**31 - 1, 2), (0, 4), (1, 0, 3), (1, -4)])
def test_impossible_shapes(shape: tuple[int, ...]) -> None:
    x, y = (Tensor(n, shape, scale=0.5) for n in "xy")
    Path("shape.tflite").write_bytes(models.build([x, y], [Op("RELU", ["x"], ["y"])]))
    refused(2, "convert", "shape.tflite", "-o", "out.edge")
    if importlib.util.find_spec("onnx"):
        Path("shape.onnx").write_bytes(onnx_model([("Relu", ["x"], ["y"])], shape))
        refused(2, "convert", "shape.onnx", "-o", "out.edge")


def test_activations_beyond_the_format() -> None:
    """Ten gigabytes of activations, each small enough by itself: need and have, no crash."""
    n = 2**31 - 16
    tensors = [Tensor(f"t{i}", (1, n), scale=0.5) for i in range(6)]
    ops = [Op("MAXIMUM", [f"t{i}", f"t{i + 1}"], [f"t{i + 2}"]) for i in range(4)]
    Path("big.tflite").write_bytes(models.build(tensors, ops, ["t0", "t1"]))
    assert "the arena needs" in refused(4, "convert", "big.tflite", "-o", "out.edge")


def test_weights_that_are_not_there() -> None:
    """A constant that claims 10 GB in a file of some hundred bytes."""
    tensors = [Tensor("x", (1, 100000), scale=0.5), Tensor("y", (1, 100000), scale=0.5)]
    tensors += [Tensor("w", (100000, 20000), scale=0.5, data=np.zeros(4, np.int8))]
    Path("w.tflite").write_bytes(models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w", None], ["y"])]))
    refused(2, "convert", "w.tflite", "-o", "out.edge")


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0, -0.5])
def test_scales_that_are_no_numbers(scale: float) -> None:
    for name in "xy":
        tensors = [Tensor(n, (1, 4), scale=scale if n == name else 0.5) for n in "xy"]
        Path("scale.tflite").write_bytes(models.build(tensors, [Op("RELU", ["x"], ["y"])]))
        assert name in refused(2, "convert", "scale.tflite", "-o", "out.edge")


def test_operators_in_a_circle() -> None:
    tensors = [Tensor(n, (1, 4), scale=0.5) for n in "xaby"]
    ops = [Op("ADD", ["x", "b"], ["a"]), Op("RELU", ["a"], ["b"]), Op("RELU", ["b"], ["y"])]
    Path("ring.tflite").write_bytes(models.build(tensors, ops))
    refused(2, "convert", "ring.tflite", "-o", "out.edge")


@needs_onnx
def test_nodes_in_a_circle() -> None:
    Path("ring.onnx").write_bytes(
        onnx_model([("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"]), ("Relu", ["b"], ["y"])])
    )
    assert "without cycles" in refused(2, "convert", "ring.onnx", "-o", "out.edge")


def test_unknown_operators_are_listed_at_once() -> None:
    tensors = [Tensor(n, (1, 4), "float32") for n in ("x", "a/buckets", "b/mine", "c/unique")]
    ops = [Op("BUCKETIZE", ["x"], ["a/buckets"]), Op("CUSTOM", ["a/buckets"], ["b/mine"], custom="Mine")]
    ops += [Op("UNIQUE", ["b/mine"], ["c/unique"])]
    Path("ops.tflite").write_bytes(models.build(tensors, ops))
    text = refused(3, "convert", "ops.tflite", "-o", "out.edge")
    assert all(word in text for word in ("BUCKETIZE", "Mine", "UNIQUE", "a/buckets", "b/mine", "c/unique"))


@needs_onnx
def test_unknown_nodes_are_listed_at_once() -> None:
    nodes = [("Bernoulli", ["x"], ["a"]), ("Det", ["a"], ["b"]), ("Bernoulli", ["b"], ["y"])]
    Path("ops.onnx").write_bytes(onnx_model(nodes))
    text = refused(3, "convert", "ops.onnx", "-o", "out.edge")
    assert all(word in text for word in ("Bernoulli", "Det", "'node0'", "'node1'", "'node2'"))


@needs_onnx
def test_inputs_of_another_type() -> None:
    Path("text.onnx").write_bytes(onnx_model([("Relu", ["x"], ["y"])], dtype=8))
    assert "'x'" in refused(3, "convert", "text.onnx", "-o", "out.edge")


CALIBRATIONS: dict[str, dict[str, Any]] = {
    "wrong shape": {"x": np.zeros((3, 5), np.float32)},
    "wrong type": {"x": np.array([["a", "b", "c", "d"]])},
    "nan": {"x": np.full((3, 4), np.nan, np.float32)},
    "infinity": {"x": np.full((3, 4), np.inf, np.float32)},
    "no samples": {"x": np.zeros((0, 4), np.float32)},
    "no arrays": {},
    "a number": {"x": np.float32(0)},
}


@needs_onnx
@pytest.mark.parametrize("case", CALIBRATIONS)
def test_bad_calibration(case: str) -> None:
    Path("net.onnx").write_bytes(sound("onnx"))
    Path("c.npz").write_bytes(samples.pack({k: np.asarray(v) for k, v in CALIBRATIONS[case].items()}))
    refused(2, "convert", "net.onnx", "-o", "out.edge", "--quantize", "int8", "--calibration", "c.npz")


@needs_onnx
@pytest.mark.parametrize("path", ["none.npz", ".", "net.onnx"])
def test_calibration_that_is_no_sample_file(path: str) -> None:
    Path("net.onnx").write_bytes(sound("onnx"))
    refused(2, "convert", "net.onnx", "-o", "out.edge", "--quantize", "int8", "--calibration", path)


def test_missing_files() -> None:
    Path("net.edge").write_bytes(sound("edge"))
    Path("folder.tflite").mkdir()
    Path("folder.edge").mkdir()
    for call in (
        *(["convert", f"none.{s}", "-o", "out.edge"] for s in ("tflite", "onnx")),
        *(["inspect", f] for f in ("none.edge", "none.tflite", "folder.tflite", "folder.edge")),
        ["run", "none.edge", "--input", "in.npz", "--output", "out.npz"],
        ["run", "net.edge", "--input", "none.npz", "--output", "out.npz"],
        ["validate", "net.edge", "--against", "none.tflite", "--data", "in.npz"],
        ["profile", "net.edge", "--input", "none.npz"],
        ["profile", "none.edge"],
        ["boards", "none.toml"],
    ):
        refused(2, *call)
    refused(3, "convert", "model.h5", "-o", "out.edge")


def test_validate_against_another_model() -> None:
    Path("net.edge").write_bytes(sound("edge"))
    Path("in.npz").write_bytes(samples.pack({"image": np.zeros((1, 8, 8, 3), np.int8)}))
    x, y = (Tensor(n, (1, 8, 8, 3), scale=0.05, zero_point=3) for n in ("image", "y"))
    Path("other.tflite").write_bytes(models.build([x, y], [Op("RELU", ["image"], ["y"])]))
    text = refused(2, "validate", "net.edge", "--against", "other.tflite", "--data", "in.npz")
    assert "converted from" in text


def hostile(change: Callable[[bytearray], None]) -> bytes:
    """A program changed and given a right checksum again."""
    data = bytearray(sound("edge"))
    change(data)
    struct.pack_into("<I", data, 12, zlib.crc32(bytes(data[program.CRC_START :])))
    return bytes(data)


def with_metadata(**changes: Any) -> bytes:
    read = program.read(sound("edge"))
    return program.write(replace(read, metadata={**read.metadata, **changes}))


METADATA = [{"steps": []}, {"steps": 3}, {"steps": [7] * 6}, {"steps": None, "inputs": {}}, {"input_layouts": [1]}]


@pytest.mark.parametrize("changes", METADATA, ids=str)
def test_metadata_of_another_form(changes: dict[str, Any]) -> None:
    Path("bad.edge").write_bytes(with_metadata(**changes))
    assert "not a readable .edge file" in refused(2, "inspect", "bad.edge")
    refused(2, "profile", "bad.edge")


@pytest.mark.parametrize("offset", range(16, 32, 2))
def test_headers_with_a_right_checksum(offset: int) -> None:
    for value in (0xFFFF, 0x7FFF):
        Path("bad.edge").write_bytes(hostile(lambda d, v=value: struct.pack_into("<H", d, offset, v)))
        result = CliRunner().invoke(cli.main, ["run", "bad.edge", "--input", "none.npz", "--output", "o.npz"])
        assert result.exit_code == 2 and result.stderr.startswith("error: "), repr(result.exception)


def test_scratch_over_an_output_is_refused() -> None:
    """A kernel keeps offsets in its scratch: writing its output over them would read anywhere."""
    read = program.read(sound("edge"))
    steps = [replace(s, scratch_offset=s.output.offset) if s.kernel == 0x0201 else s for s in read.steps]
    assert steps != list(read.steps)
    with pytest.raises(runtime.LoadError):
        runtime.open_session(program.write(replace(read, steps=tuple(steps))))


def test_an_arena_one_byte_too_small() -> None:
    """The planned size is the least that the runtime takes."""
    session = runtime.open_session(sound("edge"))
    lib, fresh = library.library(), runtime._Session()
    need = session.arena.size
    for size, expected in ((need, 0), (need - 1, ERT_EARENA), (0, ERT_EARENA)):
        arguments = (ctypes.byref(fresh), ctypes.byref(session._model), session.arena.ctypes.data, size)
        assert lib.ert_begin(*arguments) == expected
    Path("net.tflite").write_bytes(models.conv_net())
    front = json.loads(CliRunner().invoke(cli.main, ["pareto", "net.tflite", "--json"]).stdout)
    need = min(p["arena_bytes"] for p in front["points"])
    text = refused(4, "convert", "net.tflite", "-o", "out.edge", "--ram", need - 1)
    assert f"{need} bytes" in text and f"has {need - 1}" in text
    assert CliRunner().invoke(cli.main, ["convert", "net.tflite", "-o", "out.edge", "--ram", str(need)]).exit_code == 0


def outputs_to(target: str) -> list[list[str]]:
    """Every verb that writes a file, writing to `target`."""
    Path("net.tflite").write_bytes(models.conv_net())
    Path("net.edge").write_bytes(sound("edge"))
    Path("net.tflite").write_bytes(models.conv_net())
    Path("in.npz").write_bytes(samples.pack({"image": np.zeros((1, 8, 8, 3), np.int8)}))
    return [["convert", "net.tflite", "-o", target], ["run", "net.edge", "--input", "in.npz", "--output", target]]


@pytest.mark.parametrize("target", ["folder", ".", "", "..", "none/x", "net.tflite/x", "/dev/null", "n" * 300])
def test_places_that_no_file_can_have(target: str) -> None:
    Path("folder").mkdir()
    for call in outputs_to(target):
        refused(2, *call)
    assert not Path("/dev/null").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written() -> None:
    Path("locked").mkdir(mode=0o500)
    for call in outputs_to("locked/x"):
        assert "locked/x" in refused(2, *call)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_the_system_protects(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    calls = outputs_to("out")

    def deny(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(program.os, "replace", deny)
    for call in calls:
        assert os.strerror(code) in refused(2, *call)


def test_a_full_disk_keeps_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = outputs_to("out")
    Path("out").write_bytes(b"the old one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(program.os, "fsync", full)
    for call in calls:
        assert "No space left" in refused(2, *call) and Path("out").read_bytes() == b"the old one"


@pytest.fixture
def tiny_disk(work: Path) -> Iterator[Path]:
    """A file system of 16 kB; skipped where it cannot be mounted."""
    disk = work / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "edgesdk-test", disk])
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_really_full(tiny_disk: Path) -> None:
    x, y, w = Tensor("x", (1, 256), scale=0.5), Tensor("y", (1, 256), scale=0.5), np.arange(65536) % 251 - 125
    tensors = [x, y, constant("w", w.reshape(256, 256), "int8", scale=0.01)]
    Path("wide.tflite").write_bytes(models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w", None], ["y"])]))
    assert "No space left" in refused(2, "convert", "wide.tflite", "-o", tiny_disk / "out.edge")
    assert list(tiny_disk.iterdir()) == []


def test_an_interrupt_while_writing_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        program.write_file(Path("out.edge"), b"x" * 100)
    assert list(Path().iterdir()) == []
    with pytest.raises(UsageError):
        program.write_file(Path("none/out.edge"), b"")


SLOW = """
import signal, sys, time
from edgesdk import memory
from edgesdk.cli import main
def plan(schedule):
    print("ready", file=sys.stderr, flush=True)
    time.sleep(30)
memory.plan = plan
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background of a shell
main()
"""


def test_control_c_leaves_nothing() -> None:
    Path("net.tflite").write_bytes(models.conv_net())
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, "convert", "net.tflite", "-o", "out.edge", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert child.stderr and child.stderr.readline() == "ready\n"
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode not in (0, 3, 4, 5) and out == "" and "Traceback" not in err
    assert time.monotonic() - begun < 10 and [p.name for p in Path().iterdir()] == ["net.tflite"]


def test_refusals_as_json() -> None:
    result = CliRunner().invoke(cli.main, ["convert", "none.onnx", "-o", "out.edge", "--json"])
    assert json.loads(result.stdout)["exit_code"] == result.exit_code == 2
