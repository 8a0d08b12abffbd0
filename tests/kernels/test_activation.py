# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, scales, seeds, value, zero_points

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant
from edgesdk.kernels import Kernel
from edgesdk.ops import activation
from edgesdk.passes.lower_unary import lower_unary
from edgesdk.verify import verify

EVERY = np.arange(-128, 128).astype(np.int8)
CASES = [
    ("gelu", {}), ("gelu", {"approximate": True}), ("silu", {}), ("erf", {}), ("softplus", {}), ("mish", {}),
    ("elu", {"alpha": 0.7}), ("selu", {"alpha": 1.6732632, "gamma": 1.050701}),
    ("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5}),
]  # fmt: skip
# Units in the last place, as activation.h states them; gelu's tanh form adds 8 |v| below 0.
ULPS = {"gelu": 8, "silu": 4, "erf": 3, "softplus": 3, "mish": 5, "elu": 3, "selu": 3}


def case_of(op: str, attrs: dict, n: int) -> Node:
    return inferred(op, [value("x", (n,), "float32")], **attrs)


@st.composite
def floats(draw, cases: list[tuple[str, dict]] = CASES) -> tuple[Node, list]:
    (op, attrs), rng = draw(st.sampled_from(cases)), np.random.default_rng(draw(seeds))
    shape = (*draw(st.lists(st.integers(1, 5), max_size=3)), draw(st.integers(1, 20)))
    x = rng.standard_normal(shape) * np.exp(draw(st.floats(-6, 5)))
    return inferred(op, [value("x", shape, "float32")], **attrs), [x.astype(np.float32)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
@given(data=st.data())
def test_floats_equal_reference(case: tuple[str, dict], data) -> None:
    harness.check(*data.draw(floats([case])))


@pytest.mark.parametrize(("op", "attrs"), CASES)
def test_special_values(op: str, attrs: dict) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-40, -88.0, 88.8, -104.0, 90.0, 1e13], np.float32)
    with np.errstate(invalid="ignore"):
        harness.check(case_of(op, attrs, x.size), [x])


def spread_arguments() -> np.ndarray:
    small = np.geomspace(1e-30, 1, 2001)
    return np.concatenate([np.linspace(-14, 20, 40001), small, -small]).astype(np.float32)


def check_errors(op: str, attrs: dict, x: np.ndarray, got: np.ndarray) -> None:
    """What a kernel gives for x is as exact as activation.h states."""
    with np.errstate(all="ignore"):
        exact = activation._FLOAT[op](x.astype(np.float64), case_of(op, attrs, x.size))
    limit = np.full(x.shape, float(ULPS[op]))
    if attrs.get("approximate"):
        v = math.sqrt(2 / math.pi) * (x + 0.044715 * x.astype(np.float64) ** 3)
        limit = np.where(x < 0, 8 + 8 * np.abs(v), 8)
    normal = np.abs(exact) > 2.0**-125
    ulp = np.spacing(np.abs(exact[normal]).astype(np.float32)).astype(np.float64)
    error = np.abs(got - exact)[normal] / ulp
    assert (error / limit[normal]).max() <= 1, (error.max(), x[normal][error.argmax()])
    assert np.abs(got - exact)[~normal].max(initial=0) <= 2.0**-140


@pytest.mark.parametrize("kernel", harness.rows_of("activation", "f32"), ids=lambda kernel: kernel.isa)
@pytest.mark.parametrize(("op", "attrs"), CASES[:-1])
def test_errors_are_as_stated(op: str, attrs: dict, kernel: Kernel) -> None:
    x = spread_arguments()
    check_errors(op, attrs, x, harness.run(case_of(op, attrs, x.size), [x], kernel).astype(np.float64))


@pytest.mark.parametrize(("op", "attrs"), CASES)
@given(scale=scales, x_zero=zero_points, y_scale=scales, y_zero=zero_points)
def test_int8_is_the_nearest_step(op: str, attrs: dict, scale: float, x_zero: int, y_scale: float, y_zero: int) -> None:
    source, result = Quant.per_tensor(scale, x_zero), Quant.per_tensor(y_scale, y_zero)
    node = inferred(op, [value("x", (256,), "int8", source)], result, **attrs)
    got = ops.module(op).reference(node, [EVERY])[0]
    with np.errstate(all="ignore"):
        real = activation._FLOAT[op]((EVERY.astype(np.float64) - x_zero) * scale, node)
    expected = np.clip(real / y_scale + y_zero, -128, 127)
    assert np.abs(got - expected).max() <= 0.5 + 1e-4 * max(1, 127 * scale / y_scale)
    graph = verify(lower_unary(Graph("g", [node.input(0)], node.outputs, [node])), "lowered")
    assert [n.op for n in graph.nodes] == ["lut"]
    assert np.array_equal(ops.evaluate(graph, [EVERY])[node.output], got)


@pytest.mark.parametrize(("op", "attrs"), CASES)
def test_the_functions_are_those_of_torch(op: str, attrs: dict) -> None:
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    functions = {
        "gelu": lambda x: f.gelu(x, approximate="tanh" if attrs.get("approximate") else "none"),
        "silu": f.silu, "erf": torch.erf, "softplus": f.softplus, "mish": f.mish, "elu": lambda x: f.elu(x, 0.7),
        "selu": f.selu, "hard_sigmoid": f.hardsigmoid,
    }  # fmt: skip
    x = np.linspace(-10, 10, 401).astype(np.float32)
    got = ops.module(op).reference(case_of(op, attrs, x.size), [x])[0]
    np.testing.assert_allclose(got, functions[op](torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)
