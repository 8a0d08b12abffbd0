# SPDX-License-Identifier: Apache-2.0
"""Measurement -> the JSON object of `edgesdk profile`."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import edgesdk
from edgesdk import kernels
from edgesdk.boards import Board
from edgesdk.program import Program
from edgesdk.runners import Measurement


def profile(measured: Measurement, program: Program, data: bytes, board: Board) -> dict[str, Any]:
    """Times are in the unit that `clock` names; sizes are bytes."""
    steady = np.array(measured.steady)
    return {
        "board": board.id,
        "core": board.core.name,
        "clock": measured.clock,
        "init": measured.init,
        "first": measured.first,
        "warm_up": measured.warm_up,
        "steady": {
            "median": float(np.median(steady)),
            "p95": float(np.percentile(steady, 95)),
            "min": float(steady.min()),
        },
        "arena_bytes": measured.arena_bytes,
        "stack_bytes": measured.stack_bytes,
        "code_bytes": measured.code_bytes,
        "model_bytes": len(data),
        "steps": _steps(measured, program),
        "context": {"edgesdk": edgesdk.__version__, "python": platform.python_version(), **measured.context},
    }


def _steps(measured: Measurement, program: Program) -> list[dict[str, Any]]:
    rows = []
    infos = program.metadata.get("steps", [{}] * len(program.steps))
    numbers = measured.kernels or [s.kernel for s in program.steps]
    for i, (step, info, cost) in enumerate(zip(program.steps, infos, measured.steps, strict=True)):
        kernel = kernels.by_number(numbers[i])
        moved = sum(v.rows * v.row_bytes * (1 if v.constant else step.batch) for v in (step.output, *step.inputs))
        rows.append(
            {
                "name": f"{i} {info.get('op', '')}",
                "op": info.get("op", ""),
                "kernel": kernel.name if kernel else f"{numbers[i]:#06x}",
                "isa": kernel.isa if kernel else "",
                "cost": cost,
                "macs": info.get("macs", 0),
                "bytes": moved + info.get("weights_bytes", 0),
                "source": info.get("source", ""),
            }
        )
    return rows
