# SPDX-License-Identifier: Apache-2.0
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops.copy import axis, copy_node


def store_outputs(graph: Graph) -> Graph:
    """Outputs that are constants are copied to where outputs lie; those that are inputs or other outputs, too, get a
    name of their own."""
    seen: set[Value] = set(graph.inputs)
    for i, value in enumerate(graph.outputs):
        if value.data is not None or value in seen:
            graph.outputs[i] = _own(graph, value, i)
        seen.add(graph.outputs[i])
    return graph


def _own(graph: Graph, value: Value, index: int) -> Value:
    y = Value(
        f"{value.name}/output{index}" if value.data is None else value.name, value.shape, value.dtype, value.quant
    )
    if value.data is None:
        graph.nodes.append(Node("reshape", [value], [y], {"shape": y.shape}, y.name))
    else:
        constant = Value(f"{value.name}/constant", value.shape, value.dtype, value.quant, value.data)
        source = Node("constant", [constant], [y], {}, y.name)
        graph.nodes.append(copy_node(source, constant, [axis(max(y.elements, 1), 1)]))
    return y
