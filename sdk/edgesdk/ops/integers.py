# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of two int32 or int64 operands, modulo 2**bits: the kernels arith_s32 and arith_s64 of binary/arith.h."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.ops import fixedpoint

TYPES = {"int32": "s32", "int64": "s64"}
# kinds of arith.h, also of its float kernel
KINDS = {
    "add": 0, "sub": 1, "mul": 2, "squared_difference": 3, "div": 4, "floor_div": 5, "floor_mod": 6, "fmod": 7,
    "minimum": 8, "maximum": 9, "prelu": 10,
}  # fmt: skip


def activation(node: Node) -> str:
    return str(node.attrs.get("activation", "none"))


def integer_range(node: Node) -> tuple[int, int]:
    """The limits of a fused activation on plain integers."""
    low, high = fixedpoint.float_range(activation(node))
    info = np.iinfo(node.output.dtype)
    return int(max(low, info.min)), int(min(high, info.max))


def compute(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int32 and int64, modulo 2**bits; the quotient by 0 is 0 and so is the remainder."""
    with np.errstate(all="ignore"):
        y = _INTEGER[node.op](*np.broadcast_arrays(a, b))
    return np.asarray(np.clip(y, *integer_range(node)).astype(a.dtype))


def _fmod_integer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # numpy's own remainder of the least integer by -1 traps on some processors.
    plain = (b == 0) | (b == -1)
    return np.where(plain, 0, np.fmod(a, np.where(plain, 1, b)))


def _floor_mod_integer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    rest = _fmod_integer(a, b)
    return np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


def _floor_div_integer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    plain = (b == 0) | (b == -1)
    return np.where(plain, np.where(b == 0, 0, -a), np.floor_divide(a, np.where(plain, 1, b)))


def _div_integer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Towards zero."""
    above = (_fmod_integer(a, b) != 0) & ((a < 0) != (b < 0))
    return _floor_div_integer(a, b) + above.astype(a.dtype)


_INTEGER: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "squared_difference": lambda a, b: np.square(a - b),
    "div": _div_integer,
    "floor_div": _floor_div_integer,
    "floor_mod": _floor_mod_integer,
    "fmod": _fmod_integer,
}


def words(node: Node) -> list[int]:
    """The kind, and for int32 the limits."""
    if node.output.dtype == "int32":
        return [KINDS[node.op], *integer_range(node)]
    if activation(node) != "none":
        raise Unsupported(f"{node.source}: int64 {node.op} with {activation(node)}; expected none, clamp it before")
    return [KINDS[node.op]]
