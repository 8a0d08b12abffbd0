# SPDX-License-Identifier: Apache-2.0
"""The command line as scripts use it: keys, exit codes, a clean stdout, refused options."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite_models as models
from click.testing import CliRunner, Result

from edgesdk import cli, dump, options, samples

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "apps" / "digits" / "digits.onnx"
KEYWORDS = ROOT.parent / "shared" / "models" / "mlperf-tiny-kws-dscnn" / "kws_ref_model.tflite"
VERBS = ("convert", "inspect", "run", "validate", "profile", "pareto", "tune", "boards", "doctor")
CONVERT_KEYS = {
    *("model_bytes", "arena_bytes", "code_bytes", "weights_bytes", "macs", "macs_dense", "removed"),
    *("recompute_ratio", "steps", "estimate", "fits", "warnings"),
}
needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")
needs_emulator = pytest.mark.skipif(
    not shutil.which("qemu-system-arm") or not shutil.which("arm-none-eabi-gcc"),
    reason="qemu-system-arm or arm-none-eabi-gcc is not installed",
)


def edgesdk(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(a) for a in arguments])


def ok(*arguments: object) -> dict[str, Any]:
    """The JSON object of a call that succeeds; stdout holds nothing else."""
    result = edgesdk(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(code: int, *arguments: object) -> str:
    """The sentence of a call that is refused with `code`."""
    result = edgesdk(*arguments)
    assert result.exit_code == code, (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit) and result.stdout == "" and "Traceback" not in result.stderr
    return result.stderr


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from edgesdk.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | paths(), timeout=60)


def paths() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


@pytest.fixture
def int8(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(models.conv_net())
    return path


@pytest.fixture
def edge(int8: Path) -> Path:
    path = int8.with_suffix(".edge")
    ok("convert", int8, "-o", path)
    return path


def npz(path: Path, **arrays: np.ndarray) -> Path:
    path.write_bytes(samples.pack(arrays))
    return path


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {n: archive[n] for n in archive.files}


def onnx_file(path: Path, build: Callable[[Any], Any]) -> Path:
    """Saves the graph that `build(onnx.helper)` returns."""
    import onnx

    onnx.save(onnx.helper.make_model(build(onnx.helper), opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    return path


def image_net(helper: Any, shape: tuple[Any, ...] = (1, 3, 4, 6)) -> Any:
    """A 1x1 convolution, NCHW in and out, whose weights turn channels around and scale them."""
    from onnx import TensorProto, numpy_helper

    w = np.eye(3, dtype=np.float32)[::-1].reshape(3, 3, 1, 1) * np.float32(2)
    x = helper.make_tensor_value_info("image:0", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)
    node = helper.make_node("Conv", ["image:0", "w"], ["out"], "conv", kernel_shape=[1, 1])
    return helper.make_graph([node], "image", [x], [y], [numpy_helper.from_array(w, "w")])


def two_inputs(helper: Any) -> Any:
    from onnx import TensorProto

    a, b, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 5)) for n in ("a", "b", "y"))
    return helper.make_graph([helper.make_node("Sub", ["a", "b"], ["y"], "sub")], "two", [a, b], [y])


def classifier(helper: Any) -> Any:
    """Eight random classes of four numbers: int8 moves many samples over a border."""
    from onnx import TensorProto, numpy_helper

    w = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, c)) for n, c in (("x", 4), ("y", 8)))
    node = helper.make_node("Gemm", ["x", "w"], ["y"], "fc")
    return helper.make_graph([node], "classes", [x], [y], [numpy_helper.from_array(w, "w")])


def test_convert_keys_and_file(int8: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.edge"
    result = ok("convert", int8, "-o", out)
    assert CONVERT_KEYS <= set(result)
    assert set(result["estimate"]) == {"latency_us", "error_percent", "instructions"}
    assert result["model_bytes"] == out.stat().st_size and result["fits"] is True and result["warnings"] == []
    assert result["arena_bytes"] > 0 and result["macs"] == result["macs_dense"] - result["removed"]["macs"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.tflite", "x.edge"]


def test_convert_is_repeatable(int8: Path, tmp_path: Path) -> None:
    for name in ("a.edge", "b.edge"):
        ok("convert", int8, "-o", tmp_path / name, "--board", "mps2_an386")
    assert (tmp_path / "a.edge").read_bytes() == (tmp_path / "b.edge").read_bytes()


def test_inspect_program_and_source(int8: Path, edge: Path) -> None:
    for path in (edge, int8):
        result = ok("inspect", path)
        assert {"header", "inputs", "outputs", "stages", "steps"} <= set(result)
        assert result["inputs"][0]["name"] == "image" and result["inputs"][0]["shape"] == [1, 8, 8, 3]
        for step in result["steps"]:
            assert {"op", "kernel", "shapes", "dtypes", "sparsity", "weights_bytes", "source"} <= set(step)
    assert ok("inspect", edge)["header"]["file_bytes"] == edge.stat().st_size


def test_run_raw_and_float_inputs(edge: Path, tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(-128, 128, (3, 1, 8, 8, 3)).astype(np.int8)
    real = ((raw.astype(np.float64) - 3) * 0.05).astype(np.float32)
    for name, given in (("raw", npz(tmp_path / "r.npz", image=raw)), ("real", npz(tmp_path / "f.npz", anything=real))):
        result = ok("run", edge, "--input", given, "--output", tmp_path / f"{name}_out.npz")
        assert result == {"outputs": [{"name": "probs", "shape": [3, 1, 4], "dtype": "int8"}]}
    one, two = (arrays_of(tmp_path / f"{n}_out.npz")["probs"] for n in ("raw", "real"))
    assert np.array_equal(one, two) and len(np.unique(one)) > 1


def test_run_is_the_bytes_of_the_reference(int8: Path, edge: Path, tmp_path: Path) -> None:
    raw = np.random.default_rng(1).integers(-128, 128, (4, 8, 8, 3)).astype(np.int8)
    result = ok("validate", edge, "--against", int8, "--data", npz(tmp_path / "in.npz", image=raw))
    assert result["samples"] == 4
    assert {"equal", "max_abs_diff", "rel_l2", "cosine", "mae"} <= set(result["outputs"][0])
    assert result["outputs"][0]["equal"] is True and result["outputs"][0]["max_abs_diff"] == 0
    assert result["worst_step"]["rel_l2"] == 0 and "top1" not in result


@needs_onnx
def test_digits_from_float_to_int8(tmp_path: Path) -> None:
    x = np.random.default_rng(2).random((6, 1, 8, 8), np.float32)
    data = npz(tmp_path / "data.npz", image=x, labels=np.zeros(6, np.int64))
    edge = tmp_path / "digits.edge"
    converted = ok("convert", DIGITS, "-o", edge, "--quantize", "int8", "--calibration", data, "--portable")
    assert any("6 calibration samples are few" in w for w in converted["warnings"])
    assert converted["weights_bytes"] < 14_000
    result = ok("validate", edge, "--against", DIGITS, "--data", data, "--labels", data)
    assert {"top1", "top1_reference", "worst_step", "samples"} <= set(result)
    assert result["outputs"][0]["cosine"] > 0.95 and {"step", "op", "source", "rel_l2"} <= set(result["worst_step"])


@needs_onnx
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_images_in_the_order_of_the_source(tmp_path: Path, layout: str) -> None:
    edge, out = tmp_path / "i.edge", tmp_path / "out.npz"
    ok("convert", onnx_file(tmp_path / "i.onnx", image_net), "-o", edge)
    x = np.random.default_rng(3).random((2, 1, 3, 4, 6), np.float32)
    given = x if layout == "NCHW" else np.moveaxis(x, 2, -1)
    ok("run", edge, "--input", npz(tmp_path / "in.npz", x=given), "--output", out)
    assert np.allclose(arrays_of(out)["out"], 2 * x[:, :, ::-1])


@needs_onnx
def test_several_inputs_by_name_and_by_order(tmp_path: Path) -> None:
    edge = tmp_path / "two.edge"
    ok("convert", onnx_file(tmp_path / "two.onnx", two_inputs), "-o", edge)
    a, b = np.full((1, 5), 7, np.float32), np.full((1, 5), 3, np.float32)
    for given in ({"b": b, "a": a}, {"first": a, "second": b}):
        ok("run", edge, "--input", npz(tmp_path / "in.npz", **given), "--output", tmp_path / "o.npz")
        assert arrays_of(tmp_path / "o.npz")["y"].tolist() == [[[4.0] * 5]]
    assert "expected 2: a, b" in refused(
        2, "run", edge, "--input", npz(tmp_path / "in.npz", a=a), "--output", tmp_path / "n.npz"
    )


@needs_onnx
def test_free_dimensions_are_given_by_input(tmp_path: Path) -> None:
    path, edge = onnx_file(tmp_path / "i.onnx", lambda h: image_net(h, ("n", 3, "h", "w"))), tmp_path / "i.edge"
    assert "--input image:0:" in refused(2, "convert", path, "-o", edge)
    ok("convert", path, "-o", edge, "--input", "image:0:1,3,5,7")
    assert ok("inspect", edge)["inputs"][0]["shape"] == [1, 5, 7, 3]
    for wrong in ("image:0:1,4,5,7", "other:1,3,5,7", "image:0:1,3,0,7", "image:0:1,3,-5,7", "image:0:1,3,5", "1,3"):
        assert "error: " in refused(2, "convert", path, "-o", tmp_path / "n.edge", "--input", wrong), wrong
    assert "expected NAME:1,3,224,224" in refused(2, "convert", path, "-o", edge, "--input", "image:0:1,x")


def test_every_stage_is_dumped(int8: Path, tmp_path: Path) -> None:
    assert cli.STAGES == dump.STAGES
    marks = {"source": "fully_connected(", "graph": "conv2d(", "schedule": "stage plain", "memory": "arena "}
    for stage in dump.STAGES:
        result = edgesdk("convert", int8, "-o", tmp_path / "x.edge", "--json", "--dump", stage)
        assert result.exit_code == 0 and json.loads(result.stdout)["steps"] == 6
        assert marks.get(stage, "step 5: StepRecord") in result.stderr
    assert "is not one of" in refused(2, "convert", int8, "-o", tmp_path / "y.edge", "--dump", "tree")


LATER = [
    *(["--sparsity", s] for s in ("auto", "2:4", "2:4:1x4")),
]


@pytest.mark.parametrize("options", LATER, ids=" ".join)
def test_what_convert_has_not_yet_is_refused(int8: Path, tmp_path: Path, options: list[str]) -> None:
    text = refused(3, "convert", int8, "-o", tmp_path / "x.edge", *options)
    assert options[0] in text and "not available" in text and not (tmp_path / "x.edge").exists()


@pytest.mark.parametrize("option", ["port", "ssh", "meter"])
def test_what_profile_has_not_yet_is_refused(edge: Path, option: str) -> None:
    assert f"--{option}" in refused(3, "profile", edge, f"--{option}", "x")


def test_threads_of_a_program_for_one_are_refused(edge: Path, tmp_path: Path) -> None:
    given = npz(tmp_path / "in.npz", image=np.zeros((1, 8, 8, 3), np.int8))
    assert "convert it with --threads 2" in refused(
        2, "run", edge, "--input", given, "--output", tmp_path / "o.npz", "--threads", 2
    )


MISUSES = {
    "no output": ["convert", "net.tflite"],
    "no such option": ["convert", "net.tflite", "-o", "x.edge", "--fast"],
    "no such verb": ["flash", "x.edge"],
    "no such quantisation": ["convert", "net.tflite", "-o", "x.edge", "--quantize", "int2"],
    "quantised already": ["convert", "net.tflite", "-o", "x.edge", "--quantize", "int8", "--calibration", "c.npz"],
    "calibration for nothing": ["convert", "net.tflite", "-o", "x.edge", "--calibration", "c.npz"],
    "labels alone": ["convert", "net.tflite", "-o", "x.edge", "--labels", "l.txt"],
    "drop alone": ["convert", "net.tflite", "-o", "x.edge", "--max-drop", "1"],
    "drop without samples": ["convert", "net.tflite", "-o", "x.edge", "--max-drop", "1", "--labels", "l.txt"],
    "no board": ["convert", "net.tflite", "-o", "x.edge", "--board", "toaster"],
    "size in weeks": ["convert", "net.tflite", "-o", "x.edge", "--ram", "3 weeks"],
    "negative size": ["convert", "net.tflite", "-o", "x.edge", "--ram", "-1"],
    "no runs": ["profile", "net.edge", "--runs", "0"],
    "no board of that name": ["boards", "toaster"],
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuse_is_exit_2(int8: Path, edge: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(int8.parent)
    assert refused(2, *MISUSES[case]).lower().count("error: ") == 1
    assert not Path("x.edge").exists()


@pytest.mark.parametrize("drop", ["nan", "-1", "101"])
def test_a_gate_must_be_a_percentage(int8: Path, tmp_path: Path, drop: str) -> None:
    options = ["--max-drop", drop, "--labels", "l.txt", "--calibration", "c.npz"]
    assert "from 0 to 100" in refused(2, "convert", int8, "-o", tmp_path / "x.edge", *options)


@needs_onnx
def test_accuracy_gate(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "c.onnx", classifier)
    x = np.random.default_rng(4).standard_normal((300, 4)).astype(np.float32) * np.geomspace(1e-3, 10, 300)[:, None]
    exact = ok("validate", quantized(path, x), "--against", path, "--data", tmp_path / "x.npz")
    assert exact["outputs"][0]["equal"] is False
    float_edge, scores = tmp_path / "float.edge", tmp_path / "scores.npz"
    ok("convert", path, "-o", float_edge)
    ok("run", float_edge, "--input", tmp_path / "x.npz", "--output", scores)
    labels = npz(tmp_path / "l.npz", labels=arrays_of(scores)["y"].reshape(300, 8).argmax(1))
    gate = [path, "--quantize", "int8", "--calibration", tmp_path / "x.npz", "--labels", labels]
    text = refused(5, "convert", *gate, "-o", tmp_path / "gated.edge", "--max-drop", "0.1")
    assert "points" in text and "0.1" in text and not (tmp_path / "gated.edge").exists()
    top1 = ok("convert", *gate, "-o", tmp_path / "gated.edge", "--max-drop", "99")["top1"]
    assert top1["reference"] == 1 and 0.01 < top1["program"] < 1 and (tmp_path / "gated.edge").exists()


def quantized(path: Path, x: np.ndarray) -> Path:
    edge = path.with_suffix(".edge")
    given = npz(path.parent / "x.npz", x=x)
    ok("convert", path, "-o", edge, "--quantize", "int8", "--calibration", given)
    return edge


@pytest.mark.parametrize(("option", "key"), [("--ram", "arena_bytes"), ("--flash", "model_bytes")])
def test_budgets_are_exact(int8: Path, tmp_path: Path, option: str, key: str) -> None:
    out = tmp_path / "x.edge"
    need = ok("convert", int8, "-o", tmp_path / "free.edge")[key]
    if option == "--ram":
        need = min(p["arena_bytes"] for p in ok("pareto", int8)["points"])
    text = refused(4, "convert", int8, "-o", out, option, need - 1)
    assert f"{need} bytes" in text and f"{option} has {need - 1}" in text and "1 bytes too few" in text
    assert not out.exists()
    assert ok("convert", int8, "-o", out, option, need)[key] == need


SIZES = {"64": 64, "64k": 64000, "64kB": 64000, "64 KiB": 65536, "1.5MiB": 1572864, "2MB": 2000000}


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_sizes(text: str, size: int) -> None:
    assert options.Size().convert(text, None, None) == size


def test_a_board_that_is_too_small(tmp_path: Path) -> None:
    x, y = (models.Tensor(n, (1, 96, 96, 3), scale=0.5) for n in "xy")
    (tmp_path / "big.tflite").write_bytes(models.build([x, y], [models.Op("RELU", ["x"], ["y"])]))
    text = refused(4, "convert", tmp_path / "big.tflite", "-o", tmp_path / "x.edge", "--board", "microbit")
    assert "microbit (less stack and firmware) has" in text and not (tmp_path / "x.edge").exists()


def test_profile_on_this_machine(edge: Path) -> None:
    result = ok("profile", edge, "--runs", 3)
    assert result["clock"] == "us" and result["model_bytes"] == edge.stat().st_size
    assert {"init", "first", "warm_up", "arena_bytes", "stack_bytes", "code_bytes", "context"} <= set(result)
    assert set(result["steady"]) == {"median", "p95", "min"} and "energy" not in result
    for step in result["steps"]:
        assert {"name", "op", "kernel", "isa", "cost", "macs", "bytes", "source"} <= set(step)


@needs_emulator
def test_profile_and_run_on_an_emulated_board(int8: Path, tmp_path: Path) -> None:
    edge = tmp_path / "portable.edge"
    ok("convert", int8, "-o", edge, "--portable")
    result = ok("profile", edge, "--board", "mps2_an386", "--runs", 2)
    assert result["clock"] == "instructions" and result["steady"]["min"] == result["steady"]["median"]
    assert result["code_bytes"] > 0 and result["stack_bytes"] > 0
    given = npz(tmp_path / "in.npz", image=np.random.default_rng(5).integers(-128, 128, (2, 8, 8, 3)).astype(np.int8))
    for board in ("host", "mps2_an386"):
        ok("run", edge, "--input", given, "--output", tmp_path / f"{board}.npz", "--board", board)
    host, board = (arrays_of(tmp_path / f"{b}.npz")["probs"] for b in ("host", "mps2_an386"))
    assert host.tobytes() == board.tobytes()


def test_a_board_without_a_runner_is_exit_6(edge: Path) -> None:
    assert "nucleo_l4r5zi" in refused(6, "profile", edge, "--board", "nucleo_l4r5zi")


def test_boards(tmp_path: Path) -> None:
    listed = ok("boards")["boards"]
    assert {"host", "wasm", "mps2_an386"} <= {b["id"] for b in listed}
    (one,) = ok("boards", "mps2_an386")["boards"]
    assert one["core"] == "cortex-m4" and one["ram_bytes"] > 0 and one["isa"][-1] == "c"
    own = tmp_path / "mine.toml"
    own.write_text('id = "mine"\nname = "Mine"\ncore = "cortex-m4"\n')
    assert ok("boards", own)["boards"][0]["id"] == "mine"


def test_doctor() -> None:
    checks = ok("doctor")["checks"]
    assert all(set(c) == {"name", "ok", "found", "fix"} for c in checks)
    assert {c["name"]: c["ok"] for c in checks}["runtime library"]
    listed = ok("doctor", "--kernels")
    assert {"f32", "s8s8"} <= {t for r in listed["kernels"] if r["op"] == "conv2d" for t in r["types"]}
    assert "CONV_2D" in listed["operators"]["tflite"] and "Conv" in listed["operators"]["onnx"]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_that_parses(verb: str) -> None:
    assert verb in edgesdk("--help").stdout and set(cli.main.commands) == set(VERBS)
    text = edgesdk(verb, "--help").stdout
    example = text.split("Example: ")[1].split("\n\n")[0].split()
    assert example[:2] == ["edgesdk", verb]
    cli.main.commands[verb].make_context(verb, example[2:])


def test_the_front_page_holds() -> None:
    """Its commands parse, and it lists the operators that `doctor --kernels` prints."""
    text = (ROOT / "README.md").read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("edgesdk ")]
    commands = [words for words in lines if words[1] in VERBS]
    assert len(commands) >= 4
    for _, verb, *arguments in commands:
        cli.main.commands[verb].make_context(verb, arguments)
    for operators in ok("doctor", "--kernels")["operators"].values():
        assert f"| {', '.join(operators)} |" in text


def test_tables_of_every_verb(int8: Path, edge: Path, tmp_path: Path) -> None:
    given = npz(tmp_path / "in.npz", image=np.zeros((2, 8, 8, 3), np.int8))
    calls: dict[str, list[object]] = {
        "converted": ["convert", int8, "-o", edge],
        "max_pool2d": ["inspect", edge],
        "fully_connected": ["inspect", int8],
        "[2, 1, 4]": ["run", edge, "--input", given, "--output", tmp_path / "o.npz"],
        "2 samples": ["validate", edge, "--against", int8, "--data", given],
        "host (": ["profile", edge, "--runs", 1],
        "cortex-m55": ["boards"],
        "DEPTHWISE_CONV_2D": ["doctor", "--kernels"],
    }
    for expected, call in calls.items():
        result = edgesdk(*call)
        assert result.exit_code == 0 and expected in result.stdout, result.output


def test_json_has_no_nan(tmp_path: Path) -> None:
    x, y = (models.Tensor(n, (1, 4), "float32") for n in "xy")
    path, edge = tmp_path / "f.tflite", tmp_path / "f.edge"
    path.write_bytes(models.build([x, y], [models.Op("LOGISTIC", ["x"], ["y"])]))
    ok("convert", path, "-o", edge)
    result = edgesdk("validate", edge, "--against", path, "--json", "--data",
                     npz(tmp_path / "in.npz", x=np.full((1, 4), np.nan, np.float32)))  # fmt: skip
    assert result.exit_code == 0, result.output
    json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_refusal_is_json_too(tmp_path: Path) -> None:
    result = edgesdk("inspect", tmp_path / "none.edge", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == told["exit_code"] == 2 and told["error"] in result.stderr


def test_as_a_process(int8: Path, tmp_path: Path) -> None:
    done = process("convert", int8, "-o", tmp_path / "x.edge", "--json", "--dump", "graph")
    assert done.returncode == 0 and CONVERT_KEYS <= set(json.loads(done.stdout))
    assert process("inspect", tmp_path / "none.edge").returncode == 2
    assert process("convert", int8, "-o", tmp_path / "y.edge", "--sparsity", "2:4").returncode == 3
    done = process("convert", int8, "-o", tmp_path / "y.edge", "--ram", 1)
    assert done.returncode == 4 and done.stdout == "" and done.stderr.startswith("error: ")


def test_help_is_quick() -> None:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        assert process("--help").returncode == 0
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) < 0.4


@cache
def modules_of_help() -> set[str]:
    code = (
        "import sys\nfrom edgesdk.cli import main\ntry: main(['--help'])\nexcept SystemExit: print('@', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | paths())
    return set(done.stdout.split("@")[1].split())


@pytest.mark.parametrize("heavy", ["numpy", "rich.table", "onnx", "msgspec", "serial", "edgesdk.kernels"])
def test_help_imports_nothing_heavy(heavy: str) -> None:
    assert heavy not in modules_of_help()


@pytest.mark.skipif(not KEYWORDS.is_file(), reason="the shared models are not here")
def test_a_real_model(tmp_path: Path) -> None:
    result = ok("convert", KEYWORDS, "-o", tmp_path / "kws.edge", "--board", "nucleo_l4r5zi")
    assert result["macs_dense"] == 2_656_768 and result["arena_bytes"] < 17_000
