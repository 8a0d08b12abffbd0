# SPDX-License-Identifier: Apache-2.0
"""What a .tflite file says about its operators and tensors, checked as it is read.

Nothing is read before it is asked for. Constants are views of the file; whatever is
derived from them is charged to an allowance in proportion to the file, so that a small
file whose tables refer to each other many times cannot claim much memory or time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgesdk.converters import flatbuffer, tflite_sparse
from edgesdk.converters import tflite_schema as schema
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import MAX_ELEMENTS, MAX_RANK, Quant

# int4 weights that become float32 grow eightfold; twice that leaves room for tensors that share a buffer.
ALLOWANCE_PER_BYTE = 16
ALLOWANCE_BYTES = 2**20

# What the work on a name and on an operator is charged as; each takes more of the file than a 16th of this.
NAME_BYTES = 64
OPERATOR_BYTES = 256


@dataclass
class File:
    """One subgraph of a file, the main one as a rule."""

    data: bytes
    description: str
    codes: flatbuffer.Tables
    buffers: flatbuffer.Tables
    tensors: flatbuffer.Tables
    operators: flatbuffer.Tables
    inputs: list[int]
    outputs: list[int]
    allowance: int

    def charge(self, n_bytes: int, where: str) -> None:
        self.allowance -= n_bytes
        if self.allowance < 0:
            raise UsageError(
                f"{where}: the file's tables refer to the same data too often, expected derived data of at most "
                f"{ALLOWANCE_PER_BYTE} times the file's {len(self.data)} bytes; the file is damaged"
            )


def read(data: bytes) -> File:
    root = flatbuffer.root(data, schema.IDENTIFIER)
    subgraphs = root.tables(schema.MODEL["subgraphs"])
    if not len(subgraphs):
        raise UsageError("the model at byte offset 0 has no subgraph, expected one; export the model again")
    file = _of_subgraph(data, root, subgraphs[0], ALLOWANCE_BYTES + ALLOWANCE_PER_BYTE * len(data))
    for kind, count in ("operators", len(file.operators)), ("inputs", len(file.inputs)), ("outputs", len(file.outputs)):
        if not count:
            raise UsageError(f"the main subgraph has no {kind}, expected at least one; export the model again")
    return file


def _of_subgraph(data: bytes, root: flatbuffer.Table, subgraph: flatbuffer.Table, allowance: int) -> File:
    return File(
        data,
        root.text(schema.MODEL["description"]),
        root.tables(schema.MODEL["operator_codes"]),
        root.tables(schema.MODEL["buffers"]),
        subgraph.tables(schema.SUBGRAPH["tensors"]),
        subgraph.tables(schema.SUBGRAPH["operators"]),
        subgraph.array(schema.SUBGRAPH["inputs"], "int32").tolist(),
        subgraph.array(schema.SUBGRAPH["outputs"], "int32").tolist(),
        allowance,
    )


def subgraph(file: File, index: int, where: str) -> File:
    """Another subgraph of the same file, with what is left of the allowance."""
    root = flatbuffer.root(file.data, schema.IDENTIFIER)
    subgraphs = root.tables(schema.MODEL["subgraphs"])
    if not 0 < index < len(subgraphs):
        raise UsageError(f"{where}: names subgraph {index}, expected 1 to {len(subgraphs) - 1}; the file is damaged")
    return _of_subgraph(file.data, root, subgraphs[index], file.allowance)


def operator_name(file: File, operator: flatbuffer.Table) -> str:
    """The builtin operator, or the name of the custom one. Codes above 127 are in the newer field."""
    index = operator.integer(schema.OPERATOR["opcode_index"], "I")
    if index >= len(file.codes):
        raise UsageError(
            f"the operator at byte offset {operator.at} refers to operator code {index}, "
            f"expected one below {len(file.codes)}; the file is damaged"
        )
    code = file.codes[index]
    old = code.integer(schema.OPERATOR_CODE["deprecated_builtin_code"], "b")
    number = max(old, code.integer(schema.OPERATOR_CODE["builtin_code"]))
    if not 0 <= number < len(schema.OPERATORS):
        return f"BUILTIN_{number}"
    name = schema.OPERATORS[number]
    return f"CUSTOM:{code.text(schema.OPERATOR_CODE['custom_code'])}" if name == "CUSTOM" else name


def tensor(file: File, index: int, where: str) -> flatbuffer.Table:
    if not 0 <= index < len(file.tensors):
        raise UsageError(
            f"{where}: refers to tensor {index}, expected 0 to {len(file.tensors) - 1}; the file is damaged"
        )
    return file.tensors[index]


def name(file: File, index: int) -> str:
    text = tensor(file, index, "subgraph").text(schema.TENSOR["name"])
    file.charge(NAME_BYTES + len(text), f"tensor {index}")
    return text or f"tensor_{index}"


def label(file: File, index: int) -> str:
    """How messages call a tensor."""
    return f"tensor {index} {name(file, index)!r}"


def type_name(file: File, index: int) -> str:
    number = tensor(file, index, "subgraph").integer(schema.TENSOR["type"], "b")
    if not 0 <= number < len(schema.TYPES):
        raise UsageError(f"{label(file, index)}: type {number} is not in the schema; the file is damaged")
    return schema.TYPES[number]


def dtype(file: File, index: int) -> str:
    kind = type_name(file, index)
    if kind not in schema.DTYPES:
        raise Unsupported(f"{label(file, index)} is {kind}")
    return schema.DTYPES[kind]


def shape(file: File, index: int) -> tuple[int, ...]:
    """The static shape, with the 1 that converters write for a dynamic dimension."""
    dims = small_vector(file, index, "shape", MAX_RANK)
    if any(d < 1 for d in dims) or math.prod(dims) > MAX_ELEMENTS:
        raise UsageError(
            f"{label(file, index)}: has shape {dims}, expected dimensions of at least 1 and "
            f"at most {MAX_ELEMENTS} elements; the file is damaged or the model is empty"
        )
    return dims


def signature(file: File, index: int) -> tuple[int, ...]:
    """The shape with -1 for each dynamic dimension."""
    dims = small_vector(file, index, "shape_signature", MAX_RANK)
    static = shape(file, index)
    return dims if len(dims) == len(static) else static


def small_vector(file: File, index: int, field: str, limit: int) -> tuple[int, ...]:
    found = tensor(file, index, "subgraph").array(schema.TENSOR[field], "int32")
    if found.size > limit:
        raise UsageError(f"{label(file, index)}: has {found.size} dimensions, expected at most {limit}")
    return tuple(found.tolist())


def quant(file: File, index: int) -> Quant | None:
    """Scales and zero points of a tensor, None where the file gives none."""
    table = tensor(file, index, "subgraph").table(schema.TENSOR["quantization"])
    if table is None:
        return None
    if table.integer(schema.QUANTIZATION["details_type"], "B"):
        raise Unsupported(f"{label(file, index)} has custom or blockwise quantisation")
    scale = table.array(schema.QUANTIZATION["scale"], "float32")
    zero_point = table.array(schema.QUANTIZATION["zero_point"], "int64")
    if not scale.size:
        return None
    file.charge(scale.size * 12, label(file, index))
    axis = channel_axis(file, index, scale.size, table.integer(schema.QUANTIZATION["quantized_dimension"]))
    check_quant(file, index, scale, zero_point)
    if not zero_point.size:
        zero_point = np.zeros(scale.size, np.int64)
    return Quant(scale.astype(np.float32), zero_point.astype(np.int32), axis)


def channel_axis(file: File, index: int, n_scales: int, axis: int) -> int | None:
    if n_scales == 1:
        return None
    dims = shape(file, index)
    # Some converters give a bias the axis of its weights; a vector has only one axis.
    axis = 0 if len(dims) == 1 else axis
    if not 0 <= axis < len(dims) or dims[axis] != n_scales:
        raise UsageError(
            f"{label(file, index)}: has {n_scales} scales along axis {axis} of shape {dims}, "
            f"expected one per index of that axis; the file is damaged"
        )
    return axis


def check_quant(file: File, index: int, scale: np.ndarray, zero_point: np.ndarray) -> None:
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise UsageError(
            f"{label(file, index)}: has a scale that is not a positive finite number; "
            f"quantise the model again or check the file for damage"
        )
    if type_name(file, index) == "INT16" and zero_point.any():
        raise Unsupported(f"{label(file, index)} is INT16 with a zero point other than 0")
    low, high = (-128, 127) if type_name(file, index) == "INT8" else (-(2**31), 2**31 - 1)
    if zero_point.size not in (0, scale.size) or ((zero_point < low) | (zero_point > high)).any():
        raise UsageError(
            f"{label(file, index)}: has {zero_point.size} zero points for {scale.size} scales or one "
            f"outside of [{low}, {high}]; expected one per scale within that range"
        )


def constant(file: File, index: int) -> np.ndarray | None:
    """The tensor's data as a view of the file, None where it has none; a dense copy of what is stored sparse."""
    table = tensor(file, index, "subgraph")
    refuse_special(file, index, table)
    start, n_bytes = buffer_extent(file, index, table.integer(schema.TENSOR["buffer"], "I"))
    if not n_bytes:
        return None
    if dtype(file, index) == "int4":
        return nibbles(file, index, start, n_bytes)
    dims, kind = shape(file, index), np.dtype(dtype(file, index)).newbyteorder("<")

    def stored(n: int) -> np.ndarray:
        if n * kind.itemsize > n_bytes:
            raise UsageError(
                f"{label(file, index)}: has shape {dims} of {kind.name} but only {n_bytes} bytes of data at byte "
                f"offset {start}, expected {n * kind.itemsize}; the file is damaged"
            )
        return np.frombuffer(file.data, kind, n, start)

    sparsity = table.table(schema.TENSOR["sparsity"])
    if sparsity is not None:
        where = label(file, index)
        file.charge(math.prod(dims) * kind.itemsize, where)
        return tflite_sparse.dense(where, sparsity, dims, stored, lambda n_bytes: file.charge(n_bytes, where))
    view = stored(math.prod(dims)).reshape(dims)
    if not view.flags.aligned:
        file.charge(view.nbytes, label(file, index))
        view = view.copy()
    return view


def nibbles(file: File, index: int, start: int, n_bytes: int) -> np.ndarray:
    """int4 data as int8: two in a byte over the whole tensor, low nibble first."""
    dims, where = shape(file, index), label(file, index)
    if tensor(file, index, "subgraph").table(schema.TENSOR["sparsity"]) is not None:
        raise Unsupported(f"{where} is INT4 and stored sparse")
    n = math.prod(dims)
    if (n + 1) // 2 > n_bytes:
        raise UsageError(
            f"{where}: has shape {dims} of int4 but only {n_bytes} bytes of data at byte offset {start}, "
            f"expected {(n + 1) // 2}; the file is damaged"
        )
    file.charge(2 * n, where)
    pairs = np.frombuffer(file.data, np.int8, (n + 1) // 2, start)
    return np.stack([pairs << 4 >> 4, pairs >> 4], 1).ravel()[:n].reshape(dims)


def refuse_special(file: File, index: int, table: flatbuffer.Table) -> None:
    if table.integer(schema.TENSOR["is_variable"], "B"):
        raise Unsupported(f"{label(file, index)} is a variable that keeps its value between runs")
    if table.integer(schema.TENSOR["external_buffer"], "I"):
        raise Unsupported(f"{label(file, index)} has its data in another file")


def buffer_extent(file: File, index: int, buffer: int) -> tuple[int, int]:
    """(first byte, bytes) of a tensor's data, inside the flatbuffer or appended to it."""
    if buffer >= len(file.buffers):
        raise UsageError(
            f"{label(file, index)}: refers to buffer {buffer}, expected one below {len(file.buffers)}; "
            f"the file is damaged"
        )
    table = file.buffers[buffer]
    # Offsets 0 and 1 mean that nothing is appended for this buffer.
    offset = table.integer(schema.BUFFER["offset"], "Q")
    if offset <= 1:
        return table.extent(schema.BUFFER["data"], 1)
    n_bytes = table.integer(schema.BUFFER["size"], "Q")
    if offset + n_bytes > len(file.data):
        raise UsageError(
            f"{label(file, index)}: has {n_bytes} bytes of data at byte offset {offset}, expected them within "
            f"the file's {len(file.data)} bytes; the file is damaged"
        )
    return offset, n_bytes
