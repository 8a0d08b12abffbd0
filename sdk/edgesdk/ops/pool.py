# SPDX-License-Identifier: Apache-2.0
"""What avg_pool2d and max_pool2d share: the window and its words, and the refusal of an
output that has another scale than the input."""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.ops import Encoded, conv2d, f32_word, fixedpoint, quantize

Words = list[int | np.ndarray | None]


def types(node: Node) -> str:
    dtype = node.input(0).dtype
    return {"int8": "s8", "int16": "s16", "float32": "f32"}.get(dtype, dtype)


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x = node.input(0)
    if len(x.shape) != 4:
        raise ValueError(f"expected x [N,H,W,C], found {x.shape}")
    _check_windows(node)
    n, _, _, c = x.shape
    return [((n, *conv2d.out_hw(node, node.attrs["kernel"]), c), x.dtype)]


def _check_windows(node: Node) -> None:
    """Every window must hold a pixel of the image: a mean or maximum of nothing has no value."""
    _, h, w, _ = node.input(0).shape
    out = conv2d.out_hw(node, node.attrs["kernel"])
    for axis, extent in enumerate((h, w)):
        kernel, stride, pad = (node.attrs[k][axis] for k in ("kernel", "stride", "padding"))
        kernel = (kernel - 1) * node.attrs.get("dilation", (1, 1))[axis] + 1
        if out[axis] < 1 or pad >= kernel or (out[axis] - 1) * stride - pad >= extent:
            raise ValueError(
                f"expected every window to reach into the image, found kernel {node.attrs['kernel']}, stride "
                f"{node.attrs['stride']}, padding {node.attrs['padding']} on {h} x {w}"
            )


def clamp(node: Node, pooled: np.ndarray) -> np.ndarray:
    """The activation in the input's quantisation, then the output's where that is another one."""
    x, activation = node.input(0), node.attrs["activation"]
    if x.dtype == "float32":
        return np.clip(pooled, *fixedpoint.float_range(activation)).astype(np.float32)
    low, high = fixedpoint.activation_range(activation, x.scale, x.zero_point, x.dtype)
    return quantize.regrid(np.clip(pooled, low, high).astype(x.dtype), x, node.output)


def check_same_grid(node: Node) -> None:
    """The runtime keeps the input's scale; passes/lower_requantize.py splits off a change of it."""
    x, y = node.input(0), node.output
    if x.dtype in ("int8", "int16") and not quantize.same_grid(x, y):
        raise Unsupported(
            f"{node.source}: {node.op} changes the scale or zero point of its input; expected the same, "
            "run the pass lower_requantize first"
        )


def encode(node: Node, extra: Words) -> Encoded:
    """`extra` words stand between the geometry and the range."""
    check_same_grid(node)
    x, y = node.input(0), node.output
    (_, h, w, c), (top, left, _, _) = x.shape, node.attrs["padding"]
    activation = node.attrs["activation"]
    params: Words = [h, w, c, y.shape[2], *node.attrs["kernel"], *node.attrs["stride"], top, left, *extra]
    if x.dtype == "float32":
        params += [f32_word(limit) for limit in fixedpoint.float_range(activation)]
    else:
        params += fixedpoint.activation_range(activation, x.scale, x.zero_point, x.dtype)
    return Encoded(params, conv2d.image_view(y), [conv2d.image_view(x)], rows=y.shape[1], batch=y.shape[0])


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    return conv2d.window_rows(node, node.attrs["kernel"][0], y)
