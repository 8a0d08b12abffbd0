# SPDX-License-Identifier: Apache-2.0
"""Any bytes given to the ONNX importer give a graph or one sentence."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgesdk import converters  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402
from edgesdk.ir import MAX_ELEMENTS  # noqa: E402

SETTINGS = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def seed_model() -> bytes:
    """A net that touches most rules, small enough to flip every byte of."""
    random = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> object:
        return numpy_helper.from_array(random.normal(0, 1, shape).astype(np.float32), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], "conv", strides=[2, 2], auto_pad="SAME_UPPER"),
        node("BatchNormalization", ["a", "b", "b", "b", "v"], ["n"], "norm"),
        node("Clip", ["n", "", "six"], ["r"], "clip"),
        node("Conv", ["r", "d"], ["e"], "depthwise", group=4, pads=[1, 1, 1, 1]),
        node("Concat", ["e", "r"], ["c"], "concat", axis=1),
        node("MaxPool", ["c"], ["m"], "pool", kernel_shape=[2, 2], ceil_mode=1),
        node("Resize", ["m", "", "scales"], ["z"], "resize", mode="linear"),
        node("Transpose", ["z"], ["t"], "turn", perm=[0, 1, 3, 2]),
        node("Pad", ["t", "pads"], ["p"], "pad"),
        node("Slice", ["p", "starts", "ends"], ["s"], "slice"),
        node("Split", ["s"], ["s0", "s1"], "split", axis=1),
        node("Add", ["s0", "s1"], ["q"], "add"),
        node("ReduceMean", ["q"], ["g"], "mean", axes=[3], keepdims=0),
        node("Reshape", ["g", "shape"], ["f"], "reshape"),
        node("Gemm", ["f", "k"], ["y0"], "gemm", transB=1),
        node("Softmax", ["y0"], ["y"], "softmax"),
    ]
    ints = {"pads": [0, 0, 1, 0, 0, 0, 0, 1], "starts": [0], "ends": [8], "shape": [1, -1]}
    constants = [constant("w", 4, 3, 3, 3), constant("b", 4), constant("d", 4, 1, 3, 3)]
    constants += [numpy_helper.from_array(np.ones(4, np.float32), "v"), constant("k", 5, 28)]
    constants += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in ints.items()]
    constants.append(numpy_helper.from_array(np.array(6, np.float32), "six"))
    constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])
    graph = helper.make_graph(nodes, "seed", [x], [y], constants)
    data: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return data


SEED = seed_model()


def load_or_refuse(data: bytes) -> bool:
    """Whether the bytes gave a graph; anything but a graph or one sentence fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(data)
        try:
            graph = converters.load(path)
        except (UsageError, Unsupported) as error:
            assert "\n" not in str(error) and str(error).startswith(str(path))
            return False
    for node in graph.nodes:
        assert all(0 < math.prod(v.shape) <= MAX_ELEMENTS for v in node.outputs)
    return True


def test_seed_is_a_model() -> None:
    assert load_or_refuse(SEED)


@SETTINGS
@given(st.integers(0, len(SEED) - 1))
def test_truncated(length: int) -> None:
    load_or_refuse(SEED[:length])


@SETTINGS
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SEED)
    for at, byte in changes:
        data[at] = byte
    load_or_refuse(bytes(data))


@pytest.mark.parametrize("changes", [[(26, 7)], [(104, 0), (173, 128)], [(373, 37)]])
def test_names_that_are_not_text(changes: list[tuple[int, int]]) -> None:
    """Control characters and broken UTF-8 in op types and names."""
    data = bytearray(SEED)
    for at, byte in changes:
        data[at] = byte
    assert not load_or_refuse(bytes(data))


@SETTINGS
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    load_or_refuse(data)


@SETTINGS
@given(
    st.sampled_from(["dims", "ints", "int", "constant", "op_type", "input", "drop"]),
    st.integers(0, 200),
    st.sampled_from([-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 65537, 2**31 - 1, 2**40, 2**63 - 1]),
)
def test_changed_fields(what: str, at: int, number: int) -> None:
    """Well-formed protobufs that claim nonsense."""
    model = onnx.load_model_from_string(SEED)
    graph = model.graph
    node = graph.node[at % len(graph.node)]
    attribute = node.attribute[at % len(node.attribute)] if node.attribute else None
    if what == "dims":
        graph.input[0].type.tensor_type.shape.dim[at % 4].dim_value = number
    elif what == "ints" and attribute is not None and attribute.ints:
        attribute.ints[at % len(attribute.ints)] = number
    elif what == "int" and attribute is not None:
        attribute.i = number
    elif what == "constant":
        tensor = graph.initializer[at % len(graph.initializer)]
        if tensor.data_type == TensorProto.INT64:
            array = numpy_helper.to_array(tensor).copy()
            array[at % array.size] = number
            tensor.raw_data = array.tobytes()
        else:
            tensor.dims[:] = [abs(number) % 2**62] if at % 2 else [*tensor.dims, 1]
    elif what == "op_type":
        node.op_type = graph.node[number % len(graph.node)].op_type
    elif what == "input":
        node.input[at % len(node.input)] = graph.node[number % len(graph.node)].output[0]
    elif what == "drop":
        del graph.node[at % len(graph.node)]
    load_or_refuse(model.SerializeToString())
