# SPDX-License-Identifier: Apache-2.0
"""The bytes of TFLite Micro, on real models: golden outputs, the keyword set, random inputs."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from shared import DATA, MODELS, needs_shared, tflite_models

from edgesdk import flow, runtime

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
SMALL_BYTES = 700_000

pytestmark = needs_shared


@cache
def session(path: Path) -> runtime.Session:
    return runtime.open_session(flow.convert(path).data)


def golden() -> dict[str, dict]:  # type: ignore[type-arg]
    path = DATA / "mcu-parity" / "expected_outputs.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@pytest.mark.parametrize("name", golden())
def test_golden_output(name: str) -> None:
    case = golden()[name]
    s = session(MODELS / case["model"])
    raw = np.fromfile(DATA / "mcu-parity" / case["input"], np.int8)
    got = runtime.run(s, [raw.reshape(s.inputs[0].shape)])[0]
    assert got.tobytes().hex() == case["tflm_output_hex"]


def test_thousand_keywords() -> None:
    folder = DATA / "mlperf-tiny-kws01"
    s = session(MODELS / "mlperf-tiny-kws-dscnn" / "kws_ref_model.tflite")
    inputs = np.fromfile(folder / "kws01_1000x49x10_int8.bin", np.int8).reshape(1000, *s.inputs[0].shape)
    expected = np.fromfile(folder / "kws_ref_model_outputs_1000x12_int8_tflm.bin", np.int8).reshape(1000, -1)
    got = np.stack([runtime.run(s, [x])[0].ravel() for x in inputs])
    assert np.array_equal(got, expected)


def samples(s: runtime.Session, n: int) -> list[np.ndarray]:
    """Uniform bytes, smooth images and extremes: `n` inputs."""
    rng = np.random.default_rng(1)
    shape, dtype = s.inputs[0].shape, s.inputs[0].dtype
    made: list[np.ndarray] = []
    for i in range(n):
        if dtype == np.float32:
            made.append((rng.standard_normal(shape) * rng.choice([0.3, 1.0])).astype(np.float32))
        elif i % 3 == 2:
            made.append(np.clip(rng.normal(rng.integers(-128, 128), 20, shape), -128, 127).astype(np.int8))
        else:
            made.append(rng.integers(-128, 128, shape).astype(np.int8))
    return made


@pytest.mark.parametrize("path", tflite_models("int8"), ids=lambda p: p.stem)
def test_random_inputs_equal_tflite_micro(path: Path) -> None:
    """100 inputs each in the long run; fewer, by the model's size, in the short one."""
    micro = pytest.importorskip("tflite_micro")
    s = session(path)
    n = 100 if LONG else 20 if path.stat().st_size < SMALL_BYTES else 2
    oracle = micro.runtime.Interpreter.from_file(str(path), arena_size=8 << 20)
    for x in samples(s, n):
        oracle.set_input(x, 0)
        oracle.invoke()
        for i, got in enumerate(runtime.run(s, [x])):
            assert got.tobytes() == oracle.get_output(i).tobytes()


def with_float_weights(path: Path) -> bytes:
    """The model with its int8 constants expanded to floats. Dynamic-range models need it: LiteRT quantises
    their activations on the fly, in ways that differ between its own kernel sets by up to 6 % here."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for t in model.subgraphs[0].tensors:
        buffer = model.buffers[t.buffer]
        if t.type == schema.TensorType.INT8 and buffer.data is not None:
            real = np.asarray(buffer.data).view(np.int8).astype(np.float32) * np.float32(t.quantization.scale[0])
            t.type, t.quantization, buffer.data = schema.TensorType.FLOAT32, None, real.view(np.uint8)
    builder = flatbuffers.Builder(path.stat().st_size * 4)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("path", tflite_models("float"), ids=lambda p: p.stem)
def test_float_models_equal_litert(path: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    s = session(path)
    oracle = litert.Interpreter(model_content=with_float_weights(path))
    oracle.allocate_tensors()
    worst = 0.0
    for x in samples(s, 20):
        oracle.set_tensor(oracle.get_input_details()[0]["index"], x)
        oracle.invoke()
        expected = oracle.get_tensor(oracle.get_output_details()[0]["index"])
        got = runtime.run(s, [x])[0]
        worst = max(worst, float(np.linalg.norm(got - expected) / np.linalg.norm(expected)))
    print(f"{path.stem}: relative L2 {worst:.2g}")
    assert worst <= 1e-5
