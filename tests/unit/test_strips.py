# SPDX-License-Identifier: Apache-2.0
"""Strips of columns on a network whose first layers need the most: less memory, some work twice; a bound input."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from graphs import Builder, random_inputs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgesdk import boards, flow, memory, ops, pareto, passes, program, runtime, schedule
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph
from edgesdk.library import library
from edgesdk.schedule import Schedule, strips
from edgesdk.schedule.strips import Piece

BOARD = boards.load("mps2_an386")


def pyramid() -> Schedule:
    """A mobile network in small: wide rows first, many channels last."""
    b = Builder(3, "int8")
    x = y = b.input((1, 40, 40, 3))
    for channels, stride in ((8, 2), (16, 2), (16, 1), (24, 2)):
        y = b.conv(b.depthwise(b.conv(y, 2 * channels, 1, 1), 3, stride), channels, 1, 1)
    graph = Graph("pyramid", [x], [b.classifier(y, 4)], b.nodes)
    return schedule.schedule(passes.lower(passes.simplify(graph)), ("c",))


def test_the_front_goes_on_where_rows_end() -> None:
    base = pyramid()
    points = pareto.points(pareto.bound(base), BOARD)
    rows = [p for p in points if all(g.strips == 1 for g in p.schedule.stages)]
    cut = [p for p in points if p not in rows]
    assert cut and cut[-1].plan.arena_bytes < 0.9 * rows[-1].plan.arena_bytes
    assert 1.0 < pareto.recompute_ratio(cut[-1].schedule) < 1.6 and pareto.recompute_ratio(rows[-1].schedule) == 1.0
    inputs = random_inputs(base.graph, 1)
    expected = ops.evaluate(base.graph, inputs)[base.graph.outputs[0]]
    for p in points:
        session = runtime.open_session(program.write(program.assemble(p.schedule, p.plan)))
        assert np.array_equal(runtime.run(session, inputs)[0], expected), pareto.text(p.schedule)


def test_the_report_tells_what_is_computed_twice() -> None:
    base = pareto.bound(pyramid())
    s = strips.expand(base, [Piece("rows", 0, 6, 2), Piece("plain", 6, len(base.steps) - 6)])
    first, second, rest = (pareto.describe_stage(s, g) for g in s.stages)
    assert first["recompute_ratio"] == second["recompute_ratio"] > 1.0 == rest["recompute_ratio"]
    assert pareto.text(s).startswith("rows 0-5 (strip 1 of 2) | rows 6-11 (strip 2 of 2) | plain 12")


def test_columns_of_each_strip_cover_the_image_once() -> None:
    base = pareto.bound(pyramid())
    made = strips.strips(base, Piece("rows", 0, 3, 3))
    assert made is not None
    assert [c for strip in made for c in strip[-1].columns] == list(range(base.steps[2].output.shape[2]))
    shared = [set(a[0].columns) & set(b[0].columns) for a, b in zip(made, made[1:], strict=False)]
    assert all(len(columns) >= 1 for columns in shared), "a halo under a 3x3 window of stride 2"


def test_regions_without_columns_are_left_whole() -> None:
    base = pareto.bound(pyramid())
    assert strips.strips(base, Piece("rows", 0, len(base.steps), 2)) is None  # ends in a classifier


def decoder(
    b: Builder, shape: tuple[int, ...], kernel: tuple[int, int], last: bool, smaller: int = 1, **attrs: Any
) -> Schedule:
    """A convolution, a transposed one, and one more behind it unless that is the last."""
    x = b.input(shape)
    y = b.conv(x, 3, 1, 1)
    w = b.constant((4, *kernel, 3), 4, 0)
    y = b.add_node("transpose_conv2d", [y, w, b.bias(4)], b.quant(), activation="relu", **attrs)
    y = y if last else b.conv(y, 2, 1 if smaller == 1 else 3, smaller)
    return schedule.schedule(passes.lower(Graph("decoder", [x], [y], b.nodes)), ("c",))


def run_in_strips(base: Schedule, n: int) -> list[np.ndarray] | None:
    """What the runtime makes of all steps in strips, and the reference; None where there are no strips."""
    piece = Piece("rows", 0, len(base.steps), n)
    if strips.strips(base, piece) is None:
        return None
    cut, inputs = strips.expand(base, [piece]), random_inputs(base.graph, 1)
    session = runtime.open_session(program.write(program.assemble(cut, memory.plan(cut))))
    return [runtime.run(session, inputs)[0], ops.evaluate(base.graph, inputs)[base.graph.outputs[0]]]


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(max_examples=30)
@given(
    st.sampled_from(["int8", "float32"]), st.integers(4, 9), pairs, pairs, pairs, pairs, pairs, st.integers(0, 3),
    st.integers(2, 3), st.booleans(),
)  # fmt: skip
def test_transposed_convolutions_in_strips(
    dtype: str, width: int, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int],
    before: tuple[int, int], after: tuple[int, int], extra: int, n: int, last: bool,
) -> None:  # fmt: skip
    full = [
        (size - 1) * s + (k - 1) * d + 1 for size, s, k, d in zip((3, width), stride, kernel, dilation, strict=True)
    ]
    padding = (*(p - 1 for p in before), *(p - 1 for p in after))
    assume(all(f > padding[a] + padding[a + 2] for a, f in enumerate(full)))
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "output_padding": (extra, 3 - extra)}
    found = run_in_strips(decoder(Builder(0, dtype), (1, 3, width, 2), kernel, last, **attrs), n)
    assume(found is not None)
    got, expected = found or []
    np.testing.assert_allclose(got, expected, rtol=0 if dtype == "int8" else 1e-5, atol=0 if dtype == "int8" else 1e-5)


@pytest.mark.parametrize("left", [0, 1])
def test_strips_of_a_transposed_convolution_share_its_weights(left: int) -> None:
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, left, 1, 1), "output_padding": (0, 0)}
    base = decoder(Builder(0, "int8"), (1, 6, 13, 2), (4, 4), False, **attrs)
    for n in (2, 3, 4):
        found = run_in_strips(base, n)
        assert found is not None and np.array_equal(*found)
        cut = strips.expand(base, [Piece("rows", 0, len(base.steps), n)])
        wide = [s for s in cut.steps if s.node.op == "transpose_conv2d"]
        starts = [s.columns.start for s in wide if s.columns is not None]
        assert len(starts) == n and all(c % 2 == 0 for c in starts) and starts[0] == 0
        taps = {tuple(a.tobytes() for a in s.encoded.params if isinstance(a, np.ndarray)) for s in wide}
        assert len(taps) == 1, "every strip has its taps in one order"


def test_an_upscaler_fits_into_less_memory_in_strips() -> None:
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1), "output_padding": (0, 0)}
    base = pareto.bound(decoder(Builder(0, "int8"), (1, 8, 64, 2), (4, 4), False, smaller=4, **attrs))
    whole, cut = (strips.expand(base, [Piece("rows", 0, len(base.steps), n)]) for n in (1, 4))
    assert memory.plan(cut).arena_bytes < 0.6 * memory.plan(whole).arena_bytes


def test_an_unbound_or_misaligned_input_is_refused() -> None:
    b = Builder(1, "float32")
    x = b.input((1, 4, 4, 2))
    base = schedule.schedule(passes.lower(Graph("f", [x], [b.conv(x, 3, 3, 1)], b.nodes)), ("c",))
    point = pareto.layer_by_layer(pareto.bound(base), BOARD)
    session = runtime.open_session(program.write(program.assemble(point.schedule, point.plan)), pack=False)
    lib, s = library(), ctypes.byref(session._session)
    assert session.arena.size == point.plan.arena_bytes and session.bound
    assert lib.ert_run(s) == -14
    assert lib.ert_bind_input(s, 0, ctypes.c_void_p(runtime.aligned(256).ctypes.data + 2)) == -5
    assert lib.ert_bind_input(s, 1, ctypes.c_void_p(0)) == -12
    resident = runtime.open_session(program.write(program.assemble(base, memory.plan(base))))
    assert lib.ert_bind_input(ctypes.byref(resident._session), 0, ctypes.c_void_p(0)) == -14


def test_what_cannot_be_bound_is_refused() -> None:
    b = Builder(1, "int8")
    x, y = b.input((1, 4, 4, 2)), b.input((1, 4, 4, 2))
    two = Graph("two", [x, y], [b.add_node("add", [x, y], b.quant(), activation="none")], b.nodes)
    with pytest.raises(Unsupported, match="--bind-input"):
        pareto.bound(schedule.schedule(passes.lower(two), ("c",)))
    with pytest.raises(UsageError, match="exclude each other"):
        flow.convert("model.tflite", stream=True, bind_input=True)
