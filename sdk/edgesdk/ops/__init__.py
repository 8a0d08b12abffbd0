# SPDX-License-Identifier: Apache-2.0
"""The operations. One file per op (or per family that shares all its code).

An op file defines

    NAMES      tuple of op names that it defines (default: its file name)
    STAGE      "source" (importers write it, a pass lowers it), "runtime" (a kernel runs
               it), default "runtime"
    infer(node) -> list[(shape, dtype)]
               the shape rule; raises ValueError with what was expected
    reference(node, arrays) -> list[np.ndarray]
               the numpy reference: floats in float32 (accumulate in float64),
               integers exactly as TFLite Micro computes them.
               `arrays` holds one array per node input, None where absent.

and, for STAGE "runtime",

    types(node) -> str
               the kernel type string, "s8s8", "s8", "f32" ..., as in kernels.inc
    other_types(node) -> list[str]
               further type strings whose kernels, if not portable, compute the node (default: none)
    encode(node, kernel) -> Encoded
               parameters, blobs and row views for the runtime (see program.py)
    kernel_op(node) -> str
               the op's folder in runtime_c/kernels where it is not the op's own name
    fits(node, kernel) -> bool
               whether a kernel of the op and types gives exactly the reference's result for the
               node: packed kernels have bounds on weights and multipliers (default: True)
    in_place(node) -> tuple[int, ...]
               inputs whose memory the output may take over (default: none)
    states(node) -> dict[int, int]
               outputs after the first -> the inputs that they replace: the kernel changes those
               in place (default: none)
    rows_read(node, encoded, i, y) -> range
               rows of the encoded input i that output row y reads (default: all of them);
               a fused stage computes rows one by one where this is less than all
    macs(node) -> int
               multiply-accumulates of the dense operation (default: 0)
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Value
from edgesdk.kernels import Kernel


@dataclass(frozen=True)
class RowView:
    """How a step walks a value: `rows` rows of `row_bytes` bytes each (per batch item), from byte `first`
    of each row on.

    The rows of a whole tensor are contiguous; `rows` is also the ring height then.
    """

    value: Value
    rows: int
    row_bytes: int
    first: int = 0


@dataclass
class Encoded:
    """One step, before placement. `params` are 32-bit words in the order of the C
    struct: ints, floats as `f32_word`, and arrays, which the writer places in the
    weight section and replaces by their file offset (0 for None)."""

    params: list[int | np.ndarray | None]
    output: RowView
    inputs: list[RowView]
    rows: int  # rows that the kernel is called for, [0, rows); an output row takes rows / output.rows of them
    batch: int = 1  # repetitions; every view advances by rows * row_bytes
    keeps_scratch: bool = False  # what one call leaves in scratch is needed by the next


def f32_word(x: float) -> int:
    """The bits of a float32 as an int32 parameter word."""
    return int(np.float32(x).view(np.int32))


@cache
def modules() -> dict[str, ModuleType]:
    """Op name -> the module that defines it."""
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        if hasattr(module, "reference"):
            for name in getattr(module, "NAMES", (info.name,)):
                found[name] = module
    return found


def module(op: str) -> ModuleType:
    if op not in modules():
        raise Unsupported(f"op {op!r} is not known to edgesdk")
    return modules()[op]


def stage(op: str) -> str:
    return str(getattr(module(op), "STAGE", "runtime"))


def kernel_op(node: Node) -> str:
    rule = getattr(module(node.op), "kernel_op", None)
    return str(rule(node)) if rule else node.op


def types(node: Node) -> list[str]:
    """Type strings of kernels that compute the node, that of its own weights first."""
    own, rule = module(node.op), getattr(module(node.op), "other_types", None)
    return [str(own.types(node)), *(rule(node) if rule else [])]


def fits(node: Node, kernel: Kernel) -> bool:
    rule = getattr(module(node.op), "fits", None)
    return bool(rule(node, kernel)) if rule else True


def in_place(node: Node) -> tuple[int, ...]:
    rule = getattr(module(node.op), "in_place", None)
    return tuple(rule(node)) if rule else ()


def states(node: Node) -> dict[int, int]:
    rule = getattr(module(node.op), "states", None)
    return dict(rule(node)) if rule else {}


def rows_read(node: Node, encoded: Encoded, i: int, y: int) -> range:
    rule = getattr(module(node.op), "rows_read", None)
    rows = encoded.inputs[i].rows
    found: range = rule(node, encoded, i, y) if rule else range(rows)
    start = min(max(0, found.start), rows)
    return range(start, max(start, min(rows, found.stop)))  # empty where the window lies in the padding


def same_row(node: Node, encoded: Encoded, i: int, y: int) -> range:
    """`rows_read` of ops that work item by item: row y, or the only row of a broadcast input."""
    rows = encoded.inputs[i].rows
    return range(y, y + 1) if rows == encoded.rows else range(rows)


def macs(node: Node) -> int:
    rule = getattr(module(node.op), "macs", None)
    return int(rule(node)) if rule else 0


def evaluate(
    graph: Graph, inputs: list[np.ndarray], state: dict[Value, np.ndarray] | None = None
) -> dict[Value, np.ndarray]:
    """Runs the numpy reference of every node; returns the array of every value.

    `inputs` has one array per graph input, in the input's own dtype and shape. `state` is what the
    variables hold (Graph.state() at first) and is brought forward by the run; without it they hold
    their initial contents.
    """
    state = graph.state() if state is None else state
    arrays: dict[Value, np.ndarray] = {**dict(zip(graph.inputs, inputs, strict=True)), **state}

    def array(v: Value | None) -> np.ndarray | None:
        if v is None:
            return None
        return v.data if v.data is not None else arrays[v]

    for node in graph.nodes:
        results = module(node.op).reference(node, [array(v) for v in node.inputs])
        for value, result in zip(node.outputs, results, strict=True):
            assert result.shape == value.shape, (node.op, node.source, result.shape, value.shape)
            arrays[value] = result.astype(value.dtype, copy=False)
    state.update({v.value: a for v in graph.variables if (a := array(v.next)) is not None})
    return arrays
