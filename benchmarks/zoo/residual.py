# SPDX-License-Identifier: Apache-2.0
"""Image classifiers with residual, dense and split connections, at reduced width."""

from __future__ import annotations

import torch
from torch import nn

from zoo import Classifier, Gate, Residual, conv_norm, network


def basic(i: int, o: int, stride: int) -> nn.Module:
    block = nn.Sequential(conv_norm(i, o, 3, stride), conv_norm(o, o, act=None))
    shortcut = None if (i, stride) == (o, 1) else conv_norm(i, o, 1, stride, None)
    return Residual(block, shortcut, nn.ReLU())


@network("resnet18", (1, 3, 64, 64))
def resnet18() -> nn.Module:
    """He et al. 2016, a quarter of the width."""
    layers, i = [conv_norm(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)], 16
    for o, stride in ((16, 1), (32, 2), (64, 2), (128, 2)):
        layers += [basic(i, o, stride), basic(o, o, 1)]
        i = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 10))


class Fire(nn.Module):
    def __init__(self, i: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv2d(i, squeeze, 1), nn.ReLU(inplace=True))
        self.small, self.large = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([torch.relu(self.small(x)), torch.relu(self.large(x))], 1)


@network("squeezenet", (1, 3, 64, 64))
def squeezenet() -> nn.Module:
    """Iandola et al. 2016, version 1.1, half the width."""
    fires = [(8, 32), (8, 32), None, (16, 64), (16, 64), None, (24, 96), (24, 96), (32, 128), (32, 128)]
    layers, i = [nn.Conv2d(3, 32, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)], 32
    for fire in fires:
        if fire is None:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        else:
            layers.append(Fire(i, *fire))
            i = 2 * fire[1]
    head = (nn.Dropout(0.5), nn.Conv2d(i, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten())
    return nn.Sequential(*layers, *head)


class DenseLayer(nn.Module):
    """Norm, relu and convolution twice; the new channels join the old ones."""

    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, 4 * growth, 1, bias=False))
        wide = (nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False))
        self.wide = nn.Sequential(*wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.wide(self.narrow(x))], 1)


@network("densenet", (1, 3, 64, 64))
def densenet() -> nn.Module:
    """Huang et al. 2017: blocks of 3, 6, 6, 4 layers, growth 8."""
    layers, i = [conv_norm(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1)], 16
    for n, count in enumerate((3, 6, 6, 4)):
        for _ in range(count):
            layers.append(DenseLayer(i, 8))
            i += 8
        if n < 3:
            layers += [nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, i // 2, 1, bias=False), nn.AvgPool2d(2)]
            i //= 2
    return Classifier(nn.Sequential(*layers, nn.BatchNorm2d(i), nn.ReLU()), i)


class CrossStage(nn.Module):
    """Wang et al. 2020: half of the channels go round the residual blocks."""

    def __init__(self, i: int, o: int, count: int) -> None:
        super().__init__()
        self.down = conv_norm(i, o, 3, 2, nn.LeakyReLU)
        self.near, self.far = (conv_norm(o, o // 2, 1, act=nn.LeakyReLU) for _ in range(2))
        half = o // 2
        blocks = [
            Residual(nn.Sequential(conv_norm(half, half, 1, act=nn.LeakyReLU), conv_norm(half, half, act=nn.LeakyReLU)))
            for _ in range(count)
        ]
        self.blocks, self.join = nn.Sequential(*blocks), conv_norm(o, o, 1, act=nn.LeakyReLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(x)
        return self.join(torch.cat([self.near(x), self.blocks(self.far(x))], 1))


@network("cspnet", (1, 3, 64, 64))
def cspnet() -> nn.Module:
    stages = [CrossStage(i, o, n) for i, o, n in ((16, 24, 1), (24, 48, 2), (48, 96, 2), (96, 128, 1))]
    return Classifier(nn.Sequential(conv_norm(3, 16, act=nn.LeakyReLU), *stages), 128)


def regnet_block(i: int, o: int, stride: int, group: int) -> nn.Module:
    block = nn.Sequential(
        conv_norm(i, o, 1),
        conv_norm(o, o, 3, stride, groups=o // group),
        Gate(o, max(i // 4, 4), gate=nn.Sigmoid),
        conv_norm(o, o, 1, act=None),
    )
    shortcut = None if (i, stride) == (o, 1) else conv_norm(i, o, 1, stride, None)
    return Residual(block, shortcut, nn.ReLU())


@network("regnet_y", (1, 3, 64, 64))
def regnet_y() -> nn.Module:
    """Radosavovic et al. 2020: grouped convolutions with squeeze and excite, groups of 8 channels."""
    layers, i = [conv_norm(3, 16, 3, 2)], 16
    for o, count in ((16, 1), (32, 1), (64, 3), (96, 2)):
        for n in range(count):
            layers.append(regnet_block(i, o, 2 if n == 0 else 1, 8))
            i = o
    return Classifier(nn.Sequential(*layers), i)
