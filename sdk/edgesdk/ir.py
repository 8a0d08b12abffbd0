# SPDX-License-Identifier: Apache-2.0
"""The graph: what importers write, passes change, and the scheduler reads.

Layouts: activations NHWC; conv2d weights [O, KH, KW, I]; depthwise weights
[KH, KW, O]; fully_connected weights [O, I]. Shapes are tuples of positive ints,
dtypes are numpy names, or "int4": constant weights of -8 .. 7, an int8 array here and
two in a byte of the file. A value with `data` is a constant.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesdk.errors import UsageError

DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool", "int4")
MAX_RANK = 6
MAX_ELEMENTS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Quant:
    """real = scale * (q - zero_point); per tensor (axis None) or per index of `axis`.

    Grouped int4 weights: real = scale[o] * factors[o][k // group] * q, k counting the weights of channel o."""

    scale: np.ndarray  # float32, shape [1] or [dim(axis)]
    zero_point: np.ndarray  # int32, same shape
    axis: int | None = None
    group: int = 0  # weights of a channel that share a factor; 0: none have
    factors: np.ndarray | None = None  # uint8, shape [dim(axis), ceil(weights of a channel / group)]

    @staticmethod
    def per_tensor(scale: float, zero_point: int) -> Quant:
        return Quant(np.array([scale], np.float32), np.array([zero_point], np.int32))

    def same_as(self, other: Quant | None) -> bool:
        return (
            other is not None
            and self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )


@dataclass(eq=False)
class Value:
    """A tensor that a node reads or writes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quant: Quant | None = None
    data: np.ndarray | None = None

    @property
    def elements(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def itemsize(self) -> int:
        """Bytes of an item in an array."""
        return 1 if self.dtype == "int4" else np.dtype(self.dtype).itemsize

    @property
    def n_bytes(self) -> int:
        return self.elements * self.itemsize

    @property
    def scale(self) -> float:
        """Per-tensor scale as the float32 stored in the model, widened."""
        assert self.quant is not None and self.quant.scale.size == 1, self.name
        return float(self.quant.scale[0])

    @property
    def zero_point(self) -> int:
        """Per-tensor zero point; 0 for a value that is not quantised."""
        return 0 if self.quant is None else int(self.quant.zero_point[0])


@dataclass(eq=False)
class Node:
    """One operation. `attrs` are the op's own (see its file in ops/); `source` names
    where it came from in the user's model, for reports and error messages."""

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attrs: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def output(self) -> Value:
        return self.outputs[0]

    def input(self, i: int) -> Value:
        value = self.inputs[i] if i < len(self.inputs) else None
        assert value is not None, f"{self.op} {self.source}: input {i} is missing"
        return value

    def optional(self, i: int) -> Value | None:
        return self.inputs[i] if i < len(self.inputs) else None


@dataclass(eq=False)
class Variable:
    """State of a session: a run reads `value` and leaves `next` to the run after it; the first run
    reads `initial`. `value` and `next` have one shape, dtype and quantisation."""

    value: Value
    next: Value
    initial: np.ndarray


@dataclass(eq=False)
class Graph:
    """Nodes in an executable order. `metadata` travels to the file (JSON types only)."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    metadata: dict[str, Any] = field(default_factory=dict)
    variables: list[Variable] = field(default_factory=list)

    @property
    def results(self) -> list[Value]:
        """What a run must leave behind: its outputs, and the new contents of its variables."""
        return [*self.outputs, *(v.next for v in self.variables)]

    def state(self) -> dict[Value, np.ndarray]:
        """What the variables hold before the first run."""
        return {v.value: v.initial for v in self.variables}

    def keep(self, source: str, result: str, initial: np.ndarray | None = None) -> Variable:
        """Makes input `source` and output `result` (by name) one variable, real zero before the first run."""
        value = next((v for v in self.inputs if v.name == source), None)
        following = next((v for v in self.outputs if v.name == result), None)
        if value is None or following is None or (value.shape, value.dtype) != (following.shape, following.dtype):
            raise UsageError(
                f"state {source!r} to {result!r}: expected the name of an input and that of an output "
                f"of the same shape and type"
            )
        if initial is None:
            initial = np.full(value.shape, value.zero_point, value.dtype)
        self.inputs = [v for v in self.inputs if v is not value]
        self.outputs = [v for v in self.outputs if v is not following]
        self.variables.append(Variable(value, following, np.asarray(initial, value.dtype).reshape(value.shape)))
        return self.variables[-1]

    def producers(self) -> dict[Value, Node]:
        return {v: n for n in self.nodes for v in n.outputs}

    def consumers(self) -> dict[Value, list[Node]]:
        readers: dict[Value, list[Node]] = {}
        for n in self.nodes:
            for v in {v for v in n.inputs if v is not None}:
                readers.setdefault(v, []).append(n)
        return readers

    def copy(self) -> Graph:
        """Nodes of its own over the same values, so that passes may change one and not the other."""
        nodes = [Node(n.op, list(n.inputs), list(n.outputs), dict(n.attrs), n.source) for n in self.nodes]
        variables = [Variable(v.value, v.next, v.initial) for v in self.variables]
        return Graph(self.name, list(self.inputs), list(self.outputs), nodes, deepcopy(self.metadata), variables)

    def replace_value(self, old: Value, new: Value) -> None:
        """Every reader of `old`, graph outputs and variables included, reads `new`."""
        for n in self.nodes:
            n.inputs = [new if v is old else v for v in n.inputs]
        self.outputs = [new if v is old else v for v in self.outputs]
        for variable in self.variables:
            variable.next = new if variable.next is old else variable.next
