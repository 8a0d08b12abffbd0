# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, random_array, seeds, value

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant
from edgesdk.passes.split_concat import split_concat
from edgesdk.verify import verify

Q = Quant.per_tensor(0.1, -7)


@st.composite
def concats(draw, dtype: str, max_inputs: int = 4, constants: bool = True) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5 if constants else 4))
    axis = draw(st.integers(0, len(shape) - 1))
    extents = draw(st.lists(st.integers(1, 5), min_size=1, max_size=max_inputs))
    arrays = [random_array(rng, (*shape[:axis], n, *shape[axis + 1 :]), dtype) for n in extents]
    q = {"int8": Q, "int16": Quant.per_tensor(0.1, 0)}.get(dtype)
    fixed = [constants and i > 0 and draw(st.booleans()) for i in range(len(arrays))]
    inputs = [
        value(f"x{i}", a.shape, dtype, q, a if f else None) for i, (a, f) in enumerate(zip(arrays, fixed, strict=True))
    ]
    return inferred("concat", inputs, q, axis=axis), arrays


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@given(data=st.data())
def test_concat_equals_reference(dtype: str, data) -> None:
    harness.check(*data.draw(concats(dtype)))


@settings(max_examples=30)
@given(data=st.data())
def test_many_inputs_become_a_tree(data) -> None:
    node, arrays = data.draw(concats("int8", 22))
    expected = ops.module("concat").reference(node, arrays)[0]
    variables = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v.data is None]
    graph = verify(split_concat(Graph("g", [v for v, _ in variables], node.outputs, [node])))
    assert all(len(n.inputs) <= 4 for n in graph.nodes)
    found = ops.evaluate(graph, [a for _, a in variables])
    assert np.array_equal(found[node.output], expected)


def test_different_scales_are_refused() -> None:
    a, b = value("a", (1, 4), "int8", Q), value("b", (1, 4), "int8", Quant.per_tensor(0.2, -7))
    with pytest.raises(Unsupported, match=r"input 1 \(b\) of concat is quantised differently"):
        inferred("concat", [a, b], Q, axis=1)


@settings(max_examples=25)
@given(data=st.data())
def test_bytes_of_tflite_micro(data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node, arrays = data.draw(concats("int8", 10, constants=False))
    tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=v.zero_point) for v in [*node.inputs, node.output]]
    names = [v.name for v in node.inputs]
    model = tm.build(tensors, [tm.Op("CONCATENATION", names, ["y"], {"axis": node.attrs["axis"]})], inputs=names)
    assert np.array_equal(tm.run_micro(model, arrays)[0], ops.module("concat").reference(node, arrays)[0])
