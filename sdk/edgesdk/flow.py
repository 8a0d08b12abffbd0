# SPDX-License-Identifier: Apache-2.0
"""The whole flow from a model file to a program, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesdk import boards, converters, cost, firmware, memory, ops, pareto, passes, program, samples, schedule
from edgesdk.boards import Board
from edgesdk.compress.calibrate import calibrate
from edgesdk.compress.quantize import quantize_int8
from edgesdk.errors import DoesNotFit, Unsupported, UsageError
from edgesdk.ir import Graph
from edgesdk.samples import InputSpec
from edgesdk.schedule import frames
from edgesdk.search import Point

Progress = Callable[[str], None]


@dataclass(eq=False)
class Converted:
    """A program with every stage that led to it (for --dump, reports and tests)."""

    board: Board
    source: Graph
    graph: Graph
    schedule: schedule.Schedule
    plan: memory.MemoryPlan
    program: program.Program
    data: bytes
    warnings: list[str]


def convert(
    model: str | Path,
    board: str | Board = "host",
    *,
    quantize: str = "none",
    calibration: str | Path | None = None,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    latency_us: float | None = None,
    stream: bool = False,
    io: str = "model",
    portable: bool = False,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    progress: Progress = lambda stage: None,
) -> Converted:
    """Reads `model` (.tflite, .onnx) and writes a program for `board` (an id or the path of a board.toml).

    The schedule is the fastest whose arena fits `ram_bytes` or the board; `stream` takes the input row by
    row and then, without a budget, the smallest. io "int8" makes quantised inputs and outputs int8.
    Raises EdgeError: Unsupported for ops without a kernel, DoesNotFit where arena or file exceed
    the budget or the board, UsageError for bad files and options.
    """
    target = board if isinstance(board, Board) else boards.load(board)
    progress("import")
    source = converters.load(Path(model), dict(input_shapes or {}))
    progress("simplify")
    graph = passes.simplify(source)
    progress("quantize")
    graph = compress(graph, quantize, calibration)
    progress("lower")
    graph = passes.lower(passes.reshape_io(graph, stream, io))
    progress("schedule")
    base = schedule.schedule(graph, ("c",) if portable else target.core.isa)
    chosen = choose(base, target, ram_bytes, latency_us, stream, progress)
    progress("write")
    written = program.assemble(chosen.schedule, chosen.plan, {"board": target.id})
    data = program.write(written)
    check_fit(chosen.plan.arena_bytes, len(data), target, ram_bytes, flash_bytes)
    return Converted(target, source, graph, chosen.schedule, chosen.plan, written, data, _warnings(graph))


def ram_budget(board: Board, ram_bytes: int | None) -> int | None:
    """Bytes for the arena: the user's, or the board's less what its firmware takes; None where nothing limits it."""
    owned = board.total_bytes("ram")
    if ram_bytes is not None or owned is None:
        return ram_bytes
    return owned - firmware.RESERVED_BYTES if board.core.gcc else owned


def choose(
    base: schedule.Schedule,
    board: Board,
    ram_bytes: int | None,
    latency_us: float | None,
    stream: bool,
    progress: Progress,
) -> Point:
    """Layer by layer where that fits; else the fastest point of the front that does.

    Raises DoesNotFit naming the smallest arena there is.
    """
    budget = ram_budget(board, ram_bytes)
    whole = pareto.layer_by_layer(base, board)
    if latency_us is not None:
        _check_latency(whole, board, latency_us)
    sliding = frames.sliding(pareto.streamed(base)) if stream else None
    if sliding is not None:
        plan = memory.plan(sliding)
        if budget is not None and plan.arena_bytes > budget:
            raise DoesNotFit(_too_large(Point(sliding, plan, 0.0), board, ram_bytes, budget, stream))
        return Point(sliding, plan, 0.0)
    if not stream and (budget is None or whole.plan.arena_bytes <= budget):
        return whole
    found = pareto.points(pareto.streamed(base) if stream else base, board, lambda: progress("search"))
    smallest = min(found, key=lambda p: p.plan.arena_bytes)
    if budget is None:
        return smallest
    fitting = [p for p in found if p.plan.arena_bytes <= budget]
    if not fitting:
        raise DoesNotFit(_too_large(smallest, board, ram_bytes, budget, stream))
    return min(fitting, key=lambda p: p.cost)


def _too_large(smallest: Point, board: Board, ram_bytes: int | None, budget: int, stream: bool) -> str:
    need = smallest.plan.arena_bytes
    whose = "--ram" if ram_bytes is not None else f"{board.id} (less stack and firmware)"
    advice = "a smaller input or model, or a board with more RAM"
    hint = advice if stream else f"--stream to push the input row by row, {advice}"
    return (
        f"the arena needs at least {need} bytes of RAM, {whose} has {budget}: {need - budget} bytes too few; use {hint}"
    )


def _check_latency(fastest: Point, board: Board, latency_us: float) -> None:
    """Layer by layer is the fastest point there is."""
    estimate = cost.program_cost(fastest.schedule, board.core.name, board.clock_hz)
    if estimate.latency_us is None:
        raise Unsupported(f"--latency: no cycle model for {board.core.name} on {board.id}; leave it out and profile")
    if estimate.latency_us > latency_us:
        raise DoesNotFit(
            f"the fastest schedule takes {estimate.latency_us:.0f} us on {board.id}, --latency is {latency_us:g}: "
            f"{estimate.latency_us - latency_us:.0f} us too many; use a smaller model or a faster board"
        )


def compress(graph: Graph, method: str, calibration: str | Path | None) -> Graph:
    """Post-training quantisation where asked for."""
    if method == "none":
        return graph
    if method != "int8":
        raise Unsupported(f"--quantize {method} is not available in this version; use int8 or none")
    if not any(v.dtype == "float32" for v in graph.inputs):
        raise UsageError("--quantize int8: the model is quantised already; leave the option out")
    if calibration is None:
        raise UsageError("--quantize int8 needs --calibration DATA.npz: one array per input, first axis = samples")
    specs = input_specs(graph)
    sets = samples.load(Path(calibration), specs)
    arrays = {s.name: [item[i] for item in sets] for i, s in enumerate(specs)}
    return quantize_int8(graph, calibrate(graph, arrays))


def input_specs(graph: Graph) -> list[InputSpec]:
    """What each graph input takes, for reading sample files."""
    layouts = graph.metadata.get("input_layouts", {})
    return [
        InputSpec(
            v.name,
            v.shape,
            v.dtype,
            v.scale if v.quant is not None else 0.0,
            v.zero_point,
            layouts.get(v.name, "NHWC"),
        )
        for v in graph.inputs
    ]


def check_fit(arena: int, file: int, board: Board, ram: int | None, flash: int | None) -> None:
    """Raises DoesNotFit naming need, have and the difference."""
    budgets = (
        ("RAM", "arena", arena, ram, board.total_bytes("ram"), "--ram"),
        ("flash", "model file", file, flash, board.total_bytes("flash"), "--flash"),
    )
    for memory_name, what, need, asked, owned, option in budgets:
        have, whose = (asked, option) if asked is not None else (owned, board.id)
        if have is not None and need > have:
            raise DoesNotFit(
                f"the {what} needs {need} bytes of {memory_name}, {whose} has {have}: {need - have} bytes too few; "
                f"use a smaller input or model, or a board with more {memory_name}"
            )


def _warnings(graph: Graph) -> list[str]:
    floats = [n.source for n in graph.nodes if n.output.dtype == "float32" and ops.macs(n)]
    integers = [n for n in graph.nodes if n.output.dtype == "int8"]
    return [f"{len(floats)} layers compute in float: {', '.join(floats[:5])}"] if floats and integers else []


def report(c: Converted) -> dict[str, Any]:
    """The JSON object of `edgesdk convert`. None stands for what this version cannot know."""
    macs = sum(ops.macs(s.node) for s in c.schedule.steps)
    estimate = cost.program_cost(c.schedule, c.board.core.name, c.board.clock_hz)
    return {
        "model_bytes": len(c.data),
        "arena_bytes": c.plan.arena_bytes,
        "arena_lower_bound_bytes": c.plan.lower_bound_bytes,
        "code_bytes": None,
        "weights_bytes": len(c.program.weights),
        "macs": macs,
        "macs_dense": macs,
        "recompute_ratio": pareto.recompute_ratio(c.schedule),
        "schedule": pareto.text(c.schedule),
        "streamed": c.schedule.streamed is not None,
        "steps": len(c.schedule.steps),
        "estimate": {
            "latency_us": estimate.latency_us,
            "error_percent": estimate.error_percent,
            "instructions": estimate.instructions,
        },
        "fits": True,
        "warnings": c.warnings,
        "board": c.board.id,
    }
