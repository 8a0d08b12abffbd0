# SPDX-License-Identifier: Apache-2.0
"""Talks to the agent (apps/firmware/agent.h) over a serial port: frames, and the requests made of them."""

from __future__ import annotations

import binascii
import struct
import time
from dataclasses import dataclass, field
from typing import Protocol

from edgesdk.errors import DeviceError

PROTOCOL = 3
HELLO, LOAD, WRITE, RUN, PROFILE, READ, STEP, MARKS, RESET, PUSH, START = range(1, 12)
BOOT, COST, BYTES = 0x40, 0x41, 0x42
ANSWER, FAULT, ERROR = 0x80, 0xFE, 0xFF
NAMES = dict(enumerate("hello load write run profile read step marks reset push start".split(), 1))
WATCH_NOTHING, WATCH_COSTS = -1, -2  # or the number of a step
PAINTS = (0xA7, 0x58)  # no byte that a run writes is both
ERRORS = {
    -12: "no input or output of that number",
    -13: "a streamed model is pushed row by row, others are written and run",
    -101: "a frame arrived damaged",
    -102: "a frame is longer than the agent takes",
    -103: "a frame is not COBS-encoded",
    -104: "the agent does not know the request",
    -105: "an argument is out of range",
    -106: "the firmware has no model",
    -107: "no model is loaded",
    -108: "the processor took a fault",
    -109: "the model has more steps than the firmware was built for",
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
    empty_call_ticks: int
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


def load(link: Link, scale: int = 0, paint: int = PAINTS[0]) -> Loaded:
    """Starts afresh, the arena filled with `paint`. Sums over calls come in ticks, or scaled by scale / 2^32."""
    return Loaded(*struct.unpack("<i6I", exchange(link, LOAD, struct.pack("<IB", scale, paint), SLOW_S)[0]))


def write_input(link: Link, index: int, data: bytes, chunk: int) -> None:
    for at in range(0, len(data), chunk):
        exchange(link, WRITE, struct.pack("<BI", index, at) + data[at : at + chunk])


def run(link: Link, runs: int = 1) -> list[int]:
    """Ticks of each run. A run may overwrite the inputs."""
    payload, _ = exchange(link, RUN, struct.pack("<I", runs), SLOW_S)
    return [ticks for (ticks,) in struct.iter_unpack("<I", payload)]


@dataclass(frozen=True)
class StepCost:
    """A sum over the calls of a step's kernel, and how many they were."""

    sum: int
    calls: int


def profile(link: Link) -> list[StepCost]:
    """The costs of one run."""
    payload, events = exchange(link, PROFILE, timeout_s=SLOW_S)
    return _costs(link, events, *struct.unpack("<I", payload))


def _costs(link: Link, events: list[Frame], expected: int) -> list[StepCost]:
    seen = [struct.unpack("<3I", event.payload) for event in events if event.kind == COST]
    if [step for step, _, _ in seen] != list(range(expected)):
        raise DeviceError(f"{link.name}: {len(seen)} of {expected} steps arrived; measure again")
    return [StepCost(total, calls) for _, total, calls in seen]


def read_output(link: Link, index: int, n_bytes: int, chunk: int) -> bytes:
    requests = ((at, min(chunk, n_bytes - at)) for at in range(0, n_bytes, chunk))
    return b"".join(exchange(link, READ, struct.pack("<BIH", index, at, n))[0] for at, n in requests)


def step_output(link: Link, step: int) -> list[bytes]:
    """Runs the model; the bytes that each call of `step` wrote."""
    payload, events = exchange(link, STEP, struct.pack("<I", step), SLOW_S)
    return _written(link, events, *struct.unpack("<I", payload))


def _written(link: Link, events: list[Frame], expected: int) -> list[bytes]:
    calls: list[bytes] = []
    for event in events:
        (offset,) = struct.unpack_from("<I", event.payload)
        calls.append((calls.pop() if offset and calls else b"") + event.payload[4:])
    if sum(map(len, calls)) != expected:
        raise DeviceError(f"{link.name}: {sum(map(len, calls))} of {expected} bytes arrived; ask again")
    return calls


@dataclass(frozen=True)
class Pushed:
    """What a row did; `ended` where there are outputs. `sum` is over its two spans."""

    ended: bool
    sum: int
    costs: list[StepCost]
    written: list[bytes]


def push_row(link: Link, row: int, data: bytes, chunk: int, watch: int, steps: int) -> Pushed:
    """Writes a row of a streamed input in place and computes what it allows."""
    written: list[bytes] = []
    for at in range(0, len(data), chunk):
        payload, events = exchange(link, PUSH, struct.pack("<IIi", row, at, watch) + data[at : at + chunk], SLOW_S)
        ended, total, sent = struct.unpack("<3I", payload)
        if watch >= 0:
            written += _written(link, events, sent)
    return Pushed(bool(ended), total, _costs(link, events, steps) if ended and watch == WATCH_COSTS else [], written)


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


def start(link: Link) -> None:
    """Variables hold their first contents again, and what was pushed is forgotten."""
    exchange(link, START)


def reset(link: Link) -> None:
    exchange(link, RESET)
    wait_boot(link)


def unwrapped(ticks: int, about: int) -> int:
    """A 32-bit count whose true value is near `about`."""
    return ticks + (max(0, about - ticks) + 2**31 >> 32 << 32)
