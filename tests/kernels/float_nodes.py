# SPDX-License-Identifier: Apache-2.0
"""Random nodes of the float functions and pairs that one source makes for all vectors (runtime_c/kernels/floats.h), by
kernel folder and types. They need no lowering."""

from __future__ import annotations

from typing import Any

import numpy as np
import test_arithmetic
import test_binary
import test_elementary
import test_elementwise
import test_reduce
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from nodes import inferred, random_array, seeds, value

from edgesdk.ops import arithmetic, broadcast, elementary, elementwise, reduce


@st.composite
def functions(draw, names: tuple[str, ...]) -> Any:  # type: ignore[no-untyped-def]
    op, rng = draw(st.sampled_from(names)), np.random.default_rng(draw(seeds))
    shape = (*draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 20)))
    x = rng.standard_normal(shape) * np.exp(draw(st.floats(-6, 3)))
    return test_elementary.float_node(op, shape), [x.astype(np.float32)]


@st.composite
def log_softmaxes(draw) -> Any:  # type: ignore[no-untyped-def]
    shape = (*draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 40)))
    x = random_array(np.random.default_rng(draw(seeds)), shape, "float32")
    return inferred("log_softmax", [value("x", shape, "float32")]), [x]


def of_any(nodes: list[SearchStrategy[Any]]) -> SearchStrategy[Any]:
    return st.one_of(nodes).filter(lambda case: broadcast.layout(case[0]) is not None)


COMPARED = [test_elementwise.pairs(op, "float32") for op in elementwise.COMPARISONS]
SELECTED = [test_elementwise.pairs("select", dtype) for dtype in ("float32", "int32", "int8")]
REDUCED = [test_reduce.reductions(op, "float32") for op in ("mean", "sum", "reduce_max", "reduce_min", "reduce_prod")]
NODES: dict[tuple[str, str], SearchStrategy[Any]] = {
    ("elementary", "f32"): functions(tuple(n for n in elementary.NAMES if n != "power")),
    ("power", "f32"): functions(("power",)),
    ("log_softmax", "f32"): log_softmaxes(),
    ("arith", "f32"): of_any([test_arithmetic.cases(op, "float32") for op in arithmetic.NAMES if op != "pow"]),
    ("pow", "f32"): of_any([test_arithmetic.cases("pow", "float32")]),
    ("minmax", "f32"): of_any([test_binary.binaries(op, "float32") for op in ("minimum", "maximum")]),
    ("elementwise", "any"): of_any(COMPARED + SELECTED),
    ("reduce", "f32"): st.one_of(REDUCED).filter(
        lambda case: reduce.canonical(case[0].input(0).shape, case[0].attrs["axes"]) is not None
    ),
}
