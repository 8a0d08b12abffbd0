# SPDX-License-Identifier: Apache-2.0
"""Convolutions and linear layers with integer weights, with the batch norm and activation that follow them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgesdk.compress.schemes import INT8
from edgesdk.compress.torch import grids
from edgesdk.compress.torch.integers import (
    EXACT_IN_FLOAT32,
    multipliers,
    requantize,
    round_away,
    scaled_gradient,
    straight_through,
)
from edgesdk.compress.torch.modules import classes
from edgesdk.ops import fixedpoint

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHT_RANGE = {8: (-127, 127), 4: (-8, 7)}
LARGEST_INT32 = 2.0**31 - 1
SHRINKS = tuple(s / 20 for s in range(8, 21))  # of the widest weight, tried for the first range of 4-bit weights


@dataclass(frozen=True)
class Layer:
    """A conv2d, depthwise_conv2d or fully_connected with `bits` per weight; `slot` is its own of the output's grid.
    The batch norm is folded into the weights with its running statistics; `live_norm` lets it take its own from
    the batches as long as the model trains."""

    op: str
    bits: int
    activation: str = "none"
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    slot: int = 0
    live_norm: bool = True

    def run(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        return run(module, x)


def make(spec: Layer, body: nn.Module, norm: nn.Module | None, source: nn.Module, grid: nn.Module) -> nn.Module:
    import torch

    module = classes()["Step"](spec)
    module.body, module.norm, module.source, module.grid = body, norm, source, grid
    if spec.bits == 4:
        module.clip = torch.nn.Parameter(best_clip(folded(module)[0].detach(), spec.bits))
    return module


def best_clip(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Per channel, the log of the share of the widest weight that leaves the least squared error."""
    import torch

    low, high = WEIGHT_RANGE[bits]
    flat = weight.flatten(1)
    widest = flat.abs().amax(1, keepdim=True).clamp(min=1e-30)
    scales = [widest * shrink / high for shrink in SHRINKS]
    errors = [(((flat / s).round().clamp(low, high) * s - flat) ** 2).sum(1) for s in scales]
    return torch.tensor(SHRINKS, device=flat.device).log()[torch.stack(errors).argmin(0)]


def folded(module: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias with the batch norm's running statistics in them."""
    weight, bias, norm = module.body.weight, module.body.bias, module.norm
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    if norm is None:
        return weight, bias
    gain = gain_of(norm)
    shift = gain.new_zeros(()) if norm.bias is None else norm.bias
    return weight * per_channel(gain, weight.ndim), (bias - norm.running_mean) * gain + shift


def gain_of(norm: Any) -> torch.Tensor:
    gain = (norm.running_var + norm.eps).rsqrt()
    return gain if norm.weight is None else norm.weight * gain


def per_channel(x: torch.Tensor, rank: int) -> torch.Tensor:
    """One number per output channel, along the first axis of weights."""
    return x.reshape(-1, *(1,) * (rank - 1))


@dataclass
class Numbers:
    """What a layer multiplies with: integer weights (as floats, with gradients), their float32 scales, int32 bias."""

    steps: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor
    real_bias: torch.Tensor


def numbers(module: Any) -> Numbers:
    weight, bias = folded(module)
    scale = weight_scale(module, weight, bias)
    low, high = WEIGHT_RANGE[module.spec.bits]
    steps = weight / per_channel(scale, weight.ndim)
    steps = straight_through(round_away(steps.detach()), steps).clamp(low, high)
    unit = grids.scale_of(module.source).detach().double() * scale.detach().double()
    rounded = round_away(bias.detach().double() / unit).clamp(-LARGEST_INT32, LARGEST_INT32)
    return Numbers(steps, scale, rounded.long(), bias)


def weight_scale(module: Any, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Per channel; near-empty ones get a scale that keeps multiplier and bias within their types."""
    import torch

    x, y = (grids.scale_of(g).detach().double() for g in (module.source, module.grid))
    widest = weight.detach().flatten(1).abs().amax(1)
    if module.spec.bits == 4:
        factor = 1 / math.sqrt(weight[0].numel() * WEIGHT_RANGE[4][1])
        widest = widest * scaled_gradient(module.clip, factor).exp().clamp(max=1.0)
    least = torch.maximum(INT8.least_multiplier * y / x, bias.detach().double().abs() / (INT8.largest_bias * x))
    return torch.maximum(widest / WEIGHT_RANGE[module.spec.bits][1], least.float())


def product(spec: Layer, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    if spec.op == "fully_connected":
        return functional.linear(x, weight)
    return functional.conv2d(x, weight, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def sums(module: Any, x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of products of integers: as floats with gradients, and exact.

    On a CPU, float32 is exact where no partial sum can reach 2**24; elsewhere torch may choose an algorithm
    that forms other numbers on the way.
    """
    import torch

    with torch.backends.nnpack.flags(enabled=False):  # its transforms are not of integers
        acc = product(module.spec, x, weight)
        largest = 255 * float(weight.detach().abs().flatten(1).sum(1).max())
        in_float32 = x.device.type == "cpu" and acc.dtype == torch.float32  # autocast shortens it
        if in_float32 and largest < EXACT_IN_FLOAT32:
            return acc, acc.detach().long()
        with torch.no_grad():
            return acc, product(module.spec, x.double(), weight.double()).round().long()


def run(module: Any, x: torch.Tensor) -> torch.Tensor:
    spec: Layer = module.spec
    found = numbers(module)
    acc, exact = sums(module, grids.steps_of(module.source, x), found.steps)
    unit = grids.scale_of(module.source).detach() * found.scale
    if has_live_norm(module):
        y = activated(spec, batch_normed(module, along(acc, unit) * acc))
        return grids.rounded(module.grid, spec.slot, y)
    y = activated(spec, along(acc, unit) * acc + along(acc, found.real_bias))
    grids.observe(module.grid, spec.slot, y)
    return straight_through(finish(module, exact, found), grids.gradient_path(module.grid, y))


def has_live_norm(module: Any) -> bool:
    return module.norm is not None and module.training and module.spec.live_norm


def batch_normed(module: Any, y: torch.Tensor) -> torch.Tensor:
    """The batch norm on its own statistics of what the integer weights give, its running gain taken out first."""
    gain = along(y, gain_of(module.norm).detach())
    plain = y / gain.where(gain.abs() > 1e-12, gain.new_tensor(1e-12))
    bias = module.body.bias
    return module.norm(plain if bias is None else plain + along(y, bias))


def along(y: torch.Tensor, channel: torch.Tensor) -> torch.Tensor:
    """One number per channel, broadcast against NCHW sums or [..., C]."""
    return channel.reshape(-1, 1, 1) if y.ndim == 4 else channel


def activated(spec: Layer, y: torch.Tensor) -> torch.Tensor:
    low, high = fixedpoint.float_range(spec.activation)
    return y if spec.activation == "none" else y.clamp(low, high)


def finish(module: Any, total: torch.Tensor, found: Numbers) -> torch.Tensor:
    """The runtime's bytes of int32 sums, as numbers on the grid."""
    x, y = (grids.scale_of(g).detach() for g in (module.source, module.grid))
    multiplier, shift = multipliers(x.double() * found.scale.detach().double() / y.double())
    zero_point = int(module.grid.zero_point)
    low, high = fixedpoint.activation_range(module.spec.activation, float(y), zero_point)
    total = total + along(total, found.bias)
    q = requantize(total, along(total, multiplier), along(total, shift)) + zero_point
    return grids.reals_of(module.grid, q.clamp(low, high))
