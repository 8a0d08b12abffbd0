# SPDX-License-Identifier: Apache-2.0
"""mcu_instructions.toml: what each model takes on each core. tests/boards/test_instructions.py fails where it grows;
`python benchmarks/mcu.py --write` renews it. The figures hold for one version of the compiler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgesdk import boards, toolchain

FILE = Path(__file__).parent / "mcu_instructions.toml"
ALLOWED = {"instructions": 1.01, "code": 1.02, "arena": 1.0}  # times the figure in the file
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Instructions of one inference, bytes of code and of the arena; written by `python benchmarks/mcu.py --write`.
"""


def compiler() -> str:
    """The version that the figures depend on."""
    return toolchain.find(boards.load("mps2_an386").core).version


def figures(ours: dict[str, Any]) -> dict[str, int]:
    return {"instructions": ours["instructions"], "code": ours["code"], "arena": ours["planned_arena"]}


def write(results: list[dict[str, Any]]) -> None:
    """Rows that were not measured stay as they are."""
    known = boards.read_toml(FILE) if FILE.exists() else {}
    known = known if known.get("compiler") == compiler() else {}
    tables = {k: v for k, v in known.items() if isinstance(v, dict)}
    for r in results:
        tables.setdefault(r["model"], {})[r["core"]] = figures(r["ours"])
    lines = [f'{HEADER}compiler = "{compiler()}"']
    for model, cores in tables.items():
        lines.append(f"\n[{model}]")
        for core, row in cores.items():
            lines.append(f"{core} = {{ {', '.join(f'{k} = {v}' for k, v in row.items())} }}")
    FILE.write_text("\n".join(lines) + "\n")


def grown(ours: dict[str, Any], known: dict[str, int]) -> Iterator[str]:
    """A sentence for each figure that is larger than the file allows."""
    for key, found in figures(ours).items():
        if found > known[key] * ALLOWED[key]:
            yield (
                f"{key}: {found:,}, expected at most {ALLOWED[key]} x {known[key]:,}; find what made it grow, or "
                "renew the file with `make bench-mcu` and --write and say why"
            )
