# SPDX-License-Identifier: Apache-2.0
"""Largest and smallest items, running sums, reductions of every dtype."""

import harness
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_items, seeds, value

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant
from edgesdk.passes.lower_reduce import lower_reduce

dtypes = st.sampled_from(["float32", "int8", "int16", "int32", "int64", "uint8"])
ONE = Quant.per_tensor(1.0, 0)


@st.composite
def arrays(draw, max_rank: int = 5, kinds=dtypes) -> np.ndarray:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=max_rank)))
    x = random_items(np.random.default_rng(draw(seeds)), shape, draw(kinds))
    if x.dtype == np.float32 and draw(st.booleans()):
        x.ravel()[:: draw(st.integers(1, 4))] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]))
    return x


def tensor(x: np.ndarray) -> list:
    return [value("x", x.shape, x.dtype.name, ONE if x.dtype == np.int8 else None)]


@pytest.mark.parametrize("op", ["arg_max", "arg_min"])
@settings(max_examples=80)
@given(data=st.data())
def test_arg_max(op: str, data) -> None:
    x = data.draw(arrays())
    attrs = {
        "axis": data.draw(st.integers(0, x.ndim - 1)),
        "index_dtype": data.draw(st.sampled_from(["int32", "int64"])),
    }
    attrs |= {"keep_dims": data.draw(st.booleans()), "last": data.draw(st.booleans())}
    node = inferred(op, tensor(x), **attrs)
    got = ops.module(op).reference(node, [x])[0]
    if not np.isnan(x.astype(np.float64)).any() and not attrs["last"]:
        plain = (np.argmax if op == "arg_max" else np.argmin)(x, attrs["axis"])
        assert np.array_equal(got.reshape(plain.shape), plain)
    harness.check(node, [x])


@settings(max_examples=100)
@given(data=st.data())
def test_top_k(data) -> None:
    x = data.draw(arrays())
    axis = data.draw(st.integers(0, x.ndim - 1))
    attrs = {"axis": axis, "k": data.draw(st.integers(1, x.shape[axis])), "largest": data.draw(st.booleans())}
    for op in ("top_k_values", "top_k_indices"):
        node = inferred(op, tensor(x), ONE if x.dtype == np.int8 else None, index_dtype="int32", **attrs)
        harness.check(node, [x])
    if not np.isnan(x.astype(np.float64)).any():
        values = np.sort(x, axis)
        values = np.flip(values, axis) if attrs["largest"] else values
        node = inferred("top_k_values", tensor(x), ONE if x.dtype == np.int8 else None, index_dtype="int32", **attrs)
        assert np.array_equal(
            ops.module("top_k_values").reference(node, [x])[0], np.take(values, range(attrs["k"]), axis)
        )


def sum_scales(draw) -> tuple[Quant, Quant]:
    """Of the input and the output, as far apart as the kernel allows."""
    x, y = quant(draw), quant(draw)
    assume(float(x.scale[0]) >= float(y.scale[0]) * 2**-12)
    return x, y


@settings(max_examples=100)
@given(data=st.data())
def test_cumsum(data) -> None:
    x = data.draw(arrays(kinds=st.sampled_from(["float32", "int8", "int32", "int64"])))
    if x.dtype == np.float32:
        x = np.where(np.isfinite(x), x, 2).astype(np.float32)
    attrs = {"axis": data.draw(st.integers(0, x.ndim - 1)), "exclusive": data.draw(st.booleans())}
    attrs["reverse"] = data.draw(st.booleans())
    scales = sum_scales(data.draw) if x.dtype == np.int8 else (None, None)
    harness.check(inferred("cumsum", [value("x", x.shape, x.dtype.name, scales[0])], scales[1], **attrs), [x])


@settings(max_examples=40)
@given(data=st.data())
def test_cumsum_has_the_bytes_of_tflite_micro(data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    x = data.draw(arrays(kinds=st.just("int8")))
    attrs = {"axis": data.draw(st.integers(0, x.ndim - 1)), "exclusive": data.draw(st.booleans())}
    attrs["reverse"] = data.draw(st.booleans())
    scales = sum_scales(data.draw)
    node = inferred("cumsum", [value("x", x.shape, "int8", scales[0])], scales[1], **attrs)
    made = [tm.Tensor(v.name, v.shape, "int8", v.scale, v.zero_point) for v in (node.input(0), node.output)]
    options = {k: attrs[k] for k in ("exclusive", "reverse")}
    model = tm.build([*made, tm.constant("axis", [attrs["axis"]])], [tm.Op("CUMSUM", ["x", "axis"], ["y"], options)])
    assert np.array_equal(tm.run_micro(model, [x])[0], ops.module("cumsum").reference(node, [x])[0])


@settings(max_examples=30)
@given(data=st.data())
def test_arg_max_has_the_bytes_of_tflite_micro(data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    x = data.draw(arrays(kinds=st.sampled_from(["float32", "int8"])).filter(lambda a: a.ndim > 1))
    x = np.nan_to_num(x) if x.dtype == np.float32 else x
    op = data.draw(st.sampled_from(["arg_max", "arg_min"]))
    node = inferred(op, tensor(x), axis=data.draw(st.integers(0, x.ndim - 1)), keep_dims=False, index_dtype="int32")
    scale = 1.0 if x.dtype == np.int8 else None
    made = [tm.Tensor("x", x.shape, x.dtype.name, scale), tm.constant("axis", [node.attrs["axis"]])]
    options = {"outputType": 2}
    model = tm.build(
        [*made, tm.Tensor("y", node.output.shape, "int32")], [tm.Op(op.upper(), ["x", "axis"], ["y"], options)]
    )
    assert np.array_equal(tm.run_micro(model, [x])[0], ops.module(op).reference(node, [x])[0])


def reduced(op: str, x: np.ndarray, axes: tuple[int, ...], keep: bool) -> None:
    """The reduction as it is lowered, step by step."""
    q = ONE if x.dtype == np.int8 else None
    node = inferred(op, tensor(x), q, axes=axes, keep_dims=keep)
    expected = ops.module(op).reference(node, [x])[0]
    known = {node.input(0): x}
    for n in lower_reduce(Graph("g", [], node.outputs, [node])).nodes:
        inputs = [known[v] for v in n.inputs]
        if n.op not in ("transpose", "reshape"):
            harness.check(n, inputs)
        known[n.output] = ops.module(n.op).reference(n, inputs)[0]
    harness.compare(op, known[node.output], expected)


CASES: list[tuple[str, list[str]]] = [
    ("reduce_min", ["float32", "int8", "int16", "int32", "int64", "uint8"]),
    ("reduce_max", ["float32", "int8", "int16", "int32", "int64", "uint8"]),
    ("reduce_prod", ["float32", "int32", "int64", "int16", "uint8"]),
    ("sum", ["int32", "int64", "int16", "uint8"]),
    ("reduce_any", ["bool"]),
    ("reduce_all", ["bool"]),
]


@pytest.mark.parametrize(("op", "kinds"), CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_reductions(op: str, kinds: list[str], data) -> None:
    x = data.draw(arrays(kinds=st.sampled_from(kinds)))
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, x.ndim - 1)))))
    if op in ("reduce_prod", "reduce_min") and x.dtype == np.float32:
        x = np.where(np.isinf(x), 1, x).astype(np.float32)
    reduced(op, x, axes, data.draw(st.booleans()))


def test_a_mean_of_integers_is_refused() -> None:
    node = Node("mean", [value("x", (3,), "int32")], [value("y", (), "int32")], {"axes": (0,), "keep_dims": False})
    with pytest.raises(Unsupported, match="mean of int32"):
        ops.module("mean").infer(node)
