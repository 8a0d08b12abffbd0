# SPDX-License-Identifier: Apache-2.0
"""What must hold for a graph between two stages."""

from __future__ import annotations

import numpy as np

from edgesdk import ops
from edgesdk.ir import MAX_ELEMENTS, MAX_RANK, Graph, Node, Value, Variable

STAGES = ("source", "lowered")


def verify(graph: Graph, stage: str = "source") -> Graph:
    """Raises AssertionError naming the node that breaks a rule; returns the graph.

    Every stage: values are written before they are read and once only, shapes and dtypes
    follow the op's rule, int8 activations are quantised per tensor. "lowered": every op
    has a kernel.
    """
    known: set[Value] = {*graph.inputs, *(v.value for v in graph.variables)}
    for node in graph.nodes:
        _verify_order(node, known)
        _verify_values(node)
        if stage == "lowered":
            assert ops.stage(node.op) == "runtime", f"{node.op} ({node.source}) was not lowered"
    for value in graph.results:
        assert value in known or value.data is not None, f"output {value.name} is never written"
    for variable in graph.variables:
        _verify_variable(variable)
    return graph


def _verify_variable(variable: Variable) -> None:
    value, following = variable.value, variable.next
    alike = (value.shape, value.dtype) == (following.shape, following.dtype) and (
        value.quant is following.quant or (value.quant is not None and value.quant.same_as(following.quant))
    )
    assert alike, f"variable {value.name} is written with {following.name}, which has another type"
    assert (variable.initial.shape, variable.initial.dtype) == (value.shape, np.dtype(value.dtype)), value.name


def _verify_order(node: Node, known: set[Value]) -> None:
    for value in node.inputs:
        assert value is None or value.data is not None or value in known, f"{node.source} reads {value.name} too early"
    for value in node.outputs:
        assert value not in known, f"{node.source} writes {value.name} a second time"
        known.add(value)


def _verify_values(node: Node) -> None:
    inferred = ops.module(node.op).infer(node)
    found = [(v.shape, v.dtype) for v in node.outputs]
    assert found == [(tuple(s), d) for s, d in inferred], f"{node.op} ({node.source}): {found}, expected {inferred}"
    for value in node.outputs:
        assert len(value.shape) <= MAX_RANK and 0 < value.elements <= MAX_ELEMENTS, f"{value.name}: {value.shape}"
        # int16 without a scale is a plain integer.
        assert value.dtype != "int8" or value.quant is not None, f"{value.name} is int8 without quantisation"
