# SPDX-License-Identifier: Apache-2.0
"""Runs a program in wasmtime: the module's functions called from Python."""

from __future__ import annotations

import atexit
import ctypes
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from edgesdk import program, wasm
from edgesdk.boards import Board
from edgesdk.errors import DeviceError
from edgesdk.program import Program, Tensor
from edgesdk.runners import Measurement
from edgesdk.runtime import LoadError, joined_steps

WARM_UP = 3
STEP_RUNS = 5
MEMORY_CODE = -100  # of ert_web.c
ABOUT = struct.Struct("<4i2I")
ADDRESSES = 0xFFFFFFFF  # wasmtime takes them for signed
ADDRESS = struct.Struct("<I")

Event = Callable[[int, int, int, int], None]


@dataclass
class Instance:
    """A module in a store of its own. `event` is what a hooked run tells."""

    flavour: str
    module_bytes: int
    store: Any
    exports: Any
    event: Event | None = None

    def call(self, name: str, *arguments: int) -> int:
        found: int = self.exports[name](self.store, *arguments)
        return found

    def address(self, name: str, *arguments: int) -> int:
        return self.call(name, *arguments) & ADDRESSES

    def memory(self) -> np.ndarray:
        """All of it, until it grows."""
        memory = self.exports["memory"]
        start = ctypes.cast(memory.data_ptr(self.store), ctypes.c_void_p).value
        return np.frombuffer((ctypes.c_uint8 * memory.data_len(self.store)).from_address(start), np.uint8)


@lru_cache(4)
def compiled(module: bytes) -> tuple[Any, Any]:
    """An engine, and the module in it."""
    import wasmtime

    engine = wasmtime.Engine(wasmtime.Config())
    return engine, wasmtime.Module(engine, module)


atexit.register(compiled.cache_clear)  # wasmtime cannot free what is left when Python ends


def instantiate(flavour: str, module: bytes, memory_bytes: int | None = None) -> Instance:
    """The module of a flavour; its memory ends at `memory_bytes`."""
    import wasmtime

    engine, code = compiled(module)
    store = wasmtime.Store(engine)
    if memory_bytes is not None:
        store.set_limits(memory_size=memory_bytes)
    made = Instance(flavour, len(module), store, None)

    def event(*arguments: int) -> None:
        if made.event is not None:
            made.event(*arguments)

    linker = wasmtime.Linker(engine)
    linker.define_func("edge", "event", wasmtime.FuncType([wasmtime.ValType.i32()] * 4, []), event)
    made.exports = linker.instantiate(store, code).exports(store)
    return made


def exact(parsed: Program) -> Instance:
    """The fastest flavour that computes exactly here."""
    for flavour in reversed(wasm.FLAVOURS):
        made = instantiate(flavour, wasm.build(flavour, parsed).read_bytes())
        if made.call("edge_probe"):
            return made
    raise DeviceError("wasmtime runs no flavour of WebAssembly exactly; use another version")


@dataclass
class WasmtimeSession:
    instance: Instance
    program: Program
    init_us: float = 0.0
    model_at: int = 0  # address of the file
    at: list[int] = field(default_factory=list)  # addresses of inputs, then outputs

    def load(self, data: bytes) -> None:
        begun, made = time.perf_counter(), self.instance
        self.model_at = made.address("edge_room", len(data))
        self._check(0 if self.model_at else MEMORY_CODE)
        self._write(self.model_at, data)
        self._check(made.call("edge_load", self.model_at, len(data)))
        self.init_us = (time.perf_counter() - begun) * 1e6
        for i in range(len(self.program.inputs) + len(self.program.outputs)):
            record = made.address("edge_tensor", i)
            self.at.append(ADDRESS.unpack(made.memory()[record : record + ADDRESS.size].tobytes())[0])

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return self._infer(inputs, 0)

    def reset(self) -> None:
        self.instance.call("edge_reset")

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        first, *warm_up = (self._time(inputs) for _ in range(1 + WARM_UP))
        made, about = self.instance, self.instance.address("edge_about")
        arena = ABOUT.unpack(made.memory()[about : about + ABOUT.size].tobytes())[-2]
        return Measurement(
            clock="us",
            init=self.init_us,
            first=first,
            warm_up=float(np.median(warm_up)),
            steady=[self._time(inputs) for _ in range(runs)],
            steps=self.step_costs(inputs, STEP_RUNS),
            arena_bytes=arena,
            code_bytes=made.module_bytes,
            context=self.about()[1],
        )

    def about(self) -> tuple[str, dict[str, Any]]:
        return "us", {"engine": "wasmtime", "flavour": self.instance.flavour}

    def step_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        """Microseconds."""
        return [float(s) for s in np.median([self._time_steps(inputs) for _ in range(runs)], axis=0)]

    def run_costs(self, inputs: Sequence[np.ndarray], runs: int) -> list[float]:
        return [self._time(inputs) for _ in range(runs)]

    def _time(self, inputs: Sequence[np.ndarray]) -> float:
        begun = time.perf_counter()
        self.run(inputs)
        return (time.perf_counter() - begun) * 1e6

    def _time_steps(self, inputs: Sequence[np.ndarray]) -> list[float]:
        times, begun = [0.0] * len(self.program.steps), [0.0]

        def event(step: int, done: int, out: int, out_bytes: int) -> None:
            now = time.perf_counter()
            if done:
                times[step] += (now - begun[0]) * 1e6
            begun[0] = time.perf_counter()

        self._watch(inputs, event)
        return times

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        """The output bytes of every step of one run."""
        chunks: list[list[bytes]] = [[] for _ in self.program.steps]

        def event(step: int, done: int, out: int, out_bytes: int) -> None:
            if done:
                at = out & ADDRESSES
                chunks[step].append(self.instance.memory()[at : at + out_bytes].tobytes())

        self._watch(inputs, event)
        return joined_steps(self.program, chunks)

    def _watch(self, inputs: Sequence[np.ndarray], event: Event) -> None:
        self.instance.event = event
        try:
            self._infer(inputs, 1)
        finally:
            self.instance.event = None

    def _infer(self, inputs: Sequence[np.ndarray], hooked: int) -> list[np.ndarray]:
        for i, (tensor, array) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if array.dtype != tensor.dtype or array.shape != tensor.shape:
                raise DeviceError(f"input {i}: {array.dtype} {array.shape}; expected {tensor.dtype} {tensor.shape}")
            if tensor.streamed:
                self._push(tensor, array, hooked)
            else:
                self._write(self.at[i], array.tobytes())
        if not any(t.streamed for t in self.program.inputs):
            self._check(self.instance.call("edge_run", hooked))
        return [self._read(t, at) for t, at in zip(self.program.outputs, self.at[len(inputs) :], strict=True)]

    def _push(self, tensor: Tensor, array: np.ndarray, hooked: int) -> None:
        if tensor.ring:
            self.reset()
        for row in array[0]:
            self._write(self.instance.address("edge_next_row", hooked), row.tobytes())
            self._check(self.instance.call("edge_push", hooked))

    def _write(self, at: int, data: bytes) -> None:
        self.instance.memory()[at : at + len(data)] = np.frombuffer(data, np.uint8)

    def _read(self, tensor: Tensor, at: int) -> np.ndarray:
        n_bytes = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
        return self.instance.memory()[at : at + n_bytes].copy().view(tensor.dtype).reshape(tensor.shape)

    def _check(self, code: int) -> None:
        if code == MEMORY_CODE:
            raise DeviceError("the memory cannot grow by what the model needs; use a smaller model")
        if code < 0:
            raise LoadError(code)


def begin(instance: Instance, data: bytes) -> WasmtimeSession:
    """Raises LoadError where the runtime refuses the program, DeviceError where memory is short."""
    session = WasmtimeSession(instance, program.read(data))
    session.load(data)
    return session


@contextmanager
def open(board: Board, data: bytes) -> Iterator[WasmtimeSession]:
    yield begin(exact(program.read(data)), data)
