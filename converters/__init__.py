# SPDX-License-Identifier: Apache-2.0
"""Importers: a model file of another framework -> Graph. One file per framework."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph

# suffix -> module of this package with `load(path, input_shapes) -> Graph`
IMPORTERS = {".tflite": "tflite", ".onnx": "onnx"}


def load(path: Path, input_shapes: dict[str, tuple[int, ...]] | None = None) -> Graph:
    """Reads the model at `path` by its suffix. `input_shapes` fixes dynamic dimensions.

    Raises UsageError where the file is missing or malformed, Unsupported where it holds
    ops that edgesdk has not got (all of them listed at once).
    """
    path = Path(path)
    if path.suffix.lower() not in IMPORTERS:
        known = ", ".join(IMPORTERS)
        raise Unsupported(f"{path}: no importer for {path.suffix or 'a file without suffix'}; expected one of {known}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a model file")
    module = importlib.import_module(f"edgesdk.converters.{IMPORTERS[path.suffix.lower()]}")
    graph: Graph = module.load(path, input_shapes or {})
    return graph
