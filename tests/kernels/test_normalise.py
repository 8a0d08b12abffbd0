# SPDX-License-Identifier: Apache-2.0
"""log_softmax, l2_norm, hardmax and lrn."""

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Quant

FIXED = {"log_softmax": Quant.per_tensor(1 / 16, 127), "l2_norm": Quant.per_tensor(1 / 128, 0)}
ATTRS = {
    "l2_norm": {"epsilon": 1e-6},
    "lrn": {"before": 1, "after": 2, "bias": 1.5, "alpha": 0.3, "beta": 0.75},
}
shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@st.composite
def unit_norms(draw, dtype: str) -> tuple[Node, list]:
    """l2_norm over as many items as vectors hold, and parts of them."""
    shape = (draw(st.integers(1, 5)), draw(st.one_of(st.integers(1, 40), st.sampled_from([64, 128, 300]))))
    x = random_array(np.random.default_rng(draw(seeds)), shape, dtype)
    if dtype == "float32":
        return inferred("l2_norm", [value("x", shape, dtype)], epsilon=1e-6), [x]
    return int8_node("l2_norm", shape, draw), [x // np.int8(draw(st.sampled_from([1, 1, 30, 127])))]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@given(data=st.data())
def test_unit_norms_equal_reference(dtype: str, data) -> None:
    harness.check(*data.draw(unit_norms(dtype)))


@pytest.mark.parametrize("op", ["log_softmax", "l2_norm", "hardmax", "lrn"])
@given(seed=seeds, shape=shapes, spread=st.floats(-6, 5))
def test_floats_equal_reference(op: str, seed: int, shape: tuple[int, ...], spread: float) -> None:
    x = (np.random.default_rng(seed).standard_normal(shape) * np.exp(spread)).astype(np.float32)
    harness.check(inferred(op, [value("x", shape, "float32")], **ATTRS.get(op, {})), [x])


def int8_node(op: str, shape: tuple[int, ...], draw) -> Node:
    return inferred(op, [value("x", shape, "int8", quant(draw))], FIXED.get(op) or quant(draw), **ATTRS.get(op, {}))


@pytest.mark.parametrize("op", ["log_softmax", "l2_norm", "hardmax"])
@given(seed=seeds, shape=shapes, data=st.data())
def test_int8_equals_reference(op: str, seed: int, shape: tuple[int, ...], data) -> None:
    node = int8_node(op, shape, data.draw)
    harness.check(node, [random_array(np.random.default_rng(seed), shape, "int8")])


@pytest.mark.parametrize("op", ["log_softmax", "l2_norm"])
@settings(max_examples=60)
@given(seed=seeds, n=st.sampled_from([1, 2, 5, 40, 700]), narrow=st.booleans(), data=st.data())
def test_bytes_of_tflite_micro(op: str, seed: int, n: int, narrow: bool, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node = int8_node(op, (3, n), data.draw)
    x = random_array(np.random.default_rng(seed), (3, n), "int8")
    x = x // 16 if narrow else x  # many items near the largest
    tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=v.zero_point) for v in (node.input(0), node.output)]
    code = {"log_softmax": "LOG_SOFTMAX", "l2_norm": "L2_NORMALIZATION"}[op]
    want = tm.run_micro(tm.build(tensors, [tm.Op(code, ["x"], ["y"])]), [x])[0]
    assert np.array_equal(ops.module(op).reference(node, [x])[0], want)


@given(seed=seeds, data=st.data())
def test_int8_is_close_to_the_real_function(seed: int, data) -> None:
    scale = data.draw(st.floats(0.01, 0.2).map(lambda s: float(np.float32(s))))
    q = random_array(np.random.default_rng(seed), (4, 9), "int8")
    x = q.astype(np.float64) * scale
    source = value("x", (4, 9), "int8", Quant.per_tensor(scale, 0))
    shifted = x - x.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    got = ops.module("log_softmax").reference(inferred("log_softmax", [source], FIXED["log_softmax"]), [q])[0]
    assert np.abs(np.clip(logs * 16 + 127, -128, 127) - got).max() <= 1.01
    unit = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
    got = ops.module("l2_norm").reference(inferred("l2_norm", [source], FIXED["l2_norm"], epsilon=0.0), [q])[0]
    assert np.abs(np.clip(unit * 128, -128, 127) - got).max() <= 1.01


def test_hardmax_takes_the_first_and_passes_over_nan() -> None:
    nan = np.nan
    x = np.array([[1, 3, 3], [nan, 1, 0], [nan, nan, -np.inf], [nan, nan, nan], [5, nan, 7]], np.float32)
    node = inferred("hardmax", [value("x", x.shape, "float32")])
    harness.check(node, [x])
    assert ops.module("hardmax").reference(node, [x])[0].argmax(-1).tolist() == [1, 1, 2, 2, 2]


def test_refusals() -> None:
    x = value("x", (1, 4), "int8", Quant.per_tensor(0.1, 0))
    for op in ("log_softmax", "l2_norm"):
        with pytest.raises(Unsupported, match="requantise after it"):
            harness.check(inferred(op, [x], Quant.per_tensor(0.1, 0), **ATTRS.get(op, {})), [np.zeros((1, 4), np.int8)])
    with pytest.raises(Unsupported, match="lrn of int8"):
        inferred("lrn", [x], Quant.per_tensor(0.1, 0), **ATTRS["lrn"])
