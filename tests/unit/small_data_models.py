# SPDX-License-Identifier: Apache-2.0
"""Little networks of the ops on indices, truth values and boxes; part of small_models.graphs()."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value

NAMES = ("ranked_int8", "ranked_float32", "integers", "boxes")


class _Nodes:
    """Appends nodes whose outputs follow from the ops' own rules."""

    def __init__(self) -> None:
        self.made: list[Node] = []

    def add(self, op: str, *inputs: Value, quant: Quant | None = None, **attrs: Any) -> Value:
        node = Node(
            op, [*inputs], [Value(f"v{len(self.made)}", (1,), "float32", quant)], attrs, f"#{len(self.made)} {op}"
        )
        (node.output.shape, node.output.dtype), *_ = ops.module(op).infer(node)
        if node.output.dtype != "int8":
            node.output.quant = None
        self.made.append(node)
        return node.output


def _constant(data: Any, dtype: str) -> Value:
    array = np.array(data, dtype)
    return Value("c", array.shape, dtype, None, array)


def graphs() -> dict[str, Graph]:
    made = (ranked("int8"), ranked("float32"), integers(), boxes())
    return dict(zip(NAMES, made, strict=True))


def ranked(dtype: str) -> Graph:
    """Classes of pixels, the pixels of one class kept, the rest filled up; the best values and a lookup by index."""
    quant = Quant.per_tensor(0.05, -3) if dtype == "int8" else None
    x, n = Value("x", (1, 6, 5, 3), dtype, quant), _Nodes()
    best = n.add("arg_max", x, axis=3, keep_dims=True, index_dtype="int32")
    kept = n.add("equal", best, _constant([[[[1]]]], "int32"))
    sums = n.add("cumsum", x, quant=quant, axis=2, exclusive=False, reverse=True)
    mixed = n.add("select", kept, x, sums, quant=quant)
    found = n.add("reduce_any", kept, axes=(1, 2), keep_dims=False)
    top = n.add("top_k_values", mixed, quant=quant, axis=2, k=2, largest=True)
    least = n.add("reduce_min", top, quant=quant, axes=(1,), keep_dims=False)
    picked = n.add("gather_elements", x, best, quant=quant, axis=3)
    updated = n.add("scatter_nd", least, _constant([[0, 1]], "int32"), _constant([[1, 2, 3]], dtype), quant=quant)
    return Graph(f"ranked_{dtype}", [x], [mixed, found, picked, updated], n.made)


def integers() -> Graph:
    """Casts, copies that run backwards and sums, in 2, 4 and 8 bytes."""
    x, n = Value("x", (1, 6, 5, 3), "float32"), _Nodes()
    backwards = {"begin": (0, 5, 4, 2), "size": (1, 6, 5, 3), "stride": (1, -1, -1, -1)}
    short = n.add("slice", n.add("cast", x, to="int16"), **backwards)
    long = n.add("slice", n.add("cast", short, to="int64"), **backwards)
    masked = n.add("bitwise_and", long, _constant(7, "int64"))
    total = n.add("sum", n.add("tile", masked, repeats=(1, 1, 2, 1)), axes=(1, 2), keep_dims=False)
    row = n.add("gather", x, n.add("cast", n.add("reshape", total, shape=(3,)), to="int32"), axis=1, batch_dims=0)
    return Graph("integers", [x], [total, row], n.made)


def boxes() -> Graph:
    """Both forms of suppression on the same numbers."""
    x, n = Value("x", (1, 6, 5, 3), "float32"), _Nodes()
    flat = n.add("reshape", n.add("logistic", x), shape=(1, 90))

    def part(begin: int, *shape: int) -> Value:
        size = int(np.prod(shape))
        return n.add("reshape", n.add("slice", flat, begin=(0, begin), size=(1, size), stride=(1, 1)), shape=shape)

    codes, scores = part(0, 1, 6, 4), part(24, 1, 6, 2)
    anchors = _constant([[i / 6, 0.5, 0.4, 0.3] for i in range(6)], "float32")
    limits = {"most": 4, "threshold": 0.1, "iou": 0.3}
    seen = n.add("detect", codes, scores, anchors, classes=2, per_class=3, scale=(10.0, 10.0, 5.0, 5.0), **limits)
    chosen = n.add("nms", codes, part(40, 1, 2, 6), center=False, **limits)
    return Graph("boxes", [x], [seen, chosen], n.made)
