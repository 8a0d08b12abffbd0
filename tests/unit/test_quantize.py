# SPDX-License-Identifier: Apache-2.0
"""Calibration, int8 and int16x8 quantisation, and the passes that prepare a float graph for it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sketch import Sketch

from edgesdk import converters, memory, ops, passes, program, runtime, schedule
from edgesdk.compress import quantize
from edgesdk.compress.calibrate import calibrate
from edgesdk.compress.quantize import quantize_int8
from edgesdk.compress.schemes import INT8, INT16X8, asymmetric
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph, Quant, Value
from edgesdk.ops import normalize
from edgesdk.passes.fold_batch_norm import fold_batch_norm
from edgesdk.passes.fold_pad import fold_pad
from edgesdk.passes.fuse_activations import fuse_activations
from edgesdk.verify import verify

DIGITS = Path(__file__).parents[2] / "apps" / "digits" / "digits.onnx"


def evaluate(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    values = ops.evaluate(graph, inputs)
    return [values[v] for v in graph.outputs]


def quantized(sketch: Sketch, graph: Graph, io: str = "float32") -> Graph:
    return verify(quantize_int8(graph, calibrate(graph, sketch.samples()), io))


def assert_close(sketch: Sketch, graph: Graph, tolerance: float, wide: bool = True) -> Graph:
    """Quantises and compares on the calibration data itself, `wide`: with 16-bit activations too; returns the int8
    graph."""
    samples = sketch.samples()
    ranges = calibrate(graph, samples)
    result = verify(quantize_int8(graph, ranges, "float32"))
    assert_near(graph, result, samples, tolerance)
    if wide:
        finer = verify(quantize.quantized(graph, ranges, INT16X8, "float32"))
        assert_near(graph, finer, samples, tolerance / 4)
        assert_runs(finer, [s[0] for s in samples])
    return result


def assert_near(graph: Graph, quantised: Graph, samples: list[np.ndarray], most: float) -> None:
    for i in range(len(samples[0])):
        item = [s[i] for s in samples]
        for got, expected in zip(evaluate(quantised, item), evaluate(graph, item), strict=True):
            assert np.linalg.norm(got - expected) <= most * np.linalg.norm(expected)


def assert_runs(graph: Graph, inputs: list[np.ndarray]) -> None:
    """The runtime's bytes are the reference's."""
    expected = evaluate(graph, inputs)
    steps = schedule.schedule(passes.lower(graph), ("c",))
    session = runtime.open_session(program.write(program.assemble(steps, memory.plan(steps), {})))
    for got, wanted in zip(runtime.run(session, inputs), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def single_quant(graph: Graph, op: str) -> None:
    """Every node `op` reads and writes one quantisation."""
    for node in graph.nodes:
        if node.op == op:
            assert all(v is not None and v.quant is not None for v in node.inputs)
            assert all(v.quant.same_as(node.output.quant) for v in node.inputs)  # type: ignore[union-attr]


def test_conv_net_is_quantized_to_the_specification() -> None:
    s = Sketch((1, 6, 6, 3))
    x = s.op("conv2d", s.inputs[0], s.constant(8, 3, 3, 3), s.constant(8), activation="relu")
    x = s.op("depthwise_conv2d", x, s.constant(3, 3, 8), s.constant(8))
    x = s.op("mean", x, axes=(1, 2), keep_dims=False)
    x = s.op("softmax", s.op("fully_connected", x, s.constant(5, 8), None), beta=1.0)
    graph = quantized(s, s.graph(x), "int8")
    assert [v.dtype for v in (*graph.inputs, *graph.outputs)] == ["int8", "int8"]
    for node, axis in zip(graph.nodes, (0, 2, None, 0), strict=False):
        if axis is None:
            continue
        w, b = node.input(1), node.optional(2)
        assert w.quant is not None and w.data is not None and w.quant.axis == axis
        assert not w.quant.zero_point.any() and np.abs(w.data).max() == 127
        if b is not None:
            assert b.dtype == "int32" and b.quant is not None
            np.testing.assert_allclose(b.quant.scale, node.input(0).scale * w.quant.scale.astype(np.float64), rtol=1e-6)
    relu = graph.nodes[0].output
    assert relu.zero_point == -128, "a fused relu leaves nothing below zero"
    assert (graph.outputs[0].scale, graph.outputs[0].zero_point) == (1 / 256, -128)
    assert_close(s, s.graph(x), 0.1)


def test_16_bit_activations_have_no_zero_point_and_64_bit_biases() -> None:
    s = Sketch((1, 6, 6, 3))
    x = s.op("conv2d", s.inputs[0], s.constant(8, 3, 3, 3), s.constant(8), activation="relu")
    graph = s.graph(s.op("softmax", s.op("mean", x, axes=(1, 2), keep_dims=False), beta=1.0))
    result = verify(quantize.quantized(graph, calibrate(graph, s.samples()), INT16X8))
    values = [*result.inputs, *(v for n in result.nodes for v in n.outputs)]
    assert {v.dtype for v in values} == {"int16"} and not any(v.zero_point for v in values)
    assert (result.nodes[0].input(1).dtype, result.nodes[0].input(2).dtype) == ("int8", "int64")
    assert result.outputs[0].scale == 1 / 32768 and result.metadata["quantization"] == "int16x8"


def test_outputs_that_cancel_keep_a_scale_that_kernels_take() -> None:
    """A sum far smaller than its terms, of activations and of products."""
    s = Sketch((1, 4, 4, 2))
    x = s.inputs[0]
    minus = s.op("mul", x, Value("k", (1,), "float32", data=np.array([-1.00001], np.float32)))
    w = Value("w", (1, 1, 1, 2), "float32", data=np.array([1e5, -1e5], np.float32).reshape(1, 1, 1, 2))
    alike = s.op("concat", x, x, axis=3)
    y = s.op("conv2d", s.op("slice", alike, begin=(0,) * 4, size=(1, 4, 4, 2), stride=(1, 1, 1, 2)), w, None)
    graph = s.graph(s.op("add", x, minus), y)
    samples = s.samples()
    assert_runs(quantize.quantized(graph, calibrate(graph, samples), INT16X8, "float32"), [a[0] for a in samples])


def test_zero_is_exact_and_the_range_holds_zero() -> None:
    for low, high in ((0.5, 3.0), (-7.0, -2.0), (-1.3, 2.9), (0.0, 0.0), (1e-30, 2e-30)):
        q = asymmetric(low, high)
        assert -128 <= int(q.zero_point[0]) <= 127 and float(q.scale[0]) > 0
        for real in (min(low, 0.0), max(high, 0.0)):
            steps = real / float(q.scale[0]) + int(q.zero_point[0])
            assert -128.51 <= steps <= 127.51


def test_bytes_that_move_keep_their_quantisation() -> None:
    s = Sketch((1, 4, 4, 2))
    a = s.op("conv2d", s.inputs[0], s.constant(3, 3, 3, 2), None)
    b = s.op("conv2d", a, s.constant(3, 3, 3, 3), None)
    pool = s.op("max_pool2d", a, kernel=(2, 2), stride=(1, 1), padding=(0, 0, 1, 1), activation="none")
    joined = s.op("concat", pool, b, s.constant(1, 4, 4, 1, scale=9), axis=3)
    y = s.op("minimum", s.op("reshape", joined, shape=(16, 7)), s.constant(1, 7))
    graph = assert_close(s, s.graph(y), 0.15)
    for op in ("max_pool2d", "concat", "reshape", "minimum"):
        single_quant(graph, op)
    assert sum(n.op == "quantize" for n in graph.nodes) == 1, "only the input's"


def test_fixed_outputs_are_requantized_only_where_they_meet_others() -> None:
    s = Sketch((1, 2, 2, 4))
    gate = s.op("logistic", s.inputs[0])
    alone = s.op("reshape", gate, shape=(1, 16))
    graph = quantized(s, s.graph(alone), "int8")
    assert [n.op for n in graph.nodes] == ["logistic", "reshape"]
    assert graph.outputs[0].scale == 1 / 256
    met = s.op("concat", alone, s.op("reshape", s.inputs[0], shape=(1, 16)), axis=1)
    graph = assert_close(s, s.graph(met), 0.05)
    assert [n.op for n in graph.nodes].count("quantize") == 2, "the input's and the gate's"
    single_quant(graph, "concat")


def test_channels_near_zero_keep_their_bias() -> None:
    s = Sketch((1, 4, 4, 2))
    w, b = s.constant(4, 1, 1, 2), s.constant(4, scale=3)
    assert w.data is not None
    w.data[0] = 0
    w.data[1] *= 1e-30
    w.data[2] *= 1e-5
    y = s.op("conv2d", s.inputs[0], w, b, padding=(0, 0, 0, 0))
    graph = assert_close(s, s.graph(y), 0.02)
    assert all(np.isfinite(n.input(1).quant.scale).all() for n in graph.nodes if n.op == "conv2d")  # type: ignore


def test_elementwise_ops() -> None:
    s = Sketch((1, 3, 3, 4), (1, 1, 1, 4))
    x = s.op("hard_swish", s.op("leaky_relu", s.inputs[0], alpha=0.1))
    x = s.op("mul", s.op("add", x, s.constant(1, 1, 1, 4)), s.op("logistic", s.inputs[1]))
    x = s.op("sub", s.constant(1, 1, 1, 1), s.op("tanh", x))
    x = s.op("pad", x, pads=((0, 0), (1, 1), (0, 0), (0, 0)), value=-5.0)
    assert_close(s, s.graph(x), 0.1)


def test_io_types() -> None:
    s = Sketch((1, 2, 2, 1))
    graph = s.graph(s.op("relu", s.inputs[0]))
    result = quantized(s, graph, "float32")
    assert [n.op for n in result.nodes] == ["quantize", "relu", "dequantize"]
    assert [v.name for v in (*result.inputs, *result.outputs)] == ["x0", "v0"]
    with pytest.raises(UsageError, match="io 'uint8'"):
        quantized(s, graph, "uint8")
    with pytest.raises(UsageError, match="x0.*is int8"):
        quantize_int8(quantized(s, graph, "int8"), {})
    with pytest.raises(UsageError, match="no calibrated range"):
        quantize_int8(graph, {})


def test_batch_norm_must_be_folded_first() -> None:
    s = Sketch((1, 2, 2, 3))
    graph = s.graph(s.op("batch_norm", s.inputs[0], s.constant(3), s.constant(3)))
    with pytest.raises(Unsupported, match=r"batch_norm \(n0\)"):
        quantized(s, graph)


def test_ops_without_a_16_bit_kernel_are_listed() -> None:
    s = Sketch((1, 4))
    graph = s.graph(s.op("sin", s.op("div", s.inputs[0], s.constant(4))))
    with pytest.raises(Unsupported, match=r"without an int16 form: div \(n0\), sin \(n1\)"):
        quantize.quantized(graph, calibrate(graph, s.samples()), INT16X8)


BAD_SAMPLES = [
    (np.zeros((0, 2, 2, 1), np.float32), "empty"),
    (np.zeros((3, 2, 2), np.float32), "shape"),
    (np.full((1, 2, 2, 1), np.nan, np.float32), "NaN"),
    (np.array(["a"]), "expected float32"),
    (np.float32(1), "empty"),
    ([np.zeros(2), np.zeros(3)], "different shapes"),
]


@pytest.mark.parametrize(("samples", "message"), BAD_SAMPLES)
def test_bad_calibration_sets(samples: Any, message: str) -> None:
    s = Sketch((1, 2, 2, 1))
    graph = s.graph(s.op("relu", s.inputs[0]))
    for given in ([samples], {"x0": samples}, {"other": samples}):
        with pytest.raises(UsageError, match=message):
            calibrate(graph, given)


def test_calibration_reads_by_name_or_in_order() -> None:
    s = Sketch((1, 2), (1, 2))
    graph = s.graph(s.op("sub", s.inputs[0], s.inputs[1]))
    a, b = np.ones((3, 2), np.float32), np.zeros((3, 1, 2), np.float32)
    for samples in ([a, b], {"x1": b, "x0": a}, {"p": a, "q": b}):
        assert calibrate(graph, samples)[graph.outputs[0]] == (1.0, 1.0)
    with pytest.raises(UsageError, match=r"\[2, 3\] samples"):
        calibrate(graph, [a, b[:2]])
    with pytest.raises(UsageError, match="1 calibration arrays; expected 2"):
        calibrate(graph, [a])


@pytest.mark.parametrize("kind", ["conv2d", "depthwise_conv2d", "fully_connected"])
@pytest.mark.parametrize("biased", [False, True])
def test_fold_batch_norm_into_weights(kind: str, biased: bool) -> None:
    s = Sketch((1, 5, 5, 3))
    shape = {"conv2d": (6, 3, 3, 3), "depthwise_conv2d": (3, 3, 6), "fully_connected": (6, 3)}[kind]
    x = s.op(kind, s.inputs[0], s.constant(*shape), s.constant(6) if biased else None)
    graph = s.graph(s.op("batch_norm", x, s.constant(6), s.constant(6)))
    sample = [a[0] for a in s.samples(1)]
    expected = evaluate(graph, sample)[0]
    fold_batch_norm(verify(graph))
    assert [n.op for n in graph.nodes] == [kind]
    np.testing.assert_allclose(evaluate(verify(graph), sample)[0], expected, rtol=1e-4, atol=1e-5)


def test_fold_batch_norm_without_weights_before_it() -> None:
    s = Sketch((1, 5, 5, 3))
    conv = s.op("conv2d", s.inputs[0], s.constant(3, 3, 3, 3), None)
    norm = s.op("batch_norm", conv, s.constant(3), s.constant(3))
    graph = s.graph(s.op("add", norm, conv))  # conv has a second reader
    sample = [a[0] for a in s.samples(1)]
    expected = evaluate(graph, sample)[0]
    fold_batch_norm(graph)
    assert [n.op for n in graph.nodes] == ["conv2d", "mul", "add", "add"]
    np.testing.assert_allclose(evaluate(verify(graph), sample)[0], expected, rtol=1e-5)


def test_fuse_activations() -> None:
    s = Sketch((1, 4, 4, 3))
    x = s.op("relu", s.op("conv2d", s.inputs[0], s.constant(3, 3, 3, 3), None))
    x = s.op("clip", s.op("add", x, s.inputs[0]), min=0.0, max=6.0)
    x = s.op("relu_n1_to_1", s.op("reshape", x, shape=(1, 48)))
    y = s.op("clip", x, min=-0.5, max=math.inf)
    graph = s.graph(y)
    sample = [a[0] for a in s.samples(1)]
    expected = evaluate(graph, sample)[0]
    fuse_activations(graph)
    assert [n.op for n in graph.nodes] == ["conv2d", "add", "reshape", "relu_n1_to_1", "clip"]
    assert [n.attrs.get("activation") for n in graph.nodes[:2]] == ["relu", "relu6"]
    np.testing.assert_array_equal(evaluate(verify(graph), sample)[0], expected)


def test_a_value_that_others_read_keeps_its_range() -> None:
    s = Sketch((1, 4, 4, 3))
    x = s.op("conv2d", s.inputs[0], s.constant(3, 3, 3, 3), None)
    graph = fuse_activations(s.graph(s.op("relu", x), x))
    assert [n.op for n in graph.nodes] == ["conv2d", "relu"]


def test_fuse_activations_leaves_rescaling_relus_of_integer_graphs() -> None:
    s = Sketch((1, 2, 2, 3), dtype="int8", quant=Quant.per_tensor(0.5, 3))
    total = s.op("add", s.inputs[0], s.inputs[0])
    graph = s.graph(s.op("relu", total))
    graph.outputs[0].quant = Quant.per_tensor(0.25, -128)
    assert len(fuse_activations(graph).nodes) == 2
    graph.outputs[0].quant = Quant.per_tensor(0.5, 3)
    assert len(fuse_activations(graph).nodes) == 1


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_fold_pad(dtype: str) -> None:
    quant = Quant.per_tensor(0.1, 7) if dtype == "int8" else None
    s = Sketch((1, 5, 5, 2), dtype=dtype, quant=quant)
    w = s.constant(4, 3, 3, 2)
    if quant is not None:
        assert w.data is not None
        w.data, w.dtype = np.clip(w.data * 50, -127, 127).astype(np.int8), "int8"
        w.quant = Quant(np.full(4, 0.02, np.float32), np.zeros(4, np.int32), 0)
    pads = ((0, 0), (1, 0), (0, 1), (0, 0))
    x = s.op("pad", s.op("pad", s.inputs[0], pads=pads, value=0.0), pads=((0, 0), (0, 1), (1, 0), (0, 0)), value=0.0)
    graph = s.graph(s.op("conv2d", x, w, None, stride=(2, 2), padding=(0, 0, 0, 1)))
    sample = [(a[0] * 50).astype(dtype) for a in s.samples(1)]
    expected = evaluate(graph, sample)[0]
    fold_pad(verify(graph))
    assert [n.op for n in graph.nodes] == ["conv2d"] and graph.nodes[0].attrs["padding"] == (1, 1, 1, 2)
    np.testing.assert_array_equal(evaluate(verify(graph), sample)[0], expected)


@pytest.mark.parametrize("change", ["value", "channels", "reader", "output"])
def test_pads_that_must_stay(change: str) -> None:
    s = Sketch((1, 5, 5, 2))
    pads = ((0, 0), (1, 1), (1, 1), (0, 1 if change == "channels" else 0))
    x = s.op("pad", s.inputs[0], pads=pads, value=1.0 if change == "value" else 0.0)
    outputs = [s.op("conv2d", x, s.constant(4, 3, 3, x.shape[3]), None)]
    outputs += [s.op("relu", x)] if change == "reader" else [x] if change == "output" else []
    assert any(n.op == "pad" for n in fold_pad(s.graph(*outputs)).nodes)


def test_digits_classifier_keeps_its_accuracy() -> None:
    pytest.importorskip("onnx")
    datasets = pytest.importorskip("sklearn.datasets")
    graph = passes.simplify(converters.load(DIGITS))
    assert not {n.op for n in graph.nodes} & {"batch_norm", "relu", "transpose"}
    bunch = datasets.load_digits()
    order = np.random.RandomState(0).permutation(len(bunch.target))
    images = (bunch.images[order] / 16).astype(np.float32)[..., None]
    test, labels = images[:150], bunch.target[order][:150]
    result = quantize_int8(graph, calibrate(graph, [images[450:550]]), "float32")
    for candidate in (graph, result):
        predicted = [evaluate(candidate, [image[None]])[0].argmax() for image in test]
        assert np.mean(predicted == labels) >= 0.97


def test_decoders_norms_and_smooth_activations() -> None:
    s = Sketch((1, 4, 5, 4))
    window = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 1, 1)}
    x = s.op("transpose_conv2d", s.inputs[0], s.constant(6, 3, 3, 4), s.constant(6), **window)
    x = s.op("group_norm", x, s.constant(6), s.constant(6), groups=3, epsilon=1e-5)
    x = s.op("conv2d", s.op("silu", x), s.constant(4, 3, 3, 3), s.constant(4), groups=2)
    x = s.op("instance_norm", s.op("mish", x), None, None, epsilon=1e-5)
    x = s.op("rms_norm", x, s.constant(4), axis=3, epsilon=1e-5)
    graph = assert_close(s, s.graph(x), 0.1, wide=False)
    norm = next(n for n in graph.nodes if n.op == "group_norm")
    assert norm.input(1).dtype == "float32", "scale and shift stay exact"
    transposed = next(n for n in graph.nodes if n.op == "transpose_conv2d")
    assert transposed.input(1).quant is not None and transposed.input(1).quant.axis == 0


def test_groups_and_smooth_activations_of_16_bits() -> None:
    """Convolutions in groups become one per group, activations tables of samples."""
    s = Sketch((1, 4, 5, 4))
    x = s.op("gelu", s.op("conv2d", s.inputs[0], s.constant(6, 3, 3, 2), s.constant(6), groups=2), approximate=False)
    x = s.op("hard_sigmoid", s.op("conv2d", x, s.constant(4, 3, 3, 3), None, groups=2), alpha=0.2, beta=0.5)
    assert_close(s, s.graph(x, s.op("softplus", s.op("elu", x, alpha=0.5))), 0.1)


def test_products_and_transposed_convolutions_of_16_bits() -> None:
    s = Sketch((1, 4, 4))
    x = s.op("batch_matmul", s.inputs[0], s.inputs[0], adj_x=False, adj_y=True)
    image = s.op("reshape", x, shape=(1, 2, 2, 4))
    window = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    y = s.op("transpose_conv2d", image, s.constant(3, 2, 2, 4), s.constant(3), **window)
    graph, samples = s.graph(y), s.samples()
    result = verify(quantize.quantized(graph, calibrate(graph, samples), INT16X8))
    assert {v.dtype for n in result.nodes for v in n.outputs} == {"int16"}
    assert_runs(quantize.quantized(graph, calibrate(graph, samples), INT16X8, "float32"), [a[0] for a in samples])


NORMS_16 = {
    "layer_norm": {"axis": 2}, "rms_norm": {"axis": 2}, "group_norm": {"groups": 2}, "instance_norm": {},
}  # fmt: skip


@pytest.mark.parametrize("op", NORMS_16)
def test_norms_of_16_bits(op: str) -> None:
    s = Sketch((1, 4, 4))
    x = s.op("fully_connected", s.inputs[0], s.constant(4, 4), None)
    graph = s.graph(s.op(op, x, s.constant(4), s.constant(4), epsilon=1e-5, **NORMS_16[op]))
    samples = s.samples()
    ranges = calibrate(graph, samples)
    result = verify(quantize.quantized(graph, ranges, INT16X8))
    assert {v.dtype for n in result.nodes for v in n.outputs} == {"int16"}
    fine, coarse = (quantize.quantized(graph, ranges, scheme, "float32") for scheme in (INT16X8, INT8))
    inputs = [a[0] for a in samples]
    assert_runs(fine, inputs)
    wanted, *got = (evaluate(g, inputs)[0] for g in (graph, fine, coarse))
    errors = [float(np.abs(a - wanted).max()) for a in got]
    assert errors[0] < errors[1]


def test_norms_of_too_many_items_for_16_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(normalize.MAX_ITEMS, "int16", 3)
    s = Sketch((1, 4, 4))
    graph = s.graph(s.op("rms_norm", s.inputs[0], None, axis=2, epsilon=1e-5))
    with pytest.raises(Unsupported, match=r"without an int16 form: rms_norm \(n0\)"):
        quantize.quantized(graph, calibrate(graph, s.samples()), INT16X8)


def test_a_sum_that_cancels_keeps_a_scale_that_its_kernel_takes() -> None:
    s = Sketch((1, 4))
    graph = s.graph(s.op("sub", s.inputs[0], s.inputs[0]))
    assert not evaluate(quantized(s, graph), [x[0] for x in s.samples()])[0].any()
