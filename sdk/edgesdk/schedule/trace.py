# SPDX-License-Identifier: Apache-2.0
"""What happens when a schedule runs: which call writes and reads which rows, in order.

The memory plan takes lifetimes from it, the search its costs, and the writer the programs
of stages of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from edgesdk import ops
from edgesdk.ir import Value
from edgesdk.kernels import VECTORS
from edgesdk.schedule import Step
from edgesdk.schedule.frames import Pace

AWAIT = -1  # a row of the streamed input arrives
BY_CHANNELS = ("planes",)  # layouts of kernels that go through all rows for each channel


@dataclass(frozen=True)
class Call:
    """Step `step` writes rows `rows` and reads `reads` (one range per encoded input); or AWAIT.

    What a plain stage computes in one call of a kernel that goes by rows is listed row by row."""

    step: int
    rows: range
    reads: tuple[range, ...] = ()


@cache
def reads_of(step: Step, y: int) -> tuple[range, ...]:
    """Rows of each encoded input that the step reads when it is called for row y."""
    return tuple(ops.rows_read(step.node, step.encoded, i, y) for i in range(len(step.encoded.inputs)))


@dataclass(eq=False)
class _Stage:
    """Demand-driven execution of consecutive steps, row by row."""

    steps: Sequence[Step]
    first: int
    producers: dict[Value, int]
    roots: dict[Value, Value]
    streamed: Value | None
    calls: list[Call] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    arrived: int = 0

    def produce(self, k: int, rows: int) -> None:
        """Rows [0, rows) of the stage's step k exist after this."""
        step = self.steps[k]
        while self.done[k] < rows:
            y = self.done[k]
            reads = reads_of(step, y)
            for i, needed in enumerate(reads):
                self.demand(step, i, needed)
            self.calls.append(Call(self.first + k, range(y, y + 1), reads))
            self.done[k] = y + 1

    def demand(self, step: Step, i: int, needed: range) -> None:
        view = step.encoded.inputs[i]
        value = self.roots.get(view.value, view.value)
        if value is self.streamed:
            self.arrive(needed.stop)
        elif value in self.producers and needed:
            k = self.producers[value]
            made = self.steps[k].encoded.output
            same_rows = value is view.value and (made.rows, made.row_bytes) == (view.rows, view.row_bytes)
            calls, rows = self.steps[k].encoded.rows, made.rows
            self.produce(k, needed.stop * (calls // rows) if same_rows else calls)

    def arrive(self, rows: int) -> None:
        while self.arrived < rows:
            self.calls.append(Call(AWAIT, range(self.arrived, self.arrived + 1)))
            self.arrived += 1


def by_rows(steps: Sequence[Step], first: int, roots: dict[Value, Value], streamed: Value | None) -> list[Call]:
    """Calls of a stage of rows: the last step pulls, each step computes a row just before it is needed."""
    producers = {s.output: k for k, s in enumerate(steps)}
    stage = _Stage(steps, first, producers, roots, streamed, done=[0] * len(steps))
    for k in reversed(range(len(steps))):
        stage.produce(k, steps[k].encoded.rows)
    if streamed is not None:
        stage.arrive(streamed.shape[1])
    return stage.calls


def whole(steps: Sequence[Step], first: int, by_rows: bool = True) -> Iterator[Call]:
    """What a plain stage does; not `by_rows` where several threads compute rows in no order."""
    for k, s in enumerate(steps):
        if by_rows and goes_by_rows(s):
            for y in range(s.encoded.rows):
                yield Call(first + k, range(y, y + 1), reads_of(s, y))
        else:
            yield Call(first + k, range(s.encoded.rows), tuple(range(v.rows) for v in s.encoded.inputs))


def goes_by_rows(step: Step) -> bool:
    """Whether one call for all rows writes a row only when no later row needs what lies there: the output may grow
    over the input. (Outputs in place of inputs need no such thing.)"""
    if step.kernel.layout in BY_CHANNELS or step.kernel.isa in VECTORS:
        return False
    if not can_run_by_rows(step) or ops.in_place(step.node):
        return False
    return any(len(rows) < v.rows for rows, v in zip(reads_of(step, 0), step.encoded.inputs, strict=True))


def by_frames(steps: Sequence[Step], first: int, paces: dict[Value, Pace]) -> list[Call]:
    """Calls of one period of a stage of frames: as many frames as its slowest step takes for a row."""
    calls: list[Call] = []
    for f in range(max(paces[s.output].stride for s in steps)):
        calls.append(Call(AWAIT, range(1)))
        for k, s in enumerate(steps):
            pace = paces[s.output]
            if (f - pace.lead) % pace.stride == 0:
                calls.append(Call(first + k, range(1), tuple(range(v.rows) for v in s.encoded.inputs)))
    return calls


def can_run_by_rows(step: Step) -> bool:
    """One image per call, and few enough rows to count."""
    return step.encoded.batch == 1 and step.encoded.rows < 2**16
