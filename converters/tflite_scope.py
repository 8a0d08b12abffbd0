# SPDX-License-Identifier: Apache-2.0
"""The graph as far as it has been imported, and how one operator adds to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesdk import ops
from edgesdk.converters import flatbuffer, tflite_file
from edgesdk.converters import tflite_schema as schema
from edgesdk.converters.tflite_file import File
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import MAX_ELEMENTS, MAX_RANK, Node, Quant, Value, Variable
from edgesdk.ops import elementwise

ACTIVATION_DTYPES = ("int8", "int16", "float32")  # what layers compute with
QUANTISED_DTYPES = ("int8", "int16")
STORED_DTYPES = ("int8", "float32", "int32", "int64", "bool", "uint8", "int16")
INTEGER_DTYPES = ("int32", "int64")  # plain integers

# Ops that move or select stored bytes: their output has the scale of their inputs.
SAME_SCALE = frozenset(
    "avg_pool2d max_pool2d reshape transpose pad concat slice resize_nearest resize_bilinear "
    "reduce_max reduce_min space_to_depth depth_to_space border_pad tile broadcast_to".split()
)

# Computed at once where all inputs are constant: exporters leave arithmetic on shapes behind.
FOLDED = frozenset(
    "reshape transpose concat slice pad tile broadcast_to gather gather_nd scatter_nd cast select cumsum "
    "arg_max arg_min reduce_max reduce_min reduce_prod reduce_any reduce_all top_k_values top_k_indices "
    "add sub mul minimum maximum".split()
) | frozenset(elementwise.NAMES)


# Operators that may write plain int8 integers.
UNSCALED = ("CAST",)


@dataclass(eq=False)
class Resource:
    """A resource variable: what it holds at this point of a run (None: what the last run left), what it began with."""

    content: Value | None = None
    variable: Variable | None = None
    initial: np.ndarray | None = None


@dataclass
class Scope:
    """`values` by tensor index. `resized`: the caller changed an input's shape, so the
    shapes that the file gives for later tensors no longer hold. `handles` are resource variables by
    tensor index; `is_initial`: the subgraph runs once, before the first run."""

    file: File
    values: dict[int, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    resized: bool = False
    dequantized: list[str] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)
    handles: dict[int, Resource] = field(default_factory=dict)
    is_initial: bool = False
    stored: dict[Value, Value] = field(default_factory=dict)  # float constants by what they were stored as

    def unique(self, name: str) -> str:
        while True:
            count = self.names.get(name, 0)
            self.names[name] = count + 1
            if not count:
                return name
            name = f"{name}_{count}"


@dataclass
class Operator:
    """One operator of the file. `source` names it in messages and in the nodes it becomes."""

    scope: Scope
    name: str
    source: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, Any]
    texts: dict[str, str]
    custom_options: bytes = b""

    def fail(self, message: str) -> UsageError:
        return UsageError(f"{self.source}: {message}")


def operator(scope: Scope, index: int) -> Operator:
    table = scope.file.operators[index]
    name = tflite_file.operator_name(scope.file, table)
    inputs = table.array(schema.OPERATOR["inputs"], "int32")
    outputs = table.array(schema.OPERATOR["outputs"], "int32")
    source = f"#{index} {name}"
    scope.file.charge(tflite_file.OPERATOR_BYTES + 4 * (inputs.size + outputs.size), source)
    if not outputs.size and name not in schema.WITHOUT_OUTPUT:
        raise UsageError(f"{source}: has no output, expected at least one; the file is damaged")
    if outputs.size:
        source += f" {tflite_file.name(scope.file, int(outputs[0]))}"
    custom = table.array(schema.OPERATOR["custom_options"], "uint8").tobytes() if name.startswith("CUSTOM") else b""
    options, texts = read_options(table, name, source), read_texts(table, name)
    return Operator(scope, name, source, inputs.tolist(), outputs.tolist(), options, texts, custom)


def read_texts(table: flatbuffer.Table, name: str) -> dict[str, str]:
    """Those options of the operator that are strings; empty where the file leaves them out."""
    fields = schema.TEXT_OPTIONS.get(name, {})
    options = table.table(schema.OPERATOR["options"]) if fields else None
    return {key: options.text(slot) if options else "" for key, slot in fields.items()}


def read_options(table: flatbuffer.Table, name: str, source: str) -> dict[str, Any]:
    """The operator's options by field name, defaults where the file leaves them out."""
    union, fields = schema.OPTIONS.get(name, (0, {}))
    vector_union, slot = schema.VECTOR_OPTIONS.get(name, (0, 0))
    expected = union or vector_union
    found = table.integer(schema.OPERATOR["options_type"], "B")
    options = table.table(schema.OPERATOR["options"]) if found and expected else None
    if options is not None and found != expected:
        raise UsageError(f"{source}: has options of type {found}, expected type {expected}; the file is damaged")
    if vector_union:
        return {"dims": options.array(slot, "int32") if options else np.zeros(0, np.int32)}
    return {
        key: options.number(at, kind, default) if options else default for key, (at, kind, default) in fields.items()
    }


def activation(op: Operator) -> str:
    code = int(op.options["activation"])
    if not 0 <= code < len(schema.ACTIVATIONS):
        raise op.fail(f"has activation code {code}, expected 0 to {len(schema.ACTIVATIONS) - 1}; the file is damaged")
    name = schema.ACTIVATIONS[code].lower()
    if name in ("tanh", "sign_bit"):
        raise Unsupported(f"fused activation {name.upper()}")
    return name


def given(op: Operator, i: int) -> bool:
    return i < len(op.inputs) and op.inputs[i] != -1


def value(op: Operator, i: int) -> Value:
    """Input `i`: a value that was written before, or a constant of the file."""
    if not given(op, i):
        raise op.fail(f"has no input {i}, expected one; the file is damaged")
    index = op.inputs[i]
    if index not in op.scope.values:
        op.scope.values[index] = constant(op, index)
    return op.scope.values[index]


def constant(op: Operator, index: int) -> Value:
    file = op.scope.file
    tflite_file.tensor(file, index, op.source)
    data = tflite_file.constant(file, index)
    if data is None:
        raise op.fail(
            f"reads {tflite_file.label(file, index)}, which is no constant, no input and not written by an earlier "
            f"operator; expected operators in executable order"
        )
    dtype = tflite_file.dtype(file, index)
    # Floats may keep the scale of a training tool and shapes may keep an unused one.
    quant = tflite_file.quant(file, index) if dtype in (*QUANTISED_DTYPES, "int4") else None
    return Value(op.scope.unique(tflite_file.name(file, index)), data.shape, dtype, quant, data)


def activations(op: Operator, i: int, rank: int | None = None, dtypes: tuple[str, ...] = ACTIVATION_DTYPES) -> Value:
    """Input `i` as something to compute with: one of the dtypes, of the given rank."""
    x = value(op, i)
    if x.dtype not in dtypes:
        raise Unsupported(f"{x.dtype} input {x.name!r}")
    if rank is not None and len(x.shape) != rank:
        raise op.fail(f"has input {i} of shape {x.shape}, expected {rank} dimensions")
    if x.dtype in QUANTISED_DTYPES and (x.quant is None or x.quant.axis is not None):
        raise op.fail(f"reads {x.dtype} {x.name!r} without one scale for the whole tensor; quantise the model again")
    return x


def integers(op: Operator, i: int, limit: int = MAX_RANK) -> tuple[int, ...]:
    """Input `i` as up to `limit` integers known before the model runs."""
    v = value(op, i)
    if v.data is None:
        raise Unsupported(f"input {i} ({v.name!r}) computed while the model runs")
    if v.dtype not in ("int32", "int64") or v.elements > limit:
        raise op.fail(f"has input {i} of {v.elements} {v.dtype}, expected at most {limit} int32 or int64")
    return tuple(int(n) for n in v.data.ravel())


def axis(op: Operator, number: int, rank: int) -> int:
    if not -rank <= number < rank:
        raise op.fail(f"names axis {number}, expected {-rank} to {rank - 1}")
    return number % rank


def infer(op: Operator, node: Node) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a node's output by the rule of its op."""
    try:
        shape, dtype = ops.module(node.op).infer(node)[0]
    except ValueError as error:
        raise op.fail(str(error)) from error
    shape = tuple(int(d) for d in shape)
    if any(d < 1 for d in shape) or math.prod(shape) > MAX_ELEMENTS or len(shape) > MAX_RANK:
        raise op.fail(
            f"gives shape {shape}, expected at most {MAX_RANK} dimensions of at least 1 and {MAX_ELEMENTS} elements"
        )
    return shape, dtype


def step(op: Operator, kind: str, inputs: list[Value | None], quant: Quant | None = None, **attrs: Any) -> Value:
    """A node that the operator needs on its way; without `quant`, its output has the scale of its first input."""
    x = inputs[0]
    assert x is not None
    out = Value(op.scope.unique(f"{x.name}/{kind}"), x.shape, x.dtype, quant or x.quant)
    node = Node(kind, inputs, [out], attrs, op.source)
    out.shape, out.dtype = infer(op, node)
    out.quant = out.quant if out.dtype == x.dtype or quant else None
    return place(op, node)


def emit(op: Operator, kind: str, inputs: list[Value | None], out: int = 0, **attrs: Any) -> Value:
    """The node that writes the operator's output `out`."""
    node = Node(kind, inputs, [stated_output(op, out)], attrs, op.source)
    shape, dtype = infer(op, node)
    declare(op, out, node.output, shape, dtype)
    return place(op, node)


def stated_output(op: Operator, out: int) -> Value:
    """Output `out` as the file describes it."""
    file, index = op.scope.file, op.outputs[out]
    tflite_file.tensor(file, index, op.source)
    if index in op.scope.values or index in file.inputs:
        raise op.fail(
            f"writes {tflite_file.label(file, index)} a second time, expected one writer; the file is damaged"
        )
    dtype = tflite_file.dtype(file, index)
    quant = tflite_file.quant(file, index) if dtype in QUANTISED_DTYPES else None
    if dtype == "int8" and quant is None and op.name in UNSCALED:
        quant = Quant.per_tensor(1.0, 0)
    if (quant is None and dtype == "int8") or (quant is not None and quant.axis is not None):
        raise op.fail(
            f"writes {dtype} {tflite_file.label(file, index)} without one scale for the whole tensor; "
            f"quantise the model again"
        )
    return Value(op.scope.unique(tflite_file.name(file, index)), tflite_file.shape(file, index), dtype, quant)


def declare(op: Operator, out: int, v: Value, shape: tuple[int, ...], dtype: str) -> None:
    """Gives output `out` its value once its shape and dtype are known and agree with the file."""
    if v.dtype != dtype:
        raise Unsupported(f"{v.dtype} output {v.name!r} where the operator gives {dtype}")
    check_shape(op, op.outputs[out], shape)
    v.shape = shape
    op.scope.values[op.outputs[out]] = v


def check_shape(op: Operator, index: int, shape: tuple[int, ...]) -> None:
    if op.scope.resized:
        return
    claimed = tflite_file.signature(op.scope.file, index)
    if len(claimed) != len(shape) or any(c not in (-1, d) for c, d in zip(claimed, shape, strict=True)):
        raise op.fail(f"gives shape {shape}, but the file says {claimed} for its output; export the model again")


def place(op: Operator, node: Node) -> Value:
    """Appends the node, or computes its output at once where that is all that its inputs are for."""
    out, arrays = node.output, [v.data for v in node.inputs if v is not None]
    if node.op in FOLDED and all(a is not None for a in arrays):
        op.scope.file.charge(out.n_bytes, op.source)
        out.data = np.ascontiguousarray(ops.module(node.op).reference(node, arrays)[0]).reshape(out.shape)
        return out
    if out.dtype not in STORED_DTYPES:
        raise Unsupported(f"{out.dtype} output {out.name!r}")
    if node.op in SAME_SCALE and out.quant is not None:
        check_same_scale(node)
    op.scope.nodes.append(node)
    return out


def check_same_scale(node: Node) -> None:
    scale, zero_point = node.output.scale, node.output.zero_point
    for x in node.inputs:
        if x is not None and (abs(x.scale - scale) > 1e-5 * scale or x.zero_point != zero_point):
            raise Unsupported(f"output scale and zero point that differ from those of input {x.name!r}")


def known(op: Operator, data: np.ndarray) -> Value:
    """The operator's output as a constant that the importer has computed."""
    op.scope.file.charge(data.nbytes, op.source)
    out = stated_output(op, 0)
    declare(op, 0, out, data.shape, data.dtype.name)
    out.data = data
    return out
