# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Quant
from edgesdk.ops import resize_filter as rf


def half_pixel(before: int, after: int) -> np.ndarray:
    return (np.arange(after) + 0.5) * before / after - 0.5


@st.composite
def nodes(draw, dtype: str) -> Node:
    n, h, w, c = (draw(st.integers(1, 5)) for _ in range(4))
    filters = []
    for extent in (h, w):
        out = draw(st.integers(1, 8))
        kernel, reach = draw(st.sampled_from([(rf.linear, 1), (rf.cubic(-0.75), 2), (rf.cubic(-0.5), 2)]))
        shrink = min(1.0, out / extent) if draw(st.booleans()) else 1.0
        inside = draw(st.booleans())
        positions = half_pixel(extent, out)
        filters.append(rf.make_filter(positions, extent, kernel, reach, shrink=shrink, inside_only=inside))
    q = quant(draw) if dtype == "int8" else None
    x = value("x", (n, h, w, c), dtype, q)
    return inferred("resize_filter", [x], q, rows=filters[0], columns=filters[1])


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@given(seed=seeds, data=st.data())
def test_resize_filter_equals_reference(dtype: str, seed: int, data) -> None:
    node = data.draw(nodes(dtype))
    harness.check(node, [random_array(np.random.default_rng(seed), node.input(0).shape, dtype)])


@given(seed=seeds, data=st.data())
def test_int8_is_close_to_the_real_filter(seed: int, data) -> None:
    """2**-10 of weight on each axis at most, on items up to 128, and half a step."""
    node = data.draw(nodes("int8"))
    x = random_array(np.random.default_rng(seed), node.input(0).shape, "int8")
    real = inferred("resize_filter", [value("x", x.shape, "float32")], **node.attrs)
    want = np.clip(ops.module("resize_filter").reference(real, [x.astype(np.float32)])[0], -128, 127)
    got = ops.module("resize_filter").reference(node, [x])[0]
    taps = max(f.taps for f in node.attrs.values())
    assert np.abs(got - want).max() <= 0.51 + 128 * 2 * 1.6 * taps * 2.0**-11


def test_a_flat_int8_image_stays_flat() -> None:
    q = Quant.per_tensor(0.1, 3)
    f = rf.make_filter(half_pixel(5, 13), 5, rf.cubic(-0.75), 2)
    node = inferred("resize_filter", [value("x", (1, 5, 5, 1), "int8", q)], q, rows=f, columns=f)
    for item in (-128, -1, 0, 77, 127):
        assert (ops.module("resize_filter").reference(node, [np.full((1, 5, 5, 1), item, np.int8)])[0] == item).all()


@pytest.mark.parametrize("size", [(9, 13), (4, 3), (7, 5)])
def test_cubic_is_that_of_torch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 7, 5, 3)).astype(np.float32)
    filters = [rf.make_filter(half_pixel(x.shape[1 + a], size[a]), x.shape[1 + a], rf.cubic(-0.75), 2) for a in (0, 1)]
    node = inferred("resize_filter", [value("x", x.shape, "float32")], rows=filters[0], columns=filters[1])
    nchw = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    want = torch.nn.functional.interpolate(nchw, size, mode="bicubic").numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ops.module("resize_filter").reference(node, [x])[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode, kernel, reach", [("bilinear", rf.linear, 1), ("bicubic", rf.cubic(-0.5), 2)])
def test_antialiased_is_that_of_torch(mode: str, kernel, reach: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((1, 12, 10, 2)).astype(np.float32)
    size = (5, 3)
    filters = []
    for a in (0, 1):
        before, after = x.shape[1 + a], size[a]
        positions = half_pixel(before, after)
        filters.append(rf.make_filter(positions, before, kernel, reach, shrink=after / before, inside_only=True))
    node = inferred("resize_filter", [value("x", x.shape, "float32")], rows=filters[0], columns=filters[1])
    nchw = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    want = torch.nn.functional.interpolate(nchw, size, mode=mode, antialias=True).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ops.module("resize_filter").reference(node, [x])[0], want, rtol=1e-4, atol=1e-5)


def test_int8_weights_that_could_leave_32_bits_are_refused() -> None:
    q = Quant.per_tensor(0.1, 3)
    wild = rf.Filter((0,), ((3.0, -2.0),))
    node = inferred("resize_filter", [value("x", (1, 2, 2, 1), "int8", q)], q, rows=wild, columns=wild)
    with pytest.raises(Unsupported, match="add up to 5.00"):
        harness.check(node, [np.zeros((1, 2, 2, 1), np.int8)])
