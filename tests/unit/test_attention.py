# SPDX-License-Identifier: Apache-2.0
"""Attention as a pattern of matrix products, scales, masks and softmaxes: in float and in int8, on the runtime."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sketch import Sketch

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.compress.calibrate import calibrate
from edgesdk.compress.masks import limit_masks
from edgesdk.compress.quantize import quantize_int8
from edgesdk.ir import Graph, Value

S, D, HEADS = 9, 16, 4


class Net(Sketch):
    """Layers of transformers."""

    def linear(self, x: Value, n: int) -> Value:
        return self.op("fully_connected", x, self.constant(n, x.shape[-1], scale=x.shape[-1] ** -0.5), self.constant(n))

    def scalar(self, number: float) -> Value:
        return Value(f"s{number}", (1,), "float32", data=np.array([number], np.float32))

    def norm(self, x: Value) -> Value:
        n = x.shape[-1]
        return self.op("layer_norm", x, self.constant(n), self.constant(n), axis=len(x.shape) - 1, epsilon=1e-5)

    def heads(self, x: Value) -> Value:
        split = self.op("reshape", x, shape=(*x.shape[:-1], HEADS, x.shape[-1] // HEADS))
        return self.op("transpose", split, perm=(0, 2, 1, 3))

    def attention(self, x: Value, mask: Value | None = None) -> Value:
        q, k, v = (self.heads(self.linear(x, D)) for _ in range(3))
        scores = self.op("batch_matmul", q, k, adj_x=False, adj_y=True)
        scores = self.op("mul", scores, self.scalar((D // HEADS) ** -0.5))
        scores = scores if mask is None else self.op("add", scores, mask)
        mixed = self.op("batch_matmul", self.op("softmax", scores, beta=1.0), v, adj_x=False, adj_y=False)
        joined = self.op("reshape", self.op("transpose", mixed, perm=(0, 2, 1, 3)), shape=x.shape)
        return self.linear(joined, D)

    def block(self, x: Value, mask: Value | None = None) -> Value:
        x = self.norm(self.op("add", x, self.attention(x, mask)))
        inner = self.op("gelu", self.linear(x, 2 * D), approximate=False)
        return self.norm(self.op("add", x, self.linear(inner, D)))


def causal(least: float) -> Value:
    return Value("mask", (S, S), "float32", data=np.triu(np.full((S, S), least, np.float32), 1))


def plain() -> tuple[Net, Graph]:
    s = Net((1, S, D))
    return s, s.graph(s.attention(s.inputs[0]))


def masked(least: float) -> tuple[Net, Graph]:
    s = Net((1, S, D))
    return s, s.graph(s.attention(s.inputs[0], causal(least)))


def mask_input() -> tuple[Net, Graph]:
    """(1 - mask) * -10000, as BERT makes it of its second input; one mask for two blocks."""
    s = Net((1, S, D), (1, 1, 1, S))
    mask = s.op("mul", s.op("sub", s.scalar(1.0), s.inputs[1]), s.scalar(-1e4))
    return s, s.graph(s.block(s.block(s.inputs[0], mask), mask))


def bert() -> tuple[Net, Graph]:
    s = Net((1, S, D))
    return s, s.graph(s.block(s.block(s.inputs[0])))


def vision() -> tuple[Net, Graph]:
    """Patches by a convolution, a class token, positions, two blocks, a head."""
    s = Net((1, 12, 12, 3))
    x = s.op("conv2d", s.inputs[0], s.constant(D, 4, 4, 3, scale=0.1), s.constant(D), stride=(4, 4), padding=(0,) * 4)
    x = s.op("concat", s.constant(1, 1, D), s.op("reshape", x, shape=(1, 9, D)), axis=1)
    x = s.block(s.block(s.op("add", x, s.constant(1, 10, D))))
    token = s.op("slice", x, begin=(0, 0, 0), size=(1, 1, D), stride=(1, 1, 1))
    return s, s.graph(s.linear(s.op("reshape", token, shape=(1, D)), 5))


NETWORKS = {
    "plain": plain,
    "causal": lambda: masked(-1e9),
    "infinite": lambda: masked(-math.inf),
    "mask_input": mask_input,
    "bert": bert,
    "vision": vision,
}


def samples(s: Net, n: int = 12) -> list[np.ndarray]:
    found = s.samples(n)
    if len(found) == 2:  # the first items count, the rest are padding
        found[1] = (np.arange(S) < np.arange(n)[:, None] % (S - 2) + 2).astype(np.float32).reshape(n, 1, 1, 1, S)
    return found


def run(graph: Graph, inputs: list[np.ndarray]) -> np.ndarray:
    """On the C runtime."""
    steps = schedule.schedule(passes.lower(graph), ("c",))
    data = program.write(program.assemble(steps, memory.plan(steps)))
    return runtime.run(runtime.open_session(data), inputs)[0]


def distance(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", NETWORKS)
def test_float_networks_run(name: str) -> None:
    s, graph = NETWORKS[name]()
    inputs = [a[0] for a in samples(s)]
    expected = ops.evaluate(graph, inputs)[graph.outputs[0]]
    assert np.isfinite(expected).all()
    assert distance(run(passes.simplify(graph), inputs), expected) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_int8_networks_run_and_stay_near(name: str) -> None:
    s, graph = NETWORKS[name]()
    columns = samples(s)
    before = [ops.evaluate(graph, [c[i] for c in columns])[graph.outputs[0]] for i in range(len(columns[0]))]
    graph = passes.simplify(graph)
    integer = quantize_int8(graph, calibrate(graph, columns), "float32")
    after = [ops.evaluate(integer, [c[i] for c in columns])[integer.outputs[0]] for i in range(len(columns[0]))]
    assert distance(np.stack(after), np.stack(before)) < 0.06
    assert np.array_equal(run(integer, [c[0] for c in columns]), after[0])


def test_the_scale_of_the_scores_becomes_beta() -> None:
    _, graph = plain()
    found = [n for n in passes.simplify(graph).nodes if n.op in ("mul", "softmax")]
    assert [n.op for n in found] == ["softmax"]
    assert found[0].attrs["beta"] == (D // HEADS) ** -0.5


@pytest.mark.parametrize("least", [-1e9, -100.0])
def test_a_mask_leaves_the_scores_their_steps(least: float) -> None:
    """The masked sum's range ends 12 below the scores; what is masked gets no share."""
    s, graph = masked(least)
    columns = samples(s)
    graph = passes.simplify(graph)
    ranges = calibrate(graph, columns)
    add = next(n for n in graph.nodes if n.op == "add" and len(n.output.shape) == 4)
    low, high = ranges[add.input(0)]
    _, limited = limit_masks(graph, ranges)
    assert ranges[add.output][0] < least / 2, "the given ranges stay"
    assert limited[add.output][0] == pytest.approx(low - 12) and limited[add.output][1] <= high
    integer = quantize_int8(graph, ranges, "float32")
    values = ops.evaluate(integer, [c[0] for c in columns])
    shares = next(values[n.output] for n in integer.nodes if n.op == "softmax")
    assert (shares[:, :, np.triu(np.ones((S, S), bool), 1)] == -128).all()


def test_biases_that_are_no_masks_keep_their_range() -> None:
    s = Net((1, S, S))
    y = s.op("softmax", s.op("add", s.inputs[0], s.constant(S, S)), beta=1.0)
    graph = s.graph(y)
    ranges = calibrate(graph, s.samples())
    found, limited = limit_masks(graph, ranges)
    assert limited == ranges and found.nodes == graph.nodes


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_softmax_over_any_axis(axis: int, dtype: str) -> None:
    s = Net((2, 3, 4, 5))
    graph = s.graph(s.op("softmax", s.inputs[0], beta=1.5, axis=axis))
    columns = s.samples(3)
    x = columns[0][0]
    e = np.exp(1.5 * x.astype(np.float64))
    expected = e / e.sum(axis, keepdims=True)
    if dtype == "int8":
        graph = quantize_int8(graph, calibrate(graph, columns), "float32")
    got = run(graph, [x])
    assert np.abs(got - expected).max() < (0.02 if dtype == "int8" else 1e-6)
    assert np.abs(got - ops.evaluate(graph, [x])[graph.outputs[0]]).max() < 1e-6
