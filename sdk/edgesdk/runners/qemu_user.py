# SPDX-License-Identifier: Apache-2.0
"""Runs a program for a Linux core on this machine: ert-run in QEMU's user mode, asked over its standard input.

What is measured are executed instructions, counted by a plugin; the system's are not among them.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgesdk import linux, program
from edgesdk.boards import Board
from edgesdk.errors import DeviceError, Unsupported, UsageError
from edgesdk.program import Program
from edgesdk.runners import Measurement
from edgesdk.runtime import LoadError, joined_steps

ANSWER_S = 600.0
HELLO = struct.Struct("<4Q3I")
COST = struct.Struct("<2Q")


@dataclass(frozen=True)
class Process:
    """A running ert-run --serve; what it says on stderr lands in a file."""

    name: str
    child: subprocess.Popen[bytes]
    said: IO[bytes]


def _gone(process: Process, what: str) -> DeviceError:
    process.child.kill()
    process.child.wait()
    process.said.seek(0)
    lines = process.said.read().decode(errors="replace").strip().splitlines()
    why = lines[-1] if lines else f"exit code {process.child.returncode}"
    return DeviceError(f"{process.name}: {what} ({why}); run it again, and report this with the model")


def receive(process: Process, n_bytes: int) -> bytes:
    """The next bytes of an answer."""
    assert process.child.stdout
    found, deadline = bytearray(), time.monotonic() + ANSWER_S
    while len(found) < n_bytes:
        ready, _, _ = select.select([process.child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise _gone(process, f"no answer within {ANSWER_S:.0f} s")
        chunk = os.read(process.child.stdout.fileno(), n_bytes - len(found))
        if not chunk:
            raise _gone(process, "the program ended early")
        found += chunk
    return bytes(found)


def _number(process: Process) -> int:
    return int(struct.unpack("<i", receive(process, 4))[0])


def send(process: Process, data: bytes) -> None:
    assert process.child.stdin
    try:
        process.child.stdin.write(data)
        process.child.stdin.flush()
    except OSError as error:
        raise _gone(process, "the program ended early") from error


@dataclass(frozen=True)
class Hello:
    load: int
    empty: int
    empty_call: int
    arena_bytes: int
    input_bytes: int
    output_bytes: int
    steps: int


@dataclass(frozen=True)
class UserModeSession:
    process: Process
    program: Program
    hello: Hello
    context: dict[str, Any]
    threads: int = 1

    def reset(self) -> None:
        send(self.process, b"z")
        self._check(_number(self.process))

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._run(inputs)[1]

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        send(self.process, b"s" + self._packed(inputs))
        chunks: list[list[bytes]] = [[] for _ in range(self.hello.steps)]
        while (step := _number(self.process)) >= 0:
            chunks[step].append(receive(self.process, _number(self.process)))
        self._check(_number(self.process))
        return joined_steps(self.program, chunks)

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        """Costs without that of reading the counter. One run warms up; the steps are of one run of their own."""
        if self.threads > 1:
            raise Unsupported("instructions are counted of one thread; leave --threads out, or profile on the device")
        first, warm_up, *steady = (float(self._run(inputs)[0]) for _ in range(runs + 2))
        return Measurement(
            clock="instructions",
            init=float(self.hello.load - self.hello.empty),
            first=first,
            warm_up=warm_up,
            steady=steady,
            steps=self.step_costs(inputs),
            arena_bytes=self.hello.arena_bytes,
            context=self.context,
            kernels=self._kernels(),
        )

    def about(self) -> tuple[str, dict[str, Any]]:
        return "instructions", self.context

    def run_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        return [float(self._run(inputs)[0]) for _ in range(runs)]

    def _run(self, inputs: Sequence[np.ndarray]) -> tuple[int, list[np.ndarray]]:
        """What a run cost, and its outputs."""
        send(self.process, b"r" + self._packed(inputs))
        self._check(_number(self.process))
        (cost,) = struct.unpack("<Q", receive(self.process, 8))
        raw, outputs, at = receive(self.process, self.hello.output_bytes), [], 0
        for tensor in self.program.outputs:
            items = int(np.prod(tensor.shape, dtype=np.int64))
            outputs.append(np.frombuffer(raw, tensor.dtype, items, at).reshape(tensor.shape).copy())
            at += outputs[-1].nbytes
        return cost - self.hello.empty, outputs

    def _kernels(self) -> list[int]:
        send(self.process, b"k")
        return [_number(self.process) for _ in range(self.hello.steps)]

    def step_costs(self, inputs: Sequence[np.ndarray], runs: int = 1) -> list[float]:
        """Instructions of one run: they are the same in each."""
        send(self.process, b"p" + self._packed(inputs))
        self._check(_number(self.process))
        raw = receive(self.process, COST.size * self.hello.steps)
        return [float(total - calls * self.hello.empty_call) for total, calls in COST.iter_unpack(raw)]

    def _packed(self, inputs: Sequence[np.ndarray]) -> bytes:
        for i, (tensor, array) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if array.dtype != tensor.dtype or array.shape != tensor.shape:
                raise DeviceError(f"input {i}: {array.dtype} {array.shape}; expected {tensor.dtype} {tensor.shape}")
        return b"".join(np.ascontiguousarray(array).tobytes() for array in inputs)

    def _check(self, code: int) -> None:
        if code:
            raise LoadError(code)


def begin(process: Process, read: Program, context: dict[str, Any], threads: int = 1) -> UserModeSession:
    """Raises LoadError with the runtime's code where the model is refused."""
    code = _number(process)
    if code:
        raise LoadError(code)
    hello = Hello(*HELLO.unpack(receive(process, HELLO.size)))
    return UserModeSession(process, read, hello, context, threads)


@contextmanager
def started(name: str, command: list[str]) -> Iterator[Process]:
    """The process, which is killed at the end whatever happens."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        try:
            yield Process(name, child, said)
        finally:
            child.kill()
            child.communicate()


@contextmanager
def open(board: Board, data: bytes, threads: int = 1) -> Iterator[UserModeSession]:
    """The program on the board's emulated processor. Costs are executed instructions, exact."""
    read = program.read(data)
    if threads > 1 and not program.threads(read):
        raise UsageError(
            f"threads {threads}: the program was not written for threads; convert it with --threads {threads}"
        )
    binary = linux.build(board.core)
    with tempfile.TemporaryDirectory(prefix="edgesdk-") as folder:
        model, counter = Path(folder) / "model.edge", Path(folder) / "counter"
        model.write_bytes(data)
        command = [*linux.counting(board, counter), str(binary), str(model), "--serve", "--counter", str(counter)]
        command += ["--threads", str(threads)]
        with started(board.id, command) as process:
            assert board.emulator
            version = linux.emulator_version(board.emulator.program)
            context = {"emulator": f"{board.emulator.program} {version} -cpu {board.emulator.machine}"}
            yield begin(process, read, context, threads)
