# SPDX-License-Identifier: Apache-2.0
"""The WebAssembly modules compute the reference's bytes in node and in wasmtime, whatever the flavour; an engine that
computes wrongly is found out, and memory that cannot grow is an error."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import small_models
from nodes import inferred, value

from edgesdk import boards, memory, ops, program, runtime, schedule, toolchain, wasm
from edgesdk.errors import DeviceError, UsageError
from edgesdk.flow import convert
from edgesdk.ir import Graph, Quant
from edgesdk.program import Program
from edgesdk.runners import in_wasmtime, web
from edgesdk.runners import wasm as runner
from edgesdk.runtime import LoadError
from edgesdk.schedule import threads

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
PARITY = SHARED / "data" / "mcu-parity"
EXPECTED = json.loads((PARITY / "expected_outputs.json").read_text()) if PARITY.is_dir() else {}
PINNED = sorted((ROOT / "tests" / "golden").glob("v*/*.edge"))
GRAPHS = small_models.graphs()
ENGINES = [f"{engine} {flavour}" for engine in ("node", "wasmtime") for flavour in wasm.FLAVOURS]
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(toolchain.command("zig") is None, reason="no compiler for wasm: pip install ziglang")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@cache
def module(flavour: str) -> bytes:
    """With all kernels."""
    return wasm.build(flavour).read_bytes()


@pytest.fixture(scope="module")
def exchange() -> Iterator[web.Exchange]:
    if NODE is None:
        pytest.skip("node is not installed")
    with runner.node() as found:
        yield found


AnySession = web.WebSession | in_wasmtime.WasmtimeSession


def opened(engine: str, data: bytes, request: pytest.FixtureRequest) -> AnySession:
    """The program in a module with all kernels."""
    name, flavour = engine.split()
    if name == "node":
        found: web.Exchange = request.getfixturevalue("exchange")
        if flavour not in web.ask(found, "hello")[0]["flavours"]:
            pytest.skip(f"this node has no {flavour} instructions")
        return web.load(found, data, flavour, module(flavour))
    pytest.importorskip("wasmtime")
    return in_wasmtime.begin(in_wasmtime.instantiate(flavour, module(flavour)), data)


def outputs(engine: str, data: bytes, inputs: list[np.ndarray], request: pytest.FixtureRequest) -> list[np.ndarray]:
    """Those of two runs from the start, which must not differ."""
    session = opened(engine, data, request)
    first = session.run(inputs)
    session.reset()
    assert same(session.run(inputs), first)
    return first


STEPPED = ["classifier_int8.plain", "classifier_int8.rows", "borders_int8.streamed", "window_int8.sliding"]


@pytest.mark.parametrize("engine", ["node simd128", "wasmtime simd128"])
def test_outputs_of_every_step(engine: str, request: pytest.FixtureRequest) -> None:
    for case in STEPPED:
        data = next(p for p in PINNED if p.stem == case).read_bytes()
        inputs = small_models.inputs(GRAPHS[case.partition(".")[0]])
        wanted = runtime.step_outputs(runtime.open_session(data), inputs)
        assert opened(engine, data, request).step_outputs(inputs) == wanted, case


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return [(x.dtype, x.shape, x.tobytes()) for x in a] == [(y.dtype, y.shape, y.tobytes()) for y in b]


def near(got: np.ndarray, wanted: np.ndarray) -> bool:
    if got.dtype != np.float32:
        return got.tobytes() == wanted.tobytes()
    return bool(np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted) + 1e-7)


@pytest.mark.parametrize("engine", ENGINES)
def test_pinned_programs(engine: str, request: pytest.FixtureRequest) -> None:
    """Plain, row by row, streamed, sliding and bound; with states, and of every kind of op."""
    chosen = PINNED if engine == "node simd128" else PINNED[:: len(PINNED) // 40]
    for path in chosen:
        data, inputs = path.read_bytes(), small_models.inputs(GRAPHS[path.stem.partition(".")[0]])
        wanted = runtime.run(runtime.open_session(data), inputs)
        got = outputs(engine, data, inputs, request)
        assert all(near(a, b) for a, b in zip(got, wanted, strict=True)), path.name


@pytest.mark.skipif(not EXPECTED, reason="no ../shared/data/mcu-parity beside the project")
@pytest.mark.parametrize("key", ["ad", "hw", "ic", "kws", "ms", "pd", "sww", "vww"])
@pytest.mark.parametrize("engine", ["node simd128", "wasmtime relaxed"])
def test_bytes_of_tflite_micro(engine: str, key: str, request: pytest.FixtureRequest) -> None:
    case = EXPECTED[key]
    converted = convert(SHARED / "models" / case["model"], "wasm")
    tensor = converted.program.inputs[0]
    sample = np.fromfile(PARITY / case["input"], tensor.dtype).reshape(tensor.shape)
    assert outputs(engine, converted.data, [sample], request)[0].tobytes().hex() == case["tflm_output_hex"]


@cache
def digits(portable: bool = True) -> tuple[bytes, Program, list[np.ndarray]]:
    """The int8 digit classifier for every flavour and this machine, or for flavours with vectors, and random images."""
    pytest.importorskip("onnx")
    rng = np.random.default_rng(5)
    images = rng.random((20, 8, 8, 1), np.float32)
    source, samples = ROOT / "apps/digits/digits.onnx", {"image": images}
    converted = convert(source, "wasm", quantize="int8", calibration=samples, portable=portable)
    shape = converted.program.inputs[0].shape
    return converted.data, converted.program, [rng.integers(-128, 128, shape).astype(np.int8) for _ in images]


@needs_node
def test_session_in_node() -> None:
    data, parsed, images = digits()
    with runner.in_node(data) as session:
        host = runtime.open_session(data)
        for image in images:
            assert same(session.run([image]), runtime.run(host, [image]))
        measured = session.measure([images[0]], 3)
        assert measured.clock == "us" and len(measured.steady) == 3 and len(measured.steps) == len(parsed.steps)
        assert min(measured.init, measured.first, measured.warm_up, *measured.steady) > 0
        assert measured.arena_bytes >= parsed.arena_bytes  # scratch of packed layers
        assert measured.code_bytes is not None and measured.code_bytes < len(module("plain"))
        assert measured.context["engine"].startswith("node") and measured.context["flavour"] in wasm.FLAVOURS
        with pytest.raises(DeviceError, match="expected int8"):
            session.run([images[0].astype(np.int16)])


def test_session_in_wasmtime() -> None:
    pytest.importorskip("wasmtime")
    data, parsed, images = digits()
    with in_wasmtime.open(boards.load("wasm"), data) as session:
        assert same(session.run([images[3]]), runtime.run(runtime.open_session(data), [images[3]]))
        measured = session.measure([images[0]], 2)
        assert len(measured.steps) == len(parsed.steps) and sum(measured.steps) > 0
        assert measured.arena_bytes >= parsed.arena_bytes and measured.context["engine"] == "wasmtime"


@needs_node
def test_refused_files_keep_their_code(exchange: web.Exchange) -> None:
    data, _, images = digits()
    damaged = bytearray(data)
    damaged[0] ^= 1
    with pytest.raises(LoadError) as refused:
        web.ask(exchange, "load", [module("plain"), bytes(damaged)], flavour="plain")
    assert refused.value.code == -2
    assert web.load(exchange, data, "plain", module("plain")).run([images[0]])


@needs_node
def test_engine_with_wrong_sums_is_refused() -> None:
    """Node 20 has relaxed instructions behind a flag; the first tier of its compiler adds the wrong bytes."""
    assert NODE is not None
    told = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    if not re.match(r"v20\.", told):
        pytest.skip(f"node {told.strip()}: only that of 20 is known to be wrong")
    data, _, images = digits()
    with runner.node(("--experimental-wasm-relaxed-simd", "--liftoff-only")) as exchange:
        assert "relaxed" in web.ask(exchange, "hello")[0]["flavours"]
        with pytest.raises(web.EngineRefuses, match="computes it wrongly"):
            web.load(exchange, data, "relaxed", module("relaxed"))
        session = web.begin(exchange, data)
        assert session.context["flavour"] == "simd128"
        assert same(session.run([images[0]]), runtime.run(runtime.open_session(data), [images[0]]))


@needs_node
def test_module_that_fails_its_probe_is_refused(exchange: web.Exchange) -> None:
    wasmtime = pytest.importorskip("wasmtime")
    failing = wasmtime.wat2wasm(
        '(module (import "edge" "event" (func (param i32 i32 i32 i32))) (memory (export "memory") 1)'
        ' (func (export "edge_probe") (result i32) i32.const 0))'
    )
    with pytest.raises(web.EngineRefuses, match="computes it wrongly"):
        web.ask(exchange, "load", [bytes(failing), digits()[0]], flavour="plain")


def test_memory_that_cannot_grow_is_an_error() -> None:
    pytest.importorskip("wasmtime")
    data, parsed, images = digits()
    for room, what in (
        (len(data) - 1, "no room for the model"),
        (len(data) + parsed.arena_bytes // 2, "nor the arena"),
    ):
        small = in_wasmtime.instantiate("plain", module("plain"), memory_bytes=128 * 1024)
        small.call("edge_limit", small.address("edge_room", 1) + room)
        with pytest.raises(DeviceError, match="memory cannot grow"):
            in_wasmtime.begin(small, data)
        assert small.call("edge_run", 0) == -101, what
    large = in_wasmtime.instantiate("plain", module("plain"), memory_bytes=128 * 1024)
    assert large.address("edge_room", 10 * 1024 * 1024) == 0
    assert large.address("edge_room", 0xFFFFFFFF) == 0
    session = in_wasmtime.begin(large, data)
    assert same(session.run([images[0]]), runtime.run(runtime.open_session(data), [images[0]]))


def test_deep_recursion_would_trap_below_the_data() -> None:
    """The stack grows down to address 0: it lies below the data, not above."""
    pytest.importorskip("wasmtime")
    made = in_wasmtime.instantiate("plain", module("plain"))
    message = made.address("edge_message", -2)
    assert message >= wasm.STACK_BYTES
    assert bytes(made.memory()[message : message + 60]).split(b"\0")[0].decode() == runtime.message(-2)


def test_moves_of_bytes(tmp_path: Path) -> None:
    """Of any length, over themselves, and nothing beside them."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler for this machine")
    names = [f"-D{name}=web_{name}" for name in ("memcpy", "memmove", "memset")]
    library = tmp_path / "memory.so"
    source = wasm.web_folder() / "memory.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-ffreestanding", *names, "-o", library, source], check=True)
    move = ctypes.CDLL(str(library)).web_memmove
    move.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    for n in range(70):
        for to in range(0, 80, 3):
            array = np.arange(200, dtype=np.uint8)
            wanted = array.copy()
            wanted[to : to + n] = array[40 : 40 + n]
            move(array.ctypes.data + to, array.ctypes.data + 40, n)
            assert (array == wanted).all(), (n, to)


def test_unknown_flavour() -> None:
    with pytest.raises(UsageError, match="one of plain, simd128, relaxed"):
        wasm.build("avx2")


def test_modules_hold_what_the_program_calls() -> None:
    """And no more: another program is refused."""
    pytest.importorskip("wasmtime")
    data, parsed, _ = digits()
    other = next(p for p in PINNED if p.name.startswith("recurrent") or "float32" in p.name).read_bytes()
    assert {s.kernel for s in program.read(other).steps} - {s.kernel for s in parsed.steps}
    small = wasm.build("plain", parsed).read_bytes()
    in_wasmtime.begin(in_wasmtime.instantiate("plain", small), data)
    with pytest.raises(LoadError) as refused:
        in_wasmtime.begin(in_wasmtime.instantiate("plain", small), other)
    assert refused.value.code == -7


def write_hostile(data: bytes, folder: Path) -> Iterator[str]:
    """Files whose metadata is something else, or far too long; they run all the same."""
    known = program.read(data)
    sections = {"steps": [{"op": 1}, None, 3], "inputs": {"a": 1}, "outputs": None, "labels": 5}
    texts = [b"null", b"3", b"[]", b"not JSON", json.dumps(sections).encode(), b" " * (40 << 20) + b"{}"]
    for i, text in enumerate(texts):
        path = folder / f"hostile{i}.edge"
        path.write_bytes(with_metadata(program.write(replace(known, metadata={})), zlib.compress(text)))
        yield path.name


def with_metadata(data: bytes, packed: bytes) -> bytes:
    """The file with other metadata, which is its last section."""
    made = bytearray(data)
    entries = [program.HEADER.size + program.SECTION.size * i for i in range(int.from_bytes(data[28:32], "little"))]
    at = next(e for e in entries if program.SECTION.unpack_from(data, e)[0] == program.METADATA)
    _, offset, length = program.SECTION.unpack_from(data, at)
    assert offset + length == len(data)
    program.SECTION.pack_into(made, at, program.METADATA, offset, len(packed))
    made[offset:] = packed
    made[8:12] = len(made).to_bytes(4, "little")
    return bytes(made)


@cache
def threaded() -> tuple[bytes, list[np.ndarray]]:
    """The digit classifier with every step for two threads, as small as it is, and random images."""
    pytest.importorskip("onnx")
    rng = np.random.default_rng(5)
    images = rng.random((20, 8, 8, 1), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "LEAST_WORK", 1)
        patch.setattr(threads, "PART_PIXELS", 1)
        source = ROOT / "apps/digits/digits.onnx"
        made = convert(source, "wasm", quantize="int8", calibration={"image": images}, threads=2)
    assert program.threads(made.program)
    return made.data, [rng.integers(-128, 128, (1, 8, 8, 1)).astype(np.int8) for _ in images]


@needs_node
@pytest.mark.parametrize("options, n", [((), 2), ((), 5), (("--liftoff-only",), 2), (("--no-liftoff",), 3)])
def test_threads_give_the_same_bytes(options: tuple[str, ...], n: int) -> None:
    """With either compiler of the engine, which may be switched at any moment; the first thread falls asleep, too."""
    data, images = threaded()
    with runner.in_node(data) as one, runner.in_node(data, options, n) as session:
        assert session.context["threads"] == n and one.context["threads"] == 1
        for image in images * 5:
            assert same(session.run([image]), one.run([image]))
        assert session.step_outputs([images[0]]) == one.step_outputs([images[0]])
        measured = session.measure([images[0]], 2)
        assert measured.context["threads"] == n and min(measured.steady) > 0


def layers(n: int, size: int, channels: int) -> Graph:
    """Convolutions behind each other."""
    rng, shape = np.random.default_rng(1), (1, size, size, channels)
    x = value("x", shape, "int8", Quant.per_tensor(1.0, 3))
    graph = Graph("layers", [x], [], [])
    for i in range(n):
        w = rng.integers(-128, 128, (channels, 1, 1, channels)).astype(np.int8)
        weights = value(f"w{i}", w.shape, "int8", Quant.per_tensor(1.0, 0), w)
        attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
        node = inferred("conv2d", [x, weights, None], Quant.per_tensor(2.0**12, 0), **attrs)
        x = replace(node.output, name=f"y{i}", quant=Quant.per_tensor(1.0, 0))
        node.outputs = [x]
        graph.nodes.append(node)
    graph.outputs = [x]
    return graph


@needs_node
def test_parts_that_last_are_waited_for() -> None:
    """Longer than a thread waits awake: large layers in the engine's first tier, which spoilt what waiting needs."""
    graph = layers(6, 14, 256)
    chosen = replace(schedule.schedule(graph, ("simd128", "c")), threads=2)
    data = program.write(program.assemble(chosen, memory.plan(chosen)))
    x = np.random.default_rng(2).integers(-128, 128, graph.inputs[0].shape).astype(np.int8)
    wanted = [x]
    for node in graph.nodes:
        wanted = ops.module("conv2d").reference(node, [wanted[0], node.input(1).data, None])
    with runner.in_node(data, ("--liftoff-only",), 2) as session:
        for _ in range(20):
            assert same(session.run([x]), wanted)


@needs_node
def test_threads_of_a_program_for_one_are_refused() -> None:
    with pytest.raises(UsageError, match="was not written for threads; convert it with --threads 2"):
        with runner.in_node(digits()[0], (), 2):
            pass


@needs_node
def test_binding(tmp_path: Path) -> None:
    """apps/web/edgesdk.js as users call it: tests/boards/binding.test.mjs."""
    data, _, images = digits()
    (tmp_path / "digits.edge").write_bytes(data)
    (tmp_path / "vectors.edge").write_bytes(digits(portable=False)[0])
    streamed = next(p for p in PINNED if p.name.endswith("_int8.streamed.edge"))
    (tmp_path / "streamed.edge").write_bytes(streamed.read_bytes())
    inputs = small_models.inputs(GRAPHS[streamed.stem.partition(".")[0]])
    wanted = runtime.run(runtime.open_session(streamed.read_bytes()), inputs)
    classes = runtime.run(runtime.open_session(data), [images[0]])[0]
    hostile = list(write_hostile(data, tmp_path))
    (tmp_path / "threaded.edge").write_bytes(threaded()[0])
    case = {
        "hostile": hostile,
        "image": images[0].ravel().tolist(),
        "scores": classes.ravel().tolist(),
        "rows": inputs[0].ravel().tolist(),
        "result": wanted[0].ravel().tolist(),
    }
    (tmp_path / "case.json").write_text(json.dumps(case))
    listed = json.loads((wasm.web_folder() / "package.json").read_text())["files"]
    assert {p.name for p in wasm.write_package(tmp_path)} >= set(listed)
    assert NODE is not None
    test = Path(__file__).with_name("binding.test.mjs")
    done = subprocess.run([NODE, "--test", test], env={"FOLDER": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "# pass 0" not in done.stdout


@needs_node
def test_committed_javascript_is_what_typescript_makes(tmp_path: Path) -> None:
    compiler = ROOT / "build/npm/node_modules/.bin/tsc"
    if not compiler.exists():
        pytest.skip("typescript is not installed: npm install --prefix build/npm typescript")
    web_folder = ROOT / "apps" / "web"
    subprocess.run([compiler, "-p", web_folder, "--outDir", tmp_path], check=True)
    for name in (f"{script}{end}" for script in wasm.SCRIPTS for end in (".js", ".d.ts")):
        assert (tmp_path / name).read_text() == (web_folder / name).read_text(), f"{name}: run make web"


@needs_node
@pytest.mark.parametrize("verb, n", [("run", 1), ("profile", 1), ("run", 2), ("profile", 2)])
def test_command_line(verb: str, n: int, tmp_path: Path) -> None:
    data, images = (digits()[0], digits()[2]) if n == 1 else threaded()
    parsed = program.read(data)
    model, target = tmp_path / "digits.edge", tmp_path / "out.npz"
    model.write_bytes(data)
    np.savez(tmp_path / "in.npz", **{parsed.inputs[0].name: np.stack(images[:2])})
    extra = {
        "run": ["--input", str(tmp_path / "in.npz"), "--output", str(target)],
        "profile": ["--runs", "2"],
    }[verb]
    start = "from edgesdk.cli import main; main()"
    command = [sys.executable, "-c", start, verb, str(model), "--board", "wasm", "--threads", str(n), "--json", *extra]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    if verb == "run":
        found = np.load(target)[parsed.outputs[0].name]
        wanted = [runtime.run(runtime.open_session(digits()[0]), [i])[0] for i in images[:2]]
        assert found.tobytes() == np.stack(wanted).tobytes()
    else:
        assert result["clock"] == "us" and result["board"] == "wasm" and result["context"]["flavour"]
        assert result["context"]["threads"] == n
