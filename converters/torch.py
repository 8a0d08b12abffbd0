# SPDX-License-Identifier: Apache-2.0
"""PyTorch -> Graph: a torch.export.ExportedProgram, an nn.Module with example inputs, or a .pt2 file.

Only ops without a rule are decomposed, so that a convolution or an activation stays what the model
calls it. Whatever hangs on parameters and buffers alone is computed here, by torch itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from edgesdk.converters import (
    torch_compute,
    torch_data,
    torch_elementwise,
    torch_index,
    torch_ops,
    torch_recurrent,
    torch_shapes,
    torch_windows,
)
from edgesdk.converters.build import Builder, check_shape, declare_images, live_nodes
from edgesdk.converters.torch_refusals import REWRITES, refuse_state, refuse_training, refuse_unknown
from edgesdk.converters.torch_trace import is_tensor, kind_of, node_line, source_of
from edgesdk.errors import EdgeError, Unsupported, UsageError
from edgesdk.ir import DTYPES, Graph, Value

RULES = {
    **torch_ops.RULES,
    **torch_compute.RULES,
    **torch_elementwise.RULES,
    **torch_windows.RULES,
    **torch_recurrent.RULES,
    **torch_shapes.RULES,
    **torch_data.RULES,
    **torch_index.RULES,
}
SHAPE_ONLY = ("full_like", "zeros_like", "ones_like", "new_full", "new_zeros", "new_ones")  # whatever the items are
MAX_CONSTANT = 2**28  # elements of a constant that is computed here

Shapes = Mapping[str, tuple[int, ...]]
Env = dict[Any, Any]  # fx node -> Value, torch constant, or a list of them


def load(path: Path, input_shapes: Shapes) -> Graph:
    """The graph of a .pt2 file."""
    torch = imported(str(path))
    try:
        with quiet():
            program = torch.export.load(path)
    except Exception as error:
        raise UsageError(
            f"{path}: not readable by torch {torch.__version__} ({reason(error)}); expected a file written by "
            "torch.export.save, of the same or an older version"
        ) from error
    return import_program(torch, program, str(path), path.stem, input_shapes)


def from_object(model: Any, example_inputs: Any, input_shapes: Shapes) -> Graph:
    """The graph of an ExportedProgram, or of a module that is exported here on `example_inputs`."""
    torch, name = imported(type(model).__name__), type(model).__name__
    if isinstance(model, torch.export.ExportedProgram):
        return import_program(torch, model, "the exported program", "model", input_shapes)
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"{name}: expected a path, a torch.nn.Module or a torch.export.ExportedProgram")
    if example_inputs is None:
        raise UsageError(f"{name}: a module needs example_inputs, a tuple of tensors that its forward takes; give them")
    return import_program(torch, exported(torch, model, example_inputs), name, name, input_shapes)


def imported(what: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UsageError(f"{what}: reading PyTorch models needs torch; run pip install edgesdk[torch]") from error
    return torch


@contextmanager
def quiet() -> Iterator[None]:
    """Without the traces that torch logs for an error that it also raises."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def exported(torch: Any, module: Any, example_inputs: Any) -> Any:
    """The program of `module`, traced on its example inputs: a tuple, a tensor, or a dict of keywords."""
    training = next((n or type(m).__name__ for n, m in module.named_modules() if m.training), None)
    if training is not None:
        raise UsageError(f"module {training!r} is in training mode; call model.eval() first")
    keywords = dict(example_inputs) if isinstance(example_inputs, Mapping) else {}
    args = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else () if keywords else tuple(example_inputs)
    return traced(torch, module, args, keywords, type(module).__name__)


def traced(torch: Any, module: Any, args: tuple[Any, ...], keywords: dict[str, Any], where: str) -> Any:
    try:
        with torch.no_grad():
            return torch.export.export(module, args, keywords)
    except Exception as error:
        raise Unsupported(
            f"{where}: torch.export cannot trace it ({reason(error)}); expected one path through forward for all "
            "inputs, without shapes or branches that depend on data"
        ) from error


def import_program(torch: Any, program: Any, where: str, name: str, shapes: Shapes) -> Graph:
    program = fixed_shapes(torch, program, where, shapes)
    refuse_training(where, program)
    program = decomposed(torch, program, where)
    refuse_state(where, program)
    constants = constant_nodes(torch, program)
    refuse_unknown(where, program, constants, RULES)
    b, env = Builder(), Env()
    inputs = bind_placeholders(torch, program, where, b, env)
    try:
        with torch.no_grad():
            import_nodes(torch, program, where, constants, b, env)
    except EdgeError as error:  # names from the file may hold anything
        raise type(error)("".join(c if c.isprintable() else "?" for c in str(error))) from error
    graph = declare_images(b, inputs, graph_outputs(program, where, b, env, inputs))
    graph.name, graph.nodes = name, live_nodes(graph.nodes, graph.outputs)
    graph.metadata["source_format"] = "torch"
    return graph


def user_inputs(program: Any) -> list[Any]:
    """The placeholders that the caller fills with tensors."""
    names = [s.arg.name for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
    by_name = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    return [by_name[name] for name in names if name in by_name and is_tensor(by_name[name])]


def fixed_shapes(torch: Any, program: Any, where: str, wanted: Shapes) -> Any:
    """The program with the shapes that the user asked for; traced again where it left some free."""
    declared = {n.name: list(n.meta["val"].shape) for n in user_inputs(program)}
    unknown = sorted(set(wanted) - set(declared))
    if unknown:
        raise UsageError(f"{where}: no input is named {unknown[0]!r}; expected one of {', '.join(map(repr, declared))}")
    for name, dims in declared.items():
        check_wanted(where, name, dims, wanted.get(name))
    if all(isinstance(d, int) for dims in declared.values() for d in dims):
        return program
    inputs = [
        torch.zeros(tuple(wanted.get(n.name, n.meta["val"].shape)), dtype=n.meta["val"].dtype)
        for n in user_inputs(program)
    ]
    args, keywords = torch.utils._pytree.tree_unflatten(inputs, program.call_spec.in_spec)
    return traced(torch, program.module(), args, keywords, where)


def check_wanted(where: str, name: str, dims: list[Any], wanted: tuple[int, ...] | None) -> None:
    free = [not isinstance(d, int) for d in dims]
    shown = [str(d) for d in dims]
    if wanted is None and any(free):
        example = ",".join("N" if f else d for f, d in zip(free, shown, strict=True))
        raise UsageError(
            f"{where}: input {name!r} has dynamic dimensions [{', '.join(shown)}]; expected fixed ones, give "
            f"--input {name}:{example} with numbers for N, or export without dynamic_shapes"
        )
    if wanted is not None and (
        len(wanted) != len(dims) or any(not f and d != w for f, d, w in zip(free, dims, wanted, strict=True))
    ):
        raise UsageError(f"{where}: input {name!r} is [{', '.join(shown)}], not {list(wanted)}; expected a match")


def decomposed(torch: Any, program: Any, where: str) -> Any:
    """Without in-place ops, and core ATen wherever there is no rule, and no advice, for what stood there."""
    defaults = getattr(torch.export, "default_decompositions", None)
    try:
        if defaults is None:  # torch before 2.6
            return program.run_decompositions()
        table = defaults()
        for target in [t for t in table if kind_of(t) in RULES or kind_of(t) in REWRITES]:
            del table[target]
        return program.run_decompositions(table)
    except Exception as error:
        raise Unsupported(f"{where}: torch cannot decompose it ({reason(error)}); export it again") from error


def constant_nodes(torch: Any, program: Any) -> set[Any]:
    """Nodes that no input of the user reaches with more than its shape, but for random ones."""
    inputs = set(user_inputs(program))
    constants: set[Any] = set()
    for node in program.graph.nodes:
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        known = kind_of(node.target) in SHAPE_ONLY or constants.issuperset(node.all_input_nodes)
        if node not in inputs and not random and known:
            constants.add(node)
    return constants


def bind_placeholders(torch: Any, program: Any, where: str, b: Builder, env: Env) -> list[Value]:
    """Parameters, buffers and constants as tensors; the user's inputs as values."""
    specs = {s.arg.name: s for s in program.graph_signature.input_specs}
    users = user_inputs(program)
    inputs = []
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        if node in users:
            env[node] = input_value(where, node, b)
            inputs.append(env[node])
        else:
            env[node] = stored_tensor(torch, program, where, specs[node.name])
    if not inputs:
        raise UsageError(f"{where}: the model has no tensor inputs; expected at least one")
    return inputs


def input_value(where: str, node: Any, b: Builder) -> Value:
    value = node.meta["val"]
    dtype = dtype_of(value)
    if dtype not in DTYPES:
        raise Unsupported(f"{where}: input {node.name!r} is {dtype}; expected one of {', '.join(DTYPES)}")
    try:
        return Value(b.unique(node.name), check_shape(value.shape), dtype)
    except ValueError as error:
        raise UsageError(f"{where}: input {node.name!r}: {error}") from error


def dtype_of(meta: Any) -> str:
    """How the graph holds a tensor: all floats are float32."""
    return "float32" if meta.dtype.is_floating_point else str(meta.dtype).removeprefix("torch.")


def stored_tensor(torch: Any, program: Any, where: str, spec: Any) -> Any:
    if spec.target is None:
        return getattr(spec.arg, "value", None)  # a number or None that was traced in
    tensor = program.state_dict.get(spec.target, program.constants.get(spec.target))
    if not isinstance(tensor, torch.Tensor):
        raise Unsupported(f"{where}: {spec.target!r} is a {type(tensor).__name__}; expected tensors only")
    tensor = tensor.detach().cpu()
    # A buffer may hold -inf on purpose, as a mask does.
    bad = tensor.isnan().any() if spec.kind.name != "PARAMETER" else (~tensor.isfinite()).any()
    if tensor.is_floating_point() and bool(bad):
        raise UsageError(f"{where}: {spec.target!r} holds NaN or infinity; expected finite weights, train again")
    return tensor


def import_nodes(torch: Any, program: Any, where: str, constants: set[Any], b: Builder, env: Env) -> None:
    """Runs the rules. Refusals are collected, so that one report lists all."""
    refused: list[str] = []
    lost: set[Any] = set()
    needed = needed_nodes(program)
    for node in program.graph.nodes:
        if node.op != "call_function" or node not in needed:
            continue
        if lost.intersection(node.all_input_nodes):
            lost.add(node)
            continue
        try:
            b.source = source_of(node)
            step = partial(folded, torch, node, env) if node in constants else partial(import_node, torch, node, b, env)
            env[node] = guarded(where, node, step)
        except Unsupported as error:
            refused.append(f"{node_line(node)}: {error}")
            lost.add(node)
    if refused:
        raise Unsupported(f"{where}: unsupported: {'; '.join(refused)}")


def needed_nodes(program: Any) -> set[Any]:
    """The nodes that some output hangs on."""
    needed: set[Any] = set()
    for node in reversed(list(program.graph.nodes)):
        if node.op == "output" or node in needed:
            needed.update(node.all_input_nodes)
    return needed


def guarded(where: str, node: Any, step: Callable[[], Any]) -> Any:
    """Whatever a malformed program makes torch, numpy or a rule raise becomes one sentence."""
    try:
        return step()
    except UsageError as error:
        raise (error if str(error).startswith(where) else UsageError(f"{where}: {node_line(node)}: {error}")) from error
    except EdgeError:
        raise
    except Exception as error:
        raise UsageError(
            f"{where}: {node_line(node)} cannot be read ({reason(error)}); expected what torch.export writes"
        ) from error


def folded(torch: Any, node: Any, env: Env) -> Any:
    """What torch computes for a node over constants."""
    meta = node.meta.get("val")
    if isinstance(meta, torch.Tensor) and meta.numel() > MAX_CONSTANT:
        raise Unsupported(f"a constant of shape {list(meta.shape)} is too large")

    def operand(n: Any) -> Any:
        return torch.empty((), dtype=n.meta["val"].dtype).expand(env[n].shape) if isinstance(env[n], Value) else env[n]

    args, keywords = torch.fx.node.map_arg((node.args, dict(node.kwargs)), operand)
    return node.target(*args, **{k: v for k, v in keywords.items() if k != "device"})


def import_node(torch: Any, node: Any, b: Builder, env: Env) -> Any:
    def operand(x: Any) -> Any:
        if isinstance(x, torch.fx.Node):
            x = env[x]
        if isinstance(x, torch.Tensor):
            x = x.detach()
            return (x.float() if x.is_floating_point() else x).cpu().numpy()
        return [operand(item) for item in x] if isinstance(x, list | tuple) else x

    kind = kind_of(node.target)
    if kind == "getitem":
        return operand(node.args[0])[node.args[1]]
    args = {name: operand(x) for name, x in bound(node).items()}
    several = isinstance(node.meta["val"], list | tuple)
    metas = list(node.meta["val"]) if several else [node.meta["val"]]
    result = RULES[kind](b, torch_ops.Call(kind, node.name, args, tuple(metas[0].shape), dtype_of(metas[0])))
    results = result if isinstance(result, list) else [result]  # of several, what a model reads comes first
    check_results(results, metas)
    return results if several else results[0]


def bound(node: Any) -> dict[str, Any]:
    """The arguments by their names in the op's schema, defaults included."""
    found = {}
    for i, argument in enumerate(node.target._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        found[argument.name] = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name, default)
    return found


def check_results(results: Sequence[Value], metas: Sequence[Any]) -> None:
    for value, meta in zip(results, metas, strict=False):
        if value.shape != tuple(meta.shape):
            raise ValueError(f"a result of shape {list(value.shape)} where torch has {list(meta.shape)}")
        if value.dtype != dtype_of(meta):
            raise Unsupported(f"a result of {value.dtype} where torch has {dtype_of(meta)}; cast its inputs before")


def graph_outputs(program: Any, where: str, b: Builder, env: Env, inputs: Sequence[Value]) -> list[Value]:
    """The user's outputs, named output, or output_0, output_1, ..."""
    by_name = {n.name: n for n in program.graph.nodes}
    specs = [s for s in program.graph_signature.output_specs if s.kind.name == "USER_OUTPUT"]
    nodes = [by_name[s.arg.name] for s in specs if getattr(s.arg, "name", None) in by_name]
    outputs: list[Value] = []
    for i, node in enumerate(nodes):
        value, name = env[node], "output" if len(nodes) == 1 else f"output_{i}"
        if not isinstance(value, Value):
            raise UsageError(f"{where}: {name} is constant; expected a result of the inputs")
        if value in inputs or value in outputs:  # an output needs storage of its own
            b.source = name
            value = b.emit("reshape", [value], name, shape=value.shape)
        b.rename(value, name)
        outputs.append(value)
    if not outputs:
        raise UsageError(f"{where}: the model returns no tensors; expected at least one")
    return outputs
