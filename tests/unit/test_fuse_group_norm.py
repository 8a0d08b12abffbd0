# SPDX-License-Identifier: Apache-2.0
"""Group norms written as instance norms of reshaped channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sketch import Sketch

from edgesdk import ops, passes
from edgesdk.ir import Graph, Value
from edgesdk.passes.fuse_group_norm import fuse_group_norm
from edgesdk.verify import verify


@dataclass(frozen=True)
class Written:
    """How the norm is written."""

    shape: tuple[int, ...]
    groups: int
    factor: tuple[int, ...] | None = None
    term: tuple[int, ...] | None = None


def norm(s: Sketch, written: Written) -> Value:
    x = s.inputs[0]
    y = s.op(
        "transpose",
        s.op("reshape", x, shape=(x.shape[0], written.groups, x.elements // x.shape[0] // written.groups)),
        perm=(0, 2, 1),
    )
    y = s.op("instance_norm", y, s.constant(written.groups), s.constant(written.groups), epsilon=1e-5)
    y = s.op("reshape", s.op("transpose", y, perm=(0, 2, 1)), shape=x.shape)
    y = y if written.factor is None else s.op("mul", y, s.constant(*written.factor))
    return y if written.term is None else s.op("add", s.constant(*written.term), y)


def check(s: Sketch, graph: Graph, expected_ops: list[str]) -> None:
    arrays = [np.random.default_rng(1).normal(0, 1, v.shape).astype(np.float32) for v in s.inputs]
    expected = [ops.evaluate(graph, arrays)[v] for v in graph.outputs]
    fused = verify(fuse_group_norm(graph))
    assert [n.op for n in fused.nodes] == expected_ops
    for v, e in zip(fused.outputs, expected, strict=True):
        assert np.allclose(ops.evaluate(fused, arrays)[v], e, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.booleans())
def test_group_norm(batch: int, groups: int, each: int, factor: bool, term: bool) -> None:
    channels = groups * each
    wide = (channels, 1, 1)
    s = Sketch((batch, channels, 3, 2))
    y = norm(s, Written(s.inputs[0].shape, groups, wide if factor else None, (1, *wide) if term else None))
    check(s, s.graph(y), ["transpose", "group_norm", "transpose"])


def test_channels_alone() -> None:
    s = Sketch((2, 6))
    check(s, s.graph(norm(s, Written((2, 6), 3, (6,), (6,)))), ["transpose", "group_norm", "transpose"])


@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 1), (1,)])
def test_factors_that_follow_another_axis_stay(shape: tuple[int, ...]) -> None:
    s = Sketch((1, 4, 3, 2))
    kept = ["mul"] if shape != (1,) else []
    y = norm(s, Written((1, 4, 3, 2), 2, shape))
    check(s, s.graph(y), ["transpose", "group_norm", "transpose", *kept])


def test_a_norm_that_is_read_in_between_stays() -> None:
    s = Sketch((1, 4, 3, 2))
    y = norm(s, Written((1, 4, 3, 2), 2))
    between = s.nodes[2].output
    check(s, s.graph(y, between), ["reshape", "transpose", "instance_norm", "transpose", "reshape"])


def test_no_transposition_is_left_between_convolutions() -> None:
    s = Sketch((1, 4, 3, 2))
    turned = s.op("transpose", norm(s, Written((1, 4, 3, 2), 2, (4, 1, 1))), perm=(0, 2, 3, 1))
    y = s.op("conv2d", turned, s.constant(5, 3, 3, 4), None)
    first = s.nodes.index(next(n for n in s.nodes if n.op == "transpose"))
    simple = passes.simplify(s.graph(y))
    assert first and [n.op for n in simple.nodes].count("transpose") == 1  # of the input
