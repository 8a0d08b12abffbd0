# SPDX-License-Identifier: Apache-2.0
"""The tools of runtime_c: one-file build, kernel section of FORMAT.md, size report."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgesdk import kernels, toolchain

ROOT = Path(__file__).resolve().parents[2] / "runtime_c"
WARNINGS = "-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror".split()
USED = "ERT_KERNEL(0x0301, fully_connected, s8s8, 1x4, c, 0)\n"

PROGRAM = """#include "ert.h"
int main(void) {
  static char file[64], arena[64];
  ert_model m;
  ert_session s;
  return ert_load(&m, file, sizeof file) || ert_begin(&s, &m, arena, sizeof arena) || ert_run(&s);
}
"""


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def amalgamate(folder: Path, used: str | None = None) -> Path:
    code, header = tool("amalgamate").amalgamate(used=used)
    (folder / "ert.c").write_text(code)
    (folder / "ert.h").write_text(header)
    return folder / "ert.c"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("define", ["-DERT_INTROSPECT", "-DNDEBUG"])
def test_one_file_compiles_without_warnings(tmp_path: Path, compiler: str, define: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    subprocess.run([compiler, *WARNINGS, "-fsyntax-only", define, amalgamate(tmp_path)], check=True)


@pytest.mark.parametrize("target", [["aarch64-linux-musl"], ["arm-linux-musleabihf", "-mcpu=cortex_a9"]])
def test_one_file_compiles_for_arm(tmp_path: Path, target: list[str]) -> None:
    """Its vector kernels are empty on other hosts, where nothing sees that two of them use one name."""
    zig = toolchain.command("zig")
    if zig is None:
        pytest.skip("ziglang is not installed")
    flags = ["-target", *target, *WARNINGS, "-O0", "-fno-sanitize=undefined"]
    subprocess.run([*zig, *flags, "-c", amalgamate(tmp_path), "-o", tmp_path / "ert.o"], check=True)


def test_one_file_keeps_used_rows_only(tmp_path: Path) -> None:
    compiler = shutil.which("clang") or shutil.which("gcc")
    if compiler is None or shutil.which("nm") is None:
        pytest.skip("no C compiler")
    (tmp_path / "main.c").write_text(PROGRAM)
    flags = ["-std=c99", "-O1", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    source = amalgamate(tmp_path, USED)
    subprocess.run([compiler, *flags, source, tmp_path / "main.c", "-o", tmp_path / "main"], check=True)
    symbols = subprocess.run(["nm", tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    assert "ert_fully_connected_s8s8_1x4__c" in symbols and "ert_conv2d_s8s8" not in symbols


def test_format_document_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "list_params.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_documented_words_are_those_of_the_library() -> None:
    known = tool("list_params").structs(tool("list_params").headers())
    for k in kernels.table():
        assert len(known[tool("list_params").params_name(k.op, k.types, k.layout)]) == k.n_params, k.name


def test_size_report_counts_every_kernel(tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    report = tmp_path / "sizes.json"
    command = [sys.executable, ROOT / "tools" / "size_report.py", "--core", "cortex-m4", "--json", report]
    subprocess.run(command, check=True, capture_output=True)
    sizes = json.loads(report.read_text())["cortex-m4"]
    assert {k.name for k in kernels.table() if k.isa == "c"} <= set(sizes["kernels"])
    assert all(0 < k["code_bytes"] < 8000 and 0 <= k["stack_bytes"] < 1000 for k in sizes["kernels"].values())
