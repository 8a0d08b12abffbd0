# SPDX-License-Identifier: Apache-2.0
"""Builds a network in PyTorch and exports it for XNNPACK: export_executorch.py NET.json CALIBRATION.npy TO.pte

int8 where the name of TO says so: PT2E with XNNPACK's own quantiser, weights per channel.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from executorch.exir import to_edge_transform_and_lower
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}


class Net(nn.Module):
    """Layers as cpu_nets.py describes them."""

    def __init__(self, layers: list[dict[str, Any]], arrays: Any) -> None:
        super().__init__()
        self.layers = layers
        self.steps = nn.ModuleList(step(layer, n, arrays) for n, layer in enumerate(layers))
        self.activations = nn.ModuleList(ACTIVATIONS[layer["activation"]]() for layer in layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        for layer, one, activation in zip(self.layers, self.steps, self.activations, strict=True):
            given = [values[i] for i in layer["inputs"]]
            values.append(activation(given[0] + given[1] if layer["kind"] == "add" else one(given[0])))
        return values[-1]


def step(layer: dict[str, Any], n: int, arrays: Any) -> nn.Module:
    kind = layer["kind"]
    if kind == "mean":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if kind == "add":
        return nn.Identity()
    w, b = torch.from_numpy(arrays[f"w{n}"]), torch.from_numpy(arrays[f"b{n}"])
    if kind == "dense":
        return filled(nn.Linear(w.shape[1], w.shape[0]), w, b)
    order = w.permute(2, 0, 1)[:, None] if kind == "depthwise" else w.permute(0, 3, 1, 2)
    return windowed(layer, order.contiguous(), b)


def windowed(layer: dict[str, Any], w: torch.Tensor, b: torch.Tensor) -> nn.Module:
    """Pads of its own where the two sides differ; XNNPACK joins them with the convolution."""
    (top, left, bottom, right), deep = layer["pads"], layer["kind"] == "depthwise"
    even = (top, left) == (bottom, right)
    channels, groups = layer["channels"], layer["channels"] if deep else 1
    pads = (top, left) if even else 0
    conv = nn.Conv2d(w.shape[1] * groups, channels, layer["kernel"], layer["stride"], pads, groups=groups)
    conv = filled(conv, w, b)
    return conv if even else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), conv)


def filled(module: Any, w: torch.Tensor, b: torch.Tensor) -> Any:
    module.weight.data, module.bias.data = w, b
    return module


def quantised(program: Any, images: np.ndarray, example: tuple[torch.Tensor]) -> Any:
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(program.module(), quantizer)
    for image in images:
        prepared(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None])))
    return torch.export.export(convert_pt2e(prepared), example, strict=False)


def main() -> None:
    source, calibration, to = map(Path, sys.argv[1:])
    described = json.loads(source.read_text())
    net = Net(described["layers"], np.load(source.with_suffix(".npz"))).eval()
    h, w, c = described["image"]
    example = (torch.zeros(1, c, h, w),)
    program = torch.export.export(net, example, strict=False)
    if "int8" in to.name:
        program = quantised(program, np.load(calibration), example)
    made = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    to.write_bytes(made.buffer)


main()
