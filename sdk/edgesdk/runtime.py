# SPDX-License-Identifier: Apache-2.0
"""The C runtime on this machine: loads a .edge file, runs it, looks between its steps."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk import program
from edgesdk.errors import UsageError
from edgesdk.library import library

ALIGN = 16  # of a program, as the C runtime asks
LINE = 64  # of memory made here: a cache line, so that vectors that begin with it lie in one each


class _Model(ctypes.Structure):
    _fields_ = [
        *((n, ctypes.c_void_p) for n in ("bytes", "steps", "stages", "tensors", "variables", "weights")),
        *((n, ctypes.c_int32) for n in ("n_steps", "n_stages", "n_inputs", "n_outputs", "n_variables", "streamed")),
        *((n, ctypes.c_uint32) for n in ("file_bytes", "weights_bytes", "arena_bytes", "steps_bytes", "bound_bytes")),
    ]


class _Session(ctypes.Structure):
    _fields_ = [
        ("model", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("at", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("bound", ctypes.c_void_p),
        ("threads", ctypes.c_void_p),
    ]


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


class _Threads(ctypes.Structure):
    _fields_ = [
        *((n, ctypes.c_void_p) for n in ("parallel", "pool", "scratch")),
        ("scratch_bytes", ctypes.c_uint32),
        ("split", ctypes.c_void_p),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("step", ctypes.c_int32),
        ("done", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("out_bytes", ctypes.c_int32),
    ]


_Hook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Event))


def message(code: int) -> str:
    """The runtime's sentence for an ERT_E code."""
    text = library().ert_message
    text.restype = ctypes.c_char_p
    found: bytes = text(code)
    return found.decode()


class LoadError(UsageError):
    """The runtime refused a file. `code` is its ERT_E number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the runtime refuses the file: {message(code)} (code {code}); convert the model again")
        self.code = code


def aligned(n_bytes: int) -> np.ndarray:
    """Zeroed bytes at the start of a cache line."""
    raw = np.zeros(n_bytes + LINE, np.uint8)
    skip = -raw.ctypes.data % LINE
    return raw[skip : skip + n_bytes]


def in_place(data: bytes | mmap.mmap) -> np.ndarray:
    """The bytes where they lie, or a copy where that is no place for a program."""
    file = np.frombuffer(data, np.uint8)
    if file.size == 0 or file.ctypes.data % ALIGN == 0:
        return file
    copy = aligned(file.size)
    copy[:] = file
    return copy


@dataclass(eq=False)
class _Team:
    """Memory that the C side points into while a session has threads."""

    threads: _Threads
    pool: np.ndarray
    scratch: np.ndarray


@dataclass(eq=False)
class Session:
    """A loaded model with its arena. Keeps the memory that the C side points into. The array of a
    streamed or bound input only tells dtype and shape."""

    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    n_steps: int
    streamed: bool
    sliding: bool
    bound: bool
    arena: np.ndarray
    _file: np.ndarray
    _model: _Model
    _session: _Session
    _team: _Team | None = None
    _packed: np.ndarray | None = None  # steps and layers, where the program was packed for this processor

    def reset(self) -> None:
        """As just opened: variables hold their first contents, and what was pushed is forgotten."""
        library().ert_reset(ctypes.byref(self._session))

    def kernels(self) -> list[int]:
        """Number of the kernel that computes each step: of a packed program not those of the file."""
        return _kernel_numbers(self._model)


def open_session(data: bytes | mmap.mmap, threads: int = 1, pack: bool = True) -> Session:
    """Loads a .edge file, which stays in use: its weights are read where they lie. Of a file that is mapped (mmap) only
    the pages are read that a run needs. A portable one is packed for this processor's vectors: `pack` False leaves that
    out. Raises LoadError with the runtime's code, UsageError where the file was not written for several threads."""
    lib = library()
    lib.ert_load.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    lib.ert_begin.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    file = in_place(data)
    model, session = _Model(), _Session()
    _raise_for(lib.ert_load(ctypes.byref(model), file.ctypes.data, len(data)))
    packed = _pack(model) if pack else None
    arena = aligned(model.arena_bytes)
    _raise_for(lib.ert_begin(ctypes.byref(session), ctypes.byref(model), arena.ctypes.data, arena.size))
    team = _start_threads(model, session, threads) if threads != 1 else None
    inputs = [_tensor(lib.ert_input, session, i) for i in range(model.n_inputs)]
    outputs = [_tensor(lib.ert_output, session, i) for i in range(model.n_outputs)]
    how = (model.streamed > 0, model.streamed == 2, model.bound_bytes > 0)
    opened = Session(inputs, outputs, model.n_steps, *how, arena, file, model, session, team, packed)
    if team is not None:
        weakref.finalize(opened, _end_threads, team)
    return opened


def _kernel_numbers(model: _Model) -> list[int]:
    words, numbers, at = (ctypes.c_uint32 * (model.steps_bytes // 4)).from_address(model.steps), [], 0
    for _ in range(model.n_steps):
        first = words[at]
        numbers.append(first & 0xFFFF)
        at += program.step_words(first)
    return numbers


def _pack(model: _Model) -> np.ndarray | None:
    """The memory that a portable model was packed into; None for others, and where nothing is gained."""
    lib = library()
    lib.ert_packed_bytes.restype = ctypes.c_size_t
    n_bytes = lib.ert_packed_bytes(ctypes.byref(model))
    if n_bytes == 0:
        return None
    memory = aligned(n_bytes)
    lib.ert_pack.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    _raise_for(lib.ert_pack(ctypes.byref(model), memory.ctypes.data, n_bytes))
    return memory


def _end_threads(team: _Team) -> None:
    library().ert_pool_end(ctypes.c_void_p(team.pool.ctypes.data))


def _written_for_threads(model: _Model) -> bool:
    """As program.threads tells, from the loaded records: a file that is mapped is not read for it."""
    words = (ctypes.c_int32 * (model.n_stages * program.STAGE.size // 4)).from_address(model.stages)
    stages = [program.StageRecord(program.STAGE_KINDS[k], *w) for k, *w in program.STAGE.iter_unpack(bytes(words))]
    return any(program.shares(stage) for stage in stages)


def _start_threads(model: _Model, session: _Session, n: int) -> _Team:
    """The session's steps are shared out among n threads from now on."""
    lib = library()
    if not _written_for_threads(model):
        raise UsageError(f"threads {n}: the program was not written for threads; convert it with --threads {n}")
    if not hasattr(lib, "ert_pool_begin"):
        raise UsageError(f"threads {n}: this build of the runtime has no threads; leave the option out")
    lib.ert_pool_bytes.restype = lib.ert_threads_bytes.restype = ctypes.c_size_t
    pool, scratch = aligned(lib.ert_pool_bytes()), aligned(lib.ert_threads_bytes(ctypes.byref(model), n))
    err = lib.ert_pool_begin(ctypes.c_void_p(pool.ctypes.data), n)
    if err:
        raise UsageError(f"threads {n}: {os.strerror(err)}; expected 1 to 64")
    team = _Team(_Threads(), pool, scratch)
    run = ctypes.cast(lib.ert_pool_run, ctypes.c_void_p)
    memory = (ctypes.c_void_p(scratch.ctypes.data), ctypes.c_size_t(scratch.size))
    use = ctypes.byref(session), ctypes.byref(team.threads), n, run, ctypes.c_void_p(pool.ctypes.data), *memory
    code = lib.ert_use_threads(*use)
    if code:
        _end_threads(team)
    _raise_for(code)
    return team


def _raise_for(code: int) -> None:
    if code:
        raise LoadError(code)


def _tensor(get: Callable[..., int], session: _Session, index: int) -> np.ndarray:
    t = _Tensor()
    _raise_for(get(ctypes.byref(session), index, ctypes.byref(t)))
    dtype, shape = program.DTYPE_NAMES[t.dtype], [t.dims[i] for i in range(t.rank)]
    if not t.data:
        return np.broadcast_to(np.zeros((), dtype), shape)
    memory = (ctypes.c_uint8 * t.bytes).from_address(t.data)
    return np.frombuffer(memory, dtype).reshape(shape)


def run(session: Session, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """One inference. Arrays in the model's own dtypes and shapes; returns copies of the outputs.

    A streamed input is pushed row by row. Variables keep what the run left until `Session.reset`.
    """
    _execute(session, inputs)
    return [o.copy() for o in session.outputs]


def push_rows(session: Session, rows: np.ndarray) -> bool:
    """Gives the next rows [n, W, C] of a streamed input; True when the outputs are there.

    Raises UsageError for rows of another kind, or more than the input still takes.
    """
    shape = session.inputs[0].shape[2:]
    if rows.dtype != session.inputs[0].dtype or rows.shape[1:] != shape:
        raise UsageError(f"rows are {rows.dtype} {rows.shape}; expected {session.inputs[0].dtype} (n, {shape})")
    return _push(session, rows, _Hook())


def push_frames(session: Session, frames: np.ndarray) -> bool:
    """Gives the next frames [n, W, C] of a sliding input; True when the outputs are those of a new window.

    Raises UsageError for frames of another kind. `Session.reset` empties the window.
    """
    shape = session.inputs[0].shape[2:]
    if not session.sliding or frames.dtype != session.inputs[0].dtype or frames.shape[1:] != shape:
        raise UsageError(f"frames are {frames.dtype} {frames.shape}; expected {session.inputs[0].dtype} (n, {shape})")
    return _push(session, frames, _Hook())


def _push(session: Session, rows: np.ndarray, hook: Any) -> bool:
    rows = np.ascontiguousarray(rows)
    push = library().ert_push_frames_hooked if session.sliding else library().ert_push_rows_hooked
    push.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, _Hook, ctypes.c_void_p]
    code = push(ctypes.byref(session._session), rows.ctypes.data, rows.shape[0], hook, None)
    if code < 0:
        raise UsageError(f"{rows.shape[0]} rows do not fit: {message(code)}; push the rows of one input in order")
    return bool(code)


def _execute(session: Session, inputs: Sequence[np.ndarray], hook: Any = None) -> None:
    for i, (memory, array) in enumerate(zip(session.inputs, inputs, strict=True)):
        if memory.shape != array.shape or memory.dtype != array.dtype:
            raise UsageError(f"input {i}: {array.dtype} {array.shape}; expected {memory.dtype} {memory.shape}")
        if session.bound:
            _bind(session, array)
        elif not session.streamed:
            memory[...] = array
    hook = hook or _Hook()
    if session.sliding:
        session.reset()
    if session.streamed:
        _push(session, inputs[0][0], hook)
    else:
        library().ert_run_hooked(ctypes.byref(session._session), hook, None)


def _bind(session: Session, array: np.ndarray) -> None:
    """The array is read in place; kept until the next one."""
    array = np.ascontiguousarray(array)
    bind = library().ert_bind_input
    bind.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    _raise_for(bind(ctypes.byref(session._session), 0, array.ctypes.data))
    session.inputs[0] = array


def step_outputs(session: Session, inputs: Sequence[np.ndarray]) -> list[bytes]:
    """The output bytes of every step."""
    chunks: list[list[bytes]] = [[] for _ in range(session.n_steps)]

    def entry(_: int, event: ctypes._Pointer[_Event]) -> None:
        e = event.contents
        if e.done:
            chunks[e.step].append(ctypes.string_at(e.out, e.out_bytes))

    _execute(session, inputs, _Hook(entry))
    return joined_steps(program.read(session._file.tobytes()), chunks)


def watch(session: Session, inputs: Sequence[np.ndarray], seen: Callable[[int, np.ndarray], None]) -> None:
    """Calls `seen` after each call of a kernel with the step's number and the bytes it wrote, valid only then."""

    def entry(_: int, event: ctypes._Pointer[_Event]) -> None:
        e = event.contents
        if e.done:
            memory = (ctypes.c_uint8 * e.out_bytes).from_address(e.out)
            seen(e.step, np.frombuffer(memory, np.uint8))

    _execute(session, inputs, _Hook(entry))


def joined_steps(read: program.Program, chunks: list[list[bytes]]) -> list[bytes]:
    """The output of every step, from what a hook saw after each of its calls; of a sliding window the newest rows."""
    if any(tensor.ring for tensor in read.inputs):
        return _last_window(read, chunks)
    return [step_bytes(read, i, seen) for i, seen in enumerate(chunks)]


def step_bytes(read: program.Program, index: int, chunks: list[bytes]) -> bytes:
    """What a step wrote, from what a hook saw after each of its calls: rows in order, of a row that took several
    calls what the last one left, of a step of some columns only those."""
    step, n_bytes = read.steps[index], _output_bytes(read, index)
    if len(chunks) == 1:
        return chunks[0][:n_bytes]
    each, columns = step.rows // step.output.rows, n_bytes // step.output.rows
    return b"".join(chunk[:columns] for chunk in chunks[each - 1 :: each])


def _output_bytes(read: program.Program, index: int) -> int:
    described = read.metadata["steps"][index]
    return int(np.prod(described["shape"], dtype=np.int64)) * np.dtype(described["dtype"]).itemsize


def _last_window(read: program.Program, chunks: list[list[bytes]]) -> list[bytes]:
    """The rows of the last window: the newest of each step, as many as its output has."""
    return [b"".join(seen)[-_output_bytes(read, i) :] for i, seen in enumerate(chunks)]


def time_steps(
    session: Session, inputs: Sequence[np.ndarray], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Microseconds of every step, over all its calls, the hook's own cost included."""
    times = [0.0] * session.n_steps
    begun = [0.0]

    def entry(_: int, event: ctypes._Pointer[_Event]) -> None:
        now = clock()
        if event.contents.done:
            times[event.contents.step] += (now - begun[0]) * 1e6
        begun[0] = clock()

    _execute(session, inputs, _Hook(entry))
    return times
