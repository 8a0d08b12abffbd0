# SPDX-License-Identifier: Apache-2.0
"""Residual sums of transformers in 16 bits: what a norm reads through a chain of sums keeps the steps of its small
parts, while layers and products stay in 8 bits. These norms compute in 16 bits, too, or in float where they are over
more items than their kernel takes.

The other ways to the same end (a power of two per channel in front of a norm, as FQ-ViT has it) gain less or nothing on
the networks of benchmarks/transformers.py, which measures them.
"""

from __future__ import annotations

from edgesdk.compress.schemes import INT16X8, NORMS, activations, why_float
from edgesdk.compress.work import Work
from edgesdk.ir import Graph, Node

PASSED = ("add", "reshape", "transpose")  # what leads from one sum to the next, or to the norm


def fine_sums(work: Work) -> None:
    """Says what is raised when the network is quantised."""
    for node in stream(work.floats):
        work.raised[node.output] = "float32" if why_float(node, INT16X8) else "int16"


def stream(graph: Graph) -> list[Node]:
    """The norms that read sums, and these with all sums before them."""
    producers = graph.producers()
    norms = [n for n in graph.nodes if n.op in NORMS]
    found: set[Node] = set()
    waiting = [n.input(0) for n in norms]
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.op in PASSED and node not in found:
            found.add(node)
            waiting += activations(node)
    return [n for n in graph.nodes if n in found or (n in norms and producers.get(n.input(0)) in found)]
