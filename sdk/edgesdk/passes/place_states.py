# SPDX-License-Identifier: Apache-2.0
"""States get memory that may be overwritten, and nodes an order in which nothing is overwritten too early."""

from __future__ import annotations

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value, Variable

Edges = dict[Node, set[Node]]  # node -> those that must come after it


def place_states(graph: Graph) -> Graph:
    """A state that a kernel changes is nobody else's; the new content of a variable is written over the old one,
    by the node that computes it where it can, else by an `assign`."""
    _own_states(graph)
    _keep_old_outputs(graph)
    for variable in graph.variables:
        _separate(graph, variable)
    after = _data_edges(graph)
    for variable in graph.variables:
        _write_back(graph, variable, after)
    if graph.variables:
        graph.nodes = _sorted(graph.nodes, after)
    return graph


def _roots(graph: Graph) -> dict[Value, Value]:
    """Views and changed states -> the value whose memory they are."""
    roots: dict[Value, Value] = {}
    for node in graph.nodes:
        pairs = {0: 0} if node.op == "reshape" else ops.states(node)
        roots |= {node.outputs[o]: roots.get(node.input(i), node.input(i)) for o, i in pairs.items()}
    return roots


def _own_states(graph: Graph) -> None:
    """A copy in front of each kernel that would change a constant, an output, or what others read too."""
    nodes: list[Node] = []
    for node in graph.nodes:
        for o, i in ops.states(node).items():
            if not _is_own(graph, node, o, i):
                nodes.append(_assign(graph, node.input(i), node.source))
                node.inputs[i] = nodes[-1].output
        nodes.append(node)
    graph.nodes = nodes


def _is_own(graph: Graph, node: Node, o: int, i: int) -> bool:
    state, roots = node.input(i), _roots(graph)
    root = roots.get(state, state)
    chain = {state, root}
    variable = next((v for v in graph.variables if v.value is root), None)
    if variable is not None and _viewed(graph, variable.next) is not node.outputs[o]:
        return False
    if root.data is not None or chain & set(graph.results) or node.inputs.count(state) > 1:
        return False
    readers = [n for n in graph.nodes if n is not node and chain & set(n.inputs)]
    return all(n.op == "reshape" and n.output is state for n in readers)


def _viewed(graph: Graph, value: Value) -> Value:
    """What the value is a view of."""
    producers = graph.producers()
    while value in producers and producers[value].op == "reshape":
        value = producers[value].input(0)
    return value


def _keep_old_outputs(graph: Graph) -> None:
    """Outputs that show the old content of a variable are copies of it."""
    old = {v.value for v in graph.variables if v.next is not v.value}
    for node in graph.nodes:
        if node.op == "reshape" and node.input(0) in old:
            old.add(node.output)
    for i, value in enumerate(graph.outputs):
        if value in old:
            graph.nodes.append(_assign(graph, value, value.name))
            graph.outputs[i] = graph.nodes[-1].output
            graph.outputs[i].name = value.name


def _assign(graph: Graph, x: Value, source: str) -> Node:
    return Node("assign", [x], [Value(f"{x.name}/own", x.shape, x.dtype, x.quant)], {}, source)


def _separate(graph: Graph, variable: Variable) -> None:
    """A new content that is an input, a constant, a view or another variable's is copied to a value of its own."""
    following, roots = variable.next, _roots(graph)
    producers = graph.producers()
    root = roots.get(following, following)
    if following is variable.value or (root is variable.value and _viewed(graph, following) is not root):
        return  # unchanged, or changed by its only reader
    taken = following in graph.outputs or [v.next for v in graph.variables].count(following) > 1
    if taken or following not in producers or root is not following:
        graph.nodes.append(_assign(graph, following, variable.value.name))
        variable.next = graph.nodes[-1].output


def _data_edges(graph: Graph) -> Edges:
    producers = graph.producers()
    after: Edges = {n: set() for n in graph.nodes}
    for node in graph.nodes:
        for value in node.inputs:
            if value in producers:
                after[producers[value]].add(node)
    return after


def _write_back(graph: Graph, variable: Variable, after: Edges) -> None:
    """The writer comes after every reader of the old content. Where a reader needs the new one, a copy made behind
    all of them is the writer."""
    roots, producers = _roots(graph), graph.producers()
    if _content(roots, variable.next, variable):
        return
    writer = producers[variable.next]
    readers = {
        n
        for n in graph.nodes
        if n is not writer and any(v is not None and _content(roots, v, variable) for v in n.inputs)
    }
    if not _may_overwrite(writer, roots, variable) or _reached(writer, after) & readers:
        writer = _assign(graph, variable.next, variable.value.name)
        graph.nodes.append(writer)
        after[producers[variable.next]].add(writer)
        after[writer] = set()
        variable.next = writer.output
    for reader in readers - {writer}:
        after[reader].add(writer)


def _content(roots: dict[Value, Value], value: Value, variable: Variable) -> bool:
    return roots.get(value, value) is variable.value


def _may_overwrite(writer: Node, roots: dict[Value, Value], variable: Variable) -> bool:
    """It does not read the old content, or item by item just before it writes."""
    read = {i for i, v in enumerate(writer.inputs) if v is not None and _content(roots, v, variable)}
    return len(read) <= 1 and read <= set(ops.in_place(writer))


def _reached(start: Node, after: Edges) -> set[Node]:
    found: set[Node] = set()
    waiting = [start]
    while waiting:
        for node in after[waiting.pop()] - found:
            found.add(node)
            waiting.append(node)
    return found


def _sorted(nodes: list[Node], after: Edges) -> list[Node]:
    """The given order as far as the edges allow."""
    waits = {n: 0 for n in nodes}
    for followers in after.values():
        for node in followers:
            waits[node] += 1
    ordered: list[Node] = []
    left = list(nodes)
    while left:
        node = next(n for n in left if not waits[n])
        left.remove(node)
        ordered.append(node)
        for follower in after[node]:
            waits[follower] -= 1
    return ordered
