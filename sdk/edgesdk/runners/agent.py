# SPDX-License-Identifier: Apache-2.0
"""A program loaded by the agent: run, measured and looked into over its link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgesdk.errors import DeviceError
from edgesdk.program import Program, Tensor
from edgesdk.runners import Measurement
from edgesdk.runners import link as requests
from edgesdk.runners.link import PAINTS, WATCH_COSTS, WATCH_NOTHING, Hello, Link, Loaded, Marks, Pushed, StepCost
from edgesdk.runtime import LoadError, step_bytes


@dataclass(frozen=True)
class Clock:
    """`cost` turns the ticks of one span into the unit `name`; sums come from the agent in that unit where there is a
    `scale` (see LOAD in agent.h), else in ticks."""

    name: str
    cost: Callable[[int], float]
    scale: int = 0

    def summed(self, total: int) -> float:
        return float(total) if self.scale else self.cost(total)

    def ticks(self, total: int) -> int:
        return (total << 32) // self.scale if self.scale else total


@dataclass(frozen=True)
class AgentSession:
    """A program loaded by the agent."""

    link: Link
    program: Program
    hello: Hello
    loaded: Loaded
    clock: Clock
    code_bytes: int
    context: dict[str, Any]

    @property
    def streamed(self) -> bool:
        return any(tensor.streamed for tensor in self.program.inputs)

    def reset(self) -> None:
        requests.start(self.link)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self._infer(inputs)
        return self.outputs()

    def outputs(self) -> list[np.ndarray]:
        return [self._read(i, tensor) for i, tensor in enumerate(self.program.outputs)]

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        """The output bytes of every step: one run per step, each from the first contents of the variables."""
        outputs = []
        for step in range(self.loaded.steps):
            if self.program.variables:
                self.reset()
            outputs.append(self._step(inputs, step))
        return outputs

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        """Costs without that of reading the timer. One run warms up; the steps are of one run of their own."""
        requests.load(self.link, self.clock.scale, PAINTS[0])
        counts = [self._infer(inputs) for _ in range(runs + 2)]
        steps = self._profile(inputs)
        first, warm_up, *steady = (self._whole(count, sum(s.sum for s in steps)) for count in counts)
        used = self.marks(inputs)
        return Measurement(
            clock=self.clock.name,
            init=self.clock.cost(self.loaded.ticks) - self.clock.cost(self.hello.empty_ticks),
            first=first,
            warm_up=warm_up,
            steady=steady,
            steps=[self._step_cost(s) for s in steps],
            arena_bytes=used.arena_used,
            stack_bytes=used.stack_used,
            code_bytes=self.code_bytes,
            context=self.context,
        )

    def about(self) -> tuple[str, dict[str, Any]]:
        return self.clock.name, self.context

    def run_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        about = sum(s.sum for s in self._profile(inputs))
        return [self._whole(self._infer(inputs), about) for _ in range(runs)]

    def step_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """The costs of one run: on an emulator they are the same in each."""
        return [self._step_cost(s) for s in self._profile(inputs)]

    def _step_cost(self, cost: StepCost) -> float:
        return self.clock.summed(cost.sum) - cost.calls * self.clock.cost(self.hello.empty_call_ticks)

    def _whole(self, count: int, about: int) -> float:
        """The cost of an inference from its count: one span, or two of each pushed row."""
        empty = self.clock.cost(self.hello.empty_ticks)
        if self.streamed:
            return self.clock.summed(count) - 2 * self.program.inputs[0].shape[1] * empty
        return self.clock.cost(requests.unwrapped(count, self.clock.ticks(about))) - empty

    def marks(self, inputs: Sequence[np.ndarray]) -> Marks:
        """Of the runs since the arena was painted, and of one over another paint: a byte may equal one of them."""
        before = requests.marks(self.link)
        requests.load(self.link, self.clock.scale, PAINTS[1])
        self._infer(inputs)
        after = requests.marks(self.link)
        return replace(after, arena_used=max(before.arena_used, after.arena_used))

    def _infer(self, inputs: Sequence[np.ndarray]) -> int:
        """One inference; its count, modulo 2^32 where it is one span."""
        if self.streamed:
            return sum(p.sum for p in self._push(self._checked(inputs)[0][0]))
        self._write(inputs)
        return requests.run(self.link)[0]

    def _profile(self, inputs: Sequence[np.ndarray]) -> list[StepCost]:
        if self.streamed:
            return self._push(self._checked(inputs)[0][0], watch=WATCH_COSTS)[-1].costs
        self._write(inputs)
        return requests.profile(self.link)

    def _step(self, inputs: Sequence[np.ndarray], step: int) -> bytes:
        if self.streamed:
            rows = self._push(self._checked(inputs)[0][0], watch=step)
            calls = [written for row in rows for written in row.written]
        else:
            self._write(inputs)
            calls = requests.step_output(self.link, step)
        return b"".join(calls) if self.program.inputs[0].ring else step_bytes(self.program, step, calls)

    def push(self, rows: np.ndarray, first: int = 0) -> list[float]:
        """The cost of each next row or frame [n, W, C] of a streamed input; `first` is the number of the first one,
        and number 0 begins an inference, or an empty window."""
        empty = 2 * self.clock.cost(self.hello.empty_ticks)
        return [self.clock.summed(p.sum) - empty for p in self._push(rows, first)]

    def _push(self, rows: np.ndarray, first: int = 0, watch: int = WATCH_NOTHING) -> list[Pushed]:
        chunk, steps = self.hello.chunk_bytes, self.loaded.steps
        numbered = enumerate(rows, first)
        return [requests.push_row(self.link, y, row.tobytes(), chunk, watch, steps) for y, row in numbered]

    def _write(self, inputs: Sequence[np.ndarray]) -> None:
        for i, array in enumerate(self._checked(inputs)):
            requests.write_input(self.link, i, array.tobytes(), self.hello.chunk_bytes)

    def _checked(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        for i, (tensor, array) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if array.dtype != tensor.dtype or array.shape != tensor.shape:
                raise DeviceError(f"input {i}: {array.dtype} {array.shape}; expected {tensor.dtype} {tensor.shape}")
        return list(inputs)

    def _read(self, index: int, tensor: Tensor) -> np.ndarray:
        n_bytes = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
        data = requests.read_output(self.link, index, n_bytes, self.hello.chunk_bytes)
        return np.frombuffer(data, tensor.dtype).reshape(tensor.shape)


def begin(link: Link, program: Program, clock: Clock, code_bytes: int, context: dict[str, Any]) -> AgentSession:
    """Loads the linked-in model. Raises LoadError with the runtime's code where it is refused."""
    loaded = requests.load(link, clock.scale)
    requests.marks(link)
    if loaded.code:
        raise LoadError(loaded.code)
    return AgentSession(link, program, requests.hello(link), loaded, clock, code_bytes, context)
