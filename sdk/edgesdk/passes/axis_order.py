# SPDX-License-Identifier: Apache-2.0
"""How the tensors of a graph lie in memory while transpositions are only noted, not done.

An `Ordered` pairs a stored value with the order of its axes and, after a flattening that the order
does not allow, with the shape that its reader sees. A `transpose` node is written only where an op
cannot read the order that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgesdk.ir import Node, Value

Shape = tuple[int, ...]

NHWC: Shape = (0, 2, 3, 1)  # storage axis -> axis of an NCHW tensor


@dataclass(frozen=True)
class Ordered:
    """Axis k of `value` holds axis perm[k] of the source. Where `view` is set, the tensor is the
    source (in its own order) reshaped to `view`."""

    value: Value
    perm: Shape
    view: Shape | None = None

    @property
    def source(self) -> Shape:
        return tuple(self.value.shape[self.perm.index(a)] for a in range(len(self.perm)))

    @property
    def shape(self) -> Shape:
        return self.source if self.view is None else self.view

    @property
    def plain(self) -> bool:
        return self.view is None and self.perm == identity(len(self.perm))


def identity(rank: int) -> Shape:
    return tuple(range(rank))


def is_trivial(shape: Sequence[int], perm: Sequence[int]) -> bool:
    """Whether the transposition moves axes of size 1 only: the items stay where they are."""
    long_axes = [a for a in perm if shape[a] != 1]
    return long_axes == sorted(long_axes)


@dataclass
class Rewriting:
    """The graph under construction. `source` names the node that is being rewritten; `in_source_order` tells how
    axes lie that are moved and that nobody has asked for yet: as in the source, or as they did."""

    nodes: list[Node] = field(default_factory=list)
    source: str = ""
    in_source_order: bool = False
    made: list[Value] = field(default_factory=list)
    origin: dict[Value, Value] = field(default_factory=dict)  # reshaped value -> what was reshaped
    moved: dict[tuple[Value, str, Shape], Value] = field(default_factory=dict)

    def value(self, like: Value, shape: Shape) -> Value:
        made = Value(like.name, shape, like.dtype, like.quant)
        self.made.append(made)
        return made

    def move(self, op: str, value: Value, attr: str, key: Shape, shape: Shape) -> Value:
        """A reshape or transpose of `value`, written once however many ask for it."""
        if (value, op, key) not in self.moved:
            result = self.value(value, shape)
            self.nodes.append(Node(op, [value], [result], {attr: key}, self.source))
            self.moved[value, op, key] = result
        return self.moved[value, op, key]

    def reshape(self, value: Value, shape: Shape) -> Value:
        value = self.origin.get(value, value)
        if value.shape == shape:
            return value
        result = self.move("reshape", value, "shape", shape, shape)
        self.origin[result] = value
        return result

    def transpose(self, value: Value, perm: Shape) -> Value:
        return self.move("transpose", value, "perm", perm, tuple(value.shape[a] for a in perm))


def stored(r: Rewriting, t: Ordered, perm: Shape) -> Value:
    """The value of `t` with its axes in the order `perm`; free where only axes of size 1 move."""
    if t.view is not None:
        direct = merged_order(t, perm)
        if direct is not None:
            value = stored(r, replace(t, view=None), direct)
            return r.reshape(value, tuple(t.shape[a] for a in perm))
        t = settled(r, t)
    axes = tuple(t.perm.index(a) for a in perm)
    if axes == identity(len(axes)):
        return t.value
    if is_trivial(t.value.shape, axes):
        return r.reshape(t.value, tuple(t.value.shape[a] for a in axes))
    return r.transpose(t.value, axes)


def merged_order(t: Ordered, perm: Shape) -> Shape | None:
    """The order of the source's axes in which those of the view lie as in `perm`; None where that splits an axis."""
    assert t.view is not None
    groups = {made[0]: (group, made) for group, made in factors(t.source, t.view)}
    wanted = [a for a in perm if t.view[a] != 1]
    order = [a for a, d in enumerate(t.source) if d == 1]
    while wanted:
        group, made = groups.get(wanted[0], ([], []))
        if not made or wanted[: len(made)] != made:
            return None
        order, wanted = order + group, wanted[len(made) :]
    return tuple(order)


def cost(r: Rewriting, t: Ordered, perm: Shape) -> int:
    """Items that `stored` would move."""
    axes = tuple(t.perm.index(a) for a in perm)
    free = is_trivial(t.value.shape, axes) or (t.value, "transpose", axes) in r.moved
    return 0 if free else t.value.elements


def settled(r: Rewriting, t: Ordered, last: int | None = None) -> Ordered:
    """`t` without a view, which costs a transposition where it had one: the axes that the view
    merges are brought side by side, those of axis `last` to the end, the others stay where they are."""
    if t.view is None:
        return t
    splits = factors(t.source, t.view)
    group_of = {axis: group for group, _ in splits for axis in group}
    order: list[int] = []
    for axis in identity(len(t.perm)) if r.in_source_order else t.perm:
        order += [a for a in group_of.get(axis, [axis]) if a not in order]
    tail = next((group for group, made in splits if last in made), [])
    perm = (*(a for a in order if a not in tail), *tail)
    return reshaped(r, Ordered(stored(r, replace(t, view=None), perm), perm), t.view)


def as_columns(t: Ordered) -> tuple[Ordered, np.ndarray | None]:
    """`t` with the columns of its last axis in the order in which the axes that the view merges there lie, and the
    column of the source that each of them holds (None: its own). A layer's weights follow at no cost."""
    splits = [] if t.view is None else factors(t.source, t.view)
    tail = next((group for group, made in splits if made == [len(t.shape) - 1]), [])
    lies = [a for a in t.perm if a in tail]
    if lies == tail:
        return t, None
    columns = np.arange(t.shape[-1]).reshape([t.source[a] for a in tail]).transpose([tail.index(a) for a in lies])
    named = dict(zip(lies, tail, strict=True))
    return replace(t, perm=tuple(named.get(a, a) for a in t.perm)), columns.ravel()


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


def reshaped(r: Rewriting, t: Ordered, after: Shape) -> Ordered:
    """In place where the stored order allows it, else a view."""
    if after == t.shape:
        return t
    if after == t.source:
        return replace(t, view=None)
    perm = reordered(t.perm, t.source, after)
    if perm is None:
        return replace(t, view=after)
    return Ordered(r.reshape(t.value, tuple(after[a] for a in perm)), perm)


def laid_constant(array: np.ndarray, t: Ordered) -> np.ndarray:
    """A constant as it broadcasts against `t`, in the order in which `t` is stored."""
    rank = len(t.perm)
    if array.size == 1:
        return array.reshape((1,) * rank)
    if t.view is not None:
        return np.broadcast_to(array, t.view).reshape(t.source).transpose(t.perm)
    return array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(t.perm)


Operand = Ordered | Value  # an activation, or a constant


def common(r: Rewriting, operands: Sequence[Operand]) -> list[Operand]:
    """The operands with one view and one rank: what numpy broadcasting does first."""
    tensors = [o for o in operands if isinstance(o, Ordered)]
    first, rank = tensors[0], max(len(o.shape) for o in operands)
    alike = all((t.perm, t.view, t.source) == (first.perm, first.view, first.source) for t in tensors)
    constants = [o for o in operands if isinstance(o, Value)]
    if first.view is not None and alike:
        if all(c.elements == 1 or np.broadcast_shapes(c.shape, first.view) == first.view for c in constants):
            return list(operands)
    placed = any(t.view is None and len(t.shape) == rank for t in tensors)
    raised: list[Operand] = []
    for o in operands:
        if isinstance(o, Ordered) and not (placed and o.view is not None and len(o.shape) == rank):
            o = settled(r, o)
            o = settled(r, reshaped(r, o, (1,) * (rank - len(o.shape)) + o.shape))
        raised.append(o)
    return raised


def lead_of(r: Rewriting, tensors: Sequence[Ordered]) -> Ordered:
    """The tensor whose order costs the others least; of equals the one that waits for a transposition. What is only
    seen in its shape moves in any case, so that where it moves is left to the others."""
    if not all(t.view is not None for t in tensors):
        tensors = [t for t in tensors if t.view is None]

    def price(t: Ordered) -> tuple[int, bool, int]:
        moved = sum(cost(r, other, t.perm) for other in tensors) if t.view is None else 0
        return moved, t.perm == identity(len(t.perm)), -t.value.elements

    return min(tensors, key=price)


def aligned(r: Rewriting, operands: Sequence[Operand]) -> tuple[list[Value], Ordered]:
    """Values that broadcast against each other, and the tensor whose order they share."""
    operands = common(r, operands)
    lead = lead_of(r, [o for o in operands if isinstance(o, Ordered)])
    values = []
    for o in operands:
        if isinstance(o, Ordered):
            values.append(o.value if lead.view is not None else stored(r, o, lead.perm))
        else:
            assert o.data is not None
            values.append(relaid(r, o, laid_constant(o.data, lead)))
    return values, lead


def relaid(r: Rewriting, value: Value, data: np.ndarray, **changed: Any) -> Value:
    """The constant `value` with its items in another order."""
    copy = replace(value, shape=data.shape, data=np.array(data, order="C"), **changed)
    r.made.append(copy)
    return copy
