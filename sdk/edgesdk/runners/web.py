# SPDX-License-Identifier: Apache-2.0
"""A program in a JavaScript engine: the messages of apps/web/agent.js, and the session over them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk import program, wasm
from edgesdk.errors import DeviceError, UsageError
from edgesdk.program import Program
from edgesdk.runners import Measurement
from edgesdk.runtime import LoadError, joined_steps

LENGTH = struct.Struct("<I")
FIRST_BINDING_CODE = -100  # from here on codes are those of edgesdk.ts, above it those of ert.h
ENGINE_CODE = -103

Exchange = Callable[[bytes], bytes]
Reply = tuple[dict[str, Any], list[bytes]]


class EngineRefuses(DeviceError):
    """The engine cannot run a flavour of the module, or computes it wrongly."""


def pack(header: dict[str, Any], buffers: Sequence[bytes] = ()) -> bytes:
    text = json.dumps({**header, "buffers": [len(b) for b in buffers]}).encode()
    return LENGTH.pack(len(text)) + text + b"".join(buffers)


def unpack(message: bytes) -> Reply:
    (length,) = LENGTH.unpack_from(message)
    at = LENGTH.size + length
    header = json.loads(message[LENGTH.size : at])
    buffers = []
    for n in header.pop("buffers"):
        buffers.append(message[at : at + n])
        at += n
    return header, buffers


def ask(exchange: Exchange, request: str, buffers: Sequence[bytes] = (), **options: Any) -> Reply:
    """The agent's answer. Raises LoadError where the runtime refused a file, DeviceError for what else went wrong."""
    header, answer = unpack(exchange(pack({"ask": request, **options}, buffers)))
    if "error" not in header:
        return header, answer
    code = header["code"]
    if FIRST_BINDING_CODE < code < 0:
        raise LoadError(code)
    refusal = EngineRefuses if code == ENGINE_CODE else DeviceError
    raise refusal(f"the JavaScript engine: {header['error']}")


@dataclass(frozen=True)
class WebSession:
    """A program loaded by an agent."""

    exchange: Exchange
    program: Program
    arena_bytes: int
    init_us: float
    code_bytes: int
    context: dict[str, Any]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        _, buffers = ask(self.exchange, "run", self._bytes(inputs))
        pairs = zip(self.program.outputs, buffers, strict=True)
        return [np.frombuffer(data, tensor.dtype).reshape(tensor.shape) for tensor, data in pairs]

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        """The output bytes of every step of one run."""
        header, buffers = ask(self.exchange, "step_outputs", self._bytes(inputs))
        chunks: list[list[bytes]] = [[] for _ in self.program.steps]
        for step, written in zip(header["steps"], buffers, strict=True):
            chunks[step].append(written)
        return joined_steps(self.program, chunks)

    def reset(self) -> None:
        ask(self.exchange, "reset")

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        """Wall times in microseconds, taken by the agent; each steady one is the mean of as many inferences as the
        engine's clock needs."""
        times, _ = ask(self.exchange, "measure", self._bytes(inputs), runs=runs)
        return Measurement(
            clock="us",
            init=self.init_us,
            **times,
            arena_bytes=self.arena_bytes,
            code_bytes=self.code_bytes,
            context=self.context,
        )

    def about(self) -> tuple[str, dict[str, Any]]:
        return "us", self.context

    def run_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        return self.measure(inputs, runs).steady

    def step_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """Microseconds; how many runs are of use, the agent knows by the engine's clock."""
        return self.measure(inputs, 1).steps

    def _bytes(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        for i, (tensor, array) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if array.dtype != tensor.dtype or array.shape != tensor.shape:
                raise DeviceError(f"input {i}: {array.dtype} {array.shape}; expected {tensor.dtype} {tensor.shape}")
        return [np.ascontiguousarray(a).tobytes() for a in inputs]


def begin(exchange: Exchange, data: bytes, threads: int = 1) -> WebSession:
    """Loads a program with the fastest flavour that the engine runs exactly, and the kernels that it calls.

    Raises LoadError with the runtime's code where it is refused, UsageError where it was not written for threads.
    """
    parsed, refusals = program.read(data), []
    if threads > 1 and not program.threads(parsed):
        raise UsageError(
            f"threads {threads}: the program was not written for threads; convert it with --threads {threads}"
        )
    hello, _ = ask(exchange, "hello")
    able = [f for f in hello["flavours"] if threads == 1 or f in wasm.THREADED]
    for flavour in reversed(able):
        module = wasm.build(flavour, parsed, threads > 1).read_bytes()
        try:
            return load(exchange, data, flavour, module, hello["engine"], threads)
        except EngineRefuses as error:
            refusals.append(str(error))
    raise DeviceError(f"{hello['engine']} runs no flavour of WebAssembly ({'; '.join(refusals)}); use a newer engine")


def load(
    exchange: Exchange, data: bytes, flavour: str, module: bytes, engine: str = "", threads: int = 1
) -> WebSession:
    """Loads a program into a module of that flavour. Raises EngineRefuses where the engine does not run it, or has no
    threads for it."""
    loaded, _ = ask(exchange, "load", [module, data], flavour=flavour, threads=threads)
    if loaded["threads"] != threads:
        raise EngineRefuses(f"it runs {loaded['threads']} of {threads} threads; leave --threads out")
    context = {"engine": engine, "flavour": flavour, "threads": threads}
    return WebSession(exchange, program.read(data), loaded["arena_bytes"], loaded["init_us"], len(module), context)
