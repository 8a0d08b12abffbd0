# SPDX-License-Identifier: Apache-2.0
"""The compute ops in schedules: whole, row by row, with the input pushed row by row."""

from __future__ import annotations

import compute_models
import numpy as np
import pytest
import small_models
from graphs import random_inputs

from edgesdk import boards as board_table
from edgesdk import cost, memory, ops, pareto, passes, runtime

GRAPHS = compute_models.graphs()


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    if expected.dtype != np.float32:
        return np.array_equal(got, expected)
    return bool(np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected) + 1e-6)


CASES = [(name, form) for name in GRAPHS for form in small_models.forms(name)]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_schedule_gives_the_reference(name: str, form: str) -> None:
    graph = compute_models.graphs()[name]
    inputs = random_inputs(graph)
    got = runtime.run(runtime.open_session(small_models.compiled(graph, form=form)), inputs)[0]
    lowered = passes.lower(passes.simplify(compute_models.graphs()[name]))
    assert close(got, ops.evaluate(lowered, inputs)[lowered.outputs[0]])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_decoder_runs_in_less_memory_row_by_row(dtype: str) -> None:
    """Than the values of its largest step, which a plan of whole tensors without overlaps would need."""
    base = small_models.scheduled(compute_models.graphs()[f"decoder_{dtype}"], "rows")
    largest = max(s.output.n_bytes + sum(v.n_bytes for v in s.reads()) for s in base.steps)
    assert memory.plan(base).arena_bytes < largest


@pytest.mark.parametrize("name", GRAPHS)
def test_costs_grow_with_the_work(name: str) -> None:
    base = small_models.scheduled(compute_models.graphs()[name])
    for step in base.steps:
        assert cost.counts(step) and all(n >= 0 for n in cost.counts(step).values())
        assert cost.instructions(step, 1, "cortex-m4") > 0
    assert pareto.points(base, board_table.load("host"))
