# SPDX-License-Identifier: Apache-2.0
"""Runs a program on this machine through the shared library."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edgesdk import runtime
from edgesdk.boards import Board
from edgesdk.runners import Measurement

WARM_UP = 3


@dataclass(frozen=True)
class HostSession:
    data: bytes
    session: runtime.Session
    init_us: float
    threads: int = 1

    def reset(self) -> None:
        self.session.reset()

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return runtime.run(self.session, inputs)

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        return runtime.step_outputs(self.session, inputs)

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        """Wall times in microseconds; steps are the median of five hooked runs."""
        first = self._time(inputs)
        warm_up = [self._time(inputs) for _ in range(WARM_UP)]
        steady = [self._time(inputs) for _ in range(runs)]
        steps = np.median([runtime.time_steps(self.session, inputs) for _ in range(5)], axis=0)
        return Measurement(
            clock="us",
            init=self.init_us,
            first=first,
            warm_up=float(np.median(warm_up)),
            steady=steady,
            steps=[float(s) for s in steps],
            arena_bytes=int(self.session.arena.size),
            context={
                "machine": platform.machine(),
                "system": platform.system(),
                "load": os.getloadavg()[0],
                "threads": self.threads,
            },
            kernels=self.session.kernels(),
        )

    def _time(self, inputs: Sequence[np.ndarray]) -> float:
        begun = time.perf_counter()
        runtime.run(self.session, inputs)
        return (time.perf_counter() - begun) * 1e6


@contextmanager
def open(board: Board, data: bytes, threads: int = 1) -> Iterator[HostSession]:
    """A loaded program. Raises LoadError where the runtime refuses it."""
    begun = time.perf_counter()
    session = runtime.open_session(data, threads)
    yield HostSession(data, session, (time.perf_counter() - begun) * 1e6, threads)
