# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value


def lower_depthwise(graph: Graph) -> Graph:
    """A depthwise convolution of one input channel is a convolution, one of a group per channel is depthwise: the
    same sums, faster kernels."""
    for node in graph.nodes:
        channels = node.input(0).shape[-1] if node.op in ("conv2d", "depthwise_conv2d") else 0
        if node.op == "depthwise_conv2d" and channels == 1:
            node.op = "conv2d"
            node.inputs[1] = _as_conv_weights(node)
        elif node.op == "conv2d" and node.attrs.get("groups", 1) == channels > 1 and not _has_factors(node.input(1)):
            node.op = "depthwise_conv2d"
            node.inputs[1] = _as_depthwise_weights(node)
            node.attrs = {k: v for k, v in node.attrs.items() if k != "groups"}
    return graph


def _has_factors(w: Value) -> bool:
    """Of int4 weights: depthwise kernels take none."""
    return w.quant is not None and w.quant.factors is not None


def _as_conv_weights(node: Node) -> Value:
    w = node.input(1)
    assert w.data is not None
    return _weights(w, w.data.transpose(2, 0, 1)[..., None], 0)


def _as_depthwise_weights(node: Node) -> Value:
    w = node.input(1)
    assert w.data is not None
    return _weights(w, w.data[..., 0].transpose(1, 2, 0), 2)


def _weights(w: Value, laid: np.ndarray, axis: int) -> Value:
    quant = w.quant and Quant(w.quant.scale, w.quant.zero_point, None if w.quant.axis is None else axis)
    return Value(w.name, laid.shape, w.dtype, quant, np.ascontiguousarray(laid))
