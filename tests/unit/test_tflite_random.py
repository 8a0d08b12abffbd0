# SPDX-License-Identifier: Apache-2.0
"""TFLite operators of random shapes, types and options: what the C runtime makes of the file are TFLite Micro's bytes.

Operators with tests of this kind beside their kernels (layers, pools, products, comparisons, tables) are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tflite_micro")
models = pytest.importorskip("tflite_models")
from tflite_models import Op, Tensor, constant  # noqa: E402

from edgesdk import memory, passes, program, runtime, schedule  # noqa: E402
from edgesdk.converters import tflite  # noqa: E402

Shape = tuple[int, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]
EXTENTS = st.integers(1, 5)
REAL = ("int8", "float32")
MOVED = ("int8", "int16", "float32")  # types of the operators that move items


@dataclass
class Case:
    """One operator: inputs, constants and outputs in the order in which it takes them, and its options."""

    code: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    constants: list[Tensor] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


def shape(draw: Draw, low: int = 1, high: int = 4) -> Shape:
    return tuple(draw(st.lists(EXTENTS, min_size=low, max_size=high)))


def like(draw: Draw, dtypes: tuple[str, ...]) -> Callable[[str, Shape], Tensor]:
    """Makes tensors of one type and quantisation."""
    dtype = draw(st.sampled_from(dtypes))
    scale = float(np.float32(draw(st.floats(0.001, 1.0)))) if dtype in ("int8", "int16") else None
    zero = draw(st.integers(-128, 127)) if dtype == "int8" else 0
    return lambda name, shape: Tensor(name, shape, dtype, scale=scale, zero_point=zero)


def mirror_pad(draw: Draw) -> Case:
    make, x, mode = like(draw, REAL), shape(draw, 1, 4), draw(st.integers(0, 1))
    most = [d - 1 if mode == 0 else d for d in x]  # REFLECT leaves the border out
    pads = [[draw(st.integers(0, m)), draw(st.integers(0, m))] for m in most]
    y = tuple(d + sum(p) for d, p in zip(x, pads, strict=True))
    return Case("MIRROR_PAD", [make("x", x)], [make("y", y)], [constant("p", pads)], {"mode": mode})


def expand_dims(draw: Draw) -> Case:
    make, x = like(draw, MOVED), shape(draw)
    axis = draw(st.integers(0, len(x)))
    given = axis if draw(st.booleans()) else axis - len(x) - 1
    return Case("EXPAND_DIMS", [make("x", x)], [make("y", (*x[:axis], 1, *x[axis:]))], [constant("a", [given])])


def strided_slice(draw: Draw) -> Case:
    """Axes whose range is open or of one index, or walked backwards."""
    make, x = like(draw, MOVED), shape(draw)
    begin, end, stride, y = [], [], [], []
    masks = {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0}
    for a, d in enumerate(x):
        step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        first = draw(st.integers(0, d - 1))
        open_end = draw(st.booleans())
        last = draw(st.integers(first + 1, d)) if step > 0 else draw(st.integers(0, first)) - 1
        if draw(st.integers(0, 4)) == 0:
            masks["shrinkAxisMask"] |= 1 << a
            begin, end, stride = [*begin, first], [*end, first + 1], [*stride, 1]
            continue
        masks["endMask"] |= (open_end or last < 0) << a
        stop: int | None = None if open_end or last < 0 else last
        begin, end, stride = [*begin, first - d * draw(st.integers(0, 1))], [*end, last], [*stride, step]
        y.append(len(range(d)[first:stop:step]))
    extra = [constant(n, np.array(v, np.int32)) for n, v in (("b", begin), ("e", end), ("s", stride))]
    return Case("STRIDED_SLICE", [make("x", x)], [make("y", tuple(y))], extra, masks)


def pack(draw: Draw) -> Case:
    make, x, n = like(draw, MOVED), shape(draw, 1, 3), draw(st.integers(1, 6))
    axis = draw(st.integers(0, len(x)))
    y = (*x[:axis], n, *x[axis:])
    options = {"axis": axis if draw(st.booleans()) else axis - len(y), "valuesCount": n}
    return Case("PACK", [make(f"x{i}", x) for i in range(n)], [make("y", y)], [], options)


def unpack(draw: Draw) -> Case:
    make, x = like(draw, MOVED), shape(draw, 2, 4)
    axis = draw(st.integers(0, len(x) - 1))
    y = (*x[:axis], *x[axis + 1 :])
    options = {"axis": axis if draw(st.booleans()) else axis - len(x), "num": x[axis]}
    return Case("UNPACK", [make("x", x)], [make(f"y{i}", y) for i in range(x[axis])], [], options)


def split(draw: Draw) -> Case:
    make, x, n = like(draw, MOVED), list(shape(draw)), draw(st.integers(1, 3))
    axis = draw(st.integers(0, len(x) - 1))
    part = tuple(x)
    x[axis] *= n
    outputs = [make(f"y{i}", part) for i in range(n)]
    return Case("SPLIT", [make("x", tuple(x))], outputs, [constant("a", axis)], {"numSplits": n})


def split_v(draw: Draw) -> Case:
    make, x = like(draw, MOVED), list(shape(draw))
    axis = draw(st.integers(0, len(x) - 1))
    parts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    x[axis] = sum(parts)
    outputs = [make(f"y{i}", (*x[:axis], p, *x[axis + 1 :])) for i, p in enumerate(parts)]
    extra = [constant("n", np.array(parts, np.int32)), constant("a", axis)]
    return Case("SPLIT_V", [make("x", tuple(x))], outputs, extra, {"numSplits": len(parts)})


def broadcast_to(draw: Draw) -> Case:
    make, y = like(draw, ("int8", "int16", "float32", "int32")), shape(draw)
    x = tuple(d if draw(st.booleans()) else 1 for d in y)[draw(st.integers(0, len(y) - 1)) :]
    return Case("BROADCAST_TO", [make("x", x)], [make("y", y)], [constant("s", np.array(y, np.int32))])


def cast(draw: Draw) -> Case:
    x, kinds = shape(draw), ("float32", "int32", "bool")
    a, b = draw(st.sampled_from(kinds)), draw(st.sampled_from(kinds[:2]))
    return Case("CAST", [Tensor("x", x, a)], [Tensor("y", x, b)])


def transpose(draw: Draw) -> Case:
    make, x = like(draw, MOVED), shape(draw, 1, 5)
    perm = draw(st.permutations(range(len(x))))
    y = tuple(x[a] for a in perm)
    return Case("TRANSPOSE", [make("x", x)], [make("y", y)], [constant("p", np.array(perm, np.int32))])


def float_function(code: str) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x = shape(draw)
        return Case(code, [Tensor("x", x, "float32")], [Tensor("y", x, "float32")])

    return case


FUNCTIONS = ("NEG", "EXP", "SQRT", "SQUARE", "ABS", "RSQRT")
CASES = {f.__name__: f for f in (mirror_pad, expand_dims, strided_slice, pack, unpack, split, split_v, broadcast_to)}
CASES |= {"cast": cast, "transpose": transpose, **{code: float_function(code) for code in FUNCTIONS}}


def items(rng: np.random.Generator, t: Tensor, positive: bool) -> np.ndarray:
    if t.dtype == "float32":
        drawn = rng.standard_normal(t.shape).astype(np.float32) * 4
        return np.abs(drawn) + np.float32(0.01) if positive else drawn
    if t.dtype == "bool":
        return np.asarray(rng.integers(0, 2, t.shape) > 0)
    info = np.iinfo(np.int16 if t.dtype == "int32" else t.dtype)
    return rng.integers(info.min, info.max + 1, t.shape).astype(t.dtype)


def opened(model: bytes) -> runtime.Session:
    steps = schedule.schedule(passes.lower(passes.simplify(tflite.parse(model, "model", {}))), ("c",))
    return runtime.open_session(program.write(program.assemble(steps, memory.plan(steps), {})))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_bytes_of_tflite_micro(name: str, data: st.DataObject, seed: int) -> None:
    case = CASES[name](data.draw)
    names = [t.name for t in (*case.inputs, *case.constants)]
    names = ["a", "x"] if case.code == "SPLIT" else names  # the axis comes first
    tensors = [*case.inputs, *case.constants, *case.outputs]
    op = Op(case.code, names, [t.name for t in case.outputs], case.options)
    model = models.build(tensors, [op], inputs=[t.name for t in case.inputs])
    rng = np.random.default_rng(seed)
    arrays = [items(rng, t, name in ("SQRT", "RSQRT")) for t in case.inputs]
    session = opened(model)
    wanted = models.run_micro(model, arrays, len(case.outputs))
    for got, want in zip(runtime.run(session, arrays), wanted, strict=True):
        if name in FUNCTIONS:
            np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7)
        else:
            assert got.dtype == want.dtype and np.array_equal(got.reshape(want.shape), want)
