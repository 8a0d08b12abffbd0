# SPDX-License-Identifier: Apache-2.0
"""Factors in front of softmax, products with constants, groups of transposed convolutions: each pass by itself."""

from __future__ import annotations

import numpy as np
import pytest
from sketch import Sketch

from edgesdk import ops
from edgesdk.ir import Graph, Quant, Value
from edgesdk.passes.fold_matmul import fold_matmul
from edgesdk.passes.fold_scale import fold_scale
from edgesdk.passes.lower_flatten import lower_flatten
from edgesdk.passes.lower_groups import lower_groups
from edgesdk.verify import verify


def constant(*numbers: float) -> Value:
    return Value("c", (len(numbers),), "float32", data=np.array(numbers, np.float32))


def evaluated(graph: Graph) -> np.ndarray:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(0, 1, v.shape).astype(np.float32) for v in graph.inputs]
    return ops.evaluate(graph, arrays)[graph.outputs[0]]


def scaled(factor: Value, swapped: bool = False, activation: str = "none") -> Graph:
    s = Sketch((2, 5))
    operands = (factor, s.inputs[0]) if swapped else (s.inputs[0], factor)
    return s.graph(s.op("softmax", s.op("mul", *operands, activation=activation), beta=0.5))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_factor_becomes_the_beta(swapped: bool) -> None:
    graph = scaled(constant(3.0), swapped)
    expected = evaluated(graph)
    folded = verify(fold_scale(graph))
    assert [(n.op, n.attrs) for n in folded.nodes] == [("softmax", {"beta": 1.5})]
    np.testing.assert_allclose(evaluated(folded), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "graph", [scaled(constant(-3.0)), scaled(constant(*range(1, 6))), scaled(constant(2.0), activation="relu")]
)
def test_other_factors_stay(graph: Graph) -> None:
    assert [n.op for n in fold_scale(graph).nodes] == ["mul", "softmax"]


def test_a_product_that_others_read_stays() -> None:
    s = Sketch((2, 5))
    product = s.op("mul", s.inputs[0], constant(3.0))
    shares = s.op("softmax", product, beta=1.0)
    assert [n.op for n in fold_scale(s.graph(shares, product)).nodes] == ["mul", "softmax"]
    assert [n.op for n in fold_scale(s.graph(s.op("add", shares, product))).nodes] == ["mul", "softmax", "add"]


@pytest.mark.parametrize("adj_y", [False, True])
@pytest.mark.parametrize("lead", [(), (1,)])
def test_a_product_with_one_constant_matrix_is_a_layer(adj_y: bool, lead: tuple[int, ...]) -> None:
    s = Sketch((2, 3, 4))
    b = s.constant(*lead, *((5, 4) if adj_y else (4, 5)))
    graph = s.graph(s.op("batch_matmul", s.inputs[0], b, adj_x=False, adj_y=adj_y))
    expected = evaluated(graph)
    folded = verify(fold_matmul(graph))
    assert [n.op for n in folded.nodes] == ["fully_connected"] and folded.nodes[0].input(1).shape == (5, 4)
    np.testing.assert_allclose(evaluated(folded), expected, rtol=1e-5)


def test_other_products_stay() -> None:
    s = Sketch((2, 3, 4))
    turned = s.op("batch_matmul", s.inputs[0], s.constant(3, 5), adj_x=True, adj_y=False)
    several = s.op("batch_matmul", s.inputs[0], s.constant(2, 4, 5), adj_x=False, adj_y=False)
    deeper = s.op("batch_matmul", s.inputs[0], s.constant(1, 1, 4, 5), adj_x=False, adj_y=False)
    left = s.op("batch_matmul", s.constant(6, 3), s.inputs[0], adj_x=False, adj_y=False)
    graph = s.graph(turned, several, deeper, left)
    assert [n.op for n in fold_matmul(graph).nodes] == ["batch_matmul"] * 4


@pytest.mark.parametrize("zero_point", [0, 3])
def test_weights_have_no_zero_point(zero_point: int) -> None:
    quant = Quant.per_tensor(0.1, 2)
    s = Sketch((3, 4), dtype="int8", quant=quant)
    b = Value("b", (4, 5), "int8", Quant.per_tensor(0.1, zero_point), np.ones((4, 5), np.int8))
    graph = s.graph(s.op("batch_matmul", s.inputs[0], b, adj_x=False, adj_y=False))
    assert fold_matmul(graph).nodes[0].op == ("batch_matmul" if zero_point else "fully_connected")


TURNED = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 0, 0, 1)}


@pytest.mark.parametrize("bias", [False, True])
def test_groups_of_a_transposed_convolution_are_convolutions_of_slices(bias: bool) -> None:
    s = Sketch((1, 3, 4, 6))
    terms = s.constant(9) if bias else None
    graph = s.graph(s.op("transpose_conv2d", s.inputs[0], s.constant(9, 3, 2, 2), terms, groups=3, **TURNED))
    expected = evaluated(graph)
    lowered = verify(lower_groups(graph))
    assert [n.op for n in lowered.nodes] == ["slice", "transpose_conv2d"] * 3 + ["concat"]
    np.testing.assert_allclose(evaluated(lowered), expected, rtol=1e-5, atol=1e-6)


def test_parts_of_weights_keep_their_scales_and_factors() -> None:
    q = Quant(
        np.arange(1, 5).astype(np.float32), np.zeros(4, np.int32), 0, 2, np.arange(16, dtype=np.uint8).reshape(4, 4)
    )
    w = Value("w", (4, 2, 2, 2), "int4", q, np.ones((4, 2, 2, 2), np.int8))
    s = Sketch((1, 3, 3, 4), dtype="int8", quant=Quant.per_tensor(0.1, 0))
    lowered = lower_groups(s.graph(s.op("transpose_conv2d", s.inputs[0], w, None, groups=2, **TURNED)))
    parts = [n.input(1).quant for n in lowered.nodes if n.op == "transpose_conv2d"]
    assert [p.scale.tolist() for p in parts if p] == [[1, 2], [3, 4]]
    assert all(p is not None and p.group == 2 and p.factors is not None for p in parts)
    assert np.array_equal(np.concatenate([p.factors for p in parts if p and p.factors is not None]), q.factors)


def test_other_groups_stay() -> None:
    s = Sketch((1, 4, 4, 4))
    conv = s.op("conv2d", s.inputs[0], s.constant(6, 3, 3, 2), None, groups=2)
    whole = s.op("transpose_conv2d", s.inputs[0], s.constant(6, 3, 3, 4), None, **TURNED)
    assert [n.op for n in lower_groups(s.graph(conv, whole)).nodes] == ["conv2d", "transpose_conv2d"]


def flat(w: Value, shape: tuple[int, ...] = (1, 3, 2, 2)) -> Graph:
    s = Sketch(shape, dtype="int8", quant=Quant.per_tensor(0.1, 0))
    image = s.op("reshape", s.inputs[0], shape=(shape[0], 12))
    return s.graph(s.op("fully_connected", image, w, None))


@pytest.mark.parametrize("dtype, factors, op", [
    ("int8", False, "fully_connected_rows"), ("int4", False, "fully_connected_rows"), ("int4", True, "fully_connected"),
])  # fmt: skip
def test_layers_over_flattened_images_go_by_rows(dtype: str, factors: bool, op: str) -> None:
    each = np.ones((5, 3), np.uint8) if factors else None
    q = Quant(np.ones(1, np.float32), np.zeros(1, np.int32), None, 4 if factors else 0, each)
    w = Value("w", (5, 12), dtype, q, np.ones((5, 12), np.int8))
    assert [n.op for n in lower_flatten(flat(w)).nodes] == ["reshape", op]
    assert [n.op for n in lower_flatten(flat(w, (2, 3, 2, 2))).nodes] == ["reshape", "fully_connected"]
