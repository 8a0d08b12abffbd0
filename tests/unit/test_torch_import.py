# SPDX-License-Identifier: Apache-2.0
"""PyTorch models as graphs: the same numbers as PyTorch, refusals that name the place."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import edgesdk  # noqa: E402
from edgesdk import converters, ops, passes, runtime  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

torch.set_num_threads(1)
Function = Callable[..., Any]


class Functions(nn.Module):
    """Every function on the same inputs: one export tries them all."""

    def __init__(self, functions: dict[str, Function], layers: nn.ModuleDict | None = None) -> None:
        super().__init__()
        self.functions, self.layers = functions, layers or nn.ModuleDict()
        self.eval()

    def forward(self, *x: Any) -> Any:
        return tuple(f(*x) for f in self.functions.values()) + tuple(m(*x) for m in self.layers.values())

    def names(self) -> list[str]:
        return [*self.functions, *self.layers]


def random_inputs(*shapes: tuple[int, ...]) -> tuple[Any, ...]:
    random = torch.Generator().manual_seed(3)
    return tuple(torch.randn(s, generator=random) for s in shapes)


def evaluate(graph: Graph, inputs: tuple[Any, ...]) -> list[np.ndarray]:
    """The graph's outputs for inputs in the source's layout, in the source's layout."""
    layouts, arrays = graph.metadata["input_layouts"], []
    for value, x in zip(graph.inputs, inputs, strict=True):
        arrays.append(np.moveaxis(x.numpy(), 1, -1) if value.name in layouts else x.numpy())
    found, layouts = ops.evaluate(graph, arrays), graph.metadata["output_layouts"]
    return [np.moveaxis(found[v], -1, 1) if v.name in layouts else found[v] for v in graph.outputs]


def check(module: Any, inputs: tuple[Any, ...], names: list[str] | None = None) -> Graph:
    """The graph, before and after simplification, gives torch's outputs."""
    module = module.eval()
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    graph = converters.load(module, example_inputs=inputs)
    for simplified in (False, True):
        graph = passes.simplify(graph) if simplified else graph
        results = zip(evaluate(graph, inputs), expected, names or [""] * len(expected), strict=True)
        for got, e, name in results:
            assert got.shape == tuple(e.shape), name
            assert np.linalg.norm(got - e.numpy()) <= 1e-5 * max(np.linalg.norm(e), 1e-3), (name, simplified)
    return graph


ELEMENTWISE: dict[str, Function] = {
    "relu": lambda x, y: torch.relu(x),
    "relu6": lambda x, y: F.relu6(x),
    "hardtanh": lambda x, y: F.hardtanh(x, -0.5, 0.25),
    "clamp": lambda x, y: x.clamp(min=-0.5) + y.clamp_max(0.5),
    "clamp by tensors": lambda x, y: torch.clamp(x, min=y, max=y + 1),
    "hardswish": lambda x, y: F.hardswish(x),
    "hardsigmoid": lambda x, y: F.hardsigmoid(x),
    "sigmoid": lambda x, y: torch.sigmoid(x),
    "silu": lambda x, y: F.silu(x),
    "tanh": lambda x, y: torch.tanh(x),
    "leaky_relu": lambda x, y: F.leaky_relu(x, 0.2),
    "glu": lambda x, y: F.glu(x, 1),
    "add with alpha": lambda x, y: torch.add(x, y, alpha=3),
    "rsub": lambda x, y: torch.rsub(x, y, alpha=2) + (1 - x),
    "scalars": lambda x, y: (x - 1) * 2 / 3 + 0.5,
    "constant first": lambda x, y: 2 * torch.ones(4, 1, 1) - x,
    "in place": lambda x, y: (x + 0).mul_(y).add_(1).relu_(),
    "powers": lambda x, y: x**2 + torch.square(y) - x**3,
    "neg": lambda x, y: -x,
    "min and max": lambda x, y: torch.minimum(x, y) + torch.maximum(x, x.mean((2, 3), keepdim=True)),
    "mean": lambda x, y: x.mean() + x.mean(1),
    "sum": lambda x, y: x.sum((0, -1), keepdim=True),
    "amax": lambda x, y: x.amax((1, 2)),
    "softmax over channels": lambda x, y: x.softmax(1),
    "softmax over the last axis": lambda x, y: x.softmax(-1),
    "dropout": lambda x, y: F.dropout(x, 0.5, False) + x,
    "exponentials": lambda x, y: torch.exp(x) + torch.log(y.abs() + 0.5) + torch.expm1(x) + torch.log1p(y * y),
    "roots": lambda x, y: torch.sqrt(x.abs()) + torch.rsqrt(y * y + 1) + torch.reciprocal(y * y + 1),
    "waves": lambda x, y: torch.sin(x) + torch.cos(y) + torch.tan(x.tanh()) + torch.atan(y) + torch.asin(y.tanh()),
    "hyperbolic": lambda x, y: torch.sinh(x) + torch.cosh(y) + torch.asinh(x) + torch.atanh(y.tanh() * 0.9),
    "roundings": lambda x, y: torch.floor(x * 3) + torch.ceil(y * 3) + torch.round(x * 3) + torch.sign(y),
    "quotients": lambda x, y: x / (y.abs() + 0.5) + 1 / (x.abs() + 1) + torch.div(x, 0.4, rounding_mode="floor"),
    "remainders": lambda x, y: torch.fmod(x, 0.7) + torch.remainder(y, 0.7),
    "general powers": lambda x, y: (x.abs() + 0.1) ** y + (y.abs() + 0.1) ** 1.7 + 2.0**x,
    "prelu": lambda x, y: F.prelu(x, torch.tensor([0.1, -0.2, 0.3, 0.5])) + F.prelu(y, torch.tensor([0.25])),
    "celu": lambda x, y: F.celu(x, 0.7),
    "softsign": lambda x, y: F.softsign(x) + F.threshold(y, 0.2, 0.0),
    "log_softmax": lambda x, y: F.log_softmax(x, 1) + F.log_softmax(y, -1),
    "types": lambda x, y: x.double().float().to(torch.float32).contiguous() * 2,
}

SHAPES: dict[str, Function] = {
    "cat": lambda x, y: torch.cat([x, y, x[:, :1]], 1),
    "cat with a constant": lambda x, y: torch.cat([x, torch.ones(1, 2, 6, 5)], 1),
    "stack": lambda x, y: torch.stack([x, y], 2),
    "split": lambda x, y: x.split(3, 1)[1] + x.split([1, 3], 1)[0],
    "chunk": lambda x, y: x.chunk(3, 2)[2] * y.chunk(2, 3)[1].mean(),
    "unbind": lambda x, y: x.unbind(1)[2],
    "slices": lambda x, y: x[:, 1:-1, ::2, 3:],
    "select": lambda x, y: x[:, 2] + x.select(1, -1),
    "narrow": lambda x, y: x.narrow(2, 1, 4),
    "view": lambda x, y: x.view(1, 2, 2, 30).permute(0, 2, 1, 3).reshape(1, 4, 30),
    "flatten": lambda x, y: x.flatten(2).transpose(1, 2),
    "unflatten": lambda x, y: x.unflatten(1, (2, 2)),
    "squeeze": lambda x, y: x.squeeze(0).unsqueeze(-1),
    "t": lambda x, y: x[0, 0].t(),
    "movedim": lambda x, y: x.movedim(1, -1).swapaxes(1, 2),
    "expand": lambda x, y: x[:, :1].expand(-1, 7, -1, -1),
    "expand into a sum": lambda x, y: x.mean((2, 3), keepdim=True).expand_as(x) + x,
    "repeat": lambda x, y: x.repeat(2, 1, 1, 3),
    "zero padding": lambda x, y: F.pad(x, (1, 2, 3, 0)),
    "padding with a value": lambda x, y: F.pad(x, (1, 2), value=-1.5),
    "cropping": lambda x, y: F.pad(x, (-1, 2, 0, -2)),
    "reflected": lambda x, y: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "replicated": lambda x, y: F.pad(x, (1, 2, 3, 0), mode="replicate"),
    "circular": lambda x, y: F.pad(x, (1, 2, 3, 0), mode="circular"),
    "channel shuffle": lambda x, y: F.channel_shuffle(x, 2) + y,
    "pixel shuffle to one channel": lambda x, y: F.pixel_shuffle(x, 2),
    "pixel shuffle": lambda x, y: F.pixel_shuffle(torch.cat([x, y], 1), 2),
    "pixel unshuffle": lambda x, y: F.pixel_unshuffle(x[..., :4], 2),
    "pixel unshuffle of one channel": lambda x, y: F.pixel_unshuffle(x[:, :1, :, :4], 2),
}

WINDOWS: dict[str, Function] = {
    "max pool": lambda x, y: F.max_pool2d(x, 3, 2, 1),
    "max pool, ceil": lambda x, y: F.max_pool2d(x, 2, ceil_mode=True),
    "max pool of a signal": lambda x, y: F.max_pool1d(x[0], 2),
    "max pool, dilated": lambda x, y: F.max_pool2d(x, 2, dilation=2) + F.max_pool2d(y, 3, 1, 1, 2)[..., :4, :3].mean(),
    "bicubic": lambda x, y: F.interpolate(x, size=(9, 7), mode="bicubic"),
    "bicubic with corners": lambda x, y: F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True),
    "avg pool": lambda x, y: F.avg_pool2d(x, (3, 2), padding=(1, 0)),
    "avg pool without padding counted": lambda x, y: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "avg pool, ceil": lambda x, y: F.avg_pool2d(x, 2, ceil_mode=True),
    "avg pool of a signal": lambda x, y: F.avg_pool1d(x[0], 3, 1, 1),
    "global pool": lambda x, y: F.adaptive_avg_pool2d(x, 1),
    "adaptive pool, even": lambda x, y: F.adaptive_avg_pool2d(x, (3, 1)),
    "adaptive pool, uneven": lambda x, y: F.adaptive_avg_pool2d(x, (4, 3)),
    "adaptive max pool": lambda x, y: F.adaptive_max_pool2d(x, (4, 2)),
    "adaptive pool of a signal": lambda x, y: F.adaptive_avg_pool1d(x[0], 2),
    "nearest": lambda x, y: F.interpolate(x, scale_factor=2),
    "nearest to a size": lambda x, y: F.interpolate(x, size=(7, 9)),
    "nearest, exact": lambda x, y: F.interpolate(x, size=(4, 8), mode="nearest-exact"),
    "nearest of a signal": lambda x, y: F.interpolate(x[0], scale_factor=3),
    "bilinear": lambda x, y: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear with corners": lambda x, y: F.interpolate(x, size=(9, 4), mode="bilinear", align_corners=True),
    "linear": lambda x, y: F.interpolate(x[0], scale_factor=2, mode="linear"),
}

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(4, 6, 3, 2, 1),
    "conv, same": lambda: nn.Conv2d(4, 6, (2, 3), padding="same", dilation=(1, 2)),
    "conv, valid": lambda: nn.Conv2d(4, 6, 3, padding="valid", bias=False),
    "conv, reflected": lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"),
    "depthwise": lambda: nn.Conv2d(4, 8, 3, groups=4),
    "groups": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "signal": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 3, 5, 2, 3), nn.BatchNorm1d(3), nn.ReLU()),
    "signal, same": lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 4, 4, padding="same", groups=4)),
    "norm": lambda: nn.BatchNorm2d(4),
    "norm of vectors": lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(120, affine=False)),
    "linear over the last axis": lambda: nn.Linear(5, 3),
    "linear of a flattened image": lambda: nn.Sequential(nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(36, 4)),
}


@pytest.mark.parametrize("functions", [ELEMENTWISE, SHAPES, WINDOWS], ids=["elementwise", "shapes", "windows"])
def test_functions(functions: dict[str, Function]) -> None:
    module = Functions(functions)
    check(module, random_inputs((1, 4, 6, 5), (1, 4, 6, 5)), module.names())


def test_layers() -> None:
    torch.manual_seed(1)
    module = Functions({}, nn.ModuleDict({k.replace(".", ""): make() for k, make in LAYERS.items()}))
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    graph = check(module, random_inputs((1, 4, 6, 5)), module.names())
    assert not any(n.op == "batch_norm" for n in graph.nodes if "norm" not in n.source)


def test_products() -> None:
    matrix, vector = (torch.randn(s, generator=torch.Generator().manual_seed(5)) for s in ((7, 3), (3,)))
    functions: dict[str, Function] = {
        "matmul": lambda x: x @ matrix,
        "batch of one": lambda x: torch.bmm(x[:1], matrix[None]),
        "mm": lambda x: torch.mm(x[0], matrix),
        "addmm": lambda x: torch.addmm(vector, x[0], matrix, alpha=2, beta=0.5),
        "addmm of a matrix": lambda x: torch.addmm(x[0, :, :3], x[1], matrix, beta=2),
        "linear": lambda x: F.linear(x, matrix.t(), vector),
        "vector": lambda x: F.linear(x[0, 0], matrix.t()),
        "einsum": lambda x: torch.einsum("bij,jk->bik", x, matrix),
    }
    check(Functions(functions), random_inputs((2, 4, 7)), list(functions))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4 * 4 * 3, 5)

    def forward(self, image: Any) -> Any:
        return self.head(self.features(image).flatten(1)).softmax(-1)


IMAGE = (1, 3, 6, 5)


def small() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


def test_layouts_names_and_places() -> None:
    graph = check(small(), random_inputs(IMAGE))
    assert [v.name for v in graph.inputs] == ["image"] and graph.inputs[0].shape == (1, 6, 5, 3)
    assert graph.metadata["input_layouts"] == {"image": "NCHW"}
    assert [v.name for v in graph.outputs] == ["output"]
    assert [n.op for n in graph.nodes] == ["conv2d", "reshape", "fully_connected", "softmax"]
    assert graph.nodes[0].source.startswith("features.0 (test_torch_import.py:")


def test_a_module_that_takes_and_gives_channels_last() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.conv(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)

    graph = check(Last(), random_inputs((1, 6, 5, 3)))
    assert graph.metadata["input_layouts"] == graph.metadata["output_layouts"] == {}
    assert [n.op for n in graph.nodes] == ["conv2d"]


def test_what_is_no_image_keeps_its_order() -> None:
    graph = check(Functions({"heads": lambda x: (x * 2).softmax(-1)}), random_inputs((1, 2, 4, 3)))
    assert graph.inputs[0].shape == graph.outputs[0].shape == (1, 2, 4, 3)


def test_program_runs_from_module_program_and_file(tmp_path: Path) -> None:
    module, inputs = small(), random_inputs(IMAGE)
    exported = torch.export.export(module, inputs)
    torch.export.save(exported, tmp_path / "small.pt2")
    programs = [
        edgesdk.convert(module, example_inputs=inputs[0]),
        edgesdk.convert(module, example_inputs={"image": inputs[0]}),
        edgesdk.convert(exported),
        edgesdk.convert(exported.run_decompositions()),
        edgesdk.convert(str(tmp_path / "small.pt2"), input_shapes={"image": IMAGE}),
    ]
    expected = module(*inputs).detach().numpy()
    for converted in programs:
        (got,) = runtime.run(runtime.open_session(converted.data), [np.moveaxis(inputs[0].numpy(), 1, -1)])
        assert np.abs(got - expected).max() < 1e-5


def test_constants_are_computed_at_import() -> None:
    def forward(x: Any) -> Any:
        place = torch.arange(5, dtype=torch.float32).sin().view(1, 5) * 0.5
        mask = torch.full((4, 5), 2.0).tril()
        return x * place + mask.exp()

    graph = check(Functions({"f": forward}), random_inputs((4, 5)))
    assert [n.op for n in graph.nodes] == ["mul", "add"]


def refused(error: type[Exception], module: Any, *inputs: Any) -> str:
    with pytest.raises(error) as caught:
        converters.load(module, example_inputs=inputs or random_inputs(IMAGE))
    return str(caught.value)


def test_training_mode_is_refused() -> None:
    module = small()
    module.features[1].train()
    assert refused(UsageError, module) == "module 'features.1' is in training mode; call model.eval() first"
    exported = torch.export.export(small().train(), random_inputs(IMAGE))
    text = refused(UsageError, exported)
    assert "features.1 (test_torch_import.py:" in text and "model.eval()" in text


def test_unsupported_ops_are_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    functions: dict[str, Function] = {
        "cumprod": lambda x: x.cumprod(-1),
        "cummax": lambda x: x.cummax(-1).values,
        "twice": lambda x: torch.erfinv(x) + torch.cumprod(x, 0),
    }
    text = refused(Unsupported, Functions(functions))
    assert all(kind in text for kind in ("cumprod", "cummax", "erfinv"))
    assert text.count("test_torch_import.py:") == 4


def test_refusals_of_rules_are_listed_at_once() -> None:
    functions: dict[str, Function] = {
        "divided": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        "trunc": lambda x: torch.div(x, 2, rounding_mode="trunc"),
    }
    text = refused(Unsupported, Functions(functions))
    assert "divisor_override" in text and "rounding_mode 'trunc'" in text


def test_control_flow_and_data_dependent_shapes_are_refused() -> None:
    class Branch(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))

    assert "control flow cond" in refused(Unsupported, Branch().eval())
    assert "depends on data" in refused(Unsupported, Functions({"f": lambda x: x.nonzero()}))
    assert "cannot trace" in refused(Unsupported, Functions({"f": lambda x: x if x.sum() > 0 else -x}))


def test_custom_ops_are_refused() -> None:
    @torch.library.custom_op("edgesdk_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @twice.register_fake
    def _(x: Any) -> Any:
        return torch.empty_like(x)

    assert "custom op edgesdk_test.twice" in refused(Unsupported, Functions({"f": lambda x: twice(x)}))


def test_state_is_refused() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: Any) -> Any:
            self.seen += 1
            return x * self.seen

    assert "changes its buffers 'seen'" in refused(Unsupported, Counter().eval())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(bad: float) -> None:
    module = small()
    module.head.weight.data[0, 0] = bad
    assert "'head.weight' holds NaN or infinity" in refused(UsageError, module)


def test_dynamic_shapes_are_fixed_or_refused(tmp_path: Path) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, image: Any) -> Any:
            return self.conv(image).mean((2, 3))

    height = torch.export.Dim("height", min=4, max=64)
    module = Pooled().eval()
    exported = torch.export.export(module, random_inputs(IMAGE), dynamic_shapes=({2: height},))
    text = refused(UsageError, exported, None)
    assert "input 'image' has dynamic dimensions" in text and "--input image:1,3,N,5" in text
    torch.export.save(exported, tmp_path / "free.pt2")
    graph = converters.load(tmp_path / "free.pt2", {"image": (1, 3, 9, 5)})
    x = random_inputs((1, 3, 9, 5))
    assert graph.inputs[0].shape == (1, 9, 5, 3)
    assert np.abs(evaluate(graph, x)[0] - module(*x).detach().numpy()).max() < 1e-5
    with pytest.raises(UsageError, match="expected a match"):
        converters.load(exported, {"image": (1, 4, 9, 5)})
    with pytest.raises(UsageError, match="no input is named 'x'"):
        converters.load(exported, {"x": (1, 3, 9, 5)})


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs example_inputs"):
        converters.load(small())
    with pytest.raises(UsageError, match="expected a path, a torch.nn.Module"):
        converters.load(3, example_inputs=())
    with pytest.raises(Unsupported, match="expected a .pt2 file: torch.export.save"):
        converters.load(tmp_path / "weights.pth")
    (tmp_path / "broken.pt2").write_bytes(b"PK no archive")
    with pytest.raises(UsageError, match="not readable by torch"):
        converters.load(tmp_path / "broken.pt2")
    with pytest.raises(UsageError, match="example_inputs are for modules"):
        converters.load(tmp_path / "broken.pt2", example_inputs=())
    with pytest.raises(UsageError, match="is constant"):
        converters.load(Functions({"f": lambda x: torch.ones(3)}), example_inputs=random_inputs(IMAGE))


def test_absent_torch_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torch(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest)

    (tmp_path / "m.pt2").write_bytes(b"")
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(UsageError, match=r"pip install edgesdk\[torch\]"):
        converters.load(tmp_path / "m.pt2")
