# SPDX-License-Identifier: Apache-2.0
"""TFLite operators with state: variable tensors of SVDF and LSTM, and resource variables.

A resource variable is read and assigned any number of times in a run. Its reads become the value that it holds at that
point; only one that is read before it is assigned outlives the run, as a variable of the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk.converters import tflite_file
from edgesdk.converters import tflite_schema as schema
from edgesdk.converters.tflite_scope import (
    Operator,
    Resource,
    Scope,
    activation,
    activations,
    declare,
    given,
    infer,
    operator,
    place,
    stated_output,
    value,
)
from edgesdk.converters.tflite_weights import weights
from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Quant, Value, Variable

LSTM_TANH = schema.ACTIVATIONS.index("TANH")
# Inputs of UNIDIRECTIONAL_SEQUENCE_LSTM: four gates each (input, forget, cell, output).
INPUT_WEIGHTS, RECURRENT_WEIGHTS, BIASES = range(1, 5), range(5, 9), range(12, 16)
OUTPUT_STATE, CELL_STATE = 18, 19
VARIANTS = {"peepholes": range(9, 12), "a projection": range(16, 18), "layer normalisation": range(20, 24)}


def held(op: Operator, i: int, shape: tuple[int, ...]) -> Value:
    """Variable tensor `i` as a state of that shape; begins at real zero."""
    if not given(op, i):
        raise op.fail(f"has no input {i}, expected its state; the file is damaged")
    index, file = op.inputs[i], op.scope.file
    tensor = tflite_file.tensor(file, index, op.source)
    if not tensor.integer(schema.TENSOR["is_variable"], "B") or index in op.scope.values:
        raise Unsupported(f"state {tflite_file.name(file, index)!r} that is no variable, or another operator's too")
    dtype, stated = tflite_file.dtype(file, index), tflite_file.shape(file, index)
    if np.prod(stated, dtype=np.int64) != np.prod(shape, dtype=np.int64):
        raise op.fail(f"has a state of shape {stated}, expected {shape}; export the model again")
    quant = tflite_file.quant(file, index) if dtype in ("int8", "int16") else None
    if dtype in ("int8", "int16") and (quant is None or quant.axis is not None):
        raise op.fail(f"has an integer state {tflite_file.label(file, index)} without one scale; quantise it again")
    op.scope.values[index] = Value(op.scope.unique(tflite_file.name(file, index)), shape, dtype, quant)
    return op.scope.values[index]


def emit_stateful(op: Operator, name: str, inputs: list[Value | None], states: list[Value], **attrs: Any) -> None:
    """The node that writes the operator's output and brings its states forward."""
    y = stated_output(op, 0)
    following = [Value(op.scope.unique(f"{s.name}/next"), s.shape, s.dtype, s.quant) for s in states]
    node = Node(name, inputs, [y, *following], attrs, op.source)
    shape, dtype = infer(op, node)
    declare(op, 0, y, shape, dtype)
    place(op, node)
    for state, after in zip(states, following, strict=True):
        op.scope.file.charge(state.n_bytes, op.source)
        initial = np.full(state.shape, state.zero_point if state.dtype == "int8" else 0, state.dtype)
        op.scope.variables.append(Variable(state, after, initial))


def svdf(op: Operator) -> None:
    x = activations(op, 0, rank=2)
    feature = weights(op, 1, x, rank=2, channel_axis=0)
    time = value(op, 2)
    if time.data is None or len(time.shape) != 2 or time.shape[0] != feature.shape[0]:
        raise op.fail(f"has time weights {time.shape} beside {feature.shape}, expected constants, a row per filter")
    rank = int(op.options["rank"])
    if rank < 1 or feature.shape[0] % rank:
        raise op.fail(f"has rank {rank} for {feature.shape[0]} filters, expected a divisor")
    if x.dtype == "int8":
        time = time_weights(op, time)
    state = held(op, 4, (x.shape[0], time.shape[0] * time.shape[1]))
    if x.dtype == "int8" and feature.quant is not None and feature.quant.axis is not None:
        raise Unsupported("feature weights with several scales")
    b = svdf_bias(op, feature.shape[0] // rank, x.dtype)
    emit_stateful(op, "svdf", [x, feature, time, b, state], [state], rank=rank, activation=activation(op))


def time_weights(op: Operator, time: Value) -> Value:
    """With their scale, which int16 constants have too."""
    quant = tflite_file.quant(op.scope.file, op.inputs[2])
    if quant is None or quant.axis is not None or time.dtype not in ("int8", "int16"):
        raise op.fail(f"has {time.dtype} time weights {time.name!r} without one scale; quantise the model again")
    return Value(time.name, time.shape, time.dtype, quant, time.data)


def svdf_bias(op: Operator, units: int, dtype: str) -> Value | None:
    if not given(op, 3):
        return None
    b = value(op, 3)
    if b.data is None or b.shape != (units,) or b.dtype != {"int8": "int32"}.get(dtype, dtype):
        raise op.fail(f"has a {b.dtype} bias of shape {b.shape}, expected a constant for {units} units")
    return b


def lstm(op: Operator) -> None:
    x = value(op, 0)
    if len(x.shape) != 3:
        raise op.fail(f"has input {x.shape}, expected 3 dimensions")
    for what, inputs in VARIANTS.items():
        if any(given(op, i) for i in inputs):
            raise Unsupported(f"LSTM with {what}")
    if int(op.options["activation"]) != LSTM_TANH:
        raise Unsupported("LSTM with another activation than TANH")
    time_major = bool(op.options["time_major"])
    w, r = stacked(op, INPUT_WEIGHTS, x), stacked(op, RECURRENT_WEIGHTS, x)
    shape = (x.shape[1] if time_major else x.shape[0], w.shape[1])
    h, c = held(op, OUTPUT_STATE, shape), held(op, CELL_STATE, shape)
    attrs = {"reverse": False, "time_major": time_major, "cell_clip": float(op.options["cell_clip"])}
    if x.dtype == "float32":
        b = biases(op, shape[1], "float32")
        assert b.data is not None
        b = Value(b.name, (2, *b.shape), "float32", None, np.stack([b.data, np.zeros_like(b.data)]))
        emit_stateful(op, "rnn", [x, w, r, b, h, c], [h, c], kind="lstm", **attrs)
    else:
        b = biases(op, shape[1], "int32" if x.dtype == "int8" else "int64")
        emit_stateful(op, "lstm", [x, w, r, b, h, c], [h, c], **attrs)


def stacked(op: Operator, inputs: range, x: Value) -> Value:
    """The weights of the four gates as one constant with a scale for each."""
    found = [lstm_weights(op, i, x) for i in inputs]
    if len({w.shape for w in found}) != 1:
        raise op.fail(f"has gate weights of shapes {[w.shape for w in found]}, expected one shape")
    data = np.stack([w.data for w in found if w.data is not None])
    op.scope.file.charge(data.nbytes, op.source)
    quant = None
    if x.dtype != "float32":
        scales = np.array([w.scale for w in found], np.float32)
        quant = Quant(scales, np.zeros(len(found), np.int32), 0)
    return Value(op.scope.unique(f"{found[0].name}/gates"), data.shape, data.dtype.name, quant, data)


def lstm_weights(op: Operator, i: int, x: Value) -> Value:
    """int16 activations have int8 weights, too."""
    beside = Value(x.name, x.shape, "int8", x.quant) if x.dtype == "int16" else x
    w = weights(op, i, beside, rank=2, channel_axis=0)
    if w.quant is not None and w.quant.axis is not None:
        raise Unsupported(f"gate weights {w.name!r} with several scales")
    return w


def biases(op: Operator, units: int, dtype: str) -> Value:
    found = [value(op, i) for i in BIASES]
    if any(b.data is None or b.shape != (units,) or b.dtype != dtype for b in found):
        raise op.fail(f"has gate biases {[(b.dtype, b.shape) for b in found]}, expected {dtype} constants ({units},)")
    data = np.stack([b.data for b in found if b.data is not None])
    op.scope.file.charge(data.nbytes, op.source)
    return Value(op.scope.unique(f"{found[0].name}/gates"), data.shape, dtype, None, data)


def var_handle(op: Operator) -> None:
    key = (op.texts["container"], op.texts["shared_name"])
    op.scope.handles[op.outputs[0]] = op.scope.resources.setdefault(key, Resource())


def resource(op: Operator) -> Resource:
    if not given(op, 0) or op.inputs[0] not in op.scope.handles:
        raise op.fail("names no variable of an earlier VAR_HANDLE, expected one; the file is damaged")
    return op.scope.handles[op.inputs[0]]


def read_variable(op: Operator) -> None:
    """The content at this point of the run; the first read of a run that has not assigned it makes it a variable."""
    found, y = resource(op), stated_output(op, 0)
    if found.content is None:
        y.shape = tflite_file.shape(op.scope.file, op.outputs[0])
        op.scope.file.charge(y.n_bytes, op.source)
        found.content = y
        op.scope.variables.append(Variable(y, y, first_content(op, found, y)))
        found.variable = op.scope.variables[-1]
    content = found.content
    alike = content.quant is y.quant or (content.quant is not None and content.quant.same_as(y.quant))
    if (content.shape, content.dtype) != (y.shape, y.dtype) or not alike:
        raise Unsupported(f"variable {y.name!r} read as another type than it was written")
    op.scope.values[op.outputs[0]] = content


def first_content(op: Operator, found: Resource, y: Value) -> np.ndarray:
    if found.initial is None:
        return np.full(y.shape, y.zero_point if y.dtype == "int8" else 0, y.dtype)
    if found.initial.dtype != y.dtype or found.initial.size != y.elements:
        raise op.fail(f"reads {y.dtype} {y.shape}, expected the {found.initial.dtype} that the variable begins with")
    return found.initial.reshape(y.shape)


def assign_variable(op: Operator) -> None:
    found, content = resource(op), value(op, 1)
    found.content = content
    if found.variable is None:
        return
    kept = found.variable.value
    alike = content.quant is kept.quant or (content.quant is not None and content.quant.same_as(kept.quant))
    if (content.shape, content.dtype) != (kept.shape, kept.dtype) or not alike:
        raise Unsupported(f"variable {kept.name!r} written as another type than it was read")
    found.variable.next = content


def call_once(op: Operator) -> None:
    """What the subgraph assigns to variables is what they begin with."""
    if op.scope.is_initial:
        raise Unsupported("CALL_ONCE inside of a subgraph")
    file = tflite_file.subgraph(op.scope.file, int(op.options["subgraph"]), op.source)
    scope = Scope(file, is_initial=True)
    for index in range(len(file.operators)):
        inner = operator(scope, index)
        if inner.name not in ("VAR_HANDLE", "ASSIGN_VARIABLE"):
            raise Unsupported(f"CALL_ONCE of a subgraph with {inner.name}")
        (var_handle if inner.name == "VAR_HANDLE" else assign_variable)(inner)
    op.scope.file.allowance = file.allowance
    for key, found in scope.resources.items():
        if found.content is not None:
            op.scope.resources.setdefault(key, Resource()).initial = found.content.data
