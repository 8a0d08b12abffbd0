# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN of ONNX: one `rnn` node per direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from edgesdk.converters import layers
from edgesdk.converters.build import Builder
from edgesdk.converters.onnx_node import Op, Operand, Rule, activation, constant, operand
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

# ONNX's gates in the order of the `rnn` op.
GATES = {"LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2), "RNN": (0,)}
ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
WEIGHTS, RECURRENT, BIAS, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES = range(1, 8)


@dataclass(frozen=True)
class Sequence:
    """[T,B,I], or [B,T,I] where `batch_first` (layout 1)."""

    value: Value
    batch_first: bool

    @property
    def steps(self) -> int:
        return self.value.shape[1 if self.batch_first else 0]

    @property
    def batch(self) -> int:
        return self.value.shape[0 if self.batch_first else 1]


def sequence(op: Op, x: Operand) -> Sequence:
    value = activation(x)
    if len(value.shape) != 3:
        raise ValueError(f"a sequence of {len(value.shape)} axes, expected 3")
    return Sequence(value, bool(op.attrs.get("layout", 0)))


def kind_of(op: Op, directions: int) -> str:
    """The `rnn` op's kind; refuses what it does not compute."""
    default = ACTIVATIONS[op.kind] * directions
    wanted = [a.decode() if isinstance(a, bytes) else str(a) for a in op.attrs.get("activations", default)]
    relu = op.kind == "RNN" and wanted == ["Relu"] * directions
    if wanted != default and not relu:
        raise Unsupported(f"activations {', '.join(wanted)}")
    for name in ("clip", "input_forget"):
        if op.attrs.get(name, 0):
            raise Unsupported(f"attribute {name}")
    if op.kind == "GRU":
        return "gru_reset_after" if op.attrs.get("linear_before_reset", 0) else "gru_reset_before"
    return "lstm" if op.kind == "LSTM" else "rnn_relu" if relu else "rnn_tanh"


def lengths_of(x: list[Operand], s: Sequence) -> list[int]:
    """Steps of each item of the batch."""
    given = operand(x, LENGTHS)
    if given is None:
        return [s.steps] * s.batch
    found = constant(given, "sequence_lens").ravel().tolist()
    if len(found) != s.batch or not all(0 <= n <= s.steps for n in found):
        raise ValueError(f"sequence_lens {found} of {s.batch} sequences of {s.steps} steps")
    return [int(n) for n in found]


def peepholes(b: Builder, op: Op, x: list[Operand], d: int, directions: int, units: int) -> list[Value]:
    """[3,S] of direction d, in the order of the gates i, f, o; nothing where all are zero."""
    given = operand(x, PEEPHOLES)
    if given is None:
        return []
    weights = constant(given, "its peepholes")
    if weights.shape != (directions, 3 * units):
        raise ValueError(f"peepholes {list(weights.shape)}, expected {[directions, 3 * units]}")
    if not weights.any():
        return []
    return [b.constant(weights[d].reshape(3, units)[[0, 2, 1]], f"{op.name}/peepholes{d}")]


def parameters(b: Builder, op: Op, x: list[Operand], d: int, directions: int, in_c: int) -> list[Value]:
    """w [G,S,I], r [G,S,S] and b [2,G,S] of direction d."""
    w, r = constant(x[WEIGHTS], "its weights"), constant(x[RECURRENT], "its recurrent weights")
    gates, bias = list(GATES[op.kind]), operand(x, BIAS)
    n, units = len(gates), r.shape[-1] if r.ndim == 3 else 0
    if w.shape != (directions, n * units, in_c) or r.shape != (directions, n * units, units):
        raise ValueError(f"weights {list(w.shape)} and {list(r.shape)} do not match {directions} directions or {in_c}")
    flat = np.zeros((directions, 2 * n * units), np.float32) if bias is None else constant(bias, "its bias")
    if flat.shape != (directions, 2 * n * units):
        raise ValueError(f"bias {list(flat.shape)}, expected {[directions, 2 * n * units]}")
    laid = [w[d].reshape(n, units, in_c)[gates], r[d].reshape(n, units, units)[gates]]
    laid.append(flat[d].reshape(2, n, units)[:, gates])
    return [
        b.constant(a, f"{op.name}/{name}{d}") for a, name in zip(laid, ("weights", "recurrent", "bias"), strict=True)
    ]


def initial(b: Builder, x: Operand, s: Sequence, d: int, directions: int, units: int) -> Value:
    """State [B,S] of direction d, zeros where none is given."""
    shape = (s.batch, directions, units) if s.batch_first else (directions, s.batch, units)
    axis, name = 1 if s.batch_first else 0, f"{b.source}/state{d}"
    if x is None:
        return b.constant(np.zeros((s.batch, units), np.float32), name)
    if x.shape != shape:
        raise ValueError(f"an initial state {list(x.shape)}, expected {list(shape)}")
    if isinstance(x, np.ndarray):
        return b.constant(x.take(d, axis), name)
    if directions > 1:
        begin, size = (tuple(v if a == axis else w for a, w in enumerate(o)) for v, o in ((d, (0, 0, 0)), (1, shape)))
        x = b.emit("slice", [x], begin=begin, size=size, stride=(1, 1, 1))
    return b.reshape(x, (s.batch, units))


def recurrent(b: Builder, op: Op, x: list[Operand]) -> list[Operand]:
    s = sequence(op, x[0])
    reverses = DIRECTIONS.get(str(op.attrs.get("direction", "forward")))
    if reverses is None:
        raise ValueError(f"direction {op.attrs['direction']!r}")
    kind, n, lengths = kind_of(op, len(reverses)), len(reverses), lengths_of(x, s)
    results = []
    for d, reverse in enumerate(reverses):
        weights = parameters(b, op, x, d, n, s.value.shape[2])
        inputs = (INITIAL_H, INITIAL_C) if kind == "lstm" else (INITIAL_H,)
        states = [initial(b, operand(x, i), s, d, n, weights[1].shape[1]) for i in inputs]
        seen = peepholes(b, op, x, d, n, weights[1].shape[1]) if kind == "lstm" else []
        attrs = {"kind": kind, "reverse": reverse, "time_major": not s.batch_first, "cell_clip": 0.0}
        layer = Layer(weights, seen, attrs)
        results.append(of_lengths(b, layer, s, states, lengths))
    return [whole_output(b, s, [y for y, *_ in results]), *last_states(b, s, results)]


@dataclass(frozen=True)
class Layer:
    """One direction: w, r and b, what may stand behind the states, and the attributes of the `rnn` op."""

    weights: list[Value]
    peepholes: list[Value]
    attrs: dict[str, Any]

    def on(self, b: Builder, x: Value, states: list[Value]) -> list[Value]:
        """Its output and the states after it."""
        return b.emit_all("rnn", [x, *self.weights, *states, *self.peepholes], **self.attrs)


def of_lengths(b: Builder, layer: Layer, s: Sequence, states: list[Value], lengths: list[int]) -> list[Value]:
    """Sequences of one length together; what is behind their end is zero in the output."""
    if set(lengths) == {s.steps}:
        return layer.on(b, s.value, states)
    parts, first = [], 0
    for n, group in groupby(lengths):
        count = len(list(group))
        parts.append(shortened(b, layer, s, states, slice(first, first + count), n))
        first += count
    axes = (0 if s.batch_first else 1, *(0 for _ in parts[0][1:]))
    together = zip(zip(*parts, strict=True), axes, strict=True)
    return [v[0] if len(v) == 1 else b.emit("concat", list(v), axis=axis) for v, axis in together]


def shortened(b: Builder, layer: Layer, s: Sequence, states: list[Value], items: slice, n: int) -> list[Value]:
    """Some sequences of a batch, up to step n."""
    batch, time = (0, 1) if s.batch_first else (1, 0)
    held = [part(b, v, 0, items) for v in states]
    x = part(b, s.value, batch, items)
    if n == 0:
        units, count = layer.weights[1].shape[1], items.stop - items.start
        shape = (count, s.steps, units) if s.batch_first else (s.steps, count, units)
        return [b.constant(np.zeros(shape, np.float32), f"{b.source}/nothing"), *held]
    y, *last = layer.on(b, part(b, x, time, slice(0, n)), held)
    pads = tuple((0, s.steps - n if a == time else 0) for a in range(3))
    return [b.emit("pad", [y], pads=pads, value=0.0) if n < s.steps else y, *last]


def part(b: Builder, x: Value, axis: int, at: slice) -> Value:
    if x.data is None:
        return layers.cut(b, x, axis, at.start, at.stop)
    return b.constant(x.data.take(range(at.start, at.stop), axis), x.name)


def whole_output(b: Builder, s: Sequence, ys: list[Value]) -> Value:
    """[T,directions,B,S], or [B,T,directions,S]. Joined along the last axis, where most readers want it."""
    rows = ys[0].shape[:2]
    joined = ys[0] if len(ys) == 1 else b.emit("concat", ys, axis=2)
    parted = b.reshape(joined, (*rows, len(ys), ys[0].shape[2]))
    return parted if s.batch_first else b.transpose(parted, (0, 2, 1, 3))


def last_states(b: Builder, s: Sequence, results: list[list[Value]]) -> list[Value]:
    """Y_h, and Y_c of an LSTM: [directions,B,S], or [B,directions,S]."""
    axis, found = 1 if s.batch_first else 0, []
    for states in list(zip(*results, strict=True))[1:]:
        parts = [b.reshape(v, (v.shape[0], 1, v.shape[1]) if axis else (1, *v.shape)) for v in states]
        found.append(parts[0] if len(parts) == 1 else b.emit("concat", parts, axis=axis))
    return found


RULES: dict[str, Rule] = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
