# SPDX-License-Identifier: Apache-2.0
"""Doubles rescale sums as the reference does wherever a layer fits: around every tie, and with fused products, too."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nodes import inferred, value

from edgesdk.ir import Node, Quant
from edgesdk.ops import double_scales, fixedpoint

MAGIC = np.float64(1.5 * 2**52)
multipliers = st.one_of(st.integers(2**30, 2**31 - 1), st.sampled_from([2**30, 2**30 + 1, 2**31 - 1, 3 * 2**29]))


def rescaled(x: int, multiplier: int, right: int, fused: bool) -> int:
    """What the kernels compute with the constants of words()."""
    unit = np.float64(2.0**-right)
    factor, half = np.float64(multiplier) * unit * 2.0**-31, unit / 2 + unit * 2.0**-32
    z = float(Fraction(x) * Fraction(float(factor)) + Fraction(float(half))) if fused else np.float64(x) * factor + half
    z = np.float64(z) - (unit if x < 0 else 0)
    return int(((z + MAGIC).view(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32))


def clipped(x: int) -> int:
    return max(-255, min(255, x))


@given(multipliers, st.integers(1, 31), st.integers(-256, 256), st.integers(-3, 3), st.booleans())
def test_sums_around_ties(multiplier: int, right: int, half: int, off: int, fused: bool) -> None:
    x = ((2 * half + 1) << (30 + right)) // multiplier + off
    limit = 2**31 if right <= 13 else double_scales.MOST_EXACT
    x = max(1 - limit, min(limit - 1, x))
    wanted = int(fixedpoint.requantize(np.int64(x), multiplier, -right))
    assert clipped(rescaled(x, multiplier, right, fused)) == clipped(wanted)


@given(multipliers, st.integers(1, 31), st.integers(1 - 2**31, 2**31 - 1), st.booleans())
def test_any_sum(multiplier: int, right: int, x: int, fused: bool) -> None:
    if right > 13:
        x %= double_scales.MOST_EXACT
    wanted = int(fixedpoint.requantize(np.int64(x), multiplier, -right))
    assert clipped(rescaled(x, multiplier, right, fused)) == clipped(wanted)


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
