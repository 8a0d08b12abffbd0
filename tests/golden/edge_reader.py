# SPDX-License-Identifier: Apache-2.0
"""A second reader of .edge files, written from runtime_c/FORMAT.md alone: it imports nothing of edgesdk."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
CONSTANT, TABLE = 0x40000000, 0x20000000
BOUND = CONSTANT | TABLE


@dataclass
class Tensor:
    offset: int
    dtype: str
    dims: tuple[int, ...]
    scale: float
    zero_point: int
    arrival: int


@dataclass
class View:
    offset: int
    rows: int
    row_bytes: int
    constant: bool
    table: bool
    bound: bool
    first: int


@dataclass
class Step:
    kernel: int
    rows: int
    batch: int
    scratch: int
    output: View
    inputs: list[View]
    params: tuple[int, ...]


@dataclass
class File:
    arena_bytes: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    steps: list[Step]
    stages: list[tuple[int, ...]]
    weights: bytes
    metadata: dict[str, Any]
    variables: list[tuple[int, ...]]


def read(data: bytes) -> File:
    magic, major, minor, size, crc, features = struct.unpack_from("<4sHHIII", data)
    n_inputs, n_outputs, arena, n_sections = struct.unpack_from("<HHII", data, 20)
    assert (magic, major, minor, features & ~1) == (b"EDGE", 1, 0, 0)
    assert size <= len(data) and zlib.crc32(data[16:size]) == crc
    sections = {}
    for i in range(n_sections):
        number, offset, n = struct.unpack_from("<III", data, 32 + 12 * i)
        assert offset % (16 if number == 4 else 4) == 0 and offset + n <= size
        sections[number] = data[offset : offset + n]
    tensors = [tensor(sections[1][48 * i : 48 * i + 48]) for i in range(n_inputs + n_outputs)]
    stages = list(struct.iter_unpack("<7i", sections.get(3, b"")))
    found = steps(sections.get(2, b""))
    variables = list(struct.iter_unpack("<4i", sections.get(6, b"")))
    assert bool(variables) == bool(features & 1) and all(0 <= at <= at + n <= arena for at, n, _, _ in variables)
    metadata = json.loads(zlib.decompress(sections[5])) if sections.get(5) else {}
    return File(arena, tensors[:n_inputs], tensors[n_inputs:], found, stages, sections.get(4, b""), metadata, variables)


def tensor(record: bytes) -> Tensor:
    offset, dtype, rank, scale, zero_point, arrival, *dims = struct.unpack("<3if2i6i", record)
    assert arrival & 0xFF in (0, 1, 2, 3) and all(d == 1 for d in dims[rank:])
    return Tensor(offset, DTYPES[dtype], tuple(dims[:rank]), scale, zero_point, arrival)


def steps(section: bytes) -> list[Step]:
    found, at = [], 0
    while at < len(section):
        head, rows, batch, scratch = struct.unpack_from("<Iiii", section, at)
        n_inputs, n_params = head >> 16 & 0xFF, head >> 24
        views = [view(section, at + 16 + 16 * i) for i in range(1 + n_inputs)]
        at += 16 + 16 * (1 + n_inputs)
        params = struct.unpack_from(f"<{n_params}i", section, at)
        at += 4 * n_params
        found.append(Step(head & 0xFFFF, rows, batch, scratch, views[0], views[1:], params))
    return found


def view(section: bytes, at: int) -> View:
    offset, rows, row_bytes, first = struct.unpack_from("<4i", section, at)
    where = offset & BOUND
    assert 0 <= first < row_bytes
    return View(offset & ~BOUND, rows, row_bytes, where == CONSTANT, where == TABLE, where == BOUND, first)
