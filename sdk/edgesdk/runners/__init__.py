# SPDX-License-Identifier: Apache-2.0
"""Runners: one file per way to reach a target. Each has

    open(board, data) -> context manager of a session

where a session has `run(inputs) -> outputs` and `measure(inputs, runs) -> Measurement`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edgesdk.boards import Board
from edgesdk.errors import DeviceError, Unsupported

# runner of a board.toml -> module of this package
RUNNERS = {"host": "host", "qemu": "qemu", "qemu-user": "qemu_user", "wasm": "wasm", "browser": "browser"}
THREADED = ("host", "qemu-user", "wasm", "browser")


@dataclass(frozen=True)
class Measurement:
    """Costs in the unit of `clock`: "us", or "instructions" on an emulator. What is unknown is None."""

    clock: str
    init: float
    first: float
    warm_up: float
    steady: list[float]
    steps: list[float]
    arena_bytes: int
    stack_bytes: int | None = None
    code_bytes: int | None = None
    context: dict[str, Any] = field(default_factory=dict)
    kernels: list[int] = field(default_factory=list)  # of each step, where they may be others than the file's


class Session(Protocol):
    """A loaded program on a target."""

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]: ...

    def reset(self) -> None:
        """Variables hold their first contents again."""

    def about(self) -> tuple[str, dict[str, Any]]:
        """The clock's unit, and what a measurement tells of the target."""

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement: ...

    def step_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """What every step costs, in the clock's unit: the median of so many runs, of one where it is exact."""

    def run_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """What so many runs cost. Of both, times are those of the processor where it has other work, too."""

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        """The output bytes of every step of one run."""


def open(board: Board, data: bytes, threads: int = 1) -> AbstractContextManager[Session]:
    """A session on the board for the bytes of a .edge file."""
    if board.runner not in RUNNERS:
        raise DeviceError(
            f"board {board.id}: edgesdk has no runner {board.runner or 'for it'} yet; "
            f"expected a board whose runner is one of {', '.join(RUNNERS)}"
        )
    module = importlib.import_module(f"edgesdk.runners.{RUNNERS[board.runner]}")
    if threads != 1 and board.runner not in THREADED:
        raise Unsupported(f"board {board.id}: it has one thread; leave --threads out")
    more = {"threads": threads} if threads != 1 else {}
    session: AbstractContextManager[Session] = module.open(board, data, **more)
    return session
