# SPDX-License-Identifier: Apache-2.0
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Node, Value


def quantize_activations(graph: Graph) -> Graph:
    """Layers of int8 weights and float activations get their input on a grid of 8 bits that is found while the model
    runs: the numbers of LiteRT's reference kernels for dynamic-range models, up to the rounding of float sums."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if _is_hybrid(node):
            nodes.append(_grid(node))
            node.inputs[0] = nodes[-1].output
        nodes.append(node)
    if len(nodes) == len(graph.nodes):
        raise UsageError(
            "--hybrid: no layer has int8 weights beside float activations; expected a dynamic-range model, leave the "
            "option out"
        )
    graph.nodes = nodes
    return graph


def _is_hybrid(node: Node) -> bool:
    layers = ("conv2d", "depthwise_conv2d", "fully_connected")
    return node.op in layers and (node.input(0).dtype, node.input(1).dtype) == ("float32", "int8")


def _grid(node: Node) -> Node:
    """LiteRT takes rows one by one for fully connected layers, whole images for convolutions; asymmetric grids where
    the model asks for them and for convolutions of per-channel weights."""
    x, quant = node.input(0), node.input(1).quant
    assert quant is not None
    dense = node.op == "fully_connected"
    asymmetric = node.attrs.get("asymmetric_inputs", False) if dense else quant.axis is not None
    y = Value(f"{node.output.name}/grid", x.shape, x.dtype)
    return Node("dynamic_quantize", [x], [y], {"symmetric": not asymmetric, "per_row": dense}, node.source)
