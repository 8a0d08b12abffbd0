# SPDX-License-Identifier: Apache-2.0
"""Transpositions are carried along until they meet their inverse.

Importers write a model's ops in its own axis order, with a transpose in front of and behind every
op that wants channels last. Here each is noted instead of done (see axis_order.py): elementwise
ops, concatenations, pads, slices, gathers and reductions work in whatever order their operand lies;
a flattened image permutes the columns of the weights that read it, an image made of a matrix
product its rows; only what no rule can carry is written again as a node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import activation, arithmetic, elementary
from edgesdk.passes.axis_order import (
    Operand,
    Ordered,
    Rewriting,
    aligned,
    as_columns,
    cost,
    identity,
    is_trivial,
    lead_of,
    merged_order,
    relaid,
    reshaped,
    settled,
    stored,
)

Orders = dict[Value, Ordered]
Rule = Callable[[Rewriting, Node, Orders], Ordered | None]  # None: the op needs the order of the source


def move_transposes(graph: Graph) -> Graph:
    """The graph with as few items transposed as the rules find; unchanged where they find none."""
    if not any(n.op == "transpose" for n in graph.nodes):
        return graph
    tried = [(graph, Rewriting()), *(carried(graph, in_source_order) for in_source_order in (True, False))]
    moved, r = min(reversed(tried), key=lambda t: moved_items(t[0]))
    if moved is not graph:
        unify_names(moved, [v.name for v in graph.outputs], r.made)
    return moved


def carried(graph: Graph, in_source_order: bool) -> tuple[Graph, Rewriting]:
    """The graph with its transposes written where the ops need them."""
    given = [*graph.inputs, *(v.value for v in graph.variables)]
    r, orders = Rewriting(in_source_order=in_source_order), {v: Ordered(v, identity(len(v.shape))) for v in given}
    for node in graph.nodes:
        rewrite(r, node, orders)
    final = final_values(r, graph, orders)
    outputs = [final.get(y, y) for y in graph.outputs]
    variables = [replace(v, next=final.get(v.next, v.next)) for v in graph.variables]
    moved = Graph(graph.name, graph.inputs, outputs, r.nodes, graph.metadata, variables)
    fold_into_rows(r, moved)
    return moved, r


def moved_items(graph: Graph) -> int:
    """Items of all transposes that move any."""
    transposes = [n for n in graph.nodes if n.op == "transpose"]
    return sum(n.output.elements for n in transposes if not is_trivial(n.input(0).shape, n.attrs["perm"]))


def rewrite(r: Rewriting, node: Node, orders: Orders) -> None:
    r.source = node.source
    rule = RULES.get(node.op)
    tensors = [orders[v] for v in node.inputs if v is not None and v in orders]
    carried = None
    if rule is not None and tensors and (node.op in MOVES or not all(t.plain for t in tensors)):
        carried = rule(r, node, orders)
    if carried is not None:
        orders[node.output] = carried
    else:
        write_plain(r, node, orders)


def write_plain(r: Rewriting, node: Node, orders: Orders) -> None:
    """The node as it is, its operands brought into the order of the source."""
    inputs = [stored(r, orders[v], identity(len(v.shape))) if v in orders else v for v in node.inputs if v is not None]
    given = iter(inputs)
    r.nodes.append(replace(node, inputs=[None if v is None else next(given) for v in node.inputs]))
    orders.update({v: Ordered(v, identity(len(v.shape))) for v in node.outputs})


def written(r: Rewriting, node: Node, inputs: list[Value | None], order: Ordered, **attrs: object) -> Ordered:
    """The node over reordered inputs; its result lies in the order of `order`."""
    y = node.output
    shape = order.value.shape if order.view is not None else tuple(y.shape[a] for a in order.perm)
    value = r.value(y, shape)
    r.nodes.append(Node(node.op, inputs, [value], {**node.attrs, **attrs}, node.source))
    return replace(order, value=value)


def transpose(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    perm, t = node.attrs["perm"], orders[node.input(0)]
    order = None if t.view is None else merged_order(t, perm)
    if order is not None:
        lying = Ordered(t.value, tuple(order.index(a) for a in t.perm))
        return reshaped(r, lying, node.output.shape)
    t = settled(r, t, last=perm[-1])  # what moves in any case moves to where it is wanted
    return replace(t, perm=tuple(perm.index(a) for a in t.perm))


def reshape(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    return reshaped(r, orders[node.input(0)], node.output.shape)


def elementwise(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    t = orders[node.input(0)]
    return written(r, node, [t.value], t)


def operands(node: Node, orders: Orders) -> list[Operand] | None:
    """Tensors and constants; None where a constant's scales follow an axis."""
    values = [v for v in node.inputs if v is not None]
    if any(v not in orders and v.quant is not None and v.quant.axis is not None for v in values):
        return None
    return [orders.get(v, v) for v in values]


def broadcast(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    given = operands(node, orders)
    if given is None:
        return None
    values, lead = aligned(r, given)
    return written(r, node, list(values), lead)


def concat(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    given = operands(node, orders)
    if given is None:
        return None
    if all(isinstance(o, Value) or o.view is not None for o in given):  # nobody says yet how they shall lie
        given = [settled(r, o) if isinstance(o, Ordered) else o for o in given]
    values, lead = aligned(r, given)
    return written(r, node, list(values), lead, axis=lead.perm.index(node.attrs["axis"]))


def per_axis(*names: str) -> Rule:
    """Ops whose attributes `names` hold one entry per axis."""

    def rule(r: Rewriting, node: Node, orders: Orders) -> Ordered:
        t = settled(r, orders[node.input(0)])
        return written(r, node, [t.value], t, **{k: tuple(node.attrs[k][a] for a in t.perm) for k in names})

    return rule


def broadcast_to(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    alike = len(node.attrs["shape"]) == len(node.input(0).shape)
    return per_axis("shape")(r, node, orders) if alike else None


def reduction(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    t = settled(r, orders[node.input(0)])
    axes = node.attrs["axes"]
    order = t if node.attrs["keep_dims"] else without(t, axes)
    return written(r, node, [t.value], order, axes=tuple(sorted(t.perm.index(a) for a in axes)))


def without(t: Ordered, axes: tuple[int, ...]) -> Ordered:
    """The order of the other axes when `axes` are gone."""
    left = [a for a in t.perm if a not in axes]
    return Ordered(t.value, tuple(sorted(left).index(a) for a in left))


def along_axis(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    t = settled(r, orders[node.input(0)])
    axis = node.attrs["axis"]
    order = t if node.attrs.get("keep_dims", True) else without(t, (axis,))
    return written(r, node, [t.value], order, axis=t.perm.index(axis))


def gather(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    """Indices with one axis leave it where it lies, a single index takes it away."""
    table, indices, axis = node.input(0), node.input(1), node.attrs["axis"]
    if table not in orders or node.attrs["batch_dims"] or len(indices.shape) > 1:
        return None
    t = settled(r, orders[table])
    at = stored(r, orders[indices], identity(len(indices.shape))) if indices in orders else indices
    order = t if indices.shape else without(t, (axis,))
    return written(r, node, [t.value, at], order, axis=t.perm.index(axis))


def elements(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    """All operands have the same axes: one order suits all."""
    given = operands(node, orders)
    if given is None:
        return None
    given = [settled(r, o) if isinstance(o, Ordered) else o for o in given]
    lead = lead_of(r, [o for o in given if isinstance(o, Ordered)])
    values = [stored(r, o, lead.perm) if isinstance(o, Ordered) else turned(r, o, lead.perm) for o in given]
    return written(r, node, list(values), lead, axis=lead.perm.index(node.attrs["axis"]))


def turned(r: Rewriting, value: Value, perm: tuple[int, ...]) -> Value:
    assert value.data is not None
    return relaid(r, value, value.data.transpose(perm))


def over_axis(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    """The axis of the op, as a rule the last, must lie last, the others as they do."""
    axis = node.attrs.get("axis", len(node.input(0).shape) - 1)
    t = settled(r, orders[node.input(0)], last=axis)
    order = (*(a for a in t.perm if a != axis), axis)
    value, at = stored(r, t, order), {"axis": len(order) - 1} if "axis" in node.attrs else {}
    return written(r, node, [value, *node.inputs[1:]], Ordered(value, order), **at)


def pointwise(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    """A convolution of single pixels reads them in whatever order they lie."""
    a, (_, kh, kw, _) = node.attrs, node.input(1).shape
    single = (kh, kw, *a["stride"], *a["padding"]) == (1, 1, 1, 1, 0, 0, 0, 0)
    fixed = single and not any(v in orders for v in node.inputs[1:] if v is not None)
    return over_axis(r, node, orders) if fixed else None


def trailing_norm(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    """The axes from `axis` on must lie behind the others; their factors lie as they do."""
    t, axis = settled(r, orders[node.input(0)]), node.attrs["axis"]
    inner = tuple(a for a in t.perm if a >= axis)
    order = (*(a for a in t.perm if a < axis), *inner)
    value, turn = stored(r, t, order), [a - axis for a in inner]
    factors = [None if v is None or v.data is None else relaid(r, v, v.data.transpose(turn)) for v in node.inputs[1:]]
    return written(r, node, [value, *factors], Ordered(value, order))


def channel_norm(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    """The batch must lie first and the channels last, what is between them as it does."""
    last = len(node.input(0).shape) - 1
    t = settled(r, orders[node.input(0)], last)
    order = (0, *(a for a in t.perm if 0 < a < last), last)
    value = stored(r, t, order)
    return written(r, node, [value, *node.inputs[1:]], Ordered(value, order))


def batch_matmul(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    """A side whose matrices lie transposed is read so; a left one only where that saves a transposition."""
    values, flags = [], {}
    for i, flag in enumerate(("adj_x", "adj_y")):
        side, flags[flag] = node.input(i), node.attrs[flag]
        if side in orders:
            t = settled(r, orders[side])
            *batch, m, k = identity(len(t.perm))
            turned = (flag == "adj_y" or flags[flag]) and cost(r, t, (*batch, k, m)) < cost(r, t, (*batch, m, k))
            side, flags[flag] = stored(r, t, (*batch, k, m) if turned else (*batch, m, k)), flags[flag] != turned
        values.append(side)
    return written(r, node, list(values), Ordered(node.output, identity(len(node.output.shape))), **flags)


def batch_norm(r: Rewriting, node: Node, orders: Orders) -> Ordered:
    t = orders[node.input(0)]
    scale, shift = node.input(1), node.input(2)
    if not is_flattened(t, scale.shape[0]) or scale.data is None or shift.data is None:
        return over_axis(r, node, orders)
    order, flat = flattened_order(t), r.reshape(t.value, t.shape)
    inputs: list[Value | None] = [flat, relaid(r, scale, scale.data[order]), relaid(r, shift, shift.data[order])]
    y = written(r, node, inputs, Ordered(flat, (0, 1))).value
    return replace(t, value=r.reshape(y, t.value.shape))


def is_flattened(t: Ordered, columns: int) -> bool:
    """Whether `t` is a matrix [N, columns] made of something with N in front."""
    return t.view == (t.source[0], columns) and t.perm[0] == 0


def flattened_order(t: Ordered) -> np.ndarray:
    """The column that each item of a row holds."""
    return np.arange(t.shape[1]).reshape(t.source[1:]).transpose([a - 1 for a in t.perm[1:]]).ravel()


def fully_connected(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    t, w = orders[node.input(0)], node.input(1)
    if w.data is None or any(v in orders for v in node.inputs[1:] if v is not None):
        return None
    if not per_row(w.quant):
        return over_axis(r, node, orders)
    if not is_flattened(t, w.shape[1]):
        t, columns = as_columns(t)
        permuted_node = node if columns is None else with_columns(r, node, columns)
        return over_axis(r, permuted_node, {**orders, node.input(0): t})
    weights = relaid(r, w, w.data[:, flattened_order(t)])
    inputs = [r.reshape(t.value, t.shape), weights, *node.inputs[2:]]
    return written(r, node, inputs, Ordered(t.value, (0, 1)))


def with_columns(r: Rewriting, node: Node, columns: np.ndarray) -> Node:
    """The layer whose weights, input 1, read their last axis in this order."""
    w = node.input(1)
    assert w.data is not None
    return replace(node, inputs=[node.input(0), relaid(r, w, w.data[..., columns]), *node.inputs[2:]])


def per_row(quant: Quant | None) -> bool:
    """Whether columns may change places."""
    return quant is None or quant.axis in (None, 0)


def recurrent(r: Rewriting, node: Node, orders: Orders) -> Ordered | None:
    """Sequences may lie batch first or time first, and their items in any order: the weights follow."""
    t, w = orders[node.input(0)], node.input(1)
    if w not in orders and w.quant is None:
        t, columns = as_columns(t)
        node = node if columns is None else with_columns(r, node, columns)
    t = settled(r, t)
    if t.perm not in ((0, 1, 2), (1, 0, 2)):
        return None
    held = [stored(r, orders[v], (0, 1)) if v in orders else v for v in node.inputs[1:] if v is not None]
    y = r.value(node.output, tuple(node.output.shape[a] for a in t.perm))
    attrs = {**node.attrs, "time_major": node.attrs["time_major"] != (t.perm == (1, 0, 2))}
    r.nodes.append(Node(node.op, [t.value, *held], [y, *node.outputs[1:]], attrs, node.source))
    orders.update({v: Ordered(v, (0, 1)) for v in node.outputs[1:]})
    return replace(t, value=y)


UNARY = (
    *"relu relu6 relu_n1_to_1 clip leaky_relu hard_swish logistic tanh quantize dequantize cast".split(),
    *activation.NAMES,
    *elementary.NAMES,
)
BINARY = (*"add sub mul minimum maximum".split(), *arithmetic.NAMES)
LOGIC = "bitwise_and bitwise_or bitwise_xor shift_left shift_right select".split()
COMPARISONS = "equal not_equal less less_equal greater greater_equal".split()
MOVES = ("transpose", "reshape")

RULES: dict[str, Rule] = {
    "transpose": transpose,
    "reshape": reshape,
    **dict.fromkeys(UNARY, elementwise),
    **dict.fromkeys((*BINARY, *LOGIC, *COMPARISONS), broadcast),
    **dict.fromkeys(("softmax", "log_softmax", "hardmax", "l2_norm", "lrn"), over_axis),
    **dict.fromkeys(("layer_norm", "rms_norm"), trailing_norm),
    **dict.fromkeys(("group_norm", "instance_norm"), channel_norm),
    "conv2d": pointwise,
    "batch_matmul": batch_matmul,
    "batch_norm": batch_norm,
    **dict.fromkeys(("mean", "sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_any", "reduce_all"), reduction),
    **dict.fromkeys(("arg_max", "arg_min", "top_k_values", "top_k_indices", "cumsum"), along_axis),
    **dict.fromkeys(("gather_elements", "scatter_elements"), elements),
    "gather": gather,
    "tile": per_axis("repeats"),
    "broadcast_to": broadcast_to,
    "concat": concat,
    "slice": per_axis("begin", "size", "stride"),
    **dict.fromkeys(("pad", "border_pad"), per_axis("pads")),
    "fully_connected": fully_connected,
    "rnn": recurrent,
}


def final_values(r: Rewriting, graph: Graph, orders: Orders) -> dict[Value, Value]:
    """The graph's results in the order of the source, each output with storage of its own."""
    final: dict[Value, Value] = {}
    for y in graph.results:
        if y not in orders or y in final:  # a constant, or given twice
            continue
        value = stored(r, orders[y], identity(len(y.shape)))
        if y in graph.outputs and value is not y and value in (*graph.inputs, *graph.outputs, *final.values()):
            r.nodes.append(Node("reshape", [value], [y], {"shape": y.shape}, r.source))
            value = y
        final[y] = value
    return final


def unify_names(graph: Graph, names: list[str], made: list[Value]) -> None:
    """Outputs get the names that they had; values that came up on the way get names of their own."""
    for value, own in zip(graph.outputs, names, strict=True):
        value.name = own
    written_before = {v for n in graph.nodes for v in n.outputs}.difference(made)
    taken = {v.name for v in (*graph.inputs, *graph.outputs, *written_before)}
    for value in made:
        if value in graph.outputs:
            continue
        name, i = value.name, 1
        while value.name in taken:
            value.name, i = f"{name}/{i}", i + 1
        taken.add(value.name)


def fold_into_rows(r: Rewriting, graph: Graph) -> None:
    """fully_connected, elementwise ops, reshape, transpose: the rows of the weights are transposed instead."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in [n for n in graph.nodes if n.op == "transpose"]:
        dense = product_before(graph, node, producers, consumers)
        if dense is not None:
            order = np.arange(dense.output.shape[1]).reshape(node.input(0).shape[1:])
            permute_rows(r, dense, order.transpose([a - 1 for a in node.attrs["perm"][1:]]).ravel())
            node.op, node.attrs = "reshape", {"shape": node.output.shape}


def product_before(
    graph: Graph, node: Node, producers: dict[Value, Node], consumers: dict[Value, list[Node]]
) -> Node | None:
    """The matrix product whose result, seen as an image, `node` transposes, where only that reads it."""
    value = node.input(0)
    while node.attrs["perm"][0] == 0 and value not in graph.results and len(consumers[value]) == 1:
        producer = producers.get(value)
        if producer is None:
            return None
        if producer.op == "fully_connected":
            matrix = len(producer.output.shape) == 2 and producer.output.shape[0] == node.output.shape[0]
            return producer if matrix and constant_rows(producer) else None
        if producer.op != "reshape" and producer.op not in UNARY:
            return None
        value = producer.input(0)
    return None


def constant_rows(node: Node) -> bool:
    return all(v is None or (v.data is not None and per_row(v.quant)) for v in node.inputs[1:])


def permute_rows(r: Rewriting, dense: Node, order: np.ndarray) -> None:
    """New values: the old ones may be shared with other layers."""
    for i, value in enumerate(dense.inputs[1:], 1):
        if value is not None and value.data is not None:
            dense.inputs[i] = relaid(r, value, value.data[order], quant=permuted(value.quant, order))


def permuted(quant: Quant | None, order: np.ndarray) -> Quant | None:
    if quant is None or quant.axis is None:
        return quant
    return Quant(quant.scale[order], quant.zero_point[order], quant.axis)
