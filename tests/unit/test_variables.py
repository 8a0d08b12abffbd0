# SPDX-License-Identifier: Apache-2.0
"""State that outlives a run: shift registers, swaps and sums, written in place or by copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import flow, memory, ops, passes, program, runtime, schedule, search, validate
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Node, Quant, Value, Variable

SHAPE = (2, 3)


def compiled(graph: Graph) -> program.Program:
    s = schedule.schedule(passes.lower(graph), ("c",))
    return program.assemble(s, memory.plan(s))


def node(op: str, inputs: list[Value | None], name: str, **attrs: Any) -> Node:
    made = Node(op, inputs, [Value(name, (1,), "float32")], attrs, name)
    made.output.shape = ops.module(op).infer(made)[0][0]
    return made


@st.composite
def stateful(draw: Any) -> Graph:
    """Sums of an input and variables; each variable takes any value of its shape, its own or another's included."""
    x = Value("x", SHAPE, "float32")
    held = [Value(f"s{i}", SHAPE, "float32") for i in range(draw(st.integers(1, 3)))]
    known, nodes = [x, *held], []
    for i in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["add", "sub", "reshape"]))
        a, b = (draw(st.sampled_from(known)) for _ in range(2))
        if kind == "reshape":
            nodes.append(node("reshape", [a], f"v{i}", shape=SHAPE))
        else:
            nodes.append(node(kind, [a, b], f"v{i}", activation="none"))
        known.append(nodes[-1].output)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    starts = [np.zeros(SHAPE), np.full(SHAPE, 2.0), rng.integers(-5, 5, SHAPE)]
    variables = [
        Variable(v, draw(st.sampled_from(known)), draw(st.sampled_from(starts)).astype(np.float32)) for v in held
    ]
    y = draw(st.sampled_from([n.output for n in nodes]))
    return Graph("stateful", [x], [y], nodes, variables=variables)


def sequence(n: int = 6) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(-3, 4, SHAPE).astype(np.float32) for i in range(n)]


@given(stateful())
def test_a_sequence_of_runs_equals_the_reference(graph: Graph) -> None:
    state, expected = graph.state(), []
    for x in sequence():
        expected.append(ops.evaluate(graph, [x], state)[graph.outputs[0]])
    session = runtime.open_session(program.write(compiled(graph)))
    for _ in range(2):  # the second time after a reset
        got = [runtime.run(session, [x])[0] for x in sequence()]
        assert [g.tobytes() for g in got] == [e.tobytes() for e in expected]
        session.reset()


@given(stateful())
def test_nothing_lies_on_a_variable(graph: Graph) -> None:
    s = schedule.schedule(passes.lower(graph), ("c",))
    plan = memory.plan(s)
    taken = sorted((plan.offsets[v.value], v.value.n_bytes) for v in s.graph.variables)
    assert all(a + n <= b for (a, n), (b, _) in zip(taken, taken[1:], strict=False))
    own = {s.root(v.value) for v in s.graph.variables}
    for step in s.steps:
        out = step.node.output
        if s.root(out) not in own:
            at = plan.offsets[out]
            assert all(at + out.n_bytes <= o or o + n <= at for o, n in taken)


def test_the_file_says_what_the_variables_hold() -> None:
    x, s = Value("x", SHAPE, "float32"), Value("s", SHAPE, "float32")
    add = node("add", [x, s], "y", activation="none")
    start = np.arange(6, dtype=np.float32).reshape(SHAPE)
    written = compiled(Graph("sum", [x], [add.output], [add], variables=[Variable(s, add.output, start)]))
    (variable,) = written.variables
    assert written.weights[variable.initial :][: variable.n_bytes] == start.tobytes()
    assert program.read(program.write(written)) == written


def test_a_reader_without_variables_refuses_the_file() -> None:
    x, s = Value("x", SHAPE, "float32"), Value("s", SHAPE, "float32")
    add = node("add", [x, s], "y", activation="none")
    data = program.write(
        compiled(
            Graph("sum", [x], [add.output], [add], variables=[Variable(s, add.output, np.zeros(SHAPE, np.float32))])
        )
    )
    assert data[16:20] == b"\1\0\0\0"
    with pytest.raises(runtime.LoadError, match="feature"):
        runtime.open_session(data[:16] + b"\3\0\0\0" + data[20:])


@pytest.mark.parametrize(("word", "value"), [(0, -4), (0, 1 << 20), (1, 0), (1, 1 << 20), (2, -2), (2, 1 << 20)])
def test_a_variable_outside_of_its_memory_is_refused(word: int, value: int) -> None:
    x, s = Value("x", SHAPE, "float32"), Value("s", SHAPE, "float32")
    add = node("add", [x, s], "y", activation="none")
    start = np.arange(6, dtype=np.float32).reshape(SHAPE)
    graph = Graph("sum", [x], [add.output], [add], variables=[Variable(s, add.output, start)])
    data = bytearray(program.write(compiled(graph)))
    at = data.find(program.VARIABLE.pack(*vars(compiled_variable(data)).values()))
    data[at + 4 * word : at + 4 * word + 4] = int(value).to_bytes(4, "little", signed=True)
    with pytest.raises(runtime.LoadError):
        runtime.open_session(bytes(data))


def compiled_variable(data: bytes | bytearray) -> program.VariableRecord:
    return program.read(bytes(data)).variables[0]


def window_graph() -> Graph:
    """A frame joins the seven before it, and the window goes through a convolution."""
    rng = np.random.default_rng(1)
    q = Quant.per_tensor(0.05, 3)
    x, old = Value("frame", (1, 1, 4, 2), "int8", q), Value("old", (1, 7, 4, 2), "int8", q)
    window, kept = Value("window", (1, 8, 4, 2), "int8", q), Value("kept", (1, 7, 4, 2), "int8", q)
    y = Value("y", (1, 6, 4, 3), "int8", Quant.per_tensor(0.1, -2))
    w = Value(
        "w", (3, 3, 1, 2), "int8", Quant.per_tensor(0.02, 0), rng.integers(-127, 128, (3, 3, 1, 2)).astype(np.int8)
    )
    conv = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    cut = {"begin": (0, 1, 0, 0), "size": (1, 7, 4, 2), "stride": (1, 1, 1, 1)}
    nodes = [
        Node("concat", [old, x], [window], {"axis": 1}, "join"),
        Node("conv2d", [window, w, None], [y], conv, "conv"),
        Node("slice", [window], [kept], cut, "cut"),
    ]
    graph = Graph("window", [x, old], [y, kept], nodes)
    graph.keep("old", "kept")
    return graph


def frames(n: int) -> list[list[np.ndarray]]:
    return [[np.random.default_rng(i).integers(-128, 128, (1, 1, 4, 2)).astype(np.int8)] for i in range(n)]


def test_an_input_and_an_output_become_a_variable() -> None:
    graph = window_graph()
    assert [v.name for v in graph.inputs] == ["frame"] and [v.name for v in graph.outputs] == ["y"]
    assert graph.variables[0].initial.min() == graph.variables[0].initial.max() == 3  # the zero point
    session = runtime.open_session(program.write(compiled(window_graph())))
    result = validate.validate(
        program.read(program.write(compiled(window_graph()))),
        lambda sample: runtime.run(session, sample),
        frames(12),
        graph,
        frames(12),
    )
    assert result["outputs"][0]["equal"]


def test_the_new_content_is_written_where_the_old_one_lay() -> None:
    """The cut of the window needs no copy: nobody reads the old frames behind it."""
    s = schedule.schedule(passes.lower(window_graph()), ("c",))
    assert [step.node.op for step in s.steps].count("assign") == 0


def test_schedules_of_rows_keep_the_state() -> None:
    graph = passes.lower(window_graph())
    base = schedule.schedule(graph, ("c",))
    state = graph.state()
    expected = [ops.evaluate(graph, x, state)[graph.outputs[0]].tobytes() for x in frames(9)]
    for point in search.front(base, lambda step, calls: float(calls)):
        session = runtime.open_session(program.write(program.assemble(point.schedule, point.plan)))
        assert [runtime.run(session, x)[0].tobytes() for x in frames(9)] == expected


def test_names_that_are_not_there_are_refused() -> None:
    graph = window_graph()
    with pytest.raises(UsageError, match="expected the name of an input"):
        graph.keep("frame", "kept")
    assert flow.input_specs(graph)[0].name == "frame"
