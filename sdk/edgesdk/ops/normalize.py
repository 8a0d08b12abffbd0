# SPDX-License-Identifier: Apache-2.0
"""Normalisation of parts of a value by their own mean and variance, then a scale and a shift per channel.

layer_norm, rms_norm: over the axes from `axis` on; scale and shift (either may be None) have the shape of those axes.
group_norm, instance_norm: x [N, ..., C] over all but the batch, the channels in `groups` (instance_norm: one each);
scale [C], shift [C] or None. All: attrs epsilon. rms_norm takes no mean out.

int8, int16: the statistics are exact integers (runtime_c/kernels/normalize/normalize.h has the formula); scale and
shift stay float constants, whose quotients by the output's scale the runtime gets in fixed point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Value
from edgesdk.kernels import PORTABLE, Kernel
from edgesdk.ops import Encoded, RowView, f32_word, pool, same_row

NAMES = ("layer_norm", "rms_norm", "group_norm", "instance_norm")
MAX_ITEMS = {"int8": 2**20, "int16": 2**15}  # that are normalised together
LARGEST_SQUARE = {"int8": 255**2, "int16": 2**30}
PLACES = {"int8": 20, "int16": 24}  # binary ones of a normalised item
FULL_SHIFT = 40  # of the last product, where its gains fit 32 bits

types = pool.types


def kernel_op(node: Node) -> str:
    return "normalize"


@dataclass(frozen=True)
class Form:
    """x as [rows, outer, groups, inner]; a group is normalised over outer and inner."""

    rows: int
    outer: int
    groups: int
    inner: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.rows, self.outer, self.groups, self.inner


def form(node: Node) -> Form:
    shape = node.input(0).shape
    if node.op in ("layer_norm", "rms_norm"):
        axis = node.attrs["axis"]
        return Form(math.prod(shape[:axis]), 1, 1, math.prod(shape[axis:]))
    groups = shape[-1] if node.op == "instance_norm" else int(node.attrs["groups"])
    return Form(shape[0], math.prod(shape[1:-1]), groups, shape[-1] // groups)


def items(node: Node) -> int:
    """That are normalised together."""
    f = form(node)
    return f.outer * f.inner


def factors(node: Node) -> list[Value | None]:
    """[scale, shift]"""
    return [node.optional(1), node.optional(2)]


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    by_axis = node.op in ("layer_norm", "rms_norm")
    if by_axis and not 0 <= node.attrs["axis"] < len(x.shape):
        raise ValueError(f"expected an axis of {x.shape}, found {node.attrs['axis']}")
    if not by_axis and (len(x.shape) < 2 or x.shape[-1] % (node.attrs["groups"] if node.op == "group_norm" else 1)):
        raise ValueError(f"expected x [N, ..., C] with C a multiple of the groups, found {x.shape}")
    expected = x.shape[node.attrs["axis"] :] if by_axis else x.shape[-1:]
    for v in factors(node):
        if v is not None and (v.shape != expected or v.data is None or v.dtype != "float32"):
            raise ValueError(f"expected scale and shift to be float32 constants {expected}, found {v.dtype} {v.shape}")
    return [(x.shape, x.dtype)]


def spread(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """scale and shift in float64 as [groups, inner]; both of one item where neither is given."""
    scale, shift = (None if v is None or v.data is None else v.data.astype(np.float64) for v in factors(node))
    if scale is None and shift is None:
        return np.ones((1, 1)), np.zeros((1, 1))
    size = form(node).shape[2:]
    ones, zeros = np.ones(size), np.zeros(size)
    return ones if scale is None else scale.reshape(size), zeros if shift is None else shift.reshape(size)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, f = arrays[0], form(node)
    if x.dtype != np.float32:
        return [_integer(node, x.reshape(f.shape).astype(np.int64)).reshape(x.shape)]
    wide = x.reshape(f.shape).astype(np.float64)
    with np.errstate(all="ignore"):
        wide = wide if node.op == "rms_norm" else wide - wide.mean((1, 3), keepdims=True)
        variance = np.square(wide).mean((1, 3), keepdims=True)
        scale, shift = spread(node)
        y = wide / np.sqrt(variance + float(np.float32(node.attrs["epsilon"]))) * scale + shift
    return [y.reshape(x.shape).astype(np.float32)]


@dataclass(frozen=True)
class Words:
    """What the integer kernel is given, see normalize.h."""

    fraction: int
    epsilon: int
    gain: np.ndarray
    offset: np.ndarray
    shift: int


def words(node: Node) -> Words:
    x, y, n = node.input(0), node.output, items(node)
    if n > MAX_ITEMS[x.dtype]:
        raise Unsupported(
            f"{node.source}: {x.dtype} {node.op} over {n} items; expected at most {MAX_ITEMS[x.dtype]}, keep it float32"
        )
    real = n * n * float(np.float32(node.attrs["epsilon"])) / x.scale**2
    largest = n * n * LARGEST_SQUARE[x.dtype]
    room = [b for b in range(0, 41, 2) if largest <= 2 ** (61 - b) and real * 2**b < 2**61 - 1]
    if not room:
        raise Unsupported(
            f"{node.source}: the input of {x.dtype} {node.op} has scale {x.scale:g}, far below its epsilon "
            f"{node.attrs['epsilon']:g}; expected a scale that fits the range of its input, calibrate again"
        )
    scale, shift = (a / y.scale for a in spread(node))
    steps, places = max(float(np.abs(scale).max()), 2.0**-60), PLACES[x.dtype]
    bits = min(FULL_SHIFT, places + 30 - math.ceil(math.log2(steps)))
    if bits < 11:
        raise Unsupported(
            f"{node.source}: {node.op} scales by {steps:g} output steps; expected fewer than 2**{places + 19}, "
            f"quantise again"
        )
    gain = np.rint(scale * 2.0 ** (bits - places)).astype(np.int32)
    offset = np.clip(np.rint(shift * 2.0**10), -(2.0**31), 2.0**31 - 1).astype(np.int32)
    return Words(room[-1], round(real * 2 ** room[-1]), gain, offset, bits)


def inverse_root(u: np.ndarray) -> np.ndarray:
    """2^30 / sqrt(u / 2^32) for u in [2^30, 2^32)."""
    r = 2308544921 - (u * 1331439861 >> 32)
    for _ in range(4):
        square = r * r >> 31
        r = r * ((3 << 29) - (square * u >> 32)) >> 30
    return r


def _integer(node: Node, x: np.ndarray) -> np.ndarray:
    known, n = words(node), x.shape[1] * x.shape[3]
    d = x - node.input(0).zero_point
    s = 0 * d[:, :1, :, :1] if node.op == "rms_norm" else d.sum((1, 3), keepdims=True)
    w = ((n * np.square(d).sum((1, 3), keepdims=True) - s * s) << known.fraction) + known.epsilon
    half_e = np.full(w.shape, -16, np.int64)
    while ((w >> (2 * half_e + 32)) != 0).any():
        half_e += (w >> (2 * half_e + 32)) != 0
    u = np.where(half_e >= 0, w >> np.maximum(2 * half_e, 0), w << np.maximum(-2 * half_e, 0))
    factor = np.where(w == 0, 0, inverse_root(u))
    right = np.maximum(1, 46 - PLACES[node.output.dtype] + half_e - known.fraction // 2)
    z = ((n * d - s) * factor + (np.int64(1) << (right - 1))) >> right
    total = known.gain * z + (known.offset.astype(np.int64) << (known.shift - 10))
    y = node.output.zero_point + ((total + (1 << (known.shift - 1))) >> known.shift)
    info = np.iinfo(node.output.dtype)
    return np.clip(y, info.min, info.max).astype(info.dtype)


def fits(node: Node, kernel: Kernel) -> bool:
    """Groups of a few items that follow each other are no work for vectors."""
    return kernel.isa == PORTABLE or form(node).inner >= int(kernel.tile.removeprefix("x"))


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y, f = node.input(0), node.output, form(node)
    per_channel = any(v is not None for v in factors(node))
    params: list[int | np.ndarray | None] = [f.outer, f.groups, f.inner, int(node.op != "rms_norm"), int(per_channel)]
    if x.dtype == "float32":
        params += [a.astype(np.float32) for a in spread(node)]
        params += [f32_word(node.attrs["epsilon"])]
    else:
        known = words(node)
        low = known.epsilon & 0xFFFFFFFF
        int8 = x.dtype == "int8"  # int16 has no zero points
        params += [x.zero_point] if int8 else []
        params += [known.fraction, known.epsilon >> 32, low - (low >> 31 << 32)]
        params += [known.gain, known.offset, known.shift, *([y.zero_point] if int8 else [])]
    size = f.outer * f.groups * f.inner * x.itemsize
    return Encoded(params, RowView(y, f.rows, size), [RowView(x, f.rows, size)], f.rows)


def in_place(node: Node) -> tuple[int, ...]:
    """The items of a group are read for its sums before the first is written."""
    return (0,)


rows_read = same_row
