# SPDX-License-Identifier: Apache-2.0
"""A device whose costs are given, and small networks to tune for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import Builder

from edgesdk import kernels, program, runtime, toolchain, tuning
from edgesdk.boards import Board
from edgesdk.ir import Graph
from edgesdk.program import Program
from edgesdk.runners import Measurement

M4 = "mps2_an386"  # the library has its kernels in plain C: programs for it run here
PRICES = {"dsp": 100.0, "thumb2": 150.0, "c": 400.0}


@dataclass(frozen=True)
class Model:
    graph: Graph

    def edge_graph(self) -> Graph:
        return self.graph.copy()


def network() -> Model:
    b = Builder(0, "int8")
    x = b.input((1, 12, 12, 8))
    y = b.conv(x, 16, 3, 1)
    y = b.conv(b.conv(y, 16, 1, 1), 16, 1, 1)  # two layers of one name
    return Model(Graph("net", [x], [y], b.nodes))


@dataclass
class Fake:
    """A device whose costs are given: `price` of a step by its kernel, and whether threads share it; `rows` times as
    much in stages of rows. `wrong` names an instruction set whose kernels compute something else."""

    price: Callable[[kernels.Kernel, bool], float] = lambda kernel, shared: PRICES[kernel.isa]
    noise: float = 0.0
    rows: float = 2.0
    clock: str = "us"
    wrong: str = ""
    opened: list[Counter[str]] = field(default_factory=list)
    before_turn: Callable[[int], None] = lambda n: None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @contextmanager
    def open(self, board: Board, data: bytes, threads: int = 1) -> Iterator[FakeSession]:
        read = program.read(data)
        assert threads == 1 or program.threads(read)
        self.before_turn(len(self.opened))
        self.opened.append(Counter(isa_of(s.kernel) for s in read.steps))
        yield FakeSession(self, data, read, 1.0 + self.noise * self.rng.standard_normal(len(read.steps)))


def isa_of(number: int) -> str:
    found = kernels.by_number(number)
    assert found is not None
    return found.isa


@dataclass
class FakeSession:
    fake: Fake
    data: bytes
    read: Program
    noise: np.ndarray

    def run(self, inputs: Any) -> list[np.ndarray]:
        outputs = runtime.run(runtime.open_session(self.data), inputs)
        return (
            [o + 1 for o in outputs] if any(isa_of(s.kernel) == self.fake.wrong for s in self.read.steps) else outputs
        )

    def reset(self) -> None:
        pass

    def step_outputs(self, inputs: Any) -> list[bytes]:
        raise NotImplementedError

    def step_costs(self, inputs: Any, runs: int) -> list[float]:
        costs = []
        for stage in self.read.stages:
            for i in range(stage.first, stage.first + stage.count):
                parts = self.read.weights[stage.program : stage.program + stage.program_bytes]
                shared = stage.kind == "plain" and bool(parts) and parts[i - stage.first] > 0
                kernel = kernels.by_number(self.read.steps[i].kernel)
                assert kernel is not None
                costs.append(self.fake.price(kernel, shared) * (self.fake.rows if stage.kind == "rows" else 1.0))
        return [c * max(0.1, n) for c, n in zip(costs, self.noise, strict=True)]

    def run_costs(self, inputs: Any, runs: int) -> list[float]:
        return [sum(self.step_costs(inputs, runs))] * runs

    def about(self) -> tuple[str, dict[str, Any]]:
        return self.fake.clock, {}

    def measure(self, inputs: Any, runs: int) -> Measurement:
        raise NotImplementedError


@pytest.fixture(autouse=True, name="cache")
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "build").symlink_to(toolchain.cache_folder())  # what compilers made is of use
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tuned"


def tune(fake: Fake, model: Any = None, board: str = M4, **options: Any) -> tuning.Tuned:
    return tuning.tune(model or network(), board, open_session=fake.open, **options)


def isas(data: bytes) -> list[str]:
    return [isa_of(s.kernel) for s in program.read(data).steps]


def by_isa(**prices: float) -> Fake:
    return Fake(lambda kernel, shared: {**PRICES, **prices}[kernel.isa])


def outputs(data: bytes) -> list[np.ndarray]:
    session = runtime.open_session(data)
    shape = session.inputs[0].shape
    return runtime.run(session, [np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)])


def bottleneck() -> Model:
    """Wide in the middle."""
    b = Builder(0, "int8")
    x = b.input((1, 12, 12, 8))
    y = b.conv(b.depthwise(b.conv(x, 48, 1, 1), 3, 1), 8, 1, 1)
    return Model(Graph("bottleneck", [x], [y], b.nodes))
