# SPDX-License-Identifier: Apache-2.0
"""Writer and reader of .edge files. Every byte is in runtime_c/FORMAT.md."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edgesdk import ops
from edgesdk.errors import DoesNotFit, UsageError
from edgesdk.ir import Value
from edgesdk.memory import MemoryPlan
from edgesdk.ops import RowView
from edgesdk.schedule import Schedule, Step

MAGIC = b"EDGE"
MAJOR, MINOR = 1, 0
HEADER = struct.Struct("<4sHHIIIHHII")  # magic, major, minor, file, crc, features, inputs, outputs, arena, sections
SECTION = struct.Struct("<III")
TENSOR = struct.Struct("<iiifii6i")
CRC_START = 16
ALIGN = 16
CONSTANT_BIT = 0x40000000
MAX_RANK = 6
MAX_METADATA_BYTES = 1 << 24
DTYPE_CODES = {"float32": 0, "float16": 1, "int8": 2, "uint8": 3, "int16": 4, "int32": 5, "int64": 6, "bool": 7}
DTYPE_NAMES = {code: name for name, code in DTYPE_CODES.items()}
TENSORS, STEPS, STAGES, WEIGHTS, METADATA = 1, 2, 3, 4, 5
STAGE_KINDS = ("plain",)


@dataclass(frozen=True)
class Tensor:
    """A graph input or output in the arena; scale 0 where it is not quantised."""

    name: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True)
class ViewRecord:
    offset: int
    rows: int
    row_bytes: int
    constant: bool = False


@dataclass(frozen=True)
class StepRecord:
    """One kernel call as the runtime reads it."""

    kernel: int
    rows: int
    batch: int
    scratch_offset: int
    output: ViewRecord
    inputs: tuple[ViewRecord, ...]
    params: tuple[int, ...]


@dataclass(frozen=True)
class StageRecord:
    kind: str
    first: int
    count: int


@dataclass(frozen=True)
class Program:
    """The content of a .edge file. `metadata` is JSON; a device need not read it."""

    arena_bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[StepRecord, ...]
    stages: tuple[StageRecord, ...]
    weights: bytes
    metadata: dict[str, Any] = field(default_factory=dict)


class _StepInfo(msgspec.Struct):
    """What `_describe` writes of a step; decides which metadata is refused."""

    op: str
    source: str
    value: str
    shape: list[int]
    dtype: Literal["float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool"]
    macs: int
    weights_bytes: int
    quant: tuple[float, int] = (0.0, 0)


class _Metadata(msgspec.Struct):
    name: str = ""
    board: str = ""
    inputs: list[str] = []
    outputs: list[str] = []
    steps: list[_StepInfo] | None = None
    input_layouts: dict[str, str] = {}
    output_layouts: dict[str, str] = {}


class _Weights:
    """The weight section while it grows; equal blobs are stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.known: dict[tuple[bytes, int], int] = {}

    def place(self, array: np.ndarray) -> int:
        blob = np.ascontiguousarray(array).tobytes()
        align = ALIGN if len(blob) >= 64 else array.dtype.itemsize
        key = (blob, array.dtype.itemsize)
        if key not in self.known:
            self.data += bytes(-len(self.data) % align)
            self.known[key] = len(self.data)
            self.data += blob
        return self.known[key]


def assemble(schedule: Schedule, plan: MemoryPlan, metadata: dict[str, Any] | None = None) -> Program:
    """Places constants and turns steps into records."""
    weights = _Weights()
    steps = tuple(_record(s, scratch, plan, weights) for s, scratch in zip(schedule.steps, plan.scratch, strict=True))
    _check_addressable("arena", plan.arena_bytes)
    _check_addressable("weight section", len(weights.data))
    graph = schedule.graph
    described = {
        "name": graph.name,
        "inputs": [v.name for v in graph.inputs],
        "outputs": [v.name for v in graph.outputs],
        "steps": [_describe(s) for s in schedule.steps],
        **graph.metadata,
        **(metadata or {}),
    }
    return Program(
        plan.arena_bytes,
        tuple(_tensor(v, plan) for v in graph.inputs),
        tuple(_tensor(v, plan) for v in graph.outputs),
        steps,
        tuple(StageRecord(s.kind, s.first, s.count) for s in schedule.stages),
        bytes(weights.data),
        described,
    )


def _check_addressable(what: str, need: int) -> None:
    """Offsets of views share their word with CONSTANT_BIT."""
    if need >= CONSTANT_BIT:
        raise DoesNotFit(
            f"the {what} needs {need} bytes, a .edge file addresses {CONSTANT_BIT - 1}: "
            f"{need - CONSTANT_BIT + 1} bytes too few; use a smaller input or model"
        )


def _describe(step: Step) -> dict[str, Any]:
    out = step.node.output
    quant = {"quant": [out.scale, out.zero_point]} if out.quant is not None else {}
    return {
        "op": step.node.op,
        "source": step.node.source,
        "value": out.name,
        **quant,
        "shape": list(out.shape),
        "dtype": out.dtype,
        "macs": ops.macs(step.node),
        "weights_bytes": sum(p.nbytes for p in step.encoded.params if isinstance(p, np.ndarray)),
    }


def _tensor(value: Value, plan: MemoryPlan) -> Tensor:
    if len(value.shape) > MAX_RANK:
        raise UsageError(f"{value.name}: rank {len(value.shape)}; expected at most {MAX_RANK} dimensions")
    scale, zero_point = (value.scale, value.zero_point) if value.quant is not None else (0.0, 0)
    return Tensor(value.name, plan.offsets[value], value.dtype, value.shape, scale, zero_point)


def _record(step: Step, scratch: int, plan: MemoryPlan, weights: _Weights) -> StepRecord:
    encoded = step.encoded

    def view(v: RowView) -> ViewRecord:
        if v.value.data is not None:
            return ViewRecord(weights.place(v.value.data), v.rows, v.row_bytes, True)
        return ViewRecord(plan.offsets[v.value], v.rows, v.row_bytes)

    params = tuple(_word(p, weights) for p in encoded.params)
    inputs = tuple(view(v) for v in encoded.inputs)
    return StepRecord(step.kernel.number, encoded.rows, encoded.batch, scratch, view(encoded.output), inputs, params)


def _word(p: int | np.ndarray | None, weights: _Weights) -> int:
    if p is None:
        return -1
    return weights.place(p) if isinstance(p, np.ndarray) else int(np.int64(p).astype(np.int32))


def write(program: Program) -> bytes:
    """The bytes of the file."""
    metadata = zlib.compress(msgspec.json.encode(program.metadata), 9)
    sections = [
        (TENSORS, 4, b"".join(_tensor_bytes(t) for t in (*program.inputs, *program.outputs))),
        (STEPS, 4, b"".join(_step_bytes(s) for s in program.steps)),
        (STAGES, 4, b"".join(struct.pack("<3i", STAGE_KINDS.index(s.kind), s.first, s.count) for s in program.stages)),
        (WEIGHTS, ALIGN, program.weights),
        (METADATA, 4, metadata),
    ]
    body = bytearray(HEADER.size + SECTION.size * len(sections))
    for i, (number, align, data) in enumerate(sections):
        body += bytes(-len(body) % align)
        SECTION.pack_into(body, HEADER.size + SECTION.size * i, number, len(body), len(data))
        body += data
    counts = (len(program.inputs), len(program.outputs), program.arena_bytes, len(sections))
    HEADER.pack_into(body, 0, MAGIC, MAJOR, MINOR, len(body), 0, 0, *counts)
    struct.pack_into("<I", body, 12, zlib.crc32(bytes(body[CRC_START:])))
    return bytes(body)


def _tensor_bytes(t: Tensor) -> bytes:
    dims = (*t.shape, *[1] * (MAX_RANK - len(t.shape)))
    return TENSOR.pack(t.offset, DTYPE_CODES[t.dtype], len(t.shape), t.scale, t.zero_point, 0, *dims)


def _step_bytes(s: StepRecord) -> bytes:
    first = s.kernel | len(s.inputs) << 16 | len(s.params) << 24
    words = [first, s.rows, s.batch, s.scratch_offset]
    for v in (s.output, *s.inputs):
        words += [v.offset | (CONSTANT_BIT if v.constant else 0), v.rows, v.row_bytes]
    return np.array(words + list(s.params), np.int64).astype("<i4").tobytes()


def read(data: bytes) -> Program:
    """The program that `write` wrote. Raises UsageError for anything else."""
    try:
        return _read(data)
    except (struct.error, IndexError, KeyError, ValueError, zlib.error, msgspec.DecodeError) as error:
        raise UsageError(
            f"not a readable .edge file ({error}); expected the bytes that `edgesdk convert` wrote"
        ) from error


def _read(data: bytes) -> Program:
    magic, major, minor, size, crc, features, n_in, n_out, arena, n_sections = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"it starts with {magic!r}, expected {MAGIC!r}")
    if major != MAJOR or minor > MINOR or features:
        raise ValueError(f"format {major}.{minor}, features {features:#x}; this reader knows {MAJOR}.{MINOR}")
    if size > len(data):
        raise ValueError(f"{len(data)} bytes, the header says {size}")
    if zlib.crc32(data[CRC_START:size]) != crc:
        raise ValueError("the checksum does not match")
    found = {}
    for i in range(n_sections):
        number, offset, n = SECTION.unpack_from(data, HEADER.size + SECTION.size * i)
        found[number] = data[offset : offset + n]
    metadata = _read_metadata(found.get(METADATA, b""))
    names = [*metadata.get("inputs", []), *metadata.get("outputs", [])]
    tensors = [_read_tensor(found[TENSORS], i, names) for i in range(n_in + n_out)]
    stages = [
        StageRecord(STAGE_KINDS[kind], first, count)
        for kind, first, count in struct.iter_unpack("<3i", found.get(STAGES, b""))
    ]
    steps = tuple(_read_steps(np.frombuffer(found[STEPS], "<i4")))
    if "steps" in metadata and len(metadata["steps"]) != len(steps):
        raise ValueError(f"{len(steps)} steps, its metadata describes {len(metadata['steps'])}")
    outputs = tuple(tensors[n_in:])
    return Program(arena, tuple(tensors[:n_in]), outputs, steps, tuple(stages), found.get(WEIGHTS, b""), metadata)


def _read_metadata(packed: bytes) -> dict[str, Any]:
    if not packed:
        return {}
    unpack = zlib.decompressobj()
    text = unpack.decompress(packed, MAX_METADATA_BYTES)
    if not unpack.eof:
        raise ValueError(f"its metadata is cut off or over {MAX_METADATA_BYTES} bytes")
    metadata = msgspec.json.decode(text, type=dict[str, Any])
    msgspec.convert(metadata, _Metadata)
    return metadata


def _read_tensor(section: bytes, index: int, names: list[str]) -> Tensor:
    offset, dtype, rank, scale, zero_point, _, *dims = TENSOR.unpack_from(section, index * TENSOR.size)
    name = names[index] if index < len(names) else f"tensor{index}"
    return Tensor(name, offset, DTYPE_NAMES[dtype], tuple(dims[:rank]), scale, zero_point)


def _read_steps(words: np.ndarray) -> list[StepRecord]:
    steps: list[StepRecord] = []
    at = 0
    while at < len(words):
        first = int(words[at]) & 0xFFFFFFFF
        n_in, n_params = first >> 16 & 0xFF, first >> 24
        end = at + 4 + 3 * (1 + n_in) + n_params
        if end > len(words):
            raise ValueError(f"step {len(steps)} ends past its section")
        rows, batch, scratch = (int(w) for w in words[at + 1 : at + 4])
        views = [_read_view(words[at + 4 + 3 * i : at + 7 + 3 * i]) for i in range(1 + n_in)]
        params = tuple(int(w) for w in words[end - n_params : end])
        steps.append(StepRecord(first & 0xFFFF, rows, batch, scratch, views[0], tuple(views[1:]), params))
        at = end
    return steps


def _read_view(words: np.ndarray) -> ViewRecord:
    offset = int(words[0])
    return ViewRecord(offset & ~CONSTANT_BIT, int(words[1]), int(words[2]), bool(offset & CONSTANT_BIT))


def read_file(path: Path) -> bytes:
    """The bytes of a .edge file. Raises UsageError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); expected a .edge file") from error


def write_file(path: Path, data: bytes) -> None:
    """Writes the whole file or nothing. Raises UsageError where the disk refuses."""
    try:
        # A folder, or a device such as /dev/null, which a rename would replace.
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: is not a regular file; expected the name of a file to write")
        _replace(path, data)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); free space or choose another place") from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # an interrupt leaves nothing either
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
