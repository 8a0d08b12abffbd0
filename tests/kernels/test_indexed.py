# SPDX-License-Identifier: Apache-2.0
"""Gather and scatter, in all their forms, against plain numpy and TFLite Micro."""

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, random_items, seeds, value

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import copy
from edgesdk.passes.lower_indices import lower_indices

dtypes = st.sampled_from(["float32", "int8", "int16", "int32", "int64", "bool", "uint8"])
index_dtypes = st.sampled_from(["int32", "int64"])
ONE = Quant.per_tensor(1.0, 0)


def dims(draw, low: int, high: int) -> tuple[int, ...]:
    return tuple(draw(st.lists(st.integers(1, 4), min_size=low, max_size=high)))


def indices_of(draw, rng: np.random.Generator, shape: tuple[int, ...], extent: int) -> np.ndarray:
    """Mostly in range, negative ones too, some far outside."""
    i = rng.integers(-extent, extent, shape)
    wild = rng.choice(np.array([-(2**31), 2**31 - 1, extent, -extent - 1]), shape)
    return np.where(rng.random(shape) < 0.9, i, wild).astype(draw(index_dtypes))


def resolved(i: np.ndarray, extent: int) -> np.ndarray:
    """The documented rule: from the end where negative, then clamped."""
    wide = i.astype(np.int64)
    return np.clip(np.where(wide < 0, wide + extent, wide), 0, extent - 1)


def tensors(*arrays: np.ndarray) -> list[Value]:
    return [value(f"x{i}", a.shape, a.dtype.name, ONE if a.dtype == np.int8 else None) for i, a in enumerate(arrays)]


@settings(max_examples=120)
@given(data=st.data())
def test_gather(data) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(seeds))
    x = random_items(rng, dims(draw, 1, 4), draw(dtypes))
    axis = draw(st.integers(0, x.ndim - 1))
    batch = draw(st.integers(0, axis))
    indices = indices_of(draw, rng, (*x.shape[:batch], *dims(draw, 0, 2)), x.shape[axis])
    node = inferred("gather", tensors(x, indices), ONE if x.dtype == np.int8 else None, axis=axis, batch_dims=batch)
    expected = np.empty(node.output.shape, x.dtype)
    for b in np.ndindex(x.shape[:batch]):
        expected[b] = np.take(x[b], resolved(indices[b], x.shape[axis]), axis - batch)
    assert np.array_equal(ops.module("gather").reference(node, [x, indices])[0], expected)
    harness.check(node, [x, indices])


@settings(max_examples=80)
@given(data=st.data())
def test_gather_nd(data) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(seeds))
    x = random_items(rng, dims(draw, 1, 5), draw(dtypes))
    batch = draw(st.integers(0, x.ndim - 1))
    count = draw(st.integers(1, x.ndim - batch))
    shape = (*x.shape[:batch], *dims(draw, 0, 2), count)
    extents = np.array(x.shape[batch : batch + count])
    indices = np.stack([indices_of(draw, rng, shape[:-1], int(e)).astype(np.int64) for e in extents], -1)
    node = inferred("gather_nd", tensors(x, indices), ONE if x.dtype == np.int8 else None, batch_dims=batch)
    expected = np.empty(node.output.shape, x.dtype)
    for p in np.ndindex(shape[:-1]):
        place = tuple(int(resolved(np.array(i), int(e))) for i, e in zip(indices[p], extents, strict=True))
        expected[p] = x[(*p[:batch], *place)]
    assert np.array_equal(ops.module("gather_nd").reference(node, [x, indices])[0], expected)
    harness.check(node, [x, indices])


@settings(max_examples=80)
@given(data=st.data())
def test_gather_and_scatter_elements(data) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(seeds))
    x = random_items(rng, dims(draw, 1, 6), draw(dtypes))
    axis = draw(st.integers(0, x.ndim - 1))
    shape = tuple(draw(st.integers(1, 5 if a == axis else d)) for a, d in enumerate(x.shape))
    indices = indices_of(draw, rng, shape, x.shape[axis])
    quant = ONE if x.dtype == np.int8 else None
    node = inferred("gather_elements", tensors(x, indices), quant, axis=axis)
    updates = random_items(rng, shape, x.dtype.name)
    gathered, scattered = np.empty(shape, x.dtype), x.copy()
    for p in np.ndindex(shape):
        place = list(p)
        place[axis] = int(resolved(indices[p], x.shape[axis]))
        gathered[p] = x[tuple(place)]
        scattered[tuple(place)] = updates[p]
    assert np.array_equal(ops.module("gather_elements").reference(node, [x, indices])[0], gathered)
    harness.check(node, [x, indices])
    node = inferred("scatter_elements", tensors(x, indices, updates), quant, axis=axis, reduction="none")
    assert np.array_equal(ops.module("scatter_elements").reference(node, [x, indices, updates])[0], scattered)
    harness.check(node, [x, indices, updates])


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min", "max"])
@settings(max_examples=40)
@given(data=st.data())
def test_scatter_nd(reduction: str, data) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(seeds))
    x = random_items(rng, dims(draw, 1, 4), draw(st.sampled_from(["float32", "int8", "int32", "int64", "uint8"])))
    count = draw(st.integers(1, x.ndim))
    shape = (*dims(draw, 0, 2), count)
    indices = np.stack([indices_of(draw, rng, shape[:-1], e).astype(np.int32) for e in x.shape[:count]], -1)
    updates = random_items(rng, (*shape[:-1], *x.shape[count:]), x.dtype.name)
    attrs = {"reduction": reduction}
    node = inferred("scatter_nd", tensors(x, indices, updates), ONE if x.dtype == np.int8 else None, **attrs)
    harness.check(node, [x, indices, updates])
    if reduction == "add":
        places = tuple(resolved(indices[..., m], x.shape[m]) for m in range(count))
        expected = x.astype(np.float64 if x.dtype == np.float32 else x.dtype)
        np.add.at(expected, places, updates)
        np.testing.assert_allclose(
            ops.module("scatter_nd").reference(node, [x, indices, updates])[0], expected, rtol=1e-5
        )


@settings(max_examples=60)
@given(data=st.data())
def test_update_slice(data) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(seeds))
    x = random_items(rng, dims(draw, 1, 5), draw(dtypes))
    update = random_items(rng, tuple(draw(st.integers(1, d)) for d in x.shape), x.dtype.name)
    start = rng.integers(-3, 6, x.ndim).astype(draw(index_dtypes))
    node = inferred("update_slice", tensors(x, start, update), ONE if x.dtype == np.int8 else None)
    expected = x.copy()
    begin = [min(max(0, int(s)), d - u) for s, d, u in zip(start, x.shape, update.shape, strict=True)]
    expected[tuple(slice(b, b + u) for b, u in zip(begin, update.shape, strict=True))] = update
    assert np.array_equal(ops.module("update_slice").reference(node, [x, start, update])[0], expected)
    harness.check(node, [x, start, update])


def test_constant_indices_that_are_evenly_spaced_become_slices() -> None:
    x = value("x", (5, 6), "float32")
    for data, found in (
        ([4, 2, 0], "slice"),
        (3, "slice"),
        ([1, 2, 4], "gather"),
        ([-1, -2], "slice"),
        ([2, 2], "gather"),
    ):
        indices = np.array(data, np.int64)
        node = inferred("gather", [x, value("i", indices.shape, "int64", None, indices)], axis=1, batch_dims=0)
        array = np.arange(30, dtype=np.float32).reshape(5, 6)
        graph = lower_indices(Graph("g", [x], [node.output], [node]))
        assert graph.nodes[0].op == found, data
        assert np.array_equal(ops.evaluate(graph, [array])[graph.outputs[0]], np.take(array, indices, 1))


def test_an_embedding_is_one_block_per_row() -> None:
    table = value("table", (10, 8), "int8", ONE, np.zeros((10, 8), np.int8))
    node = inferred("gather", [table, value("i", (3,), "int32")], ONE, axis=0, batch_dims=0)
    walk = ops.module("gather").walk(node)
    assert (walk.block, [loop.extent for loop in walk.loops]) == (8, [3])


def oracle(node: Node, code: str, arrays: list[np.ndarray], options: dict | None = None) -> np.ndarray:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    scale = {v: v.quant and v.scale for v in [*node.inputs, node.output] if v is not None}
    made = [tm.Tensor(v.name, v.shape, v.dtype, s) for v, s in scale.items()]
    names = [v.name for v in node.inputs if v is not None]
    result: np.ndarray = tm.run_micro(tm.build(made, [tm.Op(code, names, ["y"], options or {})], names), arrays)[0]
    return result


@settings(max_examples=20)
@given(data=st.data())
def test_gathers_have_the_bytes_of_tflite_micro(data) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(seeds))
    x = random_items(rng, dims(draw, 1, 4), draw(st.sampled_from(["float32", "int8"])))
    quant = ONE if x.dtype == np.int8 else None
    axis = draw(st.integers(0, x.ndim - 1))
    indices = rng.integers(0, x.shape[axis], dims(draw, 1, 2)).astype(np.int32)
    node = inferred("gather", tensors(x, indices), quant, axis=axis, batch_dims=0)
    expected = ops.module("gather").reference(node, [x, indices])[0]
    assert np.array_equal(oracle(node, "GATHER", [x, indices], {"axis": axis}), expected)
    indices = np.stack([rng.integers(0, d, (2, 3)) for d in x.shape[: draw(st.integers(1, x.ndim))]], -1).astype(
        np.int32
    )
    node = inferred("gather_nd", tensors(x, indices), quant, batch_dims=0)
    expected = ops.module("gather_nd").reference(node, [x, indices])[0]
    assert np.array_equal(oracle(node, "GATHER_ND", [x, indices]), expected)


def test_copies_of_every_item_size_run_backwards() -> None:
    for dtype in ("int8", "int16", "float32", "int64", "bool"):
        x = random_items(np.random.default_rng(0), (2, 3, 4, 5), dtype)
        node = inferred(
            "slice",
            tensors(x),
            ONE if dtype == "int8" else None,
            begin=(1, 2, 2, 4),
            size=(2, 3, 2, 5),
            stride=(-1, -1, -2, -1),
        )
        moved = ops.module("slice").lower(node)
        assert copy.loops_suffice(moved)
        harness.check(moved, [x])
        assert np.array_equal(copy.reference(moved, [x])[0], x[::-1, ::-1, 2::-2, ::-1])
