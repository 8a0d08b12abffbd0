# SPDX-License-Identifier: Apache-2.0
"""int8 sums with one multiplication per input: (a * a_factor + b * b_factor + offset) >> shift.

TFLite's formula rounds three times; there are only 2^16 pairs of bytes, so whether one rounding gives the same bytes is
looked up, not proved. For given factors every pair bounds the offset from both sides. The room that they leave together
is concave in the factors, which are found by climbing from the ratios of the scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BYTES = np.arange(-128, 128, dtype=np.int64)
MOST_SHIFT = 24
FIRST_STEP = 8  # of the climb
AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))
NEVER = 1 << 40

Sum = tuple[int, int, int, int]  # factors of a and b, offset, shift


@dataclass(frozen=True)
class Bounds:
    """What a * a_factor + b * b_factor + offset must be from, and at most, for each pair of bytes."""

    least: np.ndarray
    most: np.ndarray


def find(target: np.ndarray, ratios: tuple[float, float], low: int, high: int) -> Sum | None:
    """For target[a + 128, b + 128] before it is clamped to [low, high], and the ratios of the inputs' scales to the
    output's."""
    shift = min(MOST_SHIFT, 30 - int(np.abs(target).max()).bit_length())
    if shift < 1:
        return None
    clamped = np.clip(target, low, high)
    least = np.where(clamped > low, clamped << shift, -NEVER)
    bounds = Bounds(least, np.where(clamped < high, ((clamped + 1) << shift) - 1, NEVER))
    a, b = _climbed(bounds, round(ratios[0] * 2**shift), round(ratios[1] * 2**shift))
    found = _offset(bounds, a, b)
    return None if found is None else (a, b, found, shift)


def _offsets(bounds: Bounds, a: int, b: int) -> tuple[int, int]:
    """The least and the most that all pairs allow; none where the least is above the most."""
    products = BYTES[:, None] * a + BYTES * b
    return int((bounds.least - products).max()), int((bounds.most - products).min())


def _room(bounds: Bounds, a: int, b: int) -> int:
    least, most = _offsets(bounds, a, b)
    return most - least


def _climbed(bounds: Bounds, a: int, b: int) -> tuple[int, int]:
    """Factors that leave room, or those from which no step leads to more."""
    room, step = _room(bounds, a, b), FIRST_STEP
    while room < 0 and step:
        for i, j in AROUND:
            other = _room(bounds, a + i * step, b + j * step)
            if other > room:
                a, b, room = a + i * step, b + j * step, other
                break
        else:
            step //= 2
    return a, b


def _offset(bounds: Bounds, a: int, b: int) -> int | None:
    """One with which no sum is beyond 32 bits; the kernel's products and offset wrap on the way there."""
    products = BYTES[:, None] * a + BYTES * b
    smallest, largest = int(products.min()), int(products.max())
    least, most = _offsets(bounds, a, b)
    least, most = max(least, -(2**31) - smallest), min(most, 2**31 - 1 - largest)
    offset = (least + most) // 2
    return offset if least <= most and all(-(2**31) <= x < 2**31 for x in (a, b, offset)) else None
