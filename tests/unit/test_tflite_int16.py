# SPDX-License-Identifier: Apache-2.0
"""TFLite models with 16-bit activations: bytes of TFLite Micro from the import to the runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

models = pytest.importorskip("tflite_models")
from tflite_models import RELU, RELU6, SAME, VALID, Op, Tensor, constant  # noqa: E402

from edgesdk import flow, runtime  # noqa: E402
from edgesdk.converters import tflite  # noqa: E402
from edgesdk.errors import Unsupported  # noqa: E402


def act(name: str, *shape: int, scale: float = 0.001) -> Tensor:
    return Tensor(name, shape, "int16", scale=scale)


def weights(rng: np.random.Generator, name: str, shape: tuple[int, ...], axis: int, bias: str) -> list[Tensor]:
    scales = rng.uniform(0.002, 0.02, shape[axis]).tolist()
    w = constant(f"{name}/w", rng.integers(-127, 128, shape), "int8", scale=scales, axis=axis)
    b = rng.integers(-50000, 50000, shape[axis])
    return [w, constant(f"{name}/b", b, bias, scale=[0.001 * s for s in scales])]


def net(seed: int = 0, bias: str = "int64") -> bytes:
    """Convolutions, a shortcut, both pools, a mean, and what a classifier or a gate ends with."""
    rng = np.random.default_rng(seed)
    tensors = [
        act("image", 1, 8, 8, 3),
        act("c", 1, 4, 4, 8),
        act("d", 1, 4, 4, 8),
        act("sum", 1, 4, 4, 8, scale=0.002),
    ]
    tensors += [act("gate", 1, 4, 4, 8, scale=2**-15), act("product", 1, 4, 4, 8, scale=0.0015)]
    tensors += [act("max", 1, 2, 2, 8, scale=0.0015), act("avg", 1, 2, 2, 8, scale=0.0015)]
    tensors += [act("both", 1, 2, 2, 16, scale=0.0015), act("mean", 1, 16, scale=0.0009)]
    tensors += [act("logits", 1, 5, scale=0.01), act("leaky", 1, 5, scale=0.008), act("probs", 1, 5, scale=2**-15)]
    tensors += [constant("axes", [1, 2]), *weights(rng, "c", (8, 3, 3, 3), 0, bias)]
    tensors += [*weights(rng, "d", (1, 3, 3, 8), 3, "int64"), *weights(rng, "fc", (5, 16), 0, bias)]
    window = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}
    conv = {"padding": SAME, "strideW": 2, "strideH": 2, "fusedActivationFunction": RELU}
    ops = [
        Op("CONV_2D", ["image", "c/w", "c/b"], ["c"], conv),
        Op("DEPTHWISE_CONV_2D", ["c", "d/w", "d/b"], ["d"], {"padding": SAME, "depthMultiplier": 1}),
        Op("ADD", ["c", "d"], ["sum"], {"fusedActivationFunction": RELU6}),
        Op("LOGISTIC", ["d"], ["gate"]),
        Op("MUL", ["sum", "gate"], ["product"]),
        Op("MAX_POOL_2D", ["product"], ["max"], window),
        Op("AVERAGE_POOL_2D", ["product"], ["avg"], window),
        Op("CONCATENATION", ["max", "avg"], ["both"], {"axis": 3}),
        Op("MEAN", ["both", "axes"], ["mean"], {"keepDims": False}),
        Op("FULLY_CONNECTED", ["mean", "fc/w", "fc/b"], ["logits"]),
        Op("LEAKY_RELU", ["logits"], ["leaky"], {"alpha": 0.2}),
        Op("SOFTMAX", ["leaky"], ["probs"]),
    ]
    return models.build(tensors, ops)


def images(shape: tuple[int, ...], n: int = 8) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal(shape) * spread).clip(-32768, 32767).astype(np.int16) for spread in [500, 9000] * n]


def converted(tmp_path: Any, data: bytes, **options: Any) -> runtime.Session:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    return runtime.open_session(flow.convert(path, **options).data)


@pytest.mark.parametrize("bias", ["int64", "int32"])
@pytest.mark.parametrize(
    "options", [{}, {"ram_bytes": 1800, "portable": True}, {"stream": True}], ids=["plain", "small", "streamed"]
)
def test_bytes_of_tflite_micro(tmp_path: Any, bias: str, options: dict[str, Any]) -> None:
    data = net(bias=bias)
    session = converted(tmp_path, data, **options)
    for x in images((1, 8, 8, 3), 3):
        if "stream" in options:
            assert runtime.push_rows(session, x[0])
        else:
            runtime.run(session, [x])
        assert np.array_equal(session.outputs[0], models.run_micro(data, [x])[0])


def chain(*ops: Op, constants: list[Tensor] | None = None, tensors: list[Tensor]) -> bytes:
    return models.build([*tensors, *(constants or [])], list(ops))


MOVES = {
    "PAD": (Op("PAD", ["x", "k"], ["y"]), [constant("k", [[0, 0], [1, 2], [0, 1], [0, 0]])], (1, 7, 5, 3)),
    "TRANSPOSE": (Op("TRANSPOSE", ["x", "k"], ["y"]), [constant("k", [0, 2, 1, 3])], (1, 4, 4, 3)),
    "RESHAPE": (Op("RESHAPE", ["x", "k"], ["y"]), [constant("k", [2, 24])], (2, 24)),
    "SLICE": (
        Op("SLICE", ["x", "k", "n"], ["y"]),
        [constant("k", [0, 1, 0, 1]), constant("n", [1, 2, 3, 2])],
        (1, 2, 3, 2),
    ),
    "RESIZE_NEAREST_NEIGHBOR": (
        Op("RESIZE_NEAREST_NEIGHBOR", ["x", "k"], ["y"]),
        [constant("k", [7, 5])],
        (1, 7, 5, 3),
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves_of_16_bit_items(tmp_path: Any, name: str) -> None:
    op, constants, shape = MOVES[name]
    data = chain(op, constants=constants, tensors=[act("x", 1, 4, 4, 3), act("y", *shape)])
    x = np.random.default_rng(0).integers(-32768, 32768, (1, 4, 4, 3)).astype(np.int16)
    assert np.array_equal(runtime.run(converted(tmp_path, data), [x])[0], models.run_micro(data, [x])[0])


def test_edges_of_other_types(tmp_path: Any) -> None:
    """float32 -> int16 -> int8 -> int16 -> float32, each conversion in the file."""
    tensors = [Tensor("x", (1, 64), "float32"), act("a", 1, 64), Tensor("b", (1, 64), "int8", scale=0.3, zero_point=5)]
    tensors += [act("c", 1, 64, scale=0.0017), Tensor("y", (1, 64), "float32")]
    ops = [Op("QUANTIZE", [i], [o]) for i, o in ("xa", "ab", "bc")]
    data = chain(*ops, Op("DEQUANTIZE", ["c"], ["y"]), tensors=tensors)
    x = (np.random.default_rng(0).standard_normal((1, 64)) * 20).astype(np.float32)
    assert np.array_equal(runtime.run(converted(tmp_path, data), [x])[0], models.run_micro(data, [x])[0])


def test_a_layer_without_bias_may_ask_for_32_bit_sums(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    w = constant("w", rng.integers(-127, 128, (4, 1, 1, 6)), "int8", scale=[0.01] * 4)
    outputs = []
    for kind in (0, 2):  # FLOAT32: not stated; INT32
        options = {"padding": VALID, "quantizedBiasType": kind}
        tensors = [act("x", 1, 3, 3, 6), act("y", 1, 3, 3, 4, scale=0.00037)]
        data = chain(Op("CONV_2D", ["x", "w"], ["y"], options), constants=[w], tensors=tensors)
        x = rng.integers(-32768, 32768, (1, 3, 3, 6)).astype(np.int16)
        outputs.append(tflite.parse(data, "m", {}).nodes[0].optional(2))
        assert np.array_equal(runtime.run(converted(tmp_path, data), [x])[0], models.run_micro(data, [x])[0])
    assert outputs[0] is None and outputs[1].dtype == "int32"


def test_a_zero_point_is_refused() -> None:
    tensors = [Tensor("x", (1, 4), "int16", scale=0.1, zero_point=3), act("y", 1, 4)]
    with pytest.raises(Unsupported, match="INT16 with a zero point other than 0"):
        tflite.parse(chain(Op("RELU", ["x"], ["y"]), tensors=tensors), "m", {})


def test_a_sigmoid_of_too_coarse_an_input_is_refused(tmp_path: Any) -> None:
    data = chain(Op("LOGISTIC", ["x"], ["y"]), tensors=[act("x", 1, 4, scale=3.0), act("y", 1, 4, scale=2**-15)])
    with pytest.raises(Unsupported, match="expected less than 2.67"):
        converted(tmp_path, data)


def test_import_keeps_type_and_scale() -> None:
    graph = tflite.parse(net(), "m", {})
    assert {v.dtype for n in graph.nodes for v in n.outputs} == {"int16"}
    assert graph.inputs[0].scale == float(np.float32(0.001))


PAIRS = {
    "PRELU": constant("b", [[[5, -128, 127]]], "int8", scale=0.004, zero_point=-7),
    "SQUARED_DIFFERENCE": constant("b", [[[500, -32768, 30000]]], "int16", scale=0.0013),
}


@pytest.mark.parametrize("options", [{}, {"stream": True}], ids=["plain", "streamed"])
@pytest.mark.parametrize("code", PAIRS)
def test_pairs_of_16_bits(tmp_path: Any, code: str, options: dict[str, Any]) -> None:
    tensors = [act("x", 1, 4, 4, 3), act("p", 1, 4, 4, 3, scale=0.002), act("y", 1, 4, 4, 3, scale=0.0009)]
    data = chain(Op(code, ["x", "b"], ["p"]), Op("ABS", ["p"], ["y"]), constants=[PAIRS[code]], tensors=tensors)
    session = converted(tmp_path, data, **options)
    for x in images((1, 4, 4, 3), 2):
        if options:
            assert runtime.push_rows(session, x[0])
        else:
            runtime.run(session, [x])
        assert np.array_equal(session.outputs[0], models.run_micro(data, [x])[0])


def test_slopes_computed_beside_16_bits_are_refused() -> None:
    tensors = [act("x", 1, 4), Tensor("b", (1, 4), "int8", scale=0.1), act("y", 1, 4)]
    with pytest.raises(Unsupported, match="int8 slopes 'b' computed beside int16 activations"):
        tflite.parse(models.build(tensors, [Op("PRELU", ["x", "b"], ["y"])], inputs=["x", "b"]), "m", {})


@pytest.mark.parametrize("code, inputs", [("SIN", ["x"]), ("L2_NORMALIZATION", ["x"]), ("DIV", ["x", "x"])])
def test_functions_without_a_16_bit_kernel_are_refused(code: str, inputs: list[str]) -> None:
    with pytest.raises(Unsupported, match="int16 input 'x'"):
        tflite.parse(models.build([act("x", 1, 4), act("y", 1, 4)], [Op(code, inputs, ["y"])]), "m", {})
