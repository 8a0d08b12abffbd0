# SPDX-License-Identifier: Apache-2.0
"""How ONNX tensors lie in the graph's values while an ONNX model is imported.

ONNX counts axes in its own order (NCHW); the graph stores NHWC. A `Tensor` pairs a value with
the order of its axes, so a transposition in the source is bookkeeping here, and so is a
flattening: a `transpose` node is written only where an op cannot read the order that is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import MAX_ELEMENTS, MAX_RANK, Node, Value

Shape = tuple[int, ...]

NHWC: Shape = (0, 2, 3, 1)  # storage axis -> axis of an NCHW tensor
STORED_DTYPES = ("float32", "int32", "int64", "bool", "uint8", "int16")
MAX_CONSTANT = 2**26  # elements of a constant that the importer itself makes


@dataclass(frozen=True)
class Op:
    """One ONNX node, its attributes as Python and numpy objects."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]
    opset: int


@dataclass(frozen=True)
class Tensor:
    """An ONNX tensor: axis k of `value` holds axis perm[k] of the source. Where `view` is
    set, the ONNX tensor is the source (in its own order) reshaped to `view`."""

    value: Value
    perm: Shape
    view: Shape | None = None

    @property
    def source(self) -> Shape:
        return tuple(self.value.shape[self.perm.index(a)] for a in range(len(self.perm)))

    @property
    def shape(self) -> Shape:
        return self.source if self.view is None else self.view


Operand = Tensor | np.ndarray | None


def identity(rank: int) -> Shape:
    return tuple(range(rank))


def check_shape(shape: Sequence[int]) -> Shape:
    """The shape as ints; ValueError where a value cannot have it."""
    dims = tuple(int(d) for d in shape)
    if len(dims) > MAX_RANK or any(d < 1 for d in dims) or math.prod(dims) > MAX_ELEMENTS:
        raise ValueError(f"shape {list(dims)} is out of range (up to {MAX_RANK} axes, no zeros, below 2^31 elements)")
    return dims


@dataclass
class Builder:
    """The graph under construction. `source` names the ONNX node that is being imported."""

    nodes: list[Node] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    source: str = ""
    origin: dict[Value, Value] = field(default_factory=dict)  # reshaped value -> what was reshaped
    moved: dict[tuple[Value, str, Shape], Value] = field(default_factory=dict)

    def unique(self, name: str) -> str:
        candidate, i = name, 1
        while candidate in self.names:
            candidate, i = f"{name}_{i}", i + 1
        self.names.add(candidate)
        return candidate

    def emit(
        self, op: str, inputs: Sequence[Value | None], attrs: dict[str, Any] | None = None, name: str = ""
    ) -> Value:
        node = Node(op, list(inputs), [], attrs or {}, self.source)
        ((shape, dtype),) = ops.module(op).infer(node)
        value = Value(self.unique(name or f"{self.source}/{op}"), check_shape(shape), dtype)
        node.outputs.append(value)
        self.nodes.append(node)
        return value

    def constant(self, array: np.ndarray, name: str, dtype: str = "float32") -> Value:
        data = np.array(array, dtype, order="C")
        return Value(self.unique(f"{self.source}/{name}"), check_shape(data.shape), dtype, data=data)

    def move(self, op: str, value: Value, attrs: dict[str, Any], key: Shape) -> Value:
        """A reshape or transpose of `value`, written once however many ask for it."""
        if (value, op, key) not in self.moved:
            self.moved[value, op, key] = self.emit(op, [value], attrs)
        return self.moved[value, op, key]

    def reshape(self, value: Value, shape: Shape) -> Value:
        value = self.origin.get(value, value)
        if value.shape == shape:
            return value
        result = self.move("reshape", value, {"shape": shape}, shape)
        self.origin[result] = value
        return result

    def transpose(self, value: Value, perm: Shape) -> Value:
        return self.move("transpose", value, {"perm": perm}, perm)


def stored(b: Builder, t: Tensor, perm: Shape) -> Value:
    """The value of `t` with its axes in the order `perm`; free where only axes of size 1 move."""
    t = settled(b, t)
    axes = tuple(t.perm.index(a) for a in perm)
    long_axes = [a for a in axes if t.value.shape[a] != 1]
    if axes == identity(len(axes)):
        return t.value
    if long_axes == sorted(long_axes):
        return b.reshape(t.value, tuple(t.value.shape[a] for a in axes))
    return b.transpose(t.value, axes)


def settled(b: Builder, t: Tensor) -> Tensor:
    """`t` without a view, which costs a transposition where it had one: the axes that the view
    merges are brought side by side, the others stay where they are."""
    if t.view is None:
        return t
    group_of = {axis: group for group, _ in factors(t.source, t.view) for axis in group}
    order: list[int] = []
    for axis in t.perm:
        order += [a for a in group_of.get(axis, [axis]) if a not in order]
    perm = tuple(order)
    return reshaped(b, Tensor(stored(b, replace(t, view=None), perm), perm), t.view)


def factors(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Splits a reshape into independent ones: pairs of (axes before, axes after) with equal
    products, axes of size 1 left out.

    >>> factors((1, 6, 4, 5), (2, 3, 20))
    [([1], [0, 1]), ([2, 3], [2])]
    """
    old = [a for a, d in enumerate(before) if d != 1]
    new = [a for a, d in enumerate(after) if d != 1]
    groups = []
    while old:
        group: tuple[list[int], list[int]] = [old.pop(0)], [new.pop(0)]
        n, m = before[group[0][0]], after[group[1][0]]
        while n != m:
            axis = (old if n < m else new).pop(0)
            group[n > m].append(axis)
            n, m = (n * before[axis], m) if n < m else (n, m * after[axis])
        groups.append(group)
    return groups


def reordered(perm: Shape, before: Shape, after: Shape) -> Shape | None:
    """The axis order after a reshape that is done on the stored elements as they lie; None
    where it would mix axes that do not lie side by side."""
    lies = [a for a in perm if before[a] != 1]
    order: list[int] = []
    groups = {group[0][0]: group for group in factors(before, after)}
    at = 0
    while at < len(lies):
        olds, news = groups.get(lies[at], ([], []))
        if not olds or lies[at : at + len(olds)] != olds:
            return None
        order, at = order + news, at + len(olds)
    unit_axes = [a for a, d in enumerate(after) if d == 1]
    candidates = [identity(len(after)), (*unit_axes, *order)]
    candidates[:0] = [NHWC] if len(after) == 4 else []
    return next(tuple(c) for c in candidates if [a for a in c if after[a] != 1] == order)


def reshaped(b: Builder, t: Tensor, shape: Sequence[int]) -> Tensor:
    """ONNX Reshape: in place where the stored order allows it, else a view."""
    after = check_shape(shape)
    if math.prod(after) != t.value.elements:
        raise ValueError(f"{list(t.shape)} cannot be reshaped to {list(after)}")
    if after == t.shape:
        return t
    if after == t.source:
        return replace(t, view=None)
    perm = reordered(t.perm, t.source, after)
    if perm is None:
        return replace(t, view=after)
    return Tensor(b.reshape(t.value, tuple(after[a] for a in perm)), perm)


def stored_dtype(array: np.ndarray) -> str:
    """The dtype that the graph holds a constant in."""
    dtype = "float32" if np.issubdtype(array.dtype, np.floating) else array.dtype.name
    if dtype not in STORED_DTYPES:
        raise Unsupported(f"a constant of {dtype}")
    return dtype


def laid_constant(array: np.ndarray, t: Tensor) -> Any:
    """A constant as it broadcasts against `t`, in the order in which `t` is stored."""
    rank = len(t.perm)
    if array.size == 1:
        return array.reshape((1,) * rank)
    if t.view is not None:
        if t.value.elements > MAX_CONSTANT:
            raise Unsupported("a constant is broadcast over a flattened tensor that is too large")
        return np.broadcast_to(array, t.view).reshape(t.source).transpose(t.perm)
    return array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(t.perm)


def common(b: Builder, operands: Sequence[Tensor | np.ndarray]) -> list[Tensor | np.ndarray]:
    """The operands with one view and one rank: what numpy broadcasting does first."""
    tensors = [o for o in operands if isinstance(o, Tensor)]
    first, rank = tensors[0], max(len(o.shape) for o in operands)
    alike = all((t.perm, t.view, t.source) == (first.perm, first.view, first.source) for t in tensors)
    constants = [o for o in operands if isinstance(o, np.ndarray)]
    if first.view is not None and alike:
        if all(c.size == 1 or np.broadcast_shapes(c.shape, first.view) == first.view for c in constants):
            return list(operands)
    raised: list[Tensor | np.ndarray] = []
    for o in operands:
        if isinstance(o, Tensor):
            o = settled(b, o)
            o = settled(b, reshaped(b, o, (1,) * (rank - len(o.shape)) + o.shape))
        raised.append(o)
    return raised


def aligned(b: Builder, operands: Sequence[Tensor | np.ndarray]) -> tuple[list[Value], Tensor]:
    """Values that broadcast against each other, and the tensor whose order they share."""
    operands = common(b, operands)
    lead = max((o for o in operands if isinstance(o, Tensor)), key=lambda t: t.value.elements)
    values = []
    for i, o in enumerate(operands):
        if isinstance(o, Tensor):
            values.append(o.value if o.view is not None else stored(b, o, lead.perm))
        else:
            values.append(b.constant(laid_constant(o, lead), f"constant{i}", stored_dtype(o)))
    return values, lead
