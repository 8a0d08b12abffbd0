# SPDX-License-Identifier: Apache-2.0
"""Moves kernel size from the first, high-resolution layers of a network to later ones.

Small kernels where images are large keep the rows few that a fused stage holds or computes
twice; later depthwise layers, where a row stands for many of the image, take over the receptive
field at little cost (the redistribution of MCUNetV2). The changed layers keep the middle of their
kernels, or get zeros around them; the first lose something, so the network must be trained
again, from these weights or from new ones.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

SMALLEST_LATER = 3  # 1x1 layers stay what they are


@dataclass(frozen=True)
class Change:
    """A layer with another kernel size; `rows` of the image are lost (gained, where negative)."""

    layer: str
    before: int
    after: int
    rows: int


@dataclass
class _Layer:
    """A square convolution as it ran: rows of its image, and how many rows of the input one of them stands for."""

    name: str
    module: nn.Conv2d
    kernel: int
    height: int
    scale: int
    pixels: int  # of its output

    @property
    def depthwise(self) -> bool:
        return self.module.groups == self.module.in_channels

    def since(self, before: int) -> Change:
        rows = (before - self.kernel) * self.module.dilation[0] * self.scale
        return Change(self.name, before, self.kernel, rows)

    def extra_macs(self, after: int) -> int:
        taps = self.module.out_channels * self.module.in_channels // self.module.groups
        return self.pixels * taps * (after**2 - self.kernel**2)


def redistribute(
    model: nn.Module, example: torch.Tensor, first_stage_scale: int = 8, largest: int = 7
) -> tuple[nn.Module, list[Change]]:
    """A copy of `model` with smaller kernels where it has scaled `example` (N,C,H,W) down by less than
    `first_stage_scale`, and larger depthwise kernels behind until the receptive field is at least what
    it was.

    Raises UsageError where the first stage has nothing to shrink or the layers behind cannot make up for it.
    """
    changed = copy.deepcopy(model)
    layers = _layers(changed, example)
    early = [ly for ly in layers if ly.scale < first_stage_scale and halved(ly) < ly.kernel]
    if not early:
        raise UsageError(f"no kernel can shrink before the scale of 1/{first_stage_scale}; raise first_stage_scale")
    changes = [_resize(ly, halved(ly)) for ly in early]
    later = [ly for ly in layers if ly.scale >= first_stage_scale]
    return changed, changes + _recover(later, sum(c.rows for c in changes), largest)


def halved(layer: _Layer) -> int:
    """The odd size next to half of the kernel, at least the stride: no pixel may fall between windows."""
    half = max(layer.kernel // 2, layer.module.stride[0])
    return min(layer.kernel, half + (half + 1) % 2)


def _layers(model: nn.Module, example: torch.Tensor) -> list[_Layer]:
    """The square convolutions with padding of half their kernel, in the order in which they run."""
    import torch
    from torch import nn

    found: list[_Layer] = []

    def note(name: str) -> Any:
        def hook(module: nn.Conv2d, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            height, kernel = inputs[0].shape[2], module.kernel_size[0]
            scale, pixels = round(example.shape[2] / height), output.shape[2] * output.shape[3]
            found.append(_Layer(name, module, kernel, height, scale, pixels))

        return hook

    convolutions = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and _regular(m)]
    hooks = [m.register_forward_hook(note(n)) for n, m in convolutions]
    was_training = model.training
    with torch.no_grad():
        model.eval()(example)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return found


def _regular(module: nn.Conv2d) -> bool:
    kernel, dilation = module.kernel_size[0], module.dilation[0]
    square = len(set(module.kernel_size)) == len(set(module.stride)) == len(set(module.dilation)) == 1
    return square and kernel % 2 == 1 and tuple(module.padding) == (kernel // 2 * dilation,) * 2


def _recover(later: list[_Layer], lost: int, largest: int) -> list[Change]:
    """Enlarges the layer that gains a row for the fewest multiply-accumulates, until none is lost."""
    before = {ly.name: ly.kernel for ly in later}
    while lost > 0:
        able = [ly for ly in later if _can_grow(ly, largest)]
        if not able:
            raise UsageError(f"{lost} rows of the receptive field are lost; expected later depthwise layers to enlarge")
        best = min(able, key=lambda ly: ly.extra_macs(ly.kernel + 2) / ly.scale)
        lost += _resize(best, best.kernel + 2).rows
    return [ly.since(before[ly.name]) for ly in later if ly.kernel > before[ly.name]]


def _can_grow(layer: _Layer, largest: int) -> bool:
    fits = layer.kernel + 2 <= min(largest, layer.height)
    return layer.depthwise and layer.module.stride[0] == 1 and layer.kernel >= SMALLEST_LATER and fits


def _resize(layer: _Layer, kernel: int) -> Change:
    """Gives the module the middle of its kernel, or its kernel within zeros; padding follows."""
    from torch import nn
    from torch.nn import functional

    before, side = layer.kernel, (kernel - layer.kernel) // 2
    # Negative padding crops.
    layer.module.weight = nn.Parameter(functional.pad(layer.module.weight.detach(), (side,) * 4))
    layer.module.kernel_size = (kernel, kernel)
    layer.module.padding = (kernel // 2 * layer.module.dilation[0],) * 2
    # Where the padding is not of zeros, torch keeps it a second time.
    layer.module._reversed_padding_repeated_twice = [p for p in layer.module.padding for _ in range(2)]
    layer.kernel = kernel
    return layer.since(before)
