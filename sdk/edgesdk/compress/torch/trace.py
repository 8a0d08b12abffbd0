# SPDX-License-Identifier: Apache-2.0
"""A torch model becomes a model of integer steps: traced by torch.fx, fused, and put on grids."""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgesdk.compress.schemes import INT8
from edgesdk.compress.torch import grids, layers, steps
from edgesdk.compress.torch.modules import classes
from edgesdk.compress.torch.recognise import FUSED_ACTIVATIONS, SCALE_KEEPING, Call, Op, classify, name_of
from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

LAYERS = ("conv2d", "depthwise_conv2d", "fully_connected")
SUMS = ("add", "sub", "mul")
NORMS = {"conv2d": "BatchNorm2d", "depthwise_conv2d": "BatchNorm2d", "fully_connected": "BatchNorm1d"}


@dataclass(frozen=True)
class LeftFloat:
    """What stays float: the module's path or the node's name, what it calls, and why."""

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}): {self.reason}"


@dataclass(frozen=True)
class Options:
    bits: int
    learned: bool
    live_norm: bool


@dataclass(eq=False)
class Group:
    """Nodes whose values share a grid; those that write it have a slot each."""

    writers: list[Any] = field(default_factory=list)
    fixed: tuple[float, int] | None = None
    grid: Any = None


@dataclass(eq=False)
class Tracing:
    """The model on the way: what each node is, and which nodes another one has taken in."""

    net: Any
    options: Options
    values: dict[Any, Any]
    ops: dict[Any, Op] = field(default_factory=dict)
    left: list[LeftFloat] = field(default_factory=list)
    norms: dict[Any, Any] = field(default_factory=dict)  # layer -> its batch norm module
    activations: dict[Any, str] = field(default_factory=dict)
    groups: dict[Any, Group] = field(default_factory=dict)
    plan: dict[str, Op] = field(default_factory=dict)

    def module(self, node: Any) -> Any:
        return self.net.get_submodule(node.target) if node.op == "call_module" else None

    def tensors(self, node: Any) -> list[Any]:
        """The nodes whose tensors it reads, as often as it reads them."""
        args = node.args[0] if self.ops[node].kind == "concat" else node.args
        return [a for a in args if hasattr(a, "all_input_nodes") and hasattr(self.values.get(a), "ndim")]


def prepare(model: nn.Module, example: tuple[Any, ...], options: Options) -> Any:
    """A copy of `model` made of integer steps; `example` are its inputs."""
    net = traced(copy.deepcopy(model))
    t = Tracing(net, options, values_of(net, example))
    recognise(t)
    fuse(t)
    share_grids(t)
    rewrite(t)
    net.recompile()
    net.delete_all_unused_submodules()
    one = [((1, *x.shape[1:]), x.dtype) for x in example]
    return classes()["Prepared"](type(model).__name__, net, t.plan, tuple(t.left), one)


def traced(model: nn.Module) -> Any:
    import torch

    try:
        net = torch.fx.symbolic_trace(model)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{type(model).__name__}: torch.fx cannot trace it ({text}); expected one path through forward for all "
            "inputs, mark what depends on data with torch.fx.wrap"
        ) from error
    for node in net.graph.nodes:
        node.type = None  # annotations of the user's code, which pickle need not find again
    return net


def values_of(net: Any, example: tuple[Any, ...]) -> dict[Any, Any]:
    """What every node computes for the example, the model in eval mode."""
    import torch

    was_training = net.training
    interpreter = torch.fx.Interpreter(net.eval(), garbage_collect_values=False)
    with torch.no_grad():
        interpreter.run(*example)
    net.train(was_training)
    return {node: interpreter.env[node] for node in net.graph.nodes if node in interpreter.env}


def recognise(t: Tracing) -> None:
    fed: set[Any] = set()  # what hangs on an input; parameters, and what is made of them alone, are constants
    for node in t.net.graph.nodes:
        if node.op == "placeholder" or fed.intersection(node.all_input_nodes):
            fed.add(node)
        if not node.op.startswith("call_") or node not in fed or not holds_tensors(t.values[node]) or is_item(t, node):
            continue  # also the arithmetic of shapes, and one of several results
        found = classify(Call(node, t.module(node), t.values))
        if isinstance(found, Op):
            t.ops[node] = found
        else:
            leave(t, node, found)


def holds_tensors(value: Any) -> bool:
    return hasattr(value, "ndim") or (isinstance(value, list | tuple) and any(map(holds_tensors, value)))


def is_item(t: Tracing, node: Any) -> bool:
    return node.target is operator.getitem and isinstance(t.values[node.args[0]], list | tuple)


def path_of(node: Any) -> str:
    return str(node.target) if node.op == "call_module" else str(node.name)


def fuse(t: Tracing) -> None:
    """A layer takes in the batch norm, a layer or sum the activation, that alone read it."""
    for node in list(t.ops):
        if node not in t.ops:
            continue
        if t.ops[node].kind in LAYERS:
            take_norm(t, node)
        if t.ops[node].kind in (*LAYERS, *SUMS):
            reader = only_reader(node)
            if reader in t.ops and t.ops[reader].kind in FUSED_ACTIVATIONS:
                t.activations[node] = t.ops.pop(reader).kind
                absorb(t, reader, node)


def only_reader(node: Any) -> Any:
    return next(iter(node.users)) if len(node.users) == 1 else None


def take_norm(t: Tracing, node: Any) -> None:
    reader = only_reader(node)
    norm = t.module(reader) if reader is not None else None
    wanted = t.values[node].ndim == (2 if t.ops[node].kind == "fully_connected" else 4)
    if norm is None or not wanted or type(norm).__name__ != NORMS[t.ops[node].kind] or norm.running_var is None:
        return
    t.norms[node] = norm
    t.left = [left for left in t.left if left.name != path_of(reader)]
    absorb(t, reader, node)


def absorb(t: Tracing, reader: Any, node: Any) -> None:
    reader.replace_all_uses_with(node)
    t.net.graph.erase_node(reader)


def share_grids(t: Tracing) -> None:
    """Views, pools and concatenations keep the grid of what they read."""
    for node in [n for n in t.net.graph.nodes if n in t.ops]:
        for x in t.tensors(node):
            if x not in t.ops and x not in t.groups:
                t.groups[x] = Group([x])  # float: an `Enter` writes it
        sources = [t.groups[x] for x in t.tensors(node)]
        if len(set(sources)) > 1 and t.ops[node].kind == "concat" and any(g.fixed for g in sources):
            del t.ops[node]
            leave(t, node, "a sigmoid or tanh among its parts has a scale of its own")
        else:
            join(t, node, sources)


def leave(t: Tracing, node: Any, reason: str) -> None:
    t.left.append(LeftFloat(path_of(node), name_of(node, t.module(node)), reason))


def join(t: Tracing, node: Any, sources: list[Group]) -> None:
    op = t.ops[node]
    if op.kind not in SCALE_KEEPING:
        t.groups[node] = Group([node], INT8.fixed.get(op.kind))
        return
    kept = t.groups[node] = sources[0]
    for other in set(sources) - {kept}:
        kept.writers += other.writers
        t.groups.update({n: kept for n, g in t.groups.items() if g is other})


def grid_of(t: Tracing, node: Any) -> Any:
    group = t.groups[node]
    if group.grid is None:
        group.grid = grids.make(grids.Grid(len(group.writers), t.options.learned, group.fixed))
    return group.grid


def slot_of(t: Tracing, node: Any) -> int:
    return t.groups[node].writers.index(node)


def rewrite(t: Tracing) -> None:
    """Every op that computes becomes a step; float values that ops read are quantised first."""
    from torch.nn import ModuleDict

    t.net.add_module("steps", ModuleDict())
    entered: dict[Any, Any] = {}
    for node in list(t.net.graph.nodes):
        if node not in t.ops:
            continue
        for x in dict.fromkeys(t.tensors(node)):
            if x not in t.ops:
                entered[x] = entered[x] if x in entered else enter(t, x)
                node.replace_input_with(x, entered[x])
        step = made_step(t, node)
        if step is None:
            t.plan[node.name] = t.ops[node]
        else:
            replace(t, node, step)


def enter(t: Tracing, x: Any) -> Any:
    step = steps.make(steps.Enter(slot_of(t, x)), [], grid_of(t, x))
    with t.net.graph.inserting_after(x):
        node = call(t, f"enter_{x.name}", step, (x,))
    t.ops[node], t.groups[node], t.values[node] = Op("enter"), t.groups[x], t.values[x]
    t.plan[node.name] = t.ops[node]
    return node


def call(t: Tracing, name: str, step: nn.Module, args: tuple[Any, ...]) -> Any:
    t.net.steps[name] = step
    return t.net.graph.create_node("call_module", f"steps.{name}", args, {}, name=name)


def replace(t: Tracing, node: Any, step: nn.Module) -> None:
    inputs = tuple(t.tensors(node))
    with t.net.graph.inserting_after(node):
        made = call(t, f"{node.name}_int", step, inputs)
    made.meta = node.meta
    t.ops[made], t.groups[made], t.values[made] = t.ops[node], t.groups[node], t.values[node]
    t.plan[made.name] = Op(t.ops[node].kind, {**t.ops[node].attrs, "source": path_of(node)})
    node.replace_all_uses_with(made)
    t.net.graph.erase_node(node)


def made_step(t: Tracing, node: Any) -> nn.Module | None:
    """The module that computes the node; None for what works on numbers of any grid."""
    op, sources = t.ops[node], [grid_of(t, x) for x in t.tensors(node)]
    if op.kind in LAYERS:
        return made_layer(t, node, sources[0])
    if op.kind in ("view", "concat", "max_pool2d"):
        return None
    if op.kind == "avg_pool2d":
        return steps.make(steps.AvgPool(**op.attrs), sources, grid_of(t, node))
    slot = slot_of(t, node)
    if op.kind in SUMS:
        spec = steps.Binary(op.kind, t.activations.get(node, "none"), slot)
        return steps.make(spec, sources, grid_of(t, node))
    if op.kind == "mean":
        return steps.make(steps.Mean(**op.attrs, slot=slot), sources, grid_of(t, node))
    return steps.make(steps.Table(op.kind, op.attrs, slot), sources, grid_of(t, node))


def made_layer(t: Tracing, node: Any, source: Any) -> nn.Module:
    op, chosen = t.ops[node], t.options
    spec = layers.Layer(
        op.kind,
        chosen.bits,
        t.activations.get(node, "none"),
        slot=slot_of(t, node),
        live_norm=chosen.live_norm,
        **op.attrs,
    )
    return layers.make(spec, t.module(node), t.norms.get(node), source, grid_of(t, node))
