# SPDX-License-Identifier: Apache-2.0
"""Activations that exporters write as products of x: silu, hard_swish, mish, gelu. One step in their place is faster,
and in int8 one rounding instead of several."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from edgesdk.ir import Graph, Node, Value

MAX_DEPTH = 3  # of a tree of products


@dataclass
class Product:
    """A tree of float products: its constant factor, and the values that are multiplied."""

    constant: float = 1.0
    values: list[Value] = field(default_factory=list)


def fuse_products(graph: Graph) -> Graph:
    producers = graph.producers()
    for node in graph.nodes:
        found = _activation(node, producers) if node.op == "mul" and node.output.dtype == "float32" else None
        if found is not None:
            node.op, node.inputs, node.attrs = found
    return graph


def _activation(node: Node, producers: dict[Value, Node]) -> tuple[str, list[Value | None], dict[str, Any]] | None:
    product = Product()
    if not _multiply(product, node.output, producers, MAX_DEPTH) or len(product.values) != 2:
        return None
    for x, gate in (product.values, product.values[::-1]):
        found = _gated(x, gate, product.constant, producers) if x.shape == gate.shape == node.output.shape else None
        if found is not None:
            return found[0], [x], found[1]
    return None


def _multiply(product: Product, value: Value, producers: dict[Value, Node], depth: int) -> bool:
    """Takes the value's factors into the product; False for a constant that is no single number."""
    node = producers.get(value)
    if value.data is not None:
        product.constant *= float(value.data.ravel()[0]) if value.elements == 1 else math.nan
        return value.elements == 1
    if node is None or node.op != "mul" or node.attrs["activation"] != "none" or depth == 0:
        product.values.append(value)
        return True
    return all(_multiply(product, v, producers, depth - 1) for v in node.inputs if v is not None)


def _gated(x: Value, gate: Value, constant: float, producers: dict[Value, Node]) -> tuple[str, dict[str, Any]] | None:
    """(op, attrs) of constant * x * gate, where the gate is a function of x that makes one."""
    node = producers.get(gate)
    if node is None:
        return None
    if node.op == "add":
        return ("gelu", {"approximate": False}) if _near(constant, 0.5) and _is_gelu_gate(node, x, producers) else None
    if not _near(constant, 1.0):
        return None
    if node.op == "logistic" and node.input(0) is x:
        return "silu", {}
    if node.op == "hard_sigmoid" and node.input(0) is x:
        return ("hard_swish", {}) if _near(node.attrs["alpha"], 1 / 6) and _near(node.attrs["beta"], 0.5) else None
    inner = producers.get(node.input(0)) if node.op == "tanh" else None
    return ("mish", {}) if inner is not None and inner.op == "softplus" and inner.input(0) is x else None


def _is_gelu_gate(node: Node, x: Value, producers: dict[Value, Node]) -> bool:
    """erf(x / sqrt(2)) + 1"""
    ones = [
        v for v in node.inputs if v is not None and v.data is not None and v.elements == 1 and _near(v.data.item(), 1)
    ]
    erfs = [n for v in node.inputs if v is not None and (n := producers.get(v)) is not None and n.op == "erf"]
    if len(ones) != 1 or len(erfs) != 1 or node.attrs["activation"] != "none":
        return False
    inner = Product()
    found = _multiply(inner, erfs[0].input(0), producers, MAX_DEPTH)
    return found and inner.values == [x] and _near(inner.constant, math.sqrt(0.5))


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * abs(b)
