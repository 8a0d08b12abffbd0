# SPDX-License-Identifier: Apache-2.0
"""Which values lie in memory as the rows of an image that some op has written row by row."""

from __future__ import annotations

from edgesdk.ir import Node, Value

LAYERS = ("conv2d", "depthwise_conv2d", "transpose_conv2d")
IMAGE_OPS = frozenset([*LAYERS, *"avg_pool2d max_pool2d resize_nearest resize_bilinear resize_filter".split()])
# What works item by item has the rows of what it reads.
ITEM_OPS = frozenset("add sub mul minimum maximum lut quantize dequantize clip relu relu6 leaky_relu concat".split())


def of_image(value: Value, producers: dict[Value, Node]) -> bool:
    """Whether the value comes from an image op, row for row."""
    node = producers.get(value)
    while node is not None and node.op in ITEM_OPS and len(node.output.shape) == 4:
        node = next((producers.get(v) for v in node.inputs if v is not None and v.data is None), None)
    return node is not None and node.op in IMAGE_OPS
