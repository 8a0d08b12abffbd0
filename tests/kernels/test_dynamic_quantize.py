# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, random_array, seeds, value

from edgesdk import ops
from edgesdk.ir import Node


def grid_node(shape: tuple[int, ...], symmetric: bool, per_row: bool) -> Node:
    return inferred("dynamic_quantize", [value("x", shape, "float32")], symmetric=symmetric, per_row=per_row)


def check_exactly(node: Node, x: np.ndarray) -> np.ndarray:
    """Every operation rounds once and in the same order: no tolerance."""
    (kernel,) = harness.rows_of("dynamic_quantize", "f32")
    expected = ops.module("dynamic_quantize").reference(node, [x])[0]
    assert np.array_equal(harness.run(node, [x], kernel), expected, equal_nan=True)
    return expected


@given(
    seed=seeds, shape=st.lists(st.integers(1, 5), min_size=1, max_size=5), flags=st.tuples(st.booleans(), st.booleans())
)
def test_equals_reference(seed: int, shape: list[int], flags: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(seed)
    x = random_array(rng, tuple(shape), "float32") * np.float32(np.exp(rng.uniform(-20, 20)))
    one_sided = rng.random()
    check_exactly(
        grid_node(tuple(shape), *flags), np.abs(x) if one_sided < 0.3 else -np.abs(x) if one_sided < 0.5 else x
    )


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_one_grid_for_each_group(symmetric: bool, per_row: bool) -> None:
    """Not more than 256 levels that hold 0, each item within half a step."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 40)).astype(np.float32) * np.array([1, 100], np.float32)[:, None, None]
    got = check_exactly(grid_node(x.shape, symmetric, per_row), x)
    groups = [(a, b) for i in range(2) for a, b in (zip(x[i], got[i], strict=True) if per_row else [(x[i], got[i])])]
    for before, after in groups:
        span = 2 * np.abs(before).max() / 254 if symmetric else (before.max() - before.min()) / 255
        assert np.abs(after - before).max() <= 0.5001 * span + (0 if symmetric else 0.5 * span)
        assert len(np.unique(after)) <= 256


@pytest.mark.parametrize("symmetric", [False, True])
def test_what_is_no_number(symmetric: bool) -> None:
    x = np.array([[np.nan, 1, -2], [0, 0, 0], [-0.0, 0, np.nan], [np.inf, 1, 2], [3e38, -3e38, 1]], np.float32)
    got = check_exactly(grid_node(x.shape, symmetric, True), x)
    assert np.array_equal(got[1], [0, 0, 0])


def test_a_fused_stage_waits_for_the_whole_image() -> None:
    module = ops.module("dynamic_quantize")
    (kernel,) = harness.rows_of("dynamic_quantize", "f32")
    for per_row, rows in ((False, range(4)), (True, range(2, 3))):
        node = grid_node((1, 4, 3, 2), True, per_row)
        assert ops.rows_read(node, module.encode(node, kernel), 0, 2) == rows
