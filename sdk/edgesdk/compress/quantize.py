# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation of a float graph to the TFLite integer specification.

Activations: int8, one scale and zero point per tensor, zero exactly representable; or int16,
one scale and no zero point (int16x8). Weights: int8 in [-127, 127], symmetric per output channel.
Biases: int32 (int16x8: int64) at input scale x weight scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edgesdk.compress import recurrent
from edgesdk.compress.calibrate import Ranges
from edgesdk.compress.masks import limit_masks
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph, Node, Quant, Value, Variable
from edgesdk.ops import activation, elementary

# Output channel axis of the weights.
WEIGHTED = {"conv2d": 0, "transpose_conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}
# Kernels that move or compare stored bytes: inputs and output have one quantisation.
SHARED = frozenset(
    "avg_pool2d max_pool2d reshape transpose slice pad concat resize_nearest resize_bilinear "
    "minimum maximum reduce_max space_to_depth depth_to_space border_pad take_pixels resize_filter".split()
)
# Their scale and shift stay float constants.
NORMS = ("layer_norm", "rms_norm", "group_norm", "instance_norm")
# Without a kernel for 16-bit activations.
FREE_INT8 = frozenset({"div", "squared_difference", "prelu", "hardmax", *NORMS, *elementary.NAMES})
FREE = frozenset("mean sum add sub mul relu relu6 relu_n1_to_1 hard_swish leaky_relu clip".split())
FREE |= {*FREE_INT8, *activation.NAMES, "batch_matmul"}
ONLY_INT8 = FREE_INT8 | {"rnn", "resize_filter"}
LEAST_SCALE = 2.0**-60


@dataclass(frozen=True)
class Scheme:
    """What activations and biases become. `fixed`: outputs whose quantisation the specification fixes, (scale, zero
    point). `least_ratio`: kernels refuse an output scale far below their inputs', so the least ratio of the ranges.
    Below `least_multiplier` a channel's weights cannot move the output by a step; `largest_bias` leaves room for the
    sum. `gain`: most of what a sum may grow by on its way to the output, in steps."""

    name: str
    dtype: str
    bias: str
    fixed: dict[str, tuple[float, int]]
    least_ratio: dict[str, float]
    least_multiplier: float
    largest_bias: float
    gain: float

    @property
    def info(self) -> np.iinfo:
        return np.iinfo(self.dtype)


INT8 = Scheme(
    "int8",
    "int8",
    "int32",
    {
        "softmax": (1 / 256, -128),
        "logistic": (1 / 256, -128),
        "tanh": (1 / 128, 0),
        "log_softmax": (1 / 16, 127),
        "l2_norm": (1 / 128, 0),
    },
    {"hard_swish": 1 / 64, "add": 2.0**-17, "sub": 2.0**-17},
    2.0**-20,
    2.0**30,
    math.inf,
)
INT16X8 = Scheme(
    "int16x8",
    "int16",
    "int64",
    dict.fromkeys(("softmax", "logistic", "tanh"), (1 / 32768, 0)),
    {"add": 2.0**-12, "sub": 2.0**-12},
    2.0**-28,
    2.0**46,
    100.0,
)
SCHEMES = {s.name: s for s in (INT8, INT16X8)}
EDGE_TYPES = ("integer", "int8", "float32")


def quantize_int8(graph: Graph, ranges: Ranges, io: str = "int8") -> Graph:
    """`quantized` by the int8 scheme."""
    return quantized(graph, ranges, INT8, io)


def quantized(graph: Graph, ranges: Ranges, scheme: Scheme, io: str = "integer", leave_float: bool = False) -> Graph:
    """The integer graph. `ranges` come from `calibrate` on this very graph; with io="float32" the
    inputs and outputs stay float, between quantize and dequantize nodes. Ops without an integer form
    are refused, or with `leave_float` compute in float."""
    if io not in EDGE_TYPES:
        raise UsageError(f"io {io!r}; expected one of {', '.join(EDGE_TYPES)}")
    graph, ranges = recurrent.with_last_steps(graph, ranges)
    check_graph(graph, ranges, scheme, leave_float)
    graph, ranges = limit_masks(graph, ranges)
    return write(graph, choose_quants(graph, ranges, scheme), io)


def check_graph(graph: Graph, ranges: Ranges, scheme: Scheme, leave_float: bool) -> None:
    values = all_values(graph)
    done = next((v for v in values if v.dtype != "float32"), None)
    if done is not None:
        raise UsageError(f"value {done.name!r} is {done.dtype}; expected a float32 graph to quantise")
    left = [n for n in graph.nodes if stays_float(n, scheme)]
    unknown = sorted({f"{n.op} ({n.source})" for n in left if not leave_float or len(n.outputs) > 1})
    if unknown:
        raise Unsupported(
            f"ops without an {scheme.dtype} form: {', '.join(unknown)}; expected them folded or left in float"
        )
    missing = next((v for v in values if v not in ranges), None)
    if missing is not None:
        raise UsageError(f"value {missing.name!r} has no calibrated range; expected ranges of this graph")


def stays_float(node: Node, scheme: Scheme) -> bool:
    """Whether the op has no form in the scheme."""
    return node.op not in {*WEIGHTED, *scheme.fixed, *SHARED, *FREE, "rnn"} - (set() if scheme is INT8 else ONLY_INT8)


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

    scheme: Scheme
    own: dict[Value, Quant] = field(default_factory=dict)
    shared: dict[Value, Quant] = field(default_factory=dict)


def choose_quants(graph: Graph, ranges: Ranges, scheme: Scheme) -> Quants:
    groups = group_values(graph)
    for group in {id(g): g for g in groups.values()}.values():
        for value in group.values:
            group.include(*ranges[value])
    for node in graph.nodes:
        include_attributes(node, groups, scheme)
    for variable in graph.variables:
        groups[variable.value].include(float(variable.initial.min()), float(variable.initial.max()))
    fixed = {n.output: Quant.per_tensor(*scheme.fixed[n.op]) for n in graph.nodes if n.op in scheme.fixed}
    fixed |= recurrent.fixed_quants(graph)
    moved = {n.output for n in graph.nodes if n.op in SHARED} | {v.value for v in graph.variables}
    mixed = {groups[n.output] for n in graph.nodes if n.op in SHARED and constants(n)}
    quants = Quants(scheme)
    for value, group in groups.items():
        if group.quant is None:
            roots = [fixed.get(v) for v in group.values if v not in moved] or [None]
            group.quant = chosen([*roots, None] if group in mixed else roots, group, scheme)
        quants.shared[value] = group.quant
        quants.own[value] = fixed.get(value, group.quant)
    return quants


def chosen(roots: list[Quant | None], group: Group, scheme: Scheme) -> Quant:
    """The fixed quantisation where every root of the group has that one, else min-max."""
    first = roots[0]
    if first is not None and all(first.same_as(r) for r in roots):
        return first
    return from_range(group.low, group.high, scheme)


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


def include_attributes(node: Node, groups: dict[Value, Group], scheme: Scheme) -> None:
    """Widens the output's group by constants that join it and by what its kernel asks for."""
    group = groups[node.output]
    if node.op in SHARED:
        for data in constants(node):
            group.include(float(data.min()), float(data.max()))
        fill = float(node.attrs.get("value", 0.0))
        group.include(*(fill, fill) if np.isfinite(fill) else (0.0, 0.0))
    if node.op in scheme.least_ratio:
        widths = [groups[v].high - groups[v].low for v in activations(node)]
        widths += [max(float(d.max()), 0.0) - min(float(d.min()), 0.0) for d in constants(node)]
        group.high = max(group.high, group.low + max(widths) * scheme.least_ratio[node.op])
    if node.op in WEIGHTED and scheme.gain < math.inf:
        x, w = groups[node.input(0)], constants(node)[0]
        product = max(x.high, -x.low) * float(np.abs(w).max()) / 127
        group.high = max(group.high, product / scheme.gain)


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


def symmetric(low: float, high: float) -> Quant:
    """int16 over [-m, m], m the larger end.

    >>> float(symmetric(-1.0, 2.0).scale[0]) * 32767
    2.0
    """
    largest = max(-low, high)
    return Quant.per_tensor(float(np.float32(max(largest / 32767, LEAST_SCALE))) if largest else 1.0, 0)


def from_range(low: float, high: float, scheme: Scheme) -> Quant:
    return symmetric(low, high) if scheme.dtype == "int16" else asymmetric(low, high)


def round_away(x: np.ndarray) -> np.ndarray:
    """Halves away from zero, as TFLite's converter rounds."""
    return np.asarray(np.trunc(x + np.copysign(0.5, x)))


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
    if w.data is None or (b is not None and b.data is None):
        raise Unsupported(f"{node.op} {node.source!r} has weights that are computed; expected constants to quantise")
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
    """The integer graph as far as it is written."""

    quants: Quants
    nodes: list[Node] = field(default_factory=list)
    stored: dict[Value, Value] = field(default_factory=dict)  # float value -> its integer value
    copies: dict[Value, Value] = field(default_factory=dict)  # the same, requantised for a group
    wide: dict[Value, Quant] = field(default_factory=dict)  # states that are int16
    floats: dict[Value, Value] = field(default_factory=dict)  # the same in float, for ops that stay so


def write(graph: Graph, quants: Quants, io: str) -> Graph:
    out = Written(quants, wide=recurrent.wide_states(graph))
    for variable in graph.variables:
        integer_value(out, variable.value, variable.value.name)
    inputs = [write_input(out, v, io) for v in graph.inputs]
    edges = set(graph.outputs) if io == "float32" else set()
    for node in graph.nodes:
        name = node.output.name
        write_node(out, node, f"{name}/{quants.scheme.dtype}" if node.output in edges else name)
    outputs = [write_output(out, v, io) for v in graph.outputs]
    variables = [write_variable(out, v) for v in graph.variables]
    return Graph(
        graph.name, inputs, outputs, out.nodes, {**graph.metadata, "quantization": quants.scheme.name}, variables
    )


def write_variable(out: Written, v: Variable) -> Variable:
    """With its first content in its own type."""
    value = out.stored[v.value]
    assert value.quant is not None
    following = out.stored[v.next] if v.value in out.wide else shared_operand(out, v.next, value.quant)
    assert following is not None
    info = np.iinfo(value.dtype)
    steps = round_away(v.initial.astype(np.float64) / value.scale) + value.zero_point
    return Variable(value, following, np.clip(steps, info.min, info.max).astype(value.dtype))


def integer_value(out: Written, value: Value, name: str) -> Value:
    wide = out.wide.get(value)
    dtype = "int16" if wide else out.quants.scheme.dtype
    out.stored[value] = Value(name, value.shape, dtype, wide or out.quants.own[value])
    return out.stored[value]


def write_input(out: Written, value: Value, io: str) -> Value:
    if io != "float32":
        return integer_value(out, value, value.name)
    outer, inner = Value(value.name, value.shape, "float32"), f"{value.name}/{out.quants.scheme.dtype}"
    out.nodes.append(Node("quantize", [outer], [integer_value(out, value, inner)], source=value.name))
    return outer


def write_output(out: Written, value: Value, io: str) -> Value:
    if value.data is not None or io != "float32":
        return out.stored.get(value, value)
    outer = Value(value.name, value.shape, "float32")
    out.nodes.append(Node("dequantize", [out.stored[value]], [outer], source=value.name))
    return outer


def write_node(out: Written, node: Node, name: str) -> None:
    y, scheme = out.quants.own[node.output], out.quants.scheme
    if node.op == "rnn":
        write_recurrent(out, node, name)
        return
    if stays_float(node, scheme):
        write_float(out, node, name)
        return
    if node.op in WEIGHTED:
        x = out.stored[node.input(0)]
        inputs = [x, *quantized_weights(node, x.quant or y, y, scheme)]
    elif node.output in out.wide:
        inputs = [out.stored[node.input(0)]]
    elif node.op in SHARED:
        inputs = [shared_operand(out, v, y) for v in node.inputs]
    elif node.op in NORMS:
        inputs = [out.stored[node.input(0)], *node.inputs[1:]]
    else:
        inputs = [None if v is None else out.stored.get(v) or quantized_constant(v, None, scheme) for v in node.inputs]
    result = integer_value(out, node.output, name)
    out.nodes.append(Node(node.op, inputs, [result], finite_attributes(node, y, scheme), node.source))


def write_float(out: Written, node: Node, name: str) -> None:
    """The op between dequantize and quantize nodes; of a run of such ops only the ends have them."""
    inputs = [v if v is None or v.data is not None else as_float(out, v) for v in node.inputs]
    result = Value(f"{name}/float32", node.output.shape, "float32")
    out.floats[node.output] = result
    out.nodes.append(Node(node.op, inputs, [result], dict(node.attrs), node.source))
    out.nodes.append(Node("quantize", [result], [integer_value(out, node.output, name)], source=node.source))


def as_float(out: Written, value: Value) -> Value:
    if value not in out.floats:
        out.floats[value] = Value(f"{value.name}/float32", value.shape, "float32")
        out.nodes.append(Node("dequantize", [out.stored[value]], [out.floats[value]], source=value.name))
    return out.floats[value]


def write_recurrent(out: Written, node: Node, name: str) -> None:
    """Its constants are weights or the states that it begins with."""
    results = [integer_value(out, v, name if v is node.output else v.name) for v in node.outputs]
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
        return quantized_constant(value, quant, out.quants.scheme)
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
