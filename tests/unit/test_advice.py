# SPDX-License-Identifier: Apache-2.0
"""Kernels moved to later layers: shapes stay, the receptive field stays, plans are real."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import Builder, graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk import advice, boards, memory, ops, pareto, passes, schedule
from edgesdk.advice import Edit
from edgesdk.errors import UsageError
from edgesdk.ir import Graph
from edgesdk.schedule import Schedule, Stage
from edgesdk.search import Point

BOARD = boards.load("mps2_an386")
CHAIN = BOARD.core.isa


def network(kernels: tuple[int, ...] = (7, 3, 3), strides: tuple[int, ...] = (1, 2, 2)) -> Schedule:
    """Depthwise separable blocks, two more behind them at the smallest scale."""
    b = Builder(1, "int8")
    x = y = b.input((1, 48, 48, 3))
    for kernel, stride in [*zip(kernels, strides, strict=True), (3, 1), (3, 1)]:
        y = b.depthwise(b.conv(y, 8, 1, 1), kernel, stride)
    return schedule.schedule(passes.lower(passes.simplify(Graph("n", [x], [y], b.nodes))), CHAIN)


def fused(base: Schedule, count: int) -> Point:
    stages = [Stage("rows", 0, count), Stage("plain", count, len(base.steps) - count)]
    s = Schedule(base.graph, base.steps, stages, base.roots)
    return Point(s, memory.plan(s), 1.0)


@pytest.mark.parametrize(
    ("size", "stride", "half"), [(7, 1, 3), (5, 1, 3), (3, 1, 1), (3, 2, 3), (7, 2, 3), (7, 4, 5), (1, 1, 1), (1, 2, 1)]
)
def test_halved(size: int, stride: int, half: int) -> None:
    assert advice.halved(size, stride) == half


def test_the_entry_names_the_layers_and_the_effect() -> None:
    point = fused(network(), 6)
    (entry,) = advice.advise([point], CHAIN)
    assert entry["stage"] == "rows 0-5" and entry["arena_bytes"] == point.plan.arena_bytes
    assert entry["layers"][0]["kernel"] == [7, 7] and entry["layers"][0]["rows"] == 6
    assert entry["input_rows"] == 1 + 6 + 2 + 4 and entry["halo_rows"] == entry["input_rows"] - 4
    after = entry["redistributed"]
    assert after["receptive_rows"] >= entry["receptive_rows"]
    assert after["halo_rows"] < entry["halo_rows"]
    assert after["arena_bytes"] < entry["arena_bytes"] and after["macs"] < entry["macs"]
    assert {tuple(k["after"]) for k in after["kernels"]} >= {(3, 3)}


def test_nothing_moves_where_no_later_layer_can_grow() -> None:
    base = network()
    (entry,) = advice.advise([fused(base, len(base.steps))], CHAIN)
    assert entry["redistributed"] is None and entry["layers"]


def test_points_without_fused_stages_have_no_advice() -> None:
    base = network()
    whole = Point(base, memory.plan(base), 1.0)
    assert advice.advise([whole], CHAIN) == []


@given(graphs(), st.integers(0, 8), st.integers(0, 100))
@settings(max_examples=40)
def test_edited_graphs_keep_every_shape_and_can_be_planned(graph: Graph, half: int, at: int) -> None:
    base = schedule.schedule(passes.lower(passes.simplify(graph)), CHAIN)
    size = 1 + 2 * half
    able = [k for k, s in enumerate(base.steps) if advice.kernel_of(s.node)]
    if not able:
        return
    k = able[at % len(able)]
    node = base.steps[k].node
    made = advice.resized(node, (size, size))
    if made is None:
        return
    before = advice.kernel_of(node)
    assert before is not None and advice.kernel_of(made) == (size, size)
    (shape, _), *_ = ops.module(made.op).infer(made)
    assert tuple(shape) == node.output.shape
    changed = advice.edited(base, [Edit(k, before, (size, size))], CHAIN)
    assert memory.plan(changed).arena_bytes > 0 and pareto.macs(changed) >= 0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_kernel_grown_and_shrunk_again_is_the_same(axis: int) -> None:
    data = np.arange(2 * 3 * 3 * 2).reshape((3, 3, 4) if axis == 0 else (2, 3, 3, 2))
    assert np.array_equal(advice.resize_kernel(advice.resize_kernel(data, axis, (7, 5)), axis, (3, 3)), data)


def test_a_kernel_within_zeros_computes_the_same() -> None:
    base = network()
    node = next(s.node for s in base.steps if s.node.op == "depthwise_conv2d" and s.node.attrs["stride"] == (1, 1))
    made = advice.resized(node, (9, 9))
    assert made is not None
    x = np.random.default_rng(0).integers(-128, 128, node.input(0).shape).astype(np.int8)
    results = [ops.module(n.op).reference(n, [x, *(v.data for v in n.inputs[1:] if v)])[0] for n in (node, made)]
    assert np.array_equal(*results)


def torch_network(nn: Any) -> Any:
    """Inverted bottlenecks as in MobileNetV2, narrow."""

    def block(c: int, out: int, stride: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(c, 2 * c, 1), nn.ReLU6(), nn.Conv2d(2 * c, 2 * c, 3, stride, 1, groups=2 * c), nn.ReLU6(),
            nn.Conv2d(2 * c, out, 1),
        )  # fmt: skip

    strides = (1, 2, 1, 2, 1, 2, 1, 1)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *(block(8, 8, s) for s in strides))


def test_the_torch_recipe_keeps_shapes_and_receptive_field() -> None:
    torch = pytest.importorskip("torch")
    from edgesdk.compress.torch.redistribute import redistribute

    torch.manual_seed(0)
    model, image = torch_network(torch.nn).train(), torch.zeros(1, 3, 256, 256)
    changed, changes = redistribute(model, image)
    assert changed(image).shape == model(image).shape and changed.training
    assert [c.after < c.before for c in changes] == sorted((c.after < c.before for c in changes), reverse=True)
    assert sum(c.rows for c in changes) <= 0 and changes[0].rows > 0
    assert all(m.kernel_size in ((1, 1), (3, 3)) for m in model.modules() if isinstance(m, torch.nn.Conv2d))


def test_the_torch_recipe_only_adds_zeros_behind() -> None:
    torch = pytest.importorskip("torch")
    from edgesdk.compress.torch.redistribute import redistribute

    model = torch_network(torch.nn)
    changed, changes = redistribute(model, torch.zeros(1, 3, 128, 128))
    for c in (c for c in changes if c.after > c.before):
        before, after = (m.get_submodule(c.layer).weight for m in (model, changed))
        side = (c.after - c.before) // 2
        assert torch.equal(after[:, :, side:-side, side:-side], before) and (after != 0).sum() <= before.numel()


def test_the_torch_recipe_refuses_what_it_cannot_make_up_for() -> None:
    torch = pytest.importorskip("torch")
    from edgesdk.compress.torch.redistribute import redistribute

    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(UsageError, match="later depthwise layers"):
        redistribute(torch_network(torch.nn), image, first_stage_scale=64)
    with pytest.raises(UsageError, match="first_stage_scale"):
        redistribute(torch_network(torch.nn), image, first_stage_scale=1)
