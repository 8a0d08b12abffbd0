# SPDX-License-Identifier: Apache-2.0
"""int8 steps on single items: those that change nothing go, chains become one table, and no byte changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Builder, random_inputs
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.passes.fold_tables import fold_tables
from edgesdk.verify import verify

Q = Quant.per_tensor(0.05, -20)
SHAPE = (1, 9, 9, 4)
STEPS = ("relu", "relu6", "hard_swish", "leaky_relu", "quantize", "add", "sub", "mul", "minimum", "maximum")


def folded(graph: Graph) -> Graph:
    """The graph after the pass, after the check that it computes the same on every stored value."""
    found = verify(fold_tables(verify(graph.copy())))
    every = np.resize(np.arange(-128, 128).astype(np.int8), SHAPE)
    for sample in ([every], [every.copy()[:, ::-1]], random_inputs(graph)):
        ours, theirs = ops.evaluate(found, sample), ops.evaluate(graph, sample)
        for a, b in zip(found.outputs, graph.outputs, strict=True):
            assert np.array_equal(ours[a], theirs[b])
    return found


def begin() -> tuple[Builder, Value]:
    return Builder(5, "int8"), Value("x", SHAPE, "int8", Q)


def constant(items: Any, quant: Quant = Q) -> Value:
    data = np.array(items, np.int8).reshape(-1)
    return Value("c", data.shape, "int8", quant, data)


def single(b: Builder, op: str, x: Value, quant: Quant | None, c: Value) -> Value:
    if op in ("add", "sub", "mul"):
        return b.add_node(op, [x, c], quant, activation="none")
    if op in ("minimum", "maximum"):
        return b.add_node(op, [c, x], quant)
    return b.add_node(op, [x], quant, **({"alpha": 0.2} if op == "leaky_relu" else {}))


@st.composite
def chains(draw: Any) -> Graph:
    """Steps one after another; now and then somebody else reads one of the values between."""
    b = Builder(draw(st.integers(0, 2**32 - 1)), "int8")
    x = y = Value("x", SHAPE, "int8", b.quant())
    results = []
    for op in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)):
        items = b.rng.integers(-128, 128, draw(st.sampled_from([1, SHAPE[3]])))
        quant = y.quant if draw(st.booleans()) else b.quant()
        y = single(b, op, y, quant, constant(items, b.quant() or Q))
        results += [y] if draw(st.integers(0, 3)) == 0 else []
    return Graph("chain", [x], [*results, b.add_node("mul", [y, x], b.quant(), activation="none")], b.nodes)


@given(chains())
def test_no_byte_changes(graph: Graph) -> None:
    found = folded(graph)
    planned = schedule.schedule(passes.lower(found.copy()), ("c",))
    session = runtime.open_session(program.write(program.assemble(planned, memory.plan(planned))))
    sample = random_inputs(graph, 3)
    arrays = ops.evaluate(graph, sample)
    for got, value in zip(runtime.run(session, sample), graph.outputs, strict=True):
        assert np.array_equal(got, arrays[value])


ZERO = constant(-20)
ONE = constant(10, Quant.per_tensor(0.1, 0))
SCALAR = Value("c", (), "int8", ONE.quant, np.array(10, np.int8))  # as attention's scale comes from PyTorch


@pytest.mark.parametrize(
    ("op", "c"),
    [("mul", SCALAR), ("add", ZERO), ("sub", ZERO), ("add", constant([-20] * 4)), ("mul", ONE),
     ("minimum", constant(127)), ("maximum", constant([-128] * 4)), ("quantize", ZERO)],
)  # fmt: skip
def test_steps_that_change_nothing_are_views(op: str, c: Value) -> None:
    b, x = begin()
    y = single(b, op, x, Q, c)
    found = folded(Graph("idle", [x], [b.add_node("hard_swish", [y], Q)], b.nodes))
    assert [n.op for n in found.nodes] == ["reshape", "hard_swish"]


@pytest.mark.parametrize("c", [constant(-19), constant([-20, -20, -19, -20])])
def test_a_single_step_more_is_not_nothing(c: Value) -> None:
    b, x = begin()
    found = folded(Graph("add", [x], [single(b, "add", x, Q, c)], b.nodes))
    assert [n.op for n in found.nodes] == ["lut" if c.elements == 1 else "add"]


def test_a_clamp_behind_a_narrower_one_goes() -> None:
    """By the ranges: relu6 alone clamps, behind relu6 of another layer it does nothing."""
    b, x = begin()
    y = b.conv(x, 4, 1, 1)
    b.nodes[-1].attrs = {**b.nodes[-1].attrs, "activation": "relu6"}
    y.quant = Q
    ours, theirs = b.add_node("relu6", [y], Q), b.add_node("relu6", [x], Q)
    found = folded(Graph("clamps", [x], [ours, theirs], b.nodes))
    assert [n.op for n in found.nodes] == ["conv2d", "reshape", "relu6"]


def test_a_chain_is_one_table() -> None:
    b, x = begin()
    y = single(b, "add", b.add_node("relu", [x], Q), b.quant(), constant(30))
    y = b.add_node("quantize", [b.add_node("hard_swish", [y], b.quant())], b.quant())
    found = folded(Graph("chain", [x], [y], b.nodes))
    assert [n.op for n in passes.shrink(found).nodes] == ["lut"]


def test_a_value_that_is_read_twice_stays() -> None:
    b, x = begin()
    y = b.add_node("relu", [x], b.quant())
    ends = [b.add_node("hard_swish", [y], b.quant()), b.add_node("leaky_relu", [y], b.quant(), alpha=0.5)]
    found = folded(Graph("fork", [x], ends, b.nodes))
    assert [n.op for n in found.nodes] == ["relu", "hard_swish", "leaky_relu"]


def test_few_items_are_worth_no_table() -> None:
    b = Builder(1, "int8")
    x = Value("x", (1, 200), "int8", Q)
    graph = Graph("few", [x], [b.add_node("mul", [x, constant(7)], b.quant(), activation="none")], b.nodes)
    assert [n.op for n in fold_tables(graph).nodes] == ["mul"]


@pytest.mark.parametrize(("quant", "ops_left"), [(Q, ["reshape"]), (Quant.per_tensor(0.07, 3), ["lut"])])
def test_numbers_made_real_and_back_are_a_table(quant: Quant, ops_left: list[str]) -> None:
    b, x = begin()
    real = Value("real", SHAPE, "float32")
    b.nodes.append(Node("dequantize", [x], [real], {}, "real"))
    y = b.add_node("quantize", [real], quant)
    assert y.dtype == "int8"
    found = folded(Graph("there_and_back", [x], [y], b.nodes))
    assert [n.op for n in passes.shrink(found).nodes] == ops_left


def test_a_constant_without_axes_is_one_item() -> None:
    b, x = begin()
    y = b.add_node("mul", [x, Value("c", (), "int8", Q, np.array(30, np.int8))], b.quant(), activation="none")
    assert [n.op for n in folded(Graph("net", [x], [y], b.nodes)).nodes] == ["lut"]
