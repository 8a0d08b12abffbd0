# SPDX-License-Identifier: Apache-2.0
"""Weights that a TFLite file stores without their zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

models = pytest.importorskip("tflite_models")
from ai_edge_litert import schema_py_generated as schema  # noqa: E402
from tflite_models import Op, Tensor, constant  # noqa: E402

from edgesdk import ops  # noqa: E402
from edgesdk.converters import tflite  # noqa: E402
from edgesdk.errors import EdgeError, UsageError  # noqa: E402

VECTORS = {"int32": (1, schema.Int32VectorT), "uint16": (2, schema.Uint16VectorT), "uint8": (3, schema.Uint8VectorT)}


def vector(values: list[int], dtype: str) -> tuple[int, Any]:
    number, kind = VECTORS[dtype]
    made = kind()
    made.values = np.array(values, dtype)
    return number, made


def sparsity(order: list[int], block_map: list[int], levels: list[Any]) -> Any:
    made = schema.SparsityParametersT()
    made.traversalOrder, made.blockMap, made.dimMetadata = order, block_map, levels
    return made


def dense_level(size: int) -> Any:
    made = schema.DimensionMetadataT()
    made.format, made.denseSize = schema.DimensionType.DENSE, size
    return made


def sparse_level(segments: list[int], indices: list[int], dtype: str) -> Any:
    made = schema.DimensionMetadataT()
    made.format = schema.DimensionType.SPARSE_CSR
    made.arraySegmentsType, made.arraySegments = vector(segments, dtype)
    made.arrayIndicesType, made.arrayIndices = vector(indices, dtype)
    return made


def encode(array: np.ndarray, order: list[int], blocks: dict[int, int], sparse: set[int], dtype: str) -> Any:
    """(sparsity, stored values) of an array: `blocks` by dimension, `sparse` levels by their place in the order."""
    rank, mapped = array.ndim, sorted(blocks)
    split = [d // blocks.get(a, 1) for a, d in enumerate(array.shape)]
    cut = array.reshape([n for a, d in enumerate(split) for n in (d, array.shape[a] // d)])
    cut = cut.transpose([*range(0, 2 * rank, 2), *(2 * a + 1 for a in range(rank))])
    cut = cut.reshape([*split, *(blocks[a] for a in mapped)]).transpose(order)
    nodes, levels = [cut], []
    for k in range(cut.ndim):
        kept = [[i for i in range(len(n)) if k not in sparse or np.any(n[i])] for n in nodes]
        if k in sparse:
            ends = np.cumsum([0, *map(len, kept)]).tolist()
            levels.append(sparse_level(ends, [i for row in kept for i in row], dtype))
        else:
            levels.append(dense_level(cut.shape[k]))
        nodes = [n[i] for n, row in zip(nodes, kept, strict=True) for i in row]
    return sparsity(order, mapped, levels), np.array(nodes, array.dtype)


def densify_model(array: np.ndarray, made: Any, values: np.ndarray) -> bytes:
    """x + densify(k)"""
    dtype = array.dtype.name
    tensors = [Tensor("x", array.shape, dtype), Tensor("k", array.shape, dtype, data=values)]
    tensors += [Tensor("dense", array.shape, dtype), Tensor("y", array.shape, dtype)]
    model = models.unpack(models.build(tensors, [Op("DENSIFY", ["k"], ["dense"]), Op("ADD", ["x", "dense"], ["y"])]))
    model.subgraphs[0].tensors[1].sparsity = made
    return models.pack(model)


@st.composite
def cases(draw: Any) -> tuple[np.ndarray, Any, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.integers(1, 4))
    blocks = {a: draw(st.integers(1, 4)) for a in range(rank) if draw(st.booleans())}
    shape = [draw(st.integers(1, 4)) * blocks.get(a, 1) for a in range(rank)]
    array = rng.standard_normal(shape) * (rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
    # Blocks are walked after the tensor's own dimensions.
    order = [*draw(st.permutations(range(rank))), *range(rank, rank + len(blocks))]
    sparse = {k for k in range(rank) if draw(st.booleans())}
    made, values = encode(array.astype(np.float32), order, blocks, sparse, draw(st.sampled_from(list(VECTORS))))
    return array.astype(np.float32), made, values


@given(case=cases())
def test_sparse_constants_are_expanded_exactly(case: Any) -> None:
    array, made, values = case
    if not values.size:
        values = np.zeros(1, np.float32)  # a tensor without data is no constant
    graph = tflite.parse(densify_model(array, made, values), "m", {})
    assert [n.op for n in graph.nodes] == ["add"]
    assert np.array_equal(graph.nodes[0].input(1).data, array)


@settings(max_examples=15)
@given(case=cases().filter(lambda c: c[2].size > 0))
def test_litert_expands_them_alike(case: Any) -> None:
    """The encoding that these tests write is the format's."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    array, made, values = case
    oracle = interpreter.Interpreter(model_content=densify_model(array, made, values))
    oracle.allocate_tensors()
    oracle.set_tensor(oracle.get_input_details()[0]["index"], np.zeros_like(array))
    oracle.invoke()
    assert np.array_equal(oracle.get_tensor(oracle.get_output_details()[0]["index"]), array)


def test_sparse_weights_without_densify() -> None:
    """int8 weights of a float layer, in blocks of 1 x 4, as LiteRT's sparse kernels read them."""
    rng = np.random.default_rng(0)
    w = rng.integers(-127, 128, (8, 16)).astype(np.int8) * np.repeat(rng.random((8, 4)) < 0.4, 4, 1).astype(np.int8)
    made, values = encode(w, [0, 1, 2], {1: 4}, {1}, "uint8")
    stored = Tensor("w", w.shape, "int8", scale=0.5, data=values)
    tensors = [Tensor("x", (1, 16), "float32"), stored, Tensor("y", (1, 8), "float32")]
    model = models.unpack(models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w"], ["y"])]))
    model.subgraphs[0].tensors[1].sparsity = made
    node = tflite.parse(models.pack(model), "m", {}).nodes[0]
    assert values.size < w.size and np.array_equal(node.input(1).data, w)
    x = rng.standard_normal((1, 16)).astype(np.float32)
    got = ops.module("fully_connected").reference(node, [x, node.input(1).data, None])[0]
    np.testing.assert_allclose(got, x @ (w.T * np.float32(0.5)), rtol=1e-5)


def test_sparse_float16_behind_densify_and_dequantize_stays_float16() -> None:
    w = np.eye(4, 6, dtype=np.float16)
    made, values = encode(w, [0, 1], {}, {1}, "uint8")
    tensors = [Tensor("x", (1, 6), "float32"), Tensor("w", w.shape, "float16", data=values)]
    tensors += [Tensor("d", w.shape, "float16"), Tensor("f", w.shape, "float32"), Tensor("y", (1, 4), "float32")]
    chain = [Op("DENSIFY", ["w"], ["d"]), Op("DEQUANTIZE", ["d"], ["f"]), Op("FULLY_CONNECTED", ["x", "f"], ["y"])]
    model = models.unpack(models.build(tensors, chain))
    model.subgraphs[0].tensors[1].sparsity = made
    weights = tflite.parse(models.pack(model), "m", {}).nodes[0].input(1)
    assert weights.dtype == "float16" and np.array_equal(weights.data, w)


@pytest.mark.parametrize(
    "order, block_map, levels, text",
    [
        ([0], [], [dense_level(3)], "traversal order"),
        ([0, 0], [], [dense_level(3)] * 2, "traversal order"),
        ([0, 1], [], [dense_level(3)], "1 levels"),
        ([0, 1], [], [dense_level(3), dense_level(7)], "7 indices of dimension 1"),
        ([0, 1, 2], [1], [dense_level(3), dense_level(4), dense_level(3)], "blocks of"),
        ([0, 1, 2], [5], [dense_level(3)] * 3, "block map"),
        ([0, 1], [], [dense_level(3), sparse_level([0, 1, 2, 3], [0, 1, 9], "uint8")], "outside of its 4"),
        ([0, 1], [], [dense_level(3), sparse_level([0, 1, 2, 9], [0, 1, 2], "uint8")], "segments of dimension 1"),
        ([0, 1], [], [dense_level(3), sparse_level([0, 2, 1, 3], [0, 1, 2], "uint8")], "segments of dimension 1"),
        ([0, 1], [], [dense_level(3), sparse_level([0, 1], [0], "uint8")], "2 segments of dimension 1"),
        ([0, 1], [], [dense_level(3), sparse_level([0, 9, 18, 27], [0] * 27, "uint8")], "more values than the 12"),
        ([0, 1], [], [dense_level(3), sparse_level([0, 4, 8, 12], [0, 1, 2, 3] * 3, "uint8")], "only 4 bytes"),
    ],
)
def test_damaged_sparsity_is_refused(order: Any, block_map: Any, levels: Any, text: str) -> None:
    array = np.zeros((3, 4), np.float32)
    data = densify_model(array, sparsity(order, block_map, levels), np.zeros(1, np.float32))
    with pytest.raises(UsageError, match=text):
        tflite.parse(data, "m", {})


@given(seed=st.integers(0, 2**32 - 1), case=cases())
def test_changed_bytes_give_a_graph_or_a_refusal(seed: int, case: Any) -> None:
    array, made, values = case
    data = bytearray(densify_model(array, made, values if values.size else np.zeros(1, np.float32)))
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(data), rng.integers(1, 6)):
        data[at] = rng.integers(0, 256)
    try:
        tflite.parse(bytes(data), "m", {})
    except EdgeError as refusal:
        assert str(refusal)


def test_a_densified_constant_may_be_an_output() -> None:
    x = constant("k", np.arange(4.0).reshape(2, 2), "float32")
    tensors = [Tensor("x", (2, 2), "float32"), x, Tensor("y", (2, 2), "float32")]
    graph = tflite.parse(models.build(tensors, [Op("DENSIFY", ["k"], ["y"])]), "m", {})
    assert np.array_equal(graph.outputs[0].data, [[0, 1], [2, 3]])
