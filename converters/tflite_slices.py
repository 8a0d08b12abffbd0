# SPDX-License-Identifier: Apache-2.0
"""STRIDED_SLICE: bit masks over begin, end and stride -> one slice and one reshape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgesdk.converters.tflite_scope import Operator, emit, integers, step, value
from edgesdk.ir import MAX_RANK


@dataclass
class Selection:
    """What is taken of each axis, and the shape that is left."""

    begin: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)

    def take(self, begin: int, size: int, stride: int) -> None:
        self.begin.append(begin)
        self.size.append(size)
        self.stride.append(stride)


def strided_slice(op: Operator) -> None:
    x, begin, end, stride = value(op, 0), integers(op, 1), integers(op, 2), integers(op, 3)
    if not len(begin) == len(end) == len(stride):
        raise op.fail(f"has begin {begin}, end {end} and stride {stride}, expected three of the same length")
    if 0 in stride:
        raise op.fail(f"has stride {stride}, expected none of 0")
    if op.options["offset"]:
        end = tuple(b + e for b, e in zip(begin, end, strict=True))
    s = select(op, x.shape, begin, end, stride)
    attrs: dict[str, Any] = {"begin": tuple(s.begin), "size": tuple(s.size), "stride": tuple(s.stride)}
    if s.shape == s.size:
        emit(op, "slice", [x], **attrs)
        return
    emit(op, "reshape", [step(op, "slice", [x], **attrs)], shape=tuple(s.shape))


def select(
    op: Operator, shape: tuple[int, ...], begin: tuple[int, ...], end: tuple[int, ...], stride: tuple[int, ...]
) -> Selection:
    s = Selection()
    free = len(shape) - sum(not (is_set(op, "ellipsis", i) or is_set(op, "new_axis", i)) for i in range(len(begin)))
    if free < 0:
        raise op.fail(f"selects along {len(shape) - free} axes of shape {shape}, expected at most {len(shape)}")
    for i in range(len(begin)):
        if is_set(op, "ellipsis", i):
            keep(s, shape, free)
            free = 0
        elif is_set(op, "new_axis", i):
            s.shape.append(1)
        elif is_set(op, "shrink_axis", i):
            pick(op, s, shape, begin[i])
        else:
            span(op, s, shape, i, begin[i], end[i], stride[i])
    keep(s, shape, len(shape) - len(s.size))
    if len(s.shape) > MAX_RANK:
        raise op.fail(f"gives {len(s.shape)} dimensions, expected at most {MAX_RANK}")
    return s


def is_set(op: Operator, mask: str, i: int) -> bool:
    return bool(int(op.options[f"{mask}_mask"]) >> i & 1)


def keep(s: Selection, shape: tuple[int, ...], count: int) -> None:
    """The next `count` axes as they are."""
    for d in shape[len(s.size) :][:count]:
        s.take(0, d, 1)
        s.shape.append(d)


def pick(op: Operator, s: Selection, shape: tuple[int, ...], index: int) -> None:
    """One index of the next axis, which goes away."""
    d = shape[len(s.size)]
    if not -d <= index < d:
        raise op.fail(f"picks index {index} of {d}, expected {-d} to {d - 1}")
    s.take(index % d, 1, 1)


def span(op: Operator, s: Selection, shape: tuple[int, ...], i: int, begin: int, end: int, stride: int) -> None:
    """[begin, end) of the next axis by steps of `stride`, as Python slices it; masks leave an end open."""
    d = shape[len(s.size)]
    open_begin, open_end = is_set(op, "begin", i), is_set(op, "end", i)
    reached = range(*slice(None if open_begin else begin, None if open_end else end, stride).indices(d))
    if not reached:
        raise op.fail(f"selects nothing, [{begin}, {end}) of {d}, expected at least one index")
    s.take(reached.start, len(reached), stride)
    s.shape.append(len(reached))
