# SPDX-License-Identifier: Apache-2.0
"""What the verbs of the command line share: kinds of values, options of the base program, printing, progress."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgesdk.errors import EdgeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

QUANTIZE_HELP = "none, int8, int16x8, int4, auto, w16, w8, w4; or with methods: int8+equalize+correct_bias, int4+gptq."
THREADS_HELP = "Threads, of a program that was converted for them."
GROUP_HELP = "int4 weights that share a factor beside the channel's scale; 0: none do."
CALIBRATE_HELP = (
    "How ranges are chosen: minmax, headroom, moving-average, percentile, mse (the default of int8) or entropy."
)
PIXELS_HELP = "What 0...255 of images becomes: LOW,HIGH or LOW,HIGH:MEAN,...:STD,... [default: 0,1]"
FLOAT16_HELP = "Multiply float16 weights (w16) as float16 where the core can; outputs of a layer differ by about 0.001."
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


def shape_option(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition(":")
    try:
        shape = tuple(int(d) for d in dims.split(","))
    except ValueError:
        raise UsageError(f"--input {text!r}: expected NAME:1,3,224,224") from None
    return name, shape


def state_option(text: str) -> tuple[str, str]:
    given, sign, left = text.partition("=")
    if not (given and sign and left):
        raise UsageError(f"--state {text!r}: expected INPUT=OUTPUT")
    return given, left


Verb = TypeVar("Verb", bound=Callable[..., Any])
_GRAPH = (
    click.option("--board", default="host", show_default=True, help="Board id or path of a board.toml."),
    click.option("--quantize", default="none", help=QUANTIZE_HELP),
    click.option(
        "--calibration", type=click.Path(path_type=Path), help="Calibration samples (.npz or folder of images)."
    ),
    click.option("--calibrate", metavar="METHOD", help=CALIBRATE_HELP),
    click.option("--group", type=click.Choice(["0", "32", "64", "128"]), default="0", help=GROUP_HELP),
    click.option("--pixels", help=PIXELS_HELP),
    click.option("--stream", is_flag=True, help="Plan the input as rows or frames pushed one by one."),
    click.option("--bind-input", is_flag=True, help="Read the input where the app has it, outside the arena."),
    click.option(
        "--io", type=click.Choice(["model", "int8"]), default="model", help="int8: no float inputs and outputs."
    ),
    click.option("--portable", is_flag=True, help="Runs everywhere; packed for vectors when it is loaded."),
    click.option("--input", "inputs", multiple=True, help="Fix a dynamic shape, NAME:1,3,224,224."),
)
_PROGRAM = (
    click.option("--ram", type=Size(), help="Largest arena."),
    click.option("--flash", type=Size(), help="Largest model file."),
    click.option("--latency", type=Time(), help="Largest latency (20ms)."),
    click.option("--hybrid", is_flag=True, help="Quantise activations of int8 weights while running, as LiteRT does."),
    click.option("--float16-arithmetic", is_flag=True, help=FLOAT16_HELP),
    click.option("--threads", type=int, default=1, show_default=True, help="Threads that may compute a layer."),
    click.option("--state", "states", multiple=True, help="Keep a state between runs, INPUT=OUTPUT that renews it."),
)
_FLOW_NAMES = {"ram": "ram_bytes", "flash": "flash_bytes", "latency": "latency_us"}


def graph_options(function: Verb) -> Verb:
    """What leads from a model to a lowered graph for a board."""
    return functools.reduce(lambda f, option: option(f), reversed(_GRAPH), function)


def program_options(function: Verb) -> Verb:
    """`graph_options`, and what a program is chosen by."""
    return functools.reduce(lambda f, option: option(f), reversed(_GRAPH + _PROGRAM), function)


def flow_options(given: dict[str, Any]) -> dict[str, Any]:
    """The values of these options as flow.py names them."""
    named = {_FLOW_NAMES.get(name, name): value for name, value in given.items() if name not in ("inputs", "states")}
    named |= {"group": int(given["group"]), "input_shapes": dict(shape_option(i) for i in given["inputs"])}
    if "states" in given:
        named["states"] = dict(state_option(s) for s in given["states"])
    return named


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
def progress(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
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
