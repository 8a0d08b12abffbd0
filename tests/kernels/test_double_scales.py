# SPDX-License-Identifier: Apache-2.0
"""The rescale of WebAssembly's int8 layers: floats give the reference's byte wherever they do not call themselves too
close to a tie, and integers the rest, for every layer that fits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, value

from edgesdk.ir import Node, Quant
from edgesdk.ops import double_scales, fixedpoint

BEHIND, CLOSE, BASE = 14, 4, 69888  # tiles_wasm.h
MAGIC = np.float64(1.5 * 2**52)
multipliers = st.one_of(st.integers(2**30, 2**31 - 1), st.sampled_from([2**30, 2**30 + 1, 2**31 - 1, 3 * 2**29]))


def floats(x: np.ndarray, multiplier: int, right: int, relu: bool) -> tuple[np.ndarray, np.ndarray]:
    """What the kernels compute with the constants of words(), and where that is too close to a tie."""
    unit = np.float64(2.0**-right)
    factor, half = np.float32(multiplier * unit * 2.0**-31), np.float32(unit / 2 + unit * 2.0**-32)
    y, offset = x.astype(np.float32) * factor, np.float32(768.5 + 2.0**-13)
    places = y + (offset + half) if relu else (y + np.copysign(half, y)) + offset
    bits = places.astype(np.float32).view(np.int32)
    return (bits >> BEHIND) - BASE, (bits & ((1 << BEHIND) - 1)) < CLOSE


def in_integers(x: int, multiplier: int, right: int) -> int:
    """The same where floats are too close: a high product, then a division that rounds halves away from zero."""
    high = (x * multiplier + 2**30) >> 31
    little = np.copysign(2.0**-33, np.float64(high))
    return int(
        ((np.float64(high) * 2.0**-right + little + MAGIC).view(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    )


def wanted(x: np.ndarray, multiplier: int, right: int) -> np.ndarray:
    return fixedpoint.requantize(x.astype(np.int64), multiplier, -right)


def check(x: np.ndarray, multiplier: int, right: int, relu: bool) -> None:
    """Zero points are int8: what lies 256 steps away saturates. With an activation that cuts off what is negative, that
    may be anything negative."""
    least = -1 if relu else -256
    found, close = floats(x, multiplier, right, relu)
    expected = wanted(x, multiplier, right)
    assert (
        close | (np.clip(found, least, 256) == np.clip(expected, least, 256)) | (relu & (x < 0) & (found <= 0))
    ).all()


def ties(multiplier: int, right: int) -> np.ndarray:
    """Sums around every tie within int8's range and beyond."""
    halves = [((2 * h + 1) << (30 + right)) // multiplier for h in range(-270, 270)]
    x = np.array([h + off for h in halves for off in (-2, -1, 0, 1, 2)])
    return np.clip(x, 1 - 2**31, 2**31 - 1)


@given(multipliers, st.integers(1, 31), st.booleans())
def test_sums_around_ties(multiplier: int, right: int, relu: bool) -> None:
    check(ties(multiplier, right), multiplier, right, relu)


@given(multipliers, st.integers(1, 31), st.lists(st.integers(1 - 2**31, 2**31 - 1), min_size=1), st.booleans())
def test_any_sum(multiplier: int, right: int, x: list[int], relu: bool) -> None:
    check(np.array(x), multiplier, right, relu)


@given(multipliers, st.integers(1, 31))
def test_what_is_too_close_is_rescaled_in_integers(multiplier: int, right: int) -> None:
    x = ties(multiplier, right)
    assert [in_integers(int(v), multiplier, right) for v in x] == wanted(x, multiplier, right).tolist()


def test_few_sums_are_too_close() -> None:
    x = np.arange(-200_000, 200_000)
    assert floats(x, 1_717_986_918, 9, False)[1].mean() < 2 * CLOSE / 2**BEHIND


def layer(in_c: int, ratio: float) -> Node:
    w = np.full((1, in_c), 127, np.int8)
    inputs = [
        value("x", (1, in_c), "int8", Quant.per_tensor(1.0, 0)),
        value("w", w.shape, "int8", Quant.per_tensor(1.0, 0), w),
        None,
    ]
    return inferred("fully_connected", inputs, Quant.per_tensor(ratio, 0), activation="none")


def test_large_sums_on_coarse_grids_do_not_fit() -> None:
    assert double_scales.fits(layer(2000, 2.0**13))
    assert double_scales.fits(layer(100, 2.0**20))
    assert not double_scales.fits(layer(2000, 2.0**16))
