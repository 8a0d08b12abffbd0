# SPDX-License-Identifier: Apache-2.0
"""Elementwise, normalising and border operators of TFLite: import, conversion and a run, against TFLite Micro."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")
sys.path.insert(0, str(Path(__file__).parent))

import tflite_models as models  # noqa: E402
from tflite_models import NONE, RELU6, Op, Tensor, constant  # noqa: E402

from edgesdk import flow, runtime  # noqa: E402
from edgesdk.converters import tflite  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402

SHAPE = (1, 4, 5, 3)
Quants = tuple[tuple[float, int], ...]


def model(
    code: str, dtype: str, shapes: tuple[tuple[int, ...], ...], quants: Quants = (), *extra: Tensor, **options: Any
) -> bytes:
    """One operator of inputs x0, x1, ... and constants, with output y; the last shape and quant are y's."""
    names = [f"x{i}" for i in range(len(shapes) - 1)] + ["y"]
    tensors = []
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        scale, zero_point = quants[i] if quants else (None, 0)
        tensors.append(Tensor(name, shape, dtype, scale=scale, zero_point=zero_point))
    op = Op(code, [*names[:-1], *(t.name for t in extra)], ["y"], options)
    return models.build([*tensors, *extra], [op], inputs=names[:-1])


def run_converted(tmp_path: Path, data: bytes, inputs: list[np.ndarray]) -> np.ndarray:
    path = tmp_path / "net.tflite"
    path.write_bytes(data)
    return runtime.run(runtime.open_session(flow.convert(path).data), inputs)[0]


def check(tmp_path: Path, data: bytes, inputs: list[np.ndarray]) -> np.ndarray:
    """Bytes of TFLite Micro for integers, its floats within rounding; returns the output."""
    got, want = run_converted(tmp_path, data, inputs), models.run_micro(data, inputs)[0]
    if want.dtype == np.float32:
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, want)
    return got


def floats(shape: tuple[int, ...] = SHAPE, low: float = -3.0, high: float = 3.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def bytes_of(shape: tuple[int, ...] = SHAPE, seed: int = 0, low: int = -128) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, 128, shape).astype(np.int8)


UNARY = "ABS NEG EXP SIN COS FLOOR CEIL ROUND SQUARE LOG_SOFTMAX L2_NORMALIZATION RELU6".split()


@pytest.mark.parametrize("code", [*UNARY, "LOG", "SQRT", "RSQRT"])
def test_float_functions(tmp_path: Path, code: str) -> None:
    x = floats() if code in UNARY else np.abs(floats()) + np.float32(0.01)
    check(tmp_path, model(code, "float32", (SHAPE, SHAPE)), [x])


@pytest.mark.parametrize("code", "DIV SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD PRELU MAXIMUM MINIMUM".split())
@pytest.mark.parametrize("other", [SHAPE, (3,), (1, 1, 1, 3)])
def test_float_pairs(tmp_path: Path, code: str, other: tuple[int, ...]) -> None:
    if code == "FLOOR_DIV" and other != SHAPE:
        other = (1, 1, 1, 3)
    data = model(code, "float32", (SHAPE, other, SHAPE))
    b = np.where(floats(other, seed=1) < 0, -1, 1).astype(np.float32) * floats(other, 0.3, 2.0, 2)
    check(tmp_path, data, [floats(), b])


def test_power_has_no_oracle_but_numpy(tmp_path: Path) -> None:
    """TFLite Micro has no POW."""
    a, b = floats(low=0.1), floats(seed=1)
    got = run_converted(tmp_path, model("POW", "float32", (SHAPE, SHAPE, SHAPE)), [a, b])
    np.testing.assert_allclose(got, a**b, rtol=1e-6)
    for exponent, op in ((2.0, "square"), (0.5, "sqrt"), (-1.0, "reciprocal"), (3.7, "power")):
        data = model("POW", "float32", (SHAPE, SHAPE), (), constant("e", [exponent], "float32"))
        np.testing.assert_allclose(run_converted(tmp_path, data, [a]), a**exponent, rtol=1e-6)
        (tmp_path / "net.tflite").write_bytes(data)
        assert [n.op for n in flow.convert(tmp_path / "net.tflite").graph.nodes] == [op]


QUANTS = ((0.05, 3), (0.04, -7), (0.06, 10))


@pytest.mark.parametrize("code", "DIV SQUARED_DIFFERENCE PRELU".split())
@pytest.mark.parametrize("other", [SHAPE, (3,)])
def test_int8_pairs(tmp_path: Path, code: str, other: tuple[int, ...]) -> None:
    b = bytes_of(other, seed=1)
    # What TFLite Micro leaves undefined in a division is kept out: tiny quotients and a divisor of 0.
    a = bytes_of(low=20) if code == "DIV" else bytes_of()
    b = np.clip(b, 0, 30).astype(np.int8) if code == "DIV" else b
    check(tmp_path, model(code, "int8", (SHAPE, other, SHAPE), QUANTS), [a, b])


@pytest.mark.parametrize(
    "code, quant", [("ABS", (0.02, 5)), ("LOG_SOFTMAX", (1 / 16, 127)), ("L2_NORMALIZATION", (1 / 128, 0))]
)
def test_int8_functions(tmp_path: Path, code: str, quant: tuple[float, int]) -> None:
    check(tmp_path, model(code, "int8", (SHAPE, SHAPE), ((0.05, 3), quant)), [bytes_of()])


def test_int8_rsqrt(tmp_path: Path) -> None:
    check(tmp_path, model("RSQRT", "int8", (SHAPE, SHAPE), ((0.05, -128), (0.01, -128))), [bytes_of()])


@pytest.mark.parametrize("output", [(0.05, -128), (0.1, -128), (0.05, 0)])
def test_relu6_keeps_the_input_quantisation_as_tflite_micro_does(tmp_path: Path, output: tuple[float, int]) -> None:
    check(tmp_path, model("RELU6", "int8", (SHAPE, SHAPE), ((0.05, -128), output)), [bytes_of()])


@pytest.mark.parametrize("code", "ADD SUB MUL SQUARED_DIFFERENCE DIV MAXIMUM MINIMUM".split())
@pytest.mark.parametrize("other", [SHAPE, (3,)])
def test_int32_pairs(tmp_path: Path, code: str, other: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-30000, 30000, SHAPE).astype(np.int32)
    b = rng.integers(1, 300, other).astype(np.int32) * rng.choice([1, -1], other).astype(np.int32)
    options = {"fusedActivationFunction": NONE} if code in ("ADD", "SUB", "MUL", "DIV") else {}
    check(tmp_path, model(code, "int32", (SHAPE, other, SHAPE), (), **options), [a, b])


def test_int32_activation_and_wrap(tmp_path: Path) -> None:
    a, b = np.array([[2**31 - 1, -5, 3]], np.int32), np.array([[1, 2, 9]], np.int32)
    shapes = ((1, 3),) * 3
    assert run_converted(tmp_path, model("ADD", "int32", shapes), [a, b]).tolist() == [[-(2**31), -3, 12]]
    got = run_converted(tmp_path, model("ADD", "int32", shapes, fusedActivationFunction=RELU6), [a, b])
    assert got.tolist() == [[0, 0, 6]]


def test_int64_pairs(tmp_path: Path) -> None:
    a, b = np.array([[2**40, -7, 3]], np.int64), np.array([[5, 2, 9]], np.int64)
    got = run_converted(tmp_path, model("MUL", "int64", ((1, 3),) * 3), [a, b])
    assert got.dtype == np.int64 and got.tolist() == (a * b).tolist()


@pytest.mark.parametrize("code", ["MAXIMUM", "MINIMUM"])
def test_differing_quantisations_are_compared_as_reals(tmp_path: Path, code: str) -> None:
    data = model(code, "int8", (SHAPE, SHAPE, SHAPE), QUANTS)
    a, b = bytes_of(), bytes_of(seed=1)
    real = [(v.astype(float) - z) * s for v, (s, z) in zip((a, b), QUANTS, strict=False)]
    want = (np.maximum if code == "MAXIMUM" else np.minimum)(*real) / 0.06 + 10
    assert np.abs(run_converted(tmp_path, data, [a, b]) - np.clip(want, -128, 127)).max() <= 1.01


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("pads", [[[0, 0], [2, 1], [1, 3], [0, 0]], [[0, 0], [1, 0], [0, 0], [2, 2]]])
def test_mirror_pad(tmp_path: Path, dtype: str, mode: int, pads: list[list[int]]) -> None:
    out = tuple(n + sum(p) for n, p in zip(SHAPE, pads, strict=True))
    quants = ((0.05, 3), (0.05, 3)) if dtype == "int8" else ()
    data = model("MIRROR_PAD", dtype, (SHAPE, out), quants, constant("pads", pads), mode=mode)
    check(tmp_path, data, [bytes_of() if dtype == "int8" else floats()])


def test_l2_pool(tmp_path: Path) -> None:
    options = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}
    check(tmp_path, model("L2_POOL_2D", "float32", (SHAPE, (1, 2, 3, 3)), **options), [floats()])


def test_local_response_normalization(tmp_path: Path) -> None:
    options = {"radius": 1, "bias": 1.2, "alpha": 0.4, "beta": 0.6}
    x = floats()
    got = run_converted(tmp_path, model("LOCAL_RESPONSE_NORMALIZATION", "float32", (SHAPE, SHAPE), **options), [x])
    squares = np.pad(x.astype(float) ** 2, [(0, 0)] * 3 + [(1, 1)])
    total = squares[..., :-2] + squares[..., 1:-1] + squares[..., 2:]
    np.testing.assert_allclose(got, x * (1.2 + 0.4 * total) ** -0.6, rtol=2e-6)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="within the mirrored axis"):
        pads = constant("pads", [[0, 0], [4, 0], [0, 0], [0, 0]])
        tflite.parse(model("MIRROR_PAD", "float32", (SHAPE, (1, 8, 5, 3)), (), pads), "m", {})
    with pytest.raises(Unsupported, match="fused activation"):
        data = model("L2_NORMALIZATION", "float32", (SHAPE, SHAPE), fusedActivationFunction=RELU6)
        tflite.parse(data, "m", {})
    with pytest.raises(Unsupported, match="int32 input"):
        tflite.parse(model("PRELU", "int32", (SHAPE, SHAPE, SHAPE)), "m", {})
