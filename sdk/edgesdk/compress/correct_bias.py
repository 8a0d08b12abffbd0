# SPDX-License-Identifier: Apache-2.0
"""Bias correction: rounding weights shifts the mean of a layer's output; the calibration set tells by how much, and
the bias takes it back. Costs nothing on the device.

The shift of output channel o is the sum over inputs i of (quantised - float weight) * mean of input channel i; the
few places where a window reaches into the padding are counted as if it did not. Transposed convolutions, whose outputs
see a part of the kernel each, keep their bias.
"""

from __future__ import annotations

import numpy as np

from edgesdk.compress.schemes import WEIGHTED
from edgesdk.compress.work import Work
from edgesdk.ir import Node, Quant, Value

CORRECTED = ("conv2d", "depthwise_conv2d", "fully_connected")
BIAS_DTYPE = {"int8": "int32", "int16": "int64"}


def correct_bias(work: Work) -> None:
    assert work.result is not None
    before = [n for n in work.floats.nodes if n.op in CORRECTED]
    after = [n for n in work.result.nodes if n.op in CORRECTED]
    for floats, node in zip(before, after, strict=True):
        mean = work.observed[floats.input(0)].channel_mean
        if mean is not None:
            node.inputs[2:3] = [corrected(node, output_shift(floats, node, mean))]


def output_shift(floats: Node, node: Node, mean: np.ndarray) -> np.ndarray:
    """How far the mean of each output channel lies too high."""
    w, q, axis = floats.input(1), node.input(1), WEIGHTED[node.op]
    assert w.data is not None and q.data is not None and q.quant is not None
    scale = q.quant.scale.astype(np.float64).reshape([-1 if i == axis else 1 for i in range(q.data.ndim)])
    error = q.data * scale - w.data
    if node.op == "depthwise_conv2d":
        return np.asarray(error.sum((0, 1)) * np.repeat(mean, error.shape[2] // mean.size))
    return np.asarray((error * by_group(mean, error.shape)).reshape(error.shape[0], -1).sum(1))


def by_group(mean: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mean of the input that each weight multiplies, [O, ..., I]: of a grouped layer each group has its own."""
    groups = mean.size // shape[-1]
    rows = np.repeat(mean.reshape(groups, shape[-1]), shape[0] // groups, 0)
    return rows.reshape(shape[0], *[1] * (len(shape) - 2), shape[-1])


def corrected(node: Node, shift: np.ndarray) -> Value:
    x, w, b = node.input(0), node.input(1), node.optional(2)
    assert w.quant is not None
    scale = x.scale * w.quant.scale.astype(np.float64)
    dtype = BIAS_DTYPE[x.dtype]
    old = np.zeros(scale.shape) if b is None or b.data is None else b.data
    limit = 2.0**30 if dtype == "int32" else 2.0**46
    steps = np.clip(np.rint(old - shift / scale), -limit, limit).astype(dtype)
    if b is not None:
        return Value(b.name, b.shape, b.dtype, b.quant, steps)
    zeros = np.zeros(scale.shape, np.int32)
    return Value(f"{w.name}/bias", steps.shape, dtype, Quant(scale.astype(np.float32), zeros, 0), steps)
