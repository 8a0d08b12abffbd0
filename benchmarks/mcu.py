# SPDX-License-Identifier: Apache-2.0
"""Models x emulated cores: instructions, arena, stack, code, file and load beside TFLite Micro and TinyEngine.

    python benchmarks/mcu.py --models ../shared/models --inputs ../shared/data/mcu-parity [--json OUT] [--twice]
    python benchmarks/mcu.py --models ../shared/models --write      renews mcu_instructions.toml

Instructions are exact and repeatable: `--twice` measures everything in a second emulator and fails where a figure
differs. The peers' figures and the bars come from mcu_peers.toml, the bounds of the layers from bounds.py.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import bounds
import numpy as np
import regression
from rich.console import Console
from rich.table import Table

from edgesdk import boards, flow, ops, runners
from edgesdk.errors import DoesNotFit, EdgeError

BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547")
HERE = Path(__file__).parent
PEERS = ("reference", "cmsis_nn", "tinyengine", "published")
DIGITS = HERE.parent / "apps" / "digits" / "digits.onnx"
FIGURES = ("instructions", "arena", "planned_arena", "stack", "code", "file", "load", "output")

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model with what it is converted and run with, and its table of mcu_peers.toml."""

    name: str
    path: Path
    sample: Path | None = None
    convert: Row = field(default_factory=dict)
    peers: Row = field(default_factory=dict)


def cases(models: Path | None, inputs: Path | None, only: str | None = None) -> list[Case]:
    """Those of mcu_peers.toml whose file is there, and the digit classifier of this repository."""
    found = [shared(name, peer, models, inputs) for name, peer in boards.read_toml(HERE / "mcu_peers.toml").items()]
    found.append(Case("digits", DIGITS, None, {"quantize": "int8", "calibration": digits(), "io": "int8"}))
    wanted = only.split(",") if only else [c.name for c in found]
    return [c for c in found if c.path.is_file() and c.name in wanted]


def shared(name: str, peer: Row, models: Path | None, inputs: Path | None) -> Case:
    path = (models or Path()) / peer["model"]
    sample = inputs / peer["input"] if inputs and "input" in peer else None
    return Case(name, path, sample, peer.get("convert", {}), peer)


def digits() -> Row:
    """Arrays in the range of the pixels. Instructions do not depend on what they show."""
    return {"image": np.random.default_rng(0).uniform(0, 1, (8, 8, 8, 1)).astype(np.float32)}


def measure(case: Case, board_id: str) -> Row:
    """One row; {"refused": sentence} where the board is too small."""
    board = boards.load(board_id)
    try:
        converted = flow.convert(case.path, board, **case.convert)
        with runners.open(board, converted.data) as session:
            raw = read_input(converted.program.inputs[0], case.sample)
            output = session.run([raw])[0].tobytes().hex()
            m = session.measure([raw], 0)
    except DoesNotFit as error:
        return {"refused": str(error)}
    return {
        "instructions": int(m.first),
        "repeatable": m.first == m.warm_up,
        "arena": m.arena_bytes,
        "planned_arena": converted.plan.arena_bytes,
        "stack": m.stack_bytes,
        "code": m.code_bytes,
        "file": len(converted.data),
        "load": int(m.init),
        "output": output,
        "macs": sum(ops.macs(n) for n in converted.source.nodes),
        "live_macs": sum(ops.macs(n) for n in converted.graph.nodes),
        "layers": bounds.layers(converted.schedule, m.steps, board.core.isa[0]),
    }


def read_input(tensor: Any, sample: Path | None) -> np.ndarray:
    """The model's sample; pseudo-random bytes where there is none."""
    if sample is None:
        return np.random.default_rng(0).integers(-128, 128, tensor.shape).astype(tensor.dtype)
    return np.fromfile(sample, tensor.dtype).reshape(tensor.shape)


def measure_all(models: list[Case], board_ids: list[str], jobs: int) -> list[Row]:
    """A row for each model and board, in this order."""
    with ThreadPoolExecutor(jobs) as workers:
        return list(workers.map(lambda job: row(*job), product(models, board_ids)))


def row(case: Case, board: str) -> Row:
    core, ours = boards.load(board).core.name, measure(case, board)
    print(f"{case.name} {board} done", file=sys.stderr)
    beside = {k: case.peers.get(k, {}).get(core) for k in (*PEERS, "bars")}
    return {"model": case.name, "core": core, "ours": ours, "lower_bound": case.peers.get("lower_bound"), **beside}


def ratio(ours: Row, peer: Row | None, key: str, of: str | None = None) -> str:
    found = (peer or {}).get(of or key)
    return f"{ours[key] / found:.3f}" if found else ""


def against_bar(r: Row, key: str, ours: str | None = None) -> str:
    bar = (r["bars"] or {}).get(key)
    if bar is None:
        return ""
    passed = r["ours"][ours or key] <= bar
    return f"{bar:,} {'[green]pass[/]' if passed else '[red]miss[/]'}"


def speed(results: list[Row]) -> Table:
    t = Table(*"model core instructions bar x-cmsis x-ref x-tiny x-cycles /MAC /live stack load".split(), title="speed")
    for r in results:
        o = r["ours"]
        cells = [ratio(o, r[k], "instructions") for k in ("cmsis_nn", "reference", "tinyengine")]
        t.add_row(
            r["model"], r["core"], f"{o['instructions']:,}", against_bar(r, "instructions"), *cells,
            ratio(o, r["published"], "instructions", "cycles"), f"{o['instructions'] / o['macs']:.2f}",
            f"{o['instructions'] / o['live_macs']:.2f}", f"{o['stack']:,}", f"{o['load']:,}",
        )  # fmt: skip
    return t


def sizes(results: list[Row]) -> Table:
    columns = "model core arena over-bound bar x-cmsis x-ref x-tiny code bar x-cmsis x-int8 x-ref x-tiny"
    t = Table(*columns.split(), title="bytes")
    for r in results:
        o, cmsis = r["ours"], r["cmsis_nn"]
        arena = [ratio(o, p, "planned_arena", "arena") for p in (cmsis, r["reference"], r["tinyengine"])]
        code = [ratio(o, p, "code", k) for p, k in ((cmsis, "code"), (cmsis, "code_int8"), (r["reference"], "code"))]
        t.add_row(
            r["model"], r["core"], f"{o['planned_arena']:,}", over_bound(r),
            against_bar(r, "arena", "planned_arena"), *arena, f"{o['code']:,}", against_bar(r, "code"), *code,
            ratio(o, r["tinyengine"], "code"),
        )  # fmt: skip
    return t


def over_bound(r: Row) -> str:
    return f"{r['ours']['planned_arena'] - r['lower_bound']:,}" if r["lower_bound"] else ""


def file_sizes(models: Path) -> tuple[list[list[Any]], float]:
    """Every int8 .tflite under `models`: its bytes, the .edge bytes, the ratio; and the geometric mean."""
    rows = []
    for path in sorted(models.glob("*/*.tflite")):
        try:
            converted = flow.convert(path)
        except EdgeError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        if any(v.dtype == "int8" for n in converted.graph.nodes for v in n.outputs):
            source = path.stat().st_size
            rows.append([path.stem, source, len(converted.data), len(converted.data) / source])
    return rows, math.exp(sum(math.log(r[3]) for r in rows) / len(rows))


def file_table(rows: list[list[Any]], mean: float) -> Table:
    t = Table("model", ".tflite", ".edge", "ratio", title=f"file bytes, geometric mean {mean:.3f}")
    for r in rows:
        t.add_row(r[0], f"{r[1]:,}", f"{r[2]:,}", f"{r[3]:.3f}")
    return t


def faults(results: list[Row], expected: Row) -> Iterator[str]:
    """What must not be: other bytes than TFLite Micro's or than another core's, figures that do not repeat."""
    for r in results:
        name, o = f"{r['model']} on {r['core']}", r["ours"]
        wanted = expected.get(r["model"], {}).get("tflm_output_hex")
        if wanted is not None and o["output"] != wanted:
            yield f"{name}: output {o['output']}, TFLite Micro gives {wanted}"
        if not o["repeatable"]:
            yield f"{name}: two runs took different numbers of instructions"
    for name in {r["model"] for r in results}:
        if len({r["ours"]["output"] for r in results if r["model"] == name}) != 1:
            yield f"{name}: the cores give different bytes"


def changed(once: list[Row], again: list[Row]) -> Iterator[str]:
    for a, b in zip(once, again, strict=True):
        for key in FIGURES:
            if a["ours"].get(key) != b["ours"].get(key):
                yield f"{a['model']} on {a['core']}: {key} {a['ours'].get(key)}, then {b['ours'].get(key)}"


def options_of(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, help="folder of the samples; pseudo-random ones without it")
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--only", help="models, with commas")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("--write", action="store_true", help="renew mcu_instructions.toml")
    parser.add_argument(
        "--layers", type=int, default=10, help="how many layers of each core to set beside their bounds"
    )
    parser.add_argument("--files", action="store_true", help="also set the bytes of all models' files side by side")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args(argv)


def main() -> int:
    options = options_of()
    jobs = cases(options.models, options.inputs, options.only), options.boards.split(","), options.jobs
    rows = measure_all(*jobs)
    again = measure_all(*jobs) if options.twice else rows
    results = [r for r in rows if "refused" not in r["ours"]]
    for r in rows:
        if "refused" in r["ours"]:
            print(f"{r['model']} on {r['core']}: {r['ours']['refused']}")
    show(results, options)
    files, mean = file_sizes(options.models) if options.files else ([], None)
    if options.files:
        Console(width=200).print(file_table(files, mean or 0))
    known = options.inputs / "expected_outputs.json" if options.inputs else None
    wrong = [*faults(results, json.loads(known.read_text()) if known else {}), *changed(rows, again)]
    print("\n".join(wrong) or f"TFLite Micro's bytes on all cores{', twice the same figures' * options.twice}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "files": files, "file_ratio": mean}, indent=1))
    if options.write:
        regression.write(results)
    return 1 if wrong else 0


def show(results: list[Row], options: argparse.Namespace) -> None:
    console = Console(width=200)
    console.print(speed(results))
    console.print(sizes(results))
    for core in dict.fromkeys(r["core"] for r in results):
        layers = [{"model": r["model"], **x} for r in results if r["core"] == core for x in r["ours"]["layers"]]
        console.print(bounds.table(core, layers, options.layers))


if __name__ == "__main__":
    sys.exit(main())
