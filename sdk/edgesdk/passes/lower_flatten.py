# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value

WEIGHTS = {"int8": ("int8", "int4"), "float32": ("float32",)}


def lower_flatten(graph: Graph) -> Graph:
    """A fully connected layer over a flattened image takes the image as it is, so that it can be summed row by row."""
    producers = graph.producers()
    for node in graph.nodes:
        image = _flattened(producers, node)
        if image is not None:
            node.op, node.inputs[0] = "fully_connected_rows", image
    return graph


def _flattened(producers: dict[Value, Node], node: Node) -> Value | None:
    """The image of several rows that the node reads flattened."""
    if node.op != "fully_connected" or not _summed_by_rows(node.input(0), node.input(1)):
        return None
    made = producers.get(node.input(0))
    if made is None or made.op != "reshape" or node.output.shape[:-1] != (1,):
        return None
    image = made.input(0)
    return image if len(image.shape) == 4 and image.shape[0] == 1 < image.shape[1] and image.data is None else None


def _summed_by_rows(x: Value, weights: Value) -> bool:
    """Factors of grouped weights do not end with the image's rows."""
    grouped = weights.quant is not None and weights.quant.factors is not None
    return weights.dtype in WEIGHTS.get(x.dtype, ()) and not grouped
