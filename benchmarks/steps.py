# SPDX-License-Identifier: Apache-2.0
"""Steps of one op each, many of them in one program: a firmware and a run in the emulator count them all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk import firmware, memory, ops, passes, program, schedule
from edgesdk.boards import Board
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.runners import link, qemu
from edgesdk.schedule import Schedule, Stage, Step

POOL_BYTES = 4096  # what the steps read
PROGRAM_BYTES = 120_000  # weights of one program: the smallest flash has 256 KiB
PROGRAM_STEPS = 240


def single(op: str, inputs: list[Value | None], quant: Quant | None, **attrs: Any) -> Graph:
    """A graph of one node. Raises ValueError where the op refuses the shapes."""
    node = Node(op, inputs, [Value("y", (1,), "int8", quant)], attrs, op)
    (shape, dtype), *_ = ops.module(op).infer(node)
    node.output.shape, node.output.dtype = tuple(shape), dtype
    if dtype == "int8" and quant is None:
        node.output.quant = Quant.per_tensor(1.0, 0)
    if min(shape, default=1) < 1:
        raise ValueError(f"an output of shape {shape}")
    reads = [v for v in inputs if v is not None and v.data is None]
    return Graph(op, reads, [node.output], [node])


def steps_of(graph: Graph, chain: Sequence[str]) -> list[Step]:
    """What a graph of one node is lowered to, for a core with the ISA `chain`."""
    return schedule.schedule(passes.lower(graph), chain).steps


def packed(steps: list[Step]) -> Iterator[list[Step]]:
    """Groups whose programs fit every board."""
    group: list[Step] = []
    size = 0
    for step in steps:
        weights = sum(p.nbytes + 64 for p in step.encoded.params if isinstance(p, np.ndarray)) + 200
        if group and (size + weights > PROGRAM_BYTES or len(group) == PROGRAM_STEPS):
            yield group
            group, size = [], 0
        group.append(step)
        size += weights
    yield group


def together(steps: list[Step], pool_bytes: int = POOL_BYTES) -> Schedule:
    """One program of independent steps that all read a single input; states are changed where that lies."""
    dtype = min((v.dtype for s in steps for v in s.reads()), key=lambda d: np.dtype(d).itemsize)
    everything = Value("x", (pool_bytes // np.dtype(dtype).itemsize,), dtype, Quant.per_tensor(1.0, 0))
    roots = {v: everything for s in steps for v in s.reads()}
    roots |= {s.node.outputs[i]: everything for s in steps for i in ops.states(s.node)}
    graph = Graph("costs", [everything], [steps[-1].node.output], [])
    return Schedule(graph, steps, [Stage("plain", 0, len(steps))], roots)


@dataclass(frozen=True)
class Counted:
    """Instructions of each step and of a whole run."""

    steps: list[float]
    total: float


def count(board: Board, placed: Schedule, by_step: bool = True) -> Counted:
    """Runs a schedule once in the board's emulator."""
    plan = memory.plan(placed)
    data = program.write(program.assemble(placed, plan))
    assert board.timer
    hz = board.timer.hz
    with tempfile.TemporaryDirectory(prefix="edgesdk-") as folder:
        image = firmware.build(board, data, Path(folder))
        with qemu.emulator(board, image.elf) as connection:
            about = link.hello(connection)
            loaded = link.load(connection)
            if loaded.code:
                raise SystemExit(f"{board.id}: the runtime refuses with code {loaded.code}; check its shapes")
            write_inputs(connection, placed.graph, about.chunk_bytes)
            costs = link.profile(connection) if by_step else []
            steps = [c.sum - c.calls * about.empty_call_ticks for c in costs]
            write_inputs(connection, placed.graph, about.chunk_bytes)
            total = link.unwrapped(link.run(connection)[0], sum(steps)) - about.empty_ticks
    return Counted([qemu.instructions(t, hz) for t in steps], qemu.instructions(total, hz))


def write_inputs(connection: link.Link, graph: Graph, chunk: int) -> None:
    numbers = np.random.default_rng(0)
    for i, value in enumerate(graph.inputs):
        normal = numbers.standard_normal(value.elements)
        link.write_input(connection, i, spread(normal, value.dtype).astype(value.dtype).tobytes(), chunk)


def spread(normal: np.ndarray, dtype: str) -> np.ndarray:
    """Normal numbers over the range of an integer type, a third of it their deviation."""
    if dtype in ("float32", "bool"):
        return normal if dtype == "float32" else normal > 0
    info = np.iinfo(dtype)
    wide = min(info.max, 2**31) / 3
    return np.clip(normal * wide + (info.max / 2 if info.min == 0 else 0), info.min, info.max)
