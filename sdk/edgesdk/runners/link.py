# SPDX-License-Identifier: Apache-2.0
"""Talks to the agent (apps/firmware/agent.h) over a serial port: frames, requests, and a session made of them."""

from __future__ import annotations

import binascii
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edgesdk.errors import DeviceError
from edgesdk.program import Program, Tensor
from edgesdk.runners import Measurement
from edgesdk.runtime import LoadError

PROTOCOL = 1
HELLO, LOAD, WRITE, RUN, PROFILE, READ, STEP, MARKS, RESET = range(1, 10)
BOOT, TICKS, BYTES = 0x40, 0x41, 0x42
ANSWER, FAULT, ERROR = 0x80, 0xFE, 0xFF
NAMES = {1: "hello", 2: "load", 3: "write", 4: "run", 5: "profile", 6: "read", 7: "step", 8: "marks", 9: "reset"}
ERRORS = {
    -12: "no input or output of that number",
    -101: "a frame arrived damaged",
    -102: "a frame is longer than the agent takes",
    -103: "a frame is not COBS-encoded",
    -104: "the agent does not know the request",
    -105: "an argument is out of range",
    -106: "the firmware has no model",
    -107: "no model is loaded",
    -108: "the processor took a fault",
}
DAMAGED = (-101, -102, -103)
ATTEMPTS = 3
QUICK_S = 10.0
SLOW_S = 600.0
LONGEST_RUN = 254


class Port(Protocol):
    """What is used of a pyserial port. `timeout` bounds `read`, which then returns what there is."""

    timeout: float | None

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int = 1, /) -> bytes: ...

    def write(self, b: bytes, /) -> int | None: ...


class AgentError(DeviceError):
    """The agent answered with an error; `code` is the agent's or the runtime's."""

    def __init__(self, request: int, code: int) -> None:
        what = ERRORS.get(code, f"code {code}")
        super().__init__(f"the agent refuses {NAMES.get(request, 'a frame')}: {what}; check the model and the link")
        self.code = code


def cobs_encode(data: bytes) -> bytes:
    """The bytes without a 0 among them. Each block is a count and the bytes before the next 0."""
    out, at = bytearray(), 0
    while at <= len(data):
        end = data.find(0, at, at + LONGEST_RUN)
        full = end < 0 and len(data) - at >= LONGEST_RUN
        stop = at + LONGEST_RUN if full else len(data) if end < 0 else end
        out.append(stop - at + 1)
        out += data[at:stop]
        at = stop if full else stop + 1
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """What was encoded. Raises ValueError for bytes that no encoder writes."""
    out, at = bytearray(), 0
    while at < len(data):
        run = data[at] - 1
        block = data[at + 1 : at + 1 + run]
        if run < 0 or len(block) != run or 0 in block:
            raise ValueError(f"a COBS block of {run} bytes at byte {at} of {len(data)}")
        out += block
        at += 1 + run
        if run < LONGEST_RUN and at < len(data):
            out.append(0)
    return bytes(out)


def crc16(data: bytes) -> int:
    """CRC-16/CCITT, 0x1021 from 0xffff."""
    return binascii.crc_hqx(data, 0xFFFF)


@dataclass(frozen=True)
class Frame:
    kind: int
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """A frame as it goes over the wire, its closing 0 included."""
    raw = bytes((frame.kind, frame.sequence)) + frame.payload
    return cobs_encode(raw + struct.pack("<H", crc16(raw))) + b"\0"


def decode(wire: bytes) -> Frame | None:
    """The frame of wire bytes without their 0; None where they are damaged."""
    try:
        raw = cobs_decode(wire)
    except ValueError:
        return None
    if len(raw) < 4 or crc16(raw[:-2]) != struct.unpack("<H", raw[-2:])[0]:
        return None
    return Frame(raw[0], raw[1], raw[2:-2])


@dataclass(eq=False)
class Link:
    """A port and what has arrived on it."""

    port: Port
    name: str
    received: bytearray = field(default_factory=bytearray)
    sequence: int = 0


def receive(link: Link, deadline: float) -> Frame:
    """The next whole frame; damaged ones are skipped, a fault of the board is raised."""
    while True:
        end = link.received.find(0)
        if end < 0:
            _fill(link, deadline)
            continue
        frame = decode(bytes(link.received[:end]))
        del link.received[: end + 1]
        if frame is not None and frame.kind == FAULT:
            _raise_fault(link, frame)
        if frame is not None:
            return frame


def _fill(link: Link, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeviceError(
            f"{link.name}: the agent did not answer in time; reset the board and check that it runs edgesdk's firmware"
        )
    link.port.timeout = min(left, 1.0)
    try:
        link.received += link.port.read(max(1, link.port.in_waiting))
    except OSError as error:
        raise _broken(link, error) from error


def send(link: Link, data: bytes) -> None:
    try:
        link.port.write(data)
    except OSError as error:
        raise _broken(link, error) from error


def _broken(link: Link, error: OSError) -> DeviceError:
    """pyserial's SerialException is an OSError."""
    return DeviceError(f"{link.name}: the link broke ({error}); check that the board is there and starts")


def _raise_fault(link: Link, frame: Frame) -> None:
    _, cfsr, pc = struct.unpack("<iII", frame.payload)
    raise DeviceError(
        f"{link.name}: the processor took a fault at {pc:#x} (CFSR {cfsr:#x}); report this with the model"
    )


def exchange(link: Link, kind: int, payload: bytes = b"", timeout_s: float = QUICK_S) -> tuple[bytes, list[Frame]]:
    """One request: the payload of its answer, and the events before it. Sent again where it arrived damaged."""
    for attempt in range(ATTEMPTS):
        try:
            return _exchange_once(link, kind, payload, timeout_s)
        except AgentError as error:
            if error.code not in DAMAGED or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("not reached")


def _exchange_once(link: Link, kind: int, payload: bytes, timeout_s: float) -> tuple[bytes, list[Frame]]:
    link.sequence = link.sequence % 255 + 1
    deadline = time.monotonic() + timeout_s
    send(link, encode(Frame(kind, link.sequence, payload)))
    events: list[Frame] = []
    while True:
        frame = receive(link, deadline)
        if frame.kind == ERROR and frame.sequence in (0, link.sequence):
            raise AgentError(frame.payload[4], struct.unpack_from("<i", frame.payload)[0])
        if frame.sequence != link.sequence:
            continue
        if frame.kind == kind | ANSWER:
            return frame.payload, events
        events.append(frame)


@dataclass(frozen=True)
class Hello:
    protocol: int
    runtime: tuple[int, int]
    format: tuple[int, int]
    inputs: int
    outputs: int
    cpuid: int
    model_bytes: int
    arena_bytes: int
    timer_hz: int
    empty_ticks: int
    empty_step_ticks: int
    chunk_bytes: int


def hello(link: Link) -> Hello:
    protocol, major, minor, _, n_in, n_out, fmt, fmt_minor, *words = struct.unpack("<4B4H7I", exchange(link, HELLO)[0])
    if protocol != PROTOCOL:
        raise DeviceError(f"{link.name}: the firmware speaks protocol {protocol}, expected {PROTOCOL}; flash it again")
    return Hello(protocol, (major, minor), (fmt, fmt_minor), n_in, n_out, *words)


@dataclass(frozen=True)
class Loaded:
    """What loading took; `code` is 0 or the runtime's refusal."""

    code: int
    arena_needed: int
    arena_bytes: int
    ticks: int
    steps: int
    inputs: int
    outputs: int


def load(link: Link) -> Loaded:
    return Loaded(*struct.unpack("<i6I", exchange(link, LOAD, timeout_s=SLOW_S)[0]))


def write_input(link: Link, index: int, data: bytes, chunk: int) -> None:
    for at in range(0, len(data), chunk):
        exchange(link, WRITE, struct.pack("<BI", index, at) + data[at : at + chunk])


def run(link: Link, runs: int = 1) -> list[int]:
    """Ticks of each run. A run may overwrite the inputs."""
    payload, _ = exchange(link, RUN, struct.pack("<I", runs), SLOW_S)
    return [ticks for (ticks,) in struct.iter_unpack("<I", payload)]


def profile(link: Link) -> list[int]:
    """Ticks of each step of one run."""
    payload, events = exchange(link, PROFILE, timeout_s=SLOW_S)
    seen = [struct.unpack("<II", event.payload) for event in events if event.kind == TICKS]
    (expected,) = struct.unpack("<I", payload)
    if [step for step, _ in seen] != list(range(expected)):
        raise DeviceError(f"{link.name}: {len(seen)} of {expected} steps arrived; measure again")
    return [ticks for _, ticks in seen]


def read_output(link: Link, index: int, n_bytes: int, chunk: int) -> bytes:
    requests = ((at, min(chunk, n_bytes - at)) for at in range(0, n_bytes, chunk))
    return b"".join(exchange(link, READ, struct.pack("<BIH", index, at, n))[0] for at, n in requests)


def step_output(link: Link, step: int) -> bytes:
    """Runs the model; the bytes that `step` wrote."""
    payload, events = exchange(link, STEP, struct.pack("<I", step), SLOW_S)
    data = b"".join(event.payload[4:] for event in events if event.kind == BYTES)
    (expected,) = struct.unpack("<I", payload)
    if len(data) != expected:
        raise DeviceError(f"{link.name}: {len(data)} of {expected} bytes of step {step} arrived; ask again")
    return data


@dataclass(frozen=True)
class Marks:
    """High-water marks, and what there is."""

    stack_used: int
    stack_bytes: int
    arena_used: int
    arena_bytes: int


def marks(link: Link) -> Marks:
    """Raises where the stack was too small: nothing that ran on it can be believed."""
    found = Marks(*struct.unpack("<4I", exchange(link, MARKS)[0]))
    if found.stack_used >= found.stack_bytes:
        raise DeviceError(
            f"{link.name}: the stack of {found.stack_bytes} bytes was used up; build the firmware with a larger stack"
        )
    return found


def wait_boot(link: Link, timeout_s: float = QUICK_S) -> None:
    """Until the agent says that it has started."""
    deadline = time.monotonic() + timeout_s
    while receive(link, deadline).kind != BOOT:
        continue


def reset(link: Link) -> None:
    exchange(link, RESET)
    wait_boot(link)


@dataclass(frozen=True)
class AgentSession:
    """A program loaded by the agent. `cost` turns ticks into the unit of `clock`."""

    link: Link
    program: Program
    hello: Hello
    loaded: Loaded
    clock: str
    cost: Callable[[int], float]
    code_bytes: int
    context: dict[str, Any]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self._write(inputs)
        run(self.link)
        return self.outputs()

    def outputs(self) -> list[np.ndarray]:
        return [self._read(i, tensor) for i, tensor in enumerate(self.program.outputs)]

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]:
        """The output bytes of every step: one run per step."""
        return [self._step(inputs, step) for step in range(self.loaded.steps)]

    def measure(self, inputs: Sequence[np.ndarray], runs: int) -> Measurement:
        """Costs without that of reading the timer. One run warms up; the steps are of one run of their own."""
        ticks = [self._ticks(inputs) for _ in range(runs + 2)]
        self._write(inputs)
        steps = profile(self.link)
        first, warm_up, *steady = (self._net(unwrapped(t, sum(steps)), self.hello.empty_ticks) for t in ticks)
        used = marks(self.link)
        return Measurement(
            clock=self.clock,
            init=self._net(self.loaded.ticks, self.hello.empty_ticks),
            first=first,
            warm_up=warm_up,
            steady=steady,
            steps=[self._net(t, self.hello.empty_step_ticks) for t in steps],
            arena_bytes=used.arena_used,
            stack_bytes=used.stack_used,
            code_bytes=self.code_bytes,
            context=self.context,
        )

    def _net(self, ticks: int, empty: int) -> float:
        return self.cost(ticks) - self.cost(empty)

    def _ticks(self, inputs: Sequence[np.ndarray]) -> int:
        self._write(inputs)
        return run(self.link)[0]

    def _step(self, inputs: Sequence[np.ndarray], step: int) -> bytes:
        self._write(inputs)
        return step_output(self.link, step)

    def _write(self, inputs: Sequence[np.ndarray]) -> None:
        for i, (tensor, array) in enumerate(zip(self.program.inputs, inputs, strict=True)):
            if array.dtype != tensor.dtype or array.shape != tensor.shape:
                raise DeviceError(f"input {i}: {array.dtype} {array.shape}; expected {tensor.dtype} {tensor.shape}")
            write_input(self.link, i, np.ascontiguousarray(array).tobytes(), self.hello.chunk_bytes)

    def _read(self, index: int, tensor: Tensor) -> np.ndarray:
        n_bytes = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
        data = read_output(self.link, index, n_bytes, self.hello.chunk_bytes)
        return np.frombuffer(data, tensor.dtype).reshape(tensor.shape)


def unwrapped(ticks: int, about: int) -> int:
    """A 32-bit count whose true value is near `about`."""
    return ticks + (max(0, about - ticks) + 2**31 >> 32 << 32)


def begin(
    link: Link, program: Program, clock: str, cost: Callable[[int], float], code_bytes: int, context: dict[str, Any]
) -> AgentSession:
    """Loads the linked-in model. Raises LoadError with the runtime's code where it is refused."""
    loaded = load(link)
    marks(link)
    if loaded.code:
        raise LoadError(loaded.code)
    return AgentSession(link, program, hello(link), loaded, clock, cost, code_bytes, context)
