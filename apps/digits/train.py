# SPDX-License-Identifier: Apache-2.0
"""Trains the digits classifier and writes digits.onnx.

    pip install torch==2.13.0 scikit-learn onnx
    python train.py [--epochs 60] [-o digits.onnx]

The ONNX file is written node by node, so that its form does not depend on an exporter's version.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from data import SEED, split_digits
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Layer:
    """A convolution with batch norm and ReLU; depthwise where groups == channels in."""

    name: str
    channels_in: int
    channels_out: int
    kernel: int
    stride: int
    groups: int


def separable(name: str, channels_in: int, channels_out: int, stride: int) -> list[Layer]:
    return [
        Layer(f"{name}_depthwise", channels_in, channels_in, 3, stride, channels_in),
        Layer(f"{name}_pointwise", channels_in, channels_out, 1, 1, 1),
    ]


LAYERS = [
    Layer("stem", 1, 16, 3, 1, 1),
    *separable("block1", 16, 32, 1),
    *separable("block2", 32, 64, 2),
    *separable("block3", 64, 64, 1),
]
CLASSES = 10


class Classifier(nn.Module):
    """Depthwise separable convolutions, global average, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(s.channels_in, s.channels_out, s.kernel, s.stride, s.kernel // 2, groups=s.groups, bias=False)
            for s in LAYERS
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(s.channels_out) for s in LAYERS)
        self.head = nn.Linear(LAYERS[-1].channels_out, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        return self.head(x.mean((2, 3)))


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to one pixel."""
    padded = F.pad(images, (1, 1, 1, 1))
    dy, dx = torch.randint(0, 3, (2, len(images)))
    rows = torch.arange(8)[None, :, None] + dy[:, None, None]
    columns = torch.arange(8)[None, None, :] + dx[:, None, None]
    return padded[torch.arange(len(images))[:, None, None], 0, rows, columns][:, None]


def train(model: Classifier, images: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int = 64) -> None:
    steps = epochs * (len(images) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for start in range(0, len(images) - batch + 1, batch):
            chosen = order[start : start + batch]
            loss = F.cross_entropy(model(shifted(images[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def accuracy(model: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    with torch.no_grad():
        predicted = model(torch.from_numpy(images)).argmax(1).numpy()
    return float((predicted == labels).mean())


def onnx_model(model: Classifier) -> onnx.ModelProto:
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, tensor: torch.Tensor) -> str:
        constants.append(numpy_helper.from_array(tensor.detach().numpy(), name))
        return name

    x = "image"
    for spec, convolution, norm in zip(LAYERS, model.convolutions, model.norms, strict=True):
        name, pad = spec.name, spec.kernel // 2
        attrs = {"strides": [spec.stride] * 2, "pads": [pad] * 4, "group": spec.groups}
        inputs = [x, constant(f"{name}.weight", convolution.weight)]
        nodes.append(helper.make_node("Conv", inputs, [f"{name}.conv"], name, **attrs))
        fields = {"weight": norm.weight, "bias": norm.bias, "mean": norm.running_mean, "variance": norm.running_var}
        inputs = [f"{name}.conv", *(constant(f"{name}.norm.{k}", v) for k, v in fields.items())]
        nodes.append(helper.make_node("BatchNormalization", inputs, [f"{name}.norm"], f"{name}_norm", epsilon=norm.eps))
        nodes.append(helper.make_node("Relu", [f"{name}.norm"], [name], f"{name}_relu"))
        x = name
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], "flatten"))
    inputs = ["features", constant("head.weight", model.head.weight), constant("head.bias", model.head.bias)]
    nodes.append(helper.make_node("Gemm", inputs, ["logits"], "head", transB=1))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=-1))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])
    result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "digits", [image], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    parser = argparse.ArgumentParser(description="train the digits classifier")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).with_name("digits.onnx"))
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    train_images, train_labels, test_images, test_labels = split_digits()
    model = Classifier()
    train(model, torch.from_numpy(train_images), torch.from_numpy(train_labels), options.epochs)
    written = onnx_model(model)
    onnx.checker.check_model(written, full_check=True)
    options.output.write_bytes(written.SerializeToString())
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {options.output.stat().st_size} bytes, {options.epochs} epochs")
    print(f"accuracy: train {accuracy(model, train_images, train_labels):.4f}", end=", ")
    print(f"test {accuracy(model, test_images, test_labels):.4f}")


if __name__ == "__main__":
    main()
