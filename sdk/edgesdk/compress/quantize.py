# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation of a float graph to the TFLite int8 specification.

Activations: int8, one scale and zero point per tensor, zero exactly representable. Weights:
int8 in [-127, 127], symmetric per output channel. Biases: int32 at input scale x weight scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgesdk.compress import recurrent
from edgesdk.compress.calibrate import Ranges
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph, Node, Quant, Value, Variable

# Output channel axis of the weights.
WEIGHTED = {"conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}
# Outputs whose quantisation the specification fixes: (scale, zero point).
FIXED = {"softmax": (1 / 256, -128), "logistic": (1 / 256, -128), "tanh": (1 / 128, 0)}
# Kernels that move or compare stored bytes: inputs and output have one quantisation.
SHARED = frozenset(
    "avg_pool2d max_pool2d reshape transpose slice pad concat resize_nearest resize_bilinear "
    "minimum maximum reduce_max space_to_depth depth_to_space".split()
)
FREE = frozenset("mean sum add sub mul relu relu6 relu_n1_to_1 hard_swish leaky_relu clip".split())
# Kernels refuse an output scale far below their inputs': least ratio of the ranges.
LEAST_RATIO = {"hard_swish": 1 / 64, "add": 2.0**-18, "sub": 2.0**-18}
LEAST_SCALE = 2.0**-60
LEAST_MULTIPLIER = 2.0**-20  # below it, a channel's weights cannot move the output by a step
LARGEST_BIAS = 2.0**30  # leaves half of int32 to the sum

EDGE_TYPES = ("int8", "float32")
SCHEMES = ("int8",)


def quantize_int8(graph: Graph, ranges: Ranges, io: str = "int8") -> Graph:
    """The int8 graph. `ranges` come from `calibrate` on this very graph; with io="float32" the
    inputs and outputs stay float, between quantize and dequantize nodes."""
    if io not in EDGE_TYPES:
        raise UsageError(f"io {io!r}; expected one of {', '.join(EDGE_TYPES)}")
    graph, ranges = recurrent.with_last_steps(graph, ranges)
    check_graph(graph, ranges)
    return write(graph, choose_quants(graph, ranges), io)


def check_graph(graph: Graph, ranges: Ranges) -> None:
    values = all_values(graph)
    done = next((v for v in values if v.dtype != "float32"), None)
    if done is not None:
        raise UsageError(f"value {done.name!r} is {done.dtype}; expected a float32 graph to quantise")
    known = {*WEIGHTED, *FIXED, *SHARED, *FREE, "rnn"}
    unknown = sorted({f"{n.op} ({n.source})" for n in graph.nodes if n.op not in known})
    if unknown:
        raise Unsupported(f"ops without an int8 form: {', '.join(unknown)}; expected them folded or left in float")
    missing = next((v for v in values if v not in ranges), None)
    if missing is not None:
        raise UsageError(f"value {missing.name!r} has no calibrated range; expected ranges of this graph")


def all_values(graph: Graph) -> list[Value]:
    return [*graph.inputs, *(v.value for v in graph.variables), *(v for n in graph.nodes for v in n.outputs)]


@dataclass(eq=False)
class Group:
    """Values that share one quantisation."""

    values: list[Value]
    low: float = 0.0
    high: float = 0.0
    quant: Quant | None = None

    def include(self, low: float, high: float) -> None:
        # The range always holds zero: padding must be exact.
        self.low, self.high = min(self.low, low), max(self.high, high)


@dataclass
class Quants:
    """`own` is how a value is stored; `shared` what the byte-moving ops around it use. They
    differ only where the specification fixes `own` and the group needs more."""

    own: dict[Value, Quant] = field(default_factory=dict)
    shared: dict[Value, Quant] = field(default_factory=dict)


def choose_quants(graph: Graph, ranges: Ranges) -> Quants:
    groups = group_values(graph)
    for group in {id(g): g for g in groups.values()}.values():
        for value in group.values:
            group.include(*ranges[value])
    for node in graph.nodes:
        include_attributes(node, groups)
    for variable in graph.variables:
        groups[variable.value].include(float(variable.initial.min()), float(variable.initial.max()))
    fixed = {n.output: Quant.per_tensor(*FIXED[n.op]) for n in graph.nodes if n.op in FIXED}
    fixed |= recurrent.fixed_quants(graph)
    moved = {n.output for n in graph.nodes if n.op in SHARED} | {v.value for v in graph.variables}
    mixed = {groups[n.output] for n in graph.nodes if n.op in SHARED and constants(n)}
    quants = Quants()
    for value, group in groups.items():
        if group.quant is None:
            roots = [fixed.get(v) for v in group.values if v not in moved] or [None]
            group.quant = chosen([*roots, None] if group in mixed else roots, group)
        quants.shared[value] = group.quant
        quants.own[value] = fixed.get(value, group.quant)
    return quants


def chosen(roots: list[Quant | None], group: Group) -> Quant:
    """The fixed quantisation where every root of the group has that one, else min-max."""
    first = roots[0]
    if first is not None and all(first.same_as(r) for r in roots):
        return first
    return asymmetric(group.low, group.high)


def group_values(graph: Graph) -> dict[Value, Group]:
    """Each activation's group: the connected parts of the graph of byte-moving ops."""
    groups = {v: Group([v]) for v in all_values(graph)}
    for node in graph.nodes:
        if node.op in SHARED:
            for value in activations(node):
                join(groups, groups[node.output], groups[value])
    for a, b in recurrent.joined(graph):
        join(groups, groups[a], groups[b])
    return groups


def join(groups: dict[Value, Group], kept: Group, other: Group) -> None:
    if kept is not other:
        kept.values += other.values
        groups.update({v: kept for v in other.values})


def activations(node: Node) -> list[Value]:
    return [v for v in node.inputs if v is not None and v.data is None]


def constants(node: Node) -> list[np.ndarray]:
    return [v.data for v in node.inputs if v is not None and v.data is not None]


def include_attributes(node: Node, groups: dict[Value, Group]) -> None:
    """Widens the output's group by constants that join it and by what its kernel asks for."""
    group = groups[node.output]
    if node.op in SHARED:
        for data in constants(node):
            group.include(float(data.min()), float(data.max()))
        fill = float(node.attrs.get("value", 0.0))
        group.include(*(fill, fill) if np.isfinite(fill) else (0.0, 0.0))
    if node.op in LEAST_RATIO:
        widths = [groups[v].high - groups[v].low for v in activations(node)]
        widths += [max(float(d.max()), 0.0) - min(float(d.min()), 0.0) for d in constants(node)]
        group.high = max(group.high, group.low + max(widths) * LEAST_RATIO[node.op])


def asymmetric(low: float, high: float) -> Quant:
    """int8 over [low, high], zero on a step.

    >>> q = asymmetric(-1.0, 2.0)
    >>> round(float(q.scale[0]), 6), int(q.zero_point[0])
    (0.011765, -43)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return Quant.per_tensor(1.0, 0)
    scale = float(np.float32(max((high - low) / 255, LEAST_SCALE)))
    return Quant.per_tensor(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


def round_away(x: np.ndarray) -> np.ndarray:
    """Halves away from zero, as TFLite's converter rounds."""
    return np.asarray(np.trunc(x + np.copysign(0.5, x)))


def quantized_constant(value: Value, quant: Quant | None) -> Value:
    """A constant operand as int8; with its own range where no quantisation is given."""
    assert value.data is not None
    quant = quant or asymmetric(float(value.data.min()), float(value.data.max()))
    steps = round_away(value.data.astype(np.float64) / float(quant.scale[0])) + int(quant.zero_point[0])
    return Value(value.name, value.shape, "int8", quant, np.clip(steps, -128, 127).astype(np.int8))


def quantized_weights(node: Node, x: Quant, y: Quant) -> list[Value | None]:
    """[weights, bias] of a layer whose input and output are quantised as `x` and `y`."""
    w, b, axis = node.input(1), node.optional(2), WEIGHTED[node.op]
    if w.data is None or (b is not None and b.data is None):
        raise Unsupported(f"{node.op} {node.source!r} has weights that are computed; expected constants to quantise")
    others = tuple(a for a in range(w.data.ndim) if a != axis)
    bias = np.zeros(w.shape[axis]) if b is None or b.data is None else b.data.astype(np.float64)
    x_scale, y_scale = float(x.scale[0]), float(y.scale[0])
    # Near-empty channels get a scale that keeps multiplier and bias within their types.
    least = np.maximum(LEAST_MULTIPLIER * y_scale / x_scale, np.abs(bias) / (LARGEST_BIAS * x_scale))
    scale = np.maximum(np.abs(w.data).max(others).astype(np.float64) / 127, least).astype(np.float32)
    along = [1] * w.data.ndim
    along[axis] = -1
    steps = np.clip(round_away(w.data / scale.astype(np.float64).reshape(along)), -127, 127)
    zeros = np.zeros(scale.shape, np.int32)
    weights = Value(w.name, w.shape, "int8", Quant(scale, zeros, axis), steps.astype(np.int8))
    return [weights, None if b is None else quantized_bias(b, bias, x_scale, scale)]


def quantized_bias(b: Value, bias: np.ndarray, x_scale: float, w_scale: np.ndarray) -> Value:
    scale = x_scale * w_scale.astype(np.float64)
    limit = 2.0**31 - 1
    steps = np.clip(round_away(bias / scale), -limit, limit).astype(np.int32)
    return Value(b.name, b.shape, "int32", Quant(scale.astype(np.float32), np.zeros(scale.shape, np.int32), 0), steps)


@dataclass
class Written:
    """The int8 graph as far as it is written."""

    quants: Quants
    nodes: list[Node] = field(default_factory=list)
    stored: dict[Value, Value] = field(default_factory=dict)  # float value -> its int8 value
    copies: dict[Value, Value] = field(default_factory=dict)  # the same, requantised for a group
    wide: dict[Value, Quant] = field(default_factory=dict)  # states that are int16


def write(graph: Graph, quants: Quants, io: str) -> Graph:
    out = Written(quants, wide=recurrent.wide_states(graph))
    for variable in graph.variables:
        int8_value(out, variable.value, variable.value.name)
    inputs = [write_input(out, v, io) for v in graph.inputs]
    edges = set(graph.outputs) if io == "float32" else set()
    for node in graph.nodes:
        write_node(out, node, f"{node.output.name}/int8" if node.output in edges else node.output.name)
    outputs = [write_output(out, v, io) for v in graph.outputs]
    variables = [write_variable(out, v) for v in graph.variables]
    return Graph(graph.name, inputs, outputs, out.nodes, {**graph.metadata, "quantization": "int8"}, variables)


def write_variable(out: Written, v: Variable) -> Variable:
    """With its first content in its own type."""
    value = out.stored[v.value]
    assert value.quant is not None
    following = out.stored[v.next] if v.value in out.wide else shared_operand(out, v.next, value.quant)
    assert following is not None
    info = np.iinfo(value.dtype)
    steps = round_away(v.initial.astype(np.float64) / value.scale) + value.zero_point
    return Variable(value, following, np.clip(steps, info.min, info.max).astype(value.dtype))


def int8_value(out: Written, value: Value, name: str) -> Value:
    wide = out.wide.get(value)
    out.stored[value] = Value(name, value.shape, "int16" if wide else "int8", wide or out.quants.own[value])
    return out.stored[value]


def write_input(out: Written, value: Value, io: str) -> Value:
    if io == "int8":
        return int8_value(out, value, value.name)
    outer = Value(value.name, value.shape, "float32")
    out.nodes.append(Node("quantize", [outer], [int8_value(out, value, f"{value.name}/int8")], source=value.name))
    return outer


def write_output(out: Written, value: Value, io: str) -> Value:
    if value.data is not None or io == "int8":
        return out.stored.get(value, value)
    outer = Value(value.name, value.shape, "float32")
    out.nodes.append(Node("dequantize", [out.stored[value]], [outer], source=value.name))
    return outer


def write_node(out: Written, node: Node, name: str) -> None:
    y = out.quants.own[node.output]
    if node.op == "rnn":
        write_recurrent(out, node, name)
        return
    if node.op in WEIGHTED:
        x = out.stored[node.input(0)]
        inputs = [x, *quantized_weights(node, x.quant or y, y)]
    elif node.output in out.wide:
        inputs = [out.stored[node.input(0)]]
    elif node.op in SHARED:
        inputs = [shared_operand(out, v, y) for v in node.inputs]
    else:
        inputs = [None if v is None else out.stored.get(v) or quantized_constant(v, None) for v in node.inputs]
    result = int8_value(out, node.output, name)
    out.nodes.append(Node(node.op, inputs, [result], finite_attributes(node, y), node.source))


def write_recurrent(out: Written, node: Node, name: str) -> None:
    """Its constants are weights or the states that it begins with."""
    results = [int8_value(out, v, name if v is node.output else v.name) for v in node.outputs]
    held = []
    for state, following in recurrent.state_pairs(node):
        stored = out.stored.get(state) or recurrent.constant_state(state, out.stored[following])
        held.append(stored)
    out.nodes.append(recurrent.integer_node(node, out.stored[node.input(0)], held, results))


def shared_operand(out: Written, value: Value | None, quant: Quant) -> Value | None:
    """An operand in the quantisation of its group; requantised where its own is fixed."""
    if value is None:
        return None
    if value.data is not None:
        return quantized_constant(value, quant)
    stored = out.stored[value]
    if quant.same_as(stored.quant):
        return stored
    if value not in out.copies:
        copy = Value(f"{value.name}/requantized", value.shape, "int8", quant)
        out.nodes.append(Node("quantize", [stored], [copy], source=value.name))
        out.copies[value] = copy
    return out.copies[value]


def finite_attributes(node: Node, quant: Quant) -> dict[str, object]:
    """A pad with -inf (in front of a maximum) becomes one with the least value that is stored."""
    attrs = dict(node.attrs)
    if node.op == "pad" and not np.isfinite(attrs["value"]):
        end = -128 if attrs["value"] < 0 else 127
        attrs["value"] = float(quant.scale[0]) * (end - int(quant.zero_point[0]))
    return attrs
