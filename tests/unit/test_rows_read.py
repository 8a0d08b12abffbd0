# SPDX-License-Identifier: Apache-2.0
"""Which rows a row needs: none where its window lies in the padding altogether."""

from __future__ import annotations

import pytest
from graphs import Builder, random_inputs

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph, Value
from edgesdk.schedule import Schedule, Stage

HEIGHT = 3
PADDING = (4, 1, 5, 0)


def padded(b: Builder, x: Value, depthwise: bool) -> Value:
    """Two taps with a row between them, under more padding than they reach over."""
    c = x.shape[3]
    shape, axis = ((2, 2, c), 2) if depthwise else ((c, 2, 2, c), 0)
    attrs = {"stride": (1, 1), "dilation": (2, 1), "padding": PADDING, "activation": "none"}
    op = "depthwise_conv2d" if depthwise else "conv2d"
    return b.add_node(op, [x, b.constant(shape, c, axis), b.bias(c)], b.quant(), **attrs)


def network(depthwise: bool) -> Schedule:
    b = Builder(1, "int8")
    x = b.input((1, HEIGHT, 4, 3))
    y = b.conv(padded(b, b.depthwise(x, 3, 1), depthwise), 3, 1, 1)
    return schedule.schedule(passes.lower(Graph("padded", [x], [y], b.nodes)), ("c",))


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_window_in_the_padding_reads_no_row(depthwise: bool) -> None:
    step = network(depthwise).steps[1]
    read = [ops.rows_read(step.node, step.encoded, 0, y) for y in range(step.encoded.rows)]
    assert [len(r) for r in read] == [0, 0, 1, 2, 3, 2, 1, 0, 0, 0]
    assert all(0 <= r.start <= r.stop <= HEIGHT for r in read)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("depthwise", [False, True])
def test_such_rows_are_computed_in_a_stage_of_rows(depthwise: bool, streamed: bool) -> None:
    base = network(depthwise)
    x = base.graph.inputs[0] if streamed else None
    s = Schedule(base.graph, base.steps, [Stage("rows", 0, len(base.steps))], base.roots, x)
    inputs = random_inputs(base.graph)
    got = runtime.run(runtime.open_session(program.write(program.assemble(s, memory.plan(s)))), inputs)
    assert got[0].tobytes() == ops.evaluate(base.graph, inputs)[base.graph.outputs[0]].tobytes()
