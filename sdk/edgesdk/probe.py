# SPDX-License-Identifier: Apache-2.0
"""Runs a graph layer by layer on the C runtime of this machine and reads every value between the steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edgesdk import boards, kernels, memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph, Node, Value

Arrays = dict[Value, np.ndarray]
WORKERS = 2  # each with its own arena, and the values of one sample


@dataclass(eq=False)
class Probe:
    """A graph's program. `values` has, for each step, the value of the graph that it writes, if it is one; `rest` are
    the nodes whose value no step writes, which are computed by their reference."""

    graph: Graph
    data: bytes
    values: list[Value | None]
    rest: list[Node]


def probe(graph: Graph) -> Probe:
    lowered = passes.lower(graph.copy())
    planned = schedule.schedule(lowered, sets(lowered))
    data = program.write(program.assemble(planned, memory.plan(planned)))
    known = {v for n in graph.nodes for v in n.outputs}
    values = [s.node.output if s.node.output in known and whole(s) else None for s in planned.steps]
    written = set(values)
    return Probe(graph, data, values, [n for n in graph.nodes if not written.issuperset(n.outputs)])


def sets(graph: Graph) -> tuple[str, ...]:
    """Portable kernels for floats, whose last digits are those of the order of their sums: so a network is quantised
    alike on every machine."""
    floats = any(v.dtype == "float32" for n in graph.nodes for v in n.outputs)
    return ("c",) if floats else kernels.exact(boards.load("host").core.isa)


def whole(step: schedule.Step) -> bool:
    """Whether the step alone writes all of its node's output."""
    view = step.encoded.output
    n_bytes = step.encoded.batch * view.rows * view.row_bytes
    return view.value is step.node.output and view.first == 0 and n_bytes == view.value.n_bytes


def run_all(graph: Graph, samples: Iterable[list[np.ndarray]]) -> Iterator[Arrays]:
    """The array of every value of the graph, sample by sample and in their order; a few samples at a time.

    A graph with variables, whose samples follow one another, is computed by the reference."""
    if graph.variables:
        state = graph.state()
        yield from (ops.evaluate(graph, sample, state) for sample in samples)
        return
    probed = probe(graph)
    waiting = iter(samples)
    with ThreadPoolExecutor(WORKERS) as pool:
        sessions = [runtime.open_session(probed.data, pack=False) for _ in range(WORKERS)]
        free: deque[tuple[runtime.Session, Future[Arrays]]] = deque()
        for session, sample in zip(sessions, islice(waiting, WORKERS), strict=False):
            free.append((session, pool.submit(run_one, probed, session, sample)))
        while free:
            session, done = free.popleft()
            arrays = done.result()
            for sample in islice(waiting, 1):
                free.append((session, pool.submit(run_one, probed, session, sample)))
            yield arrays


def run_one(probed: Probe, session: runtime.Session, sample: list[np.ndarray]) -> Arrays:
    arrays: Arrays = dict(zip(probed.graph.inputs, sample, strict=True))

    def read(step: int, raw: np.ndarray) -> None:
        value = probed.values[step]
        if value is not None:
            arrays[value] = raw[: value.n_bytes].view(value.dtype).reshape(value.shape).copy()

    runtime.watch(session, sample, read)
    for node in probed.rest:
        arrays.update(zip(node.outputs, reference(node, arrays), strict=True))
    return arrays


def reference(node: Node, arrays: Arrays) -> list[np.ndarray]:
    given = [None if v is None else arrays[v] if v.data is None else v.data for v in node.inputs]
    found = ops.module(node.op).reference(node, given)
    return [a.astype(v.dtype, copy=False) for v, a in zip(node.outputs, found, strict=True)]
