# SPDX-License-Identifier: Apache-2.0
"""svdf, lstm and rnn against their references: outputs and the states that they change."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import seeds

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Quant, Value
from edgesdk.kernels import Kernel

Case = tuple[Node, list[Any]]

STATES = {"f32": "float32", "s8s8": "int8", "s8s16": "int16"}  # of svdf, by the types of its kernels
RANGES = {"int8": 128, "int16": 1 << 15}


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Integers over the whole range with its ends made common; floats of the order of 1."""
    if dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    most = RANGES[dtype]
    a = rng.integers(-most, most, shape).astype(dtype)
    ends = rng.random(shape)
    a[ends < 0.05], a[ends > 0.95] = -most, most - 1
    return a


def tensor(
    rng: np.random.Generator, name: str, shape: tuple[int, ...], dtype: str, scale: Any, zero: int = 0
) -> tuple[Value, np.ndarray]:
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    quant = Quant(scales, np.full(scales.shape, zero, np.int32), 0 if scales.size > 1 else None)
    return Value(name, shape, dtype, None if dtype == "float32" else quant), random(rng, shape, dtype)


def constant(rng: np.random.Generator, name: str, shape: tuple[int, ...], dtype: str, scale: Any) -> Value:
    found, found.data = tensor(rng, name, shape, dtype, scale)
    return found


def case_of(op: str, inputs: list[Value | None], arrays: list[np.ndarray], y: Quant | None, **attrs: Any) -> Case:
    """A node, and what all of its inputs hold: `arrays` are those of the inputs that are no constants, in order."""
    node, given = Node(op, inputs, [], attrs, "test"), iter(arrays)
    quants = [y, *(node.input(i).quant for i in ops.states(node).values())]
    inferred = ops.module(op).infer(node)
    node.outputs = [Value(f"y{k}", s, d, q) for k, ((s, d), q) in enumerate(zip(inferred, quants, strict=True))]
    return node, [None if v is None else next(given) if v.data is None else v.data for v in inputs]


def check(case: Case) -> None:
    try:
        harness.check(*case)
    except Unsupported as refused:
        assert "32 bits" in str(refused)


def shapes(*most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(1, n) for n in most])


@st.composite
def filters(draw, state: str) -> Case:  # type: ignore[no-untyped-def]
    batch, in_c, units, rank, memory = draw(shapes(3, 6, 4, 3, 5) | shapes(2, 70, 20, 3, 40))
    seed, zero = draw(seeds), draw(st.integers(-20, 20))
    rng, n = np.random.default_rng(seed), units * rank
    real = "float32" if state == "float32" else "int8"
    x, xs = tensor(rng, "x", (batch, in_c), real, 0.03, zero)
    feature = constant(rng, "feature", (n, in_c), real, 0.02)
    time = constant(rng, "time", (n, memory), state, 0.001 if state == "int16" else 0.03)
    held, old = tensor(rng, "state", (batch, n * memory), state, rng.uniform(0.001, 0.1), zero * (state == "int8"))
    bias = None
    if seed % 3:
        bias = Value("b", (units,), "float32" if state == "float32" else "int32")
        bias.data = rng.integers(-500, 500, units).astype(bias.dtype)
    y = None if state == "float32" else Quant.per_tensor(float(rng.uniform(0.01, 2)), int(rng.integers(-128, 128)))
    attrs = {"rank": rank, "activation": draw(st.sampled_from(["none", "relu", "relu6"]))}
    return case_of("svdf", [x, feature, time, bias, held], [xs, old], y, **attrs)


@given(st.sampled_from(sorted(STATES.values())).flatmap(filters))
def test_svdf(case: Case) -> None:
    check(case)


# Time steps, batch, inputs, units: a few, or vectors and blocks of them.
sizes = shapes(5, 3, 6, 6) | shapes(14, 3, 40, 40) | shapes(4, 14, 20, 20)


@st.composite
def lstms(draw, dtype: str) -> Case:  # type: ignore[no-untyped-def]
    (steps, batch, in_c, units), time_major, seed = draw(sizes), draw(st.booleans()), draw(seeds)
    rng = np.random.default_rng(seed)
    zero = int(rng.integers(-128, 128)) if dtype == "int8" else 0
    small = 1.0 if dtype == "int8" else 1 / 256
    x, xs = tensor(rng, "x", (steps, batch, in_c) if time_major else (batch, steps, in_c), dtype, 0.02 * small, zero)
    scales = [rng.uniform(0.002, 0.05, 4), rng.uniform(0.002, 0.05)][seed % 2]
    w = constant(rng, "w", (4, units, in_c), "int8", scales)
    r = constant(rng, "r", (4, units, units), "int8", scales)
    b = Value("b", (4, units), "int32" if dtype == "int8" else "int64")
    b.data = rng.integers(-(2**15), 2**15, b.shape).astype(b.dtype)
    h, hs = tensor(rng, "h", (batch, units), dtype, small / 128, zero)
    c, cs = tensor(rng, "c", (batch, units), "int16", 2.0 ** -int(rng.integers(9, 16)))
    attrs = {"reverse": seed % 5 < 2, "time_major": time_major, "cell_clip": draw(st.sampled_from([0.0, 0.7, 4.0]))}
    return case_of("lstm", [x, w, r, b, h, c], [xs, hs, cs], h.quant, **attrs)


@given(st.sampled_from(["int8", "int16"]).flatmap(lstms))
def test_lstm(case: Case) -> None:
    check(case)


KINDS = ("lstm", "gru_reset_before", "gru_reset_after", "rnn_tanh", "rnn_relu")


@st.composite
def layers(draw, peepholes: bool = False) -> Case:  # type: ignore[no-untyped-def]
    """Floats. Steps do not amplify rounding: a state grows by no factor above one."""
    kind, seed = "lstm" if peepholes else draw(st.sampled_from(KINDS)), draw(seeds)
    (steps, batch, in_c, units), time_major = draw(sizes), draw(st.booleans())
    rng, gates = np.random.default_rng(seed), ops.module("rnn").GATES[kind]
    x, xs = tensor(rng, "x", (steps, batch, in_c) if time_major else (batch, steps, in_c), "float32", 1.0)
    inputs: list[Value | None] = [x]
    for name, shape in (("w", (gates, units, in_c)), ("r", (gates, units, units)), ("b", (2, gates, units))):
        v = constant(rng, name, shape, "float32", 1.0)
        assert v.data is not None
        v.data /= np.float32(max(4.0, 2 * shape[2] ** 0.5))
        inputs.append(v)
    held = [tensor(rng, n, (batch, units), "float32", 1.0) for n in ("h", "c")[: 2 if kind == "lstm" else 1]]
    inputs += [v for v, _ in held]
    inputs += [constant(rng, "p", (3, units), "float32", 1.0)] * peepholes
    attrs = {"kind": kind, "reverse": draw(st.booleans()), "time_major": time_major, "cell_clip": (0.0, 0.5)[seed % 2]}
    return case_of("rnn", inputs, [xs, *(a for _, a in held)], None, **attrs)


@given(layers())
def test_float_layers(case: Case) -> None:
    check(case)


@given(layers(peepholes=True))
def test_peepholes(case: Case) -> None:
    check(case)


@st.composite
def integer_layers(draw) -> Case:  # type: ignore[no-untyped-def]
    kind, (steps, batch, in_c, units) = draw(st.sampled_from(KINDS[1:4])), draw(sizes)
    rng, gates, time_major = np.random.default_rng(draw(seeds)), ops.module("rnn").GATES[kind], draw(st.booleans())
    x, xs = tensor(rng, "x", (steps, batch, in_c) if time_major else (batch, steps, in_c), "int8", 0.02, 5)
    scales = rng.uniform(0.001, 0.05, gates)
    w = constant(rng, "w", (gates, units, in_c), "int8", scales)
    r = constant(rng, "r", (gates, units, units), "int8", scales)
    b = Value("b", (2, gates, units), "int32")
    b.data = rng.integers(-3000, 3000, b.shape).astype(np.int32)
    h, hs = tensor(rng, "h", (batch, units), "int16", 2.0**-15)
    attrs = {"kind": kind, "reverse": draw(st.booleans()), "time_major": time_major, "cell_clip": 0.0}
    return case_of("rnn", [x, w, r, b, h], [xs, hs], Quant.per_tensor(1 / 128, 0), **attrs)


@given(integer_layers())
def test_integer_layers(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("kernel", harness.rows_of("rnn", "f32"), ids=lambda k: k.isa)
def test_a_constant_is_no_state(kernel: Kernel) -> None:
    """The loader refuses a step that would write into the weights."""
    rng = np.random.default_rng(0)
    held = tensor(rng, "h", (1, 2), "float32", 1.0)
    x = tensor(rng, "x", (2, 1, 3), "float32", 1.0)
    weights = [constant(rng, n, s, "float32", 1.0) for n, s in (("w", (1, 2, 3)), ("r", (1, 2, 2)), ("b", (2, 1, 2)))]
    attrs = {"kind": "rnn_tanh", "reverse": False, "time_major": True, "cell_clip": 0.0}
    node, _ = case_of("rnn", [x[0], *weights, held[0]], [x[1], held[1]], None, **attrs)
    encoded = ops.module("rnn").encode(node, kernel)
    words, blobs = harness.place(encoded.params)
    harness._check_accepts(kernel, words, encoded, len(blobs))
    encoded.inputs[1].value.data = np.zeros((1, 2), np.float32)
    with pytest.raises(AssertionError, match="refuses"):
        harness._check_accepts(kernel, words, encoded, len(blobs))
