# SPDX-License-Identifier: Apache-2.0
"""Reads FlatBuffers from bytes that nobody vouches for.

Every access is checked against the end of the data, nothing is read ahead of its use,
and a vector of tables costs nothing until one of them is asked for. What is wrong is
said with its byte offset.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgesdk.errors import UsageError


def number(data: bytes, kind: str, at: int) -> int | float:
    """The little-endian number of `struct` kind `kind` at byte `at`."""
    if at < 0 or at + struct.calcsize("<" + kind) > len(data):
        raise UsageError(f"byte offset {at} lies outside of the file's {len(data)} bytes; the file is damaged")
    value: int | float = struct.unpack_from("<" + kind, data, at)[0]
    return value


def u32(data: bytes, at: int) -> int:
    return int(number(data, "I", at))


@dataclass(frozen=True)
class Table:
    """A table at byte `at`; `n_slots` field offsets start at byte `slots`."""

    data: bytes
    at: int
    slots: int
    n_slots: int

    def field(self, slot: int) -> int:
        """Where the field is, 0 where the table leaves it at its default."""
        if slot >= self.n_slots:
            return 0
        offset = int(number(self.data, "H", self.slots + 2 * slot))
        return self.at + offset if offset else 0

    def number(self, slot: int, kind: str, default: int | float = 0) -> int | float:
        at = self.field(slot)
        return number(self.data, kind, at) if at else default

    def integer(self, slot: int, kind: str = "i", default: int = 0) -> int:
        return int(self.number(slot, kind, default))

    def table(self, slot: int) -> Table | None:
        at = self.field(slot)
        return table(self.data, at + u32(self.data, at)) if at else None

    def tables(self, slot: int) -> Tables:
        start, count = self.extent(slot, 4)
        return Tables(self.data, start, count)

    def array(self, slot: int, dtype: str) -> np.ndarray:
        """A vector of numbers, as a view of the data; empty where absent."""
        kind = np.dtype(dtype).newbyteorder("<")
        start, count = self.extent(slot, kind.itemsize)
        return np.frombuffer(self.data, kind, count, start)

    def text(self, slot: int, limit: int = 256) -> str:
        """A string, cut after `limit` bytes."""
        start, count = self.extent(slot, 1)
        return self.data[start : start + min(count, limit)].decode("utf-8", "replace")

    def extent(self, slot: int, itemsize: int) -> tuple[int, int]:
        """(first byte, number of items) of a vector field; (0, 0) where absent."""
        at = self.field(slot)
        if not at:
            return 0, 0
        start = at + u32(self.data, at)
        count = u32(self.data, start)
        if start + 4 + count * itemsize > len(self.data):
            raise UsageError(
                f"the vector at byte offset {start} claims {count} items of {itemsize} bytes, "
                f"expected them within the file's {len(self.data)} bytes; the file is damaged"
            )
        return start + 4, count


@dataclass(frozen=True)
class Tables:
    """A vector of tables, each parsed when it is asked for."""

    data: bytes
    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Table:
        if not 0 <= index < self.count:
            raise IndexError(index)
        at = self.start + 4 * index
        return table(self.data, at + u32(self.data, at))

    def __iter__(self) -> Iterator[Table]:
        return (self[i] for i in range(self.count))


def table(data: bytes, at: int) -> Table:
    vtable = at - int(number(data, "i", at))
    n_bytes = int(number(data, "H", vtable))
    if n_bytes < 4 or n_bytes % 2 or vtable + n_bytes > len(data):
        raise UsageError(
            f"the table at byte offset {at} has a field list of {n_bytes} bytes at {vtable}, "
            f"expected an even number of at least 4 within the file; the file is damaged"
        )
    return Table(data, at, vtable + 4, (n_bytes - 4) // 2)


def root(data: bytes, identifier: bytes) -> Table:
    """The outermost table of a file whose bytes 4 to 8 are `identifier`."""
    if data[4:8] != identifier:
        raise UsageError(
            f"bytes 4 to 8 are {data[4:8]!r}, expected {identifier!r}; the file is of another kind or damaged"
        )
    return table(data, u32(data, 0))
