# SPDX-License-Identifier: Apache-2.0
"""Many programs in one process of an emulated Linux core: what each of them makes of its inputs (linux_models.c)."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
import numpy as np
import pytest
from hypothesis.strategies import SearchStrategy
from test_kernels import drawn

from edgesdk import boards, linux, memory, ops, program, schedule, toolchain
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node
from edgesdk.kernels import Kernel

SOURCE = Path(__file__).with_name("linux_models.c")
CODES = {2: "it wrote before its arena", 4: "it trapped", 5: "no memory"}


@dataclass(frozen=True)
class Processor:
    """What QEMU's user mode emulates, and the core of cores.toml whose kernels are chosen for it."""

    machine: str
    core: str
    program: str = "qemu-aarch64"

    @property
    def command(self) -> list[str]:
        return [self.program, "-cpu", self.machine] if self.machine else [self.program]


def missing(processor: Processor) -> str:
    """Why programs for it cannot be run here; empty where they can."""
    if shutil.which(processor.program) is None:
        return f"{processor.program} is not installed"
    return "" if toolchain.command("zig") else "ziglang is not installed"


def needs(processor: Processor) -> None:
    if missing(processor):
        pytest.skip(missing(processor))


@dataclass(frozen=True)
class Case:
    """A program of one node, the name of its kernel, and its inputs one after another."""

    kernel: str
    node: Node
    arrays: list[np.ndarray]
    data: bytes
    given: bytes

    def record(self) -> bytes:
        head = struct.pack("<4I", len(self.data), len(self.given), 0, 0)
        return head + b"".join(part + bytes(-len(part) % program.ALIGN) for part in (self.data, self.given))


def cases(
    nodes: SearchStrategy,  # type: ignore[type-arg]
    isa: Sequence[str],
    n: int,
    kernel: Kernel | None = None,
) -> Iterator[Case]:
    """Programs of random nodes, with the kernels that a core with these instruction sets chooses, or with this one."""
    for node, arrays in drawn(nodes, n):
        inputs = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v is not None and v.data is None]
        graph = Graph("one node", [v for v, _ in inputs], [node.output], [node])
        try:
            chosen = schedule.schedule(graph, isa)
        except Unsupported:  # sums that could leave their type
            continue
        if kernel is not None and not ops.fits(node, kernel):
            continue
        if kernel is not None:
            chosen.steps[:] = [schedule.encode(node, kernel)]
        data = program.write(program.assemble(chosen, memory.plan(chosen)))
        given = b"".join(np.ascontiguousarray(a).tobytes() for _, a in inputs)
        yield Case(chosen.steps[0].kernel.name, node, arrays, data, given)


def answers(all_cases: Sequence[Case], processor: Processor, folder: Path) -> Iterator[tuple[int, bytes]]:
    """The code and the first output of each program."""
    binary = linux.build_program(boards.cores()[processor.core], "linux-models", [SOURCE])
    records = folder / "records"
    records.write_bytes(b"".join(case.record() for case in all_cases))
    done = linux.execute([*processor.command, str(binary), str(records)])
    assert done.returncode == 0, done.stderr.decode()
    at = 0
    while at < len(done.stdout):
        code, n = struct.unpack_from("<iI", done.stdout, at)
        yield code, done.stdout[at + 8 : at + 8 + n]
        at += 8 + n


def difference(case: Case, code: int, raw: bytes) -> str:
    """What is wrong with an answer; empty where nothing is."""
    what = f"{case.kernel}: {[v.shape for v in case.node.inputs if v is not None]} {case.node.attrs}"
    if code:
        return f"{what}: {CODES.get(code, f'error {code}')}"
    expected = ops.module(case.node.op).reference(case.node, case.arrays)[0]
    got = np.frombuffer(raw, expected.dtype).reshape(expected.shape)
    try:
        harness.compare(case.kernel, got, expected, harness.magnitude(case.node, case.arrays))
    except AssertionError as error:
        return f"{what}: {error}"
    return ""


def wrong(all_cases: Sequence[Case], processor: Processor, folder: Path) -> list[str]:
    """Every program that does not give what its reference gives."""
    said = list(answers(all_cases, processor, folder))
    assert len(said) == len(all_cases)
    return [d for case, answer in zip(all_cases, said, strict=True) if (d := difference(case, *answer))]
