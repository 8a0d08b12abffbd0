# SPDX-License-Identifier: Apache-2.0
"""Models x emulated cores: instructions, arena, stack, code, file and load beside TFLite Micro.

    python benchmarks/mcu.py --models ../shared/models --inputs ../shared/data/mcu-parity [--json OUT]

Instructions are exact and repeatable. The peer's figures come from mcu_peers.toml.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import boards, flow, runners
from edgesdk.errors import DoesNotFit

BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547")
HERE = Path(__file__).parent


def measure(model: Path, sample: Path, board_id: str) -> dict[str, Any]:
    """One row; {"refused": sentence} where the board is too small."""
    board = boards.load(board_id)
    try:
        converted = flow.convert(model, board)
        with runners.open(board, converted.data) as session:
            raw = np.fromfile(sample, np.int8).reshape(converted.program.inputs[0].shape)
            output = session.run([raw])[0].tobytes().hex()
            m = session.measure([raw], 2)
    except DoesNotFit as error:
        return {"refused": str(error)}
    return {
        "instructions": int(m.steady[0]),
        "repeatable": len(set(m.steady)) == 1,
        "arena": m.arena_bytes,
        "planned_arena": converted.plan.arena_bytes,
        "stack": m.stack_bytes,
        "code": m.code_bytes,
        "file": len(converted.data),
        "load": int(m.init),
        "output": output,
    }


def table(results: list[dict[str, Any]]) -> Table:
    columns = "model core instructions vs-ref vs-cmsis arena vs-ref bound stack code vs-ref load vs-ref".split()
    t = Table(*columns)
    for r in results:
        if "refused" in r["ours"]:
            t.add_row(r["model"], r["core"], r["ours"]["refused"], style="dim")
            continue
        o, ref, cmsis = r["ours"], r["reference"], r["cmsis_nn"]
        t.add_row(
            r["model"], r["core"], f"{o['instructions']:,}", ratio(o, ref, "instructions"),
            ratio(o, cmsis, "instructions"), f"{o['arena']:,}", ratio(o, ref, "arena"),
            f"{o['arena'] / r['lower_bound']:.3f}", f"{o['stack']:,}", f"{o['code']:,}", ratio(o, ref, "code"),
            f"{o['load']:,}", ratio(o, ref, "load"),
        )  # fmt: skip
    return t


def ratio(ours: dict[str, Any], peer: dict[str, Any] | None, key: str) -> str:
    return f"{ours[key] / peer[key]:.3f}" if peer else "-"


def file_sizes(models: Path) -> tuple[list[list[Any]], float]:
    """Every int8 .tflite under `models`: its bytes, the .edge bytes, the ratio; and the geometric mean."""
    rows = []
    for path in sorted(models.glob("*/*.tflite")):
        converted = flow.convert(path)
        if any(v.dtype == "int8" for n in converted.graph.nodes for v in n.outputs):
            source = path.stat().st_size
            rows.append([path.stem, source, len(converted.data), len(converted.data) / source])
    return rows, math.exp(sum(math.log(r[3]) for r in rows) / len(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peers = boards.read_toml(HERE / "mcu_peers.toml")
    results = []
    for name, peer in peers.items():
        for board in options.boards.split(","):
            core = boards.load(board).core.name
            ours = measure(options.models / peer["model"], options.inputs / peer["input"], board)
            print(f"{name} {board} done", file=sys.stderr)
            peer_rows = {k: peer[k].get(core) for k in ("reference", "cmsis_nn")}
            results.append({"model": name, "core": core, "ours": ours, "lower_bound": peer["lower_bound"], **peer_rows})
    console = Console(width=200)
    console.print(table(results))
    rows, mean = file_sizes(options.models)
    sizes = Table("model", ".tflite", ".edge", "ratio", title=f"file bytes, geometric mean {mean:.3f}")
    for r in rows:
        sizes.add_row(r[0], f"{r[1]:,}", f"{r[2]:,}", f"{r[3]:.3f}")
    console.print(sizes)
    outputs = {n: {r["ours"]["output"] for r in results if r["model"] == n and "output" in r["ours"]} for n in peers}
    same = all(len(o) == 1 for o in outputs.values())
    console.print(f"same bytes on all cores: {same}")
    if options.json:
        options.json.write_text(json.dumps({"rows": results, "files": rows, "file_ratio": mean}, indent=1))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
