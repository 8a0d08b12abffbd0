# SPDX-License-Identifier: Apache-2.0
"""Little networks that keep states between runs: a memory of features, an LSTM and a GRU behind each other."""

from __future__ import annotations

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value, Variable

FEATURES, UNITS, MEMORY, RANK = 5, 4, 3, 2
ACTIVATION = {"int8": Quant.per_tensor(0.03, 5), "int16": Quant.per_tensor(2.0**-12, 0)}
STATE = {"int8": Quant.per_tensor(1 / 128, 0), "int16": Quant.per_tensor(2.0**-15, 0)}


class States:
    """A graph under construction whose states begin at zero."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.variables: list[Variable] = []

    def constant(self, shape: tuple[int, ...], dtype: str, scale: float = 0.02) -> Value:
        if dtype == "float32":
            return Value("w", shape, dtype, None, self.rng.standard_normal(shape).astype(np.float32) / 3)
        most = {"int8": 127, "int16": 2000, "int32": 900, "int64": 90000}[dtype]
        quant = Quant.per_tensor(scale, 0) if dtype in ACTIVATION else None
        return Value("w", shape, dtype, quant, self.rng.integers(-most, most + 1, shape).astype(dtype))

    def add(self, op: str, inputs: list[Value], quant: Quant | None, **attrs: object) -> Value:
        n = len(self.nodes)
        node = Node(op, list(inputs), [], dict(attrs), f"#{n} {op}")
        held = [node.input(i) for i in ops.states(node).values()]
        for k, (shape, dtype) in enumerate(ops.module(op).infer(node)):
            node.outputs.append(Value(f"v{n}.{k}", tuple(shape), dtype, held[k - 1].quant if k else quant))
        for state, following in zip(held, node.outputs[1:], strict=True):
            initial = np.full(state.shape, state.zero_point, state.dtype)
            self.variables.append(Variable(state, following, initial))
        self.nodes.append(node)
        return node.output

    def state(self, shape: tuple[int, ...], dtype: str, quant: Quant | None) -> Value:
        return Value(f"s{len(self.nodes)}.{len(self.variables)}", shape, dtype, quant if dtype != "float32" else None)

    def svdf(self, x: Value, state: str) -> Value:
        filters = UNITS * RANK
        bias = "float32" if state == "float32" else "int32"
        inputs = [
            x,
            self.constant((filters, x.shape[1]), x.dtype),
            self.constant((filters, MEMORY), state, 0.01),
            self.constant((UNITS,), bias),
            self.state((x.shape[0], filters * MEMORY), state, Quant.per_tensor(0.02, 0)),
        ]
        return self.add("svdf", inputs, ACTIVATION.get(x.dtype), rank=RANK, activation="relu")

    def recurrent(self, x: Value, kind: str, peepholes: bool = False) -> Value:
        """One step of one sequence."""
        gates, units, floating = ops.module("rnn").GATES[kind], UNITS, x.dtype == "float32"
        lstm = kind == "lstm" and not floating
        wide = {"float32": "float32", "int8": "int32", "int16": "int64"}[x.dtype]
        weights = "float32" if floating else "int8"
        inputs = [x, self.constant((gates, units, x.shape[2]), weights), self.constant((gates, units, units), weights)]
        inputs.append(self.constant((gates, units) if lstm else (2, gates, units), wide))
        held = "float32" if floating else x.dtype if lstm else "int16"
        inputs.append(self.state((1, units), held, STATE.get(held)))
        if kind == "lstm":
            cell = "float32" if floating else "int16"
            inputs.append(self.state((1, units), cell, Quant.per_tensor(2.0**-11, 0)))
        if peepholes:
            inputs.append(self.constant((3, units), weights))
        attrs = {"reverse": False, "time_major": True, "cell_clip": 0.0}
        if lstm:
            return self.add("lstm", inputs, STATE[x.dtype], **attrs)
        return self.add("rnn", inputs, None if floating else STATE["int8"], kind=kind, **attrs)

    def graph(self, name: str, x: Value, y: Value) -> Graph:
        return Graph(name, [x], [y], self.nodes, variables=self.variables)


def chain(name: str, dtype: str, seed: int) -> Graph:
    """Features with a memory, an LSTM, a GRU."""
    s, x = States(seed), Value("x", (1, FEATURES), dtype, ACTIVATION.get(dtype))
    y = s.svdf(x, dtype)
    y = s.add("reshape", [y], y.quant, shape=(1, 1, UNITS))
    return s.graph(name, x, s.recurrent(s.recurrent(y, "lstm"), "gru_reset_after"))


def graphs() -> dict[str, Graph]:
    found = {f"states_{dtype}": chain(f"states_{dtype}", dtype, i) for i, dtype in enumerate(("int8", "float32"))}
    s, x = States(2), Value("x", (1, FEATURES), "int8", ACTIVATION["int8"])
    found["states_wide"] = s.graph("states_wide", x, s.svdf(x, "int16"))
    s, x = States(3), Value("x", (1, 1, FEATURES), "int16", ACTIVATION["int16"])
    found["states_int16"] = s.graph("states_int16", x, s.recurrent(x, "lstm"))
    s, x = States(4), Value("x", (1, 1, FEATURES), "float32")
    found["states_peepholes"] = s.graph("states_peepholes", x, s.recurrent(x, "lstm", peepholes=True))
    return found
