# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, seeds, value

from edgesdk import ops, passes
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant

# Batch axes of a and b: alike, broadcast at the front, at the back, on both sides, in the middle.
BATCHES = [((), ()), ((3,), (3,)), ((2, 3), (3,)), ((), (2, 2)), ((2, 1), (1, 3)), ((2, 3), (2, 1)), ((1,), (4,))]
MIDDLE = [((2, 3, 2), (2, 1, 2)), ((2, 1, 2), (2, 3, 2))]


@st.composite
def products(draw: Any, dtype: str, batches: list, adj_x: bool | None = None) -> tuple[Node, list]:
    rng, (m, k, n) = np.random.default_rng(draw(seeds)), [draw(st.integers(1, 9)) for _ in range(3)]
    (first, second), k = draw(st.sampled_from(batches)), k * draw(st.sampled_from([1, 7]))
    n *= draw(st.sampled_from([1, 1, 5, 16]))
    adj = {"adj_x": draw(st.booleans()) if adj_x is None else adj_x, "adj_y": draw(st.booleans())}
    shapes = [(*first, k, m) if adj["adj_x"] else (*first, m, k), (*second, n, k) if adj["adj_y"] else (*second, k, n)]
    arrays = [random_array(rng, s, dtype) for s in shapes]
    quants = [quant(draw, dtype) if dtype != "float32" else None for _ in range(3)]
    if dtype == "int16":  # sums may grow by 128 at most
        least = quants[0].scale[0] * quants[1].scale[0] / 100
        quants[2] = Quant.per_tensor(max(float(least), 1e-9) * 2.0 ** draw(st.floats(0, 20)), 0)
    constant = draw(st.sampled_from([None, 0, 1]))
    inputs = [value("ab"[i], shapes[i], dtype, quants[i], arrays[i] if i == constant else None) for i in (0, 1)]
    return inferred("batch_matmul", inputs, quants[2], **adj), arrays


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@given(data=st.data())
def test_product_equals_reference(dtype: str, data) -> None:
    harness.check(*data.draw(products(dtype, BATCHES, adj_x=False)))


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@given(data=st.data())
def test_lowered_products_keep_their_bytes(dtype: str, data) -> None:
    """Transposed left sides, broadcasts in the middle, constants."""
    node, arrays = data.draw(products(dtype, BATCHES + MIDDLE))
    expected = ops.module(node.op).reference(node, arrays)[0]
    free = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v.data is None]
    graph = Graph("g", [v for v, _ in free], [node.output], [node])
    lowered = passes.lower(passes.simplify(graph))
    for n in lowered.nodes:
        if n.op in ("batch_matmul", "fully_connected"):
            ops.module(n.op).encode(n, harness.rows_of(n.op, ops.module(n.op).types(n))[0])
    harness.compare("lowered", ops.evaluate(lowered, [a for _, a in free])[lowered.outputs[0]], expected)


@given(data=st.data())
def test_rows_that_are_read_are_all_that_matter(data) -> None:
    node, arrays = data.draw(products("int8", BATCHES, adj_x=False))
    encoded = ops.module(node.op).encode(node, harness.rows_of(node.op, "s8s8")[0])
    y = data.draw(st.integers(0, encoded.rows - 1))
    others = []
    for i, a in enumerate(arrays):
        rows, flat = ops.rows_read(node, encoded, i, y), (~a).reshape(-1, a.shape[-1])
        flat[rows.start : rows.stop] = a.reshape(flat.shape)[rows.start : rows.stop]
        others.append(flat.reshape(a.shape))
    got = [ops.module(node.op).reference(node, x)[0].reshape(encoded.rows, -1)[y] for x in (arrays, others)]
    assert np.array_equal(*got)


def test_a_constant_matrix_on_the_right_is_a_layer() -> None:
    rng = np.random.default_rng(0)
    a, b = (
        value("a", (2, 3, 4), "float32"),
        value("b", (1, 4, 5), "float32", None, random_array(rng, (1, 4, 5), "float32")),
    )
    node = inferred("batch_matmul", [a, b], adj_x=False, adj_y=False)
    graph = passes.simplify(Graph("g", [a], [node.output], [node]))
    assert [n.op for n in graph.nodes] == ["fully_connected"]


def test_16_bit_products_may_grow_by_128() -> None:
    q = Quant.per_tensor(1.0, 0)
    sides = value("a", (1, 2), "int16", q), value("b", (2, 1), "int16", q)
    for scale, refused in ((1 / 128, True), (1 / 120, False)):
        node = inferred("batch_matmul", list(sides), Quant.per_tensor(scale, 0), adj_x=False, adj_y=False)
        encode = ops.module("batch_matmul").encode
        (kernel,) = harness.rows_of("batch_matmul", "s16s16")
        if refused:
            with pytest.raises(Unsupported, match="below 1/128"):
                encode(node, kernel)
        else:
            assert encode(node, kernel).params[-1] == 7


def test_a_constant_of_16_bits_is_no_layer() -> None:
    q, rng = Quant.per_tensor(0.1, 0), np.random.default_rng(0)
    b = value("b", (4, 5), "int16", q, random_array(rng, (4, 5), "int16"))
    node = inferred("batch_matmul", [value("a", (3, 4), "int16", q), b], q, adj_x=False, adj_y=False)
    graph = passes.simplify(Graph("g", [node.input(0)], [node.output], [node]))
    assert [n.op for n in graph.nodes] == ["batch_matmul"]


def test_deep_int8_products_are_refused() -> None:
    q = Quant.per_tensor(1, 0)
    node = inferred("batch_matmul", [value("a", (1, 40000), "int8", q), value("b", (40000, 1), "int8", q)], q,
                    adj_x=False, adj_y=False)  # fmt: skip
    with pytest.raises(Unsupported, match="can leave 32 bits"):
        ops.module("batch_matmul").encode(node, harness.rows_of("batch_matmul", "s8s8")[0])
