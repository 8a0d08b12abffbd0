# SPDX-License-Identifier: Apache-2.0
"""One ONNX node and what its rule reads: operands are Values, numpy arrays where they are constant, or absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk.converters.build import Builder
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

MAX_CONSTANT = 2**27  # elements of a constant that the importer itself makes
# Element types of onnx.TensorProto that a graph holds; half and double precision and bfloat16 become float32.
DTYPES = {**dict.fromkeys((1, 10, 11, 16), "float32"), 2: "uint8", 5: "int16", 6: "int32", 7: "int64", 9: "bool"}

Operand = Value | np.ndarray | None


@dataclass(frozen=True)
class Op:
    """One ONNX node, its attributes as Python and numpy objects."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]
    opset: int


Rule = Callable[[Builder, Op, list[Operand]], list[Operand]]


def activation(x: Operand) -> Value:
    if not isinstance(x, Value):
        raise Unsupported("its data input is a constant")
    return x


def value_of(b: Builder, x: Operand, name: str = "constant") -> Value:
    """A tensor, or a constant of any type as one."""
    return x if isinstance(x, Value) else b.constant(constant(x, "an input"), f"{b.source}/{name}", finite=False)


def constant(x: Operand, what: str) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise Unsupported(f"{what} must be a constant")
    return x


def operand(x: list[Operand], i: int) -> Operand:
    return x[i] if i < len(x) else None


def integers(x: Operand, what: str) -> list[int]:
    return [int(v) for v in constant(x, what).ravel().tolist()]
