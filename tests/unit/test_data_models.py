# SPDX-License-Identifier: Apache-2.0
"""The runtime computes what the numpy references of index, logic and box ops compute, whole and row by row."""

from __future__ import annotations

import numpy as np
import pytest
import small_data_models
import small_models

from edgesdk import ops, passes, runtime, schedule
from edgesdk.ir import Graph, Node, Value


@pytest.mark.parametrize("form", ["plain", "rows"])
@pytest.mark.parametrize("name", small_data_models.NAMES)
def test_the_runtime_agrees_with_the_reference(name: str, form: str) -> None:
    graph = small_data_models.graphs()[name]
    inputs = small_models.inputs(graph)
    values = ops.evaluate(graph, inputs)
    expected = [values[v] for v in graph.outputs]
    got = runtime.run(runtime.open_session(small_models.compiled(graph, form=form)), inputs)
    for g, e in zip(got, expected, strict=True):
        if e.dtype == np.float32:
            np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(g, e)


def test_nodes_on_constants_are_folded() -> None:
    """Whatever the op: nothing but the last sum is left of arithmetic on constants."""
    made = small_data_models.graphs()["integers"]
    numbers = small_models.inputs(made)[0]
    made.inputs[0].data = numbers
    x = Value("x", (1, 3), "int64")
    y = Value("y", (1, 3), "int64")
    last = Node("bitwise_or", [x, made.outputs[0]], [y], {}, "last")
    graph = passes.simplify(Graph("g", [x], [y], [*made.nodes, last]))
    assert [n.op for n in graph.nodes] == ["bitwise_or"]
    steps = schedule.schedule(passes.lower(graph), ("c",)).steps
    assert len(steps) == 1
