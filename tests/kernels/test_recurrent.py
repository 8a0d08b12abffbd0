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


def with_data(pair: tuple[Value, np.ndarray]) -> Value:
    value, array = pair
    value.data = array
    return value


def check(op: str, inputs: list[Value | None], arrays: list[np.ndarray], y: Quant | None, **attrs: Any) -> None:
    node = Node(op, inputs, [], attrs, "test")
    quants = [y, *(node.input(i).quant for i in ops.states(Node(op, inputs, [], attrs)).values())]
    inferred = ops.module(op).infer(node)
    node.outputs = [Value(f"y{k}", s, d, q) for k, ((s, d), q) in enumerate(zip(inferred, quants, strict=True))]
    filled = [None if v is None else v.data if v.data is not None else a for v, a in zip(inputs, arrays, strict=True)]
    try:
        harness.check(node, filled)
    except Unsupported as refused:
        assert "32 bits" in str(refused)


@given(
    st.tuples(*[st.integers(1, n) for n in (3, 6, 4, 3, 5)]),
    st.sampled_from(["float32", "int8", "int16"]),
    st.sampled_from(["none", "relu", "relu6"]),
    st.integers(-20, 20),
    seeds,
)
def test_svdf(shape: tuple[int, ...], state: str, activation: str, zero: int, seed: int) -> None:
    batch, in_c, units, rank, memory = shape
    rng, filters = np.random.default_rng(seed), units * rank
    real = "float32" if state == "float32" else "int8"
    x, xs = tensor(rng, "x", (batch, in_c), real, 0.03, zero)
    feature = with_data(tensor(rng, "feature", (filters, in_c), real, 0.02))
    time = with_data(tensor(rng, "time", (filters, memory), state, 0.001 if state == "int16" else 0.03))
    held, old = tensor(
        rng, "state", (batch, filters * memory), state, rng.uniform(0.001, 0.1), zero * (state == "int8")
    )
    bias = None
    if seed % 3:
        bias = Value("b", (units,), "float32" if state == "float32" else "int32")
        bias.data = rng.integers(-500, 500, units).astype(bias.dtype)
    y = None if state == "float32" else Quant.per_tensor(float(rng.uniform(0.01, 2)), int(rng.integers(-128, 128)))
    check("svdf", [x, feature, time, bias, held], [xs, None, None, None, old], y, rank=rank, activation=activation)  # type: ignore[list-item]


sizes = st.tuples(*[st.integers(1, n) for n in (5, 3, 6, 6)])


@given(sizes, st.sampled_from(["int8", "int16"]), st.booleans(), st.sampled_from([0.0, 0.7, 4.0]), seeds)
def test_lstm(shape: tuple[int, ...], dtype: str, time_major: bool, clip: float, seed: int) -> None:
    steps, batch, in_c, units = shape
    rng = np.random.default_rng(seed)
    zero = int(rng.integers(-128, 128)) if dtype == "int8" else 0
    small = 1.0 if dtype == "int8" else 1 / 256
    x, xs = tensor(rng, "x", (steps, batch, in_c) if time_major else (batch, steps, in_c), dtype, 0.02 * small, zero)
    scales = [rng.uniform(0.002, 0.05, 4), rng.uniform(0.002, 0.05)][seed % 2]
    w = with_data(tensor(rng, "w", (4, units, in_c), "int8", scales))
    r = with_data(tensor(rng, "r", (4, units, units), "int8", scales))
    b = Value("b", (4, units), "int32" if dtype == "int8" else "int64")
    b.data = rng.integers(-(2**15), 2**15, b.shape).astype(b.dtype)
    h, hs = tensor(rng, "h", (batch, units), dtype, small / 128, zero)
    c, cs = tensor(rng, "c", (batch, units), "int16", 2.0 ** -int(rng.integers(9, 16)))
    attrs = {"reverse": seed % 5 < 2, "time_major": time_major, "cell_clip": clip}
    check("lstm", [x, w, r, b, h, c], [xs, None, None, None, hs, cs], h.quant, **attrs)  # type: ignore[list-item]


def float_layer(rng: np.random.Generator, kind: str, shape: tuple[int, ...], time_major: bool) -> tuple[list, list]:  # type: ignore[type-arg]
    steps, batch, in_c, units = shape
    gates = ops.rnn.GATES[kind]  # type: ignore[attr-defined]
    x, xs = tensor(rng, "x", (steps, batch, in_c) if time_major else (batch, steps, in_c), "float32", 1.0)
    weights = [
        with_data(tensor(rng, n, s, "float32", 1.0))
        for n, s in (("w", (gates, units, in_c)), ("r", (gates, units, units)), ("b", (2, gates, units)))
    ]
    for v in weights:
        assert v.data is not None
        v.data = v.data / np.float32(4)  # steps do not amplify rounding
    held = [tensor(rng, n, (batch, units), "float32", 1.0) for n in ("h", "c")[: 2 if kind == "lstm" else 1]]
    return [x, *weights, *(v for v, _ in held)], [xs, None, None, None, *(a for _, a in held)]


@given(
    st.sampled_from(["lstm", "gru_reset_before", "gru_reset_after", "rnn_tanh", "rnn_relu"]),
    sizes,
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_float_layers(kind: str, shape: tuple[int, ...], reverse: bool, time_major: bool, seed: int) -> None:
    inputs, arrays = float_layer(np.random.default_rng(seed), kind, shape, time_major)
    attrs = {"kind": kind, "reverse": reverse, "time_major": time_major, "cell_clip": (0.0, 0.5)[seed % 2]}
    check("rnn", inputs, arrays, None, **attrs)


@given(sizes, st.booleans(), st.booleans(), seeds)
def test_peepholes(shape: tuple[int, ...], reverse: bool, time_major: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, arrays = float_layer(rng, "lstm", shape, time_major)
    inputs.append(with_data(tensor(rng, "p", (3, shape[3]), "float32", 1.0)))
    attrs = {"kind": "lstm", "reverse": reverse, "time_major": time_major, "cell_clip": (0.0, 0.5)[seed % 2]}
    check("rnn", inputs, [*arrays, None], None, **attrs)


@given(st.sampled_from(["gru_reset_before", "gru_reset_after", "rnn_tanh"]), sizes, st.booleans(), st.booleans(), seeds)
def test_integer_layers(kind: str, shape: tuple[int, ...], reverse: bool, time_major: bool, seed: int) -> None:
    steps, batch, in_c, units = shape
    rng, gates = np.random.default_rng(seed), ops.rnn.GATES[kind]  # type: ignore[attr-defined]
    x, xs = tensor(rng, "x", (steps, batch, in_c) if time_major else (batch, steps, in_c), "int8", 0.02, 5)
    scales = rng.uniform(0.001, 0.05, gates)
    w = with_data(tensor(rng, "w", (gates, units, in_c), "int8", scales))
    r = with_data(tensor(rng, "r", (gates, units, units), "int8", scales))
    b = Value("b", (2, gates, units), "int32")
    b.data = rng.integers(-3000, 3000, b.shape).astype(np.int32)
    h, hs = tensor(rng, "h", (batch, units), "int16", 2.0**-15)
    attrs = {"kind": kind, "reverse": reverse, "time_major": time_major, "cell_clip": 0.0}
    check("rnn", [x, w, r, b, h], [xs, None, None, None, hs], Quant.per_tensor(1 / 128, 0), **attrs)  # type: ignore[list-item]


def test_a_constant_is_no_state() -> None:
    """The loader refuses a step that would write into the weights."""
    rng = np.random.default_rng(0)
    inputs, _ = float_layer(rng, "rnn_tanh", (2, 1, 3, 2), True)
    attrs = {"kind": "rnn_tanh", "reverse": False, "time_major": True, "cell_clip": 0.0}
    node = Node("rnn", inputs, [Value("y", (2, 1, 2), "float32"), Value("h", (1, 2), "float32")], attrs, "test")
    (kernel,) = harness.rows_of("rnn", "f32")
    encoded = ops.module("rnn").encode(node, kernel)
    words, blobs = harness.place(encoded.params)
    harness._check_accepts(kernel, words, encoded, len(blobs))
    encoded.inputs[1].value.data = np.zeros((1, 2), np.float32)
    with pytest.raises(AssertionError, match="refuses"):
        harness._check_accepts(kernel, words, encoded, len(blobs))
