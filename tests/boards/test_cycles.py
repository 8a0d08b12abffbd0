# SPDX-License-Identifier: Apache-2.0
"""The trace that cycles are modelled from holds every instruction of an inference, and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import cycles
import mcu
import pytest

from edgesdk import boards

pytest.importorskip("onnx")  # of the digit classifier
NEEDED = ("qemu-system-arm", "arm-none-eabi-gcc", "arm-none-eabi-objdump", "cc")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.mark.parametrize("name", ["mps2_an386", "mps3_an547"])
def test_every_instruction_is_traced(name: str, tmp_path: Path) -> None:
    board, (case,) = boards.load(name), mcu.cases(None, None, "digits")
    parts = cycles.measure(board, case, cycles.plugin(tmp_path))
    assert parts is not None
    counted = mcu.measure(case, name)["instructions"]
    traced = sum(p.instructions for p in parts)
    assert 0 <= traced - counted <= 4  # the call of the timer
    modelled = sum(p.cycles for p in parts)
    assert 0.5 * traced < modelled < 2.5 * traced
    hot = cycles.loops(parts)
    assert hot and all(turn[-1].left > 0 for turn in hot)
