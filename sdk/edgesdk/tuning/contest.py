# SPDX-License-Identifier: Apache-2.0
"""Programs measured in turns on a device, within a budget of time.

Each turn loads a program afresh: where memory happens to lie is worth more than some kernels, and must not be taken
for one. Rounds go through the programs in another order each time, and what counts is the ratio to the program that was
measured beside them, which neighbours on a busy machine disturb as much.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import FrameType

import numpy as np

from edgesdk.errors import EdgeError
from edgesdk.runners import Session

TURN_US = 20_000.0  # runs of one turn together
MOST_RUNS = 20  # of a turn
LEAST_GAIN = {"us": 0.01, "instructions": 0.0}  # of a program as a whole: less may be noise
LEAST_ROUNDS = 3  # before a figure of a clock counts


@dataclass
class Budget:
    """Seconds that measuring may take; Ctrl-C ends them early. `tick` gets what is done, once for each second."""

    seconds: float
    tick: Callable[[str], None] = lambda text: None
    now: Callable[[], float] = time.monotonic
    begun: float = 0.0
    shown: int = 0
    longest: float = 0.0  # turn so far
    stopped: bool = False

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.begun = self.now()

    def used(self) -> float:
        return self.now() - self.begun

    def over(self, share: float = 1.0, next_s: float = 0.0) -> bool:
        """Whether this share of the time is used up, or would be with something that takes so long."""
        return self.stopped or self.used() + next_s > self.seconds * share

    def show(self, text: str) -> None:
        while self.shown < min(self.used(), self.seconds):
            self.shown += 1
            self.tick(text)


@contextmanager
def interruptible(budget: Budget) -> Iterator[None]:
    """Ctrl-C ends the budget; a second one the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if budget.stopped:
            raise KeyboardInterrupt
        budget.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Device:
    """Opens a session for a program's bytes; `exact` where the clock counts instructions, the same in each run."""

    open: Callable[[bytes], AbstractContextManager[Session]]
    sample: Sequence[np.ndarray]
    exact: bool = False
    run_us: float = TURN_US

    @property
    def runs(self) -> int:
        """Of a turn."""
        return 1 if self.exact else max(1, min(MOST_RUNS, int(TURN_US / max(1.0, self.run_us))))


@dataclass
class Contest:
    """Costs of the programs that were measured in each round, by their index; why others have dropped out."""

    rounds: list[dict[int, np.ndarray]] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)

    def beside(self, i: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Costs of program i and of the first one, of the rounds that have both."""
        return [(r[i], r[0]) for r in self.rounds if i in r and 0 in r]


def step_costs(device: Device, data: bytes) -> np.ndarray:
    """The cost of every step in one turn; a run before it warms up, where that matters."""
    with device.open(data) as session:
        if not device.exact:
            session.run(device.sample)
        return np.array(session.step_costs(device.sample, device.runs))


def whole_costs(device: Device, data: bytes) -> np.ndarray:
    """The cost of a run in one turn, with a run before it as above."""
    with device.open(data) as session:
        if not device.exact:
            session.run(device.sample)
        return np.array([np.median(session.run_costs(device.sample, device.runs))])


Turn = Callable[[Device, bytes], np.ndarray]


@dataclass(frozen=True)
class Rules:
    """Of a contest: what a turn is, how many rounds, and the share of the budget after which no turn begins."""

    turn: Turn
    rounds: int
    share: float
    text: str


def contest(device: Device, programs: Sequence[bytes], rules: Rules, budget: Budget) -> Contest:
    """Rounds while there is time; the first program is what the others are compared with. Others that do not run
    drop out."""
    found, shuffle = Contest(), random.Random(0)
    order = list(range(len(programs)))
    for _ in range(1 if device.exact else rules.rounds):
        done = _round(device, programs, rules, budget, order, found.failures)
        if 0 in done and len(done) > 1:
            found.rounds.append(done)
        if len(done) + len(found.failures) < len(programs) or len(done) == 1:
            break
        shuffle.shuffle(order)
    return found


def _round(
    device: Device, programs: Sequence[bytes], rules: Rules, budget: Budget, order: list[int], failures: dict[int, str]
) -> dict[int, np.ndarray]:
    """What was measured before the time was over."""
    done: dict[int, np.ndarray] = {}
    for i in (i for i in order if i not in failures):
        if budget.over(rules.share, budget.longest):
            break
        begun = budget.now()
        try:
            done[i] = rules.turn(device, programs[i])
        except EdgeError as error:
            if budget.stopped:
                break  # Ctrl-C has reached the emulator, too
            if i == 0:
                raise
            failures[i] = str(error)
        budget.longest = max(budget.longest, budget.now() - begun)
        budget.show(rules.text)
    return done


def ratio(pairs: Sequence[tuple[float, float]], exact: bool) -> float | None:
    """The median of a program's costs over those of the one beside it; 1 where it is smaller but faster in less than
    three rounds of four, None where there are too few rounds."""
    if len(pairs) < (1 if exact else LEAST_ROUNDS):
        return None
    ratios = np.array([mine / max(other, 1e-9) for mine, other in pairs])
    middle, faster = float(np.median(ratios)), float(np.mean(ratios < 1.0))
    return middle if exact or middle >= 1.0 or faster >= 0.75 else 1.0
