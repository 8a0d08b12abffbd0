# SPDX-License-Identifier: Apache-2.0
"""Imported compute operators give the results of TFLite Micro: bytes for int8, 1e-5 relative L2 for floats."""

from __future__ import annotations

import harness
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nodes import quant
from test_batch_matmul import BATCHES, products
from test_groups import grouped, operands

pytest.importorskip("tflite_micro")
tflite = pytest.importorskip("tflite_models")

from edgesdk import ops  # noqa: E402
from edgesdk.converters import tflite as importer  # noqa: E402
from edgesdk.ir import Value  # noqa: E402
from edgesdk.ops import fixedpoint  # noqa: E402

RELUS = {"none": tflite.NONE, "relu": tflite.RELU, "relu6": tflite.RELU6, "relu_n1_to_1": tflite.RELU_N1_TO_1}
SETTINGS = settings(max_examples=25)
EVERY = np.arange(-128, 128).astype(np.int8)


def tensor(v: Value) -> tflite.Tensor:
    quant = {} if v.quant is None else {"scale": v.quant.scale, "zero_point": v.quant.zero_point}
    return tflite.Tensor(v.name, v.shape, v.dtype, data=v.data, axis=(v.quant and v.quant.axis) or 0, **quant)


def with_bias_scale(x: Value, w: Value, b: Value | None) -> list:
    """[bias] as TFLite wants it: with the scale of the products."""
    if b is None:
        return []
    made = tensor(b)
    if w.quant is not None:
        made.scale = np.float32(x.scale) * w.quant.scale
    return [made]


def compare(model: bytes, inputs: list[np.ndarray]) -> None:
    graph = importer.parse(model, "model", {})
    got = ops.evaluate(graph, inputs)[graph.outputs[0]]
    harness.compare("tflite micro", got, tflite.run_micro(model, inputs)[0])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@SETTINGS
@given(data=st.data())
def test_grouped_convolution(dtype: str, data) -> None:
    node, (x, _, _) = data.draw(grouped(dtype))
    node.attrs.update(padding=(0, 0, 0, 0))
    spans = [(k - 1) * d + 1 for k, d in zip(node.input(1).shape[1:3], node.attrs["dilation"], strict=True)]
    assume(all(s <= d for s, d in zip(spans, x.shape[1:3], strict=True)))
    (shape, _), *_ = ops.module("conv2d").infer(node)
    y, (a, w, b) = Value("y", shape, dtype, node.output.quant), node.inputs
    (sh, sw), (dh, dw) = node.attrs["stride"], node.attrs["dilation"]
    options = {"strideH": sh, "strideW": sw, "dilationHFactor": dh, "dilationWFactor": dw, "padding": tflite.VALID}
    options["fusedActivationFunction"] = RELUS[node.attrs["activation"]]
    biases = with_bias_scale(a, w, b)
    names = ["x", "w", *(t.name for t in biases)]
    op = tflite.Op("CONV_2D", names, ["y"], options)
    compare(tflite.build([tensor(a), tensor(w), tensor(y), *biases], [op]), [x])


@pytest.mark.parametrize("dtype", ["int8", "int16 int8", "float32"])
@pytest.mark.parametrize("padding", [tflite.SAME, tflite.VALID])
@SETTINGS
@given(data=st.data())
def test_transposed_convolution(padding: int, dtype: str, data) -> None:
    draw = data.draw
    kernel, stride = draw(st.tuples(*[st.integers(1, 5)] * 2)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    shape = (draw(st.integers(1, 2)), *(draw(st.integers(1, 5)) for _ in range(2)), draw(st.integers(1, 4)))
    # What a converter writes, or some rows and columns more or less.
    size = [
        d * s if padding == tflite.SAME else (d - 1) * s + k for d, s, k in zip(shape[1:3], stride, kernel, strict=True)
    ]
    size = [max(1, d + draw(st.integers(-1, 1))) for d in size]
    (a, w, b), (x, _, _), q = operands(draw, shape, (draw(st.integers(1, 6)), *kernel, shape[3]), dtype)
    assume(b is None or (x.dtype.name, b.dtype) != ("int16", "int32"))  # TFLite Micro reads them as int64
    y = Value("y", (shape[0], *size, w.shape[0]), x.dtype.name, q)
    options = {"strideH": stride[0], "strideW": stride[1], "padding": padding}
    options["fusedActivationFunction"] = RELUS[draw(st.sampled_from(sorted(RELUS)))] if dtype != "float32" else 0
    biases = with_bias_scale(a, w, b)
    names = ["size", "w", "x", *(t.name for t in biases)]
    op = tflite.Op("TRANSPOSE_CONV", names, ["y"], options)
    compare(tflite.build([tensor(a), tensor(w), tensor(y), tflite.constant("size", y.shape), *biases], [op]), [x])


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@SETTINGS
@given(data=st.data())
def test_batch_matmul(dtype: str, data) -> None:
    node, arrays = data.draw(products(dtype, BATCHES))
    a, b = node.inputs
    a.data = None  # the models of converters have no constants on the left
    op = tflite.Op("BATCH_MATMUL", ["a", "b"], ["y"], {"adjX": node.attrs["adj_x"], "adjY": node.attrs["adj_y"]})
    free = [n for n, v in zip("ab", (a, b), strict=True) if v.data is None]
    compare(tflite.build([tensor(v) for v in (a, b, node.output)], [op], inputs=free), arrays[: len(free)])


def telling_scales(n: int) -> list[tuple[float, float, float, int]]:
    """Scales of a, b and y, and a sum that a product of a and b rounded to float32 would take to another byte."""
    rng, found = np.random.default_rng(0), []
    sums = np.arange(-50000, 50000)
    while len(found) < n:
        a, b, y = (float(np.float32(v)) for v in rng.uniform(0.001, 0.1, 3) * (1, 1, 8))
        exact, rounded = (fixedpoint.quantize_multiplier(p / y) for p in (a * b, float(np.float32(a) * np.float32(b))))
        first, second = (fixedpoint.requantize(sums, *m) for m in (exact, rounded))
        found += [(a, b, y, int(s)) for s in sums[(first != second) & (np.abs(first) < 127)][:1]]
    return found


@pytest.mark.parametrize("case", telling_scales(4))
def test_scales_of_a_product_are_multiplied_in_double(case: tuple[float, float, float, int]) -> None:
    a, b, y, rest = case
    left = np.zeros((1, 8), np.int8)
    for i in range(7):
        left[0, i] = max(-127, min(127, rest // 127))
        rest -= 127 * int(left[0, i])
    left[0, 7] = rest
    tensors = [tflite.Tensor("a", (1, 8), scale=a), tflite.Tensor("b", (8, 1), scale=b)]
    model = tflite.build(
        [*tensors, tflite.Tensor("y", (1, 1), scale=y)], [tflite.Op("BATCH_MATMUL", ["a", "b"], ["y"])], ["a", "b"]
    )
    compare(model, [left, np.array([[127]] * 7 + [[1]], np.int8)])


@SETTINGS
@given(data=st.data())
def test_elu(data) -> None:
    x, y = (Value(n, (256,), "int8", quant(data.draw)) for n in "xy")
    compare(tflite.build([tensor(x), tensor(y)], [tflite.Op("ELU", ["x"], ["y"])]), [EVERY])


def test_float_elu() -> None:
    x = np.linspace(-9, 9, 64).astype(np.float32)
    tensors = [tflite.Tensor(n, x.shape, "float32") for n in "xy"]
    compare(tflite.build(tensors, [tflite.Op("ELU", ["x"], ["y"])]), [x])


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_equals_litert(approximate: bool) -> None:
    """TFLite Micro has no GELU. LiteRT's float erf may move a table entry that lies half way between two steps."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    x, y = tflite.Tensor("x", (256,), scale=0.05, zero_point=3), tflite.Tensor("y", (256,), scale=0.03, zero_point=-90)
    model = tflite.build([x, y], [tflite.Op("GELU", ["x"], ["y"], {"approximate": approximate})])
    oracle = litert.Interpreter(model_content=model)
    oracle.allocate_tensors()
    oracle.set_tensor(oracle.get_input_details()[0]["index"], EVERY)
    oracle.invoke()
    expected = oracle.get_tensor(oracle.get_output_details()[0]["index"])
    graph = importer.parse(model, "model", {})
    got = ops.evaluate(graph, [EVERY])[graph.outputs[0]]
    assert np.abs(got.astype(int) - expected).max() <= 1 and (got != expected).mean() < 0.02
