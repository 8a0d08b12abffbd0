# SPDX-License-Identifier: Apache-2.0
"""ONNX -> Graph: float convolutional networks, opset 6 and later.

The graph is NHWC. `metadata["input_layouts"]` and `["output_layouts"]` name the inputs and
outputs that are NCHW in the source, for whoever feeds arrays in the source's layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.converters import (
    layers,
    onnx_compute,
    onnx_data,
    onnx_elementwise,
    onnx_old,
    onnx_ops,
    onnx_quantized,
    onnx_recurrent,
    onnx_resize,
    onnx_shapes,
    onnx_windows,
)
from edgesdk.converters.build import Builder, check_shape, declare_images, live_nodes
from edgesdk.converters.onnx_constants import FOLDS, sliced_shape
from edgesdk.converters.onnx_node import DTYPES, Op, Operand
from edgesdk.errors import EdgeError, Unsupported, UsageError
from edgesdk.ir import Graph, Quant, Value

RULES = {
    **onnx_ops.RULES,
    **onnx_elementwise.RULES,
    **onnx_compute.RULES,
    **onnx_shapes.RULES,
    **onnx_resize.RULES,
    **onnx_data.RULES,
    **onnx_recurrent.RULES,
    **onnx_quantized.RULES,
    **onnx_windows.RULES,
    "Upsample": onnx_resize.resize,
}
CONTROL_FLOW = ("Loop", "Scan", "SequenceMap")
OLDEST_OPSET = 6
MAX_NESTING = 4  # of functions that are defined by functions

INPUTS = {**DTYPES, 3: "int8"}
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MOVES = ("reshape", "transpose", "slice", "max_pool2d", "space_to_depth", "depth_to_space", "take_pixels")

Env = dict[str, Operand]


def load(path: Path, input_shapes: dict[str, tuple[int, ...]]) -> Graph:
    """The graph of an ONNX file. `input_shapes` are in the source's layout."""
    try:
        import onnx
        import onnx.inliner
    except ImportError as error:
        raise UsageError(f"{path}: reading ONNX needs the onnx package; run pip install edgesdk[onnx]") from error
    try:
        graph: Graph = guarded(path, "the file", partial(import_model, onnx, path, input_shapes))
        return graph
    except EdgeError as error:  # names from the file may hold anything
        raise type(error)("".join(c if c.isprintable() else "?" for c in str(error))) from error


def import_model(onnx: Any, path: Path, input_shapes: dict[str, tuple[int, ...]]) -> Graph:
    model = guarded(path, "the file", lambda: parse(onnx, path))
    opset = opset_of(onnx, path, model)
    model = expanded(onnx, model)
    refuse_unknown(path, model)
    env: Env = {}
    for tensor in model.graph.initializer:
        env[tensor.name] = guarded(path, f"constant {tensor.name!r}", partial(to_array, onnx, path, tensor))
    b = Builder()
    inputs = graph_inputs(path, model, env, b, input_shapes)
    import_nodes(path, read_nodes(onnx, path, model.graph, opset), env, b)
    graph = declare_images(b, inputs, graph_outputs(path, model, env, b, inputs))
    graph.name, graph.nodes = model.graph.name or path.stem, live_nodes(graph.nodes, graph.outputs)
    layers.restore_masks(b, graph)
    graph.metadata["source_format"] = "onnx"
    return graph


def guarded(path: Path, what: str, step: Callable[[], Any]) -> Any:
    """Runs `step`, whose input is untrusted: whatever a malformed file makes the parser, numpy
    or a rule raise becomes one sentence."""
    try:
        with np.errstate(all="ignore"):
            return step()
    except UsageError as error:
        raise (error if str(error).startswith(str(path)) else UsageError(f"{path}: {what}: {error}")) from error
    except EdgeError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(
            f"{path}: {what} is not valid ONNX ({reason}); expected a model that onnx.checker accepts, export it again"
        ) from error


def parse(onnx: Any, path: Path) -> Any:
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    if not model.graph.node and not model.graph.output:
        raise ValueError("it holds no graph")
    return model


def expanded(onnx: Any, model: Any) -> Any:
    """The model with its own functions, and those operators that have no rule but that ONNX defines by simpler ones,
    written out."""
    for _ in range(MAX_NESTING):
        before, model = model, inlined(onnx, model)
        if model is before:
            break
    return model


def inlined(onnx: Any, model: Any) -> Any:
    kinds = {(n.domain, n.op_type) for n in model.graph.node}
    own = {(f.domain, f.name) for f in model.functions}
    wanted = sorted(kinds & own) + sorted(k for k in kinds - own if k[1] not in RULES and k[1] not in FOLDS)
    if not wanted:
        return model
    try:
        inferred = onnx.shape_inference.infer_shapes(with_defaults(onnx, model, set(wanted)), data_prop=True)
        inferred.graph.value_info.add().name = ""  # the inliner asks for the type of an absent input too
        result = onnx.inliner.inline_selected_functions(inferred, wanted, inline_schema_functions=True)
        return model if [n.op_type for n in result.graph.node] == [n.op_type for n in model.graph.node] else result
    except Exception:  # a malformed model: what cannot be expanded is listed by name
        return model


def with_defaults(onnx: Any, model: Any, kinds: set[tuple[str, str]]) -> Any:
    """The model whose nodes of these kinds state the attributes that they leave to their operator's definition: the
    inliner hands on only what is stated."""
    stated = onnx.ModelProto()
    stated.CopyFrom(model)
    versions = {i.domain: i.version for i in model.opset_import}
    for node in stated.graph.node:
        if (node.domain, node.op_type) in kinds and onnx.defs.has(node.op_type, node.domain):
            schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
            given = {a.name for a in node.attribute}
            defaults = ((name, a.default_value) for name, a in schema.attributes.items())
            node.attribute.extend(value for name, value in defaults if name not in given and value.type)
    return stated


def to_array(onnx: Any, path: Path, tensor: Any) -> np.ndarray:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
    array: np.ndarray = onnx.numpy_helper.to_array(tensor)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def opset_of(onnx: Any, path: Path, model: Any) -> int:
    """Operators of older opsets are taken where they still mean the same."""
    version = max((int(i.version) for i in model.opset_import if i.domain in ("", "ai.onnx")), default=1)
    nodes = {n.op_type for n in model.graph.node if n.domain in ("", "ai.onnx")}
    changed = sorted(kind for kind in nodes if version < OLDEST_OPSET and meant_otherwise(onnx, kind, version))
    if changed:
        raise Unsupported(
            f"{path}: {', '.join(changed)} of opset {version}; expected {OLDEST_OPSET} or later, export the model again"
        )
    return version


def meant_otherwise(onnx: Any, kind: str, version: int) -> bool:
    if not onnx.defs.has(kind):
        return False  # listed as unknown
    try:
        then = onnx.defs.get_schema(kind, version, "").since_version
        return bool(then != onnx.defs.get_schema(kind, OLDEST_OPSET, "").since_version)
    except onnx.defs.SchemaError:
        return True


# What to write instead, where something close is supported.
REWRITES = {
    "ConvInteger": "a QDQ model: QuantizeLinear and DequantizeLinear around Conv",
    "MatMulInteger": "a QDQ model: QuantizeLinear and DequantizeLinear around MatMul",
    "DynamicQuantizeLinear": "QuantizeLinear with constant scales",
    "Det": "the products and sums of the minors",
    "DFT": "MatMul with the constant matrices of cosines and sines",
    "STFT": "Conv with the windowed cosines and sines as weights",
    "GridSample": "Resize to a fixed size",
    "RoiAlign": "Resize of a fixed crop",
    "MaxRoiPool": "MaxPool of a fixed crop",
    "MaxUnpool": "Resize, or ConvTranspose",
    "DeformConv": "Conv",
    "Multinomial": "ArgMax",
    "RandomNormalLike": "an input of the model",
    "RandomUniformLike": "an input of the model",
    "Bernoulli": "a constant mask",
    "control flow Loop": "a fixed number of repetitions, unrolled by the exporter",
    "control flow Scan": "a fixed number of repetitions, unrolled by the exporter",
}


def refuse_unknown(path: Path, model: Any) -> None:
    """Lists every op that has no rule, with the names of its nodes."""
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            kind = f"{node.domain}.{node.op_type}"
        elif node.op_type in RULES or node.op_type in FOLDS or node.op_type == "If":
            continue
        else:
            kind = f"control flow {node.op_type}" if node.op_type in CONTROL_FLOW else node.op_type
        kind += f" (write {REWRITES[kind]} instead)" if kind in REWRITES else ""
        found.setdefault(kind, []).append(node.name or "".join(node.output[:1]))
    if found:
        listed = ", ".join(f"{kind} ({', '.join(map(repr, names[:8]))})" for kind, names in sorted(found.items()))
        raise Unsupported(
            f"{path}: unsupported ops: {listed}; expected ops of the list in ARCHITECTURE.md, "
            f"export the model without these"
        )


def read_nodes(onnx: Any, path: Path, graph: Any, opset: int) -> list[Op]:
    """The nodes with their attributes as Python objects."""

    def attribute(a: Any) -> Any:
        value = onnx.helper.get_attribute_value(a)
        if isinstance(value, onnx.TensorProto):
            return to_array(onnx, path, value)
        if isinstance(value, onnx.GraphProto):
            return Branch(
                {t.name: to_array(onnx, path, t) for t in value.initializer},
                read_nodes(onnx, path, value, opset),
                [o.name for o in value.output],
            )
        return value.decode() if isinstance(value, bytes) else value

    def attributes(node: Any) -> dict[str, Any]:
        return {a.name: attribute(a) for a in node.attribute}

    ops = []
    for i, n in enumerate(graph.node):
        name = n.name or "".join(n.output[:1]) or f"#{i}"
        attrs = guarded(path, f"node {name!r}", partial(attributes, n))
        ops.append(Op(n.op_type, name, tuple(n.input), tuple(n.output), attrs, opset))
    return ops


def graph_inputs(path: Path, model: Any, env: Env, b: Builder, wanted: dict[str, tuple[int, ...]]) -> list[Value]:
    """Declares the inputs, in the source's order."""
    declared = [i for i in model.graph.input if i.name not in env]
    unknown = sorted(set(wanted) - {i.name for i in declared})
    if unknown:
        names = ", ".join(repr(i.name) for i in declared)
        raise UsageError(f"{path}: no input is named {unknown[0]!r}; expected one of {names}")
    values = []
    for info in declared:
        shape = input_shape(path, info, wanted.get(info.name))
        values.append(Value(b.unique(info.name), shape, INPUTS[info.type.tensor_type.elem_type]))
        if values[-1].dtype == "int8":  # stored integers, until a node tells their grid
            values[-1].quant = Quant.per_tensor(1.0, 0)
            b.plain.add(values[-1])
        env[info.name] = values[-1]
    if not values:
        raise UsageError(f"{path}: the model has no inputs; expected at least one")
    return values


def input_shape(path: Path, info: Any, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    tensor = info.type.tensor_type
    if tensor.elem_type not in INPUTS:
        raise Unsupported(
            f"{path}: input {info.name!r} has element type {tensor.elem_type}; expected float32 or a plain integer"
        )
    dims = [int(d.dim_value) if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
    if wanted is not None:
        if len(dims) != len(wanted) or any(d not in (-1, w) for d, w in zip(dims, wanted, strict=True)):
            raise UsageError(f"{path}: input {info.name!r} is {dims}, not {list(wanted)}; expected a matching shape")
        dims = list(wanted)
    if dims[:1] == [-1]:
        dims[0] = 1  # a free batch axis: one inference at a time
    if -1 in dims or not tensor.HasField("shape"):
        example = ",".join("N" if d == -1 else str(d) for d in dims)
        raise UsageError(
            f"{path}: input {info.name!r} has free dimensions {dims}; expected fixed ones, "
            f"give --input {info.name}:{example} with numbers for N"
        )
    shape: tuple[int, ...] = guarded(path, f"input {info.name!r}", lambda: check_shape(dims))
    return shape


@dataclass(frozen=True)
class Branch:
    """A graph that is an attribute of a node; it sees the names around it."""

    constants: dict[str, np.ndarray]
    nodes: list[Op]
    outputs: list[str]


def taken(path: Path, op: Op, env: Env, b: Builder) -> None:
    """An If whose condition is known is the nodes of the branch that it takes."""
    condition = env[op.inputs[0]]
    if not isinstance(condition, np.ndarray) or condition.size != 1:
        raise Unsupported("its condition must be a constant; expected the one branch that is taken")
    branch = op.attrs["then_branch" if condition.any() else "else_branch"]
    inner: Env = {**env, **branch.constants}
    import_nodes(path, branch.nodes, inner, b)
    env.update({name: inner[result] for name, result in zip(op.outputs, branch.outputs, strict=True) if name})


def import_nodes(path: Path, ops: list[Op], env: Env, b: Builder) -> None:
    """Runs the rules in file order. Refusals are collected, so that one report lists all."""
    refused: list[str] = []
    lost: set[str] = set()
    for op in ops:
        if lost.intersection(op.inputs):
            lost.update(op.outputs)
            continue
        missing = next((name for name in op.inputs if name and name not in env), None)
        if missing is not None:
            raise UsageError(
                f"{path}: node {op.name!r} ({op.kind}) reads {missing!r}, which no earlier node writes; "
                f"expected nodes in execution order without cycles, export it again"
            )
        try:
            step = partial(taken, path, op, env, b) if op.kind == "If" else partial(import_quantized, op, env, b)
            guarded(path, f"node {op.name!r} ({op.kind})", step)
        except Unsupported as error:
            refused.append(f"{op.kind} {op.name!r} ({error})")
            lost.update(op.outputs)
    if refused:
        raise Unsupported(f"{path}: unsupported: {'; '.join(refused)}")


def import_quantized(op: Op, env: Env, b: Builder) -> None:
    """What moves int8 items keeps their grid; weights of a layer tell theirs."""
    first = len(b.nodes)
    import_node(op, env, b)
    if op.kind in WEIGHTED and len(op.inputs) > 1:
        onnx_quantized.mark_grids(b, first, env[op.inputs[1]])
    for node in b.nodes[first:]:
        if node.output.dtype == "int8" and node.output.quant is None:
            if node.op not in MOVES:
                raise Unsupported("arithmetic of int8 numbers; expected floats between DequantizeLinear and Quantize")
            node.output.quant = node.input(0).quant
            b.plain.difference_update(v for v in node.inputs if v is not None)
        if node.op in ("add", "sub", "mul") and node.output.dtype == "int16" and node.output.quant is None:
            raise Unsupported("arithmetic of int16 numbers that are not quantised; expected int32, cast them before")


def import_node(op: Op, env: Env, b: Builder) -> None:
    op, operands = onnx_old.modern(op, [env[name] if name else None for name in op.inputs])
    if op.kind == "Shape" and isinstance(operands[0], Value):
        results: list[Operand] = [sliced_shape(op, operands[0].shape)]
    elif op.kind == "Size" and isinstance(operands[0], Value):
        results = [np.array(operands[0].elements, np.int64)]
    elif op.kind in FOLDS and not any(isinstance(x, Value) for x in operands):
        results = [FOLDS[op.kind](op, operands)]
    elif op.kind in RULES:
        b.source = op.name
        known = (
            bool(operands)
            and op.kind not in onnx_quantized.FOLD_THEMSELVES
            and not any(isinstance(x, Value) for x in operands)
            and operands[0] is not None
        )
        results = onnx_data.folded(RULES[op.kind], op, operands) if known else RULES[op.kind](b, op, operands)
    else:
        raise Unsupported(
            "its shape depends on data; only its constant form is known"
            if op.kind in FOLDS
            else "an operator without a rule"
        )
    env.update({name: result for name, result in zip(op.outputs, results, strict=False) if name})


def graph_outputs(path: Path, model: Any, env: Env, b: Builder, inputs: list[Value]) -> list[Value]:
    """The output values, renamed to the model's output names."""
    outputs: list[Value] = []
    for info in model.graph.output:
        value = env.get(info.name)
        if value is None:
            raise UsageError(f"{path}: output {info.name!r} is written by no node; expected a result of one")
        if isinstance(value, np.ndarray):
            value = constant_output(path, b, info.name, value)
        elif value in inputs or value in outputs:  # an output needs storage of its own
            b.source = info.name
            quant = value.quant
            value = b.emit("reshape", [value], info.name, shape=value.shape)
            value.quant = quant
        b.rename(value, info.name)
        outputs.append(value)
    if not outputs:
        raise UsageError(f"{path}: the model has no outputs; expected at least one")
    return outputs


def constant_output(path: Path, b: Builder, name: str, array: np.ndarray) -> Value:
    try:
        return b.constant(array, name, finite=False)
    except Unsupported as error:
        raise Unsupported(f"{path}: output {name!r} is {error}") from error
