# SPDX-License-Identifier: Apache-2.0
"""A zero pad in front of convolutions becomes their padding."""

from __future__ import annotations

from edgesdk.ir import Graph, Node

CONVOLUTIONS = ("conv2d", "depthwise_conv2d")


def fold_pad(graph: Graph) -> Graph:
    """Convolutions pad with real zero, which for int8 is the zero point: the same as the pad."""
    consumers = graph.consumers()
    kept: list[Node] = []
    for node in reversed(graph.nodes):  # of two pads in a row, the second first
        readers = consumers.get(node.output, []) if node.op == "pad" else []
        if readers and node.output not in graph.results and foldable(node, readers):
            for reader in readers:
                widen(reader, node)
            # A pad in front of this one now sees the convolutions.
            rest = [n for n in consumers[node.input(0)] if n is not node]
            consumers[node.input(0)] = rest + readers
        else:
            kept.append(node)
    graph.nodes = kept[::-1]
    return graph


def foldable(pad: Node, readers: list[Node]) -> bool:
    x, y = pad.input(0), pad.output
    pads = pad.attrs["pads"]
    return (
        pad.attrs["value"] == 0.0
        and len(pads) == 4
        and not any(pads[0])
        and not any(pads[3])
        and (x.quant is None or x.quant.same_as(y.quant))
        and all(n.op in CONVOLUTIONS and n.input(0) is y and n.inputs.count(y) == 1 for n in readers)
    )


def widen(convolution: Node, pad: Node) -> None:
    top, left, bottom, right = convolution.attrs["padding"]
    _, (above, below), (before, after), _ = pad.attrs["pads"]
    padding = (top + above, left + before, bottom + below, right + after)
    convolution.attrs = {**convolution.attrs, "padding": padding}
    convolution.inputs[0] = pad.input(0)
