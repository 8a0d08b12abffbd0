# SPDX-License-Identifier: Apache-2.0
"""A portable program that is packed when it is loaded: what the plain one computes, in memory that the caller gives."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import pytest
from graphs import Builder, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk import boards, kernels, memory, ops, passes, profile, program, runners, runtime, schedule
from edgesdk.ir import Graph, Quant, Value
from edgesdk.library import isa_bits, library

AVX2, AVX512, VBMI, AVXVNNI = 4, 5, 6, 7  # of runtime_c/kernels/isa.h
EVERY = 0xFFFFFFFF
SIDES, CHANNELS = st.integers(3, 9), st.sampled_from([1, 3, 4, 8, 16, 17, 24, 33, 64, 70])
HOST = boards.load("host")

pytestmark = pytest.mark.skipif(len(kernels.native_isas()) < 4, reason="needs a processor with vectors of this build")


def levels() -> list[int]:
    """Sets of instruction sets of this processor, each with less than the one before."""
    wide = 1 << AVX512 | 1 << VBMI
    fewer = [~wide, ~(wide | 1 << AVXVNNI)]
    return list(dict.fromkeys(isa_bits() & bits for bits in (EVERY, *fewer)))


def portable(graph: Graph, isas: Sequence[str] = ("c",)) -> bytes:
    planned = schedule.schedule(passes.lower(passes.simplify(graph.copy())), isas)
    return program.write(program.assemble(planned, memory.plan(planned)))


class Loaded:
    """A model with a session of its own, whose memory lies between guard bands."""

    def __init__(self, data: bytes, isas: int, less: int = 0) -> None:
        self.lib, self.file = library(), runtime.aligned(len(data))
        self.file[:] = np.frombuffer(data, np.uint8)
        self.model, self.session = runtime._Model(), runtime._Session()
        model, bits = ctypes.byref(self.model), ctypes.c_uint32(isas)
        assert self.lib.ert_load(model, ctypes.c_void_p(self.file.ctypes.data), ctypes.c_size_t(len(data))) == 0
        self.lib.ert_packed_bytes_for.restype = ctypes.c_size_t
        self.bytes = int(self.lib.ert_packed_bytes_for(model, bits))
        self.packed = harness.Guarded(self.bytes)
        self.code = int(self.lib.ert_pack_for(
            model, ctypes.c_void_p(self.packed.address), ctypes.c_size_t(max(0, self.bytes - less)), bits
        ))  # fmt: skip
        self.arena = harness.Guarded(self.model.arena_bytes, seed=1)

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        arena = ctypes.c_void_p(self.arena.address), ctypes.c_size_t(self.model.arena_bytes)
        assert self.lib.ert_begin(ctypes.byref(self.session), ctypes.byref(self.model), *arena) == 0
        for i, x in enumerate(inputs):
            runtime._tensor(self.lib.ert_input, self.session, i)[...] = x
        assert self.lib.ert_run(ctypes.byref(self.session)) == 0
        self.packed.check("packed memory")
        self.arena.check("arena")
        return [runtime._tensor(self.lib.ert_output, self.session, i).copy() for i in range(self.model.n_outputs)]

    def isas(self) -> list[str]:
        found = [kernels.by_number(n) for n in runtime._kernel_numbers(self.model)]
        return [k.isa for k in found if k is not None]


def same(got: np.ndarray, expected: np.ndarray) -> bool:
    if got.dtype != np.float32:
        return got.tobytes() == expected.tobytes()
    return bool(np.linalg.norm(got - expected) <= 1e-5 * np.linalg.norm(expected))


def window(draw: Callable[[Any], Any], kernel: tuple[int, int]) -> dict[str, Any]:
    pads = tuple(draw(st.integers(0, k)) for k in (*kernel, *kernel))
    stride, dilation = (draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) for _ in range(2))
    activation = draw(st.sampled_from(["none", "relu", "relu6"]))
    return {"stride": stride, "dilation": dilation, "padding": pads, "activation": activation}


@st.composite
def layers(draw: Any, dtype: str) -> Graph:
    """A convolution, a depthwise one, a shortcut and a fully connected layer on what is left of the image."""
    b = Builder(draw(st.integers(0, 2**32 - 1)), dtype)
    current = x = b.input((draw(st.integers(1, 2)), draw(SIDES) + 3, draw(SIDES) + 3, draw(CHANNELS)))
    for op in draw(st.lists(st.sampled_from(["conv2d", "depthwise_conv2d"]), min_size=1, max_size=3)):
        kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 3), (2, 1)]))
        attrs, c = window(draw, kernel), current.shape[3]
        if any((k - 1) * d >= size for k, d, size in zip(kernel, attrs["dilation"], current.shape[1:3], strict=True)):
            continue
        out_c = draw(CHANNELS) if op == "conv2d" else c
        shape = (out_c, *kernel, c) if op == "conv2d" else (*kernel, c)
        w = b.constant(shape, out_c, 0 if op == "conv2d" else 2)
        current = b.add_node(op, [current, w, b.bias(out_c)], b.quant(), **attrs)
    y = b.conv(current, current.shape[3], 1, 1)
    current = b.add_node("add", [current, y], b.quant(), activation="none") if y.shape == current.shape else y
    w = b.constant((draw(CHANNELS), current.shape[3]), 1, 0)
    last = b.add_node("fully_connected", [current, w, b.bias(w.shape[0])], b.quant(), activation="relu")
    return Graph("layers", [x], [last], b.nodes)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@settings(max_examples=25)
@given(data=st.data())
def test_every_level_of_this_machine_computes_what_the_reference_does(dtype: str, data: Any) -> None:
    graph = data.draw(layers(dtype))
    inputs = random_inputs(graph, 1)
    expected, written = ops.evaluate(graph, inputs)[graph.outputs[0]], portable(graph)
    for isas in levels():
        loaded = Loaded(written, isas)
        assert loaded.code == 0 and loaded.bytes > 0
        assert same(loaded.run(inputs)[0], expected), loaded.isas()


def residual() -> Graph:
    b = Builder(5, "int8")
    x = b.input((1, 9, 9, 24))
    y = b.add_node("add", [x, b.depthwise(x, 3, 1)], b.quant(), activation="relu")
    return Graph("residual", [x], [b.classifier(b.conv(y, 12, 3, 1), 10)], b.nodes)


def is_portable(number: int) -> bool:
    kernel = kernels.by_number(number)
    return kernel is not None and kernel.isa == kernels.PORTABLE


def test_rows_are_those_of_a_file_for_this_processor() -> None:
    graph = residual()
    lowered = passes.lower(passes.simplify(graph.copy()))
    native = [s.kernel.number for s in schedule.schedule(lowered, HOST.core.isa).steps if s.node.op != "add"]
    session = runtime.open_session(portable(graph))
    of_layers = [n for n in session.kernels() if n >> 8 in (1, 2, 3)]
    assert of_layers == [n for n in native if n >> 8 in (1, 2, 3)] and len(of_layers) == 3
    plain = runtime.open_session(portable(graph), pack=False)
    assert all(is_portable(n) for n in plain.kernels())


def test_sums_of_int8_get_offsets_of_their_own_where_vectors_want_them() -> None:
    level = levels()[-1]
    if not level >> AVX2 & 1:
        pytest.skip("needs AVX2")
    graph = residual()
    loaded, inputs = Loaded(portable(graph), level), random_inputs(graph, 2)
    assert set(loaded.isas()) <= {"avx2", "c"} and kernels.by_number(0x10A3).layout == "dense"  # type: ignore[union-attr]
    assert 0x10A3 in runtime._kernel_numbers(loaded.model)
    assert same(loaded.run(inputs)[0], ops.evaluate(graph, inputs)[graph.outputs[0]])


def test_a_program_for_a_processor_is_left_as_it_is() -> None:
    level = "avx512vnni" if "avx512vnni" in HOST.core.isa else HOST.core.isa[-2]
    mixed = runtime.open_session(portable(residual(), (level, "c")))
    assert not all(is_portable(n) for n in mixed.kernels()) and mixed._packed is None


def test_too_little_memory_leaves_the_model_as_it_was() -> None:
    graph = residual()
    data, inputs = portable(graph), random_inputs(graph, 3)
    arena_bytes = program.read(data).arena_bytes
    for less in (1, 64, 10**9):
        loaded = Loaded(data, EVERY, less)
        assert loaded.code == -10 and loaded.model.arena_bytes == arena_bytes
        assert set(loaded.isas()) == {"c"}
        assert same(loaded.run(inputs)[0], ops.evaluate(graph, inputs)[graph.outputs[0]])


def test_memory_that_is_not_aligned_is_refused() -> None:
    lib, data = library(), portable(residual())
    session = runtime.open_session(data, pack=False)
    room = runtime.aligned(1 << 20)
    given_at = ctypes.c_void_p(room.ctypes.data + 8)
    assert lib.ert_pack(ctypes.byref(session._model), given_at, ctypes.c_size_t(1 << 19)) == -5
    assert all(is_portable(n) for n in session.kernels())


def one_layer(scale: float, least: int) -> Graph:
    """A fully connected layer whose outputs are 1 / scale of its sums' units; one weight is the least one."""
    b = Builder(7, "int8")
    x = Value("x", (4, 20), "int8", Quant.per_tensor(1.0, 3))
    w = np.ones((20, 20), np.int8)
    w[3, 4] = least
    zeros = np.zeros(20, np.int32)
    weights = Value("w", (20, 20), "int8", Quant(np.ones(20, np.float32), zeros, 0), w)
    out = b.add_node("fully_connected", [x, weights, b.bias(20)], Quant.per_tensor(scale, 0), activation="none")
    return Graph("one", [x], [out], b.nodes)


@pytest.mark.parametrize(("scale", "least", "packs"), [(64.0, -127, True), (0.25, -127, False), (64.0, -128, None)])
def test_a_layer_out_of_the_bounds_of_a_layout_takes_another_row(scale: float, least: int, packs: bool | None) -> None:
    """Vectors only round as they shift to the right; rows that add up two products want no weight of -128."""
    graph = one_layer(scale, least)
    inputs = random_inputs(graph, 4)
    for isas in levels():
        loaded = Loaded(portable(graph), isas)
        narrow = isas >> AVX2 & 1 and not isas >> AVX512 & 1 and not isas >> AVXVNNI & 1
        expected = (not narrow if isas >> AVX2 & 1 else True) if packs is None else packs
        assert (loaded.isas() != ["c"]) == expected
        assert same(loaded.run(inputs)[0], ops.evaluate(graph, inputs)[graph.outputs[0]])


def test_profiles_name_the_kernels_that_ran() -> None:
    b = Builder(6, "int8")
    x = b.input((1, 12, 10, 16))
    graph = Graph("layers", [x], [b.conv(b.depthwise(b.conv(x, 20, 3, 1), 3, 1), 8, 1, 2)], b.nodes)
    data = portable(graph)
    with runners.open(HOST, data) as session:
        measured = session.measure(random_inputs(graph), 1)
    found = profile.profile(measured, program.read(data), data, HOST)
    assert "c" not in {s["isa"] for s in found["steps"]}
