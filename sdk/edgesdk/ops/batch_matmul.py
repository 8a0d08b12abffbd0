# SPDX-License-Identifier: Apache-2.0
"""Products of matrices. a [..., M, K], b [..., K, N]; the leading axes broadcast; output [..., M, N].

attrs: adj_x (a is stored [..., K, M]), adj_y (b is stored [..., N, K]). Either side may be constant. int8 sides have
zero points of their own, int16 sides none. The kernel walks batch axes that broadcast at the front or at the back;
passes/lower_matmul.py writes other broadcasts out, and a transposed a.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, binary, fixedpoint, rescale

types = rescale.types

MAX_DEPTH = {"int8": 2**31 // 255**2, "int16": 2**16}  # products of differences that sums of 32 and 48 bits hold


def matrices(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a as [..., M, K] and b as [..., K, N]."""
    a, b = node.input(0).shape, node.input(1).shape
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"expected a [..., M, K] and b [..., K, N], found {a} and {b}")
    a = (*a[:-2], a[-1], a[-2]) if node.attrs["adj_x"] else a
    return a, (*b[:-2], b[-1], b[-2]) if node.attrs["adj_y"] else b


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    a, b = matrices(node)
    if a[-1] != b[-2] or node.input(0).dtype != node.input(1).dtype:
        raise ValueError(
            f"expected a [..., M, K] and b [..., K, N] of one dtype, found {a} {node.input(0).dtype} and {b} "
            f"{node.input(1).dtype}"
        )
    return [((*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]), node.input(0).dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    zeros = [node.input(i).zero_point for i in (0, 1)]
    a, b = (v.astype(np.float64) - z for v, z in zip(arrays, zeros, strict=True))
    a = a.swapaxes(-1, -2) if node.attrs["adj_x"] else a
    sums = a @ (b.swapaxes(-1, -2) if node.attrs["adj_y"] else b)
    if node.output.dtype == "float32":
        return [sums.astype(np.float32)]
    if node.output.dtype == "int16":
        scaled = fixedpoint.requantize_wide(sums.astype(np.int64), *wide_scale(node))
        return [np.clip(scaled, -32768, 32767).astype(np.int16)]
    scaled = fixedpoint.requantize(sums.astype(np.int64), *binary.product_scale(node))
    return [np.clip(scaled + node.output.zero_point, -128, 127).astype(np.int8)]


def wide_scale(node: Node) -> tuple[int, int]:
    """(15-bit multiplier, shift) of an int16 product."""
    multiplier, shift = binary.product_scale(node)
    if shift > 7:
        raise Unsupported(
            f"{node.source}: the output scale of {node.op} is below 1/128 of the product of its inputs' scales; "
            "expected a larger one, quantise the output again"
        )
    return int(fixedpoint.reduced_multipliers(np.array([multiplier]))[0]), shift


def walk(batch: tuple[int, ...], own: tuple[int, ...]) -> tuple[int, int] | None:
    """(repeat, count): product t of those over `batch` reads matrix t // repeat % count of an operand whose batch
    axes are `own`; None where it broadcasts in the middle."""
    axes = [(d, o) for d, o in zip(batch, (1,) * (len(batch) - len(own)) + own, strict=True) if d > 1]
    repeat = 1
    while axes and axes[-1][1] == 1:
        repeat *= axes.pop()[0]
    while axes and axes[0][1] == 1:
        axes.pop(0)
    return None if any(o == 1 for _, o in axes) else (repeat, int(np.prod([o for _, o in axes], dtype=np.int64)))


def walks(node: Node) -> list[tuple[int, int] | None]:
    batch = node.output.shape[:-2]
    return [walk(batch, node.input(i).shape[:-2]) for i in (0, 1)]


def encode(node: Node, kernel: Kernel) -> Encoded:
    a, b, y = node.input(0), node.input(1), node.output
    m, n = y.shape[-2:]
    k = matrices(node)[0][-1]
    found = walks(node)
    assert None not in found and not node.attrs["adj_x"], f"{node.source}: passes/lower_matmul.py must run first"
    params: list[int | np.ndarray | None] = [m, k, n, int(node.attrs["adj_y"])]
    params += [w for pair in found if pair for w in pair]
    if k > MAX_DEPTH.get(y.dtype, k):
        raise Unsupported(
            f"{node.source}: sums of {k} products can leave {32 if y.dtype == 'int8' else 48} bits; expected at "
            f"most {MAX_DEPTH[y.dtype]}, split the product"
        )
    if y.dtype == "int16":
        params += wide_scale(node)
    elif y.dtype == "int8":
        params += [a.zero_point, b.zero_point, *binary.product_scale(node), y.zero_point]
    rows = y.elements // n
    views = [RowView(v, v.elements // v.shape[-1], v.shape[-1] * v.itemsize) for v in (a, b)]
    return Encoded(params, RowView(y, rows, n * y.itemsize), views, rows)


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    """The same row of a matrix of a; all rows of a matrix of b."""
    m = node.output.shape[-2]
    repeat, count = walks(node)[i] or (1, 1)
    matrix = y // m // repeat % count
    if i == 0:
        return range(matrix * m + y % m, matrix * m + y % m + 1)
    rows = node.input(1).shape[-2]
    return range(matrix * rows, (matrix + 1) * rows)


def macs(node: Node) -> int:
    return node.output.elements * matrices(node)[0][-1]
