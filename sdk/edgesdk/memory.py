# SPDX-License-Identifier: Apache-2.0
"""Schedule -> MemoryPlan: lifetimes row by row, in-place outputs, arena offsets.

Time is the index of a call (schedule/trace.py). A value whose rows are written and read one
by one inside a stage has a place for each row while that row is needed; every other value is
contiguous, but its rows still begin and end to live one by one, so that a stage's output may
grow over the input that it eats. The offsets of both kinds of items come from placement/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops import RowView
from edgesdk.placement import ALIGN as ALIGN
from edgesdk.placement import Item as Item
from edgesdk.placement import Segment as Segment
from edgesdk.placement import aligned as aligned
from edgesdk.placement import lower_bound, place
from edgesdk.schedule import Schedule, Stage, Step
from edgesdk.schedule.trace import AWAIT, Call

TABLE_REACH_BYTES = ALIGN << 16  # row tables hold 16-bit multiples of ALIGN


@dataclass(eq=False)
class MemoryPlan:
    """Offsets in the arena: of contiguous values, of the rows of the others, of each step's
    scratch (0 where it needs none) and of each stage's counters (0 for plain stages)."""

    offsets: dict[Value, int]
    tables: dict[Value, list[int]]
    scratch: list[int]
    counters: list[int]
    arena_bytes: int
    lower_bound_bytes: int
    placed: list[tuple[Item, int]]
    proved: bool  # no placement of these items is smaller

    @property
    def tables_reach(self) -> bool:
        """Whether the row tables of a file can say where all rows lie."""
        return all(max(rows) < TABLE_REACH_BYTES for rows in self.tables.values())


@dataclass(eq=False)
class _Rows:
    """Lifetimes of a root value: rows of `row_bytes`, each live in [born, dies]."""

    value: Value
    row_bytes: int
    by_row: bool  # each row has a place of its own
    born: list[int]
    dies: list[int]


def plan(schedule: Schedule) -> MemoryPlan:
    """Exact offsets for every value, every step's scratch and every stage's counters."""
    items = _Items(schedule, lifetimes(schedule))
    placement = place(items.all())
    offsets = placement.offsets
    values = {v: offsets[item] for v, item in items.whole.items()}
    tables: dict[Value, list[int]] = {}
    for (v, y), item in items.rows.items():
        tables.setdefault(v, [0] * len(items.lives[v].born))[y] = offsets[item]
    for view, root in schedule.roots.items():
        if root in values:
            values[view] = values[root]
    scratch = [offsets[s] if s else 0 for s in items.scratch]
    counters = [offsets[c] if c else 0 for c in items.counters]
    return MemoryPlan(
        values,
        tables,
        scratch,
        counters,
        placement.arena_bytes,
        placement.lower_bound_bytes,
        [(i, offsets[i]) for i in items.all()],
        placement.proved,
    )


def live_peak(schedule: Schedule) -> int:
    """The lower bound of `plan` without placing anything."""
    return lower_bound(_Items(schedule, lifetimes(schedule)).all())


def lifetimes(schedule: Schedule) -> dict[Value, _Rows]:
    """First write and last read of every row of every root value."""
    users = _users(schedule)
    lives = {v: _new(schedule, v, users.get(v, [])) for v in _root_values(schedule)}
    for t, call in enumerate(schedule.calls):
        if call.step == AWAIT:
            life = lives.get(schedule.graph.inputs[0])
            if life is None:
                continue  # a ring
            life.born[call.rows.start] = life.dies[call.rows.start] = t
            continue
        step = schedule.steps[call.step]
        for view, rows in zip(step.encoded.inputs, call.reads, strict=True):
            if view.value.data is None:
                _read(schedule, lives, view, rows, t)
        out = lives.get(step.output)
        if out is None:
            continue
        for y in written_rows(step, call.rows) if len(out.born) == step.encoded.output.rows else range(len(out.born)):
            out.born[y] = t if out.born[y] < 0 else out.born[y]
            out.dies[y] = t
    for value in schedule.graph.outputs:
        if schedule.root(value) in schedule.rings or schedule.is_held(value):
            continue
        if schedule.root(value) not in lives:
            raise Unsupported(f"output {value.name} is constant; expected a value that some node computes, remove it")
        life = lives[schedule.root(value)]
        life.dies = [len(schedule.calls)] * len(life.dies)
    return lives


def written_rows(step: Step, called: range) -> range:
    """Output rows that the kernel touches when it is called for these rows."""
    each = step.encoded.rows // step.encoded.output.rows
    return range(called.start // each, (called.stop - 1) // each + 1)


def _read(schedule: Schedule, lives: dict[Value, _Rows], view: RowView, rows: range, t: int) -> None:
    life = lives.get(schedule.root(view.value))
    if life is None:
        return
    same = life.value is view.value and (len(life.born), life.row_bytes) == (view.rows, view.row_bytes)
    last = rows if same else range(len(life.dies))
    life.dies[last.start : last.stop] = [t] * len(last)  # calls come in order: t is the latest so far


def _root_values(schedule: Schedule) -> list[Value]:
    """Those with a lifetime in the arena; rings and variables live for ever."""
    values = dict.fromkeys([*schedule.graph.inputs, *(s.output for s in schedule.steps)])
    return [v for v in values if v not in schedule.rings and v is not schedule.bound and not schedule.is_held(v)]


def _users(schedule: Schedule) -> dict[Value, list[int]]:
    """Steps that write or read each value."""
    users: dict[Value, list[int]] = {}
    for i, step in enumerate(schedule.steps):
        for value in {step.output, *step.reads()}:
            users.setdefault(value, []).append(i)
    return users


def _new(schedule: Schedule, value: Value, users: list[int]) -> _Rows:
    """Rows as the writer sees them; a graph input's as its readers do where they agree."""
    steps = [schedule.steps[i] for i in users]
    views = [s.encoded.output for s in steps if s.output is value]
    views += [v for s in steps for v in s.encoded.inputs if v.value is value]
    shapes = {(v.rows, v.row_bytes) for v in views}
    written = value not in schedule.graph.inputs
    batched = any(s.encoded.batch > 1 for s in steps)
    if not views or batched or not (written or len(shapes) == 1):
        rows, row_bytes = 1, value.n_bytes
    else:
        rows, row_bytes = views[0].rows, views[0].row_bytes
    fits = rows * row_bytes == value.n_bytes
    rows, row_bytes = (rows, row_bytes) if fits else (1, value.n_bytes)
    by_row = fits and not batched and len(shapes) == 1 and _stays_inside(schedule, value, users)
    return _Rows(value, row_bytes, by_row, [-1] * rows, [-1] * rows)


def _stays_inside(schedule: Schedule, value: Value, users: list[int]) -> bool:
    """Written and read in one stage of rows only (a streamed input: read in one)."""
    if value in map(schedule.root, schedule.graph.outputs) or value in schedule.roots.values():
        return False
    if value in schedule.graph.inputs and value is not schedule.streamed:
        return False
    stages = {k for k, g in enumerate(schedule.stages) for i in users if i in g.steps}
    return len(stages) == 1 and schedule.stages[stages.pop()].kind == "rows"


class _Items:
    """The items of a schedule; outputs that are computed in place share their input's."""

    def __init__(self, schedule: Schedule, lives: dict[Value, _Rows]) -> None:
        self.lives = lives
        self.whole: dict[Value, Item] = {}
        self.rows: dict[tuple[Value, int], Item] = {}
        self.scratch: list[Item | None] = [None] * len(schedule.steps)
        self.counters: list[Item | None] = []
        for value, rows in schedule.rings.items():
            n_bytes = rows * (value.n_bytes // value.shape[1])
            self.whole[value] = Item(value.name, [Segment(0, n_bytes, -1, len(schedule.calls))])
        for variable in schedule.graph.variables:
            held = Segment(0, variable.value.n_bytes, -1, len(schedule.calls))
            self.whole[variable.value] = Item(variable.value.name, [held])
        for value in schedule.graph.inputs:
            if value in lives:
                self._add(value)
        for t, call in enumerate(schedule.calls):
            if call.step != AWAIT:
                self._add_output(schedule, call, t)
        for stage, calls in schedule.spans():
            self._add_stage(schedule, stage, calls)

    def all(self) -> list[Item]:
        extra = [i for i in (*self.scratch, *self.counters) if i]
        return list(dict.fromkeys([*self.whole.values(), *self.rows.values(), *extra]))

    def _add(self, value: Value) -> None:
        life = self.lives[value]
        segments = [
            Segment(y * life.row_bytes, life.row_bytes, b, d)
            for y, (b, d) in enumerate(zip(life.born, life.dies, strict=True))
        ]
        if life.by_row:
            for y, s in enumerate(segments):
                self.rows[value, y] = Item(f"{value.name}[{y}]", [Segment(0, s.n_bytes, s.first, s.last)])
        else:
            self.whole[value] = Item(value.name, _merged(segments))

    def _add_output(self, schedule: Schedule, call: Call, t: int) -> None:
        value = schedule.steps[call.step].output
        if value in schedule.rings or schedule.is_held(value):
            return
        if not self.lives[value].by_row:
            if value not in self.whole and not self._take_whole(schedule, call, t):
                self._add(value)
            return
        for y in written_rows(schedule.steps[call.step], call.rows):
            if (value, y) not in self.rows and not self._take_row(schedule, call, t, y):
                life = self.lives[value]
                self.rows[value, y] = Item(f"{value.name}[{y}]", [Segment(0, life.row_bytes, t, life.dies[y])])

    def _dying(self, schedule: Schedule, call: Call, t: int, rows: bool) -> Iterator[Value]:
        """Inputs that the output may overwrite and that nobody reads after this call."""
        step = schedule.steps[call.step]
        for k in ops.in_place(step.node):
            value = step.stored.get(step.node.input(k), step.node.input(k))
            root = schedule.root(value)
            life = self.lives.get(root)
            views = [v for v in step.encoded.inputs if schedule.root(v.value) is root]
            if value.data is not None or life is None or len(views) != 1 or life.by_row != rows or views[0].first:
                continue
            if schedule.threads == 1 or same_rows(views[0], step.encoded.output):
                yield root

    def _take_row(self, schedule: Schedule, call: Call, t: int, y: int) -> bool:
        out = self.lives[schedule.steps[call.step].output]
        for root in self._dying(schedule, call, t, rows=True):
            life = self.lives[root]
            if life.row_bytes >= out.row_bytes and len(life.born) == len(out.born) and life.dies[y] == t:
                item = self.rows[root, y]
                item.segments[-1].last = max(item.segments[-1].last, out.dies[y])
                self.rows[out.value, y] = item
                return True
        return False

    def _take_whole(self, schedule: Schedule, call: Call, t: int) -> bool:
        out = self.lives[schedule.steps[call.step].output]
        if len(call.rows) != schedule.steps[call.step].encoded.rows:
            return False
        for root in self._dying(schedule, call, t, rows=False):
            life = self.lives[root]
            if max(life.dies) == t and aligned(root.n_bytes) >= aligned(out.value.n_bytes):
                item = self.whole[root]
                item.segments.append(Segment(0, out.value.n_bytes, t + 1, max(out.dies)))
                self.whole[out.value] = item
                return True
        return False

    def _add_stage(self, schedule: Schedule, stage: Stage, calls: range) -> None:
        steps = range(stage.first, stage.first + stage.count)
        if stage.kind == "plain":
            self.counters.append(None)
            for i in steps:
                used = [t for t in calls if schedule.calls[t].step == i]
                self._add_scratch(schedule, [i], used[0], used[-1])
            return
        n_bytes = 2 * (stage.count + (stage.kind == "rows"))
        first, last = (-1, len(schedule.calls)) if stage.kind == "frames" else (calls.start, calls.stop - 1)
        self.counters.append(Item("counters", [Segment(0, n_bytes, first, last)]))
        keep = [i for i in steps if schedule.steps[i].encoded.keeps_scratch]
        self._add_scratch(schedule, [i for i in steps if i not in keep], calls.start, calls.stop - 1)
        for i in keep:
            used = [t for t in calls if schedule.calls[t].step == i]
            self._add_scratch(schedule, [i], used[0], used[-1])

    def _add_scratch(self, schedule: Schedule, steps: Sequence[int], first: int, last: int) -> None:
        n_bytes = max((schedule.steps[i].scratch_bytes for i in steps), default=0)
        item = Item("scratch", [Segment(0, n_bytes, first, last)]) if n_bytes else None
        for i in steps:
            self.scratch[i] = item if schedule.steps[i].scratch_bytes else None


def same_rows(a: RowView, b: RowView) -> bool:
    """Row y of one lies where row y of the other does, where they begin at the same place."""
    return (a.rows, a.row_bytes, a.first) == (b.rows, b.row_bytes, b.first)


def _merged(segments: list[Segment]) -> list[Segment]:
    """Neighbours with the same lifetime as one."""
    kept: list[Segment] = []
    for s in segments:
        if kept and (kept[-1].first, kept[-1].last) == (s.first, s.last):
            kept[-1].n_bytes += s.n_bytes
        else:
            kept.append(s)
    return kept
