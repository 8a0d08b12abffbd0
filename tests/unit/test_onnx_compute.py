# SPDX-License-Identifier: Apache-2.0
"""ONNX's products, transposed and grouped convolutions, norms and activations give onnxruntime's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from test_onnx_import import Net, check  # noqa: E402

from edgesdk import converters, passes  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402


def kinds(path: Path, transposes: int | None = 0) -> list[str]:
    return [n.op for n in check(path, transposes).nodes]


@pytest.mark.parametrize("group", [2, 3])
def test_grouped_convolution(tmp_path: Path, group: int) -> None:
    net = Net()
    x = net.input("x", [1, 6, 7, 8])
    assert kinds(net.save(tmp_path / "m.onnx", net.conv(x, 6, 12, group=group, strides=[2, 1]))) == ["conv2d"]


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 2]},
        {"strides": [2, 2], "dilations": [2, 1], "group": 2},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [3, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "output_shape": [11, 10]},
    ],
)
def test_transposed_convolution(tmp_path: Path, attrs: dict[str, Any]) -> None:
    net = Net()
    x = net.input("x", [1, 4, 5, 4])
    y = net.op("ConvTranspose", x, net.weights(4, 6 // attrs.get("group", 1), 3, 3), net.weights(6), **attrs)
    assert kinds(net.save(tmp_path / "m.onnx", y)) == ["transpose_conv2d"]


def test_products_of_activations(tmp_path: Path) -> None:
    net = Net()
    q, k, v = (net.input(n, [2, 5, 4]) for n in "qkv")
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1]))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), v)
    graph = check(net.save(tmp_path / "m.onnx", y))
    assert [n.op for n in graph.nodes] == ["batch_matmul", "softmax", "batch_matmul"]
    assert [n.attrs["adj_y"] for n in graph.nodes[::2]] == [True, False]


def test_products_with_constants_and_broadcasts(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", [2, 3, 4, 5])
    y = net.op("MatMul", x, net.weights(3, 5, 6))
    y = net.op("MatMul", net.weights(7, 4), y)
    y = net.op("MatMul", y, net.weights(1, 1, 6, 2))
    found = kinds(net.save(tmp_path / "m.onnx", y), None)
    assert [k for k in found if k != "transpose"] == ["batch_matmul", "batch_matmul", "fully_connected"]


@pytest.mark.parametrize("equation", ["bhqd,bhkd->bhqk", "bhqd,bhkd->bqhk", "bhqd,bhkd->bhd"])
def test_einsum(tmp_path: Path, equation: str) -> None:
    net = Net()
    shapes = [[1, 2, 5, 4], [1, 2, 5, 4]] if equation.endswith("bhd") else [[1, 2, 5, 4], [1, 2, 3, 4]]
    y = net.op("Einsum", *(net.input(n, s) for n, s in zip("xy", shapes, strict=True)), equation=equation)
    kinds(net.save(tmp_path / "m.onnx", y), None)


def test_a_wrong_einsum_is_refused(tmp_path: Path) -> None:
    net = Net()
    y = net.op("Einsum", net.input("x", [2, 3]), equation="ijk->i")
    with pytest.raises(UsageError, match="does not name the axes"):
        converters.load(net.save(tmp_path / "m.onnx", y))


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_layer_norm(tmp_path: Path, axis: int) -> None:
    net, shape = Net(), [2, 3, 4, 5]
    x = net.input("x", [2, 3, 4, 5])
    y = net.op("LayerNormalization", x, net.weights(*shape[axis:]), net.weights(*shape[axis:]), axis=axis, epsilon=1e-3)
    assert "layer_norm" in kinds(net.save(tmp_path / "m.onnx", y), None)


def test_layer_norm_over_channels_of_an_image(tmp_path: Path) -> None:
    """As ConvNeXt has it: transposed to NHWC and back, which is how the graph lies."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 6, 5]), 3, 8)
    x = net.op("LayerNormalization", net.op("Transpose", x, perm=[0, 2, 3, 1]), net.weights(8), net.weights(8))
    y = net.conv(net.op("Transpose", x, perm=[0, 3, 1, 2]), 8, 4)
    assert kinds(net.save(tmp_path / "m.onnx", y)) == ["conv2d", "layer_norm", "conv2d"]


@pytest.mark.parametrize(("kind", "opset", "scales"), [("Instance", 17, 6), ("Group", 18, 2), ("Group", 21, 6)])
def test_channel_norms(tmp_path: Path, kind: str, opset: int, scales: int) -> None:
    net = Net(opset)
    x = net.conv(net.input("x", [1, 3, 6, 5]), 3, 6)
    attrs = {"num_groups": 2} if kind == "Group" else {}
    y = net.conv(net.op(f"{kind}Normalization", x, net.weights(scales), net.weights(scales), **attrs), 6, 2)
    assert kinds(net.save(tmp_path / "m.onnx", y)) == ["conv2d", f"{kind.lower()}_norm", "conv2d"]


ACTIVATIONS = [
    ("Gelu", 20, {}), ("Gelu", 20, {"approximate": "tanh"}), ("Erf", 17, {}), ("Softplus", 17, {}), ("Mish", 18, {}),
    ("Elu", 17, {"alpha": 0.5}), ("Selu", 17, {}), ("HardSigmoid", 17, {}), ("HardSigmoid", 17, {"alpha": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "opset", "attrs"), ACTIVATIONS)
def test_activations(tmp_path: Path, kind: str, opset: int, attrs: dict[str, Any]) -> None:
    net = Net(opset)
    y = net.op(kind, net.input("x", [1, 3, 4, 5]), **attrs)
    assert len(kinds(net.save(tmp_path / "m.onnx", y))) == 1


def test_signals(tmp_path: Path) -> None:
    net = Net(18)
    x = net.op("Conv", net.input("x", [2, 4, 9]), net.weights(6, 2, 3), group=2)
    x = net.op("Mish", net.op("GroupNormalization", x, *[net.weights(2)] * 2, num_groups=2))
    x = net.op("ConvTranspose", x, net.weights(6, 3, 4), net.weights(3), strides=[3], pads=[1, 2], output_padding=[2])
    y = net.op("ConvTranspose", x, net.weights(3, 3, 2), strides=[2], output_shape=[41])
    graph = passes.simplify(converters.load(net.save(tmp_path / "m.onnx", y)))
    found = [n.op for n in graph.nodes if n.op != "reshape"]
    assert found == ["conv2d", "group_norm", "mish", "transpose_conv2d", "transpose_conv2d"]
    check(net.save(tmp_path / "m.onnx", y))


def masked_scores(net: Net) -> str:
    hidden = net.constant([[0, -np.inf, -np.inf], [0, 0, -np.inf], [-np.inf] * 3])
    return str(net.op("Add", net.input("x", [2, 3, 3]), hidden))


def test_only_softmax_reads_masks_without_their_infinities(tmp_path: Path) -> None:
    """What else a model makes of a masked sum, as the test whether a row is hidden as a whole, sees them."""
    net = Net()
    scores = masked_scores(net)
    hidden = net.op("Equal", net.op("ReduceMax", scores, axes=[2]), net.constant([-np.inf]))
    y = net.op("Where", hidden, net.constant(0.0), net.op("Softmax", scores, axis=-1))
    graph = check(net.save(tmp_path / "m.onnx", y))
    assert any(v.data is not None and np.isneginf(v.data).any() for v in graph.nodes[0].inputs if v is not None)
    net = Net()
    alone = converters.load(net.save(tmp_path / "m.onnx", net.op("Softmax", masked_scores(net), axis=-1)))
    assert not any(v.data is not None and np.isinf(v.data).any() for v in alone.nodes[0].inputs if v is not None)


def test_products_with_vectors(tmp_path: Path) -> None:
    net = Net()
    x, y = net.input("x", [2, 3, 4]), net.input("y", [3])
    rows = net.op("MatMul", x, net.weights(4))
    mixed = net.op("MatMul", y, x)
    outputs = [rows, net.op("MatMul", mixed, net.weights(4, 5)), net.op("MatMul", rows, y)]
    check(net.save(tmp_path / "m.onnx", *outputs))


def test_refusals(tmp_path: Path) -> None:
    net = Net()
    y = net.op("ConvTranspose", net.input("x", [1, 2, 3, 3, 3, 3]), net.weights(2, 3, 3, 3, 3, 3))
    with pytest.raises(Unsupported, match="4-D convolution"):
        converters.load(net.save(tmp_path / "m.onnx", y))
    net = Net()
    y = net.op("ConvTranspose", net.input("x", [1, 2, 5]), net.weights(3, 3, 3))
    with pytest.raises(UsageError, match="do not match the input"):
        converters.load(net.save(tmp_path / "m.onnx", y))
