# SPDX-License-Identifier: Apache-2.0
"""Depthwise 2-D convolution. x [N,H,W,I], w [KH,KW,O], b [O] or None; O a multiple of I.

attrs as conv2d. Output channel o reads input channel o // (O / I).
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, conv2d, depthwise_packing, panels, rescale, tiles, vectors

types = rescale.types


def other_types(node: Node) -> list[str]:
    """The few weights of a layer are also written widened, for tiles that only know int8 or float32."""
    known = types(node)
    if known.startswith("f32"):
        return ["f32"] if known != "f32" else []
    return ["s8s8"] if known == "s8s4" else []


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w = node.input(0), node.input(1)
    if len(x.shape) != 4 or len(w.shape) != 3 or w.shape[2] % x.shape[3] != 0:
        raise ValueError(f"expected x [N,H,W,I] and w [KH,KW,O] with O a multiple of I, found {x.shape} and {w.shape}")
    return [((x.shape[0], *conv2d.out_hw(node, w.shape[:2]), w.shape[2]), x.dtype)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, w = arrays[0], arrays[1]
    repeats = w.shape[2] // x.shape[3]
    is_float = x.dtype == np.float32
    zero_point = 0 if is_float else node.input(0).zero_point
    wide = np.repeat(x.astype(np.float64) - zero_point, repeats, axis=3)
    weights = rescale.real_weights(node, 2)
    acc = np.einsum("nhwklc,klc->nhwc", conv2d.windows(node, wide, w.shape[:2], 0.0), weights)
    if is_float:
        return [rescale.finish_float(node, acc + rescale.bias(node))]
    return [rescale.finish(node, acc.astype(np.int64) + rescale.bias(node))]


def fits(node: Node, kernel: Kernel) -> bool:
    if kernel.types != types(node) and not tiles.is_depthwise(kernel):
        return False
    rules = {"fours": depthwise_packing.fits_fours, "planes": depthwise_packing.fits_planes}
    if kernel.layout == "by_channel":
        return panels.fits_by_channel(node)
    if kernel.layout in rules:
        return rules[kernel.layout](node, relu=kernel.tile.endswith("relu"))
    return vectors.fits(node, kernel) and tiles.fits_depthwise(node, kernel)


def encode(node: Node, kernel: Kernel) -> Encoded:
    if kernel.layout == "by_channel":
        return conv2d.encode_packed(node, node.input(1).shape[:2], panels.channel_words(node))
    if tiles.is_depthwise(kernel):
        return conv2d.encode_packed(node, node.input(1).shape[:2], tiles.depthwise_words(node, kernel))
    encoded = conv2d.encode_window_op(node, node.input(1).shape[:2], 2, kernel)
    packed = {"fours": depthwise_packing.fours, "planes": depthwise_packing.planes}
    if kernel.layout in packed:
        n_head, n_limits = (13, 3) if node.output.dtype == "int16" else (14, 2)
        head, limits = encoded.params[:n_head], encoded.params[-n_limits:]
        encoded.params = [*head, packed[kernel.layout](node), *limits]
    return encoded


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    return conv2d.window_rows(node, node.input(1).shape[0], y)


def macs(node: Node) -> int:
    kh, kw, _ = node.input(1).shape
    return node.output.elements * kh * kw
