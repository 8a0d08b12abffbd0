# SPDX-License-Identifier: Apache-2.0
"""Frames: the Python side, and against the firmware's link.c compiled for this machine."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgesdk.errors import DeviceError
from edgesdk.runners import link, qemu
from edgesdk.runners.link import Frame, Link

FIRMWARE = Path(__file__).resolve().parents[2] / "apps" / "firmware"
RAW_BYTES = 268

lengths = st.integers(0, 264)
payloads = st.binary(max_size=264) | lengths.map(bytes) | lengths.map(lambda n: b"x" * n)
frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), payloads)


@given(st.binary(max_size=1000) | payloads)
@example(b"")
@example(b"\0")
@example(b"x" * 254)
@example(b"x" * 253 + b"\0")
@example(b"x" * 254 + b"\0")
def test_cobs_round_trip(data: bytes) -> None:
    encoded = link.cobs_encode(data)
    assert 0 not in encoded
    assert link.cobs_decode(encoded) == data
    assert len(encoded) <= len(data) + len(data) // 254 + 1


def test_cobs_examples() -> None:
    """From the definition: Cheshire and Baker, Consistent Overhead Byte Stuffing, 1999."""
    assert link.cobs_encode(b"\0") == b"\x01\x01"
    assert link.cobs_encode(b"\x11\x22\0\x33") == b"\x03\x11\x22\x02\x33"
    assert link.cobs_encode(bytes(range(1, 255))).startswith(b"\xff\x01")


def test_crc_check_value() -> None:
    assert link.crc16(b"123456789") == 0x29B1


@given(frames)
def test_frame_round_trip(frame: Frame) -> None:
    wire = link.encode(frame)
    assert wire[-1] == 0
    assert link.decode(wire[:-1]) == frame


@given(frames, st.data())
def test_a_damaged_frame_is_seen(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(link.encode(frame)[:-1])
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    assert link.decode(bytes(wire)) is None or 0 in wire


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_not(data: bytes) -> None:
    link.decode(data)


@pytest.fixture(scope="module")
def firmware_link(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("link") / "link.so"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(FIRMWARE / "link.c"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def c_encode(lib: ctypes.CDLL, raw: bytes) -> bytes:
    out = bytearray()
    put = ctypes.CFUNCTYPE(None, ctypes.c_uint8)(out.append)
    lib.link_encode(raw, len(raw), put)
    return bytes(out)


def c_decode(lib: ctypes.CDLL, wire: bytes) -> bytes | int:
    memory = ctypes.create_string_buffer(wire, len(wire) + 1)
    n: int = lib.link_decode(memory, len(wire))
    return memory.raw[:n] if n >= 0 else n


def test_both_sides_agree(firmware_link: ctypes.CDLL) -> None:
    @given(frames)
    def agree(frame: Frame) -> None:
        body = bytes((frame.kind, frame.sequence)) + frame.payload
        raw = body + struct.pack("<H", link.crc16(body))
        assert firmware_link.link_crc(body, len(body)) & 0xFFFF == link.crc16(body)
        assert c_encode(firmware_link, raw) == link.encode(frame)
        assert c_decode(firmware_link, link.encode(frame)[:-1]) == body

    agree()


def test_the_firmware_refuses_what_python_refuses(firmware_link: ctypes.CDLL) -> None:
    @given(st.binary(max_size=RAW_BYTES).map(lambda b: b.replace(b"\0", b"\1")))
    def agree(wire: bytes) -> None:
        frame, got = link.decode(wire), c_decode(firmware_link, wire)
        assert isinstance(got, bytes) == (frame is not None)

    agree()


@dataclass
class FakePort:
    """Answers each written frame with what `answer` makes of it."""

    answer: Callable[[Frame], list[bytes]]
    waiting: bytearray = field(default_factory=bytearray)
    timeout: float | None = None

    @property
    def in_waiting(self) -> int:
        return len(self.waiting)

    def read(self, size: int = 1, /) -> bytes:
        data = bytes(self.waiting[:size])
        del self.waiting[:size]
        if not data:
            time.sleep(min(0.01, self.timeout or 0))
        return data

    def write(self, b: bytes, /) -> int:
        frame = link.decode(b[:-1])
        assert frame is not None
        for wire in self.answer(frame):
            self.waiting += wire
        return len(b)


def error(code: int, frame: Frame, sequence: int) -> bytes:
    return link.encode(Frame(link.ERROR, sequence, struct.pack("<iB", code, frame.kind)))


def test_a_damaged_request_is_sent_again() -> None:
    seen: list[Frame] = []

    def answer(frame: Frame) -> list[bytes]:
        seen.append(frame)
        if len(seen) < 3:
            return [error(-101, frame, 0)]
        return [link.encode(Frame(frame.kind | link.ANSWER, frame.sequence, b"done"))]

    assert link.exchange(Link(FakePort(answer), "fake"), link.RUN)[0] == b"done"
    assert len(seen) == 3


def test_stale_and_damaged_answers_are_skipped() -> None:
    def answer(frame: Frame) -> list[bytes]:
        stale = link.encode(Frame(frame.kind | link.ANSWER, frame.sequence - 1, b"stale"))
        return [b"\x05gar\0", stale, link.encode(Frame(frame.kind | link.ANSWER, frame.sequence, b"right"))]

    assert link.exchange(Link(FakePort(answer), "fake"), link.READ)[0] == b"right"


def test_refusals_faults_and_silence_are_device_errors() -> None:
    refusing = Link(FakePort(lambda f: [error(-105, f, f.sequence)]), "fake")
    with pytest.raises(link.AgentError, match="refuses write: an argument is out of range"):
        link.exchange(refusing, link.WRITE)
    fault = link.encode(Frame(link.FAULT, 0, struct.pack("<iII", -108, 1, 0x1234)))
    crashing = Link(FakePort(lambda f: [fault]), "fake")
    with pytest.raises(DeviceError, match="fault at 0x1234"):
        link.exchange(crashing, link.RUN)
    with pytest.raises(DeviceError, match="did not answer in time"):
        link.exchange(Link(FakePort(lambda f: []), "fake"), link.RUN, timeout_s=0.05)


@pytest.mark.parametrize("hz", [16_000_000, 20_000_000, 25_000_000, 32_000_000])
def test_ticks_are_whole_instructions(hz: int) -> None:
    """However the two ends of a count fall between ticks, the instructions come out exactly."""
    ns = 2 ** qemu.instruction_shift(hz)
    for begin in range(0, 2000, 7):
        for n in (0, 1, 2, 9, 1000, 12345, 10_000_019):
            ticks = (begin + n) * ns * hz // 10**9 - begin * ns * hz // 10**9
            assert qemu.instructions(ticks, hz) == n


@given(st.integers(0, 2**40), st.integers(-(2**30), 2**30))
def test_counts_that_wrapped(true: int, error_of_estimate: int) -> None:
    assert link.unwrapped(true % 2**32, max(0, true + error_of_estimate)) == true
