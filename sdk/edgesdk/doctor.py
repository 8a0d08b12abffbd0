# SPDX-License-Identifier: Apache-2.0
"""What this machine has, and how to get what it lacks."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from typing import Any

from edgesdk import kernels, library
from edgesdk.errors import EdgeError

PROGRAMS = {
    "arm-none-eabi-gcc": "firmware for Cortex-M: apt-get install gcc-arm-none-eabi, or pip install ziglang",
    "qemu-system-arm": "emulated boards: apt-get install qemu-system-arm",
    "qemu-aarch64": "Raspberry Pi and Jetson boards on this machine: apt-get install qemu-user",
    "node": "the board wasm: apt-get install nodejs, or pip install wasmtime",
    "chromium": "the board browser unseen: apt-get install chromium, or let your own browser open its page",
}
MODULES = {
    "onnx": "ONNX models: pip install edgesdk[onnx]",
    "torch": "PyTorch models: pip install edgesdk[torch]",
    "ziglang": "programs for Linux, WebAssembly, firmware without arm-none-eabi-gcc: pip install edgesdk[zig]",
}


def _check(name: str, found: str | None, fix: str) -> dict[str, Any]:
    return {"name": name, "ok": found is not None, "found": found, "fix": None if found else fix}


def _program(name: str, fix: str) -> dict[str, Any]:
    path = shutil.which(name)
    if path is None:
        return _check(name, None, fix)
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    return _check(name, (told.splitlines() or [path])[0], fix)


def _module(name: str, fix: str) -> dict[str, Any]:
    if importlib.util.find_spec(name) is None:
        return _check(name, None, fix)
    from importlib.metadata import version

    return _check(name, version(name), fix)


def _library() -> dict[str, Any]:
    try:
        library.library()
        return _check("runtime library", f"{len(kernels.table())} kernels", "")
    except EdgeError as error:
        return _check("runtime library", None, str(error))


def matrix() -> list[dict[str, Any]]:
    """One row per op of the runtime: the types and instruction sets of its kernels."""
    found: dict[str, list[kernels.Kernel]] = {}
    for kernel in kernels.table():
        found.setdefault(kernel.op, []).append(kernel)
    return [
        {"op": op, "types": sorted({k.types for k in rows}), "isa": sorted({k.isa for k in rows})}
        for op, rows in sorted(found.items())
    ]


def operators() -> dict[str, list[str]]:
    """Operators of each kind of source model that its importer reads; some of ONNX on constants and shapes only."""
    from edgesdk.converters import onnx, onnx_constants, tflite, torch

    constant = set(onnx_constants.FOLDS) - set(onnx.RULES) | {"If"}
    return {
        "tflite": sorted(tflite.OPS),
        "onnx": sorted(onnx.RULES),
        "onnx_constant": sorted(constant),
        "torch": sorted(name for name in torch.RULES if not name.startswith("_")),
    }


def checks() -> list[dict[str, Any]]:
    """One row per thing: name, ok, what was found, how to get it."""
    return [
        _check("python", sys.version.split()[0], ""),
        _library(),
        *(_program(n, f) for n, f in PROGRAMS.items()),
        *(_module(n, f) for n, f in MODULES.items()),
    ]
