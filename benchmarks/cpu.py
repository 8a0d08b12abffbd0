# SPDX-License-Identifier: Apache-2.0
"""Networks x types x what a user would pick instead, on this machine's CPU, in one interleaved run.

    python benchmarks/cpu.py [--nets N,...] [--types fp32,int8] [--peers P,...] [--isa LEVEL,...] [--threads N]
                             [--rounds N] [--clock wall|cpu] [--json OUT] [--write MARKDOWN]
    python benchmarks/cpu.py --layers MODEL      where the time goes and what bounds it (cpu_layers.py)
    python benchmarks/cpu.py --int4              int4 weights beside int8 (cpu_int4.py)

Each peer runs each network in a process of its own; batches of about 120 ms take turns for --rounds rounds. A figure is
the lowest median of a round, the one that neighbours disturbed least; the JSON has the median of all runs, too. Peers
live in virtual environments under build/peers (`make peers`), those that are missing are left out and named. Networks
are written by cpu_models.py when they are missing. int8 edgesdk runs the very file that LiteRT runs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import cpu_int4
import cpu_layers
import cpu_models
import cpu_nets
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgesdk import boards, convert
from edgesdk.boards import Board

BATCH_MS = 120.0
MOST_RUNS = 2000  # of a batch
FARTHEST = 1e-3  # relative L2 distance that float outputs may have from numpy's
TYPES = ("fp32", "int8")
OWN = "edgesdk"
FILES = {
    OWN: {"fp32": "{}_fp32.edge", "int8": "{}_int8.edge"},
    "litert": {"fp32": "{}_fp32.tflite", "int8": "{}_int8.tflite"},
    "onnxruntime": {"fp32": "{}_fp32.onnx", "int8": "{}_int8.onnx"},
    "openvino": {"fp32": "{}_fp32.onnx", "int8": "{}_int8.onnx"},
    "ncnn": {"fp32": "{}_fp32.ncnn.param"},
    "executorch": {"fp32": "{}_fp32.pte", "int8": "{}_int8.pte"},
}


@dataclass(eq=False)
class Worker:
    """A process that holds one model; `answer` is what it said first."""

    peer: str
    net: str
    types: str
    file: Path
    process: subprocess.Popen[str]
    answer: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    wall: list[list[float]] = field(default_factory=list)  # ms, round by round
    cpu: list[list[float]] = field(default_factory=list)
    peak: float | None = None


@dataclass(frozen=True)
class Row:
    """Lowest medians of a round in ms, by the wall clock and of the process's threads together; `median` is that of
    all runs by the wall clock."""

    net: str
    types: str
    peer: str
    wall: float
    cpu: float
    median: float
    load_wall: float
    load_cpu: float
    peak_mb: float | None
    file_bytes: int
    library_bytes: int
    distance: float
    farthest: int | None = None  # difference of an int8 output from LiteRT's


@dataclass(frozen=True)
class Options:
    folder: Path
    peers: Path
    rounds: int
    threads: int
    isa: tuple[str, ...] | None
    programs: Path  # where .edge files are written


def model_of(peer: str, net: str, types: str, options: Options) -> Path:
    return (options.programs if peer == OWN else options.folder) / FILES[peer][types].format(net)


def python_of(peer: str, options: Options) -> Path:
    return Path(sys.executable) if peer == OWN else options.peers / peer / "bin" / "python"


def board(isa: Sequence[str] | None) -> Board:
    """The host, or the host with only these instruction sets."""
    host = boards.load("host")
    if isa is None:
        return host
    unknown = set(isa) - set(host.core.isa)
    if unknown:
        known = ",".join(host.core.isa)
        raise SystemExit(f"--isa: this machine's core has no {','.join(sorted(unknown))}; expected some of {known}")
    chain = tuple(level for level in host.core.isa if level in isa)
    return msgspec.structs.replace(host, core=msgspec.structs.replace(host.core, isa=chain))


def write_edge(net: str, types: str, options: Options) -> None:
    source = options.folder / f"{net}_{types}.tflite"
    if source.exists():
        made = convert(str(source), board(options.isa), threads=options.threads)
        model_of(OWN, net, types, options).write_bytes(made.data)


def start(peer: str, net: str, types: str, options: Options) -> Worker:
    """Raises RuntimeError with the last line that a process said before it ended."""
    file = model_of(peer, net, types, options)
    script, image = cpu_models.SCRIPTS / "worker.py", options.folder / f"{net}_input.npy"
    command = [python_of(peer, options), "-W", "ignore", script, peer, file, image, options.threads]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)} if peer == OWN else None,
        )  # fmt: skip
        worker = Worker(peer, net, types, file, process)
        first = pipe(process.stdout).readline()
        if not first:
            raise RuntimeError(said(errors))
    worker.answer = json.loads(first)
    return worker


def said(errors: IO[str]) -> str:
    errors.seek(0)
    return (errors.read().strip().splitlines() or ["no message"])[-1]


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def run(worker: Worker, count: int) -> dict[str, Any]:
    pipe(worker.process.stdin).write(f"{count}\n")
    pipe(worker.process.stdin).flush()
    line = pipe(worker.process.stdout).readline()
    if not line:
        raise SystemExit(f"{worker.net} {worker.types} {worker.peer}: the process ended while it was measured")
    return dict(json.loads(line))


def stop(workers: Iterable[Worker]) -> None:
    for w in workers:
        pipe(w.process.stdin).close()
        w.process.wait(30)


def warm_up(worker: Worker) -> None:
    """And how many runs make a batch."""
    fastest = min(run(worker, 5)["wall"])
    worker.batch = max(3, min(MOST_RUNS, int(BATCH_MS / max(fastest, 1e-3))))


def measure(workers: list[Worker], rounds: int) -> None:
    """Batches in turns; every other round backwards, so that nobody always follows the same neighbour."""
    for w in workers:
        warm_up(w)
    for k in range(rounds):
        for w in workers[:: 1 if k % 2 == 0 else -1]:
            times = run(w, w.batch)
            w.wall.append(times["wall"])
            w.cpu.append(times["cpu"])
            w.peak = times["peak"]


def row(w: Worker, expected: np.ndarray, raw: list[int] | None) -> Row:
    weights = w.file.with_suffix(".bin")
    file_bytes = w.file.stat().st_size + (weights.stat().st_size if w.peer == "ncnn" else 0)
    growth = None if w.peak is None else w.peak - w.answer["before"]
    given = w.answer["raw"]
    farthest = None if raw is None or given is None else max(abs(a - b) for a, b in zip(given, raw, strict=True))
    return Row(
        w.net, w.types, w.peer, lowest(w.wall), lowest(w.cpu), statistics.median(sum(w.wall, [])),
        w.answer["load_wall"], w.answer["load_cpu"], growth, file_bytes, w.answer["library"],
        distance(np.array(w.answer["output"]), expected), farthest,
    )  # fmt: skip


def lowest(rounds: list[list[float]]) -> float:
    return min(map(statistics.median, rounds))


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative L2."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def started(net: str, types: Iterable[str], peers: Iterable[str], options: Options, console: Console) -> list[Worker]:
    """Those that could be; the others are named."""
    workers: list[Worker] = []
    for kind in types:
        for peer in peers:
            if kind not in FILES[peer] or not model_of(peer, net, kind, options).exists():
                continue
            try:
                workers.append(start(peer, net, kind, options))
            except RuntimeError as error:
                console.print(f"{net} {kind} {peer}: left out: {error}")
    return workers


def compare(net: str, types: Sequence[str], peers: Sequence[str], options: Options, console: Console) -> list[Row]:
    """One network in all types on all peers."""
    expected = np.load(options.folder / f"{net}_expected.npy").ravel()
    workers = started(net, types, peers, options, console)
    try:
        measure(workers, options.rounds)
    finally:
        stop(workers)
    raw = {w.types: w.answer["raw"] for w in workers if w.peer == "litert"}
    rows = [row(w, expected, raw.get(w.types)) for w in workers]
    for r in rows:
        if r.types == "fp32" and r.distance > FARTHEST:
            console.print(
                f"[red]{net} {r.peer}: output is {r.distance:.1e} from the reference: not the same network[/]"
            )
    return rows


def tables(rows: list[Row], types: str, clock: str) -> list[Table]:
    """Times with the factor by which edgesdk is slower, then what loading and memory take."""
    mine = [r for r in rows if r.types == types]
    if not mine:
        return []
    peers, nets = ordered(r.peer for r in mine), ordered(r.net for r in mine)
    at, ms = {(r.net, r.peer): r for r in mine}, {(r.net, r.peer): getattr(r, clock) for r in mine}
    times = Table("network", *peers, "/ fastest peer", title=f"{types}: ms by the {clock} clock (edgesdk / peer)")
    for net in nets:
        others = [ms[net, p] for p in peers if p != OWN and (net, p) in ms]
        fastest = ratio(ms.get((net, OWN)), min(others)) if others else None
        times.add_row(net, *(timed(ms, net, p) for p in peers), shown(fastest))
    if OWN in peers:
        times.add_row("geometric mean", *means(ms, nets, peers), "")
    return [times, footprints(at, nets, peers, types, clock)]


def footprints(at: dict[tuple[str, str], Row], nets: list[str], peers: list[str], types: str, clock: str) -> Table:
    loads = {key: getattr(r, f"load_{clock}") for key, r in at.items()}
    what = Table(
        "network", *peers, title=f"{types}: load and first run ms by the {clock} clock, peak growth MB, model kB"
    )
    for net in nets:
        what.add_row(net, *(footprint(at.get((net, p)), loads.get((net, p))) for p in peers))
    if OWN in peers:
        what.add_row("load, edgesdk / peer", *means(loads, nets, peers))
    libraries = (max(r.library_bytes for (_, peer), r in at.items() if peer == p) for p in peers)
    what.add_row("library kB", *(f"{n / 1e3:,.0f}" for n in libraries))
    return what


def means(ms: dict[tuple[str, str], float], nets: list[str], peers: list[str]) -> list[str]:
    """Geometric, over the networks that both ran."""
    ratios = {p: [ratio(ms.get((n, OWN)), ms[n, p]) for n in nets if (n, p) in ms] for p in peers}
    return ["" if p == OWN else shown(geometric(ratios[p])) for p in peers]


def ordered(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def ratio(own: float | None, other: float) -> float | None:
    return None if own is None else own / other


def geometric(ratios: list[float | None]) -> float | None:
    known = [math.log(r) for r in ratios if r is not None]
    return math.exp(sum(known) / len(known)) if known else None


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def timed(ms: dict[tuple[str, str], float], net: str, peer: str) -> str:
    if (net, peer) not in ms:
        return "-"
    found = ms[net, peer]
    text = f"{found:.3f}" if found < 1 else f"{found:.2f}"
    factor = shown(ratio(ms.get((net, OWN)), found))
    return text if peer == OWN or not factor else f"{text} ({factor})"


def footprint(r: Row | None, load: float | None) -> str:
    if r is None:
        return "-"
    growth = "?" if r.peak_mb is None else f"{r.peak_mb:.1f}"
    return f"{load:.1f}, {growth}, {r.file_bytes / 1e3:,.0f}"


END = "<!-- end -->"


def markdown(table: Table) -> str:
    """A table as it is printed, its title above it."""
    columns = [
        [str(c.header), "---:" if i else "---", *(Text.from_markup(str(cell)).plain for cell in c.cells)]
        for i, c in enumerate(table.columns)
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    return "\n".join([*([f"{table.title}:", ""] if table.title else []), *lines])


def write(path: Path, option: str, head: str, found: list[Table]) -> None:
    """Replaces what stands behind the comment that names the option, up to the end."""
    begin = f"<!-- python benchmarks/cpu.py {option}--write -->"
    before, there, rest = path.read_text().partition(begin)
    _, end, after = rest.partition(END)
    if not there or not end:
        raise SystemExit(f"{path} holds no table to replace; expected the lines {begin!r} and {END!r}, add them")
    text = "\n\n".join([head, *map(markdown, found)])
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def heading(about: dict[str, Any], given: argparse.Namespace) -> str:
    threads = "one thread" if given.threads == 1 else f"{given.threads} threads"
    return f"{about['cpu']}, {', '.join(about['isa'])}; {threads}, {given.rounds} rounds, load {about['load']:.1f}."


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": (names or [platform.processor()])[0] if info.exists() else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
        "isa": list(boards.load("host").core.isa),
    }


def bench(nets: list[str], types: list[str], peers: list[str], options: Options, console: Console) -> list[Row]:
    there = [p for p in peers if python_of(p, options).exists()]
    for name in sorted(set(peers) - set(there)):
        console.print(f"{name}: skipped, not installed; make peers")
    rows: list[Row] = []
    for net in nets:
        cpu_models.write_missing(cpu_nets.NETS[net], options.folder, options.peers, console.print)
        for kind in types if OWN in there else []:
            write_edge(net, kind, options)
        rows += compare(net, types, there, options, console)
        console.print(f"{net}: done")
    return rows


def listed(names: str, known: Iterable[str]) -> list[str]:
    chosen = names.split(",")
    if unknown := [n for n in chosen if n not in known]:
        raise SystemExit(f"{', '.join(unknown)}: not known; expected some of {', '.join(known)}")
    return chosen


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--nets", default=",".join(cpu_nets.NETS))
    made.add_argument("--types", default=",".join(TYPES))
    made.add_argument("--peers", default=",".join(FILES))
    made.add_argument("--isa", help="the only instruction sets that edgesdk may use")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--rounds", type=int, default=10)
    made.add_argument("--folder", type=Path, default=cpu_models.FOLDER, help="of the models")
    made.add_argument("--environments", type=Path, default=cpu_models.PEERS, help="of the peers")
    made.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the tables; cpu on a busy machine")
    made.add_argument("--layers", type=Path, metavar="MODEL", help="look into a .tflite, .onnx or .edge file instead")
    made.add_argument("--int4", action="store_true", help="compare int4 with int8 weights instead")
    made.add_argument("--json", type=Path)
    made.add_argument("--write", type=Path, help="a Markdown file whose tables are replaced")
    return made


def main() -> int:
    given = parser().parse_args()
    isa = tuple(given.isa.split(",")) if given.isa else None
    console = Console(width=170)
    if given.layers:
        head, found = cpu_layers.show(given.layers, board(isa), 10, console, given.json)
        if given.write:
            write(given.write, "--layers ", head, found)
        return 0
    if given.int4:
        found = [cpu_int4.show(board(isa).core.isa, given.rounds, console, given.json)]
        if given.write:
            write(given.write, "--int4 ", heading(machine(), given), found)
        return 0
    nets, types = listed(given.nets, cpu_nets.NETS), listed(given.types, TYPES)
    before = machine()
    with tempfile.TemporaryDirectory() as programs:
        folders = given.folder.resolve(), given.environments.absolute()
        options = Options(*folders, given.rounds, given.threads, isa, Path(programs))
        rows = bench(nets, types, listed(given.peers, FILES), options, console)
    shown_tables = [table for kind in types for table in tables(rows, kind, given.clock)]
    for table in shown_tables:
        console.print(table)
    if given.write:
        write(given.write, "", heading(before, given), shown_tables)
    if given.json:
        result = {
            "machine": before,
            "threads": given.threads,
            "rounds": given.rounds,
            "rows": [asdict(r) for r in rows],
        }
        given.json.write_text(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
