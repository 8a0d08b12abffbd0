# SPDX-License-Identifier: Apache-2.0
"""Plans are right: a simulation of every call, byte by byte, never reads what another call wrote over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import graphs, random_inputs
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.errors import DoesNotFit
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import RowView
from edgesdk.schedule import Schedule, Step, trace
from edgesdk.schedule.strips import Piece, expand, strips


@st.composite
def schedules(draw, dtype: str = "int8") -> Schedule:  # type: ignore[no-untyped-def]
    """A random graph cut into random stages, some of them in strips, its input resident, streamed or bound."""
    graph = passes.lower(passes.simplify(draw(graphs(dtype))))
    base = schedule.schedule(graph, ("c",))
    n = len(base.steps)
    cuts = sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=3))})
    arrival = draw(st.sampled_from(["resident", "streamed", "bound"]))
    kinds = [draw(st.sampled_from(["plain", "rows"])) for _ in cuts[1:]]
    if arrival == "streamed":
        kinds[:1] = ["rows"]
    pieces = [Piece(k, a, b - a) for k, a, b in zip(kinds, cuts, cuts[1:], strict=False)]
    only_first = all(graph.inputs[0] not in s.reads() for s in base.steps[pieces[0].count :])
    streamed = graph.inputs[0] if arrival == "streamed" and only_first else None
    bound = graph.inputs[0] if arrival == "bound" and graph.inputs[0] not in map(base.root, graph.outputs) else None
    whole = Schedule(graph, base.steps, base.stages, base.roots, streamed, bound=bound)
    return expand(whole, [draw(in_strips(whole, p)) for p in pieces])


@st.composite
def in_strips(draw, s: Schedule, piece: Piece) -> Piece:  # type: ignore[no-untyped-def]
    cut = replace(piece, strips=draw(st.integers(1, 4)))
    if piece.kind == "plain" or (s.streamed and piece.first == 0) or not only_last_leaves(s, piece):
        return piece
    return piece if cut.strips == 1 or strips(s, cut) is None else cut


def only_last_leaves(s: Schedule, piece: Piece) -> bool:
    """A region in strips has one output, as regions of the search have."""
    inner = {s.steps[i].output for i in piece.steps[:-1]}
    after = {s.root(v) for step in s.steps[piece.first + piece.count :] for v in step.reads()}
    return not inner & (after | {s.root(v) for v in s.graph.outputs})


class Simulation:
    """Who wrote each byte of the arena last, by a number per value and byte of it."""

    def __init__(self, s: Schedule, plan: memory.MemoryPlan) -> None:
        self.s, self.plan = s, plan
        self.owner = np.full(plan.arena_bytes, -1, np.int64)
        self.base: dict[Value, int] = {}
        self.size = 0

    def tags(self, value: Value, first: int, n_bytes: int) -> np.ndarray:
        root = self.s.root(value)
        if root not in self.base:
            self.base[root], self.size = self.size, self.size + root.n_bytes
        return np.arange(self.base[root] + first, self.base[root] + first + n_bytes)

    def places(self, step: Step, view: RowView, rows: range) -> list[tuple[int, np.ndarray]]:
        """(arena offset, tags) of rows, of the step's columns of them; of everything where the step repeats."""
        value, row_bytes = view.value, view.row_bytes
        if self.s.root(value) is self.s.bound:
            return []
        if step.encoded.batch > 1:
            return [(self.plan.offsets[value], self.tags(value, 0, value.n_bytes))]
        widths = [v.n_bytes // view.rows for v, stored in step.stored.items() if stored is value]
        n_bytes = max(widths, default=row_bytes)
        assert view.first + n_bytes <= row_bytes
        table = self.plan.tables.get(value)
        at = [table[y] if table else self.plan.offsets[value] + y * row_bytes for y in rows]
        tags = [self.tags(value, y * row_bytes + view.first, n_bytes) for y in rows]
        return [(a + view.first, t) for a, t in zip(at, tags, strict=True)]

    def write(self, offset: int, tags: np.ndarray) -> None:
        assert offset + tags.size <= self.plan.arena_bytes
        self.owner[offset : offset + tags.size] = tags

    def expect(self, offset: int, tags: np.ndarray, what: str) -> None:
        assert np.array_equal(self.owner[offset : offset + tags.size], tags), f"{what} was written over"


def simulate(s: Schedule, plan: memory.MemoryPlan) -> None:
    sim = Simulation(s, plan)
    for v in s.graph.inputs:
        if v is not s.streamed and v is not s.bound:
            sim.write(plan.offsets[v], sim.tags(v, 0, v.n_bytes))
    for k, (stage, calls) in enumerate(s.spans()):
        counters = np.arange(-2 * (stage.count + 1), 0) - 10**6 * (k + 1)
        if stage.kind == "rows":
            sim.write(plan.counters[k], counters)
        kept: dict[int, np.ndarray] = {}
        for t in calls:
            step_call(sim, s.calls[t], kept)
            if stage.kind == "rows":
                sim.expect(plan.counters[k], counters, "counters")
    for v in s.graph.outputs:
        sim.expect(plan.offsets[v], sim.tags(v, 0, v.n_bytes), f"output {v.name}")


def step_call(sim: Simulation, call: trace.Call, kept: dict[int, np.ndarray]) -> None:
    if call.step == trace.AWAIT:
        streamed = sim.s.streamed
        assert streamed is not None
        row_bytes = streamed.n_bytes // streamed.shape[1]
        y = call.rows.start
        sim.write(sim.plan.tables[streamed][y], sim.tags(streamed, y * row_bytes, row_bytes))
        return
    step = sim.s.steps[call.step]
    for view, rows in zip(step.encoded.inputs, call.reads, strict=True):
        for at, tags in sim.places(step, view, rows) if view.value.data is None else []:
            sim.expect(at, tags, f"{view.value.name} read by {step.node.source}")
    scratch = np.arange(step.scratch_bytes) - 10**9 * (call.step + 1)
    if step.encoded.keeps_scratch and call.step in kept:
        sim.expect(sim.plan.scratch[call.step], scratch, "kept scratch")
    sim.write(sim.plan.scratch[call.step], scratch)
    kept[call.step] = scratch
    before = sim.owner[sim.plan.scratch[call.step] :][: scratch.size].copy()
    for at, tags in sim.places(step, step.encoded.output, memory.written_rows(step, call.rows)):
        sim.write(at, tags)
    # What a call writes must not lie in its own scratch.
    assert np.array_equal(sim.owner[sim.plan.scratch[call.step] :][: scratch.size], before)
    # Nor over what it still reads, unless it may: in place, row for row.
    shared = {sim.s.root(step.stored.get(v, v)) for v in map(step.node.input, ops.in_place(step.node))}
    for view, rows in zip(step.encoded.inputs, call.reads, strict=True):
        if view.value.data is None and sim.s.root(view.value) not in shared:
            for at, tags in sim.places(step, view, rows):
                sim.expect(at, tags, f"{view.value.name} under {step.node.source}")


@given(schedules())
def test_no_call_writes_over_what_is_needed(s: Schedule) -> None:
    plan = memory.plan(s)
    assert plan.lower_bound_bytes <= plan.arena_bytes
    simulate(s, plan)


@given(schedules(), st.integers(0, 2**31))
def test_program_equals_reference(s: Schedule, seed: int) -> None:
    inputs = random_inputs(s.graph, seed)
    values = ops.evaluate(s.graph, inputs)
    written = program.assemble(s, memory.plan(s))
    data = program.write(written)
    assert program.read(data) == written
    session = runtime.open_session(data, pack=False)
    for got, output in zip(runtime.run(session, inputs), s.graph.outputs, strict=True):
        assert got.tobytes() == values[output].tobytes()
    for got, step in zip(runtime.step_outputs(session, inputs), s.steps, strict=True):
        columns = slice(step.columns.start, step.columns.stop)
        whole = values[step.origin.output][:, :, columns] if step.origin else values[step.output]
        assert got == whole.tobytes(), step.node.source


@given(schedules("float32"), st.integers(0, 2**31))
def test_float_program_equals_reference(s: Schedule, seed: int) -> None:
    inputs = random_inputs(s.graph, seed)
    values = ops.evaluate(s.graph, inputs)
    got = runtime.run(runtime.open_session(program.write(program.assemble(s, memory.plan(s))), pack=False), inputs)
    for a, output in zip(got, s.graph.outputs, strict=True):
        b = values[output]
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b) + 2e-6 * b.size**0.5


@given(graphs())
def test_order_is_never_worse_than_the_given_one(graph: Graph) -> None:
    lowered = passes.lower(passes.simplify(graph))
    s = schedule.schedule(lowered, ("c",))
    given_order = sorted(s.steps, key=lambda t: [n.output for n in lowered.nodes].index(t.node.output))
    naive = Schedule(lowered, given_order, s.stages, s.roots)
    assert memory.live_peak(s) <= memory.live_peak(naive)


def test_only_what_views_tell_must_lie_near_the_start_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of a layer may lie behind it, a constant operand may not."""
    x, y, z = (Value(n, (1, 8), "float32") for n in "xyz")
    w = Value("w", (8, 8), "float32", data=np.ones((8, 8), np.float32))
    c = Value("c", (1, 8), "float32", data=np.ones((1, 8), np.float32))
    layer = Node("fully_connected", [x, w, None], [y], {"activation": "none"}, "layer")
    total = Node("add", [y, c], [z], {"activation": "none"}, "sum")

    def assembled(*nodes: Node) -> program.Program:
        s = schedule.schedule(Graph("g", [x], [nodes[-1].output], list(nodes)), ("c",))
        return program.assemble(s, memory.plan(s))

    monkeypatch.setattr(program, "VIEW_REACH", 128)
    session = runtime.open_session(program.write(assembled(layer)), pack=False)
    assert runtime.run(session, [np.ones((1, 8), np.float32)])[0].sum() == 64
    with pytest.raises(DoesNotFit, match="what lies before a constant that is read by rows needs 288 bytes"):
        assembled(layer, total)
    monkeypatch.setattr(program, "FILE_REACH", 200)
    with pytest.raises(DoesNotFit, match="the weight section needs 288 bytes, a .edge file addresses 199"):
        assembled(layer)
