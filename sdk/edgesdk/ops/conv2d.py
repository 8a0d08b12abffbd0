# SPDX-License-Identifier: Apache-2.0
"""2-D convolution. x [N,H,W,I], w [O,KH,KW,I / groups], b [O] or None.

attrs: stride (h,w), dilation (h,w), padding (top,left,bottom,right), activation, groups (default 1): output
channel o reads the input channels of group o // (O / groups) alone.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, grouped_tiles, packing, panels, rescale, tiles, vectors

types = rescale.types


def other_types(node: Node) -> list[str]:
    """The weights of groups are also written widened, for tiles that only know int8 or float32."""
    known, quant = types(node), node.input(1).quant
    if groups(node) == 1 or known in ("f32", "s8s8", "s16s8"):
        return []
    if known.startswith("f32"):
        return ["f32"]
    return ["s8s8"] if known == "s8s4" and (quant is None or quant.factors is None) else []


def groups(node: Node) -> int:
    return int(node.attrs.get("groups", 1))


def kernel_op(node: Node) -> str:
    return "conv2d" if groups(node) == 1 else "grouped_conv2d"


def out_extent(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Output extent of a window that slides over `size` with explicit padding."""
    span = (kernel - 1) * dilation + 1
    return (size + before + after - span) // stride + 1


def out_hw(node: Node, kernel: tuple[int, int]) -> tuple[int, int]:
    _, h, w, _ = node.input(0).shape
    (sh, sw), (top, left, bottom, right) = node.attrs["stride"], node.attrs["padding"]
    dh, dw = node.attrs.get("dilation", (1, 1))
    return out_extent(h, kernel[0], sh, dh, top, bottom), out_extent(w, kernel[1], sw, dw, left, right)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w = node.input(0), node.input(1)
    n = groups(node)
    if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[3] * n != x.shape[3] or w.shape[0] % n:
        raise ValueError(
            f"expected x [N,H,W,I] and w [O,KH,KW,I / groups] with O a multiple of groups, found {x.shape}, {w.shape} "
            f"and {n} groups"
        )
    return [((x.shape[0], *out_hw(node, w.shape[1:3]), w.shape[0]), x.dtype)]


def windows(node: Node, x: np.ndarray, kernel: tuple[int, int], fill: float) -> np.ndarray:
    """[N, OH, OW, KH, KW, C] view of the padded input."""
    top, left, bottom, right = node.attrs["padding"]
    (sh, sw), (dh, dw) = node.attrs["stride"], node.attrs.get("dilation", (1, 1))
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    spans = ((kernel[0] - 1) * dh + 1, (kernel[1] - 1) * dw + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, (1, 2))[:, ::sh, ::sw, :, ::dh, ::dw]
    return view.transpose(0, 1, 2, 4, 5, 3)


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, w = arrays[0], arrays[1]
    if x.dtype == np.float32:
        patches = windows(node, x.astype(np.float64), w.shape[1:3], 0.0)
        acc = _sums(patches, rescale.real_weights(node, 0), groups(node))
        return [rescale.finish_float(node, acc + rescale.bias(node))]
    zero_point = node.input(0).zero_point
    # float64 products and sums of 8 and 16 bits are exact far beyond any K in use.
    patches = windows(node, x.astype(np.float64), w.shape[1:3], zero_point) - zero_point
    return [
        rescale.finish(
            node, _sums(patches, rescale.real_weights(node, 0), groups(node)).astype(np.int64) + rescale.bias(node)
        )
    ]


def _sums(patches: np.ndarray, w: np.ndarray, n: int) -> np.ndarray:
    """Sums of products of [N, OH, OW, KH, KW, I] windows with the weights, group by group."""
    parts = zip(np.split(patches, n, -1), np.split(w.astype(np.float64), n), strict=True)
    return np.concatenate([p.reshape(*p.shape[:3], -1) @ v.reshape(len(v), -1).T for p, v in parts], -1)


def geometry(node: Node, kernel: tuple[int, ...]) -> list[int | np.ndarray | None]:
    """The ert_conv2d_geometry words."""
    _, h, w, c = node.input(0).shape
    _, out_h, out_w, out_c = node.output.shape
    top, left, _, _ = node.attrs["padding"]
    stride = node.attrs["stride"]
    dilation = node.attrs.get("dilation", (1, 1))
    if kernel[0] == 1:  # one row has no dilation: 2 tells of rows below the image (see conv2d.h)
        dilation = (1 if (out_h - 1) * stride[0] - top < h else 2, dilation[1])
    return [h, w, c, out_w, out_c, *kernel, *stride, *dilation, top, left]


def image_view(value: Value) -> RowView:
    """Rows of an NHWC value: H rows of W * C items, repeated per batch item."""
    _, h, w, c = value.shape
    return RowView(value, h, w * c * value.itemsize)


def encode_window_op(
    node: Node, kernel_hw: tuple[int, ...], channel_axis: int, kernel: Kernel | None = None
) -> Encoded:
    """conv2d and depthwise_conv2d: the same words in the same order."""
    x, y = node.input(0), node.output
    params = geometry(node, kernel_hw)
    packed = vectors.words(node, kernel) if kernel else None
    if packed:
        params += [x.zero_point, *packed] if y.dtype == "int8" else packed
        return Encoded(params, image_view(y), [image_view(x)], rows=y.shape[1], batch=y.shape[0])
    weights = rescale.weight_words(node, grouped=channel_axis == 0)
    params += [groups(node)] if groups(node) > 1 else []
    if y.dtype == "float32":
        params += [*weights, *rescale.float_words(node)]
    elif y.dtype == "int16":
        params += [*weights, *rescale.words(node, channel_axis)]
    else:
        params += [x.zero_point, *weights, *rescale.words(node, channel_axis)]
    return Encoded(params, image_view(y), [image_view(x)], rows=y.shape[1], batch=y.shape[0])


def fits(node: Node, kernel: Kernel) -> bool:
    if kernel.types != types(node) and not tiles.is_tiled(kernel):
        return False
    return vectors.fits(node, kernel) and packing.fits(node, kernel) and tiles.fits(node, kernel)


def encode(node: Node, kernel: Kernel) -> Encoded:
    w = node.input(1)
    if tiles.is_tiled(kernel) and groups(node) > 1:
        return encode_groups(node, kernel)
    if tiles.is_tiled(kernel):
        return encode_packed(node, w.shape[1:3], tiles.words(node, kernel))
    if kernel.layout == "panels":
        return encode_packed(node, w.shape[1:3], panels.words(node))
    if packing.is_packed(kernel):
        return encode_packed(node, w.shape[1:3], packing.block_words(node, kernel))
    return encode_window_op(node, w.shape[1:3], 0, kernel)


def encode_packed(node: Node, kernel_hw: tuple[int, ...], weights: list[int | np.ndarray | None]) -> Encoded:
    x, y = node.input(0), node.output
    zero_point = [] if y.dtype == "float32" else [x.zero_point]
    params = [*geometry(node, kernel_hw), *zero_point, *weights]
    return Encoded(params, image_view(y), [image_view(x)], rows=y.shape[1], batch=y.shape[0])


def encode_groups(node: Node, kernel: Kernel) -> Encoded:
    """In tiles: the geometry is that of one group."""
    n, words = grouped_tiles.words(node, kernel)
    encoded = encode_packed(node, node.input(1).shape[1:3], words)
    encoded.params[2] = node.input(0).shape[-1] // n
    encoded.params[4] = node.output.shape[-1] // n
    encoded.params.insert(13, n)
    return encoded


def window_rows(node: Node, kernel_h: int, y: int) -> range:
    """Input rows under the window of output row y; may reach past the image."""
    top, stride, dilation = node.attrs["padding"][0], node.attrs["stride"][0], node.attrs.get("dilation", (1, 1))[0]
    first = y * stride - top
    return range(first, first + (kernel_h - 1) * dilation + 1)


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    return window_rows(node, node.input(1).shape[1], y)


def macs(node: Node) -> int:
    n, h, w, o = node.output.shape
    return n * h * w * o * (node.input(1).elements // o)
