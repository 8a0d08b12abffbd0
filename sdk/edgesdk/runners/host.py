# SPDX-License-Identifier: Apache-2.0
"""Runs a program on this machine through the shared library."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk import runtime
from edgesdk.boards import Board
from edgesdk.runners import Measurement

WARM_UP = 3
STEP_RUNS = 5
FINE_S = 1e-6  # resolution of a clock that can time a step


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

    def step_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        return self._time_steps(inputs, runs, self._clock)

    def run_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        return [self._time(inputs, self._clock) for _ in range(runs)]

    @property
    def _clock(self) -> Callable[[], float]:
        """Of one thread its own, which stands still while others run; several wait for each other."""
        fine = time.get_clock_info("thread_time").resolution <= FINE_S
        return time.thread_time if fine and self.threads == 1 else time.perf_counter

    def _time_steps(self, inputs: Sequence[np.ndarray], runs: int, clock: Callable[[], float]) -> list[float]:
        times = [runtime.time_steps(self.session, inputs, clock) for _ in range(runs)]
        return [float(s) for s in np.median(times, axis=0)]

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        """Wall times in microseconds; steps are the median of hooked runs."""
        first = self._time(inputs)
        warm_up = [self._time(inputs) for _ in range(WARM_UP)]
        steady = [self._time(inputs) for _ in range(runs)]
        clock, context = self.about()
        return Measurement(
            clock=clock,
            init=self.init_us,
            first=first,
            warm_up=float(np.median(warm_up)),
            steady=steady,
            steps=self._time_steps(inputs, STEP_RUNS, time.perf_counter),
            arena_bytes=int(self.session.arena.size),
            context=context,
            kernels=self.session.kernels(),
        )

    def about(self) -> tuple[str, dict[str, Any]]:
        load = os.getloadavg()[0]
        machine = {"machine": platform.machine(), "system": platform.system()}
        return "us", {**machine, "load": load, "threads": self.threads}

    def _time(self, inputs: Sequence[np.ndarray], clock: Callable[[], float] = time.perf_counter) -> float:
        begun = clock()
        runtime.run(self.session, inputs)
        return (clock() - begun) * 1e6


@contextmanager
def open(board: Board, data: bytes, threads: int = 1) -> Iterator[HostSession]:
    """A loaded program. Raises LoadError where the runtime refuses it."""
    begun = time.perf_counter()
    session = runtime.open_session(data, threads)
    yield HostSession(data, session, (time.perf_counter() - begun) * 1e6, threads)
