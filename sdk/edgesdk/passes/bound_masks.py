# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Value
from edgesdk.ops import masks


def bound_masks(graph: Graph) -> Graph:
    """Constant masks that add -infinity for softmax, or select it in place of scores, have a large negative number
    instead, which calibration can take.

    A row that is masked as a whole then has equal shares where it had none (NaN).
    """
    consumers = graph.consumers()
    for node in graph.nodes:
        if node.op in ("add", "select") and masks.meets_only_softmax(node.output, consumers, graph.results):
            node.inputs = [_bounded(v) if v is not None and v.data is not None else v for v in node.inputs]
    return graph


def _bounded(v: Value) -> Value:
    if v.dtype != "float32" or v.data is None or not masks.is_mask(v.data):
        return v
    return Value(v.name, v.shape, v.dtype, v.quant, masks.bounded(v.data))
