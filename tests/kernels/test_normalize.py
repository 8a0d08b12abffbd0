# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Quant
from edgesdk.ops import normalize


def norm(
    op: str, shape: tuple[int, ...], x: Quant | None, y: Quant | None, seed: int | None = 0, dtype: str = "int8",
    **attrs: Any,
) -> Node:  # fmt: skip
    """`seed` None leaves scale and shift out."""
    size = shape[attrs["axis"] :] if "axis" in attrs else shape[-1:]
    constants = [None, None]
    if seed is not None:
        rng = np.random.default_rng(seed)
        given = (rng.normal(1, 0.5, size), rng.normal(0, 0.5, size))
        constants = [value(n, size, "float32", None, a.astype(np.float32)) for n, a in zip("sb", given, strict=True)]
    source = value("x", shape, "float32" if x is None else dtype, x)
    return inferred(op, [source, *constants], y, **{"epsilon": 1e-5, **attrs})


@st.composite
def norms(draw: Any, dtype: str) -> tuple[Node, list]:
    op = draw(st.sampled_from(normalize.NAMES))
    rng, rank = np.random.default_rng(draw(seeds)), draw(st.integers(2, 4))
    groups = draw(st.integers(1, 4))
    shape = (
        *(draw(st.integers(1, 6)) for _ in range(rank - 1)),
        groups * draw(st.one_of(st.integers(1, 9), st.integers(10, 40))),
    )
    attrs = {"axis": draw(st.integers(0, rank - 1))} if op in ("layer_norm", "rms_norm") else {"groups": groups}
    attrs = {} if op == "instance_norm" else attrs
    x, y = (None, None) if dtype == "float32" else (quant(draw, dtype), quant(draw, dtype))
    epsilon = draw(st.sampled_from([1e-5, 1e-3, 1e-12]))
    node = norm(op, shape, x, y, draw(st.sampled_from([None, 1])), dtype, epsilon=epsilon, **attrs)
    a = random_array(rng, shape, dtype)
    if dtype != "float32" and draw(st.booleans()):
        a //= draw(st.sampled_from([1, 16, 100] if dtype == "int8" else [1, 100, 10000, 30000]))  # small variances
    return node, [a, *(None if v is None else v.data for v in node.inputs[1:])]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@given(data=st.data())
def test_norm_equals_reference(dtype: str, data) -> None:
    harness.check(*data.draw(norms(dtype)))


def real(node: Node, x: np.ndarray) -> np.ndarray:
    """Output steps before rounding, by the formula in float64."""
    f = normalize.form(node)
    wide = (x.reshape(f.shape).astype(np.float64) - node.input(0).zero_point) * node.input(0).scale
    wide = wide if node.op == "rms_norm" else wide - wide.mean((1, 3), keepdims=True)
    variance = np.square(wide).mean((1, 3), keepdims=True) + float(np.float32(node.attrs["epsilon"]))
    scale, shift = normalize.spread(node)
    y = wide / np.sqrt(variance) * scale + shift
    return (y / node.output.scale + node.output.zero_point).reshape(x.shape)


def far(node: Node, x: np.ndarray) -> float:
    """Steps between the reference and the real number that it stands for."""
    got, info = ops.module(node.op).reference(node, [x, None, None])[0], np.iinfo(x.dtype)
    return float(np.abs(got - np.clip(real(node, x), info.min, info.max)).max())


@pytest.mark.parametrize(("dtype", "error"), [("int8", 2**-8), ("int16", 2**-7)])
@given(data=st.data())
def test_integers_are_rounded_once(dtype: str, error: float, data) -> None:
    """The integer formula is within half a step, and what the contract states, of the real one."""
    node, (x, *_) = data.draw(norms(dtype))
    assume(dtype == "int8" or np.abs(normalize.spread(node)[0]).max() / node.output.scale < 2**16)
    assert far(node, x) <= 0.5 + error


@pytest.mark.parametrize("n", [1, 2, 3, 4096, 2**15])
@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
def test_extremes_of_16_bits(op: str, n: int) -> None:
    rng, low = np.random.default_rng(n), np.full((1, n), -32768, np.int16)
    half = np.where(np.arange(n) % 2 == 0, low, 32767).astype(np.int16)
    for x in (random_array(rng, (1, n), "int16"), low, half, np.eye(1, n, dtype=np.int16) * 32767, low * 0):
        for scale, out in ((1e-4, 2.0**-11), (1.0, 2.0**-16), (2.0**-20, 3.0)):
            q, y = Quant.per_tensor(scale, 0), Quant.per_tensor(out, 0)
            node = norm(op, (1, n), q, y, None, "int16", axis=1)
            harness.check(node, [x, None, None])
            assert far(node, x) <= 0.5 + 2**-7


@pytest.mark.parametrize("gain", [2**31 - 1, -(2**31)])
def test_largest_words_of_16_bits(gain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gains and offsets that no converter writes still stay within 64 bits."""
    q, n = Quant.per_tensor(1.0, 0), 2**15
    node = norm("rms_norm", (1, n), q, q, None, "int16", axis=1, epsilon=0.0)
    words = [np.full(1, gain, np.int32)] * 2
    monkeypatch.setattr(normalize, "words", lambda node: normalize.Words(0, 0, *words, 40))
    for sign in (1, -1):
        x = np.eye(1, n, dtype=np.int16) * np.int16(sign * 32767)
        exact = gain * int(sign * 2**24 * 2**7.5) + (gain << 30)
        got = harness.run(node, [x, None, None], harness.rows_of("normalize", "s16")[0])
        assert abs(int(got[0, 0]) - np.clip(exact / 2**40, -32768, 32767)) <= 1


@pytest.mark.parametrize("n", [1, 2, 3, 4096, 2**16, 2**20])
@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
def test_short_and_long_rows(op: str, n: int) -> None:
    rng = np.random.default_rng(n)
    for x in (random_array(rng, (1, n), "int8"), np.full((1, n), -128, np.int8), np.eye(1, n, dtype=np.int8) * 127):
        for q in (Quant.per_tensor(1e-4, 127), Quant.per_tensor(1.0, -128)):
            node = norm(op, (1, n), q, Quant.per_tensor(0.05, 3), None, axis=1)
            harness.check(node, [x, None, None])
            assert far(node, x) <= 0.5 + 2**-8


def test_the_inverse_root_is_as_near_as_stated() -> None:
    u = np.concatenate([np.arange(2**30, 2**32, 40961), 2**30 + np.arange(3000), 2**32 - 1 - np.arange(3000)])
    relative = normalize.inverse_root(u) * np.sqrt(u / 2**32) / 2**30 - 1
    assert np.abs(relative).max() < 2**-28


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_float_sums_keep_their_digits(offset: float) -> None:
    """A large mean, and many items."""
    x = (np.random.default_rng(0).standard_normal((1, 300, 300, 2)) + offset).astype(np.float32)
    harness.check(norm("instance_norm", x.shape, None, None, None), [x, None, None])


@pytest.mark.parametrize("epsilon", [0.0, 1e-5, 1e-40])
def test_float_special_values(epsilon: float) -> None:
    x = np.array([[1, 2, 3], [np.nan, 1, 2], [np.inf, 1, 2], [1e-20, 2e-20, -1e-20], [1e18, -1e18, 1e17]], np.float32)
    node = norm("layer_norm", x.shape, None, None, None, axis=1, epsilon=epsilon)
    expected = ops.module("layer_norm").reference(node, [x, None, None])[0]
    for kernel in harness.rows_of("normalize", "f32"):
        got = harness.run(node, [x, None, None], kernel)
        assert np.array_equal(np.isnan(got), np.isnan(expected))
        np.testing.assert_allclose(got[[0, 4]], expected[[0, 4]], rtol=1e-5)


@settings(max_examples=20)
@given(seed=seeds, groups=st.integers(1, 3))
def test_float_norms_equal_torch(seed: int, groups: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(seed).standard_normal((2, 3, 4, 2 * groups)).astype(np.float32)
    node = norm("group_norm", x.shape, None, None, groups=groups)
    s, b = (torch.tensor(v.data) for v in node.inputs[1:])
    expected = torch.nn.functional.group_norm(torch.tensor(x.transpose(0, 3, 1, 2)), groups, s, b, 1e-5)
    got = ops.module("group_norm").reference(node, [x, None, None])[0]
    np.testing.assert_allclose(got, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    node = norm("layer_norm", x.shape, None, None, axis=2)
    s, b = (torch.tensor(v.data) for v in node.inputs[1:])
    expected = torch.nn.functional.layer_norm(torch.tensor(x), x.shape[2:], s, b, 1e-5)
    got = ops.module("layer_norm").reference(node, [x, None, None])[0]
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_held_is_refused() -> None:
    one = Quant.per_tensor(1, 0)
    with pytest.raises(Unsupported, match="at most 1048576"):
        normalize.words(norm("layer_norm", (1, 2**21), one, one, None, axis=1))
    with pytest.raises(Unsupported, match="int16 layer_norm over 32769 items; expected at most 32768"):
        normalize.words(norm("layer_norm", (1, 2**15 + 1), one, one, None, "int16", axis=1))
    with pytest.raises(Unsupported, match="far below its epsilon"):
        normalize.words(norm("layer_norm", (1, 2**18), Quant.per_tensor(1e-7, 0), one, None, axis=1))
    with pytest.raises(ValueError, match="multiple of the groups"):
        norm("group_norm", (1, 2, 5), None, None, None, groups=2)
