# SPDX-License-Identifier: Apache-2.0
"""Accuracy of small networks in float, rounded after training (int8, int4) and trained in the device's integers (int4).

    python benchmarks/qat.py [--kws ../shared/data/mlperf-tiny-kws01] [--json OUT]

A convolutional network, a patch-embedding network of linear layers and a small vision transformer (whose norms and
attention stay float) on scikit-learn's digits; with --kws a convolutional network on MLPerf Tiny's 1000 keyword inputs,
of which the first 800 train. `differ` counts outputs of the test inputs in which the program that runs on the C runtime
and the torch model disagree. Needs torch and scikit-learn; two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from edgesdk import convert, runtime
from edgesdk.compress.torch import qat
from edgesdk.flow import Converted

BATCH = 64


class Separable(nn.Sequential):
    """A depthwise and a pointwise convolution."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )


class Cnn(nn.Module):
    def __init__(self, classes: int, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.first, self.down = Separable(width, width), Separable(width, 2 * width, 2)
        self.last, self.head = Separable(2 * width, 2 * width), nn.Linear(2 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.down(x + self.first(x))
        return self.head((x + self.last(x)).mean((2, 3)))


class Mixing(nn.Module):
    """Tokens are mixed, then channels."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Sequential(nn.Linear(tokens, tokens), nn.Hardswish(), nn.Linear(tokens, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.Hardswish(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        return x + self.channels(x)


class Attending(nn.Module):
    """A transformer's block. Norms, scores and softmax stay float when it is trained in integers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.first, self.second = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        parts = self.qkv(self.first(x)).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        shares = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((shares @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.channels(self.second(x))


class Patches(nn.Module):
    """A vision transformer, or one with a linear layer over the tokens in place of the attention."""

    def __init__(self, classes: int, width: int = 24, attention: bool = False) -> None:
        super().__init__()
        self.embed, self.position = nn.Conv2d(1, width, 2, 2), nn.Parameter(0.02 * torch.randn(1, 16, width))
        blocks = [Attending(width, 3) if attention else Mixing(16, width) for _ in range(2)]
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.blocks(tokens).mean(1))


@dataclass(frozen=True)
class Data:
    train: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    classes: int


def digits() -> Data:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.float32)[:, None] / 16
    return split(images, bunch.target, 1397)


def keywords(folder: Path) -> Data:
    raw = np.fromfile(folder / "kws01_1000x49x10_int8.bin", np.int8).reshape(1000, 1, 49, 10)
    labels = [int(line.split(",")[2]) for line in (folder / "y_labels.csv").read_text().split("\n") if line.strip()]
    return split((raw.astype(np.float32) - 83) / 64, np.array(labels), 800)  # 83 stands for zero


def split(images: np.ndarray, labels: np.ndarray, n: int) -> Data:
    order = np.random.default_rng(0).permutation(len(images))
    x, y = torch.from_numpy(images[order]), torch.from_numpy(labels[order]).long()
    return Data((x[:n], y[:n]), (x[n:], y[n:]), int(labels.max()) + 1)


def fit(model: nn.Module, data: Data, epochs: int, rate: float, teacher: nn.Module | None = None) -> nn.Module:
    x, y = data.train
    optimizer = torch.optim.AdamW(model.train().parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * (len(x) // BATCH))
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: len(x) // BATCH * BATCH].split(BATCH):
            logits = model(x[rows])
            loss = functional.cross_entropy(logits, y[rows])
            if teacher is not None:
                loss = loss + qat.distillation(logits, teacher(x[rows]), T=4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def trained_in_integers(net: nn.Module, data: Data, epochs: int, rate: float) -> nn.Module:
    """The recipe: two thirds of the epochs with live batch norms, the rest with frozen ones."""
    model = qat.prepare(net, data.train[0][:256], weights="int4")
    fit(model, data, epochs * 2 // 3, rate, net)
    qat.freeze_batch_norm(model)
    fit(model, data, epochs - epochs * 2 // 3, rate / 4, net)
    return qat.freeze(model)


def rounded_to_nearest(net: nn.Module, data: Data) -> nn.Module:
    """int4 without training: every channel's widest weight is 7 steps."""
    model = qat.freeze(qat.prepare(net, data.train[0][:256], weights="int4").eval())
    for step in model.modules():
        if hasattr(step, "clip"):
            step.clip.zero_()
    return model


def accuracy(logits: np.ndarray, labels: torch.Tensor) -> float:
    return 100 * float((logits.reshape(len(labels), -1).argmax(1) == labels.numpy()).mean())


def on_runtime(converted: Converted, x: torch.Tensor) -> np.ndarray:
    session = runtime.open_session(converted.data)
    shape = converted.graph.inputs[0].shape
    images = x.permute(0, 2, 3, 1).reshape(-1, *shape).numpy()
    return np.concatenate([runtime.run(session, [image])[0] for image in images])


def after_training(net: nn.Module, data: Data) -> Converted:
    """int8 by `convert`, calibrated on 100 inputs."""
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "calibration.npz"
        np.savez(calibration, x=data.train[0][:100].numpy())
        return convert(net, example_inputs=(data.train[0][:1],), quantize="int8", calibration=calibration)


def int8_accuracy(net: nn.Module, data: Data) -> float:
    converted = after_training(net, data)
    given, session = converted.graph.inputs[0], runtime.open_session(converted.data)
    images = data.test[0].permute(0, 2, 3, 1).numpy() / np.float32(given.scale)
    q = np.clip(np.rint(images) + given.zero_point, -128, 127).astype(np.int8)
    outputs = [runtime.run(session, [image.reshape(given.shape)])[0] for image in q]
    return accuracy(np.concatenate(outputs), data.test[1])


def measure(name: str, build: Callable[[int], nn.Module], data: Data, epochs: int) -> dict[str, Any]:
    torch.manual_seed(0)
    begun = time.perf_counter()
    net = fit(build(data.classes), data, epochs, 1e-2)
    row: dict[str, Any] = {"network": name, "parameters": sum(p.numel() for p in net.parameters())}
    with torch.no_grad():
        row["float"] = accuracy(net(data.test[0]).numpy(), data.test[1])
    row["int8"] = int8_accuracy(net, data)
    nearest, trained = rounded_to_nearest(net, data), trained_in_integers(net, data, epochs // 2, 3e-3)
    differ = 0
    for key, model in (("int4", nearest), ("int4 trained", trained)):
        outputs = on_runtime(convert(model), data.test[0])
        row[key] = accuracy(outputs, data.test[1])
        with torch.no_grad():
            differ += int((model(data.test[0]).numpy() != outputs).sum())
    return {**row, "differ": differ, "outputs": 2 * outputs.size, "seconds": time.perf_counter() - begun}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kws", type=Path, help="folder of MLPerf Tiny's keyword inputs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # networks as small as these gain nothing from more
    warnings.filterwarnings("ignore", category=FutureWarning)  # torch's own, of its pickled programs
    warnings.filterwarnings("ignore", message="these stay float")
    cases: list[tuple[str, Callable[[int], nn.Module], Data, int]] = [
        ("digits, convolutions", Cnn, digits(), 20),
        ("digits, patches", Patches, digits(), 30),
        ("digits, attention", partial(Patches, attention=True), digits(), 20),
    ]
    if options.kws:
        cases.append(("keywords, convolutions", Cnn, keywords(options.kws), 30))
    rows = [measure(*case) for case in cases]
    table = Table("network", "parameters", "float", "int8", "int4", "int4 trained", "differ", "seconds")
    for row in rows:
        shown = [f"{row[k]:.1f}" for k in ("float", "int8", "int4", "int4 trained")]
        table.add_row(
            row["network"],
            str(row["parameters"]),
            *shown,
            f"{row['differ']} of {row['outputs']}",
            f"{row['seconds']:.0f}",
        )
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
