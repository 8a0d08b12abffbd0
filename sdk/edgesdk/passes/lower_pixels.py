# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

from edgesdk.ir import Graph, Node
from edgesdk.passes.image_rows import of_image

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}


def lower_pixels(graph: Graph) -> Graph:
    """A fully connected layer over the pixels of an image is a convolution of single pixels: the same sums, and rows
    of the image, which a fused stage needs few of."""
    producers = graph.producers()
    for node in graph.nodes:
        if node.op == "fully_connected" and len(node.input(0).shape) == 4 and of_image(node.input(0), producers):
            _as_convolution(node)
    return graph


def _as_convolution(node: Node) -> None:
    w = node.input(1)
    assert w.data is not None
    shape = (w.shape[0], 1, 1, w.shape[1])
    node.op, node.attrs = "conv2d", {**node.attrs, **WINDOW}
    node.inputs[1] = replace(w, shape=shape, data=w.data.reshape(shape))
