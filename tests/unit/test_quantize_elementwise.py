# SPDX-License-Identifier: Apache-2.0
"""Post-training int8 of elementwise and normalising ops: close to the float graph, and every op has a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgesdk import flow, ops, passes, runtime
from edgesdk.compress import quantize
from edgesdk.compress.calibrate import calibrate
from edgesdk.compress.quantize import quantize_int8
from edgesdk.compress.schemes import INT16X8
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import elementary, resize_filter

SHAPE = (1, 6, 5, 4)
ATTRS: dict[str, dict[str, Any]] = {
    "thresholded_relu": {"alpha": 0.2},
    "shrink": {"lambd": 0.3, "bias": 0.1},
    "celu": {"alpha": 1.0},
    "power": {"exponent": 1.5},
    "l2_norm": {"epsilon": 1e-6},
    "border_pad": {"pads": ((0, 0), (1, 2), (2, 1), (0, 0)), "mode": "reflect"},
    "take_pixels": {"rows": (0, 3, 3, 5), "columns": (4, 0)},
}
DISCONTINUOUS = ("floor", "ceil", "round", "sign", "hardmax", "thresholded_relu", "tan")
PAIRS = ("div", "squared_difference", "prelu")


def cubic() -> resize_filter.Filter:
    positions = (np.arange(9) + 0.5) * 5 / 9 - 0.5
    return resize_filter.make_filter(positions, 5, resize_filter.cubic(-0.75), 2)


def graph_of(op: str) -> Graph:
    x = Value("x", SHAPE, "float32")
    inputs = [x]
    if op in PAIRS:
        data = np.linspace(0.5, 1.5, 4, dtype=np.float32)
        inputs.append(Value("b", (4,), "float32", data=data))
    attrs = ATTRS.get(op, {})
    if op == "resize_filter":
        rows = resize_filter.make_filter(np.linspace(0, 5, 4), 6, resize_filter.linear, 1)
        attrs = {"rows": rows, "columns": cubic()}
    node = Node(op, list(inputs), [Value("y", SHAPE, "float32")], attrs, op)
    node.output.shape = ops.module(op).infer(node)[0][0]
    return Graph("g", [x], [node.output], [node])


def sample(seed: int) -> np.ndarray:
    """Where all of the functions are real and bounded."""
    return np.random.default_rng(seed).uniform(0.2, 0.95, SHAPE).astype(np.float32)


NAMES = [n for n in elementary.NAMES if n != "acosh"]
OTHERS = [*PAIRS, "log_softmax", "l2_norm", "hardmax", "border_pad", "take_pixels", "resize_filter"]


@pytest.mark.parametrize("op", [*NAMES, *OTHERS])
def test_int8_is_close_to_float(op: str) -> None:
    graph = graph_of(op)
    quantized = quantize_int8(graph, calibrate(graph, [np.stack([sample(i)[0] for i in range(8)])]), "float32")
    want = ops.evaluate(graph, [sample(1)])[graph.outputs[0]]
    lowered = passes.lower(quantized)
    got = ops.evaluate(lowered, [sample(1)])[lowered.outputs[0]]
    assert got.shape == want.shape
    error = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-9)
    assert error < (0.35 if op in DISCONTINUOUS else 0.03), error


@pytest.mark.parametrize("op", ["squared_difference", "prelu", "abs"])
def test_int16_is_closer_to_float(op: str) -> None:
    graph = graph_of(op)
    ranges = calibrate(graph, [np.stack([sample(i)[0] - 0.5 for i in range(8)])])
    quantized = quantize.quantized(graph, ranges, INT16X8, "float32")
    assert next(n for n in quantized.nodes if n.op == op).output.dtype == "int16"
    x = sample(1) - np.float32(0.5)
    want, lowered = ops.evaluate(graph, [x])[graph.outputs[0]], passes.lower(quantized)
    got = ops.evaluate(lowered, [x])[lowered.outputs[0]]
    assert np.linalg.norm(got - want) < 3e-4 * np.linalg.norm(want)


def test_ops_without_an_int8_form_are_listed() -> None:
    x = Value("x", SHAPE, "float32")
    names = ("before", "after", "bias", "alpha", "beta")
    node = Node(
        "lrn", [x], [Value("y", SHAPE, "float32")], dict(zip(names, (1, 1, 1.0, 0.1, 0.75), strict=True)), "lrn"
    )
    graph = Graph("g", [x], [node.output], [node])
    with pytest.raises(Unsupported, match="lrn"):
        quantize_int8(graph, calibrate(graph, [sample(0)]))


def test_a_chain_runs_on_the_runtime(tmp_path) -> None:
    """From a file, quantised, in rows: the library gives the bytes of the references."""
    pytest.importorskip("onnx")
    from test_onnx_import import image_net

    def build(n: Any, x: str) -> str:
        y = n.op("Abs", n.conv(x, 4, 6))
        y = n.op("Sqrt", n.op("Pad", y, n.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64"), mode="reflect"))
        y = n.op("PRelu", n.op("Sub", y, n.constant(0.5)), n.constant(np.linspace(0, 0.5, 6).reshape(6, 1, 1)))
        return str(n.op("LogSoftmax", n.op("Div", y, n.op("Add", n.op("Exp", y), n.constant(1.0))), axis=1))

    net, y = image_net(build)
    path = net.save(tmp_path / "m.onnx", y)
    data = np.random.default_rng(0).standard_normal((4, 1, 4, 6, 8)).astype(np.float32)
    np.savez(tmp_path / "cal.npz", x=data)
    for ram in (None, 3000):
        converted = flow.convert(path, quantize="int8", calibration=tmp_path / "cal.npz", ram_bytes=ram)
        x = [np.random.default_rng(5).integers(-128, 128, v.shape).astype(v.dtype) for v in converted.graph.inputs]
        want = ops.evaluate(converted.graph, x)[converted.graph.outputs[0]]
        assert np.array_equal(runtime.run(runtime.open_session(converted.data), x)[0], want)
