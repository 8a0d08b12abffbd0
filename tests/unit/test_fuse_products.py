# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sketch import Sketch

from edgesdk import ops, passes
from edgesdk.ir import Value


def number(x: float) -> Value:
    return Value(f"n{x}", (1,), "float32", data=np.array([x], np.float32))


def gelu_gate(s: Sketch, x: Value) -> Value:
    return s.op("add", s.op("erf", s.op("mul", x, number(0.5**0.5))), number(1.0))


def sixth(s: Sketch, x: Value) -> Value:
    return s.op("hard_sigmoid", x, alpha=1 / 6, beta=0.5)


Write = Callable[[Sketch, Value], Value]
FUSED: list[tuple[str, Write]] = [
    ("silu", lambda s, x: s.op("mul", x, s.op("logistic", x))),
    ("silu", lambda s, x: s.op("mul", s.op("logistic", x), x)),
    ("hard_swish", lambda s, x: s.op("mul", sixth(s, x), x)),
    ("mish", lambda s, x: s.op("mul", x, s.op("tanh", s.op("softplus", x)))),
    ("gelu", lambda s, x: s.op("mul", s.op("mul", x, gelu_gate(s, x)), number(0.5))),
    ("gelu", lambda s, x: s.op("mul", s.op("mul", x, number(0.5)), gelu_gate(s, x))),
    ("gelu", lambda s, x: s.op("mul", x, s.op("mul", gelu_gate(s, x), number(0.5)))),
]
KEPT: list[Write] = [
    lambda s, x: s.op("mul", x, s.op("logistic", s.inputs[0])),
    lambda s, x: s.op("mul", s.op("mul", x, number(2.0)), s.op("logistic", x)),
    lambda s, x: s.op("mul", s.op("hard_sigmoid", x, alpha=0.2, beta=0.5), x),
    lambda s, x: s.op("mul", x, gelu_gate(s, x)),
    lambda s, x: s.op("mul", s.constant(1, 5), s.op("logistic", x)),
]


@pytest.mark.parametrize(("op", "write"), FUSED)
def test_products_become_one_step(op: str, write: Write) -> None:
    s = Sketch((1, 5))
    x = s.op("tanh", s.inputs[0])
    graph = s.graph(write(s, x))
    inputs = [a[0] for a in s.samples()]
    expected = ops.evaluate(graph, inputs)[graph.outputs[0]]
    fused = passes.simplify(graph)
    assert [n.op for n in fused.nodes] == ["tanh", op]
    np.testing.assert_allclose(ops.evaluate(fused, inputs)[fused.outputs[0]], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("write", KEPT)
def test_other_products_stay(write: Write) -> None:
    s = Sketch((1, 5))
    graph = s.graph(write(s, s.op("tanh", s.inputs[0])))
    n, inputs = len(graph.nodes), [a[0] for a in s.samples()]
    expected = ops.evaluate(graph, inputs)[graph.outputs[0]]
    kept = passes.simplify(graph)
    assert len(kept.nodes) == n
    assert np.array_equal(ops.evaluate(kept, inputs)[kept.outputs[0]], expected)


def test_what_others_read_stays() -> None:
    s = Sketch((1, 5))
    gate = s.op("logistic", s.inputs[0])
    graph = passes.simplify(s.graph(s.op("mul", s.inputs[0], gate), gate))
    assert sorted(n.op for n in graph.nodes) == ["logistic", "silu"]
