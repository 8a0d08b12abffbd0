# SPDX-License-Identifier: Apache-2.0
"""Transformers: encoders over patches of an image and over words."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from zoo import network


class Heads(nn.Module):
    """Attention of all tokens; `seen` says which of them count."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, channels // heads
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, self.size).transpose(1, 2)

    def forward(self, x: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.size)
        if seen is not None:
            scores = scores.masked_fill(~seen[:, None, None, :], -math.inf)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Before(nn.Module):
    """A block whose norms come first, as in ViT; q, k and v come from one layer."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, channels // heads
        self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.mix = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, s, c = x.shape
        parts = self.qkv(self.first(x)).reshape(n, s, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, s, c))
        return x + self.mix(self.second(x))


class Vit(nn.Module):
    """Dosovitskiy et al. 2021: a class token beside 16 patches of 8 x 8 pixels."""

    def __init__(self, channels: int = 48, heads: int = 3, blocks: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, channels))
        self.places = nn.Parameter(torch.randn(1, 17, channels))
        self.blocks = nn.Sequential(*(Before(channels, heads) for _ in range(blocks)), nn.LayerNorm(channels))
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], 1) + self.places
        return self.head(self.blocks(y)[:, 0])


@network("vit", (1, 3, 32, 32))
def vit() -> nn.Module:
    return Vit()


class After(nn.Module):
    """A block whose norms come last, as in BERT."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = Heads(channels, heads)
        self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mix = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        x = self.first(x + self.heads(x, seen))
        return self.second(x + self.mix(x))


class Bert(nn.Module):
    """Devlin et al. 2019: words and their places; word 0 fills up and is seen by nobody."""

    def __init__(self, words: int = 50, length: int = 16, channels: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, channels), nn.Embedding(length, channels)
        self.norm, self.length = nn.LayerNorm(channels), length
        self.blocks = nn.ModuleList([After(channels, heads) for _ in range(2)])
        self.pool, self.head = nn.Linear(channels, channels), nn.Linear(channels, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(ids) + self.places(torch.arange(self.length)))
        for block in self.blocks:
            x = block(x, ids != 0)
        return self.head(torch.tanh(self.pool(x[:, 0])))


@network("bert", (1, 16), words=50)
def bert() -> nn.Module:
    return Bert()
