# SPDX-License-Identifier: Apache-2.0
"""Keyword networks with memory, over frames of spectral features."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo import network


class FastGrnn(nn.Module):
    """Kusupati et al. 2018: one matrix pair of low rank serves gate and candidate; unrolled over the frames."""

    def __init__(self, features: int, states: int, rank: int = 8, classes: int = 12) -> None:
        super().__init__()
        self.x = nn.Sequential(nn.Linear(features, rank, bias=False), nn.Linear(rank, states, bias=False))
        self.h = nn.Sequential(nn.Linear(states, rank, bias=False), nn.Linear(rank, states, bias=False))
        self.gate, self.candidate = (nn.Parameter(torch.full((states,), v)) for v in (1.0, 0.5))
        self.zeta, self.nu = (nn.Parameter(torch.full((1,), v)) for v in (1.0, -4.0))
        self.head, self.states = nn.Linear(states, classes), states

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.shape[0], self.states)
        for frame in self.x(x).unbind(1):
            both = frame + self.h(h)
            z, new = torch.sigmoid(both + self.gate), torch.tanh(both + self.candidate)
            h = (torch.sigmoid(self.zeta) * (1 - z) + torch.sigmoid(self.nu)) * new + z * h
        return self.head(h)


@network("fastgrnn", (1, 12, 32))
def fastgrnn() -> nn.Module:
    return FastGrnn(32, 32)


class Recurrent(nn.Module):
    """A layer or a stack of layers with memory; the last frame is classified."""

    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__()
        self.cells = kind(16, 24, batch_first=True, **options)
        self.head = nn.Linear(24 * (2 if options.get("bidirectional") else 1), 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.cells(x)
        return self.head(y[:, -1])


@network("gru", (1, 25, 16))
def gru() -> nn.Module:
    return Recurrent(nn.GRU, num_layers=2)


@network("lstm", (1, 25, 16))
def lstm() -> nn.Module:
    return Recurrent(nn.LSTM)


@network("lstm_both_ways", (1, 25, 16))
def lstm_both_ways() -> nn.Module:
    return Recurrent(nn.LSTM, num_layers=2, bidirectional=True)


class Crnn(nn.Module):
    """Arik et al. 2017: a convolution over time and frequency, then a GRU over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, (5, 4), (2, 2)), nn.ReLU())
        self.cells, self.head = nn.GRU(8 * 4, 24, batch_first=True), nn.Linear(24, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x).permute(0, 2, 1, 3).flatten(2)
        return self.head(self.cells(y)[0][:, -1])


@network("crnn", (1, 1, 49, 10))
def crnn() -> nn.Module:
    return Crnn()
