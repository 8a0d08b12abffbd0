# SPDX-License-Identifier: Apache-2.0
"""The kernels that the runtime library has, and the choice of one per node.

The library is asked (`ert_kernel_at`); nothing here parses C or keeps a second list.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgesdk.library import isa_bits, library

PORTABLE = "c"
# Instruction sets of machines with much memory: their kernels compute several rows at once, on several threads.
VECTORS = frozenset(
    ("avx2", "avx512vnni", "avx512vbmi", "avxvnni", "neon", "neondot", "neoni8mm", "neonfp16", "simd128", "relaxed")
)
ROUNDING = frozenset(("neonfp16",))  # instruction sets whose float kernels round more than float32 does


@dataclass(frozen=True)
class Kernel:
    """One row of the runtime's table. `n_params` counts 32-bit words; `layout` names the order of its weights where
    that is not the op's plain one."""

    number: int
    op: str
    types: str
    layout: str
    tile: str
    isa: str
    n_params: int
    index: int

    @property
    def name(self) -> str:
        return f"ert_{self.op}_{self.types}_{self.tile}__{self.isa}"


class _Row(ctypes.Structure):
    _fields_ = [
        ("number", ctypes.c_uint16),
        ("isa", ctypes.c_uint8),
        ("n_params", ctypes.c_uint8),
        ("run", ctypes.c_void_p),
        ("check", ctypes.c_void_p),
        ("scratch", ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)),
        ("op", ctypes.c_char_p),
        ("types", ctypes.c_char_p),
        ("layout", ctypes.c_char_p),
        ("tile", ctypes.c_char_p),
        ("isa_name", ctypes.c_char_p),
    ]


def _row(index: int) -> _Row | None:
    at = library().ert_kernel_at
    at.restype = ctypes.POINTER(_Row)
    found = at(ctypes.c_int32(index))
    return found.contents if found else None


@cache
def table() -> tuple[Kernel, ...]:
    """All rows, in the order of preference."""
    rows: list[Kernel] = []
    while (row := _row(len(rows))) is not None:
        op, types, layout, tile, isa = (n.decode() for n in (row.op, row.types, row.layout, row.tile, row.isa_name))
        rows.append(Kernel(row.number, op, types, layout, tile, isa, row.n_params, len(rows)))
    return tuple(rows)


@cache
def native_isas() -> tuple[str, ...]:
    """Names of the instruction sets that have kernels here and that this machine runs."""
    return tuple(dict.fromkeys(k.isa for k in table() if runnable(k)))


def by_number(number: int) -> Kernel | None:
    return next((k for k in table() if k.number == number), None)


def exact(chain: Sequence[str]) -> tuple[str, ...]:
    """The chain without what only those get who ask for it.

    >>> exact(["neondot", "neonfp16", "neon", "c"])
    ('neondot', 'neon', 'c')
    """
    return tuple(isa for isa in chain if isa not in ROUNDING)


@cache
def is_portable(number: int) -> bool:
    """Whether that is a kernel which runs everywhere."""
    kernel = by_number(number)
    return kernel is not None and kernel.isa == PORTABLE


def fitting(op: str, types: Sequence[str], chain: Sequence[str], fits: Callable[[Kernel], bool]) -> list[Kernel]:
    """The rows for the op whose ISA the core's chain has, and that `fit`, in the order of preference. Portable rows are
    for the first of the types only, others for any of them."""
    rows = (
        k for k in table() if k.op == op and k.isa in chain and k.types in (types[:1] if k.isa == PORTABLE else types)
    )
    return [k for k in rows if fits(k)]


def choose(
    op: str,
    types: Sequence[str],
    chain: Sequence[str],
    fits: Callable[[Kernel], bool] = lambda kernel: True,
    prefer: Callable[[Sequence[Kernel]], Kernel] = lambda rows: rows[0],
) -> Kernel | None:
    """What `prefer` takes of the rows that fit, which come fastest first; None where there is none."""
    rows = fitting(op, types, chain, fits)
    return prefer(rows) if rows else None


def scratch_bytes(kernel: Kernel, words: Sequence[int]) -> int:
    """Scratch that the kernel needs for these parameter words."""
    row = _row(kernel.index)
    assert row is not None
    params = np.array(words, np.int64).astype(np.int32)
    return int(row.scratch(params.ctypes.data))


def runnable(kernel: Kernel) -> bool:
    """Whether this build of the library can execute the row on this machine."""
    row = _row(kernel.index)
    return row is not None and bool(row.run) and bool(isa_bits() >> row.isa & 1)


def splits(kernel: Kernel) -> bool:
    """Whether the rows of the kernel's op may be computed in any order and at the same time."""
    return bool(library().ert_splits(ctypes.c_int32(kernel.number)))


def accepts(kernel: Kernel, step_address: int) -> bool:
    """The loader's parameter check of the row, on an ert_step in memory."""
    row = _row(kernel.index)
    assert row is not None
    return bool(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(row.check)(step_address))


def call(kernel: Kernel, call_address: int, y0: int, y1: int) -> None:
    """Executes output rows [y0, y1) of an ert_call in memory."""
    row = _row(kernel.index)
    assert row is not None
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)(row.run)(call_address, y0, y1)
