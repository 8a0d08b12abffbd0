# SPDX-License-Identifier: Apache-2.0
"""Reads the float variables of a TensorFlow checkpoint (a sorted string table and one data file)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

FOOTER_BYTES, TRAILER_BYTES = 48, 5
FLOAT32 = 1
DTYPE, SHAPE, OFFSET, SIZE = 1, 2, 4, 5  # fields of a BundleEntryProto


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(number, first byte after it), seven bits a byte, least first."""
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return number, at


def handle(data: bytes, at: int = 0) -> tuple[int, int, int]:
    """(offset, size) of a block, and the first byte after the handle."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return offset, size, at


def entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key tells how much of the one before it begins with."""
    assert table[offset + size] == 0, "compressed"
    end = offset + size - 4 * (1 + int.from_bytes(table[offset + size - 4 : offset + size], "little"))
    at, key = offset, b""
    while at < end:
        shared, at = varint(table, at)
        own, at = varint(table, at)
        n_bytes, at = varint(table, at)
        key, at = key[:shared] + table[at : at + own], at + own
        yield key, table[at : at + n_bytes]
        at += n_bytes


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a protocol buffer message."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 == 0:
            value, at = varint(message, at)
            yield tag >> 3, value
            continue
        n_bytes, at = varint(message, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
        yield tag >> 3, message[at : at + n_bytes]
        at += n_bytes


def load(folder: Path) -> dict[str, np.ndarray]:
    table, data = (folder / "variables.index").read_bytes(), (folder / "variables.data-00000-of-00001").read_bytes()
    offset, size, _ = handle(table[-FOOTER_BYTES:], handle(table[-FOOTER_BYTES:])[2])
    found = {}
    for _, block in entries(table, offset, size):
        for key, value in entries(table, *handle(block)[:2]):
            entry = dict(fields(value))
            if key and entry[DTYPE] == FLOAT32:
                dims = [dict(fields(d)).get(1, 0) for n, d in fields(entry.get(SHAPE, b"")) if n == 2]
                array = np.frombuffer(data, "<f4", entry[SIZE] // 4, entry.get(OFFSET, 0))
                found[key.decode().removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")] = array.reshape(dims)
    return found
