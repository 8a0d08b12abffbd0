# SPDX-License-Identifier: Apache-2.0
"""The front in words and figures: points, stages, reach, and the verb's JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from graphs import Builder, graphs
from hypothesis import given, settings

from edgesdk import boards, cli, memory, ops, pareto, passes, schedule, search
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph
from edgesdk.schedule import Schedule, Stage, trace

BOARD = boards.load("mps2_an386")


def lowered(graph: Graph) -> Schedule:
    return schedule.schedule(passes.lower(passes.simplify(graph)), BOARD.core.isa)


def chain(*layers: tuple[int, int], size: int = 32) -> Schedule:
    """Convolutions of (kernel, stride) with padding of half the kernel."""
    b = Builder(0, "int8")
    x = y = b.input((1, size, size, 3))
    for kernel, stride in layers:
        y = b.depthwise(b.conv(y, 8, 1, 1), kernel, stride)
    return lowered(Graph("chain", [x], [y], b.nodes))


def brute_rows(s: Schedule, steps: range, y: int) -> range:
    """Rows of the region's input that row y of its last step needs, step by step backwards."""
    needed = range(y, y + 1)
    for k in reversed(steps):
        step = s.steps[k]
        spans = [ops.module(step.node.op).rows_read(step.node, step.encoded, 0, r) for r in (needed[0], needed[-1])]
        needed = range(spans[0].start, spans[1].stop)
    return needed


@pytest.mark.parametrize("layers", [((3, 1),), ((3, 2), (5, 1)), ((7, 2), (3, 2), (3, 1)), ((1, 1), (1, 2))])
def test_reach_is_the_receptive_field(layers: tuple[tuple[int, int], ...]) -> None:
    s = chain(*layers)
    steps = range(len(s.steps))
    rows = s.steps[-1].encoded.rows
    here, below = brute_rows(s, steps, rows // 2), brute_rows(s, steps, rows // 2 + 1)
    found = pareto.reach(s, steps)
    assert (found.rows, found.advance) == (len(here), below.start - here.start)
    assert sum(added for _, added in found.layers) == found.rows - 1
    assert found.halo == max(0, len(here) - (below.start - here.start))


def test_a_layer_over_the_flattened_image_is_summed_while_its_rows_arrive() -> None:
    b = Builder(0, "int8")
    x = b.input((1, 24, 24, 3))
    y = b.depthwise(b.conv(x, 16, 1, 1), 3, 1)
    base = pareto.bound(lowered(Graph("flat", [x], [b.flat_classifier(y, 3)], b.nodes)))
    assert base.steps[-1].node.op == "fully_connected_rows"
    least = pareto.points(base, BOARD)[-1]
    assert least.plan.arena_bytes < y.n_bytes // 4, "no feature map is whole"


def test_reach_stops_at_the_mean() -> None:
    b = Builder(0, "int8")
    x = b.input((1, 16, 16, 3))
    y = b.depthwise(b.conv(x, 4, 1, 1), 3, 1)
    whole, body = lowered(Graph("c", [x], [b.classifier(y, 3)], b.nodes)), chain((3, 1))
    assert pareto.reach(whole, range(len(whole.steps))).rows == pareto.reach(body, range(len(body.steps))).rows == 3


@given(graphs())
@settings(max_examples=10)
def test_points_say_what_their_programs_do(graph: Graph) -> None:
    base = lowered(graph)
    if not base.steps:
        return
    whole = pareto.layer_by_layer(base, BOARD)
    points = pareto.points(base, BOARD)
    assert [p.plan.arena_bytes for p in points] == sorted({p.plan.arena_bytes for p in points}, reverse=True)
    assert points[-1].plan.arena_bytes <= whole.plan.arena_bytes
    for p in points:
        described = pareto.describe(p, BOARD, whole)
        assert described["arena_bytes"] == memory.plan(p.schedule).arena_bytes
        # A strip leaves out the columns that a stride steps over.
        if all(s.strips == 1 for s in p.schedule.stages):
            assert described["recompute_ratio"] >= 1.0 and described["cost_ratio"] >= 0.999
        assert sum(s["rows_computed"] for s in described["stages"]) == sum(
            len(c.rows) for c in p.schedule.calls if c.step != trace.AWAIT
        )
        assert [(s["first"], s["last"]) for s in described["stages"]] == [
            (s.first, s.first + s.count - 1) for s in p.schedule.stages
        ]


def test_layer_by_layer_stays_where_nothing_smaller_is_planned() -> None:
    """A stage of rows has no smaller arena here: what computes everything in plain steps costs less."""
    b = Builder(0, "int8")
    x = b.input((1, 5, 5, 1))
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "activation": "relu"}
    y = b.add_node("conv2d", [x, b.constant((1, 3, 3, 1), 1, 0), b.bias(1)], b.quant(), **window)
    left, right = b.conv(y, 4, 1, 1), b.depthwise(b.conv(y, 3, 1, 1), 3, 1)
    right.quant = left.quant
    both = b.add_node("concat", [left, right], left.quant, axis=3)
    base = lowered(Graph("branches", [x], [b.classifier(both, 2)], b.nodes))
    whole = pareto.layer_by_layer(base, BOARD)
    found = search.front(base, pareto.cost_on(BOARD))
    assert min(p.plan.arena_bytes for p in found) >= whole.plan.arena_bytes
    assert pareto.points(base, BOARD)[-1].plan.arena_bytes == whole.plan.arena_bytes


def test_every_tick_is_counted() -> None:
    base, calls = chain((3, 1), (3, 2)), []
    pareto.points(base, BOARD, lambda: calls.append(1))
    assert len(calls) == pareto.ticks(base)


def test_text_names_each_stage() -> None:
    base = chain((3, 1), (3, 1))
    stages = [Stage("rows", 0, 3), Stage("plain", 3, 1)]
    assert pareto.text(Schedule(base.graph, base.steps, stages, base.roots)) == "rows 0-2 | plain 3"


def test_the_streamed_input_need_not_lie_in_the_arena() -> None:
    base = chain((3, 2), (3, 2), size=64)
    streamed = pareto.points(pareto.streamed(base), BOARD)
    assert streamed[-1].plan.arena_bytes < base.graph.inputs[0].n_bytes
    assert pareto.report(streamed, pareto.layer_by_layer(base, BOARD), BOARD, [])["streamed"] is True


def test_a_sliding_window_is_one_point_that_computes_less() -> None:
    b = Builder(0, "int8")
    x = y = b.input((1, 29, 2, 3))
    for stride, kernel in ((1, 3), (2, 3), (1, 5), (1, 9)):
        attrs = {"stride": (stride, 1), "dilation": (1, 1), "padding": (0,) * 4, "activation": "none"}
        w = b.constant((4, kernel, 1, y.shape[3]), 4, 0)
        y = b.add_node("conv2d", [y, w, b.bias(4)], b.quant(), **attrs)
    base = lowered(Graph("window", [x], [b.classifier(y, 3)], b.nodes))
    (point,) = pareto.points(pareto.streamed(base), BOARD)
    described = pareto.describe(point, BOARD, pareto.layer_by_layer(base, BOARD))
    assert described["stages"][0]["kind"] == "frames" and described["stages"][0]["input_rows"] == 29
    assert described["recompute_ratio"] < 0.3 and described["cost_ratio"] < 0.5


def test_what_is_no_image_is_not_streamed() -> None:
    b = Builder(0, "int8")
    x = b.input((2, 8))
    w = b.constant((4, 8), 4, 0)
    y = b.add_node("fully_connected", [x, w, b.bias(4)], b.quant(), activation="none")
    with pytest.raises(Unsupported, match="expected one input"):
        pareto.streamed(lowered(Graph("fc", [x], [y], b.nodes)))


def test_nothing_is_reported_for_a_core_without_prices() -> None:
    base, host = chain((3, 1)), boards.load("host")
    described = pareto.describe(pareto.layer_by_layer(base, host), host, pareto.layer_by_layer(base, host))
    assert described["instructions"] is described["latency_us"] is None and described["cost_ratio"] == 1.0


def test_the_verb(tmp_path: Path) -> None:
    model = small_model(tmp_path)
    page = tmp_path / "front.html"
    arguments = ["pareto", str(model), "--board", "mps2_an386", "--html", str(page), "--json"]
    done = CliRunner().invoke(cli.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    keys = {"arena_bytes", "latency_us", "instructions", "recompute_ratio", "schedule"}
    assert result["points"] and all(keys <= set(p) for p in result["points"])
    assert "advice" in result and page.read_text().startswith("<!DOCTYPE html>")
    table = CliRunner().invoke(cli.main, ["pareto", str(model)], catch_exceptions=False)
    assert table.exit_code == 0 and "arena bytes" in table.stdout


def small_model(folder: Path) -> Path:
    """A float ONNX model of two convolutions."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weights = [("w0", (8, 3, 3, 3)), ("w1", (4, 8, 3, 3))]
    rng = np.random.default_rng(0)
    constants = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in weights]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w1"], ["y"], pads=[1] * 4, strides=[2, 2]),
    ]
    ports = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 24, 24]), ("y", [1, 4, 12, 12]))]
    path = folder / "small.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "small", ports[:1], ports[1:], constants)), path)
    return path


def test_an_input_that_is_rearranged_cannot_be_streamed() -> None:
    b = Builder(0, "int8")
    x = b.input((1, 3, 8, 8))
    y = b.conv(b.add_node("transpose", [x], x.quant, perm=(0, 2, 3, 1)), 4, 3, 1)
    with pytest.raises(Unsupported, match="expected images in NHWC"):
        pareto.streamed(lowered(Graph("nchw", [x], [y], b.nodes)))


def test_points_beyond_the_reach_of_row_tables_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    base = chain((3, 1), (3, 1), size=16)
    monkeypatch.setattr(memory, "TABLE_REACH_BYTES", 0)
    assert all(stage.kind == "plain" for p in pareto.points(base, BOARD) for stage in p.schedule.stages)
