# SPDX-License-Identifier: Apache-2.0
"""The command line: one thin function per verb. Heavy imports stay inside the verbs."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesdk.errors import AccuracyGate, Unsupported, UsageError
from edgesdk.options import (
    THREADS_HELP,
    Time,
    flow_options,
    graph_options,
    program_options,
    progress,
    verb,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = ("source", "graph", "schedule", "memory", "program")  # those of dump.py, whose import is slow


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgesdk")
def main() -> None:
    """Puts neural networks on devices: converts, runs, validates and profiles them.

    Example: edgesdk convert model.tflite -o model.edge --board mps2_an386
    """


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .edge file to write.")
@program_options
@click.option("--sparsity", default="none", show_default=True, help="none, auto, N:M or N:M:block.")
@click.option("--max-drop", type=float, help="Largest loss of top-1 accuracy, percent; needs --labels.")
@click.option("--labels", type=click.Path(path_type=Path), help="Class numbers of the calibration samples.")
@click.option("--tuned", is_flag=True, help="Take the kernels that `edgesdk tune` found fastest on this device.")
@click.option("--dump", "stage", type=click.Choice(STAGES), help="Print a stage as text to stderr.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the accuracy of each layer as a page.")
@verb
def convert(
    model: Path, output: Path, max_drop: float | None, labels: Path | None, stage: str | None, html: Path | None,
    sparsity: str, **base: Any,
) -> dict[str, Any]:  # fmt: skip
    """Converts MODEL (.tflite, .onnx, .pt2) to one .edge file.

    Example: edgesdk convert model.onnx -o model.edge --quantize int8 --calibration samples.npz
    """
    if sparsity != "none":
        raise Unsupported("--sparsity: not available in this version; leave it out")
    quantize, calibration = base["quantize"], base["calibration"]
    _check_gate(quantize, calibration, max_drop, labels)
    if html is not None and quantize == "none":
        raise UsageError("--html shows what --quantize did; add --quantize int8 or leave it out")
    from edgesdk import dump, flow, program

    with progress("convert", 7 if quantize == "none" else 9) as tick:
        converted = flow.convert(model, **flow_options(base), progress=tick)
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
        with progress("run", len(sets)) as tick:
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
        with progress("validate", 2 * len(ours)) as tick:
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
        with progress("profile"):
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
@graph_options
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page.")
@verb
def pareto(model: Path, html: Path | None, **base: Any) -> dict[str, Any]:
    """Shows the schedules of MODEL that no other beats in both memory and time, and what widens their halos.

    Example: edgesdk pareto model.tflite --board mps2_an386 --html front.html
    """
    from edgesdk import advice, flow
    from edgesdk import pareto as fronts

    found, stream = flow.base_schedule(model, **flow_options(base)), base["stream"]
    target, schedule = found.board, fronts.streamed(found.schedule) if stream else found.schedule
    with progress("search", fronts.ticks(schedule)) as tick:
        points = fronts.points(schedule, target, tick)
    with progress("advice"):
        result = fronts.report(
            points, fronts.layer_by_layer(schedule, target), target, advice.advise(points, found.isa)
        )
    if html is not None:
        from edgesdk import html as pages

        _write_page(html, pages.pareto_page(result, points))
    return result


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .edge file to write.")
@program_options
@click.option("--time", "time_us", type=Time(), default="30s", show_default=True, help="How long to measure.")
@click.option("--fresh", is_flag=True, help="Measure again what was measured on this device before.")
@verb
def tune(model: Path, output: Path, time_us: float, fresh: bool, **base: Any) -> dict[str, Any]:
    """Converts MODEL with the kernels and schedule that are measured to be the fastest on the board.

    What is measured is kept for the next run, and for `convert --tuned`. Ctrl-C ends it early.

    Example: edgesdk tune model.tflite -o model.edge --time 60s
    """
    from edgesdk import program, tuning

    seconds = time_us / 1e6
    with progress("tune", round(seconds)) as tick:
        tuned = tuning.tune(model, **flow_options(base), seconds=seconds, fresh=fresh, tick=tick)
    program.write_file(output, tuned.converted.data)
    return tuning.report(tuned)


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
