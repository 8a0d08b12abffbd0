# SPDX-License-Identifier: Apache-2.0
"""Which integers a float network gets: the schemes, which ops have a form in them, and grids for ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import activation, batch_matmul, elementary, elementwise, normalize, softmax

# Output channel axis of the weights.
WEIGHTED = {"conv2d": 0, "transpose_conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}
# Kernels that move or compare stored bytes: real inputs and output have one quantisation.
SHARED = frozenset(
    "avg_pool2d max_pool2d reshape transpose slice pad concat resize_nearest resize_bilinear "
    "minimum maximum reduce_max reduce_min space_to_depth depth_to_space border_pad take_pixels resize_filter "
    "gather gather_nd gather_elements select tile broadcast_to top_k_values "
    "scatter_nd scatter_elements update_slice".split()
)
# Their scale and shift stay float constants.
NORMS = ("layer_norm", "rms_norm", "group_norm", "instance_norm")
# Real numbers in, indices or truth values out: of stored bytes as of what they stand for.
ASKING = ("arg_max", "arg_min", "top_k_indices")
# Of one input and a constant they are a function of one input, which is a table for int8.
OF_CONSTANTS = ("pow", "floor_div", "floor_mod", "fmod")
# Without a kernel for 16-bit activations.
FREE_INT8 = frozenset({"div", "hardmax", *elementary.NAMES}) - {"abs"}
FREE = frozenset("mean sum add sub mul relu relu6 relu_n1_to_1 hard_swish leaky_relu clip abs".split())
FREE |= {"squared_difference", "prelu", *FREE_INT8, *NORMS, *activation.NAMES, "batch_matmul"}
ONLY_INT8 = FREE_INT8 | {"rnn", "resize_filter", *elementwise.COMPARISONS, *OF_CONSTANTS}
KEPT_IN_ORDER = ("none", "min", "max")  # reductions of a scatter that stored bytes have as well
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


def is_real(value: Value | None) -> bool:
    """An activation or constant that stands for real numbers, not indices or truth values."""
    return value is not None and value.dtype == "float32"


def activations(node: Node) -> list[Value]:
    """The real inputs that are computed."""
    return [v for v in node.inputs if v is not None and v.data is None and is_real(v)]


def constants(node: Node) -> list[np.ndarray]:
    """The real inputs that are not."""
    return [v.data for v in node.inputs if v is not None and v.data is not None and is_real(v)]


def is_plain(node: Node) -> bool:
    """Whether the node computes with indices and truth values alone: it stays as it is."""
    return not activations(node) and not any(is_real(v) for v in node.outputs)


def left_in_float(graph: Graph, scheme: Scheme) -> dict[Node, str]:
    """The nodes that compute in float whatever the ranges are, each with the reason."""
    found = {n: reason for n in graph.nodes if (reason := why_float(n, scheme))}
    readers, producers = graph.consumers(), graph.producers()
    values, nexts = {v.value for v in graph.variables}, {v.next for v in graph.variables}
    while True:
        more = [
            n
            for n in graph.nodes
            if n.op == "reshape" and n not in found and is_real(n.output)
            if n.input(0) in values or producers.get(n.input(0)) in found
            if n.output in nexts or (n.output in readers and found.keys() >= set(readers[n.output]))
        ]
        if not more:
            return found
        found |= dict.fromkeys(more, "it lies between operations in float")


def why_float(node: Node, scheme: Scheme) -> str:
    """Why the op has no form in the scheme; nothing where it has one."""
    if is_plain(node):
        return ""
    if node.op in REASONS:
        return REASONS[node.op]
    known = {*WEIGHTED, *scheme.fixed, *SHARED, *FREE, *ASKING, *OF_CONSTANTS, *elementwise.COMPARISONS, "rnn"}
    if node.op not in known - (set() if scheme is INT8 else ONLY_INT8):
        return f"it has no {scheme.dtype} kernel"
    return _why_this_one(node, scheme)


# For good: more bits would not help, or the result is none that a scale fits.
REASONS = {
    "cast": "it turns reals into integers or the other way round",
    "detect": "boxes, classes and scores have no scale in common",
    "nms": "its boxes and scores are compared as they are",
    "lrn": "powers of sums of squares have no integer kernel",
}


def _why_this_one(node: Node, scheme: Scheme) -> str:
    """What this node asks for that others of its op do not."""
    items = node.input(0).shape
    if node.op in WEIGHTED and any(v is not None and v.data is None for v in node.inputs[1:]):
        return "its weights are computed; integers need them constant"
    if node.op in OF_CONSTANTS and table_operand(node) is None:
        return "of two computed inputs it has no integer kernel; with a constant it is a table"
    if node.op == "rnn" and node.attrs["kind"] == "rnn_relu":
        return "the state of a recurrent layer with relu has no bound"
    if node.op == "rnn" and node.optional(6) is not None:
        return "an LSTM with peepholes has no integer kernel"
    if node.op.startswith("scatter") and node.attrs.get("reduction", "none") not in KEPT_IN_ORDER:
        return f"its reduction {node.attrs['reduction']} has no integer kernel"
    if node.op == "softmax" and items[softmax.axis(node)] > min(softmax.MAX_ITEMS.values()):
        return f"its rows of {items[softmax.axis(node)]} items are too long for integers"
    if node.op == "batch_matmul" and batch_matmul.matrices(node)[0][-1] > min(batch_matmul.MAX_DEPTH.values()):
        return f"sums of {batch_matmul.matrices(node)[0][-1]} products leave 32 bits"
    if node.op in NORMS and normalize.items(node) > normalize.MAX_ITEMS[scheme.dtype]:
        return "its statistics of so many items leave 64 bits"
    return ""


def table_operand(node: Node) -> int | None:
    """Which input of an op of two is computed where the other is one constant number."""
    for i in (0, 1):
        x, other = node.input(i), node.input(1 - i)
        if x.data is None and other.data is not None and other.elements == 1 and x.shape == node.output.shape:
            return i
    return None


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
