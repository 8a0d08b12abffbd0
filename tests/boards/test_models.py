# SPDX-License-Identifier: Apache-2.0
"""Real models in the emulator give TFLite Micro's bytes on every core."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgesdk import boards, toolchain
from edgesdk.errors import DoesNotFit
from edgesdk.flow import convert
from edgesdk.runners import qemu

SHARED = Path(__file__).resolve().parents[3] / "shared"
PARITY = SHARED / "data" / "mcu-parity"
EXPECTED = json.loads((PARITY / "expected_outputs.json").read_text()) if PARITY.is_dir() else {}
EMULATED = [name for name in boards.names() if boards.load(name).runner == "qemu"]
TOO_LARGE = {("microbit", "ad")}
pytestmark = [
    pytest.mark.skipif(not EXPECTED, reason="no ../shared/data/mcu-parity beside the project"),
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed"),
    pytest.mark.skipif(not any(map(toolchain.command, ("gcc", "zig"))), reason="no compiler for Cortex-M"),
]


@pytest.mark.parametrize("key", ["ad", "ic", "kws", "ms", "hw"])
@pytest.mark.parametrize("name", EMULATED)
def test_bytes_of_tflite_micro(name: str, key: str) -> None:
    case, board = EXPECTED[key], boards.load(name)
    if (name, key) in TOO_LARGE:
        with pytest.raises(DoesNotFit, match="bytes too few"):
            run(board, case)
    else:
        assert run(board, case) == case["tflm_output_hex"]


def run(board: boards.Board, case: dict[str, str]) -> str:
    converted = convert(SHARED / "models" / case["model"], board)
    with qemu.open(board, converted.data) as session:
        tensor = converted.program.inputs[0]
        sample = np.fromfile(PARITY / case["input"], tensor.dtype).reshape(tensor.shape)
        return session.run([sample])[0].tobytes().hex()
