# SPDX-License-Identifier: Apache-2.0
"""Schedule -> the front of (arena, cost) on one board, and each of its points in words and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edgesdk import cost, memory, ops, search
from edgesdk.boards import Board
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.schedule import Schedule, Stage, Step, frames, overwritten, trace
from edgesdk.schedule.strips import Piece, expand
from edgesdk.search import Point


def cost_on(board: Board) -> search.Cost:
    """Modelled instructions of a step that is called so many times; only an order where the core has no prices."""
    return lambda step, calls: cost.instructions(step, calls, board.core.name)


def points(base: Schedule, board: Board, tick: Callable[[], None] = lambda: None) -> list[Point]:
    """The programs of `base` that no other beats in both arena and cost, the fastest first; only one where
    the input slides."""
    sliding = frames.sliding(base) if base.streamed is not None else None
    if sliding is not None:
        return [Point(sliding, memory.plan(sliding), _window_cost(base, sliding, cost_on(board)))]
    found = search.front(base, cost_on(board), tick)
    if base.streamed is None:  # the search drops it for what has a smaller peak, and may then need a larger arena
        found = search.undominated([*found, layer_by_layer(base, board)])
    if not found:
        raise Unsupported("no schedule takes this input row by row; expected image layers first, leave --stream out")
    return found


def _window_cost(base: Schedule, sliding: Schedule, price: search.Cost) -> float:
    """Cost of what is computed for a new window: the rows of each step that are new."""
    total = 0.0
    for stage in sliding.stages:
        for i, rows in calls_rows(sliding, stage).items():
            n = height(sliding.steps[i], stage)
            total += price(base.steps[i], n if stage.kind == "frames" else 1) * rows / n
    return total


def ticks(base: Schedule) -> int:
    """How often `points` calls its tick: each cut without strips, and with them."""
    return 2 * (len(search.cut_points(base)) - 1)


def layer_by_layer(base: Schedule, board: Board) -> Point:
    """Whole tensors, one step after another, the input resident."""
    pieces = (Piece("plain", 0, len(base.steps)),) if base.steps else ()
    whole = expand(replace(base, streamed=None), pieces)
    price = cost_on(board)
    return Point(whole, memory.plan(whole), sum(price(s, 1) for s in base.steps), pieces)


def arranged(base: Schedule, pieces: tuple[Piece, ...], board: Board) -> Point | None:
    """The program of these pieces; None where they cannot be, or lie further apart than a stage of rows reaches."""
    if not search.can_be(base, pieces):
        return None
    made = expand(base, pieces)
    plan, calls, price = memory.plan(made), made.kernel_calls(), cost_on(board)
    total = sum(price(s, calls[i]) for i, s in enumerate(made.steps))
    return Point(made, plan, total, pieces) if plan.tables_reach else None


def streamed(base: Schedule) -> Schedule:
    """`base` with its input arriving row by row."""
    inputs = base.graph.inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1:
        shapes = ", ".join(f"{v.name} {list(v.shape)}" for v in inputs)
        raise Unsupported(f"--stream: inputs {shapes}; expected one input [1,H,W,C], leave the option out")
    if inputs[0] in base.roots.values():
        raise Unsupported(f"--stream: input {inputs[0].name} is reshaped first; expected rows to stay, leave it out")
    views = [v for s in base.steps for v in s.encoded.inputs if v.value is inputs[0]]
    if any(v.rows != inputs[0].shape[1] for v in views):
        raise Unsupported(
            f"--stream: input {inputs[0].name} is rearranged first; expected images in NHWC, leave it out"
        )
    return replace(base, streamed=inputs[0])


def bound(base: Schedule) -> Schedule:
    """`base` with its input read where the app has it, outside the arena."""
    inputs = base.graph.inputs
    if len(inputs) != 1 or inputs[0] in map(base.root, base.graph.outputs):
        shapes = ", ".join(f"{v.name} {list(v.shape)}" for v in inputs)
        raise Unsupported(f"--bind-input: inputs {shapes}; expected one input that is no output, leave the option out")
    if any(inputs[0] in overwritten(s, base.roots) for s in base.steps):
        raise Unsupported(f"--bind-input: {inputs[0].name} is a state that the model changes; leave the option out")
    return replace(base, bound=inputs[0])


def text(schedule: Schedule) -> str:
    """rows 0-7 | rows 8-11 | plain 12-29; strips follow each other as stages of their own"""
    return " | ".join(stage_text(s) for s in schedule.stages)


def stage_text(stage: Stage) -> str:
    last = stage.first + stage.count - 1
    strip = f" (strip {stage.strip + 1} of {stage.strips})" if stage.strips > 1 else ""
    return f"{stage.kind} {stage.first}" + (f"-{last}" if last > stage.first else "") + strip


def calls_rows(schedule: Schedule, stage: Stage) -> dict[int, int]:
    """Rows that each step of the stage is called for in one run; more than it has where it recomputes."""
    rows = dict.fromkeys(stage.steps, 0)
    for call in schedule.stage_calls(stage):
        if call.step != trace.AWAIT:
            rows[call.step] += len(call.rows)
    return rows


def macs_run(schedule: Schedule) -> int:
    """Multiply-accumulates of one run, recomputed rows included; of a new window where the input slides."""
    return sum(stage_macs(schedule, stage) for stage in schedule.stages)


def stage_macs(schedule: Schedule, stage: Stage) -> int:
    rows = calls_rows(schedule, stage)
    return sum(ops.macs(schedule.steps[i].node) * n // height(schedule.steps[i], stage) for i, n in rows.items())


def height(step: Step, stage: Stage) -> int:
    """Rows of the step's output, in calls; a sliding step's own rows have no end."""
    return step.node.output.shape[1] if stage.kind == "frames" else step.encoded.rows


def macs(schedule: Schedule) -> int:
    return sum(ops.macs(s.node) for s in schedule.steps)


def recompute_ratio(schedule: Schedule) -> float:
    """Multiply-accumulates of one run over those of the network."""
    needed = sum(ops.macs(n) for n in schedule.graph.nodes)
    return macs_run(schedule) / needed if needed else 1.0


@dataclass(frozen=True)
class Reach:
    """Rows of a region's input that one row of its output needs, and by how many they move from one
    output row to the next. `layers` are the steps that widen it, each with the rows it adds."""

    rows: float = 1.0
    advance: float = 1.0
    layers: tuple[tuple[int, float], ...] = ()

    @property
    def halo(self) -> float:
        """Rows that two neighbouring output rows share: held in memory, or computed twice."""
        return max(0.0, self.rows - self.advance)


def window(step: Step, i: int) -> tuple[int, float]:
    """(rows of input i that an output row needs, by how many they move per output row)."""
    # The op's own rule: ops.rows_read would cut the window at the border of a small image.
    rule = getattr(ops.module(step.node.op), "rows_read", ops.rows_read)
    a, b = step.encoded.rows // 4, 3 * step.encoded.rows // 4
    first, middle, last = (rule(step.node, step.encoded, i, y) for y in (a, (a + b) // 2, b))
    return len(middle), (last.start - first.start) / (b - a) if b > a else 1.0


def sees_everything(schedule: Schedule, step: Step, i: int) -> bool:
    """One output row from all of a higher input: it ends what can be said row by row."""
    view = step.encoded.inputs[i]
    return step.encoded.output.rows == 1 and view.rows > 1 and schedule.root(view.value) not in schedule.rings


def reach(schedule: Schedule, steps: range) -> Reach:
    """The widest reach of these steps, up to the first that reduces the whole image."""
    known: dict[Value, Reach | None] = {}
    for k in steps:
        step = schedule.steps[k]
        ways = [_through(schedule, known, k, i) for i, v in enumerate(step.encoded.inputs) if v.value.data is None]
        seen = [w for w in ways if w is not None]
        known[step.output] = max(seen, key=lambda r: r.rows) if len(seen) == len(ways) and seen else None
    # Of equally wide ones the last: it has the steps that move without widening.
    return max((r for r in reversed(known.values()) if r is not None), key=lambda r: r.rows, default=Reach())


def _through(schedule: Schedule, known: dict[Value, Reach | None], k: int, i: int) -> Reach | None:
    step = schedule.steps[k]
    before = known.get(schedule.root(step.encoded.inputs[i].value), Reach())
    if before is None or sees_everything(schedule, step, i):
        return None
    rows, stride = window(step, i)
    added = (rows - 1) * before.advance
    layers = (*before.layers, (k, added)) if added else before.layers
    return Reach(before.rows + added, before.advance * stride, layers)


def describe(point: Point, board: Board, whole: Point) -> dict[str, Any]:
    """One of the points[] of `edgesdk pareto`; `cost_ratio` is over the cost of `whole`, layer by layer."""
    estimate = cost.program_cost(point.schedule, board.core.name, board.clock_hz)
    if point.schedule.rings:  # the steps of a sliding window have rows without end: they are not priced as a run
        estimate = cost.Estimate(None, None, None)
    return {
        "arena_bytes": point.plan.arena_bytes,
        "arena_lower_bound_bytes": point.plan.lower_bound_bytes,
        "latency_us": estimate.latency_us,
        "instructions": None if estimate.instructions is None else round(estimate.instructions),
        "error_percent": estimate.error_percent,
        "cost_ratio": point.cost / whole.cost if whole.cost else 1.0,
        "recompute_ratio": recompute_ratio(point.schedule),
        "schedule": text(point.schedule),
        "stages": [describe_stage(point.schedule, s) for s in point.schedule.stages],
    }


def describe_stage(schedule: Schedule, stage: Stage) -> dict[str, Any]:
    rows = calls_rows(schedule, stage)
    once = sum(ops.macs(schedule.steps[i].node) for i in stage.steps)
    fused = reach(schedule, stage.steps) if stage.kind != "plain" else None
    return {
        "kind": stage.kind,
        "first": stage.first,
        "last": stage.first + stage.count - 1,
        "rows": sum(height(schedule.steps[i], stage) for i in stage.steps),
        "rows_computed": sum(rows.values()),
        "macs": once,
        "recompute_ratio": _recomputed(schedule, stage),
        "input_rows": None if fused is None else round(fused.rows, 2),
        "halo_rows": None if fused is None else round(fused.halo, 2),
    }


def _recomputed(schedule: Schedule, stage: Stage) -> float:
    """Multiply-accumulates of a stage, of strips those of all of them, over those of its layers."""
    origins = [schedule.steps[i].origin for i in stage.steps]
    if stage.strips == 1:
        once, run = sum(ops.macs(schedule.steps[i].node) for i in stage.steps), stage_macs(schedule, stage)
    else:
        once = sum(ops.macs(s.node) for s in origins if s is not None)
        run = sum(ops.macs(s.node) for s in schedule.steps if s.origin in origins and s.origin is not None)
    return run / once if once else 1.0


def report(points: list[Point], whole: Point, board: Board, advice: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object of `edgesdk pareto`."""
    schedule = points[0].schedule
    return {
        "model": schedule.graph.name,
        "board": board.id,
        "core": board.core.name,
        "ram_bytes": board.total_bytes("ram"),
        "streamed": schedule.streamed is not None,
        "bound": schedule.bound is not None,
        "layer_by_layer": describe(whole, board, whole),
        "points": [describe(p, board, whole) for p in points],
        "advice": advice,
    }
