# SPDX-License-Identifier: Apache-2.0
"""Nearest and bilinear resizing. x [N,H,W,C]. attrs: size (h,w), align_corners, half_pixel_centers.

Where each output row and column reads the input is computed here, in the float32 or integer
steps of TFLite Micro; the device only looks it up.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d, pool, quantize

NAMES = ("resize_nearest", "resize_bilinear")

Q = 10  # fraction bits of an integer bilinear position


def kernel_op(node: Node) -> str:
    return "resize"


def types(node: Node) -> str:
    return "b1" if node.op == "resize_nearest" else pool.types(node)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if len(x.shape) != 4 or any(d < 1 for d in node.attrs["size"]):
        raise ValueError(f"expected x [N,H,W,C] and a positive size, found {x.shape} and {node.attrs['size']}")
    return [((x.shape[0], *node.attrs["size"], x.shape[3]), x.dtype)]


def _extents(node: Node, axis: int) -> tuple[int, int]:
    """(input, output) extent along height (0) or width (1)."""
    return node.input(0).shape[1 + axis], node.attrs["size"][axis]


def _float_step(node: Node, axis: int) -> np.float32:
    """Input pixels per output pixel."""
    size, out = _extents(node, axis)
    if node.attrs["align_corners"] and out > 1:
        size, out = size - 1, out - 1
    return np.float32(size) / np.float32(out)


def nearest_positions(node: Node, axis: int) -> np.ndarray:
    """int32 indices."""
    size, out = _extents(node, axis)
    offset = np.float32(0.5 if node.attrs["half_pixel_centers"] else 0.0)
    at = (np.arange(out, dtype=np.float32) + offset) * _float_step(node, axis)
    # Halves away from zero; positions are not negative.
    index = np.floor(at.astype(np.float64) + 0.5) if node.attrs["align_corners"] else np.floor(at)
    return np.clip(index, 0, size - 1).astype(np.int32)


def integer_positions(node: Node, axis: int) -> np.ndarray:
    """int32 Q10. A position outside the outermost pixels' centres is that pixel's.

    So is one that the rounded step carries past the image, which needs an output some twenty times as
    large as the input: TFLite Micro reads outside the row there.
    """
    size, out = _extents(node, axis)
    n, m = (size - 1, out - 1) if node.attrs["align_corners"] and out > 1 else (size, out)
    step = ((n << Q) + m // 2) // m
    at = np.arange(out, dtype=np.int64) * step
    if node.attrs["half_pixel_centers"]:
        at += step // 2 - (1 << (Q - 1))
    return np.clip(at, 0, (size - 1) << Q).astype(np.int32)


def float_positions(node: Node, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """int32 indices and float32 fractions."""
    size, out = _extents(node, axis)
    at = np.arange(out, dtype=np.float32)
    step = _float_step(node, axis)
    if node.attrs["half_pixel_centers"]:
        at = (at + np.float32(0.5)) * step - np.float32(0.5)
    else:
        at = at * step
    at = np.clip(at, 0, np.float32(size - 1))
    index = np.floor(at)
    return index.astype(np.int32), (at - index).astype(np.float32)


def _bilinear(x: np.ndarray, rows: tuple[np.ndarray, ...], columns: tuple[np.ndarray, ...]) -> np.ndarray:
    """Sum of the four neighbours with the products of (weight before, weight after) of both axes."""
    y0, y1, before_y, after_y = rows
    x0, x1, before_x, after_x = columns
    wide = [x[:, y][:, :, i] for y in (y0, y1) for i in (x0, x1)]
    weights = [v[:, None] * h for v in (before_y, after_y) for h in (before_x, after_x)]
    return np.sum([a * w[None, :, :, None] for a, w in zip(wide, weights, strict=True)], axis=0)


def _neighbours(index: np.ndarray, fraction: np.ndarray, one: int, size: int) -> tuple[np.ndarray, ...]:
    """Where a fraction is 0 both neighbours are the same."""
    after = np.minimum(index + (fraction > 0), size - 1)
    return index, after, one - fraction, fraction


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x = arrays[0]
    if node.op == "resize_nearest":
        y = x[:, nearest_positions(node, 0)][:, :, nearest_positions(node, 1)]
    elif x.dtype == np.float32:
        axes = [_neighbours(*float_positions(node, a), 1, x.shape[1 + a]) for a in (0, 1)]
        return [_bilinear(x.astype(np.float64), axes[0], axes[1]).astype(np.float32)]
    else:
        at = [integer_positions(node, a).astype(np.int64) for a in (0, 1)]
        axes = [_neighbours(p >> Q, p & (2**Q - 1), 2**Q, x.shape[1 + a]) for a, p in enumerate(at)]
        total = _bilinear(x.astype(np.int64), axes[0], axes[1])
        rounded = (np.abs(total) + (1 << (2 * Q - 1))) >> (2 * Q)
        y = np.where(total > 0, rounded, -rounded).astype(x.dtype)
    return [y if x.dtype == np.float32 else quantize.regrid(y, node.input(0), node.output)]


def _positions(node: Node, axis: int) -> np.ndarray:
    if node.op == "resize_nearest":
        return nearest_positions(node, axis)
    if node.input(0).dtype != "float32":
        return integer_positions(node, axis)
    index, fraction = float_positions(node, axis)
    return np.stack([index, fraction.view(np.int32)], axis=1)


def encode(node: Node, kernel: Kernel) -> Encoded:
    pool.check_same_grid(node)
    x, y = node.input(0), node.output
    _, h, w, c = x.shape
    pixel = c * x.itemsize if node.op == "resize_nearest" else c
    params: list[int | np.ndarray | None] = [h, w, y.shape[2], pixel, _positions(node, 0), _positions(node, 1)]
    return Encoded(params, conv2d.image_view(y), [conv2d.image_view(x)], rows=y.shape[1], batch=y.shape[0])


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    """One row, or the two that a bilinear position lies between."""
    if node.op == "resize_nearest":
        row = int(nearest_positions(node, 0)[y])
        return range(row, row + 1)
    if node.input(0).dtype != "float32":
        row = int(integer_positions(node, 0)[y]) >> Q
    else:
        row = int(float_positions(node, 0)[0][y])
    return range(row, row + 2)
