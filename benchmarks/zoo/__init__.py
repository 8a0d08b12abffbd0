# SPDX-License-Identifier: Apache-2.0
"""Small but true networks: the structure of the papers, few channels and pixels, random weights.

To add one, decorate a function that returns the module; `shapes` are those of its inputs:

    @network("mobilenet_v1", (1, 3, 64, 64))
    def mobilenet_v1() -> nn.Module: ...

and name its file in FILES.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FILES = ("mobile", "residual", "images", "signals", "recurrent", "attention", "transformers", "detectors")

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Network:
    """`build` makes the module with fresh weights; `inputs` one tensor per shape: numbers around 0, or
    indices below `words` where that is given."""

    name: str
    build: Build
    shapes: tuple[tuple[int, ...], ...]
    words: int = 0

    def inputs(self, seed: int = 0) -> tuple[torch.Tensor, ...]:
        random = torch.Generator().manual_seed(seed)
        if self.words:
            return tuple(torch.randint(self.words, shape, generator=random) for shape in self.shapes)
        return tuple(torch.randn(shape, generator=random) for shape in self.shapes)


_NETWORKS: dict[str, Network] = {}


def network(name: str, *shapes: tuple[int, ...], words: int = 0) -> Callable[[Build], Build]:
    def enter(build: Build) -> Build:
        _NETWORKS[name] = Network(name, build, shapes, words)
        return build

    return enter


def networks() -> dict[str, Network]:
    """Every network by its name."""
    for file in FILES:
        importlib.import_module(f"{__name__}.{file}")
    return dict(_NETWORKS)


def module(net: Network) -> nn.Module:
    """The network in eval mode, the same weights every time; its norms have seen noise, so that no layer's
    numbers vanish or explode."""
    torch.manual_seed(0)
    made = net.build()
    norms = [m for m in made.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.2)
            norm.momentum = 1.0
        if norms:
            made.train()(*(_batch(x) for x in net.inputs(1)))
    return made.eval()


def _batch(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x + torch.randn_like(x) for _ in range(4)])


def conv_norm(i: int, o: int, kernel: int = 3, stride: int = 1, act: Any = nn.ReLU, **options: Any) -> nn.Sequential:
    """Convolution, batch norm and, unless `act` is None, an activation; padded to keep the size."""
    dilation = options.get("dilation", 1)
    conv = nn.Conv2d(i, o, kernel, stride, (kernel - 1) // 2 * dilation, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(o), *([] if act is None else [act()]))


class Classifier(nn.Module):
    """Features, global average pool, linear layer."""

    def __init__(self, features: nn.Module, channels: int, classes: int = 10) -> None:
        super().__init__()
        self.features, self.head = features, nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Residual(nn.Module):
    """x + block(x), or shortcut(x) + block(x); then the activation."""

    def __init__(self, block: nn.Module, shortcut: nn.Module | None = None, act: nn.Module | None = None) -> None:
        super().__init__()
        self.block, self.shortcut, self.act = block, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.shortcut(x) + self.block(x))


class Gate(nn.Module):
    """Squeeze and excite: channels weighted by what the whole image holds."""

    def __init__(self, channels: int, inner: int, act: Any = nn.ReLU, gate: Any = nn.Hardsigmoid) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Sequential(nn.Conv2d(channels, inner, 1), act(), nn.Conv2d(inner, channels, 1), gate())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weigh(self.pool(x))
