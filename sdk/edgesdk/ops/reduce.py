# SPDX-License-Identifier: Apache-2.0
"""Mean, sum, maximum, minimum and product over some axes. attrs: axes (sorted tuple), keep_dims.

Floats have all of them, int8 and int16 of a scale all but the product; other integers have sum and product (modulo
2^bits), maximum and minimum, bools reduce_any and reduce_all.

The kernel reduces the middle of [outer, reduced, inner]; passes/lower_reduce.py brings other
sets of axes into that form. It is called once per input row, so that a fused stage may forget a
row that has been added.

image_mean is avg_pool2d over a whole image: x [N,H,W,C], attrs activation, axes, keep_dims; the
input's scale, one rounding of sum / count (halves away from zero).
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import DTYPES, Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word, fixedpoint, pool, quantize

NAMES = ("mean", "sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_any", "reduce_all", "image_mean")
# reduce.h; others sum
KINDS = {"reduce_max": 1, "image_mean": 2, "reduce_min": 3, "reduce_prod": 4, "reduce_any": 1, "reduce_all": 3}
INTEGER = {"sum", "reduce_max", "reduce_min", "reduce_prod"}
BOOL = {"reduce_any", "reduce_all"}


def is_scaled(x: Value) -> bool:
    """Whether sums are rescaled; int16 without a scale is a plain integer."""
    return x.dtype == "int8" or (x.dtype == "int16" and x.quant is not None)


def types(node: Node) -> str:
    """Kernel "int" serves all integers; what has a scale has kernels of its own, but for the minimum."""
    x = node.input(0)
    return pool.types(node) if x.dtype == "float32" or (is_scaled(x) and node.op != "reduce_min") else "int"


def kernel_op(node: Node) -> str:
    return "reduce"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, axes = node.input(0), node.attrs["axes"]
    if list(axes) != sorted(set(axes)) or any(not 0 <= a < len(x.shape) for a in axes):
        raise ValueError(f"expected sorted axes of {x.shape}, found {axes}")
    if node.op not in _ops_of(x):
        raise Unsupported(f"{node.source}: {node.op} of {x.dtype}; expected another dtype, cast it before")
    keep = node.attrs["keep_dims"]
    shape = tuple(1 if a in axes else d for a, d in enumerate(x.shape) if keep or a not in axes)
    return [(shape, x.dtype)]


def _ops_of(x: Value) -> set[str]:
    every = {n for n in NAMES if n not in BOOL}
    if x.dtype == "float32" or is_scaled(x):
        return every if x.dtype == "float32" else every - {"reduce_prod"}
    return BOOL if x.dtype == "bool" else INTEGER


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
    if KINDS.get(node.op) in (1, 3):
        extreme = (x.max(axes) if KINDS[node.op] == 1 else x.min(axes)).reshape(shape)
        quantised = node.input(0).quant is not None
        return [quantize.regrid(extreme, node.input(0), node.output) if quantised else extreme]
    if node.op == "reduce_prod":
        with np.errstate(over="ignore"):
            return [x.prod(axes, dtype=np.float64 if x.dtype == np.float32 else x.dtype).reshape(shape).astype(x.dtype)]
    if types(node) == "int":
        return [x.sum(axes, dtype=x.dtype).reshape(shape)]
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
    if types(node) == "int":
        pool.check_same_grid(node)
        return [DTYPES.index(node.input(0).dtype)]
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
