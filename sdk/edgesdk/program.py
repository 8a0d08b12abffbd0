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
from edgesdk.errors import DoesNotFit, Unsupported, UsageError
from edgesdk.ir import Value, Variable
from edgesdk.memory import TABLE_REACH_BYTES, MemoryPlan
from edgesdk.ops import RowView
from edgesdk.schedule import Schedule, Stage, Step
from edgesdk.schedule.frames import first_row
from edgesdk.schedule.threads import rows_in_part
from edgesdk.schedule.trace import AWAIT

MAGIC = b"EDGE"
MAJOR, MINOR = 1, 0
HEADER = struct.Struct("<4sHHIIIHHII")  # magic, major, minor, file, crc, features, inputs, outputs, arena, sections
SECTION = struct.Struct("<III")
TENSOR = struct.Struct("<iiifii6i")
CRC_START = 16
ALIGN = 16
STAGE = struct.Struct("<7i")
VARIABLE = struct.Struct("<4i")
NO_BLOB = -1
VARIABLES_FEATURE = 1
CONSTANT_BIT, TABLE_BIT = 0x40000000, 0x20000000
BOUND_BITS = CONSTANT_BIT | TABLE_BIT
VIEW_REACH, FILE_REACH = TABLE_BIT, 2**31  # offsets of views share their word with two bits; others are int32
VIEW_WORDS = 4
AWAIT_ROW = 0xFF
MAX_RANK = 6
MAX_METADATA_BYTES = 1 << 24
DTYPE_CODES = {"float32": 0, "float16": 1, "int8": 2, "uint8": 3, "int16": 4, "int32": 5, "int64": 6, "bool": 7}
DTYPE_NAMES = {code: name for name, code in DTYPE_CODES.items()}
TENSORS, STEPS, STAGES, WEIGHTS, METADATA, VARIABLES = 1, 2, 3, 4, 5, 6
STAGE_KINDS = ("plain", "rows", "frames")
RESIDENT, ROWS, FRAMES, BOUND = range(4)  # how an input arrives


@dataclass(frozen=True)
class Tensor:
    """A graph input or output in the arena; scale 0 where it is not quantised. The offset of an
    input streamed by rows is that of its row table in the weights; one that slides has a ring; one that is
    bound lies where the app says."""

    name: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    streamed: bool = False
    ring: int = 0  # rows kept of a sliding input
    bound: bool = False


@dataclass(frozen=True)
class ViewRecord:
    """Rows in the arena, or in the weights (`constant`), or where a row table in the weights says (`table`), or in
    the bound input (`bound`); each from its byte `first` on."""

    offset: int
    rows: int
    row_bytes: int
    constant: bool = False
    table: bool = False
    bound: bool = False
    first: int = 0


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
    """Steps [first, first + count). Of a stage of rows: where its program, its step table (both in
    the weights) and its counters (in the arena) lie. Of a plain one for several threads the program are the rows
    in a part of each step (threads.py)."""

    kind: str
    first: int
    count: int
    program: int = 0
    program_bytes: int = 0
    steps: int = 0
    counters: int = 0


@dataclass(frozen=True)
class VariableRecord:
    """Bytes of the arena that a run leaves to the next one. A session begins with the blob `initial` of the weights
    in them, or, where that is NO_BLOB, with the byte `fill`."""

    offset: int
    n_bytes: int
    initial: int
    fill: int


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
    variables: tuple[VariableRecord, ...] = ()


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
    arena_memory: str = ""
    inputs: list[str] = []
    outputs: list[str] = []
    steps: list[_StepInfo] | None = None
    input_layouts: dict[str, str] = {}
    output_layouts: dict[str, str] = {}
    pixels: str = ""
    quantization: str = ""
    states: dict[str, str] = {}  # inputs of the source that the session keeps, and the outputs that renew them


class _Weights:
    """The weight section while it grows; equal blobs are stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.known: dict[tuple[bytes, int], int] = {}

    def place(self, array: np.ndarray, align: int = 1) -> int:
        blob = np.ascontiguousarray(array).tobytes()
        align = ALIGN if len(blob) >= 64 else max(align, array.dtype.itemsize)
        key = (blob, array.dtype.itemsize)
        if key not in self.known:
            self.data += bytes(-len(self.data) % align)
            self.known[key] = len(self.data)
            self.data += blob
        return self.known[key]


def assemble(schedule: Schedule, plan: MemoryPlan, metadata: dict[str, Any] | None = None) -> Program:
    """Places constants and turns steps into records."""
    weights = _Weights()
    steps = tuple(
        _record(schedule, s, scratch, plan, weights) for s, scratch in zip(schedule.steps, plan.scratch, strict=True)
    )
    stages = tuple(
        _stage(schedule, stage, span, counters, steps, weights)
        for (stage, span), counters in zip(schedule.spans(), plan.counters, strict=True)
    )
    variables = tuple(_variable(v, plan, weights) for v in schedule.graph.variables)
    _check_reach("the arena", plan.arena_bytes, VIEW_REACH)
    _check_reach("the weight section", len(weights.data), FILE_REACH)
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
        tuple(_tensor(v, schedule, plan, weights) for v in graph.inputs),
        tuple(_tensor(v, schedule, plan, weights) for v in graph.outputs),
        steps,
        stages,
        bytes(weights.data),
        described,
        variables,
    )


def _variable(v: Variable, plan: MemoryPlan, weights: _Weights) -> VariableRecord:
    """One byte says it all for zeros of any type, and for zero points of int8."""
    raw = np.ascontiguousarray(v.initial, v.value.dtype).view(np.int8).ravel()
    fill = int(raw[0])
    initial = NO_BLOB if (raw == fill).all() else weights.place(v.initial)
    return VariableRecord(plan.offsets[v.value], v.value.n_bytes, initial, fill if initial == NO_BLOB else 0)


def _check_reach(what: str, need: int, reach: int) -> None:
    if need >= reach:
        raise DoesNotFit(
            f"{what} needs {need} bytes, a .edge file addresses {reach - 1}: "
            f"{need - reach + 1} bytes too few; use a smaller input or model, or smaller weights (--quantize)"
        )


def _viewed(offset: int) -> int:
    """The offset of weights that a view tells."""
    _check_reach("what lies before a constant that is read by rows", offset, VIEW_REACH)
    return offset


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


def _tensor(value: Value, schedule: Schedule, plan: MemoryPlan, weights: _Weights) -> Tensor:
    if len(value.shape) > MAX_RANK:
        raise UsageError(f"{value.name}: rank {len(value.shape)}; expected at most {MAX_RANK} dimensions")
    scale, zero_point = (value.scale, value.zero_point) if value.quant is not None else (0.0, 0)
    streamed, bound = value in plan.tables, value is schedule.bound
    ring = schedule.rings.get(value, 0) if value in schedule.graph.inputs else 0
    offset = _table(plan.tables[value], weights) if streamed else 0 if bound else plan.offsets[value]
    return Tensor(value.name, offset, value.dtype, value.shape, scale, zero_point, streamed or ring > 0, ring, bound)


def _table(offsets: list[int], weights: _Weights) -> int:
    if max(offsets) >= TABLE_REACH_BYTES:
        raise DoesNotFit(f"a row lies at {max(offsets)}; a fused stage expects it below {TABLE_REACH_BYTES}")
    return _viewed(weights.place((np.array(offsets) // ALIGN).astype(np.uint16), ALIGN))


def _stage(
    schedule: Schedule, stage: Stage, span: range, counters: int, steps: tuple[StepRecord, ...], weights: _Weights
) -> StageRecord:
    if stage.kind == "plain":
        parts = np.array([rows_in_part(schedule, schedule.steps[i]) for i in stage.steps], np.uint8)
        found = (weights.place(parts), parts.size) if parts.any() else (0, 0)
        return StageRecord(stage.kind, stage.first, stage.count, *found)
    calls = [schedule.calls[t].step for t in span]
    code = np.array([AWAIT_ROW if c == AWAIT else c - stage.first for c in calls], np.uint8)
    starts = np.cumsum([0, *(_step_words(s) for s in steps)])
    table = starts[stage.first : stage.first + stage.count]
    if table.max() >= 2**16:
        raise Unsupported(f"a fused stage at word {table.max()} of the steps; expected fewer than 65536")
    begin = [first_row(schedule.paces[schedule.steps[i].node.output]) for i in stage.steps if stage.kind == "frames"]
    at = weights.place(np.array([*table, *begin], np.int64).astype(np.uint16))
    return StageRecord(stage.kind, stage.first, stage.count, weights.place(code), code.size, at, counters)


def _step_words(s: StepRecord) -> int:
    return 4 + VIEW_WORDS * (1 + len(s.inputs)) + len(s.params)


def _record(schedule: Schedule, step: Step, scratch: int, plan: MemoryPlan, weights: _Weights) -> StepRecord:
    encoded = step.encoded

    def view(v: RowView) -> ViewRecord:
        shape = (v.rows, v.row_bytes)
        if v.value.data is not None:
            return ViewRecord(_viewed(weights.place(v.value.data)), *shape, constant=True)
        if schedule.root(v.value) is schedule.bound:
            return ViewRecord(0, *shape, bound=True, first=v.first)
        if v.value in plan.tables:
            return ViewRecord(_table(plan.tables[v.value], weights), *shape, table=True, first=v.first)
        return ViewRecord(plan.offsets[v.value], *shape, first=v.first)

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
        (STAGES, 4, b"".join(_stage_bytes(s) for s in program.stages)),
        (WEIGHTS, ALIGN, program.weights),
        (METADATA, 4, metadata),
    ]
    if program.variables:
        records = b"".join(VARIABLE.pack(v.offset, v.n_bytes, v.initial, v.fill) for v in program.variables)
        sections.append((VARIABLES, 4, records))
    body = bytearray(HEADER.size + SECTION.size * len(sections))
    for i, (number, align, data) in enumerate(sections):
        body += bytes(-len(body) % align)
        SECTION.pack_into(body, HEADER.size + SECTION.size * i, number, len(body), len(data))
        body += data
    counts = (len(program.inputs), len(program.outputs), program.arena_bytes, len(sections))
    features = VARIABLES_FEATURE if program.variables else 0
    HEADER.pack_into(body, 0, MAGIC, MAJOR, MINOR, len(body), 0, features, *counts)
    struct.pack_into("<I", body, 12, zlib.crc32(bytes(body[CRC_START:])))
    return bytes(body)


def _tensor_bytes(t: Tensor) -> bytes:
    dims = (*t.shape, *[1] * (MAX_RANK - len(t.shape)))
    return TENSOR.pack(t.offset, DTYPE_CODES[t.dtype], len(t.shape), t.scale, t.zero_point, _arrival(t), *dims)


def _arrival(t: Tensor) -> int:
    return FRAMES | t.ring << 8 if t.ring else ROWS if t.streamed else BOUND if t.bound else RESIDENT


def _stage_bytes(s: StageRecord) -> bytes:
    return STAGE.pack(STAGE_KINDS.index(s.kind), s.first, s.count, s.program, s.program_bytes, s.steps, s.counters)


def _step_bytes(s: StepRecord) -> bytes:
    first = s.kernel | len(s.inputs) << 16 | len(s.params) << 24
    words = [first, s.rows, s.batch, s.scratch_offset]
    for v in (s.output, *s.inputs):
        bits = BOUND_BITS if v.bound else CONSTANT_BIT * v.constant | TABLE_BIT * v.table
        words += [v.offset | bits, v.rows, v.row_bytes, v.first]
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
    if major != MAJOR or minor > MINOR or features & ~VARIABLES_FEATURE:
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
    stages = [StageRecord(STAGE_KINDS[w[0]], *w[1:]) for w in STAGE.iter_unpack(found.get(STAGES, b""))]
    steps = tuple(_read_steps(np.frombuffer(found[STEPS], "<i4")))
    if "steps" in metadata and len(metadata["steps"]) != len(steps):
        raise ValueError(f"{len(steps)} steps, its metadata describes {len(metadata['steps'])}")
    outputs = tuple(tensors[n_in:])
    variables = tuple(VariableRecord(*v) for v in VARIABLE.iter_unpack(found.get(VARIABLES, b"")))
    weights, inputs = found.get(WEIGHTS, b""), tuple(tensors[:n_in])
    return Program(arena, inputs, outputs, steps, tuple(stages), weights, metadata, variables)


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
    offset, dtype, rank, scale, zero_point, arrival, *dims = TENSOR.unpack_from(section, index * TENSOR.size)
    name = names[index] if index < len(names) else f"tensor{index}"
    how, ring = arrival & 0xFF, arrival >> 8
    pushed, bound = how in (ROWS, FRAMES), how == BOUND
    return Tensor(name, offset, DTYPE_NAMES[dtype], tuple(dims[:rank]), scale, zero_point, pushed, ring, bound)


def step_words(first: int) -> int:
    """Words of a step record, from its first one."""
    return 4 + VIEW_WORDS * (1 + (first >> 16 & 0xFF)) + (first >> 24)


def _read_steps(words: np.ndarray) -> list[StepRecord]:
    steps: list[StepRecord] = []
    at = 0
    while at < len(words):
        first = int(words[at]) & 0xFFFFFFFF
        n_in, n_params = first >> 16 & 0xFF, first >> 24
        first_param = at + 4 + VIEW_WORDS * (1 + n_in)
        end = first_param + n_params
        if end > len(words):
            raise ValueError(f"step {len(steps)} ends past its section")
        rows, batch, scratch = (int(w) for w in words[at + 1 : at + 4])
        views = [_read_view(v) for v in words[at + 4 : first_param].reshape(-1, VIEW_WORDS)]
        params = tuple(int(w) for w in words[first_param:end])
        steps.append(StepRecord(first & 0xFFFF, rows, batch, scratch, views[0], tuple(views[1:]), params))
        at = end
    return steps


def _read_view(words: np.ndarray) -> ViewRecord:
    offset, rows, row_bytes, first = (int(w) for w in words)
    where = offset & BOUND_BITS
    bits = (where == CONSTANT_BIT, where == TABLE_BIT, where == BOUND_BITS)
    return ViewRecord(offset & ~BOUND_BITS, rows, row_bytes, *bits, first)


def read_file(path: Path) -> bytes:
    """The bytes of a .edge file. Raises UsageError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); expected a .edge file") from error


def threads(program: Program) -> bool:
    """Whether steps are written for several threads."""
    return any(shares(stage) for stage in program.stages)


def shares(stage: StageRecord) -> bool:
    """Whether the stage tells which rows threads take."""
    return stage.kind == "plain" and stage.program_bytes > 0


def bound_bytes(program: Program) -> int:
    """Bytes of the input that is read where the app has it; 0 where there is none."""
    return sum(int(np.prod(t.shape)) * np.dtype(t.dtype).itemsize for t in program.inputs if t.bound)


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
