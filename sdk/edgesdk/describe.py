# SPDX-License-Identifier: Apache-2.0
"""A .edge file or a source model as the JSON object of `edgesdk inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesdk import converters, kernels, ops, program
from edgesdk.ir import Graph, Value
from edgesdk.program import Program, Tensor


def describe(path: Path) -> dict[str, Any]:
    """Raises UsageError for files that cannot be read."""
    if path.suffix.lower() in converters.IMPORTERS:
        return of_graph(converters.load(path))
    data = program.read_file(path)
    return of_program(program.read(data), len(data))


def of_graph(graph: Graph) -> dict[str, Any]:
    return {
        "header": {"format": graph.metadata.get("source_format", "model"), "name": graph.name},
        "inputs": [_value(v) for v in graph.inputs],
        "outputs": [_value(v) for v in graph.outputs],
        "stages": [],
        "steps": [
            {
                "op": n.op,
                "kernel": None,
                "shapes": [list(v.shape) for v in n.outputs],
                "dtypes": [v.dtype for v in n.outputs],
                "sparsity": None,
                "weights_bytes": sum(v.n_bytes for v in n.inputs if v is not None and v.data is not None),
                "macs": ops.macs(n),
                "source": n.source,
            }
            for n in graph.nodes
        ],
    }


def _value(v: Value) -> dict[str, Any]:
    scale, zero = (v.scale, v.zero_point) if v.quant is not None else (0.0, 0)
    return {"name": v.name, "shape": list(v.shape), "dtype": v.dtype, "scale": scale, "zero_point": zero}


def of_program(p: Program, file_bytes: int) -> dict[str, Any]:
    infos = p.metadata.get("steps", [{}] * len(p.steps))
    return {
        "header": {
            "format": f"edge {program.MAJOR}.{program.MINOR}",
            "name": p.metadata.get("name", ""),
            "file_bytes": file_bytes,
            "arena_bytes": p.arena_bytes,
            "weights_bytes": len(p.weights),
            "board": p.metadata.get("board", ""),
        },
        "inputs": _tensors(p.inputs, p.metadata.get("input_layouts", {})),
        "outputs": _tensors(p.outputs, p.metadata.get("output_layouts", {})),
        "stages": [asdict(s) for s in p.stages],
        "steps": [_step(s.kernel, info) for s, info in zip(p.steps, infos, strict=True)],
    }


def _tensors(tensors: tuple[Tensor, ...], layouts: dict[str, str]) -> list[dict[str, Any]]:
    """`source_layout` is that of the source model, which .npz files follow; `shape` is the program's own."""
    return [{**asdict(t), "source_layout": layouts.get(t.name, "NHWC")} for t in tensors]


def _step(number: int, info: dict[str, Any]) -> dict[str, Any]:
    kernel = kernels.by_number(number)
    return {
        "op": info.get("op", kernel.op if kernel else ""),
        "kernel": kernel.name if kernel else f"{number:#06x}",
        "shapes": [info.get("shape", [])],
        "dtypes": [info.get("dtype", "")],
        "sparsity": None,
        "weights_bytes": info.get("weights_bytes", 0),
        "macs": info.get("macs", 0),
        "source": info.get("source", ""),
    }
