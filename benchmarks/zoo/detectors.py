# SPDX-License-Identifier: Apache-2.0
"""Object detectors: boxes and class scores from several resolutions; overlapping boxes are left to the caller."""

from __future__ import annotations

import torch
from torch import nn

from zoo import Residual, conv_norm, network
from zoo.mobile import separable


def centres(size: int, stride: int) -> torch.Tensor:
    """[size * size, 2]: x and y of the middle of every cell, in pixels."""
    at = (torch.arange(size) + 0.5) * stride
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


class Ssd(nn.Module):
    """Liu et al. 2016 on a MobileNet: anchors at strides of 8, 16 and 32, offsets and sizes relative to them."""

    def __init__(self, image: int = 64, classes: int = 4, anchors: int = 3) -> None:
        super().__init__()
        self.classes = classes
        widths = (24, 32, 48)
        stem = nn.Sequential(conv_norm(3, 8, 3, 2), separable(8, 16, 2), separable(16, 24, 2))
        self.levels = nn.ModuleList([stem, separable(24, 32, 2), separable(32, 48, 2)])
        self.boxes = nn.ModuleList([nn.Conv2d(w, anchors * 4, 3, padding=1) for w in widths])
        self.scores = nn.ModuleList([nn.Conv2d(w, anchors * (classes + 1), 3, padding=1) for w in widths])
        sizes = torch.tensor([1.0, 1.5, 2.0])
        middle = [centres(image // s, s).repeat_interleave(anchors, 0) for s in (8, 16, 32)]
        spans = [(sizes * s * 2).repeat((image // s) ** 2)[:, None].expand(-1, 2) for s in (8, 16, 32)]
        self.register_buffer("middle", torch.cat(middle) / image)
        self.register_buffer("span", torch.cat(spans) / image)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, scores = [], []
        for level, box, score in zip(self.levels, self.boxes, self.scores, strict=True):
            x = level(x)
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
            scores.append(score(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.classes + 1))
        offsets = torch.cat(boxes, 1)
        middle = self.middle + offsets[..., :2] * 0.1 * self.span
        half = self.span * torch.exp(offsets[..., 2:] * 0.2) / 2
        return torch.cat([middle - half, middle + half], -1), torch.cat(scores, 1).softmax(-1)


@network("ssd", (1, 3, 64, 64))
def ssd() -> nn.Module:
    return Ssd()


class Split(nn.Module):
    """Half of the channels pass through residual blocks; every step of them is kept."""

    def __init__(self, i: int, o: int, count: int = 1, add: bool = True) -> None:
        super().__init__()
        half = o // 2
        self.into = conv_norm(i, o, 1, act=nn.SiLU)
        pairs = [
            nn.Sequential(conv_norm(half, half, act=nn.SiLU), conv_norm(half, half, act=nn.SiLU)) for _ in range(count)
        ]
        self.blocks = nn.ModuleList([Residual(p) if add else p for p in pairs])
        self.out = conv_norm((2 + count) * half, o, 1, act=nn.SiLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.into(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.out(torch.cat(parts, 1))


class Pyramid(nn.Module):
    """The same maximum taken three times, all of them kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.into, self.pool = conv_norm(channels, channels // 2, 1, act=nn.SiLU), nn.MaxPool2d(5, 1, 2)
        self.out = conv_norm(channels * 2, channels, 1, act=nn.SiLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.into(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.out(torch.cat(parts, 1))


class Yolo(nn.Module):
    """In the style of version 8: no anchors, distances to the four sides as distributions over `bins`."""

    def __init__(self, image: int = 64, classes: int = 4, bins: int = 8) -> None:
        super().__init__()
        self.classes, self.bins, act = classes, bins, nn.SiLU
        stem = [conv_norm(3, 8, 3, 2, act), conv_norm(8, 16, 3, 2, act), Split(16, 16)]
        self.stem = nn.Sequential(*stem, conv_norm(16, 24, 3, 2, act), Split(24, 24))
        self.middle = nn.Sequential(conv_norm(24, 32, 3, 2, act), Split(32, 32))
        self.deep = nn.Sequential(conv_norm(32, 48, 3, 2, act), Split(48, 48), Pyramid(48))
        self.up = nn.Upsample(scale_factor=2)
        self.merge = nn.ModuleList([Split(80, 32, add=False), Split(56, 24, add=False)])
        self.down = nn.ModuleList([conv_norm(24, 24, 3, 2, act), conv_norm(32, 32, 3, 2, act)])
        self.join = nn.ModuleList([Split(56, 32, add=False), Split(80, 48, add=False)])
        self.boxes = nn.ModuleList([self.head(w, 4 * bins) for w in (24, 32, 48)])
        self.scores = nn.ModuleList([self.head(w, classes) for w in (24, 32, 48)])
        self.register_buffer("at", torch.cat([centres(image // s, s) for s in (8, 16, 32)]).T[None])
        strides = [torch.full(((image // s) ** 2,), float(s)) for s in (8, 16, 32)]
        self.register_buffer("stride", torch.cat(strides))
        self.register_buffer("distances", torch.arange(float(bins)).view(1, bins, 1, 1))

    @staticmethod
    def head(i: int, o: int) -> nn.Module:
        return nn.Sequential(conv_norm(i, 16, act=nn.SiLU), nn.Conv2d(16, o, 1))

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """A pyramid down, up and down again."""
        fine = self.stem(x)
        middle = self.middle(fine)
        deep = self.deep(middle)
        middle = self.merge[0](torch.cat([self.up(deep), middle], 1))
        fine = self.merge[1](torch.cat([self.up(middle), fine], 1))
        middle = self.join[0](torch.cat([self.down[0](fine), middle], 1))
        return [fine, middle, self.join[1](torch.cat([self.down[1](middle), deep], 1))]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 4 + classes, cells]: left, top, right, bottom and the scores."""
        heads = zip(self.features(x), self.boxes, self.scores, strict=True)
        cells = torch.cat([torch.cat([box(y), score(y)], 1).flatten(2) for y, box, score in heads], 2)
        box, score = cells.split([4 * self.bins, self.classes], 1)
        shares = box.view(box.shape[0], 4, self.bins, -1).transpose(1, 2).softmax(1)
        sides = nn.functional.conv2d(shares, self.distances).squeeze(1)
        first, last = sides.chunk(2, 1)
        corners = torch.cat([self.at - first * self.stride, self.at + last * self.stride], 1)
        return torch.cat([corners, score.sigmoid()], 1)


@network("yolo", (1, 3, 64, 64))
def yolo() -> nn.Module:
    return Yolo()
