# SPDX-License-Identifier: Apache-2.0
"""The flow goes one way: a part of the package imports only parts of the lines above its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A part imports itself and the parts of earlier lines; parts of one line do not know each other.
LAYERS = (
    "errors",
    "ir",
    "library",
    "kernels",
    "boards images",
    "samples",
    "ops",
    "verify",
    "converters passes",
    "compress",
    "schedule",
    "placement",
    "memory",
    "search",
    "program",
    "counts",
    "counts_vectors",
    "counts_packed",
    "cost",
    "pareto",
    "advice memory_map",
    "plots",
    "histogram_plot",
    "runtime",
    "probe",
    "accuracy",
    "ptq",
    "toolchain",
    "measured",
    "firmware",
    "linux wasm",
    "runners meters export",
    "describe dump profile validate",
    "report html",
    "accuracy_page",
    "flow doctor",
    "tuning",
    "options",
    "cli",
    "__init__",
)
LEVEL = {part: level for level, line in enumerate(LAYERS) for part in line.split()}

# Extras: imported only inside the function that needs them.
EXTRAS = {
    "torch",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "tflite_micro",
    "ai_edge_litert",
    "sklearn",
    "ziglang",
    "pyocd",
    "wasmtime",
    "PIL",
}
# From the repository's root these names give second copies of the package's modules.
OTHER_NAMES = {"sdk", "converters", "boards", "apps"}


def sources() -> dict[Path, tuple[str, ...]]:
    """File -> its module's name below edgesdk, one word per level."""
    folders = {ROOT / "sdk" / "edgesdk": (), ROOT / "converters": ("converters",), ROOT / "boards": ("boards",)}
    return {
        path: prefix + tuple(p for p in path.relative_to(folder).with_suffix("").parts if p != "__init__")
        for folder, prefix in folders.items()
        for path in sorted(folder.rglob("*.py"))
    }


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import that runs, and whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside
        elif _is_for_types(child):
            continue
        else:
            yield from imports(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imported(node: ast.Import | ast.ImportFrom, module: tuple[str, ...]) -> list[str]:
    """Dotted names of what the statement imports."""
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if node.level:
        base = ".".join(("edgesdk", *module)[: len(module) + 1 - node.level])
        return [f"{base}.{node.module or a.name}" for a in node.names]
    return [f"{node.module}.{a.name}" for a in node.names]


def broken_rules(text: str, module: tuple[str, ...]) -> Iterator[str]:
    part = module[0] if module else "__init__"
    for node, inside in imports(ast.parse(text)):
        for name in imported(node, module):
            top, *rest = name.split(".")
            if top in OTHER_NAMES:
                yield f"line {node.lineno}: import edgesdk.{top}, not {top}"
            if top in EXTRAS and not inside:
                yield f"line {node.lineno}: {top} is an extra; import it inside the function that needs it"
            if top == "edgesdk" and rest and rest[0] in LEVEL and rest[0] != part and LEVEL[rest[0]] >= LEVEL[part]:
                yield f"line {node.lineno}: {part} may not import {rest[0]}, which comes later in LAYERS"


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    module = sources()[path]
    part = module[0] if module else "__init__"
    assert part in LEVEL, f"{part} is new: give it a place in LAYERS"
    assert list(broken_rules(path.read_text(), module)) == []


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("from edgesdk.schedule import schedule", ("ops", "conv2d")),
        ("def f():\n    from edgesdk import program", ("memory",)),
        ("import edgesdk.cli", ("report",)),
        ("from ..flow import convert", ("runners", "host")),
        ("import onnx", ("converters", "onnx")),
        ("from converters import load", ("cli",)),
    ],
)
def test_a_wrong_import_is_found(text: str, module: tuple[str, ...]) -> None:
    assert list(broken_rules(text, module))


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("from edgesdk.errors import UsageError", ("ops", "conv2d")),
        ("def load():\n    import onnx", ("converters", "onnx")),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edgesdk import cli", ("ops",)),
        ("from .layout import axes", ("converters", "onnx")),
    ],
)
def test_a_right_import_passes(text: str, module: tuple[str, ...]) -> None:
    assert list(broken_rules(text, module)) == []
