# SPDX-License-Identifier: Apache-2.0
"""Mean, sum and maximum over some axes. attrs: axes (sorted tuple), keep_dims.

The kernel reduces the middle of [outer, reduced, inner]; passes/lower_reduce.py brings other
sets of axes into that form. It is called once per input row, so that a fused stage may forget a
row that has been added.

image_mean is avg_pool2d over a whole image: x [N,H,W,C], attrs activation, axes, keep_dims; the
input's scale, one rounding of sum / count (halves away from zero).
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word, fixedpoint, pool, quantize

NAMES = ("mean", "sum", "reduce_max", "image_mean")
KINDS = {"reduce_max": 1, "image_mean": 2}  # reduce.h; others requantise

types = pool.types


def kernel_op(node: Node) -> str:
    return "reduce"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, axes = node.input(0), node.attrs["axes"]
    if list(axes) != sorted(set(axes)) or any(not 0 <= a < len(x.shape) for a in axes):
        raise ValueError(f"expected sorted axes of {x.shape}, found {axes}")
    keep = node.attrs["keep_dims"]
    shape = tuple(1 if a in axes else d for a, d in enumerate(x.shape) if keep or a not in axes)
    return [(shape, x.dtype)]


def reduced_count(node: Node) -> int:
    return node.input(0).elements // node.output.elements


def rescale_words(node: Node) -> list[int]:
    """offset, multiplier, shift, zero point: from the int32 sum to the output's quantisation.

    A mean folds 1 / count into the multiplier, as TFLite Micro does: by a left shift that fits
    and a truncating division.
    """
    x, y, count = node.input(0), node.output, reduced_count(node)
    multiplier, shift = fixedpoint.quantize_multiplier(x.scale / y.scale)
    if node.op == "mean":
        left = min(count.bit_length() - 1, 32, 31 + shift)
        multiplier, shift = (multiplier << left) // count, shift - left
    return [-x.zero_point * count, multiplier, shift, y.zero_point]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, axes, shape = arrays[0], tuple(node.attrs["axes"]), node.output.shape
    if node.op == "image_mean" and x.dtype != np.float32:
        total, count = x.sum(axes, dtype=np.int64).reshape(shape), reduced_count(node)
        return [pool.clamp(node, np.sign(total) * ((np.abs(total) + count // 2) // count))]
    if node.op == "reduce_max":
        largest = x.max(axes).reshape(shape)
        return [largest if x.dtype == np.float32 else quantize.regrid(largest, node.input(0), node.output)]
    if x.dtype == np.float32:
        total = x.sum(axes, dtype=np.float64).reshape(shape)
        return [(total if node.op == "sum" else total / reduced_count(node)).astype(np.float32)]
    offset, multiplier, shift, zero_point = rescale_words(node)
    total = x.sum(axes, dtype=np.int64).reshape(shape) + offset
    scaled = fixedpoint.requantize(total, multiplier, shift)
    info = np.iinfo(x.dtype)
    return [np.clip(scaled + zero_point, info.min, info.max).astype(x.dtype)]


def canonical(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(outer, reduced, inner) such that the axes are the middle one of three, None where they are not."""
    real = [(d, a in axes) for a, d in enumerate(shape) if d > 1]
    reduced = [i for i, (_, r) in enumerate(real) if r]
    first, end = (reduced[0], reduced[-1] + 1) if reduced else (0, 0)
    if len(reduced) != end - first:
        return None
    dims = [d for d, _ in real]
    outer, middle, inner = (int(np.prod(part, dtype=np.int64)) for part in (dims[:first], dims[first:end], dims[end:]))
    return outer, middle, inner


def image_rows(node: Node) -> int:
    """Input rows per output row: an image that is reduced over its height is read row by row."""
    shape, axes = node.input(0).shape, node.attrs["axes"]
    return shape[1] if len(shape) == 4 and 1 in axes and (0 not in axes or shape[0] == 1) else 1


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, y = node.input(0), node.output
    form = canonical(x.shape, node.attrs["axes"])
    if form is None:
        raise Unsupported(
            f"{node.source}: {node.op} over axes {node.attrs['axes']} of {x.shape} is not one run of axes; "
            "run the pass lower_reduce first"
        )
    outer, reduced, inner = form
    in_rows = image_rows(node)
    batch = x.shape[0] if len(x.shape) == 4 and outer % x.shape[0] == 0 else 1
    rows, width = outer // batch, reduced // in_rows
    params: list[int | np.ndarray | None] = [in_rows, width, inner, _kind(node), *_finish_words(node)]
    out, source = RowView(y, rows, inner * y.itemsize), RowView(x, rows * in_rows, width * inner * x.itemsize)
    return Encoded(params, out, [source], rows * in_rows, batch, keeps_scratch=True)


def _kind(node: Node) -> int:
    """Floats have no division of their own: a mean is a sum times 1 / count."""
    scaled = node.op == "image_mean" and node.input(0).dtype == "float32"
    return 0 if scaled else KINDS.get(node.op, 0)


def _finish_words(node: Node) -> list[int]:
    if node.input(0).dtype == "float32":
        return [f32_word(1.0 if node.op == "sum" else 1 / reduced_count(node))]
    dtype = node.input(0).dtype
    info, bits = np.iinfo(dtype), {"int8": 23, "int16": 15}[dtype]
    if node.op == "reduce_max":
        pool.check_same_grid(node)
        return [0, 0, 0, 0, int(info.min), int(info.max)]
    if reduced_count(node) >= 2**bits:
        raise Unsupported(
            f"{node.source}: {node.op} of {reduced_count(node)} {dtype} items can leave 32 bits; expected fewer than "
            f"2**{bits}, reduce in two steps"
        )
    if node.op == "image_mean":
        pool.check_same_grid(node)
        x = node.input(0)
        low, high = fixedpoint.activation_range(node.attrs["activation"], x.scale, x.zero_point, dtype)
        return [0, reduced_count(node), 0, 0, low, high]
    return [*rescale_words(node), int(info.min), int(info.max)]


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    return range(y, y + 1)
