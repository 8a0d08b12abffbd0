# SPDX-License-Identifier: Apache-2.0
"""Networks over sound and other signals."""

from __future__ import annotations

import torch
from torch import nn

from zoo import Classifier, conv_norm, network


@network("ds_cnn", (1, 1, 49, 10))
def ds_cnn() -> nn.Module:
    """Zhang et al. 2017: keyword spotting over 49 frames of 10 cepstral coefficients."""
    first = nn.Sequential(nn.Conv2d(1, 32, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(32), nn.ReLU())
    layers = [nn.Sequential(conv_norm(32, 32, groups=32), conv_norm(32, 32, 1)) for _ in range(4)]
    return Classifier(nn.Sequential(first, *layers), 32, 12)


class Causal(nn.Module):
    """Bai et al. 2018: two dilated convolutions that see the past only, and a residual path."""

    def __init__(self, i: int, o: int, dilation: int, kernel: int = 3) -> None:
        super().__init__()
        past = nn.ConstantPad1d(((kernel - 1) * dilation, 0), 0.0)
        layers: list[nn.Module] = []
        for channels in (i, o):
            layers += [past, nn.Conv1d(channels, o, kernel, dilation=dilation), nn.BatchNorm1d(o), nn.ReLU()]
        self.block = nn.Sequential(*layers)
        self.shortcut = nn.Conv1d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.block(x) + self.shortcut(x))


class Tcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Causal(6, 16, 1), Causal(16, 16, 2), Causal(16, 16, 4), Causal(16, 16, 8))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(x)[:, :, -1])


@network("tcn", (1, 6, 64))
def tcn() -> nn.Module:
    return Tcn()
