# SPDX-License-Identifier: Apache-2.0
"""Transposed 2-D convolution. x [N,H,W,I], w [O,KH,KW,I / groups], b [O] or None.

Each input pixel adds x * w to the KH x KW outputs from (iy * stride - top, ix * stride - left) on, dilation apart.
attrs: stride (h,w), dilation (h,w), padding (top,left,bottom,right: what is cut from the full result),
output_padding (h,w: rows and columns that the result is longer for, default 0), activation, groups (default 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d, rescale


def is_packed(node: Node) -> bool:
    """Whether int4 weights stay two in a byte: where the taps of a phase end with bytes. Others are widened."""
    w = node.input(1)
    return w.dtype == "int4" and w.shape[3] % 2 == 0 and (w.quant is None or w.quant.factors is None)


def types(node: Node) -> str:
    found = rescale.types(node)
    return found if is_packed(node) else found.replace("s4", "s8")


def dilation(node: Node) -> tuple[int, int]:
    found: tuple[int, int] = node.attrs.get("dilation", (1, 1))
    return found


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w, n = node.input(0), node.input(1), conv2d.groups(node)
    if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[3] * n != x.shape[3] or w.shape[0] % n:
        raise ValueError(
            f"expected x [N,H,W,I] and w [O,KH,KW,I / groups] with O a multiple of groups, found {x.shape}, {w.shape} "
            f"and {n} groups"
        )
    padding, extra = node.attrs["padding"], node.attrs.get("output_padding", (0, 0))
    if min(*padding, *extra) < 0:
        raise ValueError(f"expected padding and output_padding from 0 on, found {padding} and {extra}")
    size = [
        (x.shape[1 + a] - 1) * node.attrs["stride"][a]
        + (w.shape[1 + a] - 1) * dilation(node)[a]
        + (1 + extra[a] - padding[a] - padding[2 + a])
        for a in (0, 1)
    ]
    if min(size) < 1:
        raise ValueError(f"expected padding smaller than the full result, found {padding} with a result of {size}")
    return [((x.shape[0], size[0], size[1], w.shape[0]), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, w = arrays[0], rescale.real_weights(node, 0)
    is_float = x.dtype == np.float32
    wide = x.astype(np.float64) - (0 if is_float else node.input(0).zero_point)
    n = conv2d.groups(node)
    parts = zip(np.split(wide, n, 3), np.split(w, n), strict=True)
    acc = np.concatenate([_scattered(node, p, v) for p, v in parts], 3)
    if is_float:
        return [rescale.finish_float(node, acc + rescale.bias(node))]
    return [rescale.finish(node, acc.astype(np.int64) + rescale.bias(node))]


def _scattered(node: Node, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sums of the products of one group, cut to the output's size."""
    (n, h, width, _), (out_c, kh, kw, _) = x.shape, w.shape
    (sh, sw), (dh, dw), (top, left) = node.attrs["stride"], dilation(node), node.attrs["padding"][:2]
    _, out_h, out_w, _ = node.output.shape
    full_h = max((h - 1) * sh + (kh - 1) * dh + 1, top + out_h)
    full = np.zeros((n, full_h, max((width - 1) * sw + (kw - 1) * dw + 1, left + out_w), out_c))
    for ky, kx in np.ndindex(kh, kw):
        rows = slice(ky * dh, ky * dh + (h - 1) * sh + 1, sh)
        full[:, rows, kx * dw : kx * dw + (width - 1) * sw + 1 : sw] += x @ w[:, ky, kx].T
    return full[:, top : top + out_h, left : left + out_w]


@dataclass(frozen=True)
class Phase:
    """Along one axis, what outputs with one remainder modulo the stride read: taps of the kernel in the order of
    their inputs, and the input of the first tap for the first such output."""

    taps: list[int]
    first: int


def phases(node: Node, axis: int) -> list[Phase]:
    """The phase of each remainder along height (0) or width (1)."""
    kernel, stride = node.input(1).shape[1 + axis], node.attrs["stride"][axis]
    apart, before = dilation(node)[axis], node.attrs["padding"][axis]
    found = []
    for remainder in range(stride):
        taps = [k for k in reversed(range(kernel)) if (remainder + before - k * apart) % stride == 0]
        found.append(Phase(taps, (remainder + before - taps[0] * apart) // stride if taps else 0))
    return found


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, w, y = node.input(0), node.input(1), node.output
    assert conv2d.groups(node) == 1, node.source
    (_, h, width, c), (top, left, _, _) = x.shape, node.attrs["padding"]
    parts = [_stored(node)[:, a.taps][:, :, b.taps] for a in phases(node, 0) for b in phases(node, 1)]
    laid = np.concatenate([p.ravel() for p in parts])
    packed = rescale.nibbles(laid.reshape(-1, c)) if is_packed(node) else laid
    params: list[int | np.ndarray | None] = [h, width, c, y.shape[2], y.shape[3], *w.shape[1:3], *node.attrs["stride"]]
    params += [*dilation(node), top, left]
    if y.dtype == "float32":
        params += [packed, *rescale.float_words(node)]
    elif y.dtype == "int16":
        params += [packed, *rescale.words(node, channel_axis=0)]
    else:
        rest = rescale.words(node, channel_axis=0)[1:]
        params += [x.zero_point, packed, _phase_biases(node, parts), *rest]
    return Encoded(params, conv2d.image_view(y), [conv2d.image_view(x)], rows=y.shape[1], batch=y.shape[0])


def _stored(node: Node) -> np.ndarray:
    """The weights as the file has them, or int4 ones before they are packed."""
    integers, w = rescale.integer_weights(node.input(1)), node.input(1)
    if w.dtype != "int4":
        return integers
    if np.abs(integers.astype(np.int32)).max(initial=0) > 128 or integers.max(initial=0) > 127:
        raise Unsupported(
            f"{node.source}: int4 weights of a transposed convolution with factors of up to "
            f"{int(np.abs(integers).max())}; expected products of 8 bits, quantise its weights without groups"
        )
    return integers.astype(np.int8)


def _phase_biases(node: Node, parts: list[np.ndarray]) -> np.ndarray:
    """int32 bias - input zero point * sum of the weights that a phase reads, for each phase and channel."""
    wide = [p.astype(np.int64) for p in parts]
    folded = np.stack([rescale.bias(node) - node.input(0).zero_point * p.sum((1, 2, 3)) for p in wide])
    if (np.abs(folded) + 128 * np.stack([np.abs(p).sum((1, 2, 3)) for p in wide])).max() >= 2**31:
        raise Unsupported(
            f"{node.source}: sums of {node.op} can leave 32 bits; expected fewer or smaller weights, split the layer"
        )
    return folded.astype(np.int32)


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    stride = node.attrs["stride"][0]
    phase = phases(node, 0)[y % stride]
    if not phase.taps:
        return range(0)
    step = dilation(node)[0] // int(np.gcd(dilation(node)[0], stride))
    first = y // stride + phase.first
    return range(first, first + (len(phase.taps) - 1) * step + 1)


def macs(node: Node) -> int:
    n, h, w, _ = node.input(0).shape
    return n * h * w * node.input(1).elements
