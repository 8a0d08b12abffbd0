# SPDX-License-Identifier: Apache-2.0
"""Channel shuffles become one concat of single items; the numbers stay."""

from __future__ import annotations

import numpy as np
import pytest
import small_models
from hypothesis import given
from hypothesis import strategies as st
from sketch import Sketch

from edgesdk import ops, runtime
from edgesdk.ir import Graph, Quant, Value
from edgesdk.passes.fold_shuffles import fold_shuffles
from edgesdk.verify import verify

QUANT = Quant.per_tensor(0.1, 3)


def joined(s: Sketch, axis: int, shape: tuple[int, ...], perm: tuple[int, ...]) -> Value:
    """All inputs one after another, seen as `shape` and transposed."""
    return s.op("transpose", s.op("reshape", s.op("concat", *s.inputs, axis=axis), shape=shape), perm=perm)


def check(s: Sketch, graph: Graph, transposes: int) -> None:
    random = np.random.default_rng(1)
    arrays = [random.integers(-128, 128, v.shape).astype(v.dtype) for v in s.inputs]
    expected = ops.evaluate(graph, arrays)[graph.outputs[0]]
    folded = verify(fold_shuffles(graph))
    assert [n.op for n in folded.nodes].count("transpose") == transposes
    assert np.array_equal(ops.evaluate(folded, arrays)[folded.outputs[0]], expected)
    session = runtime.open_session(small_models.compiled(folded))
    assert np.array_equal(runtime.run(session, arrays)[0], expected)


@given(st.integers(2, 4), st.integers(1, 3), st.integers(2, 5), st.sampled_from(["int8", "float32"]))
def test_shuffled_channels(parts: int, width: int, channels: int, dtype: str) -> None:
    quant = QUANT if dtype == "int8" else None
    s = Sketch(*[(1, 2, width, channels)] * parts, dtype=dtype, quant=quant)
    y = joined(s, 3, (1, 2, width, parts, channels), (0, 1, 2, 4, 3))
    check(s, s.graph(s.op("reshape", y, shape=(1, 2, width, parts * channels))), 0)


@pytest.mark.parametrize("inner", [1, 4])
def test_parts_move_behind_some_axes(inner: int) -> None:
    s = Sketch((1, 3, 5 * inner), (1, 3, 5 * inner), dtype="int8", quant=QUANT)
    check(s, s.graph(joined(s, 1, (2, 3, 5, inner), (1, 2, 0, 3))), 0)


def test_transposes_of_the_parts_themselves_stay() -> None:
    s = Sketch((1, 3, 4), (1, 3, 4), dtype="int8", quant=QUANT)
    check(s, s.graph(joined(s, 1, (2, 3, 4), (2, 1, 0))), 1)


def test_a_concat_that_others_read_stays() -> None:
    s = Sketch((1, 3, 4), (1, 3, 4), dtype="int8", quant=QUANT)
    y = joined(s, 1, (2, 3, 4), (1, 0, 2))
    check(s, s.graph(y, s.nodes[0].output), 1)


def test_parts_of_different_sizes_stay() -> None:
    s = Sketch((1, 3, 4), (1, 1, 4), dtype="int8", quant=QUANT)
    check(s, s.graph(joined(s, 1, (2, 2, 4), (1, 0, 2))), 1)
