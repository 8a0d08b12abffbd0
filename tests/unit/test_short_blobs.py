# SPDX-License-Identifier: Apache-2.0
"""Weights of tiny layers lie where their kernels may read them, whatever lies before them in the file."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Builder

from edgesdk import boards, kernels, memory, program, runtime, schedule
from edgesdk.ir import Graph, Value
from edgesdk.schedule import Preference


def tiny(dtype: str, channels: int) -> Graph:
    """Layers with a few weights each, behind a table of one byte more."""
    b = Builder(channels, dtype)
    image = b.input((1, 16, 16, channels))
    odd = Value("odd", (1, 1, 1, channels), dtype, b.quant(), np.ones((1, 1, 1, channels), dtype))
    x = first = b.add_node("add", [image, odd], b.quant(), activation="none")
    for n, kernel in ((3, 1), (3, 2), (2, 1), (1, 2), (1, 1)):
        x = b.depthwise(b.conv(x, n, kernel, 1), 3, 1 + n % 2)
    return Graph("tiny", [image], [first, x], b.nodes)


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55", "x86-64-v4"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
def test_every_row_of_the_chain_loads(core: str, dtype: str) -> None:
    chain = boards.cores()[core].isa
    for channels in (1, 3):
        graph = tiny(dtype, channels)
        for row in range(4):
            prefer = Preference(lambda node, rows, row=row: rows[min(row, len(rows) - 1)])  # type: ignore[misc]
            made = schedule.schedule(graph, chain, prefer)
            if not all(kernels.runnable(s.kernel) for s in made.steps):
                continue
            data = program.write(program.assemble(made, memory.plan(made)))
            assert runtime.open_session(data).n_steps == len(made.steps)
