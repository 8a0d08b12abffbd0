# SPDX-License-Identifier: Apache-2.0
"""Kernels compiled to WebAssembly give what the reference gives, for random shapes and quantisations, and write nowhere
else: the rows of each flavour's own instruction set, and the portable ones in the plain flavour."""

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


def check(node: Node, arrays: list[np.ndarray], flavour: str, module: bytes) -> str | None:
    """Runs the node alone between guards; the name of the kernel that the flavour chooses for it."""
    inputs = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v is not None and v.data is None]
    graph = Graph("one node", [v for v, _ in inputs], [node.output], [node])
    try:
        chosen = schedule.schedule(graph, wasm.board_of(flavour).core.isa)
    except Unsupported:  # sums that could leave their type
        return None
    name = chosen.steps[0].kernel.name
    data = program.write(program.assemble(chosen, memory.plan(chosen)))
    session = in_wasmtime.begin(in_wasmtime.instantiate(flavour, module), data)
    before = guards(session, len(data))
    got = session.run([a for _, a in inputs])[0]
    assert (guarded(session, len(data)) == before).all(), f"{name}: written outside of its arena"
    harness.compare(name, got, ops.module(node.op).reference(node, arrays)[0], harness.magnitude(node, arrays))
    return name


def guards(session: in_wasmtime.WasmtimeSession, model_bytes: int) -> np.ndarray:
    """Fills the room behind the arena; what must stay as it is."""
    at = session.instance.address("edge_room", GUARD_BYTES)
    session.instance.memory()[at : at + GUARD_BYTES] = 0xA5
    return guarded(session, model_bytes)


def guarded(session: in_wasmtime.WasmtimeSession, model_bytes: int) -> np.ndarray:
    """The model in front of the arena, and the room behind it: they lie in this order."""
    memory, heap = session.instance.memory(), session.model_at
    arena = -(-(heap + model_bytes) // program.ALIGN) * program.ALIGN
    behind = arena + session.program.arena_bytes
    behind = -(-behind // program.ALIGN) * program.ALIGN
    return np.concatenate([memory[heap : heap + model_bytes], memory[behind : behind + GUARD_BYTES]])


@pytest.mark.parametrize("flavour", wasm.FLAVOURS)
def test_kernels_give_what_the_reference_gives(flavour: str) -> None:
    own = wasm.board_of(flavour).core.isa[0]
    rows = [k for k in kernels.table() if k.isa == own and (own != "c" or (k.op, k.types) in NODES)]
    if not rows:
        pytest.skip(f"no kernels for {own} yet")
    missing = {(k.op, k.types) for k in rows} - set(NODES)
    assert not missing, f"no random nodes for {sorted(missing)}"
    module = wasm.build(flavour).read_bytes()
    counted: Counter[str | None] = Counter()
    for (op, types), n in sorted(Counter((k.op, k.types) for k in rows).items()):
        for node, arrays in test_kernels.drawn(NODES[op, types], n * CASES):
            counted[check(node, arrays, flavour, module)] += 1
    print(flavour, dict(counted))
    assert sum(counted.values()) >= CASES * len({(k.op, k.types) for k in rows})
    short = [k.name for k in rows if own != "c" and not counted[k.name]]
    assert not short, f"no random node fits {short}"
