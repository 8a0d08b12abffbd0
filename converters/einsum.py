# SPDX-License-Identifier: Apache-2.0
"""Einstein sums as transposes, reshapes, products of matrices and sums: one function for every importer.

    einsum("bhqd,bhkd->bhqk", [q, k], emit)

`emit(op, inputs, attrs)` writes a node and gives its output. Operands are taken two at a time, from the left.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgesdk.ir import Value

Emit = Callable[[str, Sequence[Value | None], dict[str, Any]], Value]


@dataclass(frozen=True)
class Term:
    """A value and the letters of its axes."""

    value: Value
    axes: str


def einsum(equation: str, operands: Sequence[Value], emit: Emit) -> Value:
    """Raises ValueError for an equation that does not fit the operands."""
    inputs, output = parse(equation, [len(v.shape) for v in operands])
    terms = [Term(v, axes) for v, axes in zip(operands, inputs, strict=True)]
    check(equation, terms, output)
    terms = [diagonal(t, emit) for t in terms]
    while len(terms) > 1:
        kept = set(output).union(*(t.axes for t in terms[2:]))
        terms[:2] = [contracted(terms[0], terms[1], kept, emit)]
    return ordered(summed(terms[0], set(output), emit), output, emit).value


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the output, with those of an ellipsis filled in.

    >>> parse("...ij,jk", [3, 2])
    (['Zij', 'jk'], 'Zik')
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        raise ValueError(f"einsum {equation!r} names {len(inputs)} operands; expected {len(ranks)}")
    wide = max((r - len(t.replace("...", "")) for t, r in zip(inputs, ranks, strict=True) if "..." in t), default=0)
    spare = "".join(c for c in reversed(string.ascii_letters) if c not in equation)[: max(wide, 0)][::-1]
    if len(spare) < wide:
        raise ValueError(f"einsum {equation!r} has too many axes")
    filled = [_filled(t, r, spare) for t, r in zip(inputs, ranks, strict=True)]
    if arrow:
        return filled, right.replace("...", spare)
    letters = "".join(filled)
    return filled, spare + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in spare))


def _filled(term: str, rank: int, spare: str) -> str:
    """The term with the last letters of `spare` in place of its ellipsis."""
    missing = rank - len(term.replace("...", ""))
    if "..." not in term:
        return term
    return term.replace("...", spare[len(spare) - missing :] if missing > 0 else "", 1)


def check(equation: str, terms: Sequence[Term], output: str) -> None:
    sizes: dict[str, int] = {}
    for t in terms:
        if len(t.axes) != len(t.value.shape) or not all(c.isalpha() for c in t.axes):
            raise ValueError(f"einsum {equation!r}: {t.axes!r} does not name the axes of {list(t.value.shape)}")
        for c, d in zip(t.axes, t.value.shape, strict=True):
            if sizes.setdefault(c, d) != d and 1 not in (d, sizes[c]):
                raise ValueError(f"einsum {equation!r}: axis {c!r} has {sizes[c]} and {d} items")
            sizes[c] = max(sizes[c], d)
    if len(set(output)) != len(output) or not set(output) <= set(sizes):
        raise ValueError(f"einsum {equation!r}: output {output!r}; expected letters of the operands, each once")


def diagonal(t: Term, emit: Emit) -> Term:
    """A letter that stands twice in one operand names its diagonal: every n + 1 items of the two axes as one."""
    for c in t.axes:
        if t.axes.count(c) > 1:
            rest = t.axes.replace(c, "")
            n = t.value.shape[t.axes.index(c)]
            once = rest + c * t.axes.count(c)
            moved = emit("transpose", [t.value], {"perm": _positions(t.axes, once)})
            lead = moved.shape[: len(rest)]
            flat = emit("reshape", [moved], {"shape": (*lead, n * n, *moved.shape[len(rest) + 2 :])})
            size = (*lead, n, *moved.shape[len(rest) + 2 :])
            steps = tuple(n + 1 if a == len(rest) else 1 for a in range(len(size)))
            cut = emit("slice", [flat], {"begin": (0,) * len(size), "size": size, "stride": steps})
            return diagonal(Term(cut, once[:-1]), emit)
    return t


def _positions(axes: str, wanted: str) -> tuple[int, ...]:
    """Where each wanted letter stands; the second of a letter that stands twice is another axis."""
    left = list(range(len(axes)))
    found = []
    for c in wanted:
        found.append(next(i for i in left if axes[i] == c))
        left.remove(found[-1])
    return tuple(found)


def summed(t: Term, kept: set[str], emit: Emit) -> Term:
    """The term without the axes that nobody reads any more."""
    axes = tuple(i for i, c in enumerate(t.axes) if c not in kept)
    if not axes:
        return t
    left = "".join(c for c in t.axes if c in kept)
    return Term(emit("sum", [t.value], {"axes": axes, "keep_dims": False}), left)


def ordered(t: Term, axes: str, emit: Emit) -> Term:
    if t.axes == axes:
        return t
    return Term(emit("transpose", [t.value], {"perm": _positions(t.axes, axes)}), axes)


def contracted(a: Term, b: Term, kept: set[str], emit: Emit) -> Term:
    """The product of two terms, summed over the letters that are not kept."""
    a, b = summed(a, kept | set(b.axes), emit), summed(b, kept | set(a.axes), emit)
    sizes = {c: d for t in (a, b) for c, d in zip(t.axes, t.value.shape, strict=True) if d > 1}
    a, b = without_ones(a, b, sizes, emit), without_ones(b, a, sizes, emit)
    both = [c for c in a.axes if c in b.axes]
    summed_over = "".join(c for c in both if c not in kept)
    batch = "".join(c for c in both if c in kept)
    rows, columns = ("".join(c for c in t.axes if c not in both) for t in (a, b))
    if not summed_over:
        return multiplied(a, b, batch + rows, columns, emit)
    left = grouped(a, [batch, rows, summed_over], emit)
    right = grouped(b, [batch, columns, summed_over], emit)
    product = emit("batch_matmul", [left, right], {"adj_x": False, "adj_y": True})
    axes = batch + rows + columns
    known = {**dict.fromkeys(axes, 1), **sizes}
    return Term(emit("reshape", [product], {"shape": tuple(known[c] for c in axes)}), axes)


def without_ones(t: Term, other: Term, sizes: dict[str, int], emit: Emit) -> Term:
    """Drops the axes of one item that broadcast to an axis of the other term."""
    kept = [c for c, d in zip(t.axes, t.value.shape, strict=True) if not (d == 1 and c in sizes and c in other.axes)]
    if len(kept) == len(t.axes):
        return t
    shape = tuple(d for c, d in zip(t.axes, t.value.shape, strict=True) if c in kept)
    return Term(emit("reshape", [t.value], {"shape": shape}), "".join(kept))


def multiplied(a: Term, b: Term, first: str, last: str, emit: Emit) -> Term:
    """A product without a sum, by broadcasting."""
    axes = first + last
    factors = []
    for t in (a, b):
        own = "".join(c for c in axes if c in t.axes)
        laid = ordered(t, own, emit).value
        known = dict(zip(own, laid.shape, strict=True))
        shape = tuple(known.get(c, 1) for c in axes)
        factors.append(laid if laid.shape == shape else emit("reshape", [laid], {"shape": shape}))
    return Term(emit("mul", factors, {"activation": "none"}), axes)


def grouped(t: Term, parts: Sequence[str], emit: Emit) -> Value:
    """The value as [batch, rows, depth], each the axes of a part as one."""
    laid = ordered(t, "".join(parts), emit).value
    known = dict(zip("".join(parts), laid.shape, strict=True))
    shape = tuple(math.prod(known[c] for c in part) for part in parts)
    return laid if laid.shape == shape else emit("reshape", [laid], {"shape": shape})
