# SPDX-License-Identifier: Apache-2.0
"""`edgesdk tune`: on devices whose costs are given, on this machine, and on an emulated Cortex-M4."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tflite_models as models
from click.testing import CliRunner
from fake_device import (
    M4,
    PRICES,
    Fake,
    FakeSession,
    Model,
    bottleneck,
    by_isa,
    isa_of,
    isas,
    network,
    outputs,
    own_cache,  # noqa: F401
    tune,
)
from graphs import Builder
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import boards, cli, flow, kernels, measured, program, runners, toolchain, tuning
from edgesdk.boards import Board
from edgesdk.errors import DeviceError, DoesNotFit, UsageError
from edgesdk.ir import Graph
from edgesdk.tuning.contest import Budget, Contest, Device, Rules, contest, ratio

needs_emulator = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or not any(map(toolchain.command, ("gcc", "zig"))),
    reason="qemu-system-arm or a compiler for Cortex-M is not installed",
)


def test_a_slower_static_choice_is_replaced() -> None:
    found = tune(by_isa(thumb2=50.0))
    assert isas(found.static.data) == ["dsp"] * 3 and isas(found.converted.data) == ["thumb2"] * 3
    assert (found.before, found.after) == (300.0, 150.0) and len(found.changes) == 3
    assert found.changes[0].before == "ert_conv2d_s8s8_2x4__dsp" and found.changes[0].cost_after == 50.0
    assert all(map(np.array_equal, outputs(found.converted.data), outputs(found.static.data)))
    assert program.read(found.converted.data).metadata["tuned"]["device"]["board"] == M4
    report = tuning.report(found)
    assert report["ratio"] == 0.5 and report["cache"] == str(found.cache) and msgspec.json.encode(report)


def test_only_the_layers_that_gain_are_changed() -> None:
    def price(kernel: kernels.Kernel, shared: bool) -> float:
        return 10.0 if kernel.op == "conv2d" and kernel.isa == "c" else PRICES[kernel.isa]

    b = Builder(0, "int8")
    x = b.input((1, 12, 12, 8))
    y = b.add_node("add", [b.conv(x, 8, 1, 1), x], b.quant(), activation="none")
    found = tune(Fake(price), Model(Graph("net", [x], [y], b.nodes)))
    assert isas(found.converted.data) == ["c", "dsp"] and [c.op for c in found.changes] == ["conv2d"]


@pytest.mark.parametrize(("thumb2", "noise"), [(98.0, 0.0), (98.0, 0.01), (100.0, 0.1), (103.0, 0.2)])
def test_what_may_be_noise_changes_nothing(thumb2: float, noise: float) -> None:
    fake = by_isa(thumb2=thumb2)
    fake.noise = noise
    found = tune(fake)
    assert found.converted is found.static and found.changes == [] and found.after == found.before


def test_a_gain_is_found_in_noise() -> None:
    fake = by_isa(thumb2=80.0)
    fake.noise = 0.1
    found = tune(fake)
    assert isas(found.converted.data) == ["thumb2"] * 3 and found.after < found.before


def test_instructions_need_no_margin_and_one_run() -> None:
    fake = by_isa(thumb2=99.0)
    fake.clock = "instructions"
    found = tune(fake)
    assert isas(found.converted.data) == ["thumb2"] * 3
    trials = [c for c in fake.opened if len(c) == 1 and "c" in c]
    assert len(trials) == 1  # the portable kernels, all layers at once


def test_a_second_run_measures_nothing_again() -> None:
    fake = by_isa(thumb2=50.0)
    first, opened = tune(fake), len(fake.opened)
    again = by_isa(thumb2=1000.0)  # what is known is not asked again; before and after are compared all the same
    second = tune(again)
    assert second.measured == 0 and second.remembered == 6 and len(again.opened) < opened
    assert second.converted is second.static  # and decides
    fresh = tune(by_isa(thumb2=50.0), fresh=True)
    assert fresh.measured == first.measured and fresh.converted.data == first.converted.data


def test_convert_takes_what_was_measured() -> None:
    tuned = tune(by_isa(thumb2=50.0))
    assert flow.convert(network(), M4, tuned=True).data == tuned.converted.data
    assert isas(flow.convert(network(), M4).data) == ["dsp"] * 3
    assert flow.convert(network(), M4, tuned=True).warnings == []


def test_a_gain_that_the_whole_program_has_not_is_forgotten() -> None:
    class Lying(FakeSession):
        def run_costs(self, inputs: Any, runs: int) -> list[float]:
            return [300.0 + 100.0 * (isa_of(self.read.steps[0].kernel) == "thumb2")]

    @contextmanager
    def lying(board: Board, data: bytes, threads: int = 1) -> Iterator[FakeSession]:
        yield Lying(by_isa(thumb2=50.0), data, program.read(data), np.ones(3))

    found = tuning.tune(network(), M4, open_session=lying)
    assert found.converted is found.static and found.before == 300.0
    assert isas(flow.convert(network(), M4, tuned=True).data) == ["dsp"] * 3


def test_other_outputs_are_not_taken() -> None:
    fake = by_isa(thumb2=50.0)
    fake.wrong = "thumb2"
    found = tune(fake)
    assert found.converted is found.static and "other outputs" not in found.warnings
    assert any("from that of the static one" in w for w in found.warnings)
    assert isas(flow.convert(network(), M4, tuned=True).data) == ["dsp"] * 3


@pytest.mark.parametrize(
    ("ours", "theirs", "far"),
    [
        ([1, 2], [1, 2], 0.0),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.inf], [1.0, 2.0], np.inf),
        ([0.0, 1.0], [0.0, 2.0], 0.5),
    ],
)
def test_distances(ours: list[float], theirs: list[float], far: float) -> None:
    assert tuning.distance(np.array(ours), np.array(theirs)) == far


def test_a_failing_candidate_is_left_out() -> None:
    @contextmanager
    def failing(board: Board, data: bytes, threads: int = 1) -> Iterator[FakeSession]:
        if set(isas(data)) == {"thumb2"}:
            raise DoesNotFit("the flash is 7 bytes too small")
        with fake.open(board, data, threads) as session:
            yield session

    fake = by_isa(c=20.0)
    found = tuning.tune(network(), M4, open_session=failing)
    assert isas(found.converted.data) == ["c"] * 3 and any("7 bytes too small" in w for w in found.warnings)

    @contextmanager
    def dead(board: Board, data: bytes, threads: int = 1) -> Iterator[FakeSession]:
        raise DeviceError("no answer")
        yield

    with pytest.raises(DeviceError, match="no answer"):
        tuning.tune(network(), M4, open_session=dead)


class Clock:
    """Seconds that pass where a turn takes them."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@given(st.floats(0.1, 20), st.floats(0.1, 1), st.integers(2, 5), st.integers(1, 9))
def test_a_budget_is_respected(seconds: float, share: float, programs: int, rounds: int) -> None:
    clock, ticks = Clock(), list[str]()

    def turn(device: Device, data: bytes) -> np.ndarray:
        clock.at += 0.5
        return np.array([1.0])

    budget = Budget(seconds, ticks.append, clock)
    found = contest(Device(None, []), [b""] * programs, Rules(turn, rounds, share, "x"), budget)  # type: ignore[arg-type]
    assert clock.at <= max(0.5, seconds * share) and len(ticks) <= seconds + 1
    assert len(found.rounds) <= rounds and all(0 in r and len(r) > 1 for r in found.rounds)
    if seconds * share >= 0.5 * programs * rounds + 0.5:
        assert len(found.rounds) == rounds and all(len(r) == programs for r in found.rounds)


def test_no_time_is_no_gain() -> None:
    fake = by_isa(thumb2=50.0)
    found = tune(fake, seconds=1e-6)
    assert found.measured == 0 and found.converted is found.static and len(fake.opened) == 2
    assert found.warnings == ["costs that were not measured in time: 4; a longer --time measures more"]
    with pytest.raises(UsageError, match="more than 0 seconds"):
        tune(fake, seconds=0.0)


def test_ctrl_c_keeps_what_is_known(cache: Path) -> None:
    def interrupt(n: int) -> None:
        if n == 12:
            os.kill(os.getpid(), signal.SIGINT)

    fake, before = by_isa(thumb2=50.0), signal.getsignal(signal.SIGINT)
    fake.before_turn = interrupt
    found = tune(fake)
    assert found.stopped and isas(found.converted.data) == ["thumb2"] * 3
    assert signal.getsignal(signal.SIGINT) is before and len(list(cache.iterdir())) == 1


def test_ratio_wants_rounds() -> None:
    assert ratio([(1.0, 2.0)] * 2, exact=False) is None and ratio([(1.0, 2.0)] * 3, exact=False) == 0.5
    assert ratio([(1.0, 2.0)], exact=True) == 0.5 and ratio([], exact=True) is None
    assert ratio([(0.9, 1.0)] * 5 + [(1.1, 1.0)] * 4, exact=False) == 1.0  # a median, but hardly a gain
    assert ratio([(1.1, 1.0)] * 5 + [(0.9, 1.0)] * 4, exact=False) == 1.1
    assert Contest([{0: np.zeros(1), 2: np.ones(1)}, {0: np.zeros(1)}]).beside(2) == [(np.ones(1), np.zeros(1))]


def test_stages_of_rows_are_taken_where_they_pay() -> None:
    found = tune(Fake(rows=0.25), bottleneck())
    assert [s.kind for s in found.converted.schedule.stages] != ["plain"] and found.after < 0.8 * found.before
    assert found.changes == [] and tuning.report(found)["schedule"] != tuning.report(found)["schedule_before"]
    assert flow.convert(bottleneck(), M4, tuned=True).data == found.converted.data
    assert all(map(np.array_equal, outputs(found.converted.data), outputs(found.static.data)))
    assert tune(Fake(rows=0.25), bottleneck()).converted.data == found.converted.data


def test_stages_that_do_not_fit_are_not_taken() -> None:
    found = tune(Fake(rows=0.25), bottleneck())
    assert found.cache is not None
    known = json.loads(found.cache.read_text())
    known["programs"] = dict.fromkeys(known["programs"], [["plain", 0, 1, 1], ["rows", 1, 2, 1]])
    found.cache.write_text(json.dumps(known))
    larger = flow.convert(bottleneck(), M4, tuned=True).plan.arena_bytes
    assert flow.convert(bottleneck(), M4, tuned=True, ram_bytes=larger - 1).plan.arena_bytes < larger


def test_stages_of_rows_that_cost_more_are_not() -> None:
    found = tune(Fake(rows=1.5), bottleneck())
    assert found.converted is found.static and measured.load(found.cache, None)[0].programs  # type: ignore[arg-type, union-attr]
    assert tune(Fake(rows=0.25), bottleneck()).converted.data == found.static.data  # known: not measured again


@pytest.mark.parametrize(("shared", "alone"), [(200.0, 100.0), (100.0, 200.0)])
def test_threads_share_what_is_faster_shared(shared: float, alone: float) -> None:
    def price(kernel: kernels.Kernel, is_shared: bool) -> float:
        return shared if is_shared else alone

    found = tune(Fake(price), board="host", threads=2)
    assert program.threads(found.static.program)
    assert program.threads(program.read(found.converted.data)) == (shared < alone)
    assert any("on several threads" in w for w in found.warnings) == (shared > alone)


# Real devices, and the command line.


def edgesdk(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(cli.main, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_line_on_this_machine(tmp_path: Path) -> None:
    model, out = tmp_path / "net.tflite", tmp_path / "net.edge"
    model.write_bytes(models.conv_net())
    found = edgesdk("tune", model, "-o", out, "--time", "2s")
    assert {"before", "after", "ratio", "seconds", "layers", "cache", "measured", "model_bytes"} <= set(found)
    assert found["clock"] == "us" and found["seconds"] < 10 and 0 < found["after"] <= found["before"]
    again = edgesdk("tune", model, "-o", out, "--time", "2s")
    assert again["measured"] == 0 and again["remembered"] >= found["measured"]
    static, tuned = flow.convert(model).data, out.read_bytes()
    assert all(map(np.array_equal, outputs(tuned), outputs(static)))
    edgesdk("convert", model, "-o", tmp_path / "again.edge", "--tuned")
    plain = CliRunner().invoke(cli.main, ["tune", str(model), "-o", str(out), "--time", "1s"])
    assert plain.exit_code == 0 and "before, us" in plain.stdout and "took" in plain.stdout


@needs_emulator
def test_a_later_row_that_takes_fewer_instructions_is_found() -> None:
    """One output channel leaves most of a block of four empty; one pixel has no second one."""
    b = Builder(0, "int8")
    x = b.input((1, 1, 1, 16))
    y = b.conv(x, 1, 1, 1)
    found = tuning.tune(Model(Graph("tiny", [x], [y], b.nodes)), M4)
    assert isas(found.static.data) == ["dsp"] and isas(found.converted.data) == ["c"]
    assert found.clock == "instructions" and found.after < found.before
    for data, cost in ((found.static.data, found.before), (found.converted.data, found.after)):
        with runners.open(boards.load(M4), data) as session:
            sample = [np.zeros((1, 1, 1, 16), np.int8)]
            assert session.measure(sample, 1).steady == [cost]
    assert flow.convert(Model(Graph("tiny", [x], [y], b.nodes)), M4, tuned=True).data == found.converted.data


def test_help_has_an_example_and_bad_options_are_refused(tmp_path: Path) -> None:
    text = CliRunner().invoke(cli.main, ["tune", "--help"]).stdout
    assert "Example: edgesdk tune model.tflite -o model.edge" in text and "--time" in text and "30s" in text
    model = tmp_path / "net.tflite"
    model.write_bytes(models.conv_net())
    for extra, code in ((["--time", "soon"], 2), (["--time", "0s"], 2), (["--board", "esp32_s3_devkitc_1"], 6)):
        result = CliRunner().invoke(cli.main, ["tune", str(model), "-o", str(tmp_path / "x.edge"), *extra])
        assert result.exit_code == code and not (tmp_path / "x.edge").exists(), result.output


def test_tune_is_a_public_name() -> None:
    code = "import edgesdk; assert edgesdk.tune.__module__ == 'edgesdk.tuning' and callable(edgesdk.tune)"
    paths = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | paths)
