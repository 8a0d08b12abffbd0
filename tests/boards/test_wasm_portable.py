# SPDX-License-Identifier: Apache-2.0
"""Portable kernels compiled to WebAssembly give what the reference gives, for random shapes and quantisations, and
write nowhere else."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import harness
import numpy as np
import pytest
import test_binary
import test_conv
import test_kernels
import test_pool
import test_quantize
import test_reduce
import test_softmax
from hypothesis.strategies import SearchStrategy, one_of

from edgesdk import kernels, memory, ops, program, schedule, toolchain, wasm
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node
from edgesdk.ops import binary
from edgesdk.runners import in_wasmtime

pytest.importorskip("wasmtime")
pytestmark = pytest.mark.skipif(toolchain.command("zig") is None, reason="no compiler for wasm: pip install ziglang")
CASES = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 25
GUARD_BYTES = 4096


def binaries(op: str) -> SearchStrategy[Any]:
    return test_binary.binaries(op, "float32").filter(lambda case: binary.layout(case[0]) is not None)


NODES: dict[tuple[str, str], SearchStrategy[Any]] = {
    **test_kernels.NODES,
    ("conv2d", "f32"): test_kernels.vectors("conv2d", "float32"),
    ("depthwise_conv2d", "f32"): test_kernels.depthwise("float32"),
    ("fully_connected", "f32"): test_conv.fully_connected("float32"),
    ("add", "f32"): one_of(binaries("add"), binaries("sub")),
    ("mul", "f32"): binaries("mul"),
    ("avg_pool2d", "f32"): test_pool.pools("avg_pool2d", "float32", test_conv.LANES),
    ("max_pool2d", "f32"): test_pool.pools("max_pool2d", "float32", test_conv.LANES),
    ("reduce", "f32"): test_reduce.reductions("mean", "float32"),
    ("softmax", "f32"): test_softmax.softmaxes("float32"),
    ("quantize", "f32s8"): test_quantize.regrids("float32 int8"),
}


def check(node: Node, arrays: list[np.ndarray], module: bytes) -> str | None:
    """Runs the node alone between guards; the name of its kernel."""
    inputs = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v is not None and v.data is None]
    graph = Graph("one node", [v for v, _ in inputs], [node.output], [node])
    try:
        chosen = schedule.schedule(graph, ("c",))
    except Unsupported:  # sums that could leave their type
        return None
    name = chosen.steps[0].kernel.name
    data = program.write(program.assemble(chosen, memory.plan(chosen)))
    session = in_wasmtime.begin(in_wasmtime.instantiate("plain", module), data)
    at = session.instance.address("edge_room", GUARD_BYTES)
    session.instance.memory()[at : at + GUARD_BYTES] = 0xA5
    got = session.run([a for _, a in inputs])[0]
    found = session.instance.memory()
    assert (found[at : at + GUARD_BYTES] == 0xA5).all(), f"{name}: written behind its arena"
    assert found[session.model_at :][: len(data)].tobytes() == data, f"{name}: written in front of its arena"
    harness.compare(name, got, ops.module(node.op).reference(node, arrays)[0], harness.magnitude(node, arrays))
    return name


PORTABLE = {(k.op, k.types) for k in kernels.table() if k.isa == "c"}


@pytest.mark.parametrize(("op", "types"), [key for key in NODES if key in PORTABLE])
def test_portable_kernels(op: str, types: str) -> None:
    module = wasm.build("plain").read_bytes()
    names = Counter(check(node, arrays, module) for node, arrays in test_kernels.drawn(NODES[op, types], CASES))
    assert sum(n for name, n in names.items() if name is not None) >= CASES // 2, names
