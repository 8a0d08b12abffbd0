# SPDX-License-Identifier: Apache-2.0
"""Quantised ONNX models become integer programs with the numbers of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgesdk import flow, runtime  # noqa: E402

RANDOM = np.random.default_rng(3)
CONSTANTS = {
    "xs": np.float32(0.02),
    "ys": np.float32(0.05),
    "zs": np.float32(0.07),
    "ws": np.array([0.01, 0.02, 0.005, 0.03], np.float32),
    "wz": np.zeros(4, np.int8),
    "w": RANDOM.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
    "bs": np.array([0.01, 0.02, 0.005, 0.03], np.float32) * np.float32(0.02),
    "bz": np.zeros(4, np.int32),
    "b": RANDOM.integers(-3000, 3000, 4).astype(np.int32),
}


def model(path: Path, nodes: list[Any], zero: np.ndarray[Any, Any]) -> Path:
    constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in {**CONSTANTS, "z": zero}.items()]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 8, 8]), ("y", None))]
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def separate() -> list[Any]:
    """Convolution, relu and a sum, in float between quantised tensors."""
    node = helper.make_node
    return [
        node("QuantizeLinear", ["x", "xs", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "z"], ["xf"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        node("DequantizeLinear", ["b", "bs", "bz"], ["bf"], axis=0),
        node("Conv", ["xf", "wf", "bf"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("QuantizeLinear", ["r", "ys", "z"], ["rq"]),
        node("DequantizeLinear", ["rq", "ys", "z"], ["rf"]),
        node("Add", ["rf", "rf"], ["a"]),
        node("QuantizeLinear", ["a", "zs", "z"], ["aq"]),
        node("MaxPool", ["aq"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("DequantizeLinear", ["p", "zs", "z"], ["y"]),
    ]


def joined() -> list[Any]:
    """The convolution as one operator."""
    node = helper.make_node
    return [
        node("QuantizeLinear", ["x", "xs", "z"], ["xq"]),
        node("QLinearConv", ["xq", "xs", "z", "w", "ws", "wz", "ys", "z", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("DequantizeLinear", ["c", "ys", "z"], ["y"]),
    ]


@pytest.mark.parametrize("zero", [np.int8(-3), np.int8(0), np.uint8(120), np.uint8(0)], ids=repr)
@pytest.mark.parametrize("nodes", [separate, joined])
def test_integer_program(nodes: Any, zero: Any, tmp_path: Path) -> None:
    if nodes is separate and zero.dtype == np.uint8:
        kept = [n for n in separate() if n.op_type != "MaxPool"]
        kept[-1].input[0] = "aq"
        path = model(tmp_path / "m.onnx", kept, zero)
    else:
        path = model(tmp_path / "m.onnx", nodes(), zero)
    converted = flow.convert(path)
    floats = [n.op for n in converted.graph.nodes if n.output.dtype == "float32"]
    assert floats == ["dequantize"]
    x = RANDOM.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    layout = converted.source.metadata["input_layouts"]
    fed = x.transpose(0, 2, 3, 1) if layout else x
    (got,) = runtime.run(runtime.open_session(converted.data), [np.ascontiguousarray(fed)])
    got = got.transpose(0, 3, 1, 2) if converted.source.metadata["output_layouts"] else got
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    want = onnxruntime.InferenceSession(str(path), options).run(None, {"x": x})[0]
    step = float(CONSTANTS["zs" if nodes is separate else "ys"])
    assert got.shape == want.shape
    steps = np.abs(got - want) / step
    assert steps.max() < 1.01 and (steps > 0.5).mean() < 0.05  # where halves round, and twice
