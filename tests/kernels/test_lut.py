# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, scales, seeds, value, zero_points

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant
from edgesdk.passes.lower_unary import lower_unary
from edgesdk.verify import verify

EVERY = np.arange(-128, 128).astype(np.int8)
ATTRS = {"clip": {"min": -0.5, "max": 2.0}, "leaky_relu": {"alpha": 0.1}}
FIXED = {"logistic": Quant.per_tensor(1 / 256, -128), "tanh": Quant.per_tensor(1 / 128, 0)}
NAMES = ["relu", "relu6", "relu_n1_to_1", "clip", "leaky_relu", "hard_swish", "logistic", "tanh"]
DIRECT = {
    "clip": lambda x: np.clip(x, -0.5, 2),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "relu_n1_to_1": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, x * 0.1),
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


@st.composite
def tables(draw) -> tuple[Node, list]:
    rng, lead = np.random.default_rng(draw(seeds)), draw(st.lists(st.integers(1, 5), max_size=3))
    shape = (*lead, draw(st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 256, 300]))))
    table = value("table", (256,), "int8", None, random_array(rng, (256,), "int8"))
    x = value("x", shape, "int8", Quant.per_tensor(1, 0))
    return inferred("lut", [x, table], Quant.per_tensor(1, 0)), [random_array(rng, shape, "int8"), table.data]


@given(data=st.data())
def test_lut_equals_reference(data) -> None:
    harness.check(*data.draw(tables()))


def test_every_item_of_a_table() -> None:
    table = value("table", (256,), "int8", None, np.random.default_rng(0).permutation(EVERY))
    node = inferred("lut", [value("x", (1, 256), "int8", Quant.per_tensor(1, 0)), table], Quant.per_tensor(1, 0))
    harness.check(node, [EVERY[None], table.data])


def unary_node(op: str, source: Quant, output: Quant, **attrs) -> Node:
    return inferred(op, [value("x", (256,), "int8", source)], FIXED.get(op, output), **(attrs or ATTRS.get(op, {})))


@pytest.mark.parametrize("op", NAMES)
def test_lowered_to_a_table(op: str) -> None:
    node = unary_node(op, Quant.per_tensor(0.05, 10), Quant.per_tensor(0.03, -5))
    expected = ops.module(op).reference(node, [EVERY])[0]
    graph = verify(lower_unary(Graph("g", [node.input(0)], node.outputs, [node])), "lowered")
    assert [n.op for n in graph.nodes] == ["lut"]
    lowered = graph.nodes[0]
    harness.check(lowered, [EVERY, lowered.input(1).data])
    assert np.array_equal(ops.module("lut").reference(lowered, [EVERY, lowered.input(1).data])[0], expected)


@pytest.mark.parametrize("op", NAMES)
@given(data=st.data())
def test_close_to_the_real_function(op: str, data) -> None:
    """Within two output steps, whatever the scales; catches what byte parity with a wrong model would not."""
    scale = data.draw(st.floats(0.005, 0.1).map(lambda s: float(np.float32(s))))
    source, y = Quant.per_tensor(scale, data.draw(zero_points)), Quant.per_tensor(scale, data.draw(zero_points))
    node = unary_node(op, source, y)
    q = node.output
    got = ops.module(op).reference(node, [EVERY])[0].astype(np.float64)
    real = DIRECT[op]((EVERY.astype(np.float64) - node.input(0).zero_point) * scale)
    expected = np.clip(real / q.scale + q.zero_point, -128, 127)
    # hard_swish rounds twice in 16 bits before the output scale.
    assert np.abs(got - expected).max() <= (2.0 if op == "hard_swish" else 1.01)


def test_output_scale_of_logistic_is_fixed() -> None:
    with pytest.raises(Unsupported, match="expected 0.00390625 and -128"):
        inferred("logistic", [value("x", (4,), "int8", Quant.per_tensor(0.1, 0))], Quant.per_tensor(0.01, 0))


def run_micro(node: Node, **options) -> np.ndarray:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    x, y = node.input(0), node.output
    tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=v.zero_point) for v in (x, y)]
    model = tm.build(tensors, [tm.Op(node.op.upper(), ["x"], ["y"], options)])
    return tm.run_micro(model, [EVERY])[0]


@pytest.mark.parametrize("op", ["relu", "logistic", "tanh"])
@settings(max_examples=30)
@given(data=st.data())
def test_bytes_of_tflite_micro(op: str, data) -> None:
    node = unary_node(op, quant(data.draw), quant(data.draw))
    assert np.array_equal(run_micro(node), ops.module(op).reference(node, [EVERY])[0])


@settings(max_examples=30)
@given(scale=scales, zero_point=zero_points)
def test_relu6_of_tflite_micro(scale: float, zero_point: int) -> None:
    """TFLite Micro's RELU6 keeps its input's quantisation and needs 6 to be representable."""
    q = Quant.per_tensor(scale, zero_point)
    if zero_point + 6 / scale > 126:
        return
    node = unary_node("relu6", q, q)
    assert np.array_equal(run_micro(node), ops.module("relu6").reference(node, [EVERY])[0])


@settings(max_examples=30)
@given(data=st.data(), alpha=st.floats(-2, 2).map(lambda a: float(np.float32(a))))
def test_leaky_relu_of_tflite_micro(data, alpha: float) -> None:
    node = unary_node("leaky_relu", quant(data.draw), quant(data.draw), alpha=alpha)
    assert np.array_equal(run_micro(node, alpha=alpha), ops.module("leaky_relu").reference(node, [EVERY])[0])


@settings(max_examples=30)
@given(data=st.data())
def test_hard_swish_of_tflite_micro(data) -> None:
    source, y = quant(data.draw), quant(data.draw)
    node = unary_node("hard_swish", source, y)
    if node.input(0).scale >= 100 * node.output.scale:
        return
    assert np.array_equal(run_micro(node), ops.module("hard_swish").reference(node, [EVERY])[0])


def test_a_ratio_that_float32_would_round_over_a_half() -> None:
    """TFLite Micro divides the scales in double."""
    pytest.importorskip("tflite_micro")
    node = unary_node("relu", Quant.per_tensor(1.1895177364349365, 0), Quant.per_tensor(1.040295124053955, -13))
    assert np.array_equal(run_micro(node), ops.module("relu").reference(node, [EVERY])[0])
