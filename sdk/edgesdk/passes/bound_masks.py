# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk.ir import Graph, Value

LEAST = -1e9  # e^LEAST is 0 beside any score


def bound_masks(graph: Graph) -> Graph:
    """Constant masks that add -infinity, or select it in place of scores, have a large negative number instead, which
    calibration can take.

    A row that is masked as a whole then has equal shares where it had none (NaN).
    """
    for node in graph.nodes:
        if node.op in ("add", "select"):
            node.inputs = [_bounded(v) if v is not None and v.data is not None else v for v in node.inputs]
    return graph


def _bounded(v: Value) -> Value:
    if v.dtype != "float32" or v.data is None or not np.isneginf(v.data).any():
        return v
    return Value(v.name, v.shape, v.dtype, v.quant, np.maximum(v.data, np.float32(LEAST)))
