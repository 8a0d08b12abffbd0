# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value

TO_NHWC = (0, 2, 3, 1)


def fold_input_transpose(graph: Graph) -> Graph:
    """An input [N,C,H,W] that is only ever transposed to NHWC becomes NHWC: its rows can arrive one by one.

    The metadata keeps the source's layout, so that arrays in it are still taken.
    """
    readers = graph.consumers()
    for i, value in enumerate(graph.inputs):
        nodes = readers.get(value, [])
        if value in graph.results or not nodes or not all(_to_nhwc(n) for n in nodes):
            continue
        image = Value(value.name, nodes[0].output.shape, value.dtype, value.quant)
        graph.inputs[i] = image
        for node in nodes:
            graph.replace_value(node.output, image)
        graph.nodes = [n for n in graph.nodes if n not in nodes]
        graph.metadata.setdefault("input_layouts", {})[value.name] = "NCHW"
    return graph


def _to_nhwc(node: Node) -> bool:
    return node.op == "transpose" and tuple(node.attrs["perm"]) == TO_NHWC
