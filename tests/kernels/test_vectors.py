# SPDX-License-Identifier: Apache-2.0
"""What the kernels of vectors rely on and no host can run: their arithmetic equals the reference's for every input, and
their orders of weights hold every weight once. The kernels themselves run in tests/boards/test_kernels.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nodes import seeds

from edgesdk.ops import fixedpoint, vectors

int32s = st.integers(-(2**31), 2**31 - 1)
near_ends = st.sampled_from([-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1])


@given(st.one_of(int32s, near_ends), st.integers(2**30, 2**31 - 1), st.integers(1, 31))
def test_one_instruction_makes_halves_round_away_from_zero(x: int, multiplier: int, right: int) -> None:
    """VQRDMULH, VQDMLAH with 1, VRSHL."""
    high = (2 * x * multiplier + 2**31) >> 32
    fixed = max(high + (2 * high >> 32), -(2**31))
    assert (fixed + (1 << (right - 1))) >> right == fixedpoint.requantize(np.int64(x), multiplier, -right)


@given(st.integers(1, 4000), st.integers(1, 31))
def test_ties_of_small_shifts_round_away_from_zero(x: int, right: int) -> None:
    for high in (x, -x, (x << right) + (1 << (right - 1)), -(x << right) - (1 << (right - 1))):
        fixed = high + (2 * high >> 32)
        assert (fixed + (1 << (right - 1))) >> right == fixedpoint.rounding_shift_right(np.int64(high), right)


@given(int32s, st.integers(0, 2**15 - 1), st.integers(-17, -1))
def test_a_high_product_is_the_single_rounding_of_wide_layers(x: int, multiplier: int, shift: int) -> None:
    got = (x * (multiplier << (17 + shift)) + 2**31) >> 32
    assert got == fixedpoint.requantize_wide(np.int64(x), multiplier, shift)


@given(st.integers(2, 4000), st.data())
def test_quotients_by_reciprocals_are_exact(count: int, data: st.DataObject) -> None:
    most = 128 * count + count // 2
    reciprocal = 2**31 // count + 1
    for total in (data.draw(st.integers(0, most)), most, most // count * count, most // count * count - 1):
        assert (2 * total * reciprocal) >> 32 == total // count


def unpacked(row: np.ndarray, runs: int, n: int) -> list[int]:
    """The weights of a row of lanes.h, read as its kernels do."""
    found: list[int] = []
    low, high = ((row << shift).astype(np.int8) >> 4 for shift in (4, 0))
    at = 0
    for _ in range(runs):
        for _ in range(n // 32):
            found += [*low[at : at + 16], *high[at : at + 16]]
            at += 16
        found += list(high[at : at + n % 32])
        at += n % 32
    assert at == len(row)
    return found


@given(seeds, st.integers(1, 3), st.integers(1, 140))
def test_rows_of_int4_weights_hold_each_once(seed: int, runs: int, n: int) -> None:
    rows = np.random.default_rng(seed).integers(-8, 8, (3, runs * n)).astype(np.int8)
    for row, packed in zip(rows, vectors.nibble_rows(rows, runs), strict=True):
        assert unpacked(packed, runs, n) == row.tolist()
