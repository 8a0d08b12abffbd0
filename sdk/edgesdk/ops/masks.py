# SPDX-License-Identifier: Apache-2.0
"""Masks that are added to scores: -infinity where a score must not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgesdk.ir import Node, Value

LEAST = -1e9  # in place of -infinity: beside any score, softmax gives it nothing, and calibration can take it
CARRY = ("add", "reshape", "transpose", "broadcast_to", "concat", "slice", "tile")  # what leaves a mask a mask


def is_mask(x: object) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f" and bool(np.isneginf(x).any())


def bounded(x: np.ndarray) -> np.ndarray:
    return np.maximum(x.astype(np.float32), np.float32(LEAST))


def meets_only_softmax(x: Value, consumers: Mapping[Value, Sequence[Node]], results: Sequence[Value]) -> bool:
    """Whether nothing but softmax reads what comes of x: others see infinities where they are bounded."""
    front, seen = [x], {x}
    while front:
        value = front.pop()
        if value in results:
            return False
        for node in consumers.get(value, []):
            if node.op not in ("softmax", *CARRY):
                return False
            if node.op != "softmax" and node.output not in seen:
                seen.add(node.output)
                front.append(node.output)
    return True
