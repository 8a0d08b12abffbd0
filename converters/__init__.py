# SPDX-License-Identifier: Apache-2.0
"""Importers: a model file of another framework -> Graph. One file per framework."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph

# suffix -> module of this package with `load(path, input_shapes) -> Graph`
IMPORTERS = {".tflite": "tflite", ".onnx": "onnx", ".pt2": "torch"}
# What these hold is code or bare weights, not a model.
NO_MODELS = {".pt", ".pth", ".ckpt", ".bin", ".safetensors"}


def load(model: Any, input_shapes: Mapping[str, tuple[int, ...]] | None = None, example_inputs: Any = None) -> Graph:
    """Reads a model file by its suffix, or takes a PyTorch module or ExportedProgram as it is.

    `input_shapes` fixes dynamic dimensions, a module needs `example_inputs`. Raises UsageError where
    the file is missing or malformed, Unsupported where it holds ops that edgesdk has not got (all of
    them listed at once).
    """
    shapes = dict(input_shapes or {})
    if hasattr(model, "edge_graph"):  # a prepared model of compress/torch knows its graph
        return model.edge_graph()
    if not isinstance(model, str | Path):
        importer: Any = importlib.import_module(f"{__name__}.torch")
        return importer.from_object(model, example_inputs, shapes)
    path = Path(model)
    if path.suffix.lower() not in IMPORTERS:
        raise Unsupported(f"{path}: no importer for {path.suffix or 'a file without suffix'}; {advice(path)}")
    if example_inputs is not None:
        raise UsageError(f"{path}: example_inputs are for modules; give input shapes, or leave them out")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a model file")
    importer = importlib.import_module(f"{__name__}.{IMPORTERS[path.suffix.lower()]}")
    return importer.load(path, shapes)


def advice(path: Path) -> str:
    if path.suffix.lower() in NO_MODELS:
        return "expected a .pt2 file: torch.export.save(torch.export.export(model.eval(), example_inputs), 'model.pt2')"
    return f"expected one of {', '.join(IMPORTERS)}"
