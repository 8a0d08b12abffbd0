# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies and small constructors for the nodes that kernel tests run."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgesdk.ir import Node, Quant, Value

seeds = st.integers(0, 2**32 - 1)
scales = st.floats(1e-4, 2.0).map(lambda s: float(np.float32(s)))
zero_points = st.integers(-128, 127)
activations = st.sampled_from(["none", "relu", "relu6", "relu_n1_to_1"])


def quant(draw: Any, dtype: str = "int8") -> Quant:
    return Quant.per_tensor(draw(scales), 0 if dtype == "int16" else draw(zero_points))


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Uniform integers with extremes made common, or standard normal floats."""
    if dtype in ("float32", "float16"):
        return rng.standard_normal(shape).astype(dtype)
    low, high = (-8, 7) if dtype == "int4" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    a = rng.integers(low, high + 1, shape, dtype=np.int64).astype("int8" if dtype == "int4" else dtype)
    extremes = rng.random(shape)
    a[extremes < 0.05], a[extremes > 0.95] = low, high
    return a


def random_items(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """`random_array` for every dtype: integers near 0, near their ends and anywhere."""
    if dtype in ("float32", "int8"):
        return random_array(rng, shape, dtype)
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape) > 0)
    info = np.iinfo(dtype)
    anywhere = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    near = (rng.integers(-9, 10, shape) if info.min else rng.integers(0, 20, shape)).astype(dtype)
    ends = rng.choice(np.array([info.min, info.max], dtype), shape)
    return np.asarray(np.select([rng.random(shape) < 0.6, rng.random(shape) < 0.5], [near, ends], anywhere))


def value(name: str, shape: tuple[int, ...], dtype: str, q: Quant | None = None, data: Any = None) -> Value:
    return Value(name, shape, dtype, q, data)


def node(op: str, inputs: list, out_shape: tuple[int, ...], dtype: str, q: Quant | None = None, **attrs: Any) -> Node:  # type: ignore[type-arg]
    return Node(op, inputs, [Value("y", out_shape, dtype, q)], attrs, "test")


def inferred(op: str, inputs: list, q: Quant | None = None, dtype: str | None = None, **attrs: Any) -> Node:  # type: ignore[type-arg]
    """A node whose output shape and dtype come from the op's own shape rule."""
    from edgesdk import ops

    n = node(op, inputs, (1,), dtype or inputs[0].dtype, q, **attrs)
    (shape, out_dtype), *_ = ops.module(op).infer(n)
    n.outputs = [Value("y", shape, out_dtype, q)]
    return n
