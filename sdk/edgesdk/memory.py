# SPDX-License-Identifier: Apache-2.0
"""Schedule -> MemoryPlan: lifetimes, in-place outputs, arena offsets.

Buffers get offsets by first fit in several orders, then by local search on the order until the
arena equals the lower bound (the largest sum of live bytes) or the tries are spent.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.schedule import Schedule, Step

ALIGN = 16
TRIES = 2000


@dataclass(eq=False)
class Buffer:
    """Memory that is live from just before step `first` to just after step `last`."""

    name: str
    n_bytes: int
    first: int
    last: int

    def overlaps(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(eq=False)
class MemoryPlan:
    """Offsets in the arena. `scratch` has one offset per step (0 where it needs none)."""

    offsets: dict[Value, int]
    scratch: list[int]
    arena_bytes: int
    lower_bound_bytes: int
    placed: list[tuple[Buffer, int]]


def plan(schedule: Schedule) -> MemoryPlan:
    """Exact offsets for every value and every step's scratch."""
    owner = _buffers(schedule)
    scratch = [
        Buffer(f"scratch {i}", _aligned(s.scratch_bytes), i, i) if s.scratch_bytes else None
        for i, s in enumerate(schedule.steps)
    ]
    buffers = list(dict.fromkeys(owner.values())) + [b for b in scratch if b]
    bound = lower_bound(buffers)
    offsets, arena = _place(buffers, bound)
    values = {v: offsets[b] for v, b in owner.items()}
    for view, root in schedule.roots.items():
        if root in values:
            values[view] = values[root]
    placed = [(b, offsets[b]) for b in buffers]
    return MemoryPlan(values, [offsets[b] if b else 0 for b in scratch], arena, bound, placed)


def _aligned(n: int) -> int:
    return (n + ALIGN - 1) // ALIGN * ALIGN


def _buffers(schedule: Schedule) -> dict[Value, Buffer]:
    """The buffer of each root value; outputs that are computed in place share their input's."""
    end = len(schedule.steps)
    owner: dict[Value, Buffer] = {}
    for value in schedule.graph.inputs:
        owner[value] = Buffer(value.name, _aligned(value.n_bytes), -1, -1)
    last = _last_uses(schedule)
    for i, step in enumerate(schedule.steps):
        out = schedule.root(step.node.output)
        taken = _taken_over(schedule, step, i, owner, last)
        owner[out] = taken or Buffer(out.name, _aligned(out.n_bytes), i, i)
        owner[out].last = i
        for value in step.reads():
            owner[schedule.root(value)].last = i
    for value in schedule.graph.outputs:
        if schedule.root(value) not in owner:
            raise Unsupported(f"output {value.name} is constant; expected a value that some node computes, remove it")
        owner[schedule.root(value)].last = end
    return owner


def _last_uses(schedule: Schedule) -> dict[Value, int]:
    last = {schedule.root(v): i for i, s in enumerate(schedule.steps) for v in s.reads()}
    last.update({schedule.root(v): len(schedule.steps) for v in schedule.graph.outputs})
    return last


def _taken_over(
    schedule: Schedule, step: Step, i: int, owner: dict[Value, Buffer], last: dict[Value, int]
) -> Buffer | None:
    """The buffer of a dying input that the step's output may overwrite."""
    for k in ops.in_place(step.node):
        value = step.node.input(k)
        root = schedule.root(value)
        big_enough = root in owner and owner[root].n_bytes >= _aligned(step.node.output.n_bytes)
        others = [v for v in step.reads() if v is not value and schedule.root(v) is root]
        if value.data is None and last.get(root) == i and big_enough and not others:
            return owner[root]
    return None


def lower_bound(buffers: list[Buffer]) -> int:
    """The largest sum of bytes live at one step: no plan can be smaller."""
    times = sorted({b.first for b in buffers})
    return max((sum(b.n_bytes for b in buffers if b.first <= t <= b.last) for t in times), default=0)


def _place(buffers: list[Buffer], bound: int) -> tuple[dict[Buffer, int], int]:
    orders = [
        sorted(buffers, key=lambda b: (-b.n_bytes, b.first)),
        sorted(buffers, key=lambda b: (b.first, -b.n_bytes)),
        sorted(buffers, key=lambda b: (-(b.last - b.first), -b.n_bytes)),
        sorted(buffers, key=lambda b: -b.n_bytes * (b.last - b.first + 1)),
    ]
    conflicts = {b: [o for o in buffers if o is not b and o.overlaps(b)] for b in buffers}
    best = min((_first_fit(order, conflicts) for order in orders), key=lambda r: r[1])
    return best if best[1] == bound else _improve(orders, conflicts, bound, best)


def _first_fit(order: list[Buffer], conflicts: dict[Buffer, list[Buffer]]) -> tuple[dict[Buffer, int], int]:
    """Each buffer in the lowest gap among the buffers placed before it that live with it."""
    offsets: dict[Buffer, int] = {}
    for b in order:
        at = 0
        for start, end in sorted((offsets[o], offsets[o] + o.n_bytes) for o in conflicts[b] if o in offsets):
            if at + b.n_bytes <= start:
                break
            at = max(at, end)
        offsets[b] = at
    return offsets, max((offsets[b] + b.n_bytes for b in order), default=0)


def _improve(
    orders: list[list[Buffer]],
    conflicts: dict[Buffer, list[Buffer]],
    bound: int,
    best: tuple[dict[Buffer, int], int],
) -> tuple[dict[Buffer, int], int]:
    """Moves buffers in the placement order while that does not make the arena larger."""
    rng = random.Random(0)
    current = min(orders, key=lambda o: _first_fit(o, conflicts)[1])
    for _ in range(TRIES):
        order = list(current)
        moved = order.pop(rng.randrange(len(order)))
        order.insert(rng.randrange(len(order) + 1), moved)
        result = _first_fit(order, conflicts)
        if result[1] <= best[1]:
            best, current = result, order
        if best[1] == bound:
            break
    return best
