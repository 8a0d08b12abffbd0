# SPDX-License-Identifier: Apache-2.0
"""Writes small real .edge files for the fuzzer to start from: python tests/fuzz/write_seeds.py DIR"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import small_models  # noqa: E402


def main(folder: Path) -> None:
    for name, graph in small_models.graphs().items():
        for form in small_models.forms(name):
            (folder / f"{name}.{form}.edge").write_bytes(small_models.compiled(graph, form=form))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
