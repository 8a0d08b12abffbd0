# SPDX-License-Identifier: Apache-2.0
"""lstm, gru, rnn_tanh and rnn_relu of ATen: one `rnn` node per layer and direction. RULES as in torch_ops.py.

A last state is a slice of the layer's output where the first one is constant: that is as good a value as
any other in an integer graph. Where a model passes states in, they come out as the state that the kernel keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgesdk.converters.build import Builder
from edgesdk.converters.layers import Operand, cut
from edgesdk.converters.torch_ops import Call, Rule, constant, tensor
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

KINDS = {"lstm": "lstm", "gru": "gru_reset_after", "rnn_tanh": "rnn_tanh", "rnn_relu": "rnn_relu"}
# torch's gates in the order of the `rnn` op.
GATES = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}


@dataclass(frozen=True)
class Layers:
    """A stack of layers: its parameters by layer and direction, its first states by kind (h, and c of an LSTM)."""

    call: Call
    parameters: list[list[np.ndarray]]
    states: list[Operand]
    directions: int
    batch_first: bool

    @property
    def time_axis(self) -> int:
        return 1 if self.batch_first else 0


def layers(call: Call) -> Layers:
    if "batch_sizes" in call.args:
        raise Unsupported("packed sequences; expected sequences of one length, pass the tensor itself")
    given = [constant(p, "each of its weights") for p in call["params"]]
    directions = 2 if call["bidirectional"] else 1
    each = 4 if call["has_biases"] else 2
    if len(given) != each * directions * int(call["num_layers"]):
        raise Unsupported("an LSTM with projections; expected proj_size=0, put a linear layer behind it")
    states = list(call["hx"]) if isinstance(call["hx"], Sequence) else [call["hx"]]
    parts = [given[i : i + each] for i in range(0, len(given), each)]
    return Layers(call, parts, states, directions, bool(call["batch_first"]))


def laid_parameters(b: Builder, kind: str, given: list[np.ndarray], name: str) -> list[Value]:
    """w [G,S,I], r [G,S,S] and b [2,G,S] in the op's order of gates."""
    gates, units = list(GATES[kind]), given[1].shape[1]
    w, r = (p.reshape(len(gates), units, -1)[gates] for p in given[:2])
    bias = np.stack(given[2:]) if len(given) > 2 else np.zeros((2, len(gates) * units), np.float32)
    laid = (w, r, bias.reshape(2, len(gates), units)[:, gates])
    named = zip(laid, ("weights", "recurrent", "bias"), strict=True)
    return [b.constant(np.ascontiguousarray(a), f"{name}/{what}") for a, what in named]


def first_state(b: Builder, state: Operand, i: int, name: str) -> Value:
    """[B,S] of layer and direction i."""
    if isinstance(state, Value):
        return b.reshape(cut(b, state, 0, i, i + 1), state.shape[1:])
    return b.constant(np.ascontiguousarray(np.asarray(state)[i]), f"{name}/state")


def direction(b: Builder, of: Layers, x: Value, i: int) -> list[Value]:
    """Output [.., S] and last states [1,B,S] of layer and direction i."""
    name, reverse = f"{of.call.name}/{i}", of.directions == 2 and i % 2 == 1
    held = [first_state(b, s, i, name) for s in of.states]
    inputs = [x, *laid_parameters(b, of.call.kind, of.parameters[i], name), *held]
    attrs = {"kind": KINDS[of.call.kind], "reverse": reverse, "time_major": not of.batch_first, "cell_clip": 0.0}
    y, h, *c = b.emit_all("rnn", inputs, name, **attrs)
    if not isinstance(of.states[0], Value):
        at = 0 if reverse else x.shape[of.time_axis] - 1
        h = cut(b, y, of.time_axis, at, at + 1)
    return [y, *(b.reshape(s, (1, *held[0].shape)) for s in (h, *c))]


def recurrent(b: Builder, call: Call) -> list[Value]:
    of, y = layers(call), tensor(call["input"])
    last: list[list[Value]] = []
    for first in range(0, len(of.parameters), of.directions):
        results = [direction(b, of, y, i) for i in range(first, first + of.directions)]
        y = joined(b, [r[0] for r in results], 2)
        last += [r[1:] for r in results]
    return [y, *(joined(b, list(states), 0) for states in zip(*last, strict=True))]


def joined(b: Builder, parts: list[Value], axis: int) -> Value:
    return parts[0] if len(parts) == 1 else b.emit("concat", parts, axis=axis)


RULES: dict[str, Rule] = dict.fromkeys(KINDS, recurrent)
