# SPDX-License-Identifier: Apache-2.0
"""Fewer bits for weights: the integers, scales and biases of weighted layers are chosen again, one layer after the
other, from what the layers before really give. In an integer network and in a float one, whose layers then read small
weights as floats.

A layer aims at the output of the float network: its weights make up for what its inputs have lost (as far as the
calibration samples tell), its bias takes over the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgesdk.compress import rounding
from edgesdk.compress.gptq import gptq
from edgesdk.compress.layerwise import Layer, from_rows, layers
from edgesdk.compress.learn_rounding import learn_rounding
from edgesdk.compress.rounding import Problem
from edgesdk.compress.schemes import INT8, INT16X8, LEAST_SCALE, WEIGHTED, Scheme
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Quant, Value

ROUNDINGS: dict[str, Callable[[Problem], np.ndarray]] = {
    "round_nearest": rounding.nearest,
    "gptq": gptq,
    "learn_rounding": learn_rounding,
}
DEFAULT_ROUNDING = "gptq"
GROUPS = (0, 32, 64, 128)
SHARE_FACTORS = ("conv2d", "fully_connected")  # ops whose kernels read weights in groups
MAKE_UP = 0.1  # damping of what weights make up for: it is learned from few samples
INTEGERS = {4: "int4", 8: "int8"}


@dataclass(frozen=True)
class Widths:
    """Bits per weight, by the number of the weighted layer where they are not the usual ones (32: left as they are);
    `group` int4 weights share a factor, 0 for one scale per channel."""

    usual: int = 4
    own: dict[int, int] = field(default_factory=dict)
    group: int = 0
    rounding: str = DEFAULT_ROUNDING


def narrow_weights(floats: Graph, result: Graph, samples: Sequence[Sequence[np.ndarray]], widths: Widths) -> Graph:
    """Changes `result`, the int8 form of `floats` or a copy of it, and returns it. Without samples all inputs of a
    layer count alike."""
    if widths.rounding not in ROUNDINGS or widths.group not in GROUPS:
        raise UsageError(
            f"rounding {widths.rounding!r} in groups of {widths.group}; "
            f"expected one of {', '.join(ROUNDINGS)}, and groups of {', '.join(map(str, GROUPS))}"
        )
    for i, layer in enumerate(layers(floats, result, samples)):
        bits = widths.own.get(i, widths.usual)
        if bits not in INTEGERS:
            continue
        p, q = solved(layer, bits, widths)
        layer.node.inputs[1:3] = [weights_value(layer, p, q, bits), bias_value(layer, p, q)]
    return result


def solved(layer: Layer, bits: int, widths: Widths) -> tuple[Problem, np.ndarray]:
    """The layer's steps and integers."""
    group = widths.group if bits == 4 and layer.node.op in SHARE_FACTORS else 0
    least = least_scale(layer)
    p = rounding.problem(*target(layer, widths.rounding), bits, least, group)
    q = ROUNDINGS[widths.rounding](p)
    if widths.rounding != "round_nearest":
        rounding.refit(p, q, least)
    return p, q


def target(layer: Layer, method: str) -> tuple[np.ndarray, np.ndarray]:
    """(weights, covariance of the inputs): with a second-order method, the weights that turn the inputs as they are
    into what the float layer makes of the inputs as they should be."""
    gram = rounding.covariance(layer.rows, layer.rows)
    if method == "round_nearest" or not layer.rows.shape[1]:
        return layer.weights, rounding.damped(gram)
    cross = rounding.covariance(layer.float_rows, layer.rows)
    made_up = np.linalg.solve(rounding.damped(gram, MAKE_UP), (cross - gram).transpose(0, 2, 1)).transpose(0, 2, 1)
    return layer.weights + layer.weights @ made_up, rounding.damped(gram)


def least_scale(layer: Layer) -> np.ndarray:
    """Below it a channel's multiplier or bias would leave its type, as in quantize.py."""
    x, y = layer.node.input(0), layer.node.output
    if x.quant is None:
        return np.full(layer.weights.shape[:2], LEAST_SCALE)
    scheme = scheme_of(x)
    bias = np.abs(float_bias(layer)) / (scheme.largest_bias * x.scale)
    least = np.maximum(scheme.least_multiplier * y.scale / x.scale, bias)
    return least.reshape(layer.weights.shape[:2])


def scheme_of(x: Value) -> Scheme:
    """That of the integers which a layer reads."""
    return INT16X8 if x.dtype == "int16" else INT8


def float_bias(layer: Layer) -> np.ndarray:
    b = layer.floats.optional(2)
    channels = layer.floats.output.shape[-1]
    return np.zeros(channels) if b is None or b.data is None else b.data.astype(np.float64)


def weights_value(layer: Layer, p: Problem, q: np.ndarray, bits: int) -> Value:
    """The scales are rounded to float32: what the file has."""
    op, old = layer.node.op, layer.node.input(1)
    scale = np.maximum(p.scale, LEAST_SCALE).ravel().astype(np.float32)
    p.scale = scale.astype(np.float64).reshape(p.scale.shape)
    factors = None if p.factors is None else p.factors.reshape(scale.size, -1)
    quant = Quant(scale, np.zeros(scale.size, np.int32), WEIGHTED[op], p.group, factors)
    data = np.ascontiguousarray(from_rows(op, q, old.shape).astype(np.int8))
    return Value(old.name, old.shape, INTEGERS[bits], quant, data)


def bias_value(layer: Layer, p: Problem, q: np.ndarray) -> Value:
    """The mean of the output is that of the float layer."""
    means = [rounding.mean(x)[:, 0, :, None] for x in (layer.float_rows, layer.rows)]
    shift = (layer.weights @ means[0] - (q * p.step) @ means[1]).ravel()
    real = float_bias(layer) + shift
    name = f"{layer.node.input(1).name}/bias" if layer.node.optional(2) is None else layer.node.input(2).name
    x = layer.node.input(0)
    if x.quant is None:
        return Value(name, real.shape, "float32", None, real.astype(np.float32))
    scale, scheme = x.scale * p.scale.ravel(), scheme_of(x)
    limit = 2 * scheme.largest_bias - 1
    steps = np.clip(np.rint(real / scale), -limit, limit).astype(scheme.bias)
    zeros = np.zeros(scale.size, np.int32)
    return Value(name, steps.shape, scheme.bias, Quant(scale.astype(np.float32), zeros, 0), steps)
