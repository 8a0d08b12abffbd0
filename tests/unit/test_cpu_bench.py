# SPDX-License-Identifier: Apache-2.0
"""The networks of benchmarks/cpu.py are what they are called, and the files written of them hold the same numbers."""

from __future__ import annotations

from pathlib import Path

import cpu
import cpu_layers
import cpu_models
import cpu_nets
import numpy as np
import pytest
from cpu_nets import NETS

from edgesdk import convert, runtime

PUBLISHED = {  # million products
    "mobilenet_v1_224": 569,
    "mobilenet_v2_224": 301,
    "efficientnet_lite0_224": 385,
    "mobilenet_v2_035_96": 10.7,
    "ds_cnn": 2.66,
    "resnet8": 12.5,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_products_are_those_of_the_papers(name: str) -> None:
    assert sum(cpu_nets.macs(NETS[name])) / 1e6 == pytest.approx(PUBLISHED[name], rel=0.005)


def output(model: Path, image: np.ndarray) -> np.ndarray:
    session = runtime.open_session(convert(str(model)).data)
    planes = model.suffix == ".onnx" and session.inputs[0].shape != image.shape
    return runtime.run(session, [image.transpose(0, 3, 1, 2) if planes else image])[0]


@pytest.mark.parametrize("name", ["ds_cnn", "resnet8"])
def test_files_hold_the_same_network(name: str, tmp_path: Path) -> None:
    net = NETS[name]
    cpu_models.write_float(net, tmp_path)
    image, expected = (np.load(tmp_path / f"{name}_{what}.npy") for what in ("input", "expected"))
    for kind in ("onnx", "tflite"):
        found = output(tmp_path / f"{name}_fp32.{kind}", image)
        assert cpu.distance(found, expected) < 1e-5, kind
    weights = np.load(tmp_path / f"{name}.npz")
    numbers = sum(weights[key].size for key in weights)
    layers = sum(key.startswith("w") for key in weights)
    # before each layer's weights stands a word; a bias has none
    assert (tmp_path / f"{name}_fp32.ncnn.bin").stat().st_size == 4 * (numbers + layers)


@pytest.mark.parametrize("name", NETS)
def test_ncnn_blobs_are_written_once_and_read_once(name: str) -> None:
    version, counts, *lines = cpu_models.ncnn_text(NETS[name]).splitlines()
    written: list[str] = []
    read: list[str] = []
    for line in lines:
        _, _, n_in, n_out, *rest = line.split()
        read += rest[: int(n_in)]
        written += rest[int(n_in) : int(n_in) + int(n_out)]
    assert [int(n) for n in counts.split()] == [len(lines), len(written)]
    assert version == "7767517"
    assert len(set(written)) == len(written)
    assert sorted(read) == sorted(set(written) - {f"v{len(NETS[name].layers)}"})


def test_means_are_of_networks_that_both_ran() -> None:
    def row(net: str, peer: str, wall: float) -> cpu.Row:
        return cpu.Row(net, "fp32", peer, wall, wall, wall, 10 * wall, wall, None, 1000, 1000, 0.0)

    rows = [row("a", "edgesdk", 2.0), row("a", "litert", 1.0), row("b", "edgesdk", 3.0), row("b", "litert", 6.0)]
    rows += [row("a", "ncnn", 4.0)]
    times, what = cpu.tables(rows, "fp32", "wall")
    cells = {str(c.header): [str(x) for x in c.cells] for c in times.columns}
    assert [list(c.cells) for c in what.columns][1:3] == [
        ["20.0, ?, 1", "30.0, ?, 1", "", "1"], ["10.0, ?, 1", "60.0, ?, 1", "1.00", "1"]
    ]  # fmt: skip
    assert cells["litert"] == ["1.00 (2.00)", "6.00 (0.50)", "1.00"]
    assert cells["ncnn"] == ["4.00 (0.50)", "-", "0.50"]
    assert cells["/ fastest peer"] == ["2.00", "0.50", ""]


def test_bandwidth_is_that_of_a_buffer_as_large() -> None:
    rates = [(1000, 9.0), (4000, 5.0), (16000, 2.0)]
    assert [cpu_layers.bandwidth(rates, n) for n in (1, 1000, 1001, 16000, 99999)] == [9.0, 9.0, 5.0, 2.0, 2.0]
