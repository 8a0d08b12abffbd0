# SPDX-License-Identifier: Apache-2.0
"""ONNX models as graphs: the same numbers as onnxruntime, no transpositions left over."""

from __future__ import annotations

import builtins
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgesdk import converters, ops  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402
from edgesdk.passes.move_transposes import move_transposes  # noqa: E402


class Net:
    """A small ONNX model under construction; each call appends a node and returns its output."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.opset, self.random = opset, np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, shape: list[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def constant(self, array: Any, dtype: str = "float32") -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape))

    def op(self, kind: str, *inputs: str, n: int = 1, **attrs: Any) -> Any:
        outputs = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(n)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, f"{kind}_{len(self.nodes)}", **attrs))
        return outputs[0] if n == 1 else outputs

    def conv(self, x: str, i: int, o: int, kernel: int = 3, group: int = 1, **attrs: Any) -> str:
        attrs.setdefault("pads", [kernel // 2] * 4)
        attrs = {k: v for k, v in attrs.items() if v is not None}
        w, b = self.weights(o, i // group, kernel, kernel), self.weights(o)
        return str(self.op("Conv", x, w, b, group=group, **attrs))

    def norm(self, x: str, c: int) -> str:
        parts = [self.constant(self.random.uniform(0.5, 1.5, c)) for _ in range(4)]
        return str(self.op("BatchNormalization", x, *parts))

    def save(self, path: Path, *outputs: str) -> Path:
        infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        path.write_bytes(model.SerializeToString())
        return path


def evaluate_both(path: Path, graph: Graph, seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """(edgesdk's, onnxruntime's) outputs for random inputs, both in the source's layout."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options)
    random = np.random.default_rng(seed)
    layouts = graph.metadata["input_layouts"]
    feeds, arrays = {}, []
    for info, value in zip(session.get_inputs(), graph.inputs, strict=True):
        array = random.normal(0, 1, value.shape).astype(np.float32)
        arrays.append(array)
        feeds[info.name] = np.moveaxis(array, -1, 1) if value.name in layouts else array
    expected = session.run(None, feeds)
    values = ops.evaluate(graph, arrays)
    outputs = []
    for value, e in zip(graph.outputs, expected, strict=True):
        got = values[value]
        got = np.moveaxis(got, -1, 1) if value.name in graph.metadata["output_layouts"] else got
        outputs.append((got, e))
    return outputs


def check(path: Path, transposes: int | None = 0) -> Graph:
    graph = move_transposes(converters.load(path))
    for got, expected in evaluate_both(path, graph):
        assert got.shape == expected.shape
        error = np.linalg.norm(got.astype(np.float64) - expected) / max(np.linalg.norm(expected), 1e-30)
        assert error < 1e-5, error
    if transposes is not None:
        assert sum(n.op == "transpose" for n in graph.nodes) == transposes
    return graph


def classifier_head(net: Net, x: str, c: int) -> str:
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    return str(net.op("Softmax", net.op("Gemm", x, net.weights(10, c), net.weights(10), transB=1), axis=-1))


def test_mobilenet_v2_like(tmp_path: Path) -> None:
    net = Net()
    low, high = net.constant(0.0), net.constant(6.0)

    def relu6(x: str) -> str:
        return str(net.op("Clip", x, low, high))

    x = relu6(net.norm(net.conv(net.input("x", [1, 3, 16, 16]), 3, 8, strides=[2, 2]), 8))
    for stride in (1, 2, 1):
        y = relu6(net.norm(net.conv(x, 8, 24, 1), 24))
        y = relu6(net.norm(net.conv(y, 24, 24, 3, group=24, strides=[stride] * 2), 24))
        y = net.norm(net.conv(y, 24, 8, 1), 8)
        x = net.op("Add", x, y) if stride == 1 else y
    graph = check(net.save(tmp_path / "m.onnx", classifier_head(net, x, 8)))
    assert graph.inputs[0].shape == (1, 16, 16, 3)
    assert graph.metadata["input_layouts"] == {"x": "NCHW"}
    assert sum(n.op == "relu6" for n in graph.nodes) == 7


def test_resnet_like(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Relu", net.norm(net.conv(net.input("x", [1, 3, 15, 15]), 3, 8, 7, strides=[2, 2]), 8))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = net.op("Relu", net.conv(x, 8, 16, strides=[2, 2]))
    x = net.op("Relu", net.op("Add", net.conv(y, 16, 16), net.conv(x, 8, 16, 1, strides=[2, 2])))
    x = net.op("Reshape", net.op("ReduceMean", x, axes=[2, 3], keepdims=0), net.constant([1, -1], "int64"))
    check(net.save(tmp_path / "m.onnx", net.op("Gemm", x, net.weights(16, 10), alpha=0.5)))


def test_squeezenet_like(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Relu", net.conv(net.input("x", [1, 3, 17, 17]), 3, 8, strides=[2, 2], pads=None, auto_pad="VALID"))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = net.op("Relu", net.conv(x, 8, 4, 1))
    x = net.op("Concat", net.op("Relu", net.conv(x, 4, 8, 1)), net.op("Relu", net.conv(x, 4, 8)), axis=1)
    x = net.op("Dropout", x)
    x = net.op("GlobalAveragePool", net.op("Relu", net.conv(x, 16, 10, 1)))
    x = net.op("Softmax", x, axis=1)
    check(net.save(tmp_path / "m.onnx", net.op("Squeeze", x, net.constant([2, 3], "int64"))))


@pytest.mark.parametrize("dense", [False, True])
def test_squeeze_excite(tmp_path: Path, dense: bool) -> None:
    net = Net()
    x = net.op("HardSwish", net.conv(net.input("x", [1, 3, 8, 8]), 3, 8))
    s = net.op("GlobalAveragePool", x)
    if dense:
        s = net.op("Gemm", net.op("Flatten", s), net.weights(4, 8), net.weights(4), transB=1)
        s = net.op("Gemm", net.op("Relu", s), net.weights(8, 4), net.weights(8), transB=1)
        s = net.op("Reshape", net.op("Sigmoid", s), net.constant([1, 8, 1, 1], "int64"))
    else:
        s = net.op("HardSigmoid", net.conv(net.op("Relu", net.conv(s, 8, 4, 1)), 4, 8, 1), alpha=1 / 6)
    check(net.save(tmp_path / "m.onnx", net.op("Mul", x, s)))


def test_flattened_image_permutes_weights_not_activations(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Relu", net.conv(net.input("x", [1, 3, 6, 5]), 3, 4))
    x = net.norm(net.op("Dropout", net.op("Relu", net.op("Flatten", x))), 120)
    check(net.save(tmp_path / "m.onnx", net.op("MatMul", x, net.weights(120, 7))))


def test_exported_shape_arithmetic(tmp_path: Path) -> None:
    net = Net()
    x = net.conv(net.input("x", ["batch", 3, 6, 5]), 3, 4)
    batch = net.op("Gather", net.op("Shape", x), net.constant(0, "int64"))
    batch = net.op("Unsqueeze", batch, net.constant([0], "int64"))
    shape = net.op("Concat", batch, net.constant([-1], "int64"), axis=0)
    x = net.op("Reshape", x, shape)
    graph = check(net.save(tmp_path / "m.onnx", net.op("Gemm", x, net.weights(120, 3))))
    assert [n.op for n in graph.nodes] == ["conv2d", "reshape", "fully_connected"]


def test_model_that_takes_nhwc(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Sub", net.input("x", [1, 8, 8, 3]), net.constant([0.1, 0.2, 0.3]))
    x = net.conv(net.op("Transpose", x, perm=[0, 3, 1, 2]), 3, 4)
    graph = check(net.save(tmp_path / "m.onnx", net.op("Transpose", x, perm=[0, 2, 3, 1])))
    assert graph.inputs[0].shape == (1, 8, 8, 3) and graph.metadata["input_layouts"] == {}


def test_channel_shuffle_and_attention_rearrangement(tmp_path: Path) -> None:
    net = Net()
    x = net.conv(net.input("x", [1, 3, 4, 5]), 3, 6)
    x = net.op("Reshape", x, net.constant([1, 2, 3, 4, 5], "int64"))
    x = net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 1, 3, 4]), net.constant([1, 6, 4, 5], "int64"))
    path = net.save(tmp_path / "shuffle.onnx", net.conv(x, 6, 4))
    check(path, transposes=1)  # the shuffle itself

    net = Net()
    x = net.op("Reshape", net.conv(net.input("x", [1, 3, 4, 5]), 3, 6), net.constant([0, 0, -1], "int64"))
    tokens = net.op("MatMul", net.op("Transpose", x, perm=[0, 2, 1]), net.weights(6, 8))
    check(net.save(tmp_path / "tokens.onnx", tokens))


def image_net(build: Any, opset: int = 17, shape: tuple[int, ...] = (1, 4, 6, 8)) -> tuple[Net, str]:
    net = Net(opset)
    return net, build(net, net.input("x", list(shape)))


def i64(net: Net, *values: int) -> str:
    return net.constant(list(values), "int64")


def signal(net: Net, x: str) -> str:
    x = net.op("Conv", x, net.weights(6, 2, 5), net.weights(6), group=2, pads=[2, 1], strides=[2])
    x = net.op("AveragePool", net.norm(x, 6), kernel_shape=[3], pads=[1, 1], auto_pad="NOTSET")
    return str(net.op("MaxPool", x, kernel_shape=[2], auto_pad="SAME_UPPER"))


SINGLE = {
    "avg_include": (17, lambda n, x: n.op("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)),
    "avg_exclude": (17, lambda n, x: n.op("AveragePool", x, kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1])),
    "avg_ceil": (19, lambda n, x: n.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    "max_ceil": (17, lambda n, x: n.op("MaxPool", x, kernel_shape=[2, 3], strides=[3, 2], ceil_mode=1)),
    "same_upper": (17, lambda n, x: n.conv(x, 4, 3, 3, pads=None, auto_pad="SAME_UPPER", strides=[2, 2])),
    "same_lower": (17, lambda n, x: n.conv(x, 4, 3, 2, pads=None, auto_pad="SAME_LOWER", strides=[1, 1])),
    "groups": (17, lambda n, x: n.conv(x, 4, 6, 3, group=2)),
    "signal": (17, lambda n, x: n.op("Relu", signal(n, n.op("Reshape", x, i64(n, 1, 4, 48))))),
    "d2s_crd": (17, lambda n, x: n.op("DepthToSpace", n.op("Concat", x, x, axis=1), blocksize=2, mode="CRD")),
    "dilated": (17, lambda n, x: n.conv(x, 4, 3, 3, pads=[2, 2, 2, 2], dilations=[2, 2])),
    "multiplier": (17, lambda n, x: n.conv(x, 4, 12, 3, group=4)),
    "global_max": (17, lambda n, x: n.op("GlobalMaxPool", x)),
    "leaky": (17, lambda n, x: n.op("LeakyRelu", x, alpha=0.2)),
    "tanh": (17, lambda n, x: n.op("Tanh", x)),
    "clip_low": (17, lambda n, x: n.op("Clip", x, n.constant(-0.5))),
    "clip_unit": (17, lambda n, x: n.op("Clip", x, n.constant(-1.0), n.constant(1.0))),
    "softmax_12": (12, lambda n, x: n.op("Softmax", x)),
    "softmax_w": (13, lambda n, x: n.op("Softmax", x)),
    "softmax_c": (13, lambda n, x: n.op("Softmax", x, axis=1)),
    "div": (17, lambda n, x: n.op("Div", x, n.constant([[[0.5]], [[2.0]], [[3.0]], [[-1.0]]]))),
    "min_max": (17, lambda n, x: n.op("Max", n.op("Min", x, n.constant(0.5)), n.constant(np.zeros((4, 1, 1))))),
    "sum_of_three": (17, lambda n, x: n.op("Sum", x, n.op("Relu", x), n.constant(np.ones((6, 1))))),
    "from_constant": (17, lambda n, x: n.op("Sub", n.constant(1.0), n.op("Neg", x))),
    "broadcast": (17, lambda n, x: n.op("Mul", x, n.op("ReduceMax", x, axes=[1], keepdims=0))),
    "sum_axes": (13, lambda n, x: n.op("ReduceSum", x, i64(n, 1, -1), keepdims=0)),
    "mean_18": (18, lambda n, x: n.op("ReduceMean", x, i64(n, 2), keepdims=1)),
    "concat_w": (17, lambda n, x: n.op("Concat", x, n.constant(np.ones((1, 4, 6, 2))), x, axis=-1)),
    "slice": (17, lambda n, x: n.op("Slice", x, i64(n, 1, -7), i64(n, 99, -1), i64(n, 1, 3), i64(n, 1, 2))),
    "gather": (17, lambda n, x: n.op("Gather", x, n.constant(-2, "int64"), axis=2)),
    "split": (17, lambda n, x: n.op("Add", *n.op("Split", x, n=2, axis=1))),
    "split_13": (13, lambda n, x: n.op("Sub", *n.op("Split", x, i64(n, 3, 3), n=2, axis=2))),
    "pad": (17, lambda n, x: n.op("Pad", x, i64(n, 0, 1, 2, 0, 0, 0, 1, 3), n.constant(0.25))),
    "pad_axes": (18, lambda n, x: n.op("Pad", x, i64(n, 1, 2), "", i64(n, -1))),
    "d2s": (17, lambda n, x: n.op("DepthToSpace", x, blocksize=2)),
    "s2d": (17, lambda n, x: n.op("SpaceToDepth", x, blocksize=2)),
    "transpose": (17, lambda n, x: n.op("Transpose", n.op("Relu", x), perm=[0, 2, 3, 1])),
    "mean_w": (17, lambda n, x: n.op("Relu", n.op("ReduceMean", x, axes=[3], keepdims=0))),
    "norm_3d": (17, lambda n, x: n.norm(n.op("Reshape", x, i64(n, 1, 24, 8)), 24)),
    "squeeze_11": (11, lambda n, x: n.op("Squeeze", n.op("ReduceSum", x, axes=[3]), axes=[-1])),
    "unsqueeze": (17, lambda n, x: n.op("Unsqueeze", x, i64(n, 1))),
    "identity_output": (17, lambda n, x: n.op("Identity", x)),
    "matmul_3d": (17, lambda n, x: n.op("MatMul", x, n.weights(8, 3))),
    "gemm_row": (17, lambda n, x: n.op("Gemm", n.op("Flatten", x), n.weights(192, 5), n.constant(2.0), beta=0.5)),
    "gemm_trans_a": (17, lambda n, x: n.op("Gemm", n.op("Flatten", x, axis=2), n.weights(4, 5), transA=1)),
    "gemm_column": (
        17,
        lambda n, x: n.op("Gemm", n.op("Flatten", x, axis=2), n.weights(48, 5), n.constant(np.ones((4, 1))), beta=3.0),
    ),
}


@pytest.mark.parametrize("name", SINGLE)
def test_single_op(tmp_path: Path, name: str) -> None:
    opset, build = SINGLE[name]
    net, output = image_net(build, opset)
    check(net.save(tmp_path / "m.onnx", output), transposes=None)


RESIZES = [
    ("nearest", "half_pixel", "round_prefer_floor", 2.0),
    ("nearest", "asymmetric", "floor", 3.0),
    ("nearest", "asymmetric", "floor", 0.5),
    ("linear", "half_pixel", "floor", 2.0),
    ("linear", "pytorch_half_pixel", "floor", 1.5),
    ("linear", "align_corners", "floor", 2.0),
    ("linear", "asymmetric", "floor", 2.0),
]


@pytest.mark.parametrize(("mode", "coordinates", "rounding", "factor"), RESIZES)
def test_resize(tmp_path: Path, mode: str, coordinates: str, rounding: str, factor: float) -> None:
    attrs = {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    net, y = image_net(lambda n, x: n.op("Resize", x, "", n.constant([1, 1, factor, factor]), **attrs))
    check(net.save(tmp_path / "m.onnx", y))


def test_resize_by_sizes(tmp_path: Path) -> None:
    net, y = image_net(lambda n, x: n.op("Resize", x, "", "", i64(n, 1, 4, 9, 12), mode="linear"))
    check(net.save(tmp_path / "m.onnx", y))


def random_net(net: Net, x: str, shape: list[int], steps: list[int]) -> str:
    """A chain of ops that move axes, each chosen by a number; `x` meets itself again."""
    for step in steps:
        choice, k = step % 7, step // 7
        rank = len(shape)
        if choice == 0:
            perm = [int(a) for a in np.random.default_rng(k).permutation(rank)]
            x, shape = net.op("Transpose", x, perm=perm), [shape[a] for a in perm]
        elif choice == 1 and rank > 2:
            at = k % (rank - 1)
            shape = [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
            x = net.op("Reshape", x, i64(net, *shape))
        elif choice == 2 and rank < 5:
            at = k % rank
            parts = [2, shape[at] // 2] if shape[at] % 2 == 0 else [1, shape[at]]
            shape = [*shape[:at], *parts, *shape[at + 1 :]]
            x = net.op("Reshape", x, i64(net, *shape))
        elif choice == 3:
            x = net.op("Add", x, net.weights(*shape[k % rank :]))
        elif choice == 4:
            x, shape[k % rank] = net.op("Concat", x, net.op("Relu", x), axis=k % rank), shape[k % rank] * 2
        elif choice == 5:
            x = net.op("Mul", x, net.op("ReduceMax", x, axes=[k % rank]))
        elif choice == 6:
            x, shape[-1] = net.op("MatMul", x, net.weights(shape[-1], 4)), 4
    return x


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=7))
def test_random_chains_of_moving_ops(steps: list[int]) -> None:
    net, x = image_net(lambda n, x: n.op("Tanh", x), shape=(1, 4, 2, 6))
    with tempfile.TemporaryDirectory() as folder:
        check(net.save(Path(folder) / "m.onnx", random_net(net, x, [1, 4, 2, 6], steps)), transposes=None)


def test_unsupported_ops_are_listed_at_once(tmp_path: Path) -> None:
    net, y = image_net(lambda n, x: n.op("Det", n.op("Unique", n.op("Loop", x))))
    with pytest.raises(
        Unsupported, match=r"Det \(write .*\('Det_2'\).*Unique \('Unique_1'\).*control flow Loop \(write .*\('Loop_0'\)"
    ):
        converters.load(net.save(tmp_path / "m.onnx", y))
    net, x = image_net(lambda n, x: x)
    shrunk = net.op("Resize", x, "", net.constant([1, 0.5, 1, 1]))
    y = net.op("Add", shrunk, net.op("Pad", x, i64(net, *[1] * 8), mode="mirror"))
    with pytest.raises(Unsupported, match=r"Resize 'Resize_0' \(resizing the batch.*Pad 'Pad_1' \(mode 'mirror'"):
        converters.load(net.save(tmp_path / "m.onnx", y))


def branches(net: Net, condition: str, *kinds: str) -> str:
    """If with one op on "x" in each branch; the first branch has a constant of its own."""
    own = numpy_helper.from_array(np.float32(3), "own")
    graphs = []
    for i, kind in enumerate(kinds):
        inner = helper.make_node(kind, ["x", "own"] if kind == "Mul" else ["x"], [f"inner{i}"], f"{kind}_inside")
        result = helper.make_tensor_value_info(f"inner{i}", TensorProto.FLOAT, None)
        graphs.append(helper.make_graph([inner], kind, [], [result], [own] if kind == "Mul" else []))
    return str(net.op("If", condition, then_branch=graphs[0], else_branch=graphs[1]))


@pytest.mark.parametrize(("width", "op"), [(8, "mul"), (7, "relu")])
def test_the_branch_of_a_known_condition_is_taken(tmp_path: Path, width: int, op: str) -> None:
    """As exporters write it: the shape of the input decides."""
    net, x = image_net(lambda n, x: x, shape=(1, 4, 6, width))
    last = net.op("Gather", net.op("Shape", x), net.constant(3, "int64"))
    y = net.op(
        "Relu", branches(net, net.op("Equal", last, net.constant(8, "int64")), "Mul", "Abs" if width == 8 else "Relu")
    )
    graph = check(net.save(tmp_path / "m.onnx", y), transposes=None)
    assert [n.op for n in graph.nodes] == [op, "relu"]


def test_a_condition_that_is_computed_and_an_unknown_branch_are_refused(tmp_path: Path) -> None:
    net, x = image_net(lambda n, x: x)
    mean = net.op("ReduceMean", x, keepdims=0)
    outputs = [
        branches(net, net.op("Greater", mean, net.constant(0.0)), "Relu", "Abs"),
        branches(net, net.constant(False, "bool"), "Relu", "Unique"),
    ]
    with pytest.raises(
        Unsupported, match="condition must be a constant.*Unique 'Unique_inside' .an operator without a rule"
    ):
        converters.load(net.save(tmp_path / "m.onnx", *outputs))


def test_old_opset_is_refused(tmp_path: Path) -> None:
    net, y = image_net(lambda n, x: n.op("Relu", x), opset=5)
    with pytest.raises(Unsupported, match="opset 5"):
        converters.load(net.save(tmp_path / "m.onnx", y))


def test_input_shapes(tmp_path: Path) -> None:
    net, y = image_net(
        lambda n, x: n.op("GlobalMaxPool", n.op("MaxPool", x, kernel_shape=[2, 2])), shape=("n", 3, "h", "w")
    )  # type: ignore[arg-type]
    path = net.save(tmp_path / "m.onnx", y)
    assert converters.load(path, {"x": (1, 3, 7, 9)}).inputs[0].shape == (1, 7, 9, 3)
    with pytest.raises(UsageError, match="--input x:1,3,N,N"):
        converters.load(path)
    with pytest.raises(UsageError, match="expected a matching shape"):
        converters.load(path, {"x": (1, 4, 7, 9)})
    with pytest.raises(UsageError, match="no input is named 'y'"):
        converters.load(path, {"y": (1, 3, 7, 9)})
    with pytest.raises(UsageError, match="input 'x': a tensor of shape .* at most 6 axes and 2"):
        converters.load(path, {"x": (1, 3, 2**20, 2**20)})


def test_cycle_is_refused(tmp_path: Path) -> None:
    net, y = image_net(lambda n, x: n.op("Add", x, "later"))
    net.nodes.append(helper.make_node("Relu", [y], ["later"], "loop"))
    with pytest.raises(UsageError, match="'later', which no earlier node writes"):
        converters.load(net.save(tmp_path / "m.onnx", "later"))


def test_missing_external_data(tmp_path: Path) -> None:
    net, y = image_net(lambda n, x: n.conv(x, 4, 4))
    model = onnx.load(net.save(tmp_path / "plain.onnx", y))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    converters.load(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UsageError, match=r"constant 'c0' is not valid ONNX \(.*weights.bin"):
        converters.load(path)


def test_absent_onnx_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnx":
            raise ImportError("no onnx")
        return real(name, *args, **kwargs)

    (tmp_path / "m.onnx").write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install edgesdk\[onnx\]"):
        converters.load(tmp_path / "m.onnx")
