# SPDX-License-Identifier: Apache-2.0
"""Every kernel that a core prefers over the portable one gives the bytes of the reference, on that core, for random
shapes and quantisations. The same nodes as in tests/kernels, which runs what the host can run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_binary
import test_conv
import test_groups
import test_pool
import test_quantize
import test_reduce
import test_softmax
from hypothesis import Phase, given, settings
from hypothesis.strategies import SearchStrategy, one_of
from many_models import Case, needs_emulator, wrong

from edgesdk import boards, kernels, memory, ops, program, schedule
from edgesdk.boards import Board
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node
from edgesdk.ops import binary

CASES = 2000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 60


vectors = partial(test_conv.convolutions, sizes=test_conv.VECTORS)


def depthwise(types: str) -> SearchStrategy[Any]:
    """Layers as they come, as models have them, and of those the wide ones, which have kernels of their own."""
    narrow, wide = (test_conv.depthwise(types, least) for least in (1, 8))
    return one_of(vectors("depthwise_conv2d", types), narrow, narrow, wide, wide)


def binaries(op: str) -> SearchStrategy[Any]:
    """Nodes that need no lowering."""
    return test_binary.binaries(op, "int8").filter(lambda case: binary.layout(case[0]) is not None)


# Kernel folder and types -> nodes.
NODES: dict[tuple[str, str], SearchStrategy[Any]] = {
    ("conv2d", "s8s8"): vectors("conv2d", "int8"),
    ("conv2d", "s8s4"): vectors("conv2d", "int8 int4"),
    ("conv2d", "s16s8"): vectors("conv2d", "int16 int8"),
    ("depthwise_conv2d", "s8s8"): one_of(
        depthwise("int8"), test_conv.convolutions("depthwise_conv2d", "int8", usual=True)
    ),
    ("depthwise_conv2d", "s8s4"): depthwise("int8 int4"),
    ("depthwise_conv2d", "s16s8"): one_of(vectors("depthwise_conv2d", "int16 int8"), test_conv.depthwise("int16 int8")),
    ("fully_connected", "s8s8"): test_conv.fully_connected("int8"),
    ("fully_connected", "s8s4"): test_conv.fully_connected("int8 int4"),
    ("fully_connected", "s16s8"): test_conv.fully_connected("int16 int8"),
    ("fully_connected_rows", "s8s8"): test_conv.fully_connected_rows("int8"),
    ("add", "s8s8"): one_of(binaries("add"), binaries("sub")),
    ("mul", "s8s8"): binaries("mul"),
    ("minmax", "s8s8"): one_of(binaries("minimum"), binaries("maximum")),
    ("avg_pool2d", "s8"): test_pool.pools("avg_pool2d", "int8", test_conv.LANES),
    ("max_pool2d", "s8"): test_pool.pools("max_pool2d", "int8", test_conv.LANES),
    ("reduce", "s8"): one_of(
        test_reduce.image_means("int8"), *(test_reduce.reductions(op, "int8") for op in ("mean", "sum", "reduce_max"))
    ),
    ("transpose_conv2d", "s8s8"): test_groups.transposed("int8"),
    ("softmax", "s8"): test_softmax.softmaxes("int8"),
    ("quantize", "s8s8"): test_quantize.regrids("int8 int8"),
}
pytestmark = needs_emulator


def drawn(nodes: SearchStrategy[Any], n: int) -> list[tuple[Node, list[np.ndarray]]]:
    found = []

    @settings(max_examples=n, database=None, phases=[Phase.generate], derandomize=True)
    @given(nodes)
    def collect(case: tuple[Node, list[np.ndarray]]) -> None:
        found.append(case)

    collect()
    return found


def cases(nodes: SearchStrategy[Any], board: Board, n: int) -> Iterator[tuple[str, Case]]:
    """The kernel that a core chooses for a node, and the program of that node alone, where the board has room for both
    its arena and the rest."""
    room = max(m.bytes for m in board.of_kind("ram")) // 2
    for node, arrays in drawn(nodes, n):
        inputs = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v is not None and v.data is None]
        graph = Graph("one node", [v for v, _ in inputs], [node.output], [node])
        try:
            chosen = schedule.schedule(graph, board.core.isa)
        except Unsupported:  # sums that could leave their type
            continue
        name = chosen.steps[0].kernel.name
        plan = memory.plan(chosen)
        if plan.arena_bytes > room:
            continue
        data = program.write(program.assemble(chosen, plan))
        given_bytes = b"".join(np.ascontiguousarray(a).tobytes() for _, a in inputs)
        expected = ops.module(node.op).reference(node, arrays)[0].tobytes()
        what = f"{name}: {[v.shape for v in node.inputs if v is not None]} {node.attrs}"
        yield name, Case(what, data, given_bytes, expected, plan.arena_bytes)


# Portable kernels whose innermost parts are assembly on cores without instruction sets of their own.
PORTABLE = {("conv2d", "s8s8"), ("depthwise_conv2d", "s8s8"), ("fully_connected", "s8s8"), ("mul", "s8s8")}
PORTABLE |= {("transpose_conv2d", "s8s8")}  # some of its dots have no products at all


def own_rows(board: Board) -> list[kernels.Kernel]:
    """The kernels for the first instruction set of the board's core."""
    first = board.core.isa[0]
    return [k for k in kernels.table() if k.isa == first and (first != "c" or (k.op, k.types) in PORTABLE)]


@pytest.mark.parametrize("name", ["microbit", "mps2_an385", "mps2_an386", "mps3_an547"])
def test_kernels_give_the_bytes_of_the_reference(name: str, tmp_path: Path) -> None:
    board = boards.load(name)
    rows = Counter((k.op, k.types) for k in own_rows(board))
    if not rows:
        pytest.skip(f"no kernels for {board.core.isa[0]} yet")
    assert set(rows) <= set(NODES), f"no random nodes for {sorted(set(rows) - set(NODES))}"
    found = [c for key in sorted(rows) for c in cases(NODES[key], board, rows[key] * CASES)]
    counted = Counter(kernel for kernel, _ in found)
    print(board.id, dict(counted))
    short = [k.name for k in own_rows(board) if counted[k.name] < CASES // 60]
    assert not short, f"hardly any random node fits {short}"
    assert wrong([c for _, c in found], board, tmp_path) == []
