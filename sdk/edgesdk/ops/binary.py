# SPDX-License-Identifier: Apache-2.0
"""add, sub, mul, minimum, maximum of a and b with numpy broadcasting; either may be constant.

attrs: activation (add, sub, mul). minimum and maximum compare stored bytes, so all three
values must have one quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word, fixedpoint, rescale, same_row

NAMES = ("add", "sub", "mul", "minimum", "maximum")
LEFT_SHIFT = {"int8": 20, "int16": 15}  # bits that TFLite adds below the inputs of add and sub

types = rescale.types


def kernel_op(node: Node) -> str:
    return {"sub": "add", "minimum": "minmax", "maximum": "minmax"}.get(node.op, node.op)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    a, b = node.input(0), node.input(1)
    if a.dtype != b.dtype:
        raise ValueError(f"expected inputs of one dtype, found {a.dtype} and {b.dtype}")
    if a.dtype in ("int8", "int16") and kernel_op(node) == "minmax":
        _require_one_quant(node)
    return [(tuple(np.broadcast_shapes(a.shape, b.shape)), a.dtype)]


def _require_one_quant(node: Node) -> None:
    quant = node.output.quant
    if not all(v.quant is not None and v.quant.same_as(quant) for v in (node.input(0), node.input(1))):
        raise Unsupported(
            f"{node.source}: {node.op} compares stored values; expected one scale and zero point for "
            "both inputs and the output, quantise them alike"
        )


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    a, b = arrays[0], arrays[1]
    if kernel_op(node) == "minmax":
        return [np.minimum(a, b) if node.op == "minimum" else np.maximum(a, b)]
    if a.dtype == np.float32:
        return [np.clip(_FLOAT[node.op](a, b), *fixedpoint.float_range(node.attrs["activation"])).astype(np.float32)]
    wide_a, wide_b = (v.astype(np.int64) - node.input(i).zero_point for i, v in enumerate((a, b)))
    scaled = _scaled_product(node, wide_a, wide_b) if node.op == "mul" else _scaled_sum(node, wide_a, wide_b)
    return [np.clip(scaled + node.output.zero_point, *_range(node)).astype(a.dtype)]


_FLOAT = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def _range(node: Node) -> tuple[int, int]:
    y = node.output
    return fixedpoint.activation_range(node.attrs["activation"], y.scale, y.zero_point, y.dtype)


def _scaled_sum(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a_scale, b_scale, scale = sum_scales(node)
    a, b = (fixedpoint.requantize(v << LEFT_SHIFT[node.output.dtype], *s) for v, s in ((a, a_scale), (b, b_scale)))
    return fixedpoint.requantize(a - b if node.op == "sub" else a + b, *scale)


def sum_scales(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(multiplier, shift) of a, of b and of their sum.

    TFLite computes these ratios in double for ADD and in float32 for SUB.
    """
    real = np.float32 if node.op == "sub" else np.float64
    a, b, y = (real(v.scale) for v in (node.input(0), node.input(1), node.output))
    twice_max = real(2) * max(a, b)
    unit = real(1 << LEFT_SHIFT[node.output.dtype])
    ratios = (a / twice_max, b / twice_max, twice_max / (unit * y))
    a_scale, b_scale, scale = (fixedpoint.quantize_multiplier(float(r)) for r in ratios)
    most = 0 if node.output.dtype == "int16" else -1  # TFLite's multipliers are below 1; the int8 kernel always shifts
    if scale[0] != 0 and scale[1] > most:
        raise Unsupported(
            f"{node.source}: the output scale {y:g} of {node.op} is below {2.0**-most * twice_max / unit:g}; "
            "expected a scale that fits the sum's range, quantise the output again"
        )
    return a_scale, b_scale, scale


def _scaled_product(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return fixedpoint.requantize(a * b, *product_scale(node))


def product_scale(node: Node) -> tuple[int, int]:
    a, b, y = node.input(0), node.input(1), node.output
    return fixedpoint.quantize_multiplier(a.scale * b.scale / y.scale)


@dataclass(frozen=True)
class Operand:
    """How the kernel walks an input: `rows` rows of `row_items`, and its steps within a row."""

    rows: int
    row_items: int
    pixel: int
    item: int


@dataclass(frozen=True)
class Layout:
    """The output as rows of w pixels of c items, with both operands broadcast to it."""

    rows: int
    w: int
    c: int
    operands: tuple[Operand, Operand]


def layout(node: Node) -> Layout | None:
    """The kernel's view of the node; None where its broadcast needs more axes than that."""
    out = node.output.shape or (1,)
    shapes = [(1,) * (len(out) - len(v.shape)) + v.shape for v in (node.input(0), node.input(1))]
    return next((found for split in _splits(len(out)) if (found := _split_layout(out, shapes, split))), None)


def _splits(rank: int) -> list[int]:
    """Numbers of leading axes to try as rows; first the one that makes rows of an image."""
    first = 2 if rank == 4 else rank - 1
    return [first, *(s for s in range(rank + 1) if s != first)]


def _split_layout(out: tuple[int, ...], shapes: list[tuple[int, ...]], split: int) -> Layout | None:
    rows = [_row_count(out[:split], s[:split]) for s in shapes]
    inner = _pixel_axes(out[split:], [s[split:] for s in shapes])
    if None in rows or inner is None:
        return None
    (w, c), steps = inner
    operands = [
        Operand(n, int(np.prod(s[split:])), pixel, item)
        for n, s, (pixel, item) in zip(rows, shapes, steps, strict=True)
        if n is not None
    ]
    return Layout(int(np.prod(out[:split])), w, c, (operands[0], operands[1]))


def _row_count(out: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """Rows of an operand whose row y is y mod rows: leading axes broadcast, the others do not."""
    axes = [(o, s) for o, s in zip(out, shape, strict=True) if o > 1]
    while axes and axes[0][1] == 1:
        axes.pop(0)
    return None if any(s == 1 for _, s in axes) else int(np.prod([s for _, s in axes], dtype=np.int64))


def _pixel_axes(
    out: tuple[int, ...], shapes: list[tuple[int, ...]]
) -> tuple[tuple[int, int], list[tuple[int, int]]] | None:
    """(w, c) and each operand's (pixel, item) steps, after merging axes that broadcast alike."""
    merged: list[list[int]] = []  # [extent, extent of a, extent of b]
    for extents in zip(out, *shapes, strict=True):
        last = merged[-1] if merged else None
        if extents[0] == 1:
            continue
        if last is not None and all((e > 1) == (m > 1) for e, m in zip(extents, last, strict=True)):
            merged[-1] = [e * m for e, m in zip(extents, last, strict=True)]
        else:
            merged.append(list(extents))
    if len(merged) > 2:
        return None
    (w, *pixels), (c, *items) = [[1, 1, 1]] * (2 - len(merged)) + merged
    steps = [(item if pixel > 1 else 0, int(item > 1)) for pixel, item in zip(pixels, items, strict=True)]
    return (w, c), steps


def encode(node: Node, kernel: Kernel) -> Encoded:
    found = layout(node)
    assert found is not None, f"{node.source}: this broadcast of {node.op} must be lowered first"
    values, operands = [node.input(0), node.input(1)], list(found.operands)
    sum_swaps = kernel.op == "add" and values[0].dtype == "int8" and values[1].scale > values[0].scale
    if sum_swaps:
        values, operands = values[::-1], operands[::-1]
    shape = [found.w, found.c, operands[0].pixel, operands[0].item, operands[1].pixel, operands[1].item]
    dtype = values[0].dtype
    if dtype == "int16":
        words = _int16_words(node, kernel)
    else:
        words = _float_words(node, kernel) if dtype == "float32" else _int8_words(node, kernel, sum_swaps)
    views = [RowView(v, o.rows, o.row_items * v.itemsize) for v, o in zip(values, operands, strict=True)]
    output = RowView(node.output, found.rows, found.w * found.c * node.output.itemsize)
    return Encoded([*shape, *words], output, views, found.rows)


def _int8_words(node: Node, kernel: Kernel, swapped: bool) -> list[int]:
    if kernel.op == "minmax":
        return [1 if node.op == "minimum" else -1]
    a, b, y = node.input(0), node.input(1), node.output
    if kernel.op == "mul":
        return [a.zero_point, b.zero_point, *product_scale(node), y.zero_point, *_range(node)]
    a_scale, b_scale, (multiplier, shift) = sum_scales(node)
    first, second = (a, 1, a_scale), (b, -1 if node.op == "sub" else 1, b_scale)
    (large, large_sign, _), (small, small_sign, small_scale) = (second, first) if swapped else (first, second)
    # A shift of 0 occurs with equal scales only; one more bit of gain lets the kernel always shift.
    gain, small_shift = (1 << 22, 1) if small_scale[1] == 0 else (1 << 21, -small_scale[1])
    terms = [large.zero_point, large_sign << 20, small.zero_point, small_sign * 2, gain]
    # A multiplier of 0 has a shift of 0, too; any shift of 0 is 0.
    return [*terms, small_scale[0], small_shift, multiplier, max(-shift, 1), y.zero_point, *_range(node)]


def _int16_words(node: Node, kernel: Kernel) -> list[int]:
    if kernel.op == "minmax":
        return [1 if node.op == "minimum" else -1]
    if kernel.op == "mul":
        return [*product_scale(node), *_range(node)]
    return [-1 if node.op == "sub" else 1, *(w for scale in sum_scales(node) for w in scale), *_range(node)]


def _float_words(node: Node, kernel: Kernel) -> list[int]:
    if kernel.op == "minmax":
        return [f32_word(1 if node.op == "minimum" else -1)]
    limits = [f32_word(x) for x in fixedpoint.float_range(node.attrs["activation"])]
    return limits if kernel.op == "mul" else [f32_word(-1 if node.op == "sub" else 1), *limits]


def in_place(node: Node) -> tuple[int, ...]:
    """Inputs with the output's shape: item k is read before it is written."""

    def whole(v: Value) -> bool:
        return v.data is None and v.shape == node.output.shape

    return tuple(i for i in (0, 1) if whole(node.input(i)))


rows_read = same_row
