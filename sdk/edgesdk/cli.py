# SPDX-License-Identifier: Apache-2.0
"""The command line: one thin function per verb. Heavy imports stay inside the verbs."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesdk.errors import AccuracyGate, EdgeError, Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = ("source", "graph", "schedule", "memory", "program")  # those of dump.py, whose import is slow
QUANTIZE_HELP = "none, int8, int16x8, int4, auto, w8, w4; or with methods: int8+equalize+correct_bias, int4+gptq."
THREADS_HELP = "Threads, of a program that was converted for them."
GROUP_HELP = "int4 weights that share a factor beside the channel's scale; 0: none do."
CALIBRATE_HELP = (
    "How ranges are chosen: minmax, headroom, moving-average, percentile, mse (the default of int8) or entropy."
)
UNITS = {"": 1, "b": 1, "kb": 10**3, "k": 10**3, "mb": 10**6, "kib": 2**10, "mib": 2**20}


class Size(click.ParamType):
    """Bytes, or a number with kB, KiB, MB, MiB."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(value))
        if match is None or match[2].lower() not in UNITS:
            self.fail(f"{value!r} is not a size; expected bytes or a number with kB, KiB, MB or MiB", param, ctx)
        return int(float(match[1]) * UNITS[match[2].lower()])


class Time(click.ParamType):
    """Microseconds from a number with us, ms or s."""

    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s)\s*", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time; expected a number with us, ms or s", param, ctx)
        return float(match[1]) * {"us": 1.0, "ms": 1e3, "s": 1e6}[match[2]]


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition(":")
    try:
        shape = tuple(int(d) for d in dims.split(","))
    except ValueError:
        raise UsageError(f"--input {text!r}: expected NAME:1,3,224,224") from None
    return name, shape


def _state(text: str) -> tuple[str, str]:
    given, sign, left = text.partition("=")
    if not (given and sign and left):
        raise UsageError(f"--state {text!r}: expected INPUT=OUTPUT")
    return given, left


def verb(function: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Prints what the verb returns, as JSON or tables; turns refusals into exit codes."""

    @functools.wraps(function)
    def entry(as_json: bool, **options: Any) -> None:
        try:
            result = function(**options)
        except (EdgeError, OSError, MemoryError) as error:
            _refuse(error, as_json)
        else:
            _print(function.__name__.rstrip("_"), result, as_json)

    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")(entry)


def _refuse(error: BaseException, as_json: bool) -> None:
    code = error.exit_code if isinstance(error, EdgeError) else UsageError.exit_code
    message = str(error) or type(error).__name__
    if as_json:
        _print_json({"error": message, "exit_code": code})
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _print(name: str, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(result)
        return
    from edgesdk import report

    report.show(name, result)


def _print_json(result: dict[str, Any]) -> None:
    import msgspec

    click.echo(msgspec.json.encode(result))  # NaN and infinity, which JSON has not, become null


@contextmanager
def _progress(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar on stderr where that is a terminal; yields `tick(description=None)`."""
    if not sys.stderr.isatty():
        yield lambda text=None: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def tick(text: str | None = None) -> None:
            bar.update(task, advance=1, description=text or description)

        yield tick


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgesdk")
def main() -> None:
    """Puts neural networks on devices: converts, runs, validates and profiles them.

    Example: edgesdk convert model.tflite -o model.edge --board mps2_an386
    """


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .edge file to write.")
@click.option("--board", default="host", show_default=True, help="Board id or path of a board.toml.")
@click.option("--quantize", default="none", help=QUANTIZE_HELP)
@click.option("--calibration", type=click.Path(path_type=Path), help="Calibration samples (.npz or folder of images).")
@click.option("--calibrate", metavar="METHOD", help=CALIBRATE_HELP)
@click.option("--group", type=click.Choice(["0", "32", "64", "128"]), default="0", help=GROUP_HELP)
@click.option("--pixels", help="What 0...255 of images becomes: LOW,HIGH or LOW,HIGH:MEAN,...:STD,... [default: 0,1]")
@click.option("--sparsity", default="none", show_default=True, help="none, auto, N:M or N:M:block.")
@click.option("--ram", type=Size(), help="Largest arena.")
@click.option("--flash", type=Size(), help="Largest model file.")
@click.option("--latency", type=Time(), help="Largest latency (20ms).")
@click.option("--stream", is_flag=True, help="Plan the input as rows or frames pushed one by one.")
@click.option("--bind-input", is_flag=True, help="Read the input where the app has it, outside the arena.")
@click.option("--io", type=click.Choice(["model", "int8"]), default="model", help="int8: no float inputs and outputs.")
@click.option("--hybrid", is_flag=True, help="Quantise activations of int8 weights while running, as LiteRT does.")
@click.option("--max-drop", type=float, help="Largest loss of top-1 accuracy, percent; needs --labels.")
@click.option("--labels", type=click.Path(path_type=Path), help="Class numbers of the calibration samples.")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads that may compute a layer.")
@click.option("--portable", is_flag=True, help="Runs everywhere; packed for vectors when it is loaded.")
@click.option("--dump", "stage", type=click.Choice(STAGES), help="Print a stage as text to stderr.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the accuracy of each layer as a page.")
@click.option("--input", "inputs", multiple=True, help="Fix a dynamic shape, NAME:1,3,224,224.")
@click.option("--state", "states", multiple=True, help="Keep a state between runs, INPUT=OUTPUT that renews it.")
@verb
def convert(
    model: Path, output: Path, board: str, quantize: str, calibration: Path | None, calibrate: str | None,
    group: str, pixels: str | None, max_drop: float | None, labels: Path | None, portable: bool, stage: str | None,
    html: Path | None, inputs: tuple[str, ...], ram: int | None, flash: int | None, latency: float | None,
    stream: bool, bind_input: bool, io: str, hybrid: bool, states: tuple[str, ...], sparsity: str, threads: int,
) -> dict[str, Any]:  # fmt: skip
    """Converts MODEL (.tflite, .onnx, .pt2) to one .edge file.

    Example: edgesdk convert model.onnx -o model.edge --quantize int8 --calibration samples.npz
    """
    if sparsity != "none":
        raise Unsupported("--sparsity: not available in this version; leave it out")
    _check_gate(quantize, calibration, max_drop, labels)
    if html is not None and quantize == "none":
        raise UsageError("--html shows what --quantize did; add --quantize int8 or leave it out")
    from edgesdk import dump, flow, program

    with _progress("convert", 7 if quantize == "none" else 9) as tick:
        converted = flow.convert(
            model, board, quantize=quantize, calibration=calibration, calibrate=calibrate, group=int(group),
            pixels=pixels, ram_bytes=ram, flash_bytes=flash, latency_us=latency, stream=stream, bind_input=bind_input,
            io=io, hybrid=hybrid, portable=portable, input_shapes=dict(_shape(i) for i in inputs),
            states=dict(_state(s) for s in states), threads=threads, progress=tick,
        )  # fmt: skip
    result = flow.report(converted)
    if max_drop is not None and labels is not None and calibration is not None:
        result |= _gate(converted, calibration, labels, max_drop)
    if stage is not None:
        click.echo(dump.dump(converted, stage), err=True)
    program.write_file(output, converted.data)
    if html is not None and converted.quantised is not None:
        from edgesdk import accuracy_page

        _write_page(html, accuracy_page.convert_page(result, converted.quantised))
    return result


def _check_gate(quantize: str, calibration: Path | None, max_drop: float | None, labels: Path | None) -> None:
    if (max_drop is None) != (labels is None):
        raise UsageError("--max-drop and --labels go together; give both or neither")
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise UsageError(f"--max-drop {max_drop}: expected percentage points from 0 to 100")
    if max_drop is not None and calibration is None:
        raise UsageError("--max-drop needs --calibration: the samples that --labels belong to")
    if calibration is not None and quantize == "none" and max_drop is None:
        raise UsageError("--calibration is of use with --quantize or --max-drop only; add one or leave it out")


def _gate(converted: Any, calibration: Path, labels: Path, max_drop: float) -> dict[str, dict[str, float]]:
    """Top-1 and top-5 of source and program on the calibration set; raises AccuracyGate past `max_drop` percent."""
    from edgesdk import accuracy, samples, validate
    from edgesdk.flow import input_specs

    source, lowered = input_specs(converted.source), input_specs(converted.graph)
    sets, program_sets = samples.load(calibration, source), samples.load(calibration, lowered)
    wanted = samples.load_labels(labels, len(sets))
    found = validate.accuracy(converted.data, program_sets, converted.source, sets, wanted)
    drop = 100 * (found["top1"]["reference"] - found["top1"]["program"])
    if drop > max_drop:
        layers = converted.quantised.layers if converted.quantised else []
        raise AccuracyGate(_too_far(drop, max_drop, accuracy.worst(layers)))
    return found


def _too_far(drop: float, max_drop: float, farthest: dict[str, Any] | None) -> str:
    where = f" (farthest from float: {farthest['name']}, relative L2 {farthest['rel_l2']:.3g})" if farthest else ""
    return (
        f"top-1 drops by {drop:.2f} points{where}, --max-drop is {max_drop:g}; calibrate on more samples or with "
        f"another --calibrate method"
    )


@main.command(name="inspect")
@click.argument("model", type=click.Path(path_type=Path))
@verb
def inspect_(model: Path) -> dict[str, Any]:
    """Shows what a .edge file, or a source model, holds.

    Example: edgesdk inspect model.edge
    """
    from edgesdk.describe import describe

    return describe(model)


@contextmanager
def _opened(path: Path, board_name: str, threads: int = 1) -> Iterator[tuple[Any, Any, bytes, Any]]:
    """(board, program, bytes, open session on the board's runner)."""
    from edgesdk import boards, program, runners

    board = boards.load(board_name)
    data = program.read_file(path)
    read = program.read(data)
    with runners.open(board, data, threads) as session:
        yield board, read, data, session


def _specs(program: Any) -> list[Any]:
    from edgesdk import images
    from edgesdk.samples import InputSpec

    layouts = program.metadata.get("input_layouts", {})
    pixels = images.pixels(program.metadata["pixels"]) if program.metadata.get("pixels") else None
    return [
        InputSpec(t.name, t.shape, t.dtype, t.scale, t.zero_point, layouts.get(t.name, "NHWC"), pixels)
        for t in program.inputs
    ]


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--input", "source", type=click.Path(path_type=Path), required=True, help="Samples (.npz).")
@click.option("--output", "target", type=click.Path(path_type=Path), required=True, help="Outputs (.npz).")
@click.option("--board", default="host", show_default=True, help="Board id or path of a board.toml.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help=THREADS_HELP)
@verb
def run(model: Path, source: Path, target: Path, board: str, threads: int) -> dict[str, Any]:
    """Runs MODEL.edge on samples and writes its outputs.

    Example: edgesdk run model.edge --input in.npz --output out.npz
    """
    from edgesdk import program as files
    from edgesdk import samples

    with _opened(model, board, threads) as (_, program, _, session):
        sets = samples.load(source, _specs(program))
        results = []
        with _progress("run", len(sets)) as tick:
            for sample in sets:
                results.append(session.run(sample))
                tick()
    arrays = samples.stack(results, [t.name for t in program.outputs], program.metadata.get("output_layouts", {}))
    files.write_file(target, samples.pack(arrays))
    return {"outputs": [{"name": n, "shape": list(a.shape), "dtype": str(a.dtype)} for n, a in arrays.items()]}


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path), required=True, help="The source model.")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Samples (.npz).")
@click.option("--labels", type=click.Path(path_type=Path), help="Class numbers of the samples.")
@click.option("--board", default="host", show_default=True, help="Board id or path of a board.toml.")
@click.option("--max-drop", type=click.FloatRange(0, 100), help="Largest loss of top-1, percent; needs --labels.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page.")
@verb
def validate(
    model: Path, against: Path, data: Path, labels: Path | None, board: str, max_drop: float | None, html: Path | None
) -> dict[str, Any]:
    """Compares MODEL.edge with the model that it came from, output by output and layer by layer.

    Samples of a model that keeps states between runs are a sequence: each begins where the one before it ended.

    Example: edgesdk validate model.edge --against model.tflite --data samples.npz
    """
    from edgesdk import converters, samples
    from edgesdk import validate as comparison
    from edgesdk.flow import input_specs

    if max_drop is not None and labels is None:
        raise UsageError("--max-drop needs --labels; give both or neither")
    graph = converters.load(against)
    with _opened(model, board) as (_, program, raw, session):
        if program.metadata.get("pixels"):
            graph.metadata["pixels"] = program.metadata["pixels"]
        comparison.keep_states(program, graph)
        ours, theirs = samples.load(data, _specs(program)), samples.load(data, input_specs(graph))
        wanted = None if labels is None else samples.load_labels(labels, len(ours))
        with _progress("validate", 2 * len(ours)) as tick:
            result = comparison.validate(program, session.run, ours, graph, theirs, wanted, tick)
        steps = comparison.fresh_steps(raw, session)
        result["worst_step"] = comparison.worst_step(steps, program, ours[0], graph, theirs[0])
        steps = comparison.fresh_steps(raw, session)
        result |= comparison.layer_report(steps, program, ours, graph, theirs)
    if max_drop is not None and 100 * (result["top1_reference"] - result["top1"]) > max_drop:
        drop = 100 * (result["top1_reference"] - result["top1"])
        raise AccuracyGate(_too_far(drop, max_drop, result["worst_layer"]))
    if html is not None:
        from edgesdk import accuracy_page

        _write_page(html, accuracy_page.validate_page(result, program.metadata.get("name", "")))
    return result


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", default="host", show_default=True, help="Board id or path of a board.toml.")
@click.option("--port", help="Serial port of the board.")
@click.option("--ssh", help="Host of a Linux board.")
@click.option("--meter", help="Energy meter.")
@click.option("--runs", type=click.IntRange(1), default=10, show_default=True, help="Steady runs.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help=THREADS_HELP)
@click.option("--input", "source", type=click.Path(path_type=Path), help="Samples (.npz); the first is used.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page.")
@verb
def profile(
    model: Path, board: str, runs: int, threads: int, source: Path | None, html: Path | None, **later: str | None
) -> dict[str, Any]:
    """Measures MODEL.edge step by step: microseconds on real machines, instructions on emulated ones.

    Example: edgesdk profile model.edge --board mps2_an386
    """
    from edgesdk import profile as profiles
    from edgesdk import samples

    asked = [f"--{name}" for name, value in later.items() if value is not None]
    if asked:
        raise Unsupported(f"{', '.join(asked)}: not available in this version; leave it out")
    with _opened(model, board, threads) as (target, program, data, session):
        specs = _specs(program)
        sample = samples.load(source, specs)[0] if source else samples.random_sample(specs)
        with _progress("profile"):
            measured = session.measure(sample, runs)
    result = profiles.profile(measured, program, data, target)
    if html is not None:
        from edgesdk import html as pages

        _write_page(html, pages.profile_page(result, program))
    return result


def _write_page(path: Path, page: str) -> None:
    from edgesdk import program

    program.write_file(path, page.encode())


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--board", default="host", show_default=True, help="Board id or path of a board.toml.")
@click.option("--quantize", default="none", help=QUANTIZE_HELP)
@click.option("--calibration", type=click.Path(path_type=Path), help="Calibration samples (.npz or folder of images).")
@click.option("--calibrate", metavar="METHOD", help=CALIBRATE_HELP)
@click.option("--group", type=click.Choice(["0", "32", "64", "128"]), default="0", help=GROUP_HELP)
@click.option("--pixels", help="What 0...255 of images becomes: LOW,HIGH or LOW,HIGH:MEAN,...:STD,... [default: 0,1]")
@click.option("--stream", is_flag=True, help="Plan the input as rows pushed one by one.")
@click.option("--bind-input", is_flag=True, help="Read the input where the app has it, outside the arena.")
@click.option("--io", type=click.Choice(["model", "int8"]), default="model", help="int8: no float inputs and outputs.")
@click.option("--portable", is_flag=True, help="Only kernels that run everywhere.")
@click.option("--input", "inputs", multiple=True, help="Fix a dynamic shape, NAME:1,3,224,224.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page.")
@verb
def pareto(
    model: Path, board: str, quantize: str, calibration: Path | None, calibrate: str | None,
    group: str, pixels: str | None, stream: bool, bind_input: bool, io: str, portable: bool, inputs: tuple[str, ...],
    html: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """Shows the schedules of MODEL that no other beats in both memory and time, and what widens their halos.

    Example: edgesdk pareto model.tflite --board mps2_an386 --html front.html
    """
    from edgesdk import advice, flow
    from edgesdk import pareto as fronts

    found = flow.base_schedule(
        model, board, quantize=quantize, calibration=calibration, calibrate=calibrate, group=int(group), pixels=pixels,
        stream=stream, bind_input=bind_input, io=io, portable=portable, input_shapes=dict(_shape(i) for i in inputs),
    )  # fmt: skip
    target, base = found.board, fronts.streamed(found.schedule) if stream else found.schedule
    with _progress("search", fronts.ticks(base)) as tick:
        points = fronts.points(base, target, tick)
    with _progress("advice"):
        result = fronts.report(points, fronts.layer_by_layer(base, target), target, advice.advise(points, found.isa))
    if html is not None:
        from edgesdk import html as pages

        _write_page(html, pages.pareto_page(result, points))
    return result


@main.command()
@click.argument("board", required=False)
@verb
def boards(board: str | None) -> dict[str, Any]:
    """Lists the boards that edgesdk knows, or shows one.

    Example: edgesdk boards mps2_an386
    """
    import msgspec

    from edgesdk import boards as known

    rows = []
    for name in [board] if board else known.names():
        b = known.load(name)
        rows.append(
            {
                **msgspec.to_builtins(b),
                "core": b.core.name,
                "isa": list(b.core.isa),
                "ram_bytes": b.total_bytes("ram"),
                "flash_bytes": b.total_bytes("flash"),
            }
        )
    return {"boards": rows}


@main.command()
@click.option("--kernels", is_flag=True, help="Also list kernels with their types, and operators that are read.")
@verb
def doctor(kernels: bool) -> dict[str, Any]:
    """Checks what this machine has: runtime library, compilers, emulators, importers.

    Example: edgesdk doctor
    """
    from edgesdk import doctor as checks

    listed = {"kernels": checks.matrix(), "operators": checks.operators()} if kernels else {}
    return {"checks": checks.checks(), **listed}
