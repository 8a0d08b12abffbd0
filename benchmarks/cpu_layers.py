# SPDX-License-Identifier: Apache-2.0
"""Where the time of a model goes on this machine, and what bounds each layer.

    python benchmarks/cpu.py --layers MODEL [--isa LEVEL,...] [--json OUT] [--write MARKDOWN]

MODEL is a .tflite, .onnx or .edge file. A layer cannot be faster than its products at the machine's peak, nor than its
bytes (inputs, weights, output, each once) at the bandwidth of a buffer of as many bytes that is read again and again.
Both peaks are measured by peaks.c, compiled for this machine. `of bound` is the longer of these two times, divided by
the time that was taken. Needs cc.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import convert, kernels, program, runtime
from edgesdk.boards import Board
from edgesdk.library import library

HERE = Path(__file__).parent
INCLUDE = HERE.parent / "runtime_c" / "include"
ROUNDS, ROUND_MS = 7, 100.0


@dataclass(frozen=True)
class Peaks:
    """Products and bytes per second of one thread."""

    float32: float
    int8: float
    int8_by: str
    read: list[tuple[int, float]]
    copy: list[tuple[int, float]]


@dataclass(frozen=True)
class Layer:
    """`bound_us` is the least time by products or bytes, `bound` which of them."""

    source: str
    op: str
    kernel: str
    us: float
    macs: int
    bytes: int
    products_us: float
    bytes_us: float

    @property
    def bound_us(self) -> float:
        return max(self.products_us, self.bytes_us)

    @property
    def bound(self) -> str:
        return "products" if self.products_us >= self.bytes_us else "bytes"


class _Times(ctypes.Structure):
    _fields_ = [("begun", ctypes.c_int64), ("ns", ctypes.c_void_p)]


def compiled(name: str, folder: Path, *flags: str) -> Path:
    target = folder / name
    command = ["cc", "-std=c99", "-O3", "-march=native", "-ffp-contract=fast", *flags, str(HERE / f"{name}.c")]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def measure_peaks() -> Peaks:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([compiled("peaks", Path(folder))], capture_output=True, text=True, check=True)
    return Peaks(**json.loads(done.stdout))


def bandwidth(rates: Sequence[tuple[int, float]], touched: int) -> float:
    """Of the smallest buffer that is as large."""
    return next((rate for size, rate in rates if size >= touched), rates[-1][1])


def step_times(session: runtime.Session, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Microseconds of every step: the lowest of the rounds' medians."""
    for memory, array in zip(session.inputs, inputs, strict=True):
        memory[...] = array
    with tempfile.TemporaryDirectory() as folder:
        hook = ctypes.CDLL(str(compiled("step_clock", Path(folder), "-shared", "-fPIC", f"-I{INCLUDE}"))).clock_step
        once = clocked(session, hook, inputs)
        runs = max(3, int(ROUND_MS * 1e3 / max(1.0, min(once().sum() for _ in range(3)))))
        return np.min([np.median([once() for _ in range(runs)], axis=0) for _ in range(ROUNDS)], axis=0)


def clocked(session: runtime.Session, hook: Any, inputs: Sequence[np.ndarray]) -> Any:
    ns = np.zeros(session.n_steps, np.int64)
    times = _Times(0, ns.ctypes.data)
    run = library().ert_run_hooked
    run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]

    def once() -> np.ndarray:
        for memory, array in zip(session.inputs, inputs, strict=True):
            memory[...] = array
        ns[:] = 0
        run(ctypes.byref(session._session), hook, ctypes.byref(times))
        return ns / 1e3

    return once


def inputs_for(session: runtime.Session) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal(x.shape) for x in session.inputs]
    return [
        (40 * d).astype(x.dtype) if x.dtype.kind == "i" else d.astype(x.dtype)
        for d, x in zip(drawn, session.inputs, strict=True)
    ]


def moved(step: program.StepRecord, info: dict[str, Any]) -> int:
    """Bytes of the step's inputs, weights and output."""
    views = [v for v in step.inputs if v.row_bytes]
    output = int(np.prod(info["shape"])) * np.dtype(info["dtype"]).itemsize
    return sum(v.rows * v.row_bytes for v in views) * step.batch + info["weights_bytes"] + output


def layers(data: bytes, peaks: Peaks) -> list[Layer]:
    read, session = program.read(data), runtime.open_session(data)
    times = step_times(session, inputs_for(session))
    return [
        layer(step, info, float(us), peaks)
        for step, info, us in zip(read.steps, read.metadata["steps"], times, strict=True)
    ]


def layer(step: program.StepRecord, info: dict[str, Any], us: float, peaks: Peaks) -> Layer:
    kernel = kernels.by_number(step.kernel)
    peak = peaks.float32 if info["dtype"].startswith("float") else peaks.int8
    size = moved(step, info)
    name = kernel.name if kernel else str(step.kernel)
    bytes_us = size / bandwidth(peaks.read, size) * 1e6
    return Layer(info["source"], info["op"], name, us, info["macs"], size, info["macs"] / peak * 1e6, bytes_us)


def heading(found: list[Layer], peaks: Peaks) -> str:
    total, bound = sum(x.us for x in found), sum(x.bound_us for x in found)
    return (
        f"{total:,.1f} us in {len(found)} steps, the bounds of all together {bound:,.1f} us ({bound / total:.0%})\n"
        f"peaks: {peaks.float32 / 1e9:.0f} G products/s of float32, {peaks.int8 / 1e9:.0f} of int8 ({peaks.int8_by}); "
        f"read GB/s: " + ", ".join(f"{rate / 1e9:.0f} in {size >> 10} kB" for size, rate in peaks.read)
    )


def by_op(found: list[Layer]) -> Table:
    table = Table("op", "steps", "us", "share", "of bound", title="by op")
    ops = sorted({x.op for x in found}, key=lambda op: -sum(x.us for x in found if x.op == op))
    for op in ops:
        mine = [x for x in found if x.op == op]
        us = sum(x.us for x in mine)
        part = sum(x.bound_us for x in mine) / us
        table.add_row(op, str(len(mine)), f"{us:,.1f}", f"{us / sum(x.us for x in found):.1%}", f"{part:.0%}")
    return table


def worst(found: list[Layer], count: int) -> Table:
    """Those that lose the most time against their bound."""
    table = Table(
        "step", "kernel", "us", "share", "M products", "G/s", "of peak", "kB", "GB/s", "bound by", "of bound",
        title=f"the {min(count, len(found))} layers that lose most",
    )  # fmt: skip
    total = sum(x.us for x in found)
    for x in sorted(found, key=lambda x: x.bound_us - x.us)[:count]:
        table.add_row(
            x.source[-28:], x.kernel, f"{x.us:,.1f}", f"{x.us / total:.1%}",
            f"{x.macs / 1e6:.2f}", f"{x.macs / x.us / 1e3:.1f}", f"{x.products_us / x.us:.0%}",
            f"{x.bytes / 1e3:,.0f}", f"{x.bytes / x.us / 1e3:.1f}", x.bound, f"{x.bound_us / x.us:.0%}",
        )  # fmt: skip
    return table


def edge(model: Path, board: Board) -> bytes:
    return model.read_bytes() if model.suffix == ".edge" else convert(str(model), board).data


def show(model: Path, board: Board, count: int, console: Console, to: Path | None = None) -> tuple[str, list[Table]]:
    """What was printed: a heading, and tables."""
    peaks = measure_peaks()
    found = layers(edge(model, board), peaks)
    head, tables = f"{model.name}: {heading(found, peaks)}", [by_op(found), worst(found, count)]
    for part in (head, *tables):
        console.print(part)
    if to:
        rows = [{**asdict(x), "bound": x.bound, "bound_us": x.bound_us} for x in found]
        to.write_text(json.dumps({"model": model.name, "peaks": asdict(peaks), "layers": rows}, indent=1))
    return head, tables
