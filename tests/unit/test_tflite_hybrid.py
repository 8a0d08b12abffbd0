# SPDX-License-Identifier: Apache-2.0
"""Float layers with int8 or float16 weights: as floats by default, with --hybrid as LiteRT's reference kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

models = pytest.importorskip("tflite_models")
from tflite_models import RELU, SAME, Op, Tensor, constant  # noqa: E402

from edgesdk import flow, runtime  # noqa: E402
from edgesdk.errors import UsageError  # noqa: E402

LAYERS = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]


def layer(code: str, per_channel: bool, asymmetric: bool = False, batch: int = 1, depth: int = 8) -> bytes:
    rng = np.random.default_rng(0)
    dense = code == "FULLY_CONNECTED"
    shape = {"CONV_2D": (depth, 3, 3, 4), "DEPTHWISE_CONV_2D": (1, 3, 3, 4), "FULLY_CONNECTED": (depth, 36)}[code]
    axis = 3 if code == "DEPTHWISE_CONV_2D" else 0
    n = shape[axis]
    scale = rng.uniform(0.005, 0.05, n).tolist() if per_channel else 0.02
    w = constant("w", rng.integers(-127, 128, shape), "int8", scale=scale, axis=axis)
    x, y = ((batch, 36), (batch, n)) if dense else ((batch, 5, 6, 4), (batch, 5, 6, n))
    b = constant("b", rng.standard_normal(n), "float32")
    options: dict[str, Any] = {"fusedActivationFunction": RELU}
    if dense:
        options["asymmetricQuantizeInputs"] = asymmetric
    else:
        options["padding"] = SAME
    if code == "DEPTHWISE_CONV_2D":
        options["depthMultiplier"] = 1
    tensors = [Tensor("x", x, "float32"), w, b, Tensor("y", y, "float32")]
    return models.build(tensors, [Op(code, ["x", "w", "b"], ["y"], options)])


def run_litert(data: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    kind = interpreter.OpResolverType.BUILTIN_REF
    oracle = interpreter.Interpreter(model_content=data, experimental_op_resolver_type=kind)
    oracle.allocate_tensors()
    oracle.set_tensor(oracle.get_input_details()[0]["index"], x)
    oracle.invoke()
    return np.array(oracle.get_tensor(oracle.get_output_details()[0]["index"]))


def converted(tmp_path: Any, data: bytes, **options: Any) -> flow.Converted:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    return flow.convert(path, **options)


def run(c: flow.Converted, x: np.ndarray) -> np.ndarray:
    return runtime.run(runtime.open_session(c.data), [x])[0]


def error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def sample(c: flow.Converted, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(c.source.inputs[0].shape) + rng.uniform(-1, 1)).astype(np.float32)


# LiteRT wants a scale per channel for a depthwise convolution.
@pytest.mark.parametrize(
    "code, per_channel", [*((code, True) for code in LAYERS), (LAYERS[0], False), (LAYERS[2], False)]
)
def test_hybrid_layers_give_the_numbers_of_litert(tmp_path: Any, code: str, per_channel: bool) -> None:
    data = layer(code, per_channel, batch=2)
    c = converted(tmp_path, data, hybrid=True)
    assert [s.node.op for s in c.schedule.steps] == ["dynamic_quantize", code.lower().replace("conv_2d", "conv2d")]
    for seed in range(8):
        x = sample(c, seed)
        x[1:] *= 10  # each item of the batch has its own grid
        assert error(run(c, x), run_litert(data, x)) <= 1e-5


def test_hybrid_with_asymmetric_inputs(tmp_path: Any) -> None:
    data = layer("FULLY_CONNECTED", False, asymmetric=True, batch=3)
    c = converted(tmp_path, data, hybrid=True)
    assert not c.schedule.steps[0].node.attrs["symmetric"]
    for seed in range(8):
        x = sample(c, seed)
        assert error(run(c, x), run_litert(data, x)) <= 1e-5


@pytest.mark.parametrize("code", LAYERS)
def test_weights_stay_small_and_count_as_floats(tmp_path: Any, code: str) -> None:
    data = layer(code, True, depth=64)
    c = converted(tmp_path, data, portable=True)  # vector kernels have those of depthwise layers widened
    (step,) = c.schedule.steps
    w = step.node.input(1)
    assert step.kernel.types == "f32s8" and len(c.data) < len(data) + 4096
    for seed in range(4):
        x = sample(c, seed)
        channel_axis = -1 if code == "DEPTHWISE_CONV_2D" else 0
        along = [1] * len(w.shape)
        along[channel_axis] = -1
        real = (w.data * w.quant.scale.reshape(along)).astype(np.float32)
        assert error(run(c, x), run_litert(with_weights(data, real), x)) <= 1e-5


def with_weights(data: bytes, real: np.ndarray) -> bytes:
    """The same model with float weights."""
    model = models.unpack(data)
    w = model.subgraphs[0].tensors[1]
    w.type, w.quantization = models.schema.TensorType.FLOAT32, None
    model.buffers[w.buffer].data = np.frombuffer(real.tobytes(), np.uint8)
    return models.pack(model)


@pytest.mark.parametrize("code", LAYERS)
def test_float16_weights_stay_float16(tmp_path: Any, code: str) -> None:
    real = np.random.default_rng(1).standard_normal(models.unpack(layer(code, False)).subgraphs[0].tensors[1].shape)
    half = real.astype(np.float16)
    model = models.unpack(with_weights(layer(code, False), half.astype(np.float32)))
    graph = model.subgraphs[0]
    stored = models.tensor_object(constant("half", half, "float16"), model.buffers)
    weights = graph.tensors[1]
    weights.buffer = 0
    graph.tensors.append(stored)
    model.operatorCodes.append(models.code_object("DEQUANTIZE", ""))
    dequantize = models.schema.OperatorT()
    dequantize.opcodeIndex, dequantize.inputs, dequantize.outputs = 1, [len(graph.tensors) - 1], [1]
    graph.operators.insert(0, dequantize)
    data = models.pack(model)
    c = converted(tmp_path, data, portable=True)
    assert [s.kernel.types for s in c.schedule.steps] == ["f32f16"]
    for seed in range(4):
        x = sample(c, seed)
        assert error(run(c, x), run_litert(data, x)) <= 1e-5


def test_nothing_to_quantise_is_refused(tmp_path: Any) -> None:
    tensors = [Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32")]
    data = models.build(tensors, [Op("RELU", ["x"], ["y"])])
    with pytest.raises(UsageError, match="no layer has int8 weights"):
        converted(tmp_path, data, hybrid=True)
