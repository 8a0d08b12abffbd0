# SPDX-License-Identifier: Apache-2.0
"""The cost model: what it counts, when it says nothing, and how near it comes to the emulator."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import Builder

from edgesdk import boards, cost, counts, firmware, kernels, memory, passes, program, schedule
from edgesdk.ir import Graph, Value
from edgesdk.runners import link, qemu
from edgesdk.schedule import Schedule, Stage, Step

M4 = "cortex-m4"


def steps_of(b: Builder, x: Value, y: Value) -> Schedule:
    return schedule.schedule(passes.lower(passes.simplify(Graph("g", [x], [y], b.nodes))), ("c",))


def network(height: int = 9) -> Schedule:
    b = Builder(1, "int8")
    x = b.input((1, height, 7, 3))
    return steps_of(b, x, b.classifier(b.depthwise(b.conv(x, 6, 3, 2), 3, 1), 4))


def by_rows(plain: Schedule) -> Schedule:
    return Schedule(plain.graph, plain.steps, [Stage("rows", 0, len(plain.steps))], plain.roots)


def one(build: str, *arguments: int, shape: tuple[int, ...] = (1, 8, 8, 4)) -> Step:
    b = Builder(2, "int8")
    x = b.input(shape)
    return steps_of(b, x, getattr(b, build)(x, *arguments)).steps[0]


def test_prices_name_cores_and_kernels_that_exist() -> None:
    names = {k.name for k in kernels.table()}
    assert cost.REFERENCE_CORE in cost.prices()
    for core, table in cost.prices().items():
        assert core in boards.cores()
        assert set(table.kernels) <= names
        assert table.dispatch > 0
        for kernel in table.kernels.values():
            assert all(p > 0 for p in kernel.prices.values())


@pytest.mark.parametrize("kernel", ["conv2d_s8s8", "depthwise_conv2d_s8s8", "fully_connected_s8s8", "reduce_s8"])
def test_every_priced_core_prices_the_common_kernels(kernel: str) -> None:
    for table in cost.prices().values():
        assert any(name.startswith(f"ert_{kernel}_") for name in table.kernels)


def test_conv2d_counts_its_products() -> None:
    pointwise = cost.counts(one("conv", 8, 1, 1))
    assert pointwise["group mac"] == 8 * 8 * 2 * 4
    assert "gather" not in pointwise, "a 1x1 window is read where it lies"
    rest = cost.counts(one("conv", 3, 1, 1))
    assert "group mac" not in rest
    assert rest["rest"] == 8 * 8 * 3


def test_depthwise_counts_taps_inside_and_outside_of_the_image() -> None:
    found = cost.counts(one("depthwise", 3, 1, shape=(1, 5, 6, 4)))
    inside, windows = (3 * 5 - 2) * (3 * 6 - 2), 5 * 6
    assert found["tap"] == inside
    assert found["pad tap"] == windows * 9 - inside


@pytest.mark.parametrize("n", [1, 3, 4, 15, 16, 17, 31, 64])
def test_a_loop_is_split_without_loss(n: int) -> None:
    found = counts.loop("item", n, 5)
    assert found["item x16"] * 16 + found["item x4"] * 4 + found["item x1"] == 5 * n
    assert found["item"] == 5


def test_a_batch_costs_as_many_images() -> None:
    single, batch = one("conv", 8, 3, 1), one("conv", 8, 3, 1, shape=(3, 8, 8, 4))
    assert {k: 3 * n for k, n in cost.counts(single).items()} == cost.counts(batch)


def test_more_calls_cost_more_by_the_same_amount_each() -> None:
    step = one("conv", 8, 3, 1)
    whole, two, three = (cost.instructions(step, n, M4) for n in (1, 2, 3))
    assert 0 < whole < two
    assert three - two == pytest.approx(two - whole)


def test_a_program_costs_its_steps() -> None:
    plain = network()
    found = cost.program_cost(plain, M4)
    assert found.instructions == pytest.approx(sum(cost.instructions(s, 1, M4) for s in plain.steps))
    rows = cost.program_cost(by_rows(plain), M4)
    assert rows.instructions is not None
    assert rows.instructions > found.instructions
    assert found.error_percent is not None
    assert 0 < found.error_percent < 10


def test_a_taller_image_costs_more() -> None:
    costs = [cost.program_cost(network(h), M4).instructions for h in (5, 9, 17)]
    assert costs == sorted(costs)


def test_an_unknown_core_has_no_estimate_but_an_order() -> None:
    plain = network()
    assert cost.program_cost(plain, "x86-64", 10**9) == cost.Estimate(None, None, None)
    assert [cost.instructions(s, 1, "x86-64") for s in plain.steps] == [
        cost.instructions(s, 1, M4) for s in plain.steps
    ]


def renamed(step: Step, **changes: str) -> Step:
    return Step(step.node, replace(step.kernel, **changes), step.encoded, step.scratch_bytes)


def test_an_unknown_kernel_has_no_estimate_but_the_price_of_its_like() -> None:
    plain = network()
    conv = renamed(plain.steps[0], isa="other")
    assert cost.instructions(conv, 1, M4) == cost.instructions(plain.steps[0], 1, M4)
    changed = Schedule(plain.graph, [conv, *plain.steps[1:]], plain.stages, plain.roots)
    assert cost.program_cost(changed, M4) == cost.Estimate(None, None, None)
    assert cost.instructions(renamed(conv, op="new"), 1, M4) > 0


def test_a_latency_needs_a_clock_and_cycles_per_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, known = network(), cost.prices()[M4]
    assert cost.program_cost(plain, M4, 10**8).latency_us is None
    timed = cost.CorePrices(dispatch=known.dispatch, kernels=known.kernels, cycles_per_instruction=1.5, source="a test")
    monkeypatch.setattr(cost, "prices", lambda: {M4: timed})
    found = cost.program_cost(plain, M4, 10**8)
    assert found.instructions is not None
    assert found.latency_us == pytest.approx(found.instructions * 1.5 / 100)
    assert cost.program_cost(plain, M4).latency_us is None


@pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc",
)
@pytest.mark.parametrize("board_id", ["mps2_an386", "mps3_an547"])
@pytest.mark.parametrize("stages", ["plain", "rows"])
def test_the_model_is_near_the_emulator(board_id: str, stages: str) -> None:
    board = boards.load(board_id)
    b = Builder(3, "int8")
    x = b.input((1, 24, 20, 3))
    y = b.depthwise(b.conv(x, 8, 3, 2), 3, 1)
    y = b.add_node("add", [y, b.conv(y, 8, 1, 1)], b.quant(), activation="none")
    plain = steps_of(b, x, b.classifier(b.conv(y, 24, 1, 1), 5))
    placed = plain if stages == "plain" else by_rows(plain)
    data = program.write(program.assemble(placed, memory.plan(placed)))
    estimate = cost.program_cost(placed, board.core.name)
    found = counted(board, data, np.zeros(x.shape, np.int8))
    assert estimate.instructions == pytest.approx(found, rel=0.05)


def counted(board: boards.Board, data: bytes, x: np.ndarray) -> float:
    """Instructions of one run, without those of its steps one by one."""
    with tempfile.TemporaryDirectory() as folder:
        image = firmware.build(board, data, Path(folder))
        with qemu.emulator(board, image.elf) as agent:
            about = link.hello(agent)
            assert link.load(agent).code == 0
            link.write_input(agent, 0, x.tobytes(), about.chunk_bytes)
            return qemu.instructions(link.run(agent)[0] - about.empty_ticks, about.timer_hz)
