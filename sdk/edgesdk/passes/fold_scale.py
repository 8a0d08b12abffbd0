# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value


def fold_scale(graph: Graph) -> Graph:
    """A positive factor in front of a softmax, as attention has one, becomes its beta: a step and a rounding less."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        scaled = producers.get(node.input(0)) if node.op == "softmax" else None
        found = _factor(scaled) if scaled is not None and scaled.op == "mul" else None
        if scaled is not None and found and consumers[scaled.output] == [node] and scaled.output not in graph.results:
            factor, x = found
            node.attrs = {**node.attrs, "beta": node.attrs["beta"] * factor}
            node.inputs[0] = x
            graph.nodes = [n for n in graph.nodes if n is not scaled]
    return graph


def _factor(node: Node) -> tuple[float, Value] | None:
    """(factor, the other operand) of a float product with a positive constant of one element."""
    for v, x in ((node.input(0), node.input(1)), (node.input(1), node.input(0))):
        whole = v.data is not None and v.elements == 1 and v.dtype == "float32" and x.shape == node.output.shape
        if whole and v.data is not None and v.data.item() > 0 and node.attrs["activation"] == "none":
            return float(v.data.item()), x
    return None
