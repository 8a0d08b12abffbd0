# SPDX-License-Identifier: Apache-2.0
"""Order search: the topological order of steps with the smallest peak of live bytes.

Beam search over sets of executed steps; exact while the beam holds every reachable set, which
it does for chains and for the branch widths of common networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesdk import ops
from edgesdk.ir import Graph, Value

if TYPE_CHECKING:
    from edgesdk.schedule import Step

BEAM = 64


@dataclass(frozen=True)
class _State:
    """`done` and `live` are bit sets over steps and over buffers."""

    peak: int
    total: int
    done: int
    live: int
    order: tuple[int, ...]


@dataclass
class _Problem:
    sizes: list[int]  # bytes of each buffer
    reads: list[int]  # bit set of buffers that a step reads
    writes: list[int]  # the buffer that it writes
    reusable: list[int]  # bit set of buffers that its output may take over
    scratch: list[int]
    needs: list[int]  # bit set of steps that must come before
    keep: int  # buffers that stay live to the end
    first: int  # buffers live at the start


def best_order(steps: list[Step], graph: Graph, roots: dict[Value, Value]) -> list[Step]:
    """`steps` reordered; the given order where none is better."""
    if len(steps) < 3:
        return steps
    problem = _problem(steps, graph, roots)
    given = _replay(problem, range(len(steps)))
    found = _search(problem, len(steps))
    return [steps[i] for i in found.order] if found.peak < given.peak else steps


def _problem(steps: list[Step], graph: Graph, roots: dict[Value, Value]) -> _Problem:
    index: dict[Value, int] = {}

    def bit(value: Value) -> int:
        root = roots.get(value, value)
        return 1 << index.setdefault(root, len(index))

    first = sum(bit(v) for v in {roots.get(v, v) for v in graph.inputs})
    writes = [bit(s.node.output) for s in steps]
    writer = {bit(s.node.output): i for i, s in enumerate(steps) if s.node.output not in roots}
    reads = [_union(bit(v) for v in s.reads()) for s in steps]
    reusable = [
        _union(bit(s.node.input(i)) for i in ops.in_place(s.node) if s.node.input(i) in s.reads()) for s in steps
    ]
    needs = [_union(1 << writer[1 << b] for b in _bits(r) if 1 << b in writer) for r in reads]
    _keep_state_order(steps, roots, needs)
    keep = _union(bit(v) for v in graph.outputs if v.data is None)
    sizes = [0] * len(index)
    held = {v.value for v in graph.variables}
    for value, i in index.items():
        sizes[i] = 0 if value in held else value.n_bytes
    return _Problem(sizes, reads, writes, reusable, [s.scratch_bytes for s in steps], needs, keep, first)


def _keep_state_order(steps: list[Step], roots: dict[Value, Value], needs: list[int]) -> None:
    """Steps that touch a state stay on their side of each step that overwrites it."""
    from edgesdk.schedule import overwritten

    touched = [{roots.get(v, v) for v in (*s.reads(), s.node.output)} for s in steps]
    for k, step in enumerate(steps):
        for root in overwritten(step, roots):
            for j in (j for j, roots_of_j in enumerate(touched) if root in roots_of_j and j != k):
                needs[max(j, k)] |= 1 << min(j, k)


def _union(bits: Iterable[int]) -> int:
    result = 0
    for b in bits:
        result |= b
    return result


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _bytes(problem: _Problem, mask: int) -> int:
    return sum(problem.sizes[i] for i in _bits(mask))


def _advance(problem: _Problem, state: _State, step: int) -> _State:
    done = state.done | 1 << step
    pending = [r for i, r in enumerate(problem.reads) if not done >> i & 1]
    needed = problem.keep | _union(pending)
    dying = problem.reads[step] & ~needed
    taken = problem.reusable[step] & dying
    reuse = max((problem.sizes[b] for b in _bits(taken)), default=0)
    out = problem.sizes[problem.writes[step].bit_length() - 1]
    during = _bytes(problem, state.live) + max(0, out - reuse) + problem.scratch[step]
    live = (state.live | problem.writes[step]) & ~dying
    peak = max(state.peak, during)
    return _State(peak, state.total + during, done, live, (*state.order, step))


def _replay(problem: _Problem, order: Iterable[int]) -> _State:
    state = _State(_bytes(problem, problem.first), 0, 0, problem.first, ())
    for step in order:
        state = _advance(problem, state, step)
    return state


def _search(problem: _Problem, n: int) -> _State:
    beam = {0: _replay(problem, ())}
    for _ in range(n):
        following: dict[int, _State] = {}
        for state in beam.values():
            for step in range(n):
                if state.done >> step & 1 or problem.needs[step] & ~state.done:
                    continue
                reached = _advance(problem, state, step)
                known = following.get(reached.done)
                if known is None or (reached.peak, reached.total) < (known.peak, known.total):
                    following[reached.done] = reached
        best = sorted(following.values(), key=lambda s: (s.peak, s.total))[:BEAM]
        beam = {s.done: s for s in best}
    return next(iter(beam.values()))
