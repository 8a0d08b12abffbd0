# SPDX-License-Identifier: Apache-2.0
"""Float layers whose weights are stored as int8 or float16, as float layers of float weights."""

from __future__ import annotations

import numpy as np

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
