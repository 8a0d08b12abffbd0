# SPDX-License-Identifier: Apache-2.0
"""Every point of the front of a random network gives the bytes of the reference, however its input arrives."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from conv_graphs import networks
from graphs import random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk import boards, ops, pareto, passes, program, runtime, schedule
from edgesdk.ir import Graph
from edgesdk.placement import first_fit

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
M4 = boards.load("mps2_an386")


@pytest.fixture(scope="module", autouse=True)
def quick_plans() -> Iterator[None]:
    """Plans come from first fit alone: the schedules are of interest here, and repairs take nearly all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_fit, "EFFORT", 0)
        yield


@given(networks(), st.integers(0, 2**31))
@settings(max_examples=200 if LONG else 60)
def test_every_point_gives_the_bytes_of_the_unfused_program(graph: Graph, seed: int) -> None:
    base = schedule.schedule(passes.lower(passes.simplify(graph)), ("c",))
    inputs = random_inputs(graph, seed)
    expected = ops.evaluate(graph, inputs)[graph.outputs[0]].tobytes()
    whole = pareto.layer_by_layer(base, M4)
    arrivals = (base, pareto.streamed(base), pareto.bound(base))
    for p in [whole, *(p for arrival in arrivals for p in pareto.points(arrival, M4))]:
        data = program.write(program.assemble(p.schedule, p.plan))
        for pack in (False, True):
            got = runtime.run(runtime.open_session(data, pack=pack), inputs)[0].tobytes()
            assert got == expected, (pareto.text(p.schedule), pack)
