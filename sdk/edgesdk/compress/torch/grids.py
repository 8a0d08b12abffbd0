# SPDX-License-Identifier: Apache-2.0
"""The int8 grids of a model in training: real = scale * (q - zero point), one grid for all values that share it.

Between the steps of a prepared model travel real numbers that lie on a grid; a step finds the integers
q - zero point by dividing by the scale, which is exact after rounding. Every value that is written on a grid
has a slot of it, in which its range is followed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgesdk.compress.schemes import LEAST_SCALE, asymmetric
from edgesdk.compress.torch.integers import round_away, scaled_gradient, straight_through
from edgesdk.compress.torch.modules import classes
from edgesdk.errors import UsageError
from edgesdk.ir import Quant

if TYPE_CHECKING:
    import torch
    from torch import nn

MOMENTUM = 0.05  # of a range that follows the batches
LEVELS = 127


@dataclass(frozen=True)
class Grid:
    """`learned`: the scale is a parameter, from its first range on; else it follows the ranges of the batches.
    `fixed`: the specification says which grid it is."""

    slots: int = 1
    learned: bool = False
    fixed: tuple[float, int] | None = None


def make(spec: Grid) -> nn.Module:
    import torch

    module = classes()["Step"](spec)
    scale, zero_point = spec.fixed or (1.0, 0)
    module.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
    module.register_buffer("zero_point", torch.tensor(zero_point, dtype=torch.int32))
    module.register_buffer("ranges", torch.zeros(spec.slots, 2))
    module.register_buffer("least", torch.zeros(spec.slots))
    module.register_buffer("seen", torch.zeros(spec.slots, dtype=torch.bool))
    if spec.learned and spec.fixed is None:
        module.log_scale = torch.nn.Parameter(torch.zeros(()))
    return module


def scale_of(grid: Any) -> torch.Tensor:
    """The float32 scale as the program will hold it."""
    if "log_scale" in grid._parameters:
        return grid.log_scale.exp().clamp(min=max(LEAST_SCALE, float(grid.least.max()) / 255))
    return grid.scale


def quant_of(grid: Any) -> Quant:
    return Quant.per_tensor(float(scale_of(grid).detach()), int(grid.zero_point))


def observe(grid: Any, slot: int, x: torch.Tensor, least_width: float = 0.0) -> None:
    """Follows the range of a value in training; a learned scale takes the first one only. The grid is at least
    `least_width` wide."""
    spec: Grid = grid.spec
    if not grid.training or spec.fixed is not None:
        return
    grid.least[slot] = least_width
    if spec.learned and bool(grid.seen.all()):
        return
    low, high = (float(v) for v in x.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UsageError(
            f"activations become {low} ... {high} in training; expected finite numbers, lower the learning rate"
        )
    follow(grid, slot, min(low, 0.0), max(high, 0.0))


def follow(grid: Any, slot: int, low: float, high: float) -> None:
    weight = MOMENTUM if bool(grid.seen[slot]) else 1.0
    grid.ranges[slot] += weight * (grid.ranges.new_tensor((low, high)) - grid.ranges[slot])
    grid.seen[slot] = True
    lows, highs = grid.ranges[grid.seen].unbind(1)
    low = float(lows.min())
    quant = asymmetric(low, max(float(highs.max()), low + float(grid.least.max())))
    # New tensors: gradients still need the old ones.
    grid.scale = grid.scale.new_tensor(float(quant.scale[0]))
    grid.zero_point = grid.zero_point.new_tensor(int(quant.zero_point[0]))
    if "log_scale" in grid._parameters:
        grid.log_scale.data.fill_(math.log(float(quant.scale[0])))


def steps_of(grid: Any, x: torch.Tensor) -> torch.Tensor:
    """The integers q - zero point of numbers on the grid, as floats; the gradient passes."""
    steps = x / scale_of(grid).detach()
    return straight_through(steps.detach().round(), steps)


def reals_of(grid: Any, q: torch.Tensor) -> torch.Tensor:
    """What `dequantize` makes of the bytes q."""
    import torch

    return (q - grid.zero_point).to(torch.float32) * scale_of(grid).detach()


def bytes_of(grid: Any, x: torch.Tensor) -> torch.Tensor:
    """q of numbers on the grid, as int64."""
    import torch

    steps = (x.detach() / scale_of(grid).detach()).round().to(torch.int64)
    return (steps + grid.zero_point).clamp(-128, 127)


def gradient_path(grid: Any, x: torch.Tensor) -> torch.Tensor:
    """x rounded to the grid in floats: gradients pass inside the range and, where it is learned, move the scale."""
    scale = scale_of(grid)
    if scale.requires_grad:
        scale = scaled_gradient(scale, 1 / math.sqrt(x.numel() * LEVELS))
    low, high = -128 - int(grid.zero_point), 127 - int(grid.zero_point)
    steps = x / scale
    return straight_through(steps.detach().round(), steps).clamp(low, high) * scale


def rounded(grid: Any, slot: int, x: torch.Tensor, least_width: float = 0.0) -> torch.Tensor:
    """Any numbers brought onto the grid as the `quantize` kernel does, after their range was followed."""
    import torch

    observe(grid, slot, x, least_width)
    scaled = torch.nan_to_num(x.detach() / scale_of(grid).detach(), nan=0.0, posinf=512.0, neginf=-512.0)
    q = (round_away(scaled.clamp(-512, 512)) + grid.zero_point).clamp(-128, 127)
    return straight_through(reals_of(grid, q), gradient_path(grid, x))
