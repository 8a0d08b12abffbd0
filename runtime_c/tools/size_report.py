# SPDX-License-Identifier: Apache-2.0
"""Code and stack bytes of every kernel, and of the whole runtime, per Arm core.

    python runtime_c/tools/size_report.py [--json sizes.json] [--core cortex-m4 ...] [--max-stack BYTES]

A kernel counts with every function that it calls (memcpy, memset and the compiler's own arithmetic library are left
out: they come with the toolchain). Its stack is the deepest chain of frames, which exists because nothing recurses.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")
PREFIX = "arm-none-eabi-"
FLAGS = "-std=c99 -O2 -ffreestanding -ffunction-sections -fdata-sections -fcallgraph-info=su".split()
KERNEL = re.compile(r"ert_\w+__(\w+)$")
NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes \((\w+)')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
LOADING = ("ert_load", "ert_check")


@dataclass
class Build:
    """Functions of one core's build. A static function is named file:function."""

    frames: dict[str, int] = field(default_factory=dict)
    code: dict[str, int] = field(default_factory=dict)
    calls: dict[str, set[str]] = field(default_factory=dict)
    text: int = 0
    data: int = 0


def sources() -> list[Path]:
    return sorted([*ROOT.glob("src/*.c"), *ROOT.glob("kernels/*.c"), *ROOT.glob("kernels/*/*_c.c")])


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compile_core(flags: list[str], folder: Path) -> Build:
    build = Build()
    includes = [f"-I{ROOT / d}" for d in ("include", "src", "kernels")]
    for source in sources():
        obj = folder / f"{source.stem}.o"
        run(f"{PREFIX}gcc", *flags, *FLAGS, *includes, "-c", str(source), "-o", str(obj))
        add_object(build, source, obj)
    return build


def add_object(build: Build, source: Path, obj: Path) -> None:
    graph = obj.with_suffix(".ci").read_text()
    for title, frame, kind in NODE.findall(graph):
        if kind != "static":
            raise SystemExit(f"{title}: its stack frame is {kind}; expected a fixed one (no arrays of variable length)")
        build.frames[title] = int(frame)
    for caller, callee in EDGE.findall(graph):
        build.calls.setdefault(caller, set()).add(callee)
    for line in run(f"{PREFIX}nm", "-S", str(obj)).splitlines():
        words = line.split()
        if len(words) == 4 and words[2] in "Tt":
            name = words[3] if words[2] == "T" else f"{source}:{words[3]}"
            build.code[name] = int(words[1], 16)
    text, data, bss = run(f"{PREFIX}size", str(obj)).splitlines()[1].split()[:3]
    build.text += int(text)
    build.data += int(data) + int(bss)


def deepest(build: Build, name: str, above: tuple[str, ...] = ()) -> int:
    """Stack bytes of the deepest call chain that starts at `name`."""
    if name in above:
        raise SystemExit(f"{name} calls itself through {' -> '.join(above)}; expected no recursion")
    below = (deepest(build, callee, (*above, name)) for callee in build.calls.get(name, ()))
    return build.frames.get(name, 0) + max(below, default=0)


def reachable(build: Build, name: str) -> set[str]:
    found, todo = set(), [name]
    while todo:
        at = todo.pop()
        if at not in found:
            found.add(at)
            todo += build.calls.get(at, ())
    return found


def measure(build: Build) -> dict[str, object]:
    """Kernels in alphabetical order; stack of the calls that a device makes."""
    names = sorted(n for n in build.code if KERNEL.match(n))
    kernels = {
        n: {"code_bytes": sum(build.code.get(f, 0) for f in reachable(build, n)), "stack_bytes": deepest(build, n)}
        for n in names
    }
    checks = max((deepest(build, n) for n in build.code if n.endswith("_check")), default=0)
    kernel_stack = max((k["stack_bytes"] for k in kernels.values()), default=0)
    # The kernel table is called through pointers, so the deepest kernel is added by hand.
    return {
        "kernels": kernels,
        "code_bytes": build.text,
        "data_bytes": build.data,
        "run_stack_bytes": deepest(build, "ert_run") + kernel_stack,
        "load_stack_bytes": max(deepest(build, n) for n in LOADING) + checks,
    }


def core_flags(path: Path) -> dict[str, list[str]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    table = tomllib.loads(path.read_text())
    return {core: table[core]["gcc"] for core in CORES}


def print_table(report: dict[str, dict]) -> None:  # type: ignore[type-arg]
    cores = list(report)
    names = sorted({k for r in report.values() for k in r["kernels"]})
    width = max((len(n) for n in names), default=10)
    print("code/stack bytes".ljust(width), *(c.removeprefix("cortex-").rjust(10) for c in cores))
    for n in names:
        cells = (report[c]["kernels"][n] for c in cores)
        print(n.ljust(width), *(f"{k['code_bytes']}/{k['stack_bytes']}".rjust(10) for k in cells))
    for key in ("code_bytes", "data_bytes", "run_stack_bytes", "load_stack_bytes"):
        print(f"all kernels: {key}".ljust(width), *(str(report[c][key]).rjust(10) for c in cores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the report to this file")
    parser.add_argument("--core", action="append", choices=CORES, help="only this core (may be repeated)")
    parser.add_argument("--cores", type=Path, default=ROOT.parent / "boards" / "cores.toml", help="compiler flags")
    parser.add_argument("--max-stack", type=int, help="fail where ert_run needs more stack than this on some core")
    options = parser.parse_args()
    flags, report = core_flags(options.cores), {}
    for core in options.core or CORES:
        with tempfile.TemporaryDirectory() as folder:
            report[core] = measure(compile_core(flags[core], Path(folder)))
    print_table(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    worst = max(int(r["run_stack_bytes"]) for r in report.values())  # type: ignore[call-overload]
    if options.max_stack is not None and worst > options.max_stack:
        raise SystemExit(f"ert_run needs {worst} bytes of stack; expected at most {options.max_stack}")


if __name__ == "__main__":
    main()
