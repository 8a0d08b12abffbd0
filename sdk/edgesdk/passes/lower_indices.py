# SPDX-License-Identifier: Apache-2.0
import numpy as np

from edgesdk.ir import Graph, Node, Value


def lower_indices(graph: Graph) -> Graph:
    """Gathers along an axis by constant indices that are evenly spaced become slices; constant indices get 32 bits."""
    nodes: list[Node] = []
    for node in graph.nodes:
        indices = node.optional(1) if node.op.startswith(("gather", "scatter")) else None
        if indices is not None and indices.data is not None:
            node.inputs[1] = _narrow(indices)
            spacing = _spacing(node) if node.op == "gather" else None
            nodes += [node] if spacing is None else _slice(node, *spacing)
        else:
            nodes.append(node)
    graph.nodes = nodes
    return graph


def _narrow(indices: Value) -> Value:
    """An index beyond 32 bits is out of range either way."""
    assert indices.data is not None
    data = np.clip(indices.data, -(2**31), 2**31 - 1).astype(np.int32)
    return Value(indices.name, indices.shape, "int32", None, data)


def _spacing(node: Node) -> tuple[int, int] | None:
    """(first, step) of the indices where all lie inside, None where they are not evenly spaced."""
    data, extent = node.input(1).data, node.input(0).shape[node.attrs["axis"]]
    assert data is not None
    flat = data.ravel().astype(np.int64)
    flat = np.clip(np.where(flat < 0, flat + extent, flat), 0, extent - 1)
    steps = np.diff(flat)
    if node.attrs["batch_dims"] or (steps != steps[:1]).any() or (steps[:1] == 0).any():
        return None
    return int(flat[0]), int(steps[0]) if steps.size else 1


def _slice(node: Node, first: int, step: int) -> list[Node]:
    x, y, axis = node.input(0), node.output, node.attrs["axis"]
    count = node.input(1).elements
    begin = tuple(first if a == axis else 0 for a in range(len(x.shape)))
    size = tuple(count if a == axis else d for a, d in enumerate(x.shape))
    stride = tuple(step if a == axis else 1 for a in range(len(x.shape)))
    part = Value(f"{y.name}/part", size, x.dtype, x.quant)
    return [
        Node("slice", [x], [part], {"begin": begin, "size": size, "stride": stride}, node.source),
        Node("reshape", [part], [y], {"shape": y.shape}, node.source),
    ]
