# SPDX-License-Identifier: Apache-2.0
"""Image classifiers for phones and microcontrollers, at reduced width."""

from __future__ import annotations

import torch
from torch import nn

from zoo import Classifier, Gate, Network, Residual, conv_norm, network


def separable(i: int, o: int, stride: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(conv_norm(i, i, kernel, stride, groups=i), conv_norm(i, o, 1))


@network("mobilenet_v1", (1, 3, 64, 64))
def mobilenet_v1() -> nn.Module:
    """Howard et al. 2017, width 0.25."""
    widths = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    layers, i = [conv_norm(3, 8, 3, 2)], 8
    for o, stride in widths:
        layers.append(separable(i, o, stride))
        i = o
    return Classifier(nn.Sequential(*layers), i)


def inverted(i: int, o: int, expand: int, kernel: int = 3, stride: int = 1, act=nn.ReLU6, gate=None) -> nn.Module:
    """Expansion, depthwise convolution, squeeze and excite where asked for, linear projection."""
    block = [] if expand == i else [conv_norm(i, expand, 1, act=act)]
    block.append(conv_norm(expand, expand, kernel, stride, act, groups=expand))
    block += [] if gate is None else [gate]
    block.append(conv_norm(expand, o, 1, act=None))
    return Residual(nn.Sequential(*block)) if stride == 1 and i == o else nn.Sequential(*block)


@network("mobilenet_v2", (1, 3, 64, 64))
def mobilenet_v2() -> nn.Module:
    """Sandler et al. 2018, width 0.35."""
    return of_widths(16, (8, 8, 16, 24, 32, 56, 112), 256)


def of_widths(first: int, widths: tuple[int, ...], last: int, classes: int = 10) -> nn.Module:
    """MobileNetV2 with so many channels in its stages."""
    repeats = [(1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)]
    layers, i = [conv_norm(3, first, 3, 2, nn.ReLU6)], first
    for o, (factor, count, stride) in zip(widths, repeats, strict=True):
        for n in range(count):
            layers.append(inverted(i, o, factor * i, 3, stride if n == 0 else 1))
            i = o
    return Classifier(nn.Sequential(*layers, conv_norm(i, last, 1, act=nn.ReLU6)), last, classes)


def mobilenet_v2_of_the_paper() -> Network:
    """At its full size: too large for every run of all networks, so `networks` does not list it."""
    widths = (16, 24, 32, 64, 96, 160, 320)
    return Network("mobilenet_v2_224", lambda: of_widths(32, widths, 1280, 1000), ((1, 3, 224, 224),))


@network("mobilenet_v3_small", (1, 3, 64, 64))
def mobilenet_v3_small() -> nn.Module:
    """Howard et al. 2019, half the width."""
    rows = [  # kernel, expanded, out, squeeze and excite, hard swish, stride
        (3, 8, 8, True, False, 2), (3, 36, 12, False, False, 2), (3, 44, 12, False, False, 1),
        (5, 48, 20, True, True, 2), (5, 120, 20, True, True, 1), (5, 120, 20, True, True, 1),
        (5, 60, 24, True, True, 1), (5, 72, 24, True, True, 1), (5, 144, 48, True, True, 2),
        (5, 288, 48, True, True, 1), (5, 288, 48, True, True, 1),
    ]  # fmt: skip
    layers, i = [conv_norm(3, 8, 3, 2, nn.Hardswish)], 8
    for kernel, expand, o, squeeze, swish, stride in rows:
        gate = Gate(expand, max(expand // 4, 8)) if squeeze else None
        layers.append(inverted(i, o, expand, kernel, stride, nn.Hardswish if swish else nn.ReLU, gate))
        i = o
    features = nn.Sequential(*layers, conv_norm(i, 288, 1, act=nn.Hardswish))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(288, 128), nn.Hardswish())
    return nn.Sequential(features, head, nn.Dropout(0.2), nn.Linear(128, 10))


@network("efficientnet_lite0", (1, 3, 64, 64))
def efficientnet_lite0() -> nn.Module:
    """Tan and Le 2019 without squeeze and excite, a third of the width."""
    stages = [  # expansion, channels, repeats, stride, kernel
        (1, 8, 1, 1, 3), (6, 8, 2, 2, 3), (6, 16, 2, 2, 5), (6, 24, 3, 2, 3), (6, 40, 3, 1, 5),
        (6, 64, 4, 2, 5), (6, 104, 1, 1, 3),
    ]  # fmt: skip
    layers, i = [conv_norm(3, 16, 3, 2, nn.ReLU6)], 16
    for factor, o, count, stride, kernel in stages:
        for n in range(count):
            layers.append(inverted(i, o, factor * i, kernel, stride if n == 0 else 1))
            i = o
    return Classifier(nn.Sequential(*layers, conv_norm(i, 256, 1, act=nn.ReLU6), nn.Dropout(0.2)), 256)


@network("mcunet", (1, 3, 48, 48))
def mcunet() -> nn.Module:
    """In the style of Lin et al. 2020: a searched mix of kernels and expansions."""
    rows = [  # kernel, expansion, channels, stride
        (3, 1, 8, 1), (7, 3, 16, 2), (3, 6, 16, 1), (5, 4, 24, 2), (7, 5, 24, 1), (5, 6, 40, 2), (3, 4, 40, 1),
        (7, 3, 48, 1), (5, 6, 96, 2), (3, 4, 96, 1), (3, 6, 160, 1),
    ]  # fmt: skip
    layers, i = [conv_norm(3, 16, 3, 2, nn.ReLU6)], 16
    for kernel, factor, o, stride in rows:
        layers.append(inverted(i, o, factor * i, kernel, stride))
        i = o
    return Classifier(nn.Sequential(*layers), i, 2)


class Shuffle(nn.Module):
    """Ma et al. 2018: half the channels pass by, the rest is convolved, both are interleaved."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.stride, half = stride, o // 2
        inner = half if stride == 1 else i
        self.near = (
            nn.Sequential(conv_norm(i, i, 3, 2, None, groups=i), conv_norm(i, half, 1))
            if stride == 2
            else nn.Identity()
        )
        self.far = nn.Sequential(
            conv_norm(inner, half, 1), conv_norm(half, half, 3, stride, None, groups=half), conv_norm(half, half, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near, far = x.chunk(2, 1) if self.stride == 1 else (x, x)
        y = torch.cat([self.near(near), self.far(far)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


@network("shufflenet_v2", (1, 3, 64, 64))
def shufflenet_v2() -> nn.Module:
    layers, i = [conv_norm(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)], 24
    for o, count in ((48, 4), (96, 8), (192, 4)):
        for n in range(count):
            layers.append(Shuffle(i, o, 2 if n == 0 else 1))
            i = o
    return Classifier(nn.Sequential(*layers, conv_norm(i, 256, 1)), 256)


class Ghost(nn.Module):
    """Half the channels from a convolution, the others from a cheap depthwise one of these."""

    def __init__(self, i: int, o: int, act=nn.ReLU) -> None:
        super().__init__()
        self.primary, self.cheap = (
            conv_norm(i, o // 2, 1, act=act),
            conv_norm(o // 2, o // 2, 3, act=act, groups=o // 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.primary(x)
        return torch.cat([y, self.cheap(y)], 1)


def ghost_block(i: int, expand: int, o: int, kernel: int, squeeze: bool, stride: int) -> nn.Module:
    block: list[nn.Module] = [Ghost(i, expand)]
    block += [conv_norm(expand, expand, kernel, stride, None, groups=expand)] if stride == 2 else []
    block += [Gate(expand, expand // 4)] if squeeze else []
    block.append(Ghost(expand, o, None))
    if stride == 1 and i == o:
        return Residual(nn.Sequential(*block))
    near = nn.Sequential(conv_norm(i, i, kernel, stride, None, groups=i), conv_norm(i, o, 1, act=None))
    return Residual(nn.Sequential(*block), near)


@network("ghostnet", (1, 3, 64, 64))
def ghostnet() -> nn.Module:
    """Han et al. 2020, half the width, without the second of equal blocks."""
    rows = [  # kernel, expanded, out, squeeze and excite, stride
        (3, 8, 8, False, 1), (3, 24, 12, False, 2), (3, 36, 12, False, 1), (5, 36, 20, True, 2),
        (5, 60, 20, True, 1), (3, 120, 40, False, 2), (3, 100, 40, False, 1), (3, 240, 56, True, 1),
        (5, 336, 80, True, 2), (5, 480, 80, True, 1),
    ]  # fmt: skip
    layers, i = [conv_norm(3, 8, 3, 2)], 8
    for kernel, expand, o, squeeze, stride in rows:
        layers.append(ghost_block(i, expand, o, kernel, squeeze, stride))
        i = o
    return Classifier(nn.Sequential(*layers, conv_norm(i, 240, 1)), 240)


class FarGates(nn.Module):
    """Tang et al. 2022: a pixel is weighted by its row and its column, at half the resolution."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(2), conv_norm(i, o, 1, act=None)]
        for kernel, padding in (((1, 5), (0, 2)), ((5, 1), (2, 0))):
            layers += [nn.Conv2d(o, o, kernel, padding=padding, groups=o, bias=False), nn.BatchNorm2d(o)]
        self.weigh = nn.Sequential(*layers, nn.Sigmoid(), nn.Upsample(scale_factor=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weigh(x)


class Product(nn.Module):
    """One branch weighs the other."""

    def __init__(self, far: nn.Module, near: nn.Module) -> None:
        super().__init__()
        self.far, self.near = far, near

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.near(x) * self.far(x)


@network("ghostnet_v2", (1, 3, 64, 64))
def ghostnet_v2() -> nn.Module:
    """GhostNet whose expansions see far: the first stages without, as in the paper."""
    rows = [  # kernel, expanded, out, far gates, stride
        (3, 8, 8, False, 1), (3, 24, 12, False, 2), (3, 36, 12, True, 1), (5, 36, 20, True, 2),
        (3, 120, 40, True, 2), (3, 100, 40, True, 1), (5, 160, 56, True, 1),
    ]  # fmt: skip
    layers, i = [conv_norm(3, 8, 3, 2)], 8
    for kernel, expand, o, far, stride in rows:
        block = ghost_block(i, expand, o, kernel, expand > 100, stride)
        if far:
            block.block[0] = Product(FarGates(i, expand), Ghost(i, expand))
        layers.append(block)
        i = o
    return Classifier(nn.Sequential(*layers, conv_norm(i, 160, 1)), 160)
