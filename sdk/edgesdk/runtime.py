# SPDX-License-Identifier: Apache-2.0
"""The C runtime on this machine: loads a .edge file, runs it, looks between its steps."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgesdk import program
from edgesdk.errors import UsageError
from edgesdk.library import library

ALIGN = 16


class _Model(ctypes.Structure):
    _fields_ = [
        *((n, ctypes.c_void_p) for n in ("bytes", "steps", "tensors", "weights")),
        *((n, ctypes.c_int32) for n in ("n_steps", "n_inputs", "n_outputs")),
        *((n, ctypes.c_uint32) for n in ("file_bytes", "weights_bytes", "arena_bytes", "steps_bytes")),
    ]


class _Session(ctypes.Structure):
    _fields_ = [("model", ctypes.c_void_p), ("arena", ctypes.c_void_p)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint32),
        ("dims", ctypes.POINTER(ctypes.c_int32)),
        ("rank", ctypes.c_int32),
        ("dtype", ctypes.c_int),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("step", ctypes.c_int32),
        ("done", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("out_bytes", ctypes.c_int32),
    ]


_Hook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Event))


class LoadError(UsageError):
    """The runtime refused a file. `code` is its ERT_E number."""

    def __init__(self, code: int) -> None:
        message = library().ert_message
        message.restype = ctypes.c_char_p
        super().__init__(
            f"the runtime refuses the file: {message(code).decode()} (code {code}); convert the model again"
        )
        self.code = code


def aligned(n_bytes: int) -> np.ndarray:
    """Zeroed bytes at a 16-byte boundary."""
    raw = np.zeros(n_bytes + ALIGN, np.uint8)
    skip = -raw.ctypes.data % ALIGN
    return raw[skip : skip + n_bytes]


@dataclass(eq=False)
class Session:
    """A loaded model with its arena. Keeps the memory that the C side points into."""

    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    n_steps: int
    arena: np.ndarray
    _file: np.ndarray
    _model: _Model
    _session: _Session


def open_session(data: bytes) -> Session:
    """Loads the bytes of a .edge file. Raises LoadError with the runtime's code."""
    lib = library()
    lib.ert_load.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    lib.ert_begin.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    file = aligned(len(data))
    file[:] = np.frombuffer(data, np.uint8)
    model, session = _Model(), _Session()
    _raise_for(lib.ert_load(ctypes.byref(model), file.ctypes.data, len(data)))
    arena = aligned(model.arena_bytes)
    _raise_for(lib.ert_begin(ctypes.byref(session), ctypes.byref(model), arena.ctypes.data, arena.size))
    inputs = [_tensor(lib.ert_input, session, i) for i in range(model.n_inputs)]
    outputs = [_tensor(lib.ert_output, session, i) for i in range(model.n_outputs)]
    return Session(inputs, outputs, model.n_steps, arena, file, model, session)


def _raise_for(code: int) -> None:
    if code:
        raise LoadError(code)


def _tensor(get: Callable[..., int], session: _Session, index: int) -> np.ndarray:
    t = _Tensor()
    _raise_for(get(ctypes.byref(session), index, ctypes.byref(t)))
    memory = (ctypes.c_uint8 * t.bytes).from_address(t.data)
    dtype = program.DTYPE_NAMES[t.dtype]
    return np.frombuffer(memory, dtype).reshape([t.dims[i] for i in range(t.rank)])


def run(session: Session, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """One inference. Arrays in the model's own dtypes and shapes; returns copies of the outputs."""
    _fill(session, inputs)
    library().ert_run(ctypes.byref(session._session))
    return [o.copy() for o in session.outputs]


def _fill(session: Session, inputs: Sequence[np.ndarray]) -> None:
    for i, (memory, array) in enumerate(zip(session.inputs, inputs, strict=True)):
        if memory.shape != array.shape or memory.dtype != array.dtype:
            raise UsageError(f"input {i}: {array.dtype} {array.shape}; expected {memory.dtype} {memory.shape}")
        memory[...] = array


def run_hooked(session: Session, inputs: Sequence[np.ndarray], hook: Callable[[int, bool, bytes], None]) -> None:
    """As `run`; `hook(step, done, bytes of its output)` before (done False) and after each step."""

    def entry(_: int, event: ctypes._Pointer[_Event]) -> None:
        e = event.contents
        hook(e.step, bool(e.done), ctypes.string_at(e.out, e.out_bytes) if e.done else b"")

    _fill(session, inputs)
    library().ert_run_hooked(ctypes.byref(session._session), _Hook(entry), None)


def step_outputs(session: Session, inputs: Sequence[np.ndarray]) -> list[bytes]:
    """The output bytes of every step."""
    seen: list[bytes] = []
    run_hooked(session, inputs, lambda _, done, out: seen.append(out) if done else None)
    return seen


def time_steps(session: Session, inputs: Sequence[np.ndarray]) -> list[float]:
    """Microseconds of every step, the hook's own cost included."""
    times: list[float] = []
    begun = [0.0]

    def entry(_: int, event: ctypes._Pointer[_Event]) -> None:
        now = time.perf_counter()
        if event.contents.done:
            times.append((now - begun[0]) * 1e6)
        begun[0] = time.perf_counter()

    _fill(session, inputs)
    library().ert_run_hooked(ctypes.byref(session._session), _Hook(entry), None)
    return times
