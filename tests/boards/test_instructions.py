# SPDX-License-Identifier: Apache-2.0
"""Models take no more instructions, code and arena than benchmarks/mcu_instructions.toml says."""

from __future__ import annotations

import shutil
from pathlib import Path

import mcu
import pytest
import regression

from edgesdk import boards, toolchain

pytest.importorskip("onnx")  # of the digit classifier
SHARED = Path(__file__).resolve().parents[3] / "shared"
KNOWN = boards.read_toml(regression.FILE)
CORES = {boards.load(name).core.name: name for name in ("mps2_an385", "mps2_an386", "mps3_an547")}
CASES = {case.name: case for case in mcu.cases(SHARED / "models", SHARED / "data" / "mcu-parity")}
SLOW = ("mcunet",)  # its schedule is searched for
ROWS = [(name, core) for name in CASES if name in KNOWN and name not in SLOW for core in CORES if core in KNOWN[name]]
pytestmark = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")


def check_compiler() -> None:
    """Another compiler makes other instructions: nothing is known of those."""
    if toolchain.command("gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    if regression.compiler() != KNOWN["compiler"]:
        pytest.skip(f"the figures are of {KNOWN['compiler']}, here is {regression.compiler()}")


@pytest.mark.parametrize(("name", "core"), ROWS)
def test_nothing_grows(name: str, core: str) -> None:
    check_compiler()
    ours = mcu.measure(CASES[name], CORES[core])
    assert "refused" not in ours
    assert list(regression.grown(ours, KNOWN[name][core])) == []


def test_the_digits_are_always_there() -> None:
    assert {core for name, core in ROWS if name == "digits"} == set(CORES)


def test_growth_is_seen() -> None:
    known = {"instructions": 1000, "code": 1000, "arena": 64}
    same = {"instructions": 1010, "code": 1020, "planned_arena": 64}
    larger = {"instructions": 1011, "code": 1021, "planned_arena": 65}
    assert list(regression.grown(same, known)) == []
    assert [s.partition(":")[0] for s in regression.grown(larger, known)] == ["instructions", "code", "arena"]
