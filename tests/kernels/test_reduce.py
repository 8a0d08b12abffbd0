# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, seeds, value

from edgesdk import kernels, ops
from edgesdk.ir import Graph, Node, Quant
from edgesdk.ops import reduce
from edgesdk.passes.lower_reduce import lower_reduce

TFLITE = {"mean": "MEAN", "sum": "SUM", "reduce_max": "REDUCE_MAX"}


@st.composite
def reductions(draw, op: str, dtype: str, max_rank: int = 5) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=max_rank)))
    axes = tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    q = None if dtype == "float32" else quant(draw, dtype)
    x = value("x", shape, dtype, q)
    out_quant = q if q is None or op == "reduce_max" else quant(draw, dtype)
    node = inferred(op, [x], out_quant, axes=axes, keep_dims=draw(st.booleans()))
    x = random_array(rng, shape, dtype)
    # Float sums that cancel have no small relative error to test for.
    return node, [np.abs(x) if dtype == "float32" else x]


@st.composite
def image_means(draw, dtype: str) -> tuple[Node, list]:
    """What lower_image_mean makes of a pool over the whole image."""
    channels = st.sampled_from([1, 2, 3, 4, 5, 15, 16, 17, 33])
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), channels))
    q = quant(draw, dtype)
    attrs = {"activation": draw(activations), "axes": (1, 2), "keep_dims": True}
    node = inferred("image_mean", [value("x", shape, dtype, q)], q, **attrs)
    return node, [random_array(np.random.default_rng(draw(seeds)), shape, dtype)]


def check_lowered(node: Node, arrays: list) -> None:
    """The kernel on the node itself, or on what lower_reduce makes of it."""
    expected = ops.module(node.op).reference(node, arrays)[0]
    graph = lower_reduce(Graph("g", [node.input(0)], [node.output], [node]))
    values = ops.evaluate(graph, arrays)
    harness.compare("lower_reduce", values[node.output], expected)
    (lowered,) = [n for n in graph.nodes if n.op == node.op]
    assert reduce.canonical(lowered.input(0).shape, lowered.attrs["axes"]) is not None
    harness.check(lowered, [arrays[0] if lowered.input(0) is node.input(0) else values[lowered.input(0)]])


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("op", TFLITE)
@given(data=st.data())
def test_reduction_equals_reference(op: str, dtype: str, data) -> None:
    check_lowered(*data.draw(reductions(op, dtype)))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@given(data=st.data())
def test_mean_of_an_image_equals_reference(dtype: str, data) -> None:
    harness.check(*data.draw(image_means(dtype)))


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("shape", [(1, 7, 7, 33), (2, 5, 3, 8)])
def test_global_average_pool_is_read_row_by_row(shape, dtype: str) -> None:
    rng = np.random.default_rng(0)
    q = None if dtype == "float32" else Quant.per_tensor(0.05, -3 if dtype == "int8" else 0)
    node = inferred("mean", [value("x", shape, dtype, q)], q, axes=(1, 2), keep_dims=False)
    harness.check(node, [random_array(rng, shape, dtype)])
    kernel = kernels.choose("reduce", [reduce.types(node)], ["c"])
    assert kernel is not None
    (view,) = reduce.encode(node, kernel).inputs
    assert (view.rows, view.row_bytes) == (shape[1], shape[2] * shape[3] * node.output.itemsize)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@settings(max_examples=20)
@given(data=st.data())
def test_wide_images_equal_the_reference(dtype: str, data) -> None:
    """As many channels as vectors hold, and more pixels in a row than 16 bits can add up."""
    shape = (1, data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 7, 255, 257, 600])))
    shape = (*shape, data.draw(st.sampled_from([31, 32, 40, 64, 71])))
    q, out = (None, None) if dtype == "float32" else (quant(data.draw, dtype), quant(data.draw, dtype))
    op = data.draw(st.sampled_from(["mean", "sum"]))
    node = inferred(op, [value("x", shape, dtype, q)], out, axes=(1, 2), keep_dims=False)
    x = random_array(np.random.default_rng(data.draw(seeds)), shape, dtype)
    if dtype == "int8" and data.draw(st.booleans()):
        x[:] = data.draw(st.sampled_from([-128, 127]))
    harness.check(node, [np.abs(x) if dtype == "float32" else x])


def test_nan_is_the_maximum() -> None:
    x = np.array([[1, np.nan, 3], [-np.inf, 2, np.inf]], np.float32)
    node = inferred("reduce_max", [value("x", x.shape, "float32")], None, axes=(1,), keep_dims=False)
    harness.check(node, [x])


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("op", TFLITE)
@settings(max_examples=20)
@given(data=st.data())
def test_reduction_equals_tflite_micro(op: str, dtype: str, data) -> None:
    pytest.importorskip("tflite_micro")
    import tflite_models as tflite

    if (op, dtype) == ("reduce_max", "int16"):
        pytest.skip("TFLite Micro has no maximum of int16")
    node, (x,) = data.draw(reductions(op, dtype, max_rank=4))

    def tensor(v):
        q = {} if v.quant is None else {"scale": v.scale, "zero_point": v.zero_point}
        return tflite.Tensor(v.name, v.shape, v.dtype, **q)

    tensors = [tensor(node.input(0)), tensor(node.output), tflite.constant("axes", node.attrs["axes"])]
    op_made = tflite.Op(TFLITE[op], ["x", "axes"], ["y"], {"keepDims": node.attrs["keep_dims"]})
    got = tflite.run_micro(tflite.build(tensors, [op_made]), [x])[0].reshape(node.output.shape)
    harness.compare("tflite micro", ops.module(op).reference(node, [x])[0], got)
