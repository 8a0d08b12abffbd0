# SPDX-License-Identifier: Apache-2.0
"""Writes the integer graph when the quantisation of every value is chosen. What has no integer form computes in float
between dequantize and quantize nodes; indices and truth values, and what computes with them alone, stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgesdk.compress import recurrent
from edgesdk.compress.schemes import (
    NORMS,
    OF_CONSTANTS,
    SHARED,
    WEIGHTED,
    Scheme,
    constants,
    from_range,
    is_plain,
    is_real,
    left_in_float,
    round_away,
    table_operand,
)  # fmt: skip
from edgesdk.compress.shared_quants import Quants
from edgesdk.ir import Graph, Node, Quant, Value, Variable
from edgesdk.ops import arithmetic

NO_SCALE = ("detect",)  # results that are left in float at the graph's end, too


def quantized_constant(value: Value, quant: Quant | None, scheme: Scheme) -> Value:
    """A constant operand as an integer; with its own range where no quantisation is given."""
    assert value.data is not None
    quant = quant or from_range(float(value.data.min()), float(value.data.max()), scheme)
    steps = round_away(value.data.astype(np.float64) / float(quant.scale[0])) + int(quant.zero_point[0])
    data = np.clip(steps, scheme.info.min, scheme.info.max).astype(scheme.dtype)
    return Value(value.name, value.shape, scheme.dtype, quant, data)


def quantized_weights(node: Node, x: Quant, y: Quant, scheme: Scheme) -> list[Value | None]:
    """[weights, bias] of a layer whose input and output are quantised as `x` and `y`."""
    w, b, axis = node.input(1), node.optional(2), WEIGHTED[node.op]
    assert w.data is not None, "left in float"
    others = tuple(a for a in range(w.data.ndim) if a != axis)
    bias = np.zeros(w.shape[axis]) if b is None or b.data is None else b.data.astype(np.float64)
    x_scale, y_scale = float(x.scale[0]), float(y.scale[0])
    # Near-empty channels get a scale that keeps multiplier and bias within their types.
    least = np.maximum(scheme.least_multiplier * y_scale / x_scale, np.abs(bias) / (scheme.largest_bias * x_scale))
    scale = np.maximum(np.abs(w.data).max(others).astype(np.float64) / 127, least).astype(np.float32)
    along = [1] * w.data.ndim
    along[axis] = -1
    steps = np.clip(round_away(w.data / scale.astype(np.float64).reshape(along)), -127, 127)
    zeros = np.zeros(scale.shape, np.int32)
    weights = Value(w.name, w.shape, "int8", Quant(scale, zeros, axis), steps.astype(np.int8))
    return [weights, None if b is None else quantized_bias(b, bias, x_scale, scale, scheme)]


def quantized_bias(b: Value, bias: np.ndarray, x_scale: float, w_scale: np.ndarray, scheme: Scheme) -> Value:
    scale = x_scale * w_scale.astype(np.float64)
    limit = 2 * scheme.largest_bias - 1
    steps = np.clip(round_away(bias / scale), -limit, limit).astype(scheme.bias)
    return Value(
        b.name, b.shape, scheme.bias, Quant(scale.astype(np.float32), np.zeros(scale.shape, np.int32), 0), steps
    )


@dataclass
class Written:
    """The integer graph as far as it is written. `ends` are the values that leave the graph in float."""

    quants: Quants
    left: Mapping[Node, str] = field(default_factory=dict)  # nodes that stay in float
    needed: set[Value] = field(default_factory=set)  # what somebody reads as integers
    ends: set[Value] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    stored: dict[Value, Value] = field(default_factory=dict)  # float value -> its integer value
    copies: dict[Value, Value] = field(default_factory=dict)  # the same, requantised for a group
    wide: dict[Value, Quant] = field(default_factory=dict)  # states that are int16
    floats: dict[Value, Value] = field(default_factory=dict)  # the same in float, for ops that stay so

    @property
    def scheme(self) -> Scheme:
        return self.quants.scheme


def write(graph: Graph, quants: Quants, io: str) -> Graph:
    out = begun(graph, quants, io)
    for variable in graph.variables:
        write_state(out, variable)
    inputs = [write_input(out, v, io) for v in graph.inputs]
    for node in graph.nodes:
        write_node(out, node)
    outputs = [write_output(out, v) for v in graph.outputs]
    variables = [write_variable(out, v) for v in graph.variables]
    metadata = {**graph.metadata, "quantization": quants.scheme.name}
    return Graph(graph.name, inputs, outputs, out.nodes, metadata, variables)


def begun(graph: Graph, quants: Quants, io: str) -> Written:
    left = left_in_float(graph, quants.scheme)
    kept = {n.output for n in left if n.op in NO_SCALE}
    ends = {v for v in graph.outputs if is_real(v) and (io == "float32" or v in kept)}
    readers = graph.consumers()
    needed = {v for v, nodes in readers.items() if not left.keys() >= set(nodes)}
    needed |= {v for v in graph.outputs if v not in ends}
    needed |= {v.next for v in graph.variables if needed & {v.value} or v.next not in _results(left)}
    needed |= {v.value for v in graph.variables if v.next in needed}
    return Written(quants, left, needed, ends, wide=recurrent.wide_states(graph, quants.scheme))


def _results(nodes: Iterable[Node]) -> set[Value]:
    return {v for n in nodes for v in n.outputs}


def write_state(out: Written, variable: Variable) -> None:
    """A state that only computes in float is one."""
    value = variable.value
    if not is_real(value):
        return
    if value in out.needed:
        integer_value(out, value, value.name)
    else:
        out.floats[value] = Value(value.name, value.shape, value.dtype)


def write_variable(out: Written, v: Variable) -> Variable:
    """With its first content in its own type."""
    if not is_real(v.value):
        return v
    if v.value not in out.stored:
        return Variable(out.floats[v.value], out.floats[v.next], v.initial)
    value = out.stored[v.value]
    assert value.quant is not None
    following = out.stored[v.next] if v.value in out.wide else shared_operand(out, v.next, value.quant)
    assert following is not None
    info = np.iinfo(value.dtype)
    steps = round_away(v.initial.astype(np.float64) / value.scale) + value.zero_point
    return Variable(value, following, np.clip(steps, info.min, info.max).astype(value.dtype))


def integer_value(out: Written, value: Value, name: str) -> Value:
    wide = out.wide.get(value)
    dtype = "int16" if wide else out.scheme.dtype
    out.stored[value] = Value(name, value.shape, dtype, wide or out.quants.own[value])
    return out.stored[value]


def integer_result(out: Written, value: Value) -> Value:
    """What a node writes; the name is the float value's where that leaves the graph."""
    name = f"{value.name}/{out.scheme.dtype}" if value in out.ends else value.name
    return integer_value(out, value, name) if is_real(value) else value


def write_input(out: Written, value: Value, io: str) -> Value:
    if not is_real(value):
        return value
    if io != "float32":
        return integer_value(out, value, value.name)
    outer, inner = Value(value.name, value.shape, "float32"), f"{value.name}/{out.scheme.dtype}"
    out.nodes.append(Node("quantize", [outer], [integer_value(out, value, inner)], source=value.name))
    return outer


def write_output(out: Written, value: Value) -> Value:
    if value.data is not None or value not in out.ends:
        return out.stored.get(value, value)
    if value in out.floats and out.floats[value].name == value.name:
        return out.floats[value]
    outer = Value(value.name, value.shape, "float32")
    out.nodes.append(Node("dequantize", [out.stored[value]], [outer], source=value.name))
    return outer


def write_node(out: Written, node: Node) -> None:
    if is_plain(node):
        out.nodes.append(node)
    elif node in out.left:
        write_float(out, node)
    elif node.op == "rnn":
        write_recurrent(out, node)
    elif node.op in OF_CONSTANTS:
        write_table(out, node)
    else:
        write_integer(out, node)


def write_integer(out: Written, node: Node) -> None:
    inputs = operands(out, node)
    attrs = finite_attributes(node, out.quants.own[node.output], out.scheme) if is_real(node.output) else node.attrs
    out.nodes.append(Node(node.op, inputs, [integer_result(out, node.output)], attrs, node.source))


def operands(out: Written, node: Node) -> list[Value | None]:
    if node.op in WEIGHTED:
        x, y = out.stored[node.input(0)], out.quants.own[node.output]
        return [x, *quantized_weights(node, x.quant or y, y, out.scheme)]
    if node.output in out.wide:
        return [out.stored[node.input(0)]]
    if node.op in SHARED:
        return [shared_operand(out, v, out.quants.own[node.output]) for v in node.inputs]
    if node.op in NORMS:
        return [out.stored[node.input(0)], *node.inputs[1:]]
    return [
        v if v is None or not is_real(v) else out.stored.get(v) or quantized_constant(v, None, out.scheme)
        for v in node.inputs
    ]


def write_float(out: Written, node: Node) -> None:
    """The op between dequantize and quantize nodes; of a run of such ops only the ends have them."""
    inputs = [as_float(out, v) for v in node.inputs]
    results = [float_result(out, v) for v in node.outputs]
    out.nodes.append(Node(node.op, inputs, results, dict(node.attrs), node.source))
    for value, result in zip(node.outputs, results, strict=True):
        if is_real(value) and value in out.needed:
            out.nodes.append(Node("quantize", [result], [integer_result(out, value)], source=node.source))


def float_result(out: Written, value: Value) -> Value:
    if not is_real(value):
        return value
    alone = value in out.ends or value not in out.needed
    out.floats[value] = Value(value.name if alone else f"{value.name}/float32", value.shape, "float32")
    return out.floats[value]


def as_float(out: Written, value: Value | None) -> Value | None:
    if value is None or value.data is not None or not is_real(value):
        return value
    if value not in out.floats:
        out.floats[value] = Value(f"{value.name}/float32", value.shape, "float32")
        out.nodes.append(Node("dequantize", [out.stored[value]], [out.floats[value]], source=value.name))
    return out.floats[value]


def write_table(out: Written, node: Node) -> None:
    """An op of a computed and a constant number: its result for each of 256 inputs, the exact function of the real
    number, rounded to the output's nearest step, halves away from zero, NaN to the zero point."""
    i = table_operand(node)
    assert i is not None
    x, constant = out.stored[node.input(i)], constants(node)[0].astype(np.float64).ravel()
    real = (np.arange(-128, 128, dtype=np.float64) - x.zero_point) * x.scale
    with np.errstate(all="ignore"):
        found = arithmetic.on_reals(node.op, real, constant) if i == 0 else arithmetic.on_reals(node.op, constant, real)
    y = integer_result(out, node.output)
    steps = np.clip(np.nan_to_num(found / y.scale, nan=0.0, posinf=512.0, neginf=-512.0), -512, 512)
    data = np.clip(round_away(steps) + y.zero_point, -128, 127).astype(np.int8)
    table = Value(f"{y.name}/table", data.shape, "int8", y.quant, data)
    out.nodes.append(Node("lut", [x, table], [y], {}, node.source))


def write_recurrent(out: Written, node: Node) -> None:
    """Its constants are weights or the states that it begins with."""
    results = [integer_result(out, v) for v in node.outputs]
    held = []
    for state, following in recurrent.state_pairs(node):
        stored = out.stored.get(state) or recurrent.constant_state(state, out.stored[following])
        held.append(stored)
    out.nodes.append(recurrent.integer_node(node, out.stored[node.input(0)], held, results))


def shared_operand(out: Written, value: Value | None, quant: Quant) -> Value | None:
    """A real operand in the quantisation of its group; requantised where its own is fixed."""
    if value is None or not is_real(value):
        return value
    if value.data is not None:
        return quantized_constant(value, quant, out.scheme)
    stored = out.stored[value]
    if quant.same_as(stored.quant):
        return stored
    if value not in out.copies:
        copy = Value(f"{value.name}/requantized", value.shape, stored.dtype, quant)
        out.nodes.append(Node("quantize", [stored], [copy], source=value.name))
        out.copies[value] = copy
    return out.copies[value]


def finite_attributes(node: Node, quant: Quant, scheme: Scheme) -> dict[str, object]:
    """A pad with -inf (in front of a maximum) becomes one with the least value that is stored."""
    attrs = dict(node.attrs)
    if node.op == "pad" and not np.isfinite(attrs["value"]):
        end = int(scheme.info.min if attrs["value"] < 0 else scheme.info.max)
        attrs["value"] = float(quant.scale[0]) * (end - int(quant.zero_point[0]))
    return attrs
