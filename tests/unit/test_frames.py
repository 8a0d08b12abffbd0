# SPDX-License-Identifier: Apache-2.0
"""A sliding window computes only what a frame adds, and gives the outputs of the whole window."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Builder, random_inputs
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value
from edgesdk.schedule import Schedule, frames


def layer(b: Builder, x: Value, kernel: int, stride: int, depthwise: bool) -> Value:
    c = x.shape[3]
    shape, axis = ((kernel, 1, c), 2) if depthwise else ((c, kernel, 1, c), 0)
    attrs = {"stride": (stride, 1), "dilation": (1, 1), "padding": (0,) * 4, "activation": "none"}
    op = "depthwise_conv2d" if depthwise else "conv2d"
    return b.add_node(op, [x, b.constant(shape, c, axis), b.bias(c)], b.quant(), **attrs)


@st.composite
def windows(draw) -> Graph:  # type: ignore[no-untyped-def]
    """Convolutions without padding, strides 1 and 2, residual sums, down to one row and a classifier."""
    b = Builder(draw(st.integers(0, 2**32 - 1)), "int8")
    plan = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2), st.booleans()), min_size=1, max_size=4))
    last = draw(st.integers(1, 4))
    height, stride = 1, 1
    for kernel, step, _ in plan:
        height, stride = height + (kernel - 1) * stride, stride * step
    height += (last - 1) * stride
    x = current = b.input((1, height, draw(st.integers(1, 3)), draw(st.integers(1, 5))))
    for kernel, step, residual in plan:
        current = layer(b, current, kernel, step, draw(st.booleans()))
        if residual:
            current = b.add_node("add", [current, layer(b, current, 1, 1, False)], b.quant(), activation="relu")
    current = layer(b, current, last, 1, True)
    return Graph("window", [x], [b.classifier(current, 3)], b.nodes)


def sliding(graph: Graph) -> Schedule:
    return frames.require(schedule.schedule(passes.lower(passes.simplify(graph)), ("c",)))


@given(windows(), st.integers(0, 2**31))
def test_every_window_equals_the_reference(graph: Graph, seed: int) -> None:
    s = sliding(graph)
    session = runtime.open_session(program.write(program.assemble(s, memory.plan(s))))
    height = graph.inputs[0].shape[1]
    stream = np.random.default_rng(seed).integers(-128, 128, (height + 6, *graph.inputs[0].shape[2:])).astype(np.int8)
    stride = max(p.stride for p in s.paces.values())
    fresh = [i for i, frame in enumerate(stream) if _pushed(session, frame, graph, stream, i)]
    assert fresh == list(range(height - 1, height + 6, stride))


def _pushed(session: runtime.Session, frame: np.ndarray, graph: Graph, stream: np.ndarray, i: int) -> bool:
    if not runtime.push_frames(session, frame[None]):
        return False
    height = graph.inputs[0].shape[1]
    expected = ops.evaluate(graph, [stream[i + 1 - height : i + 1][None]])[graph.outputs[0]]
    assert session.outputs[0].tobytes() == expected.tobytes(), f"window that ends with frame {i}"
    return True


@given(windows())
def test_run_takes_a_whole_window(graph: Graph) -> None:
    s = sliding(graph)
    session = runtime.open_session(program.write(program.assemble(s, memory.plan(s))))
    inputs = random_inputs(graph)
    values = ops.evaluate(graph, inputs)
    for _ in range(2):
        assert runtime.run(session, inputs)[0].tobytes() == values[graph.outputs[0]].tobytes()
    for got, step in zip(runtime.step_outputs(session, inputs), s.steps, strict=True):
        assert got == values[step.node.output].tobytes(), step.node.source


def test_padding_does_not_slide() -> None:
    b = Builder(1, "int8")
    x = b.input((1, 5, 3, 2))
    graph = Graph("padded", [x], [b.classifier(b.conv(x, 4, 3, 1), 3)], b.nodes)
    assert frames.sliding(schedule.schedule(passes.lower(graph), ("c",))) is None


def test_wrong_frames_are_refused() -> None:
    b = Builder(1, "int8")
    x = b.input((1, 3, 2, 2))
    graph = Graph("window", [x], [b.classifier(layer(b, x, 3, 1, True), 3)], b.nodes)
    s = sliding(graph)
    session = runtime.open_session(program.write(program.assemble(s, memory.plan(s))))
    with pytest.raises(UsageError, match="expected int8"):
        runtime.push_frames(session, np.zeros((1, 2, 3), np.int8))
    with pytest.raises(UsageError, match="expected int8"):
        runtime.push_frames(session, np.zeros((1, 2, 2), np.float32))
