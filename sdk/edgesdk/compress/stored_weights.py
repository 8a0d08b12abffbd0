# SPDX-License-Identifier: Apache-2.0
"""Float layers whose weights are stored as int8 or float16, as float layers of float weights; and float16 weights from
float32 ones."""

from __future__ import annotations

import numpy as np

from edgesdk.compress.schemes import WEIGHTED
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import rescale

CHANNEL_AXIS = {"conv2d": 0, "depthwise_conv2d": 2, "fully_connected": 0}


def expand_weights(graph: Graph) -> Graph:
    """What changes numbers works on float32 weights: each is rounded once to that type."""
    for node in graph.nodes:
        if node.op in CHANNEL_AXIS and node.input(0).dtype == "float32" and node.input(1).dtype != "float32":
            node.inputs[1] = _expanded(node)
    return graph


def _expanded(node: Node) -> Value:
    w = node.input(1)
    assert w.data is not None
    data = rescale.real_weights(node, CHANNEL_AXIS[node.op]).astype(np.float32)
    return Value(w.name, w.shape, "float32", None, data)


def halve_weights(graph: Graph) -> Graph:
    """Weights of float layers go to the nearest float16; a layer with one that is too large for it stays as it is."""
    most = np.finfo(np.float16).max
    for node in (n for n in graph.nodes if n.op in WEIGHTED and n.output.dtype == "float32"):
        w = node.input(1)
        if w.data is not None and w.dtype == "float32" and np.abs(w.data).max(initial=0) <= most:
            node.inputs[1] = Value(w.name, w.shape, "float16", None, w.data.astype(np.float16))
    return graph
