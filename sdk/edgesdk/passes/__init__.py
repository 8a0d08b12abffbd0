# SPDX-License-Identifier: Apache-2.0
"""The ordered pipeline. One file per pass: file = function = verb_object, Graph -> Graph.

SIMPLIFY keeps the vocabulary of importers and runs before quantisation, so that ranges are
taken where values really exist. SHRINK leaves out what integers compute in vain, once they are what they will be.
LOWER leaves only ops that have kernels.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgesdk import kernels, ops
from edgesdk.ir import Graph
from edgesdk.verify import verify

SIMPLIFY = (
    "fold_constants",  # first: later passes look for constants
    "fold_matmul",  # products with constants become layers before their weights are looked for
    "fuse_group_norm",  # while its transposes still stand around it
    "move_transposes",  # before all that looks for neighbours
    "fold_shuffles",  # the transposes that are left
    "sink_reshapes",  # behind it: the order of the axes is settled
    "fold_batch_norm",  # before activations: a relu may follow the norm
    "bound_masks",
    "fold_scale",
    "fold_pad",  # before lowering makes pads copies
    "fuse_products",  # silu and the like, written as products
    "fuse_activations",
    "fuse_quantized",  # behind the folding of float neighbours: what is left is the layer and its activation
    "fold_exponents",
    "remove_dead_nodes",
)

SHRINK = (
    "remove_constant_channels",
    "fold_tables",  # behind it: operands that turned out to be constant
    "remove_dead_nodes",
)

# Behind the first of LOWER, for cores with much memory and fast convolutions.
VECTORS = ("split_phases",)

LOWER = (
    "lower_groups",  # before concats are split and slices become copies
    "lower_depthwise",
    "lower_flatten",
    "lower_pixels",
    "lower_dilated_pool",  # may write pads
    "lower_borders",
    "lower_minmax",  # before requantize: may write quantizations
    "lower_requantize",  # int8 -> int8 quantize becomes a table
    "lower_unary",  # int8 activations become tables
    "lower_image_mean",  # after the split of pools that change the scale
    "lower_reduce",  # before shuffles: may write transposes
    "lower_softmax",  # before shuffles: may write transposes
    "lower_matmul",  # before shuffles: may write transposes
    "lower_broadcast",
    "lower_indices",  # constant indices become slices: before shuffles
    "split_concat",
    "lower_shuffles",  # transpose, slice, pad, tile and their like become strided copies
    "store_outputs",  # last but one: an output that is constant gets a place
    "remove_dead_nodes",
    "place_states",  # last: needs the final readers of every state
)


def _run(graph: Graph, names: tuple[str, ...], stage: str) -> Graph:
    for name in names:
        run: Callable[[Graph], Graph] = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        graph = verify(run(graph), "source")
    return verify(graph, stage)


def simplify(graph: Graph) -> Graph:
    """Constant folding and fusion; the graph keeps its numerics (floats: up to rounding)."""
    return _run(graph, SIMPLIFY, "source")


def shrink(graph: Graph) -> Graph:
    """Integer graphs lose the channels and steps that no byte of a result depends on; values inside change shape."""
    return _run(graph, SHRINK, "source")


@dataclass(frozen=True)
class Removed:
    """What `shrink` left out: channels of layers, their multiply-accumulates, and nodes."""

    channels: int
    macs: int
    nodes: int


def removed(before: Graph, after: Graph) -> Removed:
    (channels, macs), (left, live) = (_layer_totals(g) for g in (before, after))
    return Removed(channels - left, macs - live, len(before.nodes) - len(after.nodes))


def _layer_totals(graph: Graph) -> tuple[int, int]:
    """(output channels, multiply-accumulates) of the layers."""
    layers = [(n.output.shape[-1], ops.macs(n)) for n in graph.nodes if ops.macs(n)]
    return sum(c for c, _ in layers), sum(m for _, m in layers)


def lower(graph: Graph, isa: Sequence[str] = ()) -> Graph:
    """Only ops with kernels and views are left; integer results keep every byte. `isa`: the core's instruction sets."""
    first = () if kernels.VECTORS.isdisjoint(isa) else VECTORS
    return _run(graph, (*LOWER[:1], *first, *LOWER[1:]), "lowered")


def hybrid(graph: Graph) -> Graph:
    """Activations of layers with int8 weights are quantised while the model runs."""
    return _run(graph, ("quantize_activations",), "source")


def reshape_io(graph: Graph, stream: bool, io: str) -> Graph:
    """What the user asked of inputs and outputs: streamed ones in NHWC, "int8" ones without their float edges."""
    asked = (("strip_io",) if io == "int8" else ()) + (("fold_input_transpose",) if stream else ())
    return _run(graph, asked, "source")
