# SPDX-License-Identifier: Apache-2.0
"""Image classifiers that mix convolutions and attention, at reduced width."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo import Classifier, Residual, conv_norm, network


class LayerScale(nn.Module):
    def __init__(self, channels: int, initial: float = 0.5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels, 1, 1), initial))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


def universal(i: int, o: int, factor: int, first: int, middle: int, stride: int = 1) -> nn.Module:
    """Qin et al. 2024: an inverted bottleneck with a depthwise kernel before it, within it, both or neither (0)."""
    wide = i * factor
    block: list[nn.Module] = []
    if first:
        block.append(conv_norm(i, i, first, 1 if middle else stride, None, groups=i))
    block.append(conv_norm(i, wide, 1))
    if middle:
        block.append(conv_norm(wide, wide, middle, stride, groups=wide))
    block.append(conv_norm(wide, o, 1, act=None))
    if stride == 1 and i == o:
        return Residual(nn.Sequential(*block, LayerScale(o)))
    return nn.Sequential(*block)


class MultiQuery(nn.Module):
    """All heads share keys and values, which are taken at half the resolution."""

    def __init__(self, channels: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads, self.size = heads, size
        self.q, self.out = nn.Conv2d(channels, heads * size, 1, bias=False), nn.Conv2d(heads * size, channels, 1)
        self.k, self.v = (
            nn.Sequential(conv_norm(channels, channels, 3, 2, None, groups=channels), nn.Conv2d(channels, size, 1))
            for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        q = self.q(x).permute(0, 2, 3, 1).reshape(n, h * w * self.heads, self.size)
        k = self.k(x).flatten(2)
        v = self.v(x).flatten(2).transpose(1, 2)
        y = (q @ k * self.size**-0.5).softmax(-1) @ v
        return self.out(y.reshape(n, h, w, self.heads * self.size).permute(0, 3, 1, 2))


@network("mobilenet_v4", (1, 3, 64, 64))
def mobilenet_v4() -> nn.Module:
    """Qin et al. 2024, hybrid: universal bottlenecks, multi-query attention at the two last resolutions."""

    def attention(c: int) -> nn.Module:
        return Residual(nn.Sequential(nn.BatchNorm2d(c), MultiQuery(c, 4, 16), LayerScale(c)))

    layers = [
        conv_norm(3, 8, 3, 2), conv_norm(8, 16, 3, 2), conv_norm(16, 12, 1),
        universal(12, 24, 4, 3, 5, 2), universal(24, 24, 2, 0, 3), universal(24, 24, 4, 3, 0), attention(24),
        universal(24, 48, 6, 5, 5, 2), universal(48, 48, 4, 5, 5), universal(48, 48, 4, 0, 0), attention(48),
        conv_norm(48, 96, 1),
    ]  # fmt: skip
    return Classifier(nn.Sequential(*layers), 96)


class SeparableAttention(nn.Module):
    """Mehta and Rastegari 2022: one score per pixel weighs the keys; their sum weighs all values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.into, self.out = nn.Conv2d(channels, 1 + 2 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = torch.split(self.into(x), [1, self.channels, self.channels], 1)
        context = (k * q.softmax(-1)).sum(-1, keepdim=True)
        return self.out(torch.relu(v) * context)


class Patches(nn.Module):
    """Local convolutions, then attention between the pixels at one place of all 2 x 2 patches."""

    def __init__(self, i: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.local = nn.Sequential(conv_norm(i, i, 3, act=nn.SiLU, groups=i), nn.Conv2d(i, channels, 1, bias=False))
        made = [b for _ in range(blocks) for b in (self.attention(channels), self.mix(channels))]
        self.blocks = nn.Sequential(*made, nn.GroupNorm(1, channels))
        self.out = conv_norm(channels, i, 1, act=None)

    @staticmethod
    def attention(c: int) -> nn.Module:
        return Residual(nn.Sequential(nn.GroupNorm(1, c), SeparableAttention(c)))

    @staticmethod
    def mix(c: int) -> nn.Module:
        return Residual(nn.Sequential(nn.GroupNorm(1, c), nn.Conv2d(c, 2 * c, 1), nn.SiLU(), nn.Conv2d(2 * c, c, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.local(x)
        n, c, h, w = y.shape
        y = y.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, c, 4, h * w // 4)
        y = self.blocks(y).reshape(n, c, 2, 2, h // 2, w // 2).permute(0, 1, 4, 2, 5, 3)
        return self.out(y.reshape(n, c, h, w))


@network("mobilevit_v2", (1, 3, 64, 64))
def mobilevit_v2() -> nn.Module:
    """Mehta and Rastegari 2022, a quarter of the width."""
    layers: list[nn.Module] = [conv_norm(3, 8, 3, 2, nn.SiLU)]
    for i, o, channels, blocks in ((8, 16, 0, 0), (16, 32, 16, 1), (32, 48, 24, 2)):
        wide = [conv_norm(i, 2 * i, 1, act=nn.SiLU), conv_norm(2 * i, 2 * i, 3, 2, nn.SiLU, groups=2 * i)]
        layers += [*wide, conv_norm(2 * i, o, 1, act=None)]
        layers += [Patches(o, channels, blocks)] if blocks else []
    return Classifier(nn.Sequential(*layers), 48)


class LinearAttention(nn.Module):
    """Cai et al. 2023: relu in place of softmax, so that keys and values meet first; two scales."""

    def __init__(self, channels: int, size: int = 8) -> None:
        super().__init__()
        self.size, wide = size, 3 * channels
        self.qkv = nn.Conv2d(channels, wide, 1, bias=False)
        self.wider = nn.Sequential(
            nn.Conv2d(wide, wide, 5, padding=2, groups=wide, bias=False),
            nn.Conv2d(wide, wide, 1, groups=wide // size, bias=False),
        )
        self.out = conv_norm(2 * channels, channels, 1, act=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        qkv = self.qkv(x)
        y = torch.cat([qkv, self.wider(qkv)], 1).reshape(n, -1, 3 * self.size, h * w).transpose(-1, -2)
        q, k, v = y.chunk(3, -1)
        q, k = torch.relu(q), torch.relu(k)
        sums = nn.functional.pad(v, (0, 1), value=1.0)
        y = q @ (k.transpose(-1, -2) @ sums)
        y = y[..., :-1] / (y[..., -1:] + 1e-6)
        return self.out(y.transpose(-1, -2).reshape(n, -1, h, w))


def bottleneck(i: int, o: int, factor: int, stride: int, act: Any = nn.Hardswish) -> nn.Module:
    wide = [conv_norm(i, i * factor, 1, act=act), conv_norm(i * factor, i * factor, 3, stride, act, groups=i * factor)]
    block = nn.Sequential(*wide, conv_norm(i * factor, o, 1, act=None))
    return Residual(block) if stride == 1 and i == o else block


@network("efficientvit", (1, 3, 64, 64))
def efficientvit() -> nn.Module:
    """Cai et al. 2023, the classifier B0 at reduced depth."""
    layers = [conv_norm(3, 8, 3, 2, nn.Hardswish), bottleneck(8, 8, 1, 1), bottleneck(8, 16, 4, 2)]
    for i, o in ((16, 24), (24, 32)):
        layers += [bottleneck(i, o, 4, 2), Residual(LinearAttention(o)), bottleneck(o, o, 4, 1)]
    return Classifier(nn.Sequential(*layers, conv_norm(32, 96, 1, act=nn.Hardswish)), 96)


class TalkingHeads(nn.Module):
    """Li et al. 2023: heads mixed before and after softmax, a bias per pair of pixels, local values added."""

    def __init__(self, channels: int, pixels: int, heads: int = 4, size: int = 8, values: int = 16) -> None:
        super().__init__()
        self.heads, self.size, self.values = heads, size, values
        self.q, self.k = (conv_norm(channels, heads * size, 1, act=None) for _ in range(2))
        self.v = conv_norm(channels, heads * values, 1, act=None)
        self.local = conv_norm(heads * values, heads * values, 3, act=None, groups=heads * values)
        self.bias = nn.Parameter(torch.randn(heads, pixels, pixels))
        self.before, self.after = (nn.Conv2d(heads, heads, 1) for _ in range(2))
        self.out = nn.Sequential(nn.GELU(), conv_norm(heads * values, channels, 1, act=None))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        q = self.q(x).flatten(2).reshape(n, self.heads, self.size, h * w).transpose(-1, -2)
        k = self.k(x).flatten(2).reshape(n, self.heads, self.size, h * w)
        values = self.v(x)
        v = values.flatten(2).reshape(n, self.heads, self.values, h * w).transpose(-1, -2)
        shares = self.after(self.before(q @ k * self.size**-0.5 + self.bias).softmax(-1))
        y = (shares @ v).transpose(-1, -2).reshape(n, -1, h, w)
        return self.out(y + self.local(values))


@network("efficientformer_v2", (1, 3, 64, 64))
def efficientformer_v2() -> nn.Module:
    """Li et al. 2023: convolutional blocks, and attention at the last resolution."""

    def mix(c: int) -> nn.Module:
        wide = [conv_norm(c, 4 * c, 1, act=nn.GELU), conv_norm(4 * c, 4 * c, 3, act=nn.GELU, groups=4 * c)]
        return Residual(nn.Sequential(*wide, conv_norm(4 * c, c, 1, act=None), LayerScale(c)))

    layers: list[nn.Module] = [conv_norm(3, 8, 3, 2, nn.GELU), conv_norm(8, 16, 3, 2, nn.GELU), mix(16)]
    layers += [conv_norm(16, 24, 3, 2, None), mix(24), conv_norm(24, 40, 3, 2, None)]
    for _ in range(2):
        layers += [Residual(nn.Sequential(TalkingHeads(40, 16), LayerScale(40))), mix(40)]
    return Classifier(nn.Sequential(*layers, nn.BatchNorm2d(40)), 40)
