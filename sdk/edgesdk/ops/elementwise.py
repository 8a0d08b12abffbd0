# SPDX-License-Identifier: Apache-2.0
"""Comparisons, logic and selection of two or three values with numpy broadcasting; any may be constant.

equal, not_equal, less, less_equal, greater, greater_equal of a, b: bool. int8 values are compared as TFLite Micro
compares them, each scaled by 2^8 times its scale and rounded, so that values of a tiny scale may be taken for equal.
bitwise_and, bitwise_or, bitwise_xor of integers or bools; shift_left, shift_right of integers: a by b bits, b clamped
to [0, bits - 1]. select of a bool, a, b: stored items of a where the bool holds, else of b.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import DTYPES, Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, broadcast, fixedpoint, same_row

KINDS = {"equal": 0, "not_equal": 1, "less": 2, "less_equal": 3, "greater": 2, "greater_equal": 3}
KINDS |= {"bitwise_and": 4, "bitwise_or": 5, "bitwise_xor": 6, "shift_left": 7, "shift_right": 8, "select": 9}
NAMES = tuple(KINDS)
COMPARISONS = NAMES[:6]
SHIFTS = ("shift_left", "shift_right")
LEFT_SHIFT = 8  # bits that TFLite adds below the int8 operands of a comparison
DISTINCT_SCALE = 2 / 2**LEFT_SHIFT  # from here on no two stored values are one after TFLite's rounding


def kernel_op(node: Node) -> str:
    return "elementwise"


def types(node: Node) -> str:
    return "any"


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    values = [node.input(i) for i in range(3 if node.op == "select" else 2)]
    a, b = values[-2:]
    if a.dtype != b.dtype or (node.op == "select" and values[0].dtype != "bool"):
        raise ValueError(f"expected inputs of one dtype (select: a bool first), found {[v.dtype for v in values]}")
    if node.op not in (*COMPARISONS, "select") and a.dtype == "float32":
        raise ValueError(f"expected integers or bools, found {a.dtype}")
    if node.op in SHIFTS and a.dtype == "bool":
        raise ValueError("expected integers, found bool")
    shape = tuple(np.broadcast_shapes(*(v.shape for v in values)))
    return [(shape, "bool" if node.op in COMPARISONS else a.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    if node.op == "select":
        return [np.where(arrays[0], arrays[1], arrays[2])]
    if node.op in SHIFTS:
        return [_shifted(node, *arrays)]
    scales = operand_scales(node)
    a, b = (_scaled(x, s) for x, s in zip(arrays, scales, strict=True))
    with np.errstate(invalid="ignore"):
        return [_NUMPY[node.op](a, b)]


_NUMPY: dict[str, Callable[[Any, Any], np.ndarray]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
}


def _shifted(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    amount = np.clip(b.astype(np.int64), 0, 8 * a.dtype.itemsize - 1)
    wide = a.astype(np.int64)
    with np.errstate(over="ignore"):
        return np.asarray(wide >> amount if node.op == "shift_right" else wide << amount).astype(a.dtype)


Scale = tuple[int, int, int]  # zero point, multiplier, shift; multiplier 0: compared as it is stored


def operand_scales(node: Node) -> tuple[Scale, Scale]:
    a, b = node.input(0), node.input(1)
    distinct = a.dtype != "int8" or a.quant is None or a.scale >= DISTINCT_SCALE
    alike = a.quant.same_as(b.quant) if a.quant is not None else b.quant is None
    if node.op not in COMPARISONS or (distinct and alike):
        return (0, 0, 0), (0, 0, 0)
    if a.quant is None or b.quant is None or a.dtype != "int8":
        raise Unsupported(
            f"{node.source}: {node.op} compares {a.name} and {b.name} of different scales; expected int8, or one scale"
        )
    # TFLite asks for scales below 1; halving both compares the same numbers.
    largest = max(a.scale, b.scale)
    halvings = max(0, int(np.frexp(largest)[1]))
    return _operand_scale(a, halvings), _operand_scale(b, halvings)


def _operand_scale(v: Value, halvings: int) -> Scale:
    multiplier, shift = fixedpoint.quantize_multiplier(v.scale / 2.0**halvings)
    # 0 would mean a stored value: the least that there is, scaled down to 0, means the same as 0.
    return (v.zero_point, multiplier, shift) if multiplier else (v.zero_point, 1, -31)


def _scaled(x: np.ndarray, scale: Scale) -> np.ndarray:
    zero_point, multiplier, shift = scale
    if multiplier == 0:
        return x
    return fixedpoint.requantize((x.astype(np.int64) - zero_point) << LEFT_SHIFT, multiplier, shift)


def encode(node: Node, kernel: Kernel) -> Encoded:
    found = broadcast.layout(node)
    assert found is not None, f"{node.source}: this broadcast of {node.op} must be lowered first"
    values, operands = [node.input(i) for i in range(len(node.inputs))], list(found.operands)
    scales = operand_scales(node)
    if node.op in ("greater", "greater_equal"):
        values, operands, scales = values[::-1], operands[::-1], scales[::-1]
    padding = [0] * (3 - len(operands))
    words: list[int | np.ndarray | None] = [found.w, found.c, *(o.pixel for o in operands), *padding]
    words += [*(o.item for o in operands), *padding, KINDS[node.op], DTYPES.index(values[-1].dtype)]
    views = [RowView(v, o.rows, o.row_items * v.itemsize) for v, o in zip(values, operands, strict=True)]
    output = RowView(node.output, found.rows, found.w * found.c * node.output.itemsize)
    return Encoded([*words, *scales[0], *scales[1]], output, views, found.rows)


def in_place(node: Node) -> tuple[int, ...]:
    """Inputs with the output's shape and item size: item k is read before it is written."""
    y = node.output
    values = enumerate(node.inputs)
    return tuple(i for i, v in values if v and v.data is None and (v.shape, v.itemsize) == (y.shape, y.itemsize))


rows_read = same_row
