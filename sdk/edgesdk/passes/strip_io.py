# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph


def strip_io(graph: Graph) -> Graph:
    """Float inputs that are only quantised, and outputs that were just dequantised, become int8 themselves."""
    readers = graph.consumers()
    for i, value in enumerate(graph.inputs):
        nodes = readers.get(value, [])
        if len(nodes) == 1 and nodes[0].op == "quantize" and value.dtype == "float32" and value not in graph.results:
            inner = nodes[0].output
            inner.name = value.name
            graph.inputs[i] = inner
            graph.nodes.remove(nodes[0])
    producers = graph.producers()
    for i, value in enumerate(graph.outputs):
        node = producers.get(value)
        if node is not None and node.op == "dequantize" and not readers.get(value):
            graph.outputs[i] = node.input(0)
            graph.outputs[i].name = value.name
    return graph
