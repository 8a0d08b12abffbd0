# SPDX-License-Identifier: Apache-2.0
"""PyTorch's products, attention, transposed convolutions, norms and smooth activations give PyTorch's numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from test_torch_import import Function, Functions, check, evaluate, random_inputs, refused  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgesdk import converters  # noqa: E402
from edgesdk.errors import Unsupported  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

ACTIVATIONS: dict[str, tuple[Function, int]] = {  # function -> steps in the graph
    "gelu": (F.gelu, 1),
    "gelu, tanh": (lambda x: F.gelu(x, approximate="tanh"), 1),
    "gelu, written out": (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), 1),
    "silu": (F.silu, 1),
    "silu, written out": (lambda x: x * torch.sigmoid(x), 1),
    "mish": (F.mish, 1),
    "erf": (torch.erf, 1),
    "elu": (lambda x: F.elu(x, 0.5), 1),
    "selu": (F.selu, 1),
    "elu with factors": (lambda x: torch.ops.aten.elu(x, 0.5, 1.5, 2.0), 2),
    "celu": (lambda x: F.celu(x, 0.5), 1),
    "softplus": (F.softplus, 1),
    "softplus with beta": (lambda x: F.softplus(x, 2.0), 3),
    "logsigmoid": (F.logsigmoid, 3),
    "hardsigmoid": (F.hardsigmoid, 1),
    "hardswish, written out": (lambda x: x * F.hardsigmoid(x), 1),
}


def test_activations() -> None:
    graph = check(Functions({k: f for k, (f, _) in ACTIVATIONS.items()}), random_inputs((1, 3, 4, 5)), [*ACTIVATIONS])
    producers = graph.producers()
    for value, (name, (_, steps)) in zip(graph.outputs, ACTIVATIONS.items(), strict=True):
        found, node = 1, producers[value]
        while (before := next((producers[v] for v in node.inputs if v in producers), None)) is not None:
            found, node = found + 1, before
        assert found == steps, name


def test_products() -> None:
    matrix, vector = (torch.randn(s, generator=torch.Generator().manual_seed(5)) for s in ((4, 2, 3), (7,)))
    functions: dict[str, Function] = {
        "matmul": lambda x, y: x @ y.mT,
        "bmm": lambda x, y: torch.bmm(x[0], y[0].mT),
        "broadcast": lambda x, y: x @ y[:, :1].mT,
        "constant on the left": lambda x, y: matrix[..., :2] @ x[0, :, :2],
        "vectors": lambda x, y: (x @ vector) @ y[0, 0],
        "dot": lambda x, y: torch.dot(x[0, 0, 0], y[0, 0, 0]) + x.sum(),
        "baddbmm": lambda x, y: torch.baddbmm(x[0] @ y[0].mT, x[0], y[0].mT, beta=0.5, alpha=2),
        "mm": lambda x, y: torch.mm(x[0, 0], y[0, 0].t()),
        "addmm": lambda x, y: torch.addmm(x[0, 0, 0, :1], x[0, 0], y[0, 0].t(), alpha=3),
        "linear": lambda x, y: F.linear(x, y[0, 0], x[0, 0, 0, :3]),
        "scores": lambda x, y: torch.einsum("bhqd,bhkd->bhqk", x, y),
    }
    graph = check(Functions(functions), random_inputs((1, 4, 3, 7), (1, 4, 3, 7)), [*functions])
    assert sum(n.op == "transpose" for n in graph.nodes) == 0


def test_attention_functions() -> None:
    sees = torch.ones(5, 5, dtype=torch.bool).tril(1)
    bias = torch.randn(5, 5, generator=torch.Generator().manual_seed(2))
    functions: dict[str, Function] = {
        "plain": lambda x, y: F.scaled_dot_product_attention(x, y, y),
        "scaled": lambda x, y: F.scaled_dot_product_attention(x, y, x, scale=0.3),
        "causal": lambda x, y: F.scaled_dot_product_attention(x, y, y, is_causal=True),
        "seen": lambda x, y: F.scaled_dot_product_attention(x, y, y, sees),
        "biased": lambda x, y: F.scaled_dot_product_attention(x, y, y, bias.masked_fill(~sees, -math.inf)),
        "biased by an input": lambda x, y: F.scaled_dot_product_attention(x, y, y, x @ y.mT),
        "shared heads": lambda x, y: F.scaled_dot_product_attention(x, y[:, :2], x[:, 2:], enable_gqa=True),
        "written out": lambda x, y: (x @ y.mT / 2).masked_fill(~sees, -math.inf).softmax(-1) @ y,
        "added": lambda x, y: (x @ y.mT + bias.masked_fill(~sees, -math.inf)).softmax(-1),
        "filled": lambda x, y: (x @ y.mT).masked_fill(~sees, 3.0) + (x @ y.mT).masked_fill(sees, 0),
    }
    graph = check(Functions(functions), random_inputs((2, 4, 5, 6), (2, 4, 5, 6)), [*functions])
    assert sum(n.op == "transpose" for n in graph.nodes) == 0


def count(graph: Graph, op: str) -> int:
    return sum(n.op == op for n in graph.nodes)


def test_transformers() -> None:
    """Heads are split and joined by four moves each: of q, k and v, and back."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
    graph = check(encoder, random_inputs((1, 5, 8)))
    assert count(graph, "layer_norm") == 2 and count(graph, "gelu") == 1 and count(graph, "batch_matmul") == 2
    assert count(graph, "transpose") <= 4
    decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval()
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    check(Functions({"f": lambda x, y: decoder(x, y, tgt_mask=mask)}, nn.ModuleDict()), random_inputs(*[(2, 5, 8)] * 2))


def test_attention_with_its_shares() -> None:
    class Shares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.MultiheadAttention(8, 2)

        def forward(self, x: Any) -> Any:
            return self.heads(x, x, x)

    torch.manual_seed(0)
    check(Shares(), random_inputs((5, 2, 8)))


def test_norms() -> None:
    weight, bias = (torch.randn(6, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    functions: dict[str, Function] = {
        "layer": lambda x: F.layer_norm(x, (4, 5), weight[:4, None] * weight[:5], bias[:4, None] + bias[:5]),
        "layer without factors": lambda x: F.layer_norm(x, (5,)),
        "rms": lambda x: F.rms_norm(x, (4, 5), weight[:4, None] * weight[:5], 1e-3),
        "rms by default": lambda x: F.rms_norm(x, (5,)),
        "group": lambda x: F.group_norm(x, 3, weight, bias),
        "group of all": lambda x: F.group_norm(x.flatten(2), 1),
        "instance": lambda x: F.instance_norm(x, weight=weight, bias=bias, eps=1e-3),
        "instance of a signal": lambda x: F.instance_norm(x.flatten(2)),
    }
    layers = nn.ModuleDict({"tracked": nn.InstanceNorm2d(6, affine=True, track_running_stats=True)})
    layers["tracked"].running_mean.normal_()
    layers["tracked"].running_var.uniform_(0.5, 2)
    check(Functions(functions, layers), random_inputs((2, 6, 4, 5)), [*functions, "tracked"])


def test_norms_between_convolutions_move_nothing() -> None:
    class Last(nn.Module):
        """A ConvNeXt block: its layer norm reads channels last."""

        def __init__(self) -> None:
            super().__init__()
            self.depth, self.norm, self.point = nn.Conv2d(6, 6, 3, groups=6), nn.LayerNorm(6), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            x = self.norm(self.depth(x).permute(0, 2, 3, 1))
            return F.gelu(self.point(x)).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    mixed = nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.SiLU(), Last(), nn.InstanceNorm2d(4, affine=True))
    upscaled = nn.Sequential(mixed, nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2), nn.BatchNorm2d(4), nn.ReLU())
    graph = check(upscaled, random_inputs((1, 3, 9, 8)))
    found = ["conv2d", "group_norm", "silu", "depthwise_conv2d", "layer_norm", "fully_connected", "gelu"]
    assert [n.op for n in graph.nodes] == [*found, "instance_norm", "transpose_conv2d"]


def test_transposed_and_grouped_convolutions() -> None:
    torch.manual_seed(1)
    layers = nn.ModuleDict(
        {
            "plain": nn.ConvTranspose2d(4, 6, 3),
            "all": nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), groups=2, dilation=(2, 1), bias=False),
            "signal": nn.Sequential(nn.Flatten(2), nn.ConvTranspose1d(4, 3, 5, 2, 3, 1), nn.GELU(), nn.GroupNorm(3, 3)),
            "grouped": nn.Conv2d(4, 6, 3, groups=2),
        }
    )
    graph = check(Functions({}, layers), random_inputs((2, 4, 6, 5)), [*layers])
    assert count(graph, "transpose_conv2d") == 3 and count(graph, "slice") == 0
    exported = torch.export.export(layers["all"].eval(), random_inputs((2, 4, 6, 5))).run_decompositions()
    assert "convolution" in str(exported.graph)
    check_program(exported, layers["all"])


def check_program(exported: Any, module: Any) -> None:
    """A program whose ops were decomposed before it came here."""
    inputs = random_inputs((2, 4, 6, 5))
    (got,) = evaluate(converters.load(exported), inputs)
    assert abs(got - module(*inputs).detach().numpy()).max() < 1e-5


def test_decomposed_norms() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.LayerNorm(3), nn.GELU()).eval()
    exported = torch.export.export(module, random_inputs((2, 4, 6, 5))).run_decompositions()
    assert "native_layer_norm" in str(exported.graph)
    check_program(exported, module)


def test_refusals() -> None:
    functions: dict[str, Function] = {
        "dropout": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
        "mask": lambda x: x.masked_fill(torch.ones(5, dtype=torch.bool), math.inf),
        "softplus": lambda x: F.softplus(x, threshold=2),
    }
    text = refused(Unsupported, Functions(functions))
    assert all(part in text for part in ("attention with dropout", "fills with inf", "threshold 2"))
