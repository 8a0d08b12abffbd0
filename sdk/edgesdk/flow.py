# SPDX-License-Identifier: Apache-2.0
"""The whole flow from a model file to a program, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from edgesdk import (
    boards,
    converters,
    cost,
    firmware,
    images,
    kernels,
    measured,
    memory,
    ops,
    pareto,
    passes,
    program,
    ptq,
    schedule,
)
from edgesdk import compress as recipes
from edgesdk.boards import Board, Memory
from edgesdk.compress import data_checks
from edgesdk.errors import DoesNotFit, Unsupported, UsageError
from edgesdk.ir import Graph
from edgesdk.samples import InputSpec
from edgesdk.schedule.strips import Piece
from edgesdk.schedule.threads import rows_in_part
from edgesdk.search import Point

Progress = Callable[[str], None]
MOST_THREADS = 64  # of runtime_c/port/ert_pool.h


@dataclass(eq=False)
class Base:
    """A lowered graph with its kernels and order, before a schedule is chosen; `isa` is the chain that it may use,
    `removed` what the model computed in vain, `tuned` the costs that its kernels were chosen by."""

    board: Board
    isa: tuple[str, ...]
    source: Graph
    graph: Graph
    schedule: schedule.Schedule
    removed: passes.Removed
    quantised: ptq.Quantised | None = None
    tuned: measured.Known | None = None
    warnings: tuple[str, ...] = ()


@dataclass(eq=False)
class Converted:
    """A program with every stage that led to it (for --dump, reports and tests). `arena_memory` is the board's
    memory that the schedule was chosen for, None where the board names none or none is large enough for --ram."""

    board: Board
    source: Graph
    graph: Graph
    schedule: schedule.Schedule
    plan: memory.MemoryPlan
    program: program.Program
    data: bytes
    warnings: list[str]
    removed: passes.Removed
    arena_memory: str | None = None
    quantised: ptq.Quantised | None = None


@dataclass(frozen=True)
class Room:
    """A place for the arena: its size (None: any), and what a program takes with its arena there, as a multiple of
    what it takes in a memory without wait states."""

    memory: Memory | None
    bytes: int | None
    price: float

    def holds(self, point: Point) -> bool:
        return self.bytes is None or point.plan.arena_bytes <= self.bytes


def convert(
    model: Any,
    board: str | Board = "host",
    *,
    example_inputs: Any = None,
    quantize: str = "none",
    calibration: ptq.Calibration | None = None,
    calibrate: str | None = None,
    group: int = 0,
    pixels: str | None = None,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    latency_us: float | None = None,
    stream: bool = False,
    bind_input: bool = False,
    io: str = "model",
    hybrid: bool = False,
    float16_arithmetic: bool = False,
    portable: bool = False,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    threads: int = 1,
    tuned: bool = False,
    progress: Progress = lambda stage: None,
) -> Converted:
    """Writes a program for `board` (an id or the path of a board.toml).

    `model` is the path of a .tflite, .onnx or .pt2 file, a torch.export.ExportedProgram, or a torch.nn.Module
    in eval mode with `example_inputs`: a tuple of tensors that its forward takes (or a dict of keywords).
    The schedule is the fastest whose arena fits `ram_bytes` or a memory of the board; `stream` takes the input row
    by row and then, without a budget, the smallest; `bind_input` reads it where the app has it (a frame buffer,
    flash), outside the arena. `quantize` is a recipe: a scheme with methods ("int8+equalize", see compress; "auto"
    spends `flash_bytes` and `latency_us`), `group` how many int4 weights share a factor;
    `calibration` a file, a folder of images, a dict of arrays, or anything that yields samples, and `calibrate` how
    ranges are chosen from it (None: the scheme's own). `pixels` "LOW,HIGH:MEAN:STD" scales the images. io "int8"
    makes quantised inputs and outputs int8. `states` names inputs and the outputs that replace them in the next run:
    the session keeps them (Graph.keep).
    `threads` is how many may compute a layer: plans have no output that grows over an input then.
    `hybrid` quantises the activations of dynamic-range models while they run, as LiteRT does.
    `float16_arithmetic` lets layers with float16 weights (scheme "w16", or the model's own) multiply as float16.
    `tuned` takes the kernels that edgesdk.tune has found fastest on this device, where it has measured them.
    Raises EdgeError: Unsupported for ops without a kernel, DoesNotFit where arena or file exceed
    the budget or the board, UsageError for bad files and options.
    """
    base = base_schedule(
        model, board, example_inputs=example_inputs, quantize=quantize, calibration=calibration,
        calibrate=calibrate, group=group, flash_bytes=flash_bytes, latency_us=latency_us, pixels=pixels,
        stream=stream, bind_input=bind_input, io=io, hybrid=hybrid, float16_arithmetic=float16_arithmetic,
        portable=portable, input_shapes=input_shapes, states=states, threads=threads, tuned=tuned, progress=progress,
    )  # fmt: skip
    chosen = tuned_point(base, ram_bytes, stream)
    if chosen is None:
        chosen = choose(base.schedule, base.board, ram_bytes, latency_us, stream, progress)
    return finish(base, *chosen, ram_bytes, flash_bytes, progress)


def finish(
    base: Base, chosen: Point, room: Room, ram_bytes: int | None, flash_bytes: int | None, progress: Progress
) -> Converted:
    """The second half of `convert`: a schedule becomes a file."""
    progress("write")
    place = room.memory.name if room.memory else None
    written = program.assemble(chosen.schedule, chosen.plan, _metadata(base, place))
    data = program.write(written)
    check_fit(chosen.plan.arena_bytes, len(data), base.board, ram_bytes, flash_bytes)
    warnings = _left_in_float(base.quantised, base.graph) or _warnings(base.graph)
    warnings += base.quantised.warnings if base.quantised else []
    return Converted(
        base.board, base.source, base.graph, chosen.schedule, chosen.plan, written, data, [*warnings, *base.warnings],
        base.removed, place, base.quantised,
    )  # fmt: skip


def tuned_point(base: Base, ram_bytes: int | None, stream: bool) -> tuple[Point, Room] | None:
    """The schedule that was measured to be the fastest, where one is known and fits."""
    if base.tuned is None or stream:
        return None
    names = [measured.signature(s.node, base.schedule.threads) for s in base.schedule.steps]
    pieces = measured.pieces_of(base.tuned, measured.program_key(names), len(names))
    return placed(base, pieces, ram_bytes) if pieces else None


def placed(base: Base, pieces: tuple[Piece, ...], ram_bytes: int | None) -> tuple[Point, Room] | None:
    """The program of these pieces and the cheapest room that holds it; None where it is none, or none does."""
    point = pareto.arranged(base.schedule, pieces, base.board)
    return None if point is None else _cheapest([point], rooms(base.board, ram_bytes) or [Room(None, None, 1.0)])


def base_schedule(
    model: Any,
    board: str | Board = "host",
    *,
    example_inputs: Any = None,
    quantize: str = "none",
    calibration: ptq.Calibration | None = None,
    calibrate: str | None = None,
    group: int = 0,
    flash_bytes: int | None = None,
    latency_us: float | None = None,
    pixels: str | None = None,
    stream: bool = False,
    bind_input: bool = False,
    io: str = "model",
    hybrid: bool = False,
    float16_arithmetic: bool = False,
    portable: bool = False,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    states: Mapping[str, str] | None = None,
    threads: int = 1,
    tuned: bool = False,
    progress: Progress = lambda stage: None,
) -> Base:
    """The first half of `convert`: what `choose` and `pareto.points` search from."""
    if not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"--threads {threads}: expected 1 to {MOST_THREADS}")
    if bind_input and stream:
        raise UsageError("--bind-input and --stream exclude each other; give one of them")
    target = board if isinstance(board, Board) else boards.load(board)
    if latency_us is not None and cost.cycle_model(target) is None:
        raise Unsupported(_no_latency(target))
    progress("import")
    source = converters.load(model, input_shapes, example_inputs)
    for given, left in (states or {}).items():
        source.keep(given, left)
        source.metadata.setdefault("states", {})[given] = left
    if pixels is not None:
        images.pixels(pixels)  # refuses what it cannot read
        source.metadata["pixels"] = pixels
    progress("simplify")
    graph = passes.simplify(source.copy())
    data_checks.check_weights(graph)
    progress("quantize")
    isa = chain(target, portable, float16_arithmetic)
    quantised = compress(
        graph, quantize, calibration, calibrate, progress,
        group=group, flash=flash_bytes, file_bytes=partial(file_bytes, isa),
        latency_us=latency_us, estimate=partial(latency, target, isa),
    )  # fmt: skip
    graph = graph if quantised is None else quantised.graph.copy()
    if hybrid:
        graph = passes.hybrid(graph)
    progress("lower")
    whole = passes.reshape_io(graph, stream or bind_input, io)
    live = passes.shrink(whole.copy())
    removed = passes.removed(whole, live)
    graph = passes.lower(live, isa)
    progress("schedule")
    known, warnings = _known(target) if tuned else (None, ())
    made = Base(target, isa, source, graph, _scheduled(graph, isa, threads, known), removed, quantised, known, warnings)
    if float16_arithmetic:
        _check_float16(made.schedule)
    return replace(made, schedule=pareto.bound(made.schedule)) if bind_input else made


def chain(board: Board, portable: bool, float16_arithmetic: bool) -> tuple[str, ...]:
    """The instruction sets that a program may use."""
    if not float16_arithmetic:
        return (kernels.PORTABLE,) if portable else kernels.exact(board.core.isa)
    if portable or not kernels.ROUNDING.intersection(board.core.isa):
        what = "a portable file" if portable else f"the {board.core.name} of {board.id}"
        raise Unsupported(f"--float16-arithmetic: {what} has no instructions for it; leave the option out")
    return board.core.isa


def _check_float16(chosen: schedule.Schedule) -> None:
    if not any(s.kernel.isa in kernels.ROUNDING for s in chosen.steps):
        raise UsageError(
            "--float16-arithmetic: no convolution or fully connected layer has float16 weights; "
            "add --quantize w16 or leave the option out"
        )


def _scheduled(graph: Graph, isa: tuple[str, ...], threads: int, known: measured.Known | None) -> schedule.Schedule:
    prefer = measured.preference(known, threads) if known else schedule.STATIC
    return replace(schedule.schedule(graph, isa, prefer), threads=threads)


def retuned(base: Base, known: measured.Known) -> Base:
    """`base` with the kernels that are fastest by what is known."""
    made = _scheduled(base.graph, base.isa, base.schedule.threads, known)
    return replace(base, schedule=pareto.bound(made) if base.schedule.bound else made, tuned=known)


def _known(board: Board) -> tuple[measured.Known | None, tuple[str, ...]]:
    """What was measured on a device like the board, and why nothing was."""
    path = measured.newest(board)
    engine = board.runner in ("wasm", "browser")
    known, warning = measured.load(path, None if engine else measured.device(board))
    missing = f"--tuned: nothing was measured on {board.id} yet; run `edgesdk tune --board {board.id}` first"
    return known, () if known else (warning or missing,)


def _metadata(base: Base, arena_memory: str | None) -> dict[str, Any]:
    tuned = {"tuned": measured.describe(base.tuned)} if base.tuned else {}
    return {"board": base.board.id, **({"arena_memory": arena_memory} if arena_memory else {}), **tuned}


def rooms(board: Board, ram_bytes: int | None) -> list[Room]:
    """Where the arena may lie: the board's RAM memories, the largest first, and at the end what --ram alone allows.

    Memories are equal where the wait states of one of them are not known.
    """
    memories = sorted(board.of_kind("ram"), key=lambda m: -m.bytes)
    known = all(m.wait_states is not None for m in memories)
    found = [Room(m, _free(board, m, ram_bytes), _price(board, m) if known else 1.0) for m in memories]
    if ram_bytes is not None or not memories:
        found.append(Room(None, ram_bytes, max((r.price for r in found), default=1.0)))
    return found


def _free(board: Board, ram: Memory, ram_bytes: int | None) -> int:
    """Bytes for the arena in a memory, less what the firmware takes of it."""
    taken = firmware.RESERVED_BYTES if board.core.gcc and ram is firmware.data_memory(board) else 0
    return min(ram.bytes - taken, ram.bytes if ram_bytes is None else ram_bytes)


def _price(board: Board, ram: Memory) -> float:
    """Every access to the arena waits, an instruction else takes one cycle: the most that it can be."""
    return 1.0 + board.core.arena_accesses * (ram.wait_states or 0)


def choose(
    base: schedule.Schedule,
    board: Board,
    ram_bytes: int | None,
    latency_us: float | None,
    stream: bool,
    progress: Progress,
) -> tuple[Point, Room]:
    """The cheapest pair of a point of the front and a room that holds it; layer by layer where that is known to be it.

    Raises DoesNotFit naming the smallest arena there is.
    """
    places = rooms(board, ram_bytes)
    whole = pareto.layer_by_layer(base, board)
    if latency_us is not None:
        _check_latency(whole, board, latency_us)
    if not stream:
        best = _cheapest([whole], places)
        if best and best[1].price == min(r.price for r in places):
            return best
    found = pareto.points(pareto.streamed(base) if stream else base, board, lambda: progress("search"))
    smallest = min(found, key=lambda p: p.plan.arena_bytes)
    if places[-1].bytes is None:
        return smallest, places[-1]
    pair = _cheapest(found, places)
    if pair is None:
        raise DoesNotFit(_too_large(smallest, board, ram_bytes, places, stream))
    return pair


def _cheapest(points: list[Point], places: list[Room]) -> tuple[Point, Room] | None:
    """The first of equally cheap ones: the largest memory."""
    pairs = [(p, r) for r in places for p in points if r.holds(p)]
    return min(pairs, key=lambda pair: pair[0].cost * pair[1].price, default=None)


def _too_large(smallest: Point, board: Board, ram_bytes: int | None, places: list[Room], stream: bool) -> str:
    largest = max(places, key=lambda r: r.bytes or 0)
    need, budget = smallest.plan.arena_bytes, largest.bytes or 0
    whose = "--ram" if ram_bytes is not None else _named(board, largest)
    advice = "a smaller input or model, or a board with more RAM"
    hint = advice if stream else f"--stream to push the input row by row, --bind-input to read it in place, {advice}"
    return (
        f"the arena needs at least {need} bytes of RAM, {whose} has {budget}: {need - budget} bytes too few; use {hint}"
    )


def _named(board: Board, room: Room) -> str:
    assert room.memory
    name = board.id if len(board.of_kind("ram")) == 1 else f"{room.memory.name} of {board.id}"
    return name if room.bytes == room.memory.bytes else f"{name} (less stack and firmware)"


def _check_latency(fastest: Point, board: Board, latency_us: float) -> None:
    """Layer by layer is the fastest point there is."""
    estimate = cost.program_cost(fastest.schedule, board.core.name, board.clock_hz)
    if estimate.latency_us is None:
        raise Unsupported(_no_latency(board))
    if estimate.latency_us > latency_us:
        raise DoesNotFit(
            f"the fastest schedule takes {estimate.latency_us:.0f} us on {board.id}, --latency is {latency_us:g}: "
            f"{estimate.latency_us - latency_us:.0f} us too many; use a smaller model or a faster board"
        )


def _no_latency(board: Board) -> str:
    return f"--latency: no cycle model for {board.core.name} on {board.id}; leave it out and profile"


def compress(
    graph: Graph,
    recipe: str,
    calibration: ptq.Calibration | None,
    how: str | None,
    progress: Progress = lambda stage: None,
    **more: Any,
) -> ptq.Quantised | None:
    """Post-training quantisation where asked for; `more`: further fields of compress.Work."""
    if more.get("group") and recipes.scheme_of(recipe) not in recipes.NARROW:
        raise UsageError(
            f"--group is for weights of 4 bits; add --quantize {', '.join(recipes.NARROW)} or leave it out"
        )
    if recipe == "none":
        return None
    scheme = recipes.recipe(recipe).scheme
    if not any(v.dtype == "float32" for n in graph.nodes for v in n.outputs):
        raise UsageError(f"--quantize {recipe}: the model is quantised already; leave the option out")
    if calibration is None and scheme not in recipes.WEIGHTS_ONLY:
        raise UsageError(
            f"--quantize {recipe} needs --calibration: an .npz file with one array per input, first axis = samples, "
            f"or a folder of images"
        )
    return ptq.quantise(graph, recipe, calibration, how, input_specs(graph), progress, **more)


def file_bytes(isa: tuple[str, ...], graph: Graph) -> int:
    """What the file of a network takes, its schedule aside."""
    plain = schedule.schedule(passes.lower(passes.shrink(graph.copy()), isa), isa)
    return len(program.write(program.assemble(plain, memory.plan(plain))))


def latency(board: Board, isa: tuple[str, ...], graph: Graph) -> float | None:
    """The estimate of a network, layer by layer, in microseconds; None where the board has none."""
    plain = schedule.schedule(passes.lower(passes.shrink(graph.copy()), isa), isa)
    return cost.program_cost(plain, board.core.name, board.clock_hz).latency_us


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
            images.pixels(graph.metadata["pixels"]) if "pixels" in graph.metadata else None,
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


def float_layers(graph: Graph, quantised: ptq.Quantised | None) -> list[dict[str, str]]:
    """What computes in float, and why."""
    left = {} if quantised is None else quantised.left
    usual = "it is float in the source model" if quantised is None else "it belongs to an operation in float"
    found = [n for n in graph.nodes if n.output.dtype == "float32" and n.op not in ("dequantize", *schedule.VIEW_OPS)]
    return [{"op": n.op, "source": n.source, "reason": left.get(n.source, usual)} for n in found]


def _left_in_float(q: ptq.Quantised | None, graph: Graph) -> list[str]:
    left = [] if q is None else float_layers(graph, q)
    named = "; ".join(f"{r['op']} ({r['source'].split(';')[0]}): {r['reason']}" for r in left[:3])
    more = f"; and {len(left) - 3} more" if len(left) > 3 else ""
    return [f"{len(left)} operations stay in float: {named}{more}"] if left else []


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
        "arena_memory": c.arena_memory,
        "code_bytes": None,
        "weights_bytes": len(c.program.weights),
        "macs": macs,
        "macs_dense": macs + c.removed.macs,
        "removed": asdict(c.removed),
        "recompute_ratio": pareto.recompute_ratio(c.schedule),
        "schedule": pareto.text(c.schedule),
        "streamed": c.schedule.streamed is not None,
        "bound_input_bytes": program.bound_bytes(c.program),
        "steps": len(c.schedule.steps),
        "steps_on_threads": sum(rows_in_part(c.schedule, s) > 0 for s in c.schedule.steps),
        "estimate": {
            "latency_us": estimate.latency_us,
            "error_percent": estimate.error_percent,
            "instructions": estimate.instructions,
        },
        "fits": True,
        "warnings": c.warnings,
        "board": c.board.id,
        "float_layers": float_layers(c.graph, c.quantised),
        **({"accuracy": ptq.report(c.quantised, [v.name for v in c.graph.outputs])} if c.quantised else {}),
    }
