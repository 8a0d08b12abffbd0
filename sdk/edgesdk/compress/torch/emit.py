# SPDX-License-Identifier: Apache-2.0
"""A prepared model as a graph: the integers that its steps multiply with, and importers for what stayed float.

Everything is written in torch's axis order; passes/move_transposes.py finds the layout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesdk import converters, ops
from edgesdk.compress.torch import grids, layers
from edgesdk.compress.torch.recognise import Op
from edgesdk.compress.torch.trace import LAYERS, SUMS, values_of
from edgesdk.converters.build import NCHW, NHWC, Builder, declare_images
from edgesdk.errors import UsageError
from edgesdk.ir import DTYPES, Graph, Node, Quant, Value


@dataclass(eq=False)
class Emitted:
    """The graph as far as it is written. `known` has what each torch node became: a Value, a list of them, or
    the number that it computes."""

    model: Any
    values: dict[Any, Any]
    b: Builder = field(default_factory=Builder)
    known: dict[Any, Any] = field(default_factory=dict)
    floats: dict[Value, Value] = field(default_factory=dict)  # int8 value -> the same in float


def emit(model: Any) -> Graph:
    """The graph, with float inputs and outputs around the integers. Raises UsageError in training mode."""
    training = next((n or "the model" for n, m in model.named_modules() if m.training), None)
    if training is not None:
        raise UsageError(f"{training} is in training mode; call qat.freeze(model) before it is converted")
    e = Emitted(model, values_of(model.net, examples(model)))
    inputs: list[Value] = []
    outputs: list[Value] = []
    for node in model.net.graph.nodes:
        e.b.source = model.plan[node.name].attrs.get("source", node.name) if node.name in model.plan else node.name
        if node.op == "placeholder":
            inputs.append(placed(e, node))
        elif node.op == "output":
            outputs = results(e, node, inputs)
        elif node.name in model.plan:
            e.known[node] = written(e, node, model.plan[node.name])
        else:
            e.known[node] = plain(e, node)
    graph = declare_images(e.b, inputs, outputs)
    graph.name = model.name
    graph.metadata.update(source_format="torch", quantization="int8")
    return graph


def examples(model: Any) -> tuple[Any, ...]:
    import torch

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return tuple(torch.zeros(shape, dtype=dtype, device=device) for shape, dtype in model.example)


def shape_of(e: Emitted, node: Any) -> tuple[int, ...]:
    return tuple(e.values[node].shape)


def placed(e: Emitted, node: Any) -> Value:
    dtype = str(e.values[node].dtype).removeprefix("torch.")
    e.known[node] = Value(e.b.unique(node.name), shape_of(e, node), dtype)
    return e.known[node]


def results(e: Emitted, node: Any, inputs: list[Value]) -> list[Value]:
    """The outputs, named output, or output_0, output_1, ..."""
    (given,) = node.args
    nodes = [given] if hasattr(given, "all_input_nodes") else list(given)
    found: list[Value] = []
    for i, item in enumerate(nodes):
        value = as_float(e, e.known[item])
        if value in inputs or value in found:  # an output needs storage of its own
            value = e.b.emit("reshape", [value], shape=value.shape)
        value.name = e.b.unique("output" if len(nodes) == 1 else f"output_{i}")
        found.append(value)
    return found


def as_float(e: Emitted, value: Value) -> Value:
    if value.dtype != "int8":
        return value
    if value not in e.floats:
        e.floats[value] = node_of(e, "dequantize", [value], Value("", value.shape, "float32"))
    return e.floats[value]


def node_of(e: Emitted, op: str, inputs: list[Value | None], result: Value, **attrs: Any) -> Value:
    result.name = e.b.unique(f"{e.b.source}/{op}")
    e.b.nodes.append(Node(op, inputs, [result], attrs, e.b.source))
    return result


def moved(e: Emitted, op: str, x: Value, **attrs: Any) -> Value:
    """A node that keeps the grid; none where it would move nothing."""
    if attrs in ({"shape": x.shape}, {"perm": tuple(range(len(x.shape)))}):
        return x
    y = e.b.emit(op, [x], **attrs)
    y.quant = x.quant
    return y


def image(e: Emitted, x: Value) -> Value:
    return moved(e, "transpose", x, perm=NHWC)


def restored(e: Emitted, y: Value) -> Value:
    return moved(e, "transpose", y, perm=NCHW)


def sources(node: Any, op: Op) -> list[Any]:
    args = node.args[0] if op.kind == "concat" else node.args
    return [a for a in args if hasattr(a, "all_input_nodes")]


def written(e: Emitted, node: Any, op: Op) -> Value:
    step = e.model.net.get_submodule(node.target) if node.op == "call_module" else None
    inputs = [e.known[n] for n in sources(node, op) if isinstance(e.known[n], Value)]
    if op.kind in LAYERS:
        return layer(e, step, inputs[0])
    return RULES.get(op.kind, table)(e, node, op, step, inputs)


def result(e: Emitted, step: Any, shape: tuple[int, ...]) -> Value:
    return Value("", shape, "int8", grids.quant_of(step.grid))


def enter(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    (x,) = inputs
    if x.data is None:
        return node_of(e, "quantize", [x], result(e, step, x.shape))
    q = grids.bytes_of(step.grid, e.values[node]).cpu().numpy().astype(np.int8)
    return Value(e.b.unique(f"{x.name}/int8"), x.shape, "int8", grids.quant_of(step.grid), q)


def view(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    (x,) = inputs
    if "perm" in op.attrs:
        return moved(e, "transpose", x, perm=op.attrs["perm"])
    return moved(e, "reshape", x, shape=shape_of(e, node))


def concat(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    if len(inputs) == 1:
        return inputs[0]
    y = Value("", shape_of(e, node), "int8", inputs[0].quant)
    return node_of(e, "concat", list(inputs), y, axis=op.attrs["axis"])


def binary(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    y = result(e, step, shape_of(e, node))
    return node_of(e, op.kind, list(inputs), y, activation=step.spec.activation)


def pool(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    x = image(e, inputs[0])
    attrs = {k: v for k, v in op.attrs.items() if k != "source"}
    n, c, h, w = shape_of(e, node)
    y = Value("", (n, h, w, c), "int8", x.quant)
    attrs["padding"] = attrs["padding"] * 2
    return restored(e, node_of(e, op.kind, [x], y, activation="none", **attrs))


def mean(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    y = result(e, step, shape_of(e, node))
    return node_of(e, "mean", list(inputs), y, axes=step.spec.axes, keep_dims=step.spec.keep_dims)


def table(e: Emitted, node: Any, op: Op, step: Any, inputs: list[Value]) -> Value:
    return node_of(e, step.spec.op, list(inputs), result(e, step, inputs[0].shape), **step.spec.attrs)


RULES = {
    "enter": enter,
    "view": view,
    "concat": concat,
    **dict.fromkeys(SUMS, binary),
    "mean": mean,
    **dict.fromkeys(("avg_pool2d", "max_pool2d"), pool),
}


def layer(e: Emitted, step: Any, x: Value) -> Value:
    spec: layers.Layer = step.spec
    if spec.op == "fully_connected":
        weights, bias = constants(e, step, x, lambda w: w, 0)
        y = result(e, step, (*x.shape[:-1], weights.shape[0]))
        return node_of(e, spec.op, [x, weights, bias], y, activation=spec.activation)
    x = image(e, x)
    if spec.op == "conv2d":
        weights, bias = constants(e, step, x, lambda w: w.transpose(0, 2, 3, 1), 0)
    else:
        weights, bias = constants(e, step, x, lambda w: w[:, 0].transpose(1, 2, 0), 2)
    attrs = window_attrs(spec) if spec.op == "depthwise_conv2d" else {**window_attrs(spec), "groups": spec.groups}
    node = Node(spec.op, [x, weights, bias], [], attrs, e.b.source)
    ((shape, _),) = ops.module(spec.op).infer(node)
    return restored(e, node_of(e, spec.op, node.inputs, result(e, step, shape), **node.attrs))


def window_attrs(spec: layers.Layer) -> dict[str, Any]:
    padding = spec.padding * 2
    return {"stride": spec.stride, "dilation": spec.dilation, "padding": padding, "activation": spec.activation}


def constants(e: Emitted, step: Any, x: Value, order: Any, axis: int) -> tuple[Value, Value]:
    """Weights in the runtime's order and the bias, as the step multiplies with them."""
    found = layers.numbers(step)
    scale = found.scale.detach().cpu().numpy()
    zeros = np.zeros(scale.shape, np.int32)
    data = np.ascontiguousarray(order(found.steps.detach().cpu().numpy()).astype(np.int8))
    weights = Value(
        e.b.unique(f"{e.b.source}/weights"), data.shape, stored_type(step.spec), Quant(scale, zeros, axis), data
    )
    unit = (x.scale * scale.astype(np.float64)).astype(np.float32)
    terms = found.bias.cpu().numpy().astype(np.int32)
    return weights, Value(e.b.unique(f"{e.b.source}/bias"), terms.shape, "int32", Quant(unit, zeros, 0), terms)


def stored_type(spec: layers.Layer) -> str:
    """4-bit weights are bytes where no kernel reads less: the results are the same."""
    grouped = spec.op == "conv2d" and spec.groups > 1
    return "int4" if spec.bits == 4 and "int4" in DTYPES and not grouped else "int8"


def plain(e: Emitted, node: Any) -> Any:
    """What is not planned: parameters and what is made of them alone, arithmetic of shapes, and the float parts."""
    value = e.values[node]
    if not tensors_in(value):
        return value
    args = [n for n in node.all_input_nodes if tensors_in(e.values[n])]
    if all(is_constant(e.known[n]) for n in args) and hasattr(value, "ndim"):
        return e.b.constant(value.detach().cpu().numpy(), node.name)
    if len(args) == 1 and isinstance(e.known[args[0]], list):
        return e.known[args[0]][node.args[1]]  # an item of several results
    return imported(e, node, args)


def tensors_in(value: Any) -> bool:
    return hasattr(value, "ndim") or (isinstance(value, list | tuple) and any(map(tensors_in, value)))


def is_constant(known: Any) -> bool:
    return isinstance(known, Value) and known.data is not None


def imported(e: Emitted, node: Any, args: list[Any]) -> Any:
    """A float node, brought in by the importer of torch programs."""
    import torch

    inputs = [n for n in args if not is_constant(e.known[n])]
    module = alone(e, node, inputs, [n for n in args if n not in inputs])
    part = converters.load(module, None, tuple(torch.zeros_like(e.values[n]) for n in inputs))
    found = inlined(e, part, [as_float(e, e.known[n]) for n in inputs])
    return found if isinstance(e.values[node], list | tuple) else found[0]


def alone(e: Emitted, node: Any, inputs: list[Any], constants: list[Any]) -> Any:
    """A module that computes one node."""
    import torch

    graph = torch.fx.Graph()
    known = {n: graph.placeholder(f"x{i}") for i, n in enumerate(inputs)}
    held: dict[str, Any] = {f"constant{i}": e.values[n].detach() for i, n in enumerate(constants)}
    known.update({n: graph.create_node("get_attr", name) for n, name in zip(constants, held, strict=True)})
    if node.op == "call_module":
        held[node.target] = e.model.net.get_submodule(node.target)
    given = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: known[n] if n in known else e.values[n])
    graph.output(graph.create_node(node.op, node.target, *given))
    return torch.fx.GraphModule(held, graph).eval()


def inlined(e: Emitted, part: Graph, given: list[Value]) -> list[Value]:
    """The nodes of another graph over these values; its results in torch's axis order."""
    for inner, outer in zip(part.inputs, given, strict=True):
        declared = inner.name in part.metadata["input_layouts"]
        part.replace_value(inner, moved(e, "transpose", outer, perm=channels_last(outer)) if declared else outer)
    declared_outputs = [v.name in part.metadata["output_layouts"] for v in part.outputs]
    for node in part.nodes:
        for value in node.outputs:
            value.name = e.b.unique(f"{e.b.source}/{value.name}")
        node.source = e.b.source
    e.b.nodes += part.nodes
    return [
        moved(e, "transpose", v, perm=channels_first(v)) if declared else v
        for v, declared in zip(part.outputs, declared_outputs, strict=True)
    ]


def channels_last(x: Value) -> tuple[int, ...]:
    return (0, *range(2, len(x.shape)), 1)


def channels_first(x: Value) -> tuple[int, ...]:
    last = len(x.shape) - 1
    return (0, last, *range(1, last))
