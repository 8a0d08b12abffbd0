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

import float_nodes
import harness
import numpy as np
import pytest
import test_activation
import test_arithmetic
import test_batch_matmul
import test_binary
import test_conv
import test_elementary
import test_groups
import test_lut
import test_normalise
import test_normalize
import test_pool
import test_quantize
import test_recurrent
import test_reduce
import test_resize
import test_softmax
import test_tiles
import test_unary
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from nodes import activations, inferred, random_array, seeds, value, zero_points

from edgesdk import kernels, memory, ops, program, schedule, toolchain, wasm
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant, Value
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


def case_of(node: Node, arrays: list[np.ndarray], chain: tuple[str, ...]) -> Case | None:
    inputs = [(v, a) for v, a in zip(node.inputs, arrays, strict=True) if v is not None and v.data is None]
    graph = Graph("one node", [v for v, _ in inputs], [node.output], [node])
    try:
        chosen = schedule.schedule(graph, chain)
    except Unsupported:  # sums that could leave their type
        return None
    kernel = chosen.steps[0].kernel
    what = f"{kernel.name}: {[v.shape for v in node.inputs if v is not None]} {node.attrs}"
    data = program.write(program.assemble(chosen, memory.plan(chosen)))
    expected = ops.module(node.op).reference(node, arrays)[0]
    return Case(kernel.name, what, data, [a for _, a in inputs], expected, harness.magnitude(node, arrays))


def drawn(nodes: SearchStrategy[Any], n: int, chain: tuple[str, ...] = CHAIN) -> Iterator[Case]:
    found: list[tuple[Node, list[np.ndarray]]] = []

    @settings(max_examples=n, database=None, phases=[Phase.generate], derandomize=True)
    @given(nodes)
    def collect(case: tuple[Node, list[np.ndarray]]) -> None:
        found.append(case)

    collect()
    return (case for node, arrays in found if (case := case_of(node, arrays, chain)) is not None)


CHANNELS = st.one_of(st.integers(1, 20), st.sampled_from([16, 24, 31, 32, 33, 40]))
GROUPED = st.one_of(st.integers(1, 20), st.sampled_from([24, 32, 40, 64, 65, 96, 128, 256, 264]))
INPUTS = st.one_of(st.integers(1, 9), st.sampled_from([12, 16, 20, 24, 32, 64, 65]))


def weights_of(draw, rng: np.random.Generator, shape: tuple[int, ...], w_type: str, axis: int) -> Value:  # type: ignore[no-untyped-def]
    """Of int8 and int4 a scale for each channel; of int4 often factors of groups, too."""
    w, n = random_array(rng, shape, w_type), shape[axis]
    if w_type not in ("int8", "int4"):
        return value("w", shape, w_type, None, w)
    q = Quant(rng.uniform(0.5, 1, n).astype(np.float32), np.zeros(n, np.int32), axis)
    sizes = [size for size in (8, 16, 32, 64, 128) if shape[-1] % size == 0]
    group = draw(st.sampled_from([0, *sizes])) if w_type == "int4" and axis == 0 else 0
    if group:
        factors = rng.integers(1, draw(st.sampled_from([20, 256])), (n, w.size // n // group)).astype(np.uint8)
        q = replace(q, group=group, factors=factors)
    return value("w", shape, w_type, q, w)


def layer(draw, op: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], types: str, **attrs: Any) -> Any:  # type: ignore[no-untyped-def]
    """A layer with scales as models have them: outputs are smaller than sums. `types`: of inputs, then of weights where
    they differ."""
    dtype, w_type = types.split() if " " in types else (types, types)
    axis = 2 if op == "depthwise_conv2d" else 0
    rng, n = np.random.default_rng(draw(seeds)), w_shape[axis]
    attrs["activation"] = draw(activations)
    w = weights_of(draw, rng, w_shape, w_type, axis)
    if dtype == "float32":
        b = random_array(rng, (n,), dtype)
        inputs = [value("x", x_shape, dtype), w, value("b", (n,), dtype, None, b)]
        return inferred(op, inputs, None, **attrs), [random_array(rng, x_shape, dtype), w.data, b]
    b = rng.integers(-(2**12), 2**12, n).astype(np.int32)
    inputs = [value("x", x_shape, "int8", Quant.per_tensor(1.0, draw(zero_points))), w]
    low = draw(st.sampled_from([-128, draw(zero_points)]))
    out = Quant.per_tensor(2.0 ** draw(st.floats(0.01, 16)), low)
    node = inferred(op, [*inputs, value("b", (n,), "int32", None, b)], out, **attrs)
    return node, [random_array(rng, x_shape, "int8"), w.data, b]


@st.composite
def convolutions(draw, types: str) -> Any:  # type: ignore[no-untyped-def]
    kernel = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (2, 5), (1, 3)]))
    in_c = draw(GROUPED if "int4" in types else INPUTS)
    x_shape = (draw(st.integers(1, 2)), draw(st.integers(5, 7)), draw(st.integers(9, 20)), in_c)
    return layer(
        draw, "conv2d", x_shape, (draw(CHANNELS), *kernel, in_c), types,
        stride=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        dilation=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
    )  # fmt: skip


@st.composite
def depthwise(draw, dtype: str) -> Any:  # type: ignore[no-untyped-def]
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (5, 5), (1, 1), (2, 3), (1, 2)]))
    c = draw(st.one_of(st.integers(1, 20), st.sampled_from([24, 31, 32, 40])))
    width = draw(st.one_of(st.integers(9, 20), st.sampled_from([48, 51, 100])))  # rows that are one block, and more
    x_shape = (draw(st.integers(1, 2)), draw(st.integers(5, 7)), width, c)
    return layer(
        draw, "depthwise_conv2d", x_shape, (*kernel, c), dtype,
        stride=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        dilation=(1, 1) if kernel == (5, 5) else draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=draw(st.tuples(*[st.integers(0, 2)] * 4)),
    )  # fmt: skip


@st.composite
def rows(draw, types: str) -> Any:  # type: ignore[no-untyped-def]
    """A single one, which kernels read otherwise, as often as some."""
    n, out_c = draw(st.one_of(st.just(1), st.integers(1, 30))), draw(CHANNELS)
    in_c = draw(GROUPED if "int4" in types else st.one_of(INPUTS, st.sampled_from([127, 128, 129, 300])))
    return layer(draw, "fully_connected", (n, in_c), (out_c, in_c), types)


@st.composite
def ties(draw, w_type: str) -> Any:  # type: ignore[no-untyped-def]
    """256 sums in a row around a tie of each channel: a weight is 1, the bias the tie; of int4 a group has a factor."""
    rng, n, shift = np.random.default_rng(draw(seeds)), 21, draw(st.integers(1, 22))
    scales = rng.choice([0.5, 1.0, 0.75, float(rng.uniform(0.5, 1))], n).astype(np.float32)
    halves, most = rng.integers(-140, 140, n) * 2 + 1, 2**29 if w_type == "int8" else 2**26
    bias = np.clip(halves * 2.0 ** (shift - 1) / scales, -most, most).astype(np.int32)
    in_c, q = (1 if w_type == "int8" else 8), Quant(scales, np.zeros(n, np.int32), 0)
    if w_type == "int4":
        q = replace(q, group=in_c, factors=np.ones((n, 1), np.uint8))
    x, w = np.zeros((256, in_c), np.int8), np.zeros((n, in_c), np.int8)
    x[:, 0], w[:, 0] = np.arange(-128, 128), 1
    inputs = [value("x", x.shape, "int8", Quant.per_tensor(1.0, 0)), value("w", w.shape, w_type, q, w)]
    out = Quant.per_tensor(2.0**shift, draw(zero_points))
    node = inferred(
        "fully_connected", [*inputs, value("b", (n,), "int32", None, bias)], out, activation=draw(activations)
    )
    return node, [x, w, bias]


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


def int8_binaries(op: str) -> SearchStrategy[Any]:
    return test_binary.binaries(op, "int8").filter(lambda case: binary.layout(case[0]) is not None)


INT16 = "int16 int8"
# Weights that are smaller than what they are multiplied with, or stand for floats.
NARROW = {"s8s4": "int8 int4", "f32s8": "float32 int8", "f32f16": "float32 float16", "f32s4": "float32 int4"}
# Kernel folder and types -> nodes.
NODES: dict[tuple[str, str], SearchStrategy[Any]] = {
    ("conv2d", "s8s8"): st.one_of(convolutions("int8"), test_conv.convolutions("conv2d", "int8")),
    ("conv2d", "f32"): st.one_of(convolutions("float32"), test_conv.convolutions("conv2d", "float32")),
    ("depthwise_conv2d", "s8s8"): st.one_of(depthwise("int8"), test_conv.depthwise("int8")),
    ("depthwise_conv2d", "f32"): st.one_of(depthwise("float32"), test_conv.convolutions("depthwise_conv2d", "float32")),
    ("grouped_conv2d", "s8s8"): test_groups.grouped("int8"),
    ("grouped_conv2d", "f32"): test_groups.grouped("float32"),
    ("add", "s8s8"): st.one_of(sums(), sums(), int8_binaries("add"), int8_binaries("sub")),
    ("add", "f32"): st.one_of(float_binaries("add"), float_binaries("sub")),
    ("mul", "f32"): float_binaries("mul"),
    ("fully_connected", "s8s8"): st.one_of(rows("int8"), ties("int8"), ties("int8"), test_conv.fully_connected("int8")),
    ("fully_connected", "f32"): st.one_of(rows("float32"), test_conv.fully_connected("float32")),
    **{("conv2d", key): convolutions(types) for key, types in NARROW.items()},
    **{("fully_connected", key): rows(types) for key, types in NARROW.items()},
    ("fully_connected", "s8s4"): st.one_of(rows("int8 int4"), ties("int4")),
    ("conv2d", "s16s8"): st.one_of(test_tiles.convolutions(INT16), test_conv.convolutions("conv2d", INT16)),
    ("depthwise_conv2d", "s16s8"): st.one_of(test_tiles.depthwise(INT16), test_conv.depthwise(INT16)),
    ("fully_connected", "s16s8"): st.one_of(
        test_tiles.fully_connected(INT16),
        test_conv.fully_connected(INT16),
        test_tiles.int16_ties(),
        test_tiles.largest_int16(),
    ),
    ("softmax", "f32"): test_softmax.softmaxes("float32"),
    ("pixel_softmax", "f32"): test_softmax.pixels("float32"),
    ("activation", "f32"): test_activation.floats(),
    ("unary", "f32"): test_unary.floats(),
    ("batch_matmul", "f32"): test_batch_matmul.products("float32", test_batch_matmul.BATCHES, adj_x=False),
    ("normalize", "f32"): test_normalize.norms("float32"),
    ("avg_pool2d", "f32"): test_pool.pools("avg_pool2d", "float32"),
    ("max_pool2d", "f32"): test_pool.pools("max_pool2d", "float32"),
    ("resize", "f32"): test_resize.resizes("resize_bilinear", "float32"),
    ("l2_norm", "f32"): test_normalise.unit_norms("float32"),
    ("avg_pool2d", "s8"): test_pool.pools("avg_pool2d", "int8"),
    ("max_pool2d", "s8"): test_pool.pools("max_pool2d", "int8"),
    ("resize", "s8"): test_resize.resizes("resize_bilinear", "int8"),
    ("l2_norm", "s8"): test_normalise.unit_norms("int8"),
    ("reduce", "s8"): st.one_of(test_reduce.reductions(op, "int8") for op in ("mean", "sum")),
    ("softmax", "s8"): test_softmax.softmaxes("int8"),
    ("pixel_softmax", "s8"): test_softmax.pixels("int8"),
    ("normalize", "s8"): test_normalize.norms("int8"),
    ("lut", "s8"): test_lut.tables(),
    ("batch_matmul", "s8s8"): test_batch_matmul.products("int8", test_batch_matmul.BATCHES, adj_x=False),
    ("mul", "s8s8"): int8_binaries("mul"),
    ("minmax", "s8s8"): st.one_of(int8_binaries("minimum"), int8_binaries("maximum")),
    ("div", "s8s8"): test_arithmetic.kernel_cases("div"),
    ("prelu", "s8s8"): test_arithmetic.kernel_cases("prelu"),
    ("rnn", "f32"): test_recurrent.layers(),
    ("peephole_lstm", "f32"): test_recurrent.layers(peepholes=True),
    ("rnn", "s8s8"): test_recurrent.integer_layers(),
    **{("lstm", key): test_recurrent.lstms(dtype) for key, dtype in (("s8s8", "int8"), ("s16s8", "int16"))},
    **{("svdf", key): test_recurrent.filters(state) for key, state in test_recurrent.STATES.items()},
    ("quantize", "f32s8"): test_quantize.conversions("quantize int8"),
    **float_nodes.NODES,
}
ROWS = [k for k in kernels.table() if k.isa == "simd128"]


@cache
def cases(op: str, types: str) -> list[Case]:
    return list(drawn(NODES[op, types], CASES))


def machines_of(kernel: kernels.Kernel) -> list[str]:
    """Dot products of bytes matter to int8 layers alone."""
    is_layer = kernel.op in ("conv2d", "grouped_conv2d", "depthwise_conv2d", "fully_connected")
    return list(MACHINES) if is_layer and kernel.types in ("s8s8", "s8s4") else ["simd128", "relaxed"]


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


def packed_bytes(machine: str) -> int:
    """Of the program that was loaded last."""
    made = instance(machine)
    at = made.address("edge_about")
    return int(in_wasmtime.ABOUT.unpack(made.memory()[at : at + in_wasmtime.ABOUT.size].tobytes())[-1])


@pytest.mark.parametrize("machine", ["simd128", "relaxed"])
@pytest.mark.parametrize("types", ["s8s8", "f32"])
@pytest.mark.parametrize("op", ["conv2d", "depthwise_conv2d", "fully_connected"])
def test_portable_layers_are_packed_when_they_are_loaded(op: str, types: str, machine: str) -> None:
    packed = 0
    for case in drawn(NODES[op, types], CASES // 2, ("c",)):
        found = run(machine, case)
        packed += packed_bytes(machine) > 0
        harness.compare(case.what, found, case.expected, case.magnitude)
    assert packed >= CASES // 8, f"{packed} of {CASES // 2} portable layers were packed"


# Beyond what the test of a kernel's own row allows for products that are rounded before they are added.
LOOSER = {"tanh": 6.0}
FUNCTIONS = [*test_elementary.ULPS, "logistic", "tanh"]


@pytest.mark.parametrize("machine", ["simd128", "relaxed"])
@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_of_floats_are_as_exact_as_stated(op: str, machine: str) -> None:
    """Plain SIMD rounds every product."""
    every = np.arange(0, 2**32, 65537 * 7, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([every, np.linspace(-12, 12, 6001, dtype=np.float32)])
    node = test_elementary.float_node(op, x.shape)
    case = case_of(node, [x], CHAIN)
    assert case is not None and case.kernel.endswith("__simd128")
    got, wide = run(machine, case), x.astype(np.float64)
    with np.errstate(all="ignore"):
        exact = test_elementary.exact(node, wide)
        rounded = exact.astype(np.float32)
    known = np.isfinite(rounded) & ((np.abs(rounded) > 2.0**-126) | (op not in ("logistic", "tanh")))
    ulp = np.spacing(np.abs(rounded[known])).astype(np.float64)
    errors = np.abs(got[known].astype(np.float64) - exact[known]) / ulp
    assert errors.max() <= max(LOOSER.get(op, test_elementary.ULPS.get(op, 4)), 0.5), x[known][errors.argmax()]


@pytest.mark.parametrize("machine", ["simd128", "relaxed"])
@pytest.mark.parametrize(("op", "attrs"), test_activation.CASES[:-1])
def test_activations_are_as_exact_as_stated(op: str, attrs: dict[str, Any], machine: str) -> None:
    x = test_activation.spread_arguments()
    case = case_of(test_activation.case_of(op, attrs, x.size), [x], CHAIN)
    assert case is not None
    test_activation.check_errors(op, attrs, x, run(machine, case).astype(np.float64))
