# SPDX-License-Identifier: Apache-2.0
"""Every kernel for WebAssembly's vectors gives the bytes of the reference (floats: its values) for random shapes and
quantisations, whatever the machine makes of relaxed instructions. They run in wasmtime, whose memory ends where the
arena does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
import test_activation
import test_batch_matmul
import test_binary
import test_conv
import test_normalize
import test_softmax
import test_unary
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from nodes import activations, inferred, random_array, seeds, value, zero_points

from edgesdk import kernels, memory, ops, program, schedule, toolchain, wasm
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant
from edgesdk.ops import binary
from edgesdk.runners import in_wasmtime

pytest.importorskip("wasmtime")
pytestmark = pytest.mark.skipif(toolchain.command("zig") is None, reason="no compiler for wasm: pip install ziglang")

CASES = 1500 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 50
CHAIN = ("simd128", "c")
GUARD = 256
DOTS = Path(__file__).with_name("relaxed_dots.h")
# What runs the kernels -> flavour and the dot product of bytes that it has, None for wasmtime's own.
MACHINES: dict[str, tuple[str, str | None]] = {
    "simd128": ("simd128", None),
    "relaxed": ("relaxed", None),
    "relaxed unsigned": ("relaxed", "dot_unsigned"),
    "relaxed signed": ("relaxed", "dot_signed"),
    "relaxed saturating": ("relaxed", "dot_saturating"),
}


@dataclass(frozen=True)
class Case:
    kernel: str
    what: str
    data: bytes
    given: list[np.ndarray]
    expected: np.ndarray
    magnitude: np.ndarray | None


@cache
def module(machine: str) -> bytes:
    """With all kernels."""
    flavour, dot = MACHINES[machine]
    if dot is None:
        return wasm.build(flavour).read_bytes()
    tools = wasm.find_toolchain(flavour)
    own = replace(tools, flags=(*tools.flags, "-include", str(DOTS), f"-DERT_RELAXED_DOT={dot}"))
    objects = toolchain.compile_units(own, list(wasm.units(flavour, None)))
    path = objects[0].with_name(f"{dot}-{toolchain.digest(*(o.name for o in objects))[:32]}.wasm")
    toolchain.call([*own.command, *own.flags, *wasm.LINK, *map(str, objects), "-o", str(path)])
    return path.read_bytes()


@cache
def instance(machine: str) -> in_wasmtime.Instance:
    return in_wasmtime.instantiate(MACHINES[machine][0], module(machine))


def run(machine: str, case: Case) -> np.ndarray:
    """The output; what lies behind the arena must stay as it is."""
    session = in_wasmtime.begin(instance(machine), case.data)
    behind = session.instance.address("edge_room", GUARD)
    session._write(behind, bytes(range(GUARD)))
    (found,) = session.run(case.given)
    assert session.instance.memory()[behind : behind + GUARD].tobytes() == bytes(range(GUARD)), case.what
    return found


def case_of(node: Node, arrays: list[np.ndarray]) -> Case | None:
    inputs = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v is not None and v.data is None]
    graph = Graph("one node", [v for v, _ in inputs], [node.output], [node])
    try:
        chosen = schedule.schedule(graph, CHAIN)
    except Unsupported:  # sums that could leave their type
        return None
    kernel = chosen.steps[0].kernel
    what = f"{kernel.name}: {[v.shape for v in node.inputs if v is not None]} {node.attrs}"
    data = program.write(program.assemble(chosen, memory.plan(chosen)))
    expected = ops.module(node.op).reference(node, arrays)[0]
    return Case(kernel.name, what, data, [a for _, a in inputs], expected, harness.magnitude(node, arrays))


def drawn(nodes: SearchStrategy[Any], n: int) -> Iterator[Case]:
    found: list[tuple[Node, list[np.ndarray]]] = []

    @settings(max_examples=n, database=None, phases=[Phase.generate], derandomize=True)
    @given(nodes)
    def collect(case: tuple[Node, list[np.ndarray]]) -> None:
        found.append(case)

    collect()
    return (case for node, arrays in found if (case := case_of(node, arrays)) is not None)


CHANNELS = st.one_of(st.integers(1, 20), st.sampled_from([16, 24, 31, 32, 33, 40]))
INPUTS = st.one_of(st.integers(1, 9), st.sampled_from([12, 16, 20, 24, 32, 64, 65]))


def layer(draw, op: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], dtype: str, **attrs: Any) -> Any:  # type: ignore[no-untyped-def]
    """A layer with scales as models have them: outputs are smaller than sums."""
    rng, n = np.random.default_rng(draw(seeds)), w_shape[0] if op != "depthwise_conv2d" else w_shape[-1]
    attrs["activation"] = draw(activations)
    if dtype == "float32":
        w, b = (random_array(rng, s, dtype) for s in (w_shape, (n,)))
        inputs = [value("x", x_shape, dtype), value("w", w_shape, dtype, None, w), value("b", (n,), dtype, None, b)]
        return inferred(op, inputs, None, **attrs), [random_array(rng, x_shape, dtype), w, b]
    w, b = random_array(rng, w_shape, "int8"), rng.integers(-(2**12), 2**12, n).astype(np.int32)
    scales = rng.uniform(0.5, 1, n).astype(np.float32)
    axis = 2 if op == "depthwise_conv2d" else 0
    x = value("x", x_shape, "int8", Quant.per_tensor(1.0, draw(zero_points)))
    inputs = [x, value("w", w_shape, "int8", Quant(scales, np.zeros(n, np.int32), axis), w)]
    low = draw(st.sampled_from([-128, draw(zero_points)]))
    out = Quant.per_tensor(2.0 ** draw(st.floats(0.01, 16)), low)
    node = inferred(op, [*inputs, value("b", (n,), "int32", None, b)], out, **attrs)
    return node, [random_array(rng, x_shape, "int8"), w, b]


@st.composite
def convolutions(draw, dtype: str) -> Any:  # type: ignore[no-untyped-def]
    kernel = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (2, 5), (1, 3)]))
    x_shape = (draw(st.integers(1, 2)), draw(st.integers(5, 7)), draw(st.integers(9, 20)), draw(INPUTS))
    return layer(
        draw, "conv2d", x_shape, (draw(CHANNELS), *kernel, x_shape[3]), dtype,
        stride=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        dilation=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
    )  # fmt: skip


@st.composite
def depthwise(draw, dtype: str) -> Any:  # type: ignore[no-untyped-def]
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (5, 5), (1, 1), (2, 3), (1, 2)]))
    c = draw(st.one_of(st.integers(1, 20), st.sampled_from([24, 31, 32, 40])))
    x_shape = (draw(st.integers(1, 2)), draw(st.integers(5, 7)), draw(st.integers(9, 20)), c)
    return layer(
        draw, "depthwise_conv2d", x_shape, (*kernel, c), dtype,
        stride=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        dilation=(1, 1) if kernel == (5, 5) else draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
    )  # fmt: skip


@st.composite
def rows(draw, dtype: str) -> Any:  # type: ignore[no-untyped-def]
    n, in_c, out_c = draw(st.integers(1, 30)), draw(INPUTS), draw(CHANNELS)
    return layer(draw, "fully_connected", (n, in_c), (out_c, in_c), dtype)


@st.composite
def ties(draw) -> Any:  # type: ignore[no-untyped-def]
    """256 sums in a row around a tie of each channel: the weight is 1, the bias the tie."""
    rng, n, shift = np.random.default_rng(draw(seeds)), 21, draw(st.integers(1, 22))
    scales = rng.choice([0.5, 1.0, 0.75, float(rng.uniform(0.5, 1))], n).astype(np.float32)
    halves = rng.integers(-140, 140, n) * 2 + 1
    bias = np.clip(halves * 2.0 ** (shift - 1) / scales, -(2**29), 2**29).astype(np.int32)
    x = value("x", (256, 1), "int8", Quant.per_tensor(1.0, 0))
    w = value("w", (n, 1), "int8", Quant(scales, np.zeros(n, np.int32), 0), np.ones((n, 1), np.int8))
    out = Quant.per_tensor(2.0**shift, draw(zero_points))
    inputs = [x, w, value("b", (n,), "int32", None, bias)]
    node = inferred("fully_connected", inputs, out, activation=draw(activations))
    return node, [np.arange(-128, 128).astype(np.int8)[:, None], w.data, bias]


@st.composite
def sums(draw) -> Any:  # type: ignore[no-untyped-def]
    """Rows of any length, on grids as models have them."""
    scales = [draw(st.floats(0.01, 0.1)) for _ in range(2)]
    scales.append(max(scales) * draw(st.floats(0.7, 1.6)))
    grids = [Quant.per_tensor(s, draw(zero_points)) for s in scales]
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 70)))
    rng = np.random.default_rng(draw(seeds))
    inputs = [value(name, shape, "int8", q) for name, q in zip("ab", grids, strict=False)]
    node = inferred(draw(st.sampled_from(["add", "sub"])), inputs, grids[2], activation=draw(activations))
    return node, [random_array(rng, shape, "int8") for _ in range(2)]


def float_binaries(op: str) -> SearchStrategy[Any]:
    """Nodes that need no lowering."""
    return test_binary.binaries(op, "float32").filter(lambda case: binary.layout(case[0]) is not None)


# Kernel folder and types -> nodes.
NODES: dict[tuple[str, str], SearchStrategy[Any]] = {
    ("conv2d", "s8s8"): st.one_of(convolutions("int8"), test_conv.convolutions("conv2d", "int8")),
    ("conv2d", "f32"): st.one_of(convolutions("float32"), test_conv.convolutions("conv2d", "float32")),
    ("depthwise_conv2d", "s8s8"): st.one_of(depthwise("int8"), test_conv.depthwise("int8")),
    ("depthwise_conv2d", "f32"): st.one_of(depthwise("float32"), test_conv.convolutions("depthwise_conv2d", "float32")),
    ("add", "s8s8"): sums(),
    ("add", "f32"): st.one_of(float_binaries("add"), float_binaries("sub")),
    ("mul", "f32"): float_binaries("mul"),
    ("fully_connected", "s8s8"): st.one_of(rows("int8"), ties(), ties(), test_conv.fully_connected("int8")),
    ("fully_connected", "f32"): st.one_of(rows("float32"), test_conv.fully_connected("float32")),
    ("softmax", "f32"): test_softmax.softmaxes("float32"),
    ("pixel_softmax", "f32"): test_softmax.pixels("float32"),
    ("activation", "f32"): test_activation.floats(),
    ("unary", "f32"): test_unary.floats(),
    ("batch_matmul", "f32"): test_batch_matmul.products("float32", test_batch_matmul.BATCHES, adj_x=False),
    ("normalize", "f32"): test_normalize.norms("float32"),
}
ROWS = [k for k in kernels.table() if k.isa == "simd128"]


@cache
def cases(op: str, types: str) -> list[Case]:
    return list(drawn(NODES[op, types], CASES))


def machines_of(kernel: kernels.Kernel) -> list[str]:
    """Dot products of bytes matter to int8 alone."""
    return list(MACHINES) if kernel.types == "s8s8" and kernel.op != "add" else ["simd128", "relaxed"]


@pytest.mark.parametrize(
    "kernel, machine", [(k, m) for k in ROWS for m in machines_of(k)], ids=lambda p: getattr(p, "name", p)
)
def test_kernels_give_the_bytes_of_the_reference(kernel: kernels.Kernel, machine: str) -> None:
    found = [c for c in cases(kernel.op, kernel.types) if c.kernel == kernel.name]
    assert len(found) >= CASES // 4, (
        f"hardly any random node fits: {Counter(c.kernel for c in cases(kernel.op, kernel.types))}"
    )
    for case in found:
        harness.compare(case.what, run(machine, case), case.expected, case.magnitude)
