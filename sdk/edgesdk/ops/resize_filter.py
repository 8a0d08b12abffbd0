# SPDX-License-Identifier: Apache-2.0
"""Resizing by any separable filter: cubic, linear at positions that resize_bilinear has not, antialiased.

x [N,H,W,C]; attrs: rows, columns (Filter). Output pixel (y, x) is the sum over i, j of
rows.weights[y][i] * columns.weights[x][j] * input[rows.first[y] + i, columns.first[x] + j], indices outside the image
brought to its edge. int8 takes the weights in steps of 2**-10 (`steps`), one rounding, halves away from zero, and keeps
its input's quantisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d, pool, quantize

Q = 10
MAX_GAIN = 3.9  # of the absolute weights of a position: both axes' together stay within 32 bits

types = pool.types


@dataclass(frozen=True)
class Filter:
    """For each output position the first input index, and as many weights as the filter has taps."""

    first: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...]

    @property
    def taps(self) -> int:
        return len(self.weights[0])

    def __str__(self) -> str:
        return f"{len(self.first)} positions of {self.taps} taps"


def linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0)


def cubic(a: float) -> Callable[[np.ndarray], np.ndarray]:
    """Keys' cubic convolution; a is -0.5, or -0.75 in most frameworks."""

    def kernel(distance: np.ndarray) -> np.ndarray:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.asarray(np.where(d <= 1, near, np.where(d < 2, far, 0.0)))

    return kernel


def make_filter(
    positions: np.ndarray,
    extent: int,
    kernel: Callable[[np.ndarray], np.ndarray],
    reach: int,
    *,
    shrink: float = 1.0,
    inside_only: bool = False,
) -> Filter:
    """Weights of a kernel that is 0 from a distance of `reach` on, around real positions in an axis of `extent`.

    `shrink` below 1 widens the kernel (antialiasing); `inside_only` leaves out what lies outside the image. Weights
    are brought to a sum of 1.
    """
    span = int(np.ceil(reach / shrink))
    first = np.floor(positions).astype(np.int64) - span + 1
    index = first[:, None] + np.arange(2 * span)
    weights = kernel((index - positions[:, None]) * shrink)
    if inside_only:
        weights = np.where((index >= 0) & (index < extent), weights, 0.0)
    weights = weights / weights.sum(1, keepdims=True)
    return Filter(tuple(first.tolist()), tuple(tuple(row) for row in weights.astype(np.float32).tolist()))


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, rows, columns = node.input(0), node.attrs["rows"], node.attrs["columns"]
    if len(x.shape) != 4 or not rows.first or not columns.first:
        raise ValueError(f"expected x [N,H,W,C] and a filter for each axis, found {x.shape}")
    if x.dtype not in ("float32", "int8"):
        raise ValueError(f"expected float32 or int8, found {x.dtype}")
    return [((x.shape[0], len(rows.first), len(columns.first), x.shape[3]), x.dtype)]


def steps(f: Filter) -> np.ndarray:
    """The weights in Q10. What rounding takes from their sum of 1 goes to the largest."""
    exact = np.array(f.weights, np.float64) * (1 << Q)
    rounded = np.rint(exact).astype(np.int64)
    at = np.arange(len(f.first)), exact.argmax(1)
    rounded[at] += (1 << Q) - rounded.sum(1)
    return rounded


def _matrix(f: Filter, weights: np.ndarray, extent: int) -> np.ndarray:
    """[positions, extent]: the weight of each input index, those outside added to the edge's."""
    index = np.clip(np.array(f.first)[:, None] + np.arange(f.taps), 0, extent - 1)
    matrix = np.zeros((len(f.first), extent), weights.dtype)
    np.add.at(matrix, (np.arange(len(f.first))[:, None], index), weights)
    return matrix


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, filters = arrays[0], (node.attrs["rows"], node.attrs["columns"])
    floats = x.dtype == np.float32
    weights = [np.array(f.weights, np.float64) if floats else steps(f) for f in filters]
    down, across = (_matrix(f, w, x.shape[1 + a]) for a, (f, w) in enumerate(zip(filters, weights, strict=True)))
    wide = x.astype(np.float64 if floats else np.int64)
    total = np.einsum("ih,nhwc,jw->nijc", down, wide, across, optimize=True)
    if floats:
        return [total.astype(np.float32)]
    rounded = np.sign(total) * ((np.abs(total) + (1 << (2 * Q - 1))) >> (2 * Q))
    return [quantize.regrid(np.clip(rounded, -128, 127).astype(np.int8), node.input(0), node.output)]


def _check_gain(node: Node) -> None:
    gains = [float(np.abs(np.array(node.attrs[k].weights)).sum(1).max()) for k in ("rows", "columns")]
    if max(gains) > MAX_GAIN:
        raise Unsupported(
            f"{node.source}: the weights of int8 resize_filter add up to {max(gains):.2f}; expected at most "
            f"{MAX_GAIN}, keep it float32"
        )


def encode(node: Node, kernel: Kernel) -> Encoded:
    pool.check_same_grid(node)
    x, y = node.input(0), node.output
    _, h, w, c = x.shape
    filters = [node.attrs["rows"], node.attrs["columns"]]
    blobs = [np.array(f.first, np.int32) for f in filters]
    if x.dtype == "int8":
        _check_gain(node)
        blobs += [steps(f).astype(np.int32) for f in filters]
    else:
        blobs += [np.array(f.weights, np.float32) for f in filters]
    params: list[int | np.ndarray | None] = [h, w, y.shape[2], c, *(f.taps for f in filters), *blobs]
    return Encoded(params, conv2d.image_view(y), [conv2d.image_view(x)], rows=y.shape[1], batch=y.shape[0])


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    """The rows under the filter, those outside as the edge's."""
    f, last = node.attrs["rows"], node.input(0).shape[1] - 1
    first = int(f.first[y])
    return range(min(max(first, 0), last), min(max(first + f.taps - 1, 0), last) + 1)
