# SPDX-License-Identifier: Apache-2.0
"""Writes the integer graph when the quantisation of every value is chosen. What has no integer form computes in float
between dequantize and quantize nodes; indices and truth values, and what computes with them alone, stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
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

TOO_NOISY = "8 bits would add more noise to what it reads or writes than the recipe takes"
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
class Form:
    """The values of one scheme as far as they are written."""

    quants: Quants
    stored: dict[Value, Value] = field(default_factory=dict)  # float value -> its integer value
    copies: dict[Value, Value] = field(default_factory=dict)  # the same, requantised for a group

    @property
    def scheme(self) -> Scheme:
        return self.quants.scheme


@dataclass
class Written:
    """The integer graph as far as it is written: most of it in `usual`, `raised` nodes in `finer`. `ends` are the
    values that leave the graph in float."""

    usual: Form
    finer: Form | None = None
    raised: set[Node] = field(default_factory=set)
    left: Mapping[Node, str] = field(default_factory=dict)  # nodes that stay in float
    needed: set[Value] = field(default_factory=set)  # what somebody reads as integers
    ends: set[Value] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    wide: dict[Value, Quant] = field(default_factory=dict)  # states that are int16
    floats: dict[Value, Value] = field(default_factory=dict)  # values in float, for ops that stay so
    computed: set[Value] = field(default_factory=set)  # those that an op in float computes

    @property
    def forms(self) -> list[Form]:
        return [self.usual] if self.finer is None else [self.usual, self.finer]

    def form(self, node: Node) -> Form:
        return self.finer if self.finer is not None and node in self.raised else self.usual


@dataclass(frozen=True)
class Raised:
    """What computes in more than the usual integers, by the output of its node: "int16" or "float32"; `quants` are
    those of 16 bits."""

    kinds: Mapping[Value, str] = field(default_factory=dict)
    quants: Quants | None = None


def write(graph: Graph, quants: Quants, io: str, raised: Raised) -> Graph:
    out = begun(graph, quants, io, raised)
    for variable in graph.variables:
        write_state(out, variable)
    readers = graph.consumers()
    inputs = [write_input(out, v, io, readers.get(v, [])) for v in graph.inputs]
    for node in graph.nodes:
        write_node(out, node)
    outputs = [write_output(out, v) for v in graph.outputs]
    variables = [write_variable(out, v) for v in graph.variables]
    metadata = {**graph.metadata, "quantization": quants.scheme.name}
    return Graph(graph.name, inputs, outputs, out.nodes, metadata, variables)


def begun(graph: Graph, quants: Quants, io: str, raised: Raised) -> Written:
    left = left_in_float(graph, quants.scheme)
    left |= {n: TOO_NOISY for n in graph.nodes if raised.kinds.get(n.output) == "float32"}
    finer = {n for n in graph.nodes if raised.kinds.get(n.output) == "int16" and n not in left}
    kept = {n.output for n in left if n.op in NO_SCALE}
    ends = {v for v in graph.outputs if is_real(v) and (io == "float32" or v in kept)}
    needed = read_as_integers(graph, left, ends)
    forms = Form(quants), Form(raised.quants) if raised.quants is not None else None
    return Written(*forms, finer, left, needed, ends, wide=recurrent.wide_states(graph, quants.scheme))


def read_as_integers(graph: Graph, left: Mapping[Node, str], ends: set[Value]) -> set[Value]:
    readers, results = graph.consumers(), {v for n in left for v in n.outputs}
    needed = {v for v, nodes in readers.items() if not left.keys() >= set(nodes)}
    needed |= {v for v in graph.outputs if v not in ends}
    needed |= {v.next for v in graph.variables if v.value in needed or v.next not in results}
    return needed | {v.value for v in graph.variables if v.next in needed}


def write_state(out: Written, variable: Variable) -> None:
    """A state that only computes in float is one."""
    value = variable.value
    if is_real(value) and value in out.needed:
        new_integer(out, out.usual, value, value.name)
    elif is_real(value):
        out.floats[value] = Value(value.name, value.shape, value.dtype)


def write_variable(out: Written, v: Variable) -> Variable:
    """With its first content in its own type."""
    if not is_real(v.value):
        return v
    if v.value not in out.usual.stored:
        return Variable(out.floats[v.value], out.floats[v.next], v.initial)
    value = out.usual.stored[v.value]
    assert value.quant is not None
    wide = v.value in out.wide
    following = integer(out, out.usual, v.next) if wide else shared_operand(out, out.usual, v.next, value.quant)
    assert following is not None
    info = np.iinfo(value.dtype)
    steps = round_away(v.initial.astype(np.float64) / value.scale) + value.zero_point
    return Variable(value, following, np.clip(steps, info.min, info.max).astype(value.dtype))


def new_integer(out: Written, form: Form, value: Value, name: str) -> Value:
    wide = out.wide.get(value)
    dtype = "int16" if wide else form.scheme.dtype
    form.stored[value] = Value(name, value.shape, dtype, wide or form.quants.own[value])
    return form.stored[value]


def integer_result(out: Written, form: Form, value: Value) -> Value:
    """What a node writes; the name is the float value's where that leaves the graph."""
    name = f"{value.name}/{form.scheme.dtype}" if value in out.ends else value.name
    return new_integer(out, form, value, name) if is_real(value) else value


def integer(out: Written, form: Form, value: Value) -> Value:
    """The value in a form, converted from what it was computed in."""
    if value not in form.stored:
        known = [f.stored[value] for f in out.forms if value in f.stored]
        given = out.floats[value] if value in out.computed else known[0]
        if known:
            result = new_integer(out, form, value, f"{value.name}/as_{form.scheme.dtype}")
        else:
            result = integer_result(out, form, value)
        out.nodes.append(Node("quantize", [given], [result], source=value.name))
    return form.stored[value]


def write_input(out: Written, value: Value, io: str, readers: list[Node]) -> Value:
    if not is_real(value):
        return value
    form = out.form(readers[0]) if readers and len({n in out.raised for n in readers}) == 1 else out.usual
    if io != "float32":
        return new_integer(out, form, value, value.name)
    outer, inner = Value(value.name, value.shape, "float32"), f"{value.name}/{form.scheme.dtype}"
    out.nodes.append(Node("quantize", [outer], [new_integer(out, form, value, inner)], source=value.name))
    return outer


def write_output(out: Written, value: Value) -> Value:
    """In the integers that it was computed in."""
    if value.data is not None or not is_real(value):
        return value
    if value not in out.ends:
        return next((f.stored[value] for f in out.forms if value in f.stored), None) or integer(out, out.usual, value)
    if value in out.floats and out.floats[value].name == value.name:
        return out.floats[value]
    outer = Value(value.name, value.shape, "float32")
    given = next(f.stored[value] for f in out.forms if value in f.stored)
    out.nodes.append(Node("dequantize", [given], [outer], source=value.name))
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
        write_integer(out, node, out.form(node))


def write_integer(out: Written, node: Node, form: Form) -> None:
    inputs = operands(out, node, form)
    attrs = finite_attributes(node, form.quants.own[node.output], form.scheme) if is_real(node.output) else node.attrs
    out.nodes.append(Node(node.op, inputs, [integer_result(out, form, node.output)], attrs, node.source))


def operands(out: Written, node: Node, form: Form) -> list[Value | None]:
    if node.op in WEIGHTED:
        x, y = integer(out, form, node.input(0)), form.quants.own[node.output]
        return [x, *quantized_weights(node, x.quant or y, y, form.scheme)]
    if node.output in out.wide:
        return [integer(out, form, node.input(0))]
    if node.op in SHARED:
        return [shared_operand(out, form, v, form.quants.own[node.output]) for v in node.inputs]
    if node.op in NORMS:
        return [integer(out, form, node.input(0)), *node.inputs[1:]]
    return [operand(out, form, v) for v in node.inputs]


def operand(out: Written, form: Form, value: Value | None) -> Value | None:
    if value is None or not is_real(value):
        return value
    return integer(out, form, value) if value.data is None else quantized_constant(value, None, form.scheme)


def write_float(out: Written, node: Node) -> None:
    """The op behind dequantize nodes where its inputs are integers; of a run of such ops only the first has them."""
    inputs = [as_float(out, v) for v in node.inputs]
    results = [float_result(out, v) for v in node.outputs]
    out.nodes.append(Node(node.op, inputs, results, dict(node.attrs), node.source))


def float_result(out: Written, value: Value) -> Value:
    if not is_real(value):
        return value
    out.computed.add(value)
    alone = value in out.ends or value not in out.needed
    out.floats[value] = Value(value.name if alone else f"{value.name}/float32", value.shape, "float32")
    return out.floats[value]


def as_float(out: Written, value: Value | None) -> Value | None:
    if value is None or value.data is not None or not is_real(value):
        return value
    if value not in out.floats:
        given = next(f.stored[value] for f in reversed(out.forms) if value in f.stored)
        out.floats[value] = Value(f"{value.name}/float32", value.shape, "float32")
        out.nodes.append(Node("dequantize", [given], [out.floats[value]], source=value.name))
    return out.floats[value]


def write_table(out: Written, node: Node) -> None:
    """An op of a computed and a constant number: its result for each of 256 inputs, the exact function of the real
    number, rounded to the output's nearest step, halves away from zero, NaN to the zero point."""
    i = table_operand(node)
    assert i is not None
    x, constant = integer(out, out.usual, node.input(i)), constants(node)[0].astype(np.float64).ravel()
    real = (np.arange(-128, 128, dtype=np.float64) - x.zero_point) * x.scale
    with np.errstate(all="ignore"):
        found = arithmetic.on_reals(node.op, real, constant) if i == 0 else arithmetic.on_reals(node.op, constant, real)
    y = integer_result(out, out.usual, node.output)
    steps = np.clip(np.nan_to_num(found / y.scale, nan=0.0, posinf=512.0, neginf=-512.0), -512, 512)
    data = np.clip(round_away(steps) + y.zero_point, -128, 127).astype(np.int8)
    table = Value(f"{y.name}/table", data.shape, "int8", y.quant, data)
    out.nodes.append(Node("lut", [x, table], [y], {}, node.source))


def write_recurrent(out: Written, node: Node) -> None:
    """Its constants are weights or the states that it begins with."""
    x, results = integer(out, out.usual, node.input(0)), [integer_result(out, out.usual, v) for v in node.outputs]
    held = []
    for state, following in recurrent.state_pairs(node):
        known = state.data is None
        after = out.usual.stored[following]
        held.append(integer(out, out.usual, state) if known else recurrent.constant_state(state, after))
    out.nodes.append(recurrent.integer_node(node, x, held, results))


def shared_operand(out: Written, form: Form, value: Value | None, quant: Quant) -> Value | None:
    """A real operand in the quantisation of its group; requantised where its own is fixed."""
    if value is None or not is_real(value):
        return value
    if value.data is not None:
        return quantized_constant(value, quant, form.scheme)
    stored = integer(out, form, value)
    if quant.same_as(stored.quant):
        return stored
    if value not in form.copies:
        copy = Value(f"{value.name}/requantized", value.shape, stored.dtype, quant)
        out.nodes.append(Node("quantize", [stored], [copy], source=value.name))
        form.copies[value] = copy
    return form.copies[value]


def finite_attributes(node: Node, quant: Quant, scheme: Scheme) -> dict[str, object]:
    """A pad with -inf (in front of a maximum) becomes one with the least value that is stored."""
    attrs = dict(node.attrs)
    if node.op == "pad" and not np.isfinite(attrs["value"]):
        end = int(scheme.info.min if attrs["value"] < 0 else scheme.info.max)
        attrs["value"] = float(quant.scale[0]) * (end - int(quant.zero_point[0]))
    return attrs
