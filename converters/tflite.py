# SPDX-License-Identifier: Apache-2.0
"""TFLite -> Graph. Needs nothing but numpy; trusts nothing in the file."""

from __future__ import annotations

from pathlib import Path

from edgesdk.converters import tflite_detection, tflite_file, tflite_index, tflite_logic, tflite_ops
from edgesdk.converters import tflite_schema as schema
from edgesdk.converters.tflite_file import File
from edgesdk.converters.tflite_scope import QUANTISED_DTYPES, STORED_DTYPES, Operator, Scope, constant, operator
from edgesdk.errors import EdgeError, Unsupported, UsageError
from edgesdk.ir import Graph, Value

MAX_FILE_BYTES = 2**31 - 1  # offsets in a flatbuffer are 32 bits wide
MAX_LISTED = 100

OPS = {**tflite_ops.OPS, **tflite_logic.OPS, **tflite_index.OPS, **tflite_detection.OPS}


def load(path: Path, input_shapes: dict[str, tuple[int, ...]]) -> Graph:
    """The graph of the .tflite file at `path`. `input_shapes` fixes dynamic dimensions by input name."""
    try:
        return parse(read_bytes(path), path.stem, input_shapes, path.name)
    except EdgeError as error:
        raise type(error)(f"{path}: {error}") from error


def read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"is larger than {MAX_FILE_BYTES} bytes, expected a flatbuffer")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}); expected a readable file") from error


def parse(data: bytes, name: str, input_shapes: dict[str, tuple[int, ...]], file_name: str = "") -> Graph:
    """The graph of a TFLite model in memory."""
    file = tflite_file.read(data)
    scope = Scope(file)
    refuse_types(scope)
    inputs = read_inputs(scope, input_shapes)
    convert_operators(scope)
    outputs = [written(scope, index) for index in file.outputs]
    metadata: dict[str, object] = {"source_format": "tflite", "source_file": file_name or name}
    if file.description:
        metadata["source_description"] = file.description
    if scope.dequantized:
        metadata["dequantized_weights"] = scope.dequantized
    return Graph(name, inputs, outputs, scope.nodes, metadata, scope.variables)


def read_inputs(scope: Scope, input_shapes: dict[str, tuple[int, ...]]) -> list[Value]:
    file = scope.file
    names = [tflite_file.name(file, i) for i in file.inputs]
    unknown = sorted(set(input_shapes) - set(names))
    if unknown:
        raise UsageError(f"no input is called {unknown[0]!r}; expected one of {', '.join(names[:MAX_LISTED])}")
    for index, name in zip(file.inputs, names, strict=True):
        if index in scope.values:
            raise UsageError(f"{tflite_file.label(file, index)} is an input twice, expected once; the file is damaged")
        shape = input_shape(scope, index, input_shapes.get(name))
        scope.resized |= shape != tflite_file.shape(file, index)
        scope.values[index] = input_value(scope, index, shape)
    return [scope.values[i] for i in file.inputs]


def input_shape(scope: Scope, index: int, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """The wanted shape where it fits the file's; without one, a batch of 1."""
    stated = tflite_file.signature(scope.file, index)
    if wanted is None:
        wanted = tuple(1 if a == 0 and d == -1 else d for a, d in enumerate(stated))
    fits = len(wanted) == len(stated) and all(s in (-1, w) for s, w in zip(stated, wanted, strict=True))
    if not fits or any(w < 1 for w in wanted):
        raise UsageError(
            f"input {tflite_file.name(scope.file, index)!r} has shape {stated} and {wanted} was given, expected "
            f"a positive number for each -1 and the file's own for the rest; pass the input's shape"
        )
    return wanted


def input_value(scope: Scope, index: int, shape: tuple[int, ...]) -> Value:
    file = scope.file
    dtype = tflite_file.dtype(file, index)
    quant = tflite_file.quant(file, index) if dtype in QUANTISED_DTYPES else None
    if (quant is None and dtype == "int8") or (quant is not None and quant.axis is not None):
        raise UsageError(
            f"{tflite_file.label(file, index)}: is an {dtype} input without one scale for the whole tensor, "
            f"expected one; quantise the model again"
        )
    return Value(scope.unique(tflite_file.name(file, index)), shape, dtype, quant)


def refuse_types(scope: Scope) -> None:
    """Models quantised to another type are refused in one sentence, not once per operator."""
    file = scope.file
    for index in file.inputs:
        kind = tflite_file.type_name(file, index)
        if schema.DTYPES.get(kind) not in STORED_DTYPES or is_quantized_otherwise(file, index, kind):
            raise Unsupported(refused_type(file, index, kind))
    for table in file.operators:
        outputs = table.array(schema.OPERATOR["outputs"], "int32")
        file.charge(tflite_file.OPERATOR_BYTES + 4 * outputs.size, f"operator at byte offset {table.at}")
        for index in outputs.tolist():
            kind = tflite_file.type_name(file, index)
            if is_quantized_otherwise(file, index, kind):
                raise Unsupported(refused_type(file, index, kind))


def is_quantized_otherwise(file: File, index: int, kind: str) -> bool:
    """Whether the tensor holds reals in 8 bits without sign; plain integers are no matter."""
    return kind == "UINT8" and tflite_file.quant(file, index) is not None


def refused_type(file: File, index: int, kind: str) -> str:
    return (
        f"{tflite_file.label(file, index)} is {kind}, expected quantised inputs, outputs and activations to be INT8 or "
        f"INT16; convert the model again with int8 quantisation and int8 (or float32) inputs and outputs"
    )


def convert_operators(scope: Scope) -> None:
    """Every operator in the file's order; what is unsupported is collected and raised at once."""
    problems: list[str] = []
    for index in range(len(scope.file.operators)):
        op = operator(scope, index)
        try:
            reason = convert(op)
            if reason:
                problems.append(f"{op.source} ({reason})" if op.name in OPS else op.source)
                assume_outputs(op)
        except EdgeError:
            if not problems:
                raise
            break  # may be a consequence of what was skipped
    if problems:
        raise Unsupported(unsupported(problems))


def convert(op: Operator) -> str:
    """Adds the operator to the graph; the reason where that is unsupported."""
    if op.name not in OPS:
        return op.name
    try:
        OPS[op.name](op)
    except Unsupported as reason:
        return str(reason)
    return ""


def assume_outputs(op: Operator) -> None:
    """Lets the operators after an unsupported one be looked at too, by the shapes in the file."""
    file = op.scope.file
    for index in op.outputs:
        if index not in op.scope.values:
            dtype = schema.DTYPES.get(tflite_file.type_name(file, index), "float32")
            quant = tflite_file.quant(file, index) if dtype in QUANTISED_DTYPES else None
            name = op.scope.unique(tflite_file.name(file, index))
            op.scope.values[index] = Value(name, tflite_file.shape(file, index), dtype, quant)


def unsupported(problems: list[str]) -> str:
    listed = "; ".join(problems[:MAX_LISTED])
    more = f"; and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
    return (
        f"unsupported operators: {listed}{more}; edgesdk imports {len(OPS)} others; "
        f"change the model so that it does without these"
    )


def written(scope: Scope, index: int) -> Value:
    """An output: what an operator wrote, an input as it came, or a constant."""
    if index not in scope.values:
        if tflite_file.constant(scope.file, index) is None:
            raise UsageError(
                f"output {tflite_file.label(scope.file, index)} is not computed by any operator, expected one that "
                f"writes it; export the model again"
            )
        source = f"output {tflite_file.name(scope.file, index)}"
        scope.values[index] = constant(Operator(scope, "OUTPUT", source, [index], [], {}, {}), index)
    return scope.values[index]
