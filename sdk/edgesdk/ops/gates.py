# SPDX-License-Identifier: Apache-2.0
"""Integer sigmoid and tanh of recurrent layers, as TFLite Micro computes them (runtime_c/kernels/gates.h).

All functions take and return int64 arrays.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Quant

GATE_SCALE = 2.0**-12  # of what goes into a gate; 2^-15 comes out
UNIT_SCALE = 2.0**-15

# Entries of TFLite's table that lie one above the nearest integer.
_RAISED = (
    "4 8 12 14 15 16 17 19 20 21 22 25 27 28 29 30 31 33 34 35 37 39 40 41 43 44 45 46 49 50 54 62 63 64 66 "
    "82 86 93 100 103 112 116 135 255"
)


def _table() -> np.ndarray:
    """2^16 / (1 + e^(-i / 24)), as TFLite rounds it."""
    table = np.rint(2.0**16 / (1.0 + np.exp(-np.arange(256) / 24.0))).astype(np.int64)
    table[[int(i) for i in _RAISED.split()]] += 1
    return table.astype(np.uint16)


TABLE = _table()


def saturate16(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(2**15), 2**15 - 1)


def _interpolated(x: np.ndarray, bits: int, most: int) -> np.ndarray:
    magnitude = np.abs(x)
    at = np.minimum(magnitude >> bits, 254)
    a, b = TABLE.astype(np.int64)[at], TABLE.astype(np.int64)[at + 1]
    inside = (a << bits) + (magnitude & ((1 << bits) - 1)) * (b - a)
    return np.where(magnitude >> bits >= 255, most, inside)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """x is three times a Q3.12 number; the result is Q0.15."""
    y = _interpolated(x, 9, (2**15 - 1) << 10)
    return np.where(x < 0, (1 << 25) - y + (1 << 9) - 1, y + (1 << 9)) >> 10


def tanh(x: np.ndarray) -> np.ndarray:
    """x is three times a Q3.12 number; the result is Q0.15."""
    y = _interpolated(x, 8, (2**16 - 1) << 8) - (1 << 23)
    return (np.where(x < 0, -y - 1, y) + (1 << 7)) >> 8


def scales_of(quant: Quant | None, gates: int) -> np.ndarray:
    """One scale per gate, of weights [gates, units, n]."""
    assert quant is not None
    return np.broadcast_to(quant.scale.astype(np.float64), (gates,))
