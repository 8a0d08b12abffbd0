# SPDX-License-Identifier: Apache-2.0
"""Training in the integers of the device: what the torch model computes is what the C runtime computes."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import edgesdk  # noqa: E402
from edgesdk import runtime  # noqa: E402
from edgesdk.compress.torch import grids, integers, layers, qat  # noqa: E402
from edgesdk.errors import UsageError  # noqa: E402
from edgesdk.flow import Converted  # noqa: E402
from edgesdk.ops import fixedpoint  # noqa: E402

torch.set_num_threads(1)


def channels_last(x: np.ndarray, name: str, layouts: dict[str, str]) -> np.ndarray:
    return np.moveaxis(x, 1, -1) if name in layouts else x


def run(converted: Converted, *batch: Any) -> list[np.ndarray]:
    """What the C runtime computes for a batch, in torch's axis order."""
    session, metadata = runtime.open_session(converted.data), converted.graph.metadata
    columns = [
        channels_last(x.numpy(), v.name, metadata["input_layouts"])
        for x, v in zip(batch, converted.graph.inputs, strict=True)
    ]
    runs = [runtime.run(session, [np.ascontiguousarray(c[i : i + 1]) for c in columns]) for i in range(len(columns[0]))]
    outputs = [np.concatenate(o) for o in zip(*runs, strict=True)]
    layouts = metadata["output_layouts"]
    return [
        np.moveaxis(o, -1, 1) if v.name in layouts else o for o, v in zip(outputs, converted.graph.outputs, strict=True)
    ]


def assert_same_bytes(model: Any, *batch: Any) -> Converted:
    """The frozen model and its program, with float edges and with integer outputs."""
    with torch.no_grad():
        result = model(*batch)
    wanted = [result] if hasattr(result, "ndim") else list(result)
    converted = edgesdk.convert(model)
    for got, want in zip(run(converted, *batch), wanted, strict=True):
        assert got.tobytes() == np.ascontiguousarray(want.numpy()).tobytes()
    return converted


def random_inputs(*shapes: tuple[int, ...], seed: int = 1) -> tuple[Any, ...]:
    random = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(s, generator=random) for s in shapes)


def trained(model: Any, *shapes: tuple[int, ...], steps: int = 3, rate: float = 0.02) -> Any:
    """A few rough steps, so that weights, scales and statistics are not what they were."""
    optimizer = torch.optim.Adam(model.train().parameters(), rate)
    for i in range(steps):
        result = model(*random_inputs(*shapes, seed=i))
        optimizer.zero_grad()
        (result if hasattr(result, "ndim") else sum(y.sum() for y in result)).square().sum().backward()
        optimizer.step()
    return qat.freeze(model)


# The arithmetic.


@given(st.lists(st.floats(1e-12, 1e9), min_size=1, max_size=20))
def test_multipliers_are_the_reference_s(reals: list[float]) -> None:
    reals += [2.0**-31, 2.0**-33, 1.0, 1 - 2.0**-40, 2.0**31]
    multiplier, shift = integers.multipliers(torch.tensor(reals, dtype=torch.float64))
    expected = [fixedpoint.quantize_multiplier(r) for r in reals]
    assert list(zip(multiplier.tolist(), shift.tolist(), strict=True)) == expected


INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(INT32, min_size=1, max_size=30), st.integers(2**30, 2**31 - 1), st.integers(-31, 8))
def test_requantisation_is_the_reference_s(x: list[int], multiplier: int, shift: int) -> None:
    x += [0, 1, -1, 2**31 - 1, -(2**31)]
    expected = fixedpoint.requantize(np.array(x), multiplier, shift)
    assert integers.requantize(torch.tensor(x), multiplier, shift).tolist() == expected.tolist()


@given(st.lists(st.floats(-600, 600, width=32), min_size=1, max_size=30))
def test_halves_are_rounded_away_from_zero(x: list[float]) -> None:
    x += [0.5, -0.5, 0.49999997, -2.5]
    expected = [int(np.copysign(np.floor(abs(np.float64(v)) + 0.5), v)) for v in x]
    assert integers.round_away(torch.tensor(x)).tolist() == expected


def test_sums_past_float32_are_exact() -> None:
    """255 * 127 * 4096 + 1 is no float32 number."""
    spec = layers.Layer("fully_connected", 8)
    step = layers.make(spec, nn.Linear(4097, 1), None, grids.make(grids.Grid()), grids.make(grids.Grid()))
    x, w = torch.full((1, 4097), 255.0), torch.full((1, 4097), 127.0)
    x[0, 0] = w[0, 0] = 1.0
    _, exact = layers.sums(step, x, w)
    assert exact.tolist() == [[255 * 127 * 4096 + 1]]


# Networks.


class Every(nn.Module):
    """Every operation that has an integer form."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding="same", bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.BatchNorm2d(8), nn.ReLU6())
        self.pointwise, self.swish = nn.Conv2d(8, 8, 1), nn.Hardswish()
        self.gate, self.leaky, self.tanh = nn.Conv2d(8, 8, 1), nn.LeakyReLU(0.2), nn.Tanh()
        self.max, self.avg, self.one = nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.BatchNorm1d(7), nn.Hardtanh(-0.5, 2.0))
        self.head, self.drop = nn.Linear(16, 7), nn.Dropout(0.2)

    def forward(self, x: Any) -> Any:
        y = self.depthwise(self.stem(x))
        z = self.swish(self.pointwise(y))
        y = F.relu(y + z) * torch.sigmoid(self.gate(self.one(y)))
        y = self.avg(self.max(torch.cat([y, z], 1)))
        flat = self.one(y).view(y.size(0), -1)
        return self.dense(y) - self.tanh(self.leaky(self.head(self.drop(flat)))), y


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("ranges", ["observed", "learned"])
def test_every_operation_gives_the_bytes_of_the_runtime(weights: str, ranges: str) -> None:
    torch.manual_seed(0)
    model = qat.prepare(Every(), *random_inputs((8, 3, 8, 8)), weights=weights, ranges=ranges)
    assert model.left_float == ()
    trained(model, (8, 3, 8, 8))
    converted = assert_same_bytes(model, *random_inputs((12, 3, 8, 8), seed=9))
    assert not any(v.dtype == "float32" for n in converted.graph.nodes[1:-2] for v in n.outputs)
    if weights == "int4":
        kept = [n.input(1).data for n in converted.source.nodes if len(n.inputs) == 3]
        assert all(w is not None and w.min() >= -8 and w.max() <= 7 for w in kept)


class Tokens(nn.Module):
    """Patches with positions, mixed over tokens and over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Conv2d(1, 6, 2, 2), nn.Parameter(torch.randn(1, 9, 6))
        self.tokens, self.channels, self.head = nn.Linear(9, 9), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Any) -> Any:
        x = self.embed(x).flatten(2).transpose(1, 2) + self.position
        x = x + self.tokens(x.permute(0, 2, 1)).permute(0, 2, 1)
        return self.head((x + F.hardswish(self.channels(x))).mean(1))


def test_tokens_and_positions_give_the_bytes_of_the_runtime() -> None:
    model = trained(qat.prepare(Tokens(), *random_inputs((8, 1, 6, 6)), weights="int4"), (8, 1, 6, 6))
    converted = assert_same_bytes(model, *random_inputs((8, 1, 6, 6), seed=9))
    assert model.left_float == () and len(converted.graph.inputs) == 1


class Drawn(nn.Module):
    """A random chain of blocks, some with a branch."""

    def __init__(self, blocks: list[tuple[str, int]]) -> None:
        super().__init__()
        self.kinds, channels, made = [k for k, _ in blocks], 2, []
        for kind, width in blocks:
            out = channels if kind in ("depthwise", "residual", "pool") else width
            made.append(self.block(kind, channels, out))
            channels = out + channels if kind == "concat" else out
        self.blocks = nn.ModuleList(made)
        self.head = nn.Linear(channels, 3)

    def block(self, kind: str, n: int, out: int) -> nn.Module:
        if kind == "pool":
            return nn.AvgPool2d(2, 1, 1, count_include_pad=n % 2 == 0)
        groups = n if kind == "depthwise" else 1
        layers = [nn.Conv2d(n, out, 3, padding=1, groups=groups), nn.BatchNorm2d(out)]
        return nn.Sequential(*layers, *([nn.ReLU6()] if out % 2 else [nn.Hardswish()]))

    def forward(self, x: Any) -> Any:
        for kind, block in zip(self.kinds, self.blocks, strict=True):
            y = block(x)
            x = x + y if kind == "residual" else torch.cat([x, y], 1) if kind == "concat" else y
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


KINDS = st.sampled_from(["plain", "depthwise", "residual", "concat", "pool"])


@settings(max_examples=settings().max_examples // 3)
@given(
    st.lists(st.tuples(KINDS, st.integers(1, 5)), min_size=1, max_size=4),
    st.sampled_from(["int8", "int4"]),
    st.sampled_from(["observed", "learned"]),
    st.floats(0.01, 30.0),
    st.integers(0, 99),
)
def test_random_networks_give_the_bytes_of_the_runtime(
    blocks: list[tuple[str, int]], weights: str, ranges: str, loudness: float, seed: int
) -> None:
    torch.manual_seed(seed)
    example = loudness * random_inputs((4, 2, 5, 5), seed=seed)[0]
    model = trained(qat.prepare(Drawn(blocks), example, weights, ranges), (4, 2, 5, 5), steps=1)
    assert_same_bytes(model, 1.5 * loudness * random_inputs((4, 2, 5, 5), seed=seed + 1)[0])


@pytest.mark.parametrize("example", [0.0, 1e-6, 1e4])
@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_empty_channels_and_extreme_ranges_give_the_bytes_of_the_runtime(example: float, weights: str) -> None:
    torch.manual_seed(0)
    first, act, last = nn.Conv2d(1, 6, 3, padding=1), nn.Hardswish(), nn.Conv2d(6, 3, 1)
    with torch.no_grad():
        first.weight[0], first.weight[1], first.weight[2] = 0.0, 1e-9, 1e3
        assert first.bias is not None
        first.bias[:] = torch.tensor([0.0, 50.0, -1e4, -1.0, 1e-7, 3.0])
        last.weight[2] = 0.0
    net = nn.Sequential(first, act, last, nn.Tanh())
    model = qat.freeze(qat.prepare(net, example * random_inputs((4, 1, 4, 4))[0], weights))
    assert_same_bytes(model, *random_inputs((6, 1, 4, 4), seed=2))


def test_autocast_changes_no_byte() -> None:
    example = random_inputs((4, 3, 8, 8))
    model = qat.freeze(qat.prepare(Every(), *example))
    expected = model(*example)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(*example)[0], expected)


@pytest.mark.parametrize("smooth", [nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(), nn.ELU(0.7), nn.Hardsigmoid()])
def test_smooth_activations_behind_groups_give_the_bytes_of_the_runtime(smooth: nn.Module) -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), smooth, nn.Conv2d(6, 3, 1, groups=3))
    model = trained(qat.prepare(net, *random_inputs((4, 4, 5, 5))), (4, 4, 5, 5))
    assert_same_bytes(model, *random_inputs((4, 4, 5, 5), seed=6))
    assert model.left_float == ()


@pytest.mark.parametrize("ranges", ["observed", "learned"])
def test_a_faint_sum_beside_a_silent_branch_gives_the_bytes_of_the_runtime(ranges: str) -> None:
    """A branch that is always zero has the scale 1; a sum's kernel wants an output scale not far below."""

    class Faint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.silent = nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return x + F.relu(self.silent(x))

    net = Faint()
    nn.init.constant_(net.silent.bias, -1.0)
    example = 1e-7 * random_inputs((8, 4))[0]
    assert_same_bytes(qat.freeze(qat.prepare(net, example, ranges=ranges)), *random_inputs((4, 4), seed=2))


def test_several_inputs_and_integer_outputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

        def forward(self, a: Any, b: Any) -> Any:
            return self.left(a) + self.right(b)

    model = qat.freeze(qat.prepare(Two(), random_inputs((8, 4), (8, 5))))
    batch = random_inputs((6, 4), (6, 5), seed=4)
    assert_same_bytes(model, *batch)
    converted = edgesdk.convert(model, io="int8")
    stored = [
        np.clip(np.round(x.numpy() / np.float32(v.scale)) + v.zero_point, -128, 127).astype(np.int8)
        for x, v in zip(batch, converted.graph.inputs, strict=True)
    ]
    (found,) = run(converted, *map(torch.from_numpy, stored))
    (expected,) = qat.integers(model, *batch)
    assert found.dtype == expected.dtype == np.int8 and np.array_equal(found, expected)


# Training.


def test_the_recipe_learns_and_stays_exact() -> None:
    torch.manual_seed(0)
    x = torch.randn(128, 1, 6, 6)
    y = (x[:, 0, :3].sum((1, 2)) > x[:, 0, 3:].sum((1, 2))).long()
    stem = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*stem, nn.Flatten(), nn.Linear(72, 2))
    model = qat.prepare(net, x[:32], weights="int4", ranges="learned")
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for i in range(40):
        if i == 30:
            qat.freeze_batch_norm(model)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0] and all(p.grad is not None for p in model.parameters())
    assert_same_bytes(qat.freeze(model), x[:16])


def test_frozen_batch_norms_train_on_the_program_s_numbers() -> None:
    example = random_inputs((8, 3, 8, 8))
    model = qat.prepare(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval(), *example, batch_norm="frozen")
    expected = model(*example)
    assert torch.equal(model.train()(*example), expected) and expected.requires_grad


def test_the_given_model_is_left_alone() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    before = copy.deepcopy(net.state_dict())
    trained(qat.prepare(net, *random_inputs((4, 1, 5, 5))), (4, 1, 5, 5))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and net.training


def test_learned_scales_move_towards_what_is_clipped() -> None:
    grid = grids.make(grids.Grid(learned=True))
    grids.follow(grid, 0, -1.0, 1.0)
    grids.gradient_path(grid, torch.tensor([4.0])).sum().backward()
    assert grid.log_scale.grad > 0  # a larger scale would clip less
    x = torch.tensor([0.5, 4.0], requires_grad=True)
    grids.gradient_path(grid, x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0]


def test_distillation_is_the_divergence_of_softened_classes() -> None:
    student, teacher = random_inputs((5, 4), (5, 4))
    p, q = (F.softmax(z / 2.0, -1) for z in (teacher, student))
    expected = (p * (p / q).log()).sum(-1).mean() * 4
    assert torch.allclose(qat.distillation(student, teacher, 2.0), expected)
    assert float(qat.distillation(teacher, teacher, 3.0).abs()) < 1e-5


def test_models_are_copied_pickled_and_restored() -> None:
    net, example = Tokens(), random_inputs((4, 1, 6, 6))
    model = trained(qat.prepare(net, *example, weights="int4"), (4, 1, 6, 6))
    again = qat.prepare(net, 3 * example[0], weights="int4").eval()
    again.load_state_dict(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own
        others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), again]
    assert all(torch.equal(other(*example), model(*example)) for other in others)


# What stays float, and what is refused.


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 6, 3), nn.Conv2d(3, 4, 1)
        self.head, self.classes = nn.Linear(4, 3), nn.Softmax(-1)

    def forward(self, x: Any) -> Any:
        left, right = torch.chunk(self.first(x), 2, 1)
        y = self.second(F.softplus(left) + right)
        return self.classes(self.head(y.mean((2, 3)) * 2))


def test_float_parts_are_named_and_run_in_the_same_program() -> None:
    example = random_inputs((8, 2, 6, 6))
    with pytest.warns(UserWarning, match="softplus .*classes"):
        model = qat.prepare(Mixed(), *example)
    assert [(f.name, f.kind) for f in model.left_float] == [
        ("chunk", "chunk"),
        ("softplus", "softplus"),
        ("mul", "mul"),
        ("classes", "Softmax"),
    ]
    qat.freeze(model)
    batch = random_inputs((8, 2, 6, 6), seed=5)
    (found,) = run(edgesdk.convert(model), *batch)
    # Float steps round as they like: a byte behind them may be a neighbour.
    assert np.abs(found - model(*batch).numpy()).max() < 0.02


def test_what_is_made_of_parameters_alone_becomes_constant() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.gain = nn.Parameter(torch.randn(4, 2, 3, 3)), nn.Parameter(torch.randn(4, 1, 1))

        def forward(self, x: Any) -> Any:
            return F.conv2d(x, self.weight.clamp(-1, 1)) * torch.exp(self.gain)

    with pytest.warns(UserWarning, match="conv2d"):
        model = qat.freeze(qat.prepare(Functional(), *random_inputs((8, 2, 6, 6))))
    assert [left.name for left in model.left_float] == ["conv2d"]
    batch = random_inputs((4, 2, 6, 6), seed=5)
    (found,) = run(edgesdk.convert(model), *batch)
    assert np.abs(found - model(*batch).numpy()).max() < 0.02 * found.max()


@pytest.mark.parametrize(
    ("layer", "shape", "reason"),
    [
        (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), (2, 2, 5, 5), "reflect"),
        (nn.Conv2d(2, 4, 2, padding="same"), (2, 2, 5, 5), "as many on both sides"),
        (nn.Conv2d(2, 4, 1), (2, 5, 5), "an input of 3 axes"),
        (nn.MaxPool2d(2, ceil_mode=True), (2, 2, 5, 5), "ceil_mode"),
        (nn.AvgPool2d(2, divisor_override=3), (2, 2, 5, 5), "divisor_override"),
        (nn.AdaptiveAvgPool2d(2), (2, 2, 4, 4), "expected one pixel"),
        (nn.BatchNorm2d(2), (2, 2, 4, 4), "no integer form"),
        (nn.Softplus(), (2, 8), "no integer form"),
    ],
)
def test_what_has_no_integer_form_is_named(layer: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    with pytest.warns(UserWarning, match="stay float: 0 "):
        model = qat.prepare(nn.Sequential(layer), *random_inputs(shape))
    (left,) = model.left_float
    assert left.name == "0" and left.kind == type(layer).__name__ and reason in left.reason


class Branching(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


class Exploding(nn.Module):
    def forward(self, x: Any) -> Any:
        return F.relu(x / 0)


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (nn.Linear(2, 2), {"weights": "int2"}, "weights='int2'; expected one of int8, int4"),
        (nn.Linear(2, 2), {"ranges": "none"}, "expected one of observed, learned"),
        (nn.Linear(2, 2), {"batch_norm": "no"}, "expected one of live, frozen"),
        (nn.Linear(2, 2), {"example": {}}, "expected a tensor with a batch of inputs"),
        (Branching(), {}, "torch.fx cannot trace it"),
        (Exploding(), {}, "expected finite numbers"),
    ],
)
def test_refusals_are_one_sentence(net: nn.Module, options: dict[str, Any], message: str) -> None:
    given = {"example": torch.ones(4, 2), **options}
    with pytest.raises(UsageError, match=message):
        qat.prepare(net, **given)


def test_a_model_in_training_is_not_converted() -> None:
    model = qat.prepare(nn.Sequential(nn.Linear(2, 2)), torch.ones(4, 2)).train()
    with pytest.raises(UsageError, match="freeze"):
        edgesdk.convert(model)
    with pytest.raises(UsageError, match="freeze"):
        qat.integers(model, torch.ones(1, 2))
