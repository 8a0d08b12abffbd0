# SPDX-License-Identifier: Apache-2.0
"""The runtime's integer arithmetic on torch tensors, and how gradients pass it.

The formulas are those of ops/fixedpoint.py and ops/avg_pool2d.py, on int64 tensors that hold int32 values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

EXACT_IN_FLOAT32 = 2.0**24  # integers below it are float32 numbers, and so are all sums that stay below it


def straight_through(exact: torch.Tensor, surrogate: torch.Tensor) -> torch.Tensor:
    """`exact` with the gradient of `surrogate`: what is added is zero to the last bit."""
    return exact + (surrogate - surrogate.detach())


def scaled_gradient(x: torch.Tensor, factor: float) -> torch.Tensor:
    """x, whose gradient arrives multiplied by `factor`."""
    return straight_through(x.detach(), x * factor)


def round_away(x: torch.Tensor) -> torch.Tensor:
    """Halves away from zero. Adding 0.5 and truncating would round 0.49999997 up."""
    whole = x.trunc()
    rest = x - whole
    return whole + (rest >= 0.5).to(x.dtype) - (rest <= -0.5).to(x.dtype)


def multipliers(real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """real ~ multiplier * 2**(shift - 31) for positive float64 numbers, rounded as fixedpoint.quantize_multiplier."""
    import torch

    fraction, shift = torch.frexp(real)
    multiplier, shift = (fraction * 2.0**31 + 0.5).floor().to(torch.int64), shift.to(torch.int64)
    carried = multiplier == 2**31
    multiplier, shift = torch.where(carried, 2**30, multiplier), shift + carried
    tiny, huge = shift < -31, shift > 30
    multiplier = torch.where(huge, 2**31 - 1, multiplier).masked_fill(tiny, 0)
    return multiplier, shift.clamp(max=30).masked_fill(tiny, 0)


def wrap32(x: torch.Tensor) -> torch.Tensor:
    """Reduces to int32 modulo 2**32."""
    return ((x + 2**31) & (2**32 - 1)) - 2**31


def requantize(x: torch.Tensor, multiplier: torch.Tensor | int, shift: torch.Tensor | int) -> torch.Tensor:
    """x * multiplier * 2**(shift - 31) with the two roundings of fixedpoint.requantize."""
    import torch

    multiplier, shift = (torch.as_tensor(v, dtype=torch.int64, device=x.device) for v in (multiplier, shift))
    left, right = shift.clamp(min=0), (-shift).clamp(min=0)
    product = (wrap32(x << left) if bool(left.any()) else x) * multiplier  # int32 sums need no wrapping
    high = ((product + 2**30) >> 31).clamp(max=2**31 - 1)
    mask = (torch.ones_like(right) << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0)).to(torch.int64)


def rounded_mean(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """total / count, halves away from zero."""
    import torch

    magnitude = (total.abs() + torch.div(count, 2, rounding_mode="floor")).div(count, rounding_mode="floor")
    return torch.where(total > 0, magnitude, -magnitude)
