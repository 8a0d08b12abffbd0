# SPDX-License-Identifier: Apache-2.0
"""Layers and softmax over the pixels of an image go by its rows, so that stages of rows hold few of them."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Builder, random_inputs

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph, Quant, Value
from edgesdk.schedule import Schedule, Stage
from edgesdk.schedule.trace import by_rows

SHARES = Quant.per_tensor(1 / 256, -128)
WIDE = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0), "activation": "relu", "output_padding": (0, 0)}


def segmenter(b: Builder, dense: bool = False) -> Graph:
    """A decoder to classes per pixel: convolution, in groups, transposed, 1 x 1, softmax, and a pool."""
    x = b.input((1, 12, 10, 4))
    y = b.conv(x, 6, 3, 1)
    y = b.add_node("conv2d", [y, b.constant((6, 3, 3, 3), 6, 0), b.bias(6)], b.quant(), groups=2, **same())
    y = b.add_node("transpose_conv2d", [y, b.constant((8, 2, 2, 6), 8, 0), b.bias(8)], b.quant(), **WIDE)
    if dense:
        y = b.add_node("fully_connected", [y, b.constant((5, 8), 5, 0), b.bias(5)], b.quant(), activation="none")
    else:
        y = b.conv(y, 5, 1, 1)
    y = b.add_node("softmax", [y], b.fixed(1 / 256, -128), beta=1.0)
    pool = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "none"}
    return Graph("segmenter", [x], [b.add_node("max_pool2d", [y], y.quant, **pool)], b.nodes)


def same() -> dict[str, object]:
    return {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "none"}


def staged(base: Schedule, kind: str) -> Schedule:
    return Schedule(base.graph, base.steps, [Stage(kind, 0, len(base.steps))], base.roots, None)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("dense", [False, True])
def test_a_stage_of_rows_holds_few_rows(dtype: str, dense: bool) -> None:
    graph = segmenter(Builder(3, dtype), dense)
    inputs = random_inputs(graph)
    expected = ops.evaluate(graph, inputs)[graph.outputs[0]]
    base = schedule.schedule(passes.lower(passes.simplify(graph)), ("c",))
    assert [s.kernel.op for s in base.steps][-3:] == ["conv2d", "pixel_softmax", "max_pool2d"]
    calls = by_rows(base.steps, 0, base.roots, None)
    first = next(i for i, c in enumerate(calls) if c.step == len(base.steps) - 1)
    assert {c.step for c in calls[:first]} == set(range(len(base.steps) - 1))
    assert sum(c.step == 0 for c in calls[:first]) <= 3  # rows of the first layer before the first of the result
    peaks = {kind: memory.live_peak(staged(base, kind)) for kind in ("plain", "rows")}
    inner = peaks["rows"] - graph.inputs[0].n_bytes - expected.nbytes
    assert inner < 0.5 * (peaks["plain"] - graph.inputs[0].n_bytes)
    rows = staged(base, "rows")
    session = runtime.open_session(program.write(program.assemble(rows, memory.plan(rows))))
    got = runtime.run(session, inputs)[0]
    if dtype == "int8":
        assert got.tobytes() == expected.tobytes()
    else:
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_rows_of_matrices_stay_runs_of_items() -> None:
    """Attention goes by the rows of its scores, a layer over tokens by tokens."""
    b = Builder(0, "int8")
    x = b.input((1, 3, 4, 5))
    scores = b.add_node("batch_matmul", [x, x], b.quant(), adj_x=False, adj_y=True)
    shares = b.add_node("softmax", [scores], SHARES, beta=1.0)
    y = b.add_node("fully_connected", [shares, b.constant((6, 4), 6, 0), b.bias(6)], b.quant(), activation="none")
    lowered = passes.lower(Graph("attention", [x], [y], b.nodes))
    assert [n.op for n in lowered.nodes] == ["batch_matmul", "softmax", "fully_connected"]
    assert [ops.kernel_op(n) for n in lowered.nodes][1] == "softmax"


@pytest.mark.parametrize("between", ["leaky_relu", "add", None])
def test_what_works_item_by_item_keeps_the_rows(between: str | None) -> None:
    b = Builder(0, "int8")
    x = b.input((1, 4, 4, 3))
    y: Value = b.conv(x, 6, 1, 1)
    if between == "leaky_relu":
        y = b.add_node("leaky_relu", [y], b.quant(), alpha=0.1)
    elif between == "add":
        y = b.add_node("add", [b.conv(x, 6, 1, 1), y], b.quant(), activation="none")
    y = b.add_node("softmax", [y], SHARES, beta=1.0)
    lowered = passes.lower(Graph("net", [x], [y], b.nodes))
    assert ops.kernel_op(lowered.nodes[-1]) == "pixel_softmax"
