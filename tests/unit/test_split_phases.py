# SPDX-License-Identifier: Apache-2.0
"""Transposed convolutions as ordinary ones: the same bytes, and only where phases are convolutions of the image."""

from __future__ import annotations

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, random_array, seeds, value
from test_groups import transposed

from edgesdk import flow, ops, passes
from edgesdk.ir import Graph, Node, Quant
from edgesdk.passes.split_phases import split_phases
from edgesdk.verify import verify


def graph_of(node: Node) -> Graph:
    return Graph("g", [node.input(0)], [node.output], [node])


def evaluated(graph: Graph, x: np.ndarray) -> np.ndarray:
    return ops.evaluate(graph, [x])[graph.outputs[0]]


@pytest.mark.parametrize("types", ["int8", "float32", "int16 int8", "float32 int8", "int8 int4"])
@settings(max_examples=60)
@given(data=st.data())
def test_phases_give_the_same_bytes(types: str, data) -> None:
    node, arrays = data.draw(transposed(types))
    expected = ops.module(node.op).reference(node, arrays)[0]
    graph = passes.lower(verify(split_phases(graph_of(node)), "source"))
    harness.compare("phases", evaluated(graph, arrays[0]), expected, harness.magnitude(node, arrays))


def window(kernel: int, stride: int, before: int, extra: int, w: int = 5, quantised: bool = True) -> Node:
    rng = np.random.default_rng(kernel)
    q = Quant.per_tensor(0.1, 3) if quantised else None
    x = value("x", (2, 4, w, 6), "int8" if quantised else "float32", q)
    weights = random_array(rng, (7, kernel, kernel, 6), x.dtype)
    scales = Quant(rng.uniform(0.01, 0.02, 7).astype(np.float32), np.zeros(7, np.int32), 0) if quantised else None
    return inferred(
        "transpose_conv2d", [x, value("w", weights.shape, x.dtype, scales, weights), None], q, stride=(stride, stride),
        dilation=(1, 1), padding=(before,) * 4, output_padding=(extra, extra), activation="relu",
    )  # fmt: skip


@pytest.mark.parametrize("kernel, stride, before, extra, convolutions", [
    (2, 2, 0, 0, 1), (3, 3, 0, 0, 1), (4, 2, 1, 0, 4), (3, 2, 1, 1, 4), (6, 3, 1, 0, 9), (1, 1, 0, 0, 1),
    (4, 4, 0, 0, 1),
])  # fmt: skip
@given(seed=seeds)
@settings(max_examples=5)
def test_as_networks_have_them(kernel: int, stride: int, before: int, extra: int, convolutions: int, seed: int) -> None:
    node = window(kernel, stride, before, extra)
    x = random_array(np.random.default_rng(seed), node.input(0).shape, "int8")
    expected = ops.module(node.op).reference(node, [x, node.input(1).data, None])[0]
    graph = passes.lower(graph_of(node), ("avx2", "c"))
    assert [n.op for n in graph.nodes].count("conv2d") == convolutions
    assert "transpose_conv2d" not in [n.op for n in graph.nodes]
    assert np.array_equal(evaluated(graph, x), expected)


def test_only_for_vectors() -> None:
    for isa in ((), ("c",), ("dsp", "thumb2", "c"), ("mve", "dsp", "thumb2", "c")):
        assert [n.op for n in passes.lower(graph_of(window(2, 2, 0, 0)), isa).nodes] == ["transpose_conv2d"]
    assert flow.schedule.schedule(passes.lower(graph_of(window(2, 2, 0, 0)), ("neon", "c")), ("neon", "c")).steps


@pytest.mark.parametrize("kernel, stride, before", [(1, 2, 0), (2, 3, 0), (2, 1, 2)])
def test_phases_that_are_no_convolutions_stay(kernel: int, stride: int, before: int) -> None:
    """Of outputs that read nothing, or not from the first pixel on."""
    assert [n.op for n in split_phases(graph_of(window(kernel, stride, before, 0))).nodes] == ["transpose_conv2d"]


def test_lines_of_one_row_are_only_seen_otherwise() -> None:
    """One-dimensional ones whose phases are alike need no move at all."""
    rng = np.random.default_rng(0)
    w = value("w", (3, 1, 4, 5), "float32", None, random_array(rng, (3, 1, 4, 5), "float32"))
    attrs = {"stride": (1, 4), "dilation": (1, 1), "padding": (0,) * 4, "output_padding": (0, 0)}
    node = inferred("transpose_conv2d", [value("x", (1, 1, 9, 5), "float32"), w, None], activation="none", **attrs)
    graph = passes.lower(graph_of(node), ("neon", "c"))
    assert {n.op for n in graph.nodes} <= {"conv2d", "reshape"}
    x = random_array(rng, (1, 1, 9, 5), "float32")
    expected = ops.module(node.op).reference(node, [x, w.data, None])[0]
    harness.compare("lines", evaluated(graph, x), expected, harness.magnitude(node, [x, w.data, None]))
