# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node


def lower_image_mean(graph: Graph) -> Graph:
    """An average pool over the whole image becomes a reduction, which needs no whole image at once."""
    for node in graph.nodes:
        if node.op == "avg_pool2d" and _covers_image(node):
            node.op = "image_mean"
            node.attrs = {"activation": node.attrs["activation"], "axes": (1, 2), "keep_dims": True}
    return graph


def _covers_image(node: Node) -> bool:
    size = node.input(0).shape[1:3]
    single = node.output.shape[1:3] == (1, 1) and node.attrs["kernel"] == size and not any(node.attrs["padding"])
    # The float kernel has no clamp.
    return single and (node.input(0).dtype != "float32" or node.attrs["activation"] == "none")
