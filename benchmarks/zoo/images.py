# SPDX-License-Identifier: Apache-2.0
"""Networks whose result is an image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from zoo import conv_norm, network


class UNet(nn.Module):
    """Ronneberger et al. 2015, three levels; upsampling is bilinear or learnt."""

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32, 64), classes: int = 3, learnt: bool = False) -> None:
        super().__init__()
        grow = [
            nn.ConvTranspose2d(o, o, 2, 2) if learnt else nn.Upsample(scale_factor=2, mode="bilinear")
            for o in widths[:0:-1]
        ]
        self.grow = nn.ModuleList(grow)
        pairs = list(zip((3, *widths), widths, strict=False))
        self.down = nn.ModuleList([self.twice(i, o) for i, o in pairs])
        self.up = nn.ModuleList([self.twice(i + o, i) for i, o in reversed(pairs[1:])])
        self.head = nn.Conv2d(widths[0], classes, 1)

    @staticmethod
    def twice(i: int, o: int) -> nn.Module:
        return nn.Sequential(conv_norm(i, o), conv_norm(o, o))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for level in self.down:
            x = level(x if not kept else F.max_pool2d(x, 2))
            kept.append(x)
        for level, grow, other in zip(self.up, self.grow, kept[-2::-1], strict=True):
            x = level(torch.cat([other, grow(x)], 1))
        return self.head(x)


@network("unet", (1, 3, 64, 64))
def unet() -> nn.Module:
    return UNet()


@network("unet_transposed", (1, 3, 64, 64))
def unet_transposed() -> nn.Module:
    return UNet(learnt=True)


@network("conv_autoencoder_transposed", (1, 1, 32, 32))
def conv_autoencoder_transposed() -> nn.Module:
    """Strided convolutions down, transposed ones up."""
    encoder = (conv_norm(1, 8, 3, 2), conv_norm(8, 16, 3, 2), conv_norm(16, 4, 1))
    up = [nn.ConvTranspose2d(4, 16, 3, 2, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*encoder, *up, nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid())


@network("conv_autoencoder", (1, 1, 32, 32))
def conv_autoencoder() -> nn.Module:
    """Strided convolutions to a code of 24 numbers, and back by nearest upsampling."""
    encoder = (conv_norm(1, 8, 3, 2), conv_norm(8, 16, 3, 2), nn.Flatten(), nn.Linear(16 * 64, 24))
    decoder = (
        nn.Linear(24, 16 * 64), nn.ReLU(), nn.Unflatten(1, (16, 8, 8)),
        nn.Upsample(scale_factor=2), conv_norm(16, 8), nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 3, padding=1),
    )  # fmt: skip
    return nn.Sequential(*encoder, *decoder, nn.Sigmoid())


@network("espcn", (1, 1, 24, 24))
def espcn() -> nn.Module:
    """Shi et al. 2016: super resolution by pixel shuffle, to three channels."""
    layers = (nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 8, 3, padding=1), nn.Tanh())
    return nn.Sequential(*layers, nn.Conv2d(8, 27, 3, padding=1), nn.PixelShuffle(3))
