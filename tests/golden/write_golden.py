# SPDX-License-Identifier: Apache-2.0
"""Pins the programs of a release: python tests/golden/write_golden.py

Run it once per format version, into a new folder; files of earlier versions stay as they are, because every later
runtime of the same major version must still run them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "unit"))

import small_models  # noqa: E402

from edgesdk import program, runtime  # noqa: E402


def main() -> None:
    folder = HERE / f"v{program.MAJOR}.{program.MINOR}"
    folder.mkdir(exist_ok=True)
    outputs = {}
    for name, graph in small_models.graphs().items():
        for form in small_models.forms(name):
            data = small_models.compiled(graph, form=form)
            (folder / f"{name}.{form}.edge").write_bytes(data)
        results = runtime.run(
            runtime.open_session(small_models.compiled(graph), pack=False), small_models.inputs(graph)
        )
        outputs[name] = [np.ravel(r).tolist() for r in results]
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(outputs.items()))
    (folder / "outputs.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
