# SPDX-License-Identifier: Apache-2.0
"""int8 forms of recurrent layers. An LSTM takes TFLite's: int8 state, int16 cell of scale 2^-11 (a cell that leaves
+-16 saturates, where its tanh is 1 in any case). A GRU or plain layer keeps its state in 16 bits and gives it in 8."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops.rnn import OUT_SCALE

CELL_SCALE = 2.0**-11
STATE_SCALE = 2.0**-15
LEAST_SCALE = 2.0**-30  # of weights: a gate of zeros
LARGEST_BIAS = 2.0**30  # leaves half of int32 to the sum

Ranges = Mapping[Value, tuple[float, float]]


def layers(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.op == "rnn"]


def is_lstm(node: Node) -> bool:
    return bool(node.attrs["kind"] == "lstm")


def state_pairs(node: Node) -> list[tuple[Value, Value]]:
    """(state, the output that replaces it) of each state."""
    return [(node.input(i), node.outputs[o]) for o, i in ops.states(node).items()]


def fixed_quants(graph: Graph) -> dict[Value, Quant]:
    """Outputs of layers whose state lies between -1 and 1."""
    return {n.output: Quant.per_tensor(OUT_SCALE, 0) for n in layers(graph) if not is_lstm(n)}


def joined(graph: Graph) -> list[tuple[Value, Value]]:
    """Values that must share a quantisation: both contents of a variable, output and state of an LSTM."""
    pairs = [(v.value, v.next) for v in graph.variables if v.next.data is None]
    for node in filter(is_lstm, layers(graph)):
        state, following = state_pairs(node)[0]
        pairs += [(node.output, v) for v in (state, following) if v.data is None]
    return pairs


def wide_states(graph: Graph) -> dict[Value, Quant]:
    """States that are int16: cells of LSTMs, states of the others, with their views and variables."""
    wide: dict[Value, Quant] = {}
    for node in layers(graph):
        quant = Quant.per_tensor(CELL_SCALE if is_lstm(node) else STATE_SCALE, 0)
        for pair in state_pairs(node)[1 if is_lstm(node) else 0 :]:
            wide |= dict.fromkeys([v for v in pair if v.data is None], quant)
    pairs = [(n.input(0), n.output) for n in graph.nodes if n.op == "reshape"]
    pairs += [(v.value, v.next) for v in graph.variables]
    while True:
        more = {b: wide[a] for p in pairs for a, b in (p, p[::-1]) if a in wide and b not in wide and b.data is None}
        if not more:
            break
        wide |= more
    _check_wide(graph, wide)
    return wide


def _check_wide(graph: Graph, wide: dict[Value, Quant]) -> None:
    for node in graph.nodes:
        states = {v for pair in state_pairs(node) for v in pair} if node.op == "rnn" else set()
        touched = {v for v in (*node.inputs, *node.outputs) if v in wide}
        if node.op != "reshape" and touched - states:
            name = next(iter(touched - states)).name
            raise Unsupported(f"{node.source}: state {name!r} of a recurrent layer is int16; expected no other reader")
    outer = next((v for v in (*graph.inputs, *graph.outputs) if v in wide), None)
    if outer is not None:
        raise Unsupported(
            f"{outer.name!r} is the state of a recurrent layer, which is int16 in an int8 model; "
            f"expected a variable, declare the pair of input and output one"
        )


def with_last_steps(graph: Graph, ranges: Ranges) -> tuple[Graph, dict[Value, tuple[float, float]]]:
    """Who reads the last state of a GRU or plain layer reads the last step of its output, which is the same."""
    known = dict(ranges)
    copied = [Node(n.op, list(n.inputs), n.outputs, n.attrs, n.source) for n in graph.nodes]
    found = Graph(graph.name, graph.inputs, list(graph.outputs), copied, graph.metadata, graph.variables)
    for node in [n for n in layers(found) if not is_lstm(n)]:
        state = node.outputs[1]
        if not _is_state_only(found, state) and node.output in known:
            last = _last_step(found, node, known)
            for n in found.nodes:
                n.inputs = [last if v is state else v for v in n.inputs]
            found.outputs = [last if v is state else v for v in found.outputs]
    return found, known


def _is_state_only(graph: Graph, value: Value) -> bool:
    """All that reads the value takes it as a state."""
    if value in graph.outputs:
        return False
    for node in graph.nodes:
        if value not in node.inputs:
            continue
        as_state = node.op == "rnn" and value in [s for s, _ in state_pairs(node)]
        if not as_state and not (node.op == "reshape" and _is_state_only(graph, node.output)):
            return False
    return True


def _last_step(graph: Graph, node: Node, known: dict[Value, tuple[float, float]]) -> Value:
    y, state = node.output, node.outputs[1]
    axis = 0 if node.attrs["time_major"] else 1
    size = tuple(1 if a == axis else d for a, d in enumerate(y.shape))
    at = 0 if node.attrs["reverse"] else y.shape[axis] - 1
    begin = tuple(at if a == axis else 0 for a in range(3))
    step, last = Value(f"{y.name}/last", size, y.dtype), Value(f"{state.name}/last", state.shape, y.dtype)
    made = [
        Node("slice", [y], [step], {"begin": begin, "size": size, "stride": (1, 1, 1)}, node.source),
        Node("reshape", [step], [last], {"shape": state.shape}, node.source),
    ]
    index = graph.nodes.index(node) + 1
    graph.nodes[index:index] = made
    known[step] = known[last] = known[y]
    return last


def constant_state(state: Value, following: Value) -> Value:
    """A constant first state in the type of the later ones."""
    assert state.data is not None
    info = np.iinfo(following.dtype)
    steps = np.rint(state.data.astype(np.float64) / following.scale) + following.zero_point
    data = np.clip(steps, info.min, info.max).astype(following.dtype)
    return Value(state.name, state.shape, following.dtype, following.quant, data)


def integer_node(node: Node, x: Value, held: list[Value], results: list[Value]) -> Node:
    """The layer on int8 x with these states and outputs."""
    if node.attrs["kind"] == "rnn_relu":
        raise Unsupported(f"{node.source}: a recurrent layer with relu has no int8 form; expected tanh, or float")
    if node.optional(6) is not None:
        raise Unsupported(f"{node.source}: an LSTM with peepholes has no int8 form; expected none, or float")
    w, r = _weights(node.input(1)), _weights(node.input(2))
    b = node.input(3)
    assert b.data is not None and w.quant is not None and r.quant is not None
    attrs = dict(node.attrs)
    if not is_lstm(node):
        scales = np.stack([x.scale * w.quant.scale.astype(np.float64), OUT_SCALE * r.quant.scale.astype(np.float64)])
        bias = Value(b.name, b.shape, "int32", None, _steps(b.data, scales[:, :, None]))
        return Node("rnn", [x, w, r, bias, *held], results, attrs, node.source)
    del attrs["kind"]
    data = _steps(b.data.sum(0), x.scale * w.quant.scale.astype(np.float64)[:, None])
    bias = Value(b.name, data.shape, "int32", None, data)
    return Node("lstm", [x, w, r, bias, *held], results, attrs, node.source)


def _steps(bias: np.ndarray, scales: np.ndarray) -> np.ndarray:
    steps: np.ndarray = np.clip(np.rint(bias / scales), -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32)
    return steps


def _weights(value: Value) -> Value:
    """int8 with one scale per gate."""
    assert value.data is not None
    most = np.abs(value.data).max((1, 2)).astype(np.float64)
    scale = np.maximum(most / 127, LEAST_SCALE).astype(np.float32)
    data = np.clip(np.rint(value.data / scale.astype(np.float64)[:, None, None]), -127, 127).astype(np.int8)
    return Value(value.name, value.shape, "int8", Quant(scale, np.zeros(scale.size, np.int32), 0), data)
