# SPDX-License-Identifier: Apache-2.0
"""Models with state on an emulated Cortex-M4: the host's bytes over a sequence of calls, again after a start."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import small_models
import state_models

from edgesdk import boards, ops, program, toolchain
from edgesdk.runners import qemu

pytestmark = [
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed"),
    pytest.mark.skipif(not any(map(toolchain.command, ("gcc", "zig"))), reason="no compiler for Cortex-M"),
]


@pytest.mark.parametrize("name", ["states_int8", "states_wide", "states_int16"])
def test_a_sequence_has_the_bytes_of_the_host(name: str) -> None:
    graph = state_models.graphs()[name]
    data = small_models.compiled(state_models.graphs()[name])
    x = graph.inputs[0]
    info = np.iinfo(x.dtype)
    frames = np.random.default_rng(2).integers(info.min, info.max, (6, *x.shape)).astype(x.dtype)
    state = graph.state()
    expected = [ops.evaluate(graph, [f], state)[graph.outputs[0]].tobytes() for f in frames]
    with qemu.open(boards.load("mps2_an386"), data) as session:
        for _ in range(2):
            assert [session.run([f])[0].tobytes() for f in frames] == expected
            session.reset()
        values = ops.evaluate(graph, [frames[0]])
        steps = small_models.scheduled(state_models.graphs()[name]).steps
        assert session.step_outputs([frames[0]])[-1] == values[graph.outputs[0]].tobytes()
        assert len(steps) == session.loaded.steps
        assert session.measure([frames[0]], 1).arena_bytes == program.read(data).arena_bytes
