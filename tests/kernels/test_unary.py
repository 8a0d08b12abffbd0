# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, seeds, value

from edgesdk.ir import Node
from edgesdk.kernels import Kernel

ATTRS = {"clip": {"min": -0.5, "max": 2.0}, "leaky_relu": {"alpha": 0.1}}
NAMES = ["relu", "relu6", "relu_n1_to_1", "clip", "leaky_relu", "hard_swish", "logistic", "tanh"]


@st.composite
def floats(draw, names: list[str] = NAMES) -> tuple[Node, list]:
    op, rng = draw(st.sampled_from(names)), np.random.default_rng(draw(seeds))
    shape = (*draw(st.lists(st.integers(1, 5), max_size=3)), draw(st.integers(1, 20)))
    x = rng.standard_normal(shape) * np.exp(draw(st.floats(-6, 5)))
    return inferred(op, [value("x", shape, "float32")], **ATTRS.get(op, {})), [x.astype(np.float32)]


@pytest.mark.parametrize("op", NAMES)
@given(data=st.data())
def test_unary_equals_reference(op: str, data) -> None:
    harness.check(*data.draw(floats([op])))


@pytest.mark.parametrize("op", NAMES)
def test_special_values(op: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-40, -88.0, 88.8, -104.0, 90.0], np.float32)
    harness.check(inferred(op, [value("x", x.shape, "float32")], **ATTRS.get(op, {})), [x])


@pytest.mark.parametrize("kernel", harness.rows_of("unary", "f32"), ids=lambda kernel: kernel.isa)
@pytest.mark.parametrize("op", ["logistic", "tanh"])
def test_ulps(op: str, kernel: Kernel) -> None:
    """Every item within 4 ulp, on vectors tanh within 6: relative L2 alone would hide the small ones."""
    x = np.concatenate([np.linspace(-20, 20, 20001), np.geomspace(1e-30, 1, 2001)]).astype(np.float32)
    node = inferred(op, [value("x", x.shape, "float32")])
    got = harness.run(node, [x], kernel).astype(np.float64)
    wide = x.astype(np.float64)
    exact = np.tanh(wide) if op == "tanh" else 1 / (1 + np.exp(-wide))
    ulp = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert (np.abs(got - exact) / ulp).max() <= (6 if op == "tanh" and kernel.isa != "c" else 4)
    assert np.abs(got).max() <= 1
