# SPDX-License-Identifier: Apache-2.0
"""Activations of 16 bits, on all 65536 inputs."""

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, random_array, scales, seeds, value
from test_lut import ATTRS, DIRECT, NAMES

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant
from edgesdk.passes.lower_unary import lower_unary
from edgesdk.verify import verify

EVERY = np.arange(-32768, 32768).astype(np.int16)
FIXED = dict.fromkeys(("logistic", "tanh"), Quant.per_tensor(1 / 32768, 0))
# Scales of inputs, of which logistic and tanh take some as powers of two.
input_scales = st.one_of(
    st.floats(1e-6, 2.5), st.sampled_from([2.0**-12, 2.0**-11, 2.0**-10, 1.0005 * 2**-12]), st.floats(1e-4, 2e-3)
).map(lambda s: float(np.float32(s)))


def unary_node(op: str, source: float, output: float, **attrs) -> Node:
    x = value("x", EVERY.shape, "int16", Quant.per_tensor(source, 0))
    return inferred(op, [x], FIXED.get(op, Quant.per_tensor(output, 0)), **(attrs or ATTRS.get(op, {})))


def lowered(node: Node) -> Node:
    return verify(lower_unary(Graph("g", [node.input(0)], node.outputs, [node])), "lowered").nodes[0]


@pytest.mark.parametrize("op", [*NAMES, "abs"])
@settings(max_examples=20)
@given(source=input_scales, output=scales)
def test_every_input_equals_reference(op: str, source: float, output: float) -> None:
    node = unary_node(op, source, output)
    expected = ops.module(op).reference(node, [EVERY])[0]
    step = lowered(node)
    assert step.op == ("lut" if op == "hard_swish" else op)
    arrays = [EVERY, *(v.data for v in step.inputs[1:])]
    assert np.array_equal(ops.module(step.op).reference(step, arrays)[0], expected)
    harness.check(step, arrays)


@given(seed=seeds, shape=st.lists(st.integers(1, 5), max_size=4))
def test_any_table(seed: int, shape: list[int]) -> None:
    rng = np.random.default_rng(seed)
    table = value("table", (513,), "int16", None, random_array(rng, (513,), "int16"))
    x = value("x", tuple(shape), "int16", Quant.per_tensor(1, 0))
    harness.check(
        inferred("lut", [x, table], Quant.per_tensor(1, 0)), [random_array(rng, x.shape, "int16"), table.data]
    )


@pytest.mark.parametrize("op", NAMES)
def test_close_to_the_real_function(op: str) -> None:
    """Over +-8 with steps of 1/4096: tables of samples are good to some of their output steps."""
    node = unary_node(op, 8 / 32768, 8 / 32768)
    q = node.output
    got = ops.module(op).reference(node, [EVERY])[0].astype(np.float64)
    expected = np.clip(DIRECT[op](EVERY.astype(np.float64) * node.input(0).scale) / q.scale, -32768, 32767)
    most = {"logistic": 4.0, "tanh": 12.0, "hard_swish": 4.0}.get(op, 1.01)
    assert np.abs(got - expected).max() <= most


def test_output_scale_of_tanh_is_fixed() -> None:
    with pytest.raises(Unsupported, match="expected 3.05176e-05 and 0"):
        inferred("tanh", [value("x", (4,), "int16", Quant.per_tensor(0.1, 0))], Quant.per_tensor(0.01, 0))


def run_micro(node: Node, **options) -> np.ndarray:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    tensors = [tm.Tensor(v.name, v.shape, v.dtype, scale=v.scale) for v in (node.input(0), node.output)]
    model = tm.build(tensors, [tm.Op(node.op.upper(), ["x"], ["y"], options)])
    return tm.run_micro(model, [EVERY])[0]


@pytest.mark.parametrize("op", ["relu", "logistic", "tanh", "abs"])
@settings(max_examples=25)
@given(source=input_scales, output=scales)
def test_bytes_of_tflite_micro(op: str, source: float, output: float) -> None:
    node = unary_node(op, source, output)
    assert np.array_equal(run_micro(node), ops.module(op).reference(node, [EVERY])[0])


def test_magnitudes_of_one_scale_are_exact() -> None:
    got = ops.module("abs").reference(unary_node("abs", 0.01, 0.01), [EVERY])[0]
    assert np.array_equal(got, np.minimum(np.abs(EVERY.astype(np.int32)), 32767))


@settings(max_examples=15)
@given(scale=st.floats(2e-4, 2.0).map(lambda s: float(np.float32(s))))
def test_relu6_of_tflite_micro(scale: float) -> None:
    """It keeps its input's scale and needs 6 to be representable."""
    node = unary_node("relu6", scale, scale)
    assert np.array_equal(run_micro(node), ops.module("relu6").reference(node, [EVERY])[0])


@settings(max_examples=25)
@given(source=scales, output=scales, alpha=st.floats(-2, 2).map(lambda a: float(np.float32(a))))
def test_leaky_relu_of_tflite_micro(source: float, output: float, alpha: float) -> None:
    node = unary_node("leaky_relu", source, output, alpha=alpha)
    assert np.array_equal(run_micro(node, alpha=alpha), ops.module("leaky_relu").reference(node, [EVERY])[0])
