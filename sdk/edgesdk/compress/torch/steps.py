# SPDX-License-Identifier: Apache-2.0
"""The steps without weights. Each computes its bytes with the constants that the op's own reference derives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesdk import ops
from edgesdk.compress.schemes import INT8
from edgesdk.compress.torch import grids
from edgesdk.compress.torch.integers import requantize, rounded_mean, straight_through
from edgesdk.compress.torch.modules import classes
from edgesdk.ir import Node, Value
from edgesdk.ops import binary, fixedpoint, reduce, unary

if TYPE_CHECKING:
    import torch
    from torch import nn


SMOOTH = {  # op -> function of torch.nn.functional
    "hard_swish": "hardswish",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "silu": "silu",
    "mish": "mish",
    "hard_sigmoid": "hardsigmoid",
}


def make(spec: Any, sources: list[nn.Module], grid: nn.Module) -> nn.Module:
    """A step over values on the grids `sources`, that writes on `grid`."""
    from torch.nn import ModuleList

    module = classes()["Step"](spec)
    module.sources, module.grid = ModuleList(sources), grid
    return module


def value(grid: Any, shape: tuple[int, ...] = (1,)) -> Value:
    return Value("", shape, "int8", grids.quant_of(grid))


def written(module: Any, exact: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The bytes `exact` as numbers on the grid, with the gradient of y."""
    real = grids.reals_of(module.grid, exact.clamp(-128, 127))
    return straight_through(real, grids.gradient_path(module.grid, y))


def least_width(module: Any, op: str) -> float:
    """The kernels refuse an output scale far below their inputs'; twice the least leaves room for their changes."""
    scales = [float(grids.scale_of(g).detach()) for g in module.sources]
    return max(scales) * 255 * 2 * INT8.least_ratio.get(op, 0.0)


@dataclass(frozen=True)
class Enter:
    """Float values are quantised."""

    slot: int = 0

    def run(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        return grids.rounded(module.grid, self.slot, x)


@dataclass(frozen=True)
class Binary:
    """add, sub or mul, with numpy's broadcasting."""

    op: str
    activation: str = "none"
    slot: int = 0

    def run(self, module: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        real = {"add": a.add, "sub": a.sub, "mul": a.mul}[self.op]
        y = real(b).clamp(*fixedpoint.float_range(self.activation))
        grids.observe(module.grid, self.slot, y, least_width(module, self.op))
        inputs, out = [value(g) for g in module.sources], value(module.grid)
        steps = [grids.steps_of(g, x.detach()).long() for g, x in zip(module.sources, (a, b), strict=True)]
        node = Node(self.op, [*inputs], [out], {}, self.op)
        q = (scaled_product if self.op == "mul" else scaled_sum)(node, *steps) + out.zero_point
        return written(module, q.clamp(*fixedpoint.activation_range(self.activation, out.scale, out.zero_point)), y)


def scaled_sum(node: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a_scale, b_scale, last = binary.sum_scales(node)
    a, b = (requantize(v << binary.LEFT_SHIFT["int8"], *s) for v, s in ((a, a_scale), (b, b_scale)))
    return requantize(a - b if node.op == "sub" else a + b, *last)


def scaled_product(node: Node, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return requantize(a * b, *binary.product_scale(node))


@dataclass(frozen=True)
class Table:
    """An activation as a table of its results for all 256 bytes."""

    op: str
    attrs: dict[str, float] = field(default_factory=dict, hash=False)
    slot: int = 0

    def run(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        import torch

        y = self.real(x)
        grids.observe(module.grid, self.slot, y, least_width(module, self.op))
        node = Node(self.op, [value(module.sources[0], (256,))], [value(module.grid, (256,))], dict(self.attrs))
        table = ops.module(self.op).reference(node, [np.arange(-128, 128).astype(np.int8)])[0]
        index = grids.bytes_of(module.sources[0], x) + 128
        return written(module, torch.from_numpy(table.astype(np.int64)).to(x.device)[index], y)

    def real(self, x: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        if self.op in ("leaky_relu", "elu"):
            return getattr(functional, self.op)(x, self.attrs["alpha"])
        if self.op == "gelu":
            return functional.gelu(x, approximate="tanh" if self.attrs["approximate"] else "none")
        if self.op in SMOOTH:
            return getattr(functional, SMOOTH[self.op])(x)
        return x.clamp(*unary.limits(Node(self.op, [], [], dict(self.attrs))))


@dataclass(frozen=True)
class AvgPool:
    """Keeps its input's grid."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    count_padding: bool = False

    def run(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn import functional

        def windows(v: torch.Tensor) -> torch.Tensor:
            """Sums over the windows; padding adds 0."""
            total = functional.avg_pool2d(v.double(), self.kernel, self.stride, self.padding, divisor_override=1)
            return total.round().long()

        (grid,) = module.sources
        area = self.kernel[0] * self.kernel[1]
        inside = windows(torch.ones_like(x[:1, :1]))
        count = torch.full_like(inside, area) if self.count_padding else inside
        total = windows(grids.steps_of(grid, x.detach())) + int(grid.zero_point) * count
        y = functional.avg_pool2d(x, self.kernel, self.stride, self.padding, count_include_pad=self.count_padding)
        return straight_through(grids.reals_of(grid, rounded_mean(total, count)), y)


@dataclass(frozen=True)
class Mean:
    axes: tuple[int, ...]
    keep_dims: bool
    slot: int = 0

    def run(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        y = x.mean(self.axes, self.keep_dims)
        grids.observe(module.grid, self.slot, y)
        total = grids.steps_of(module.sources[0], x.detach()).long().sum(self.axes, self.keep_dims)
        count = x.numel() // y.numel()
        node = Node("mean", [value(module.sources[0], (count,))], [value(module.grid)], {})
        _, multiplier, shift, zero_point = reduce.rescale_words(node)
        return written(module, requantize(total, multiplier, shift) + zero_point, y)
