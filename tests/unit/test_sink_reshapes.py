# SPDX-License-Identifier: Apache-2.0
"""Signals stay images between convolutions; the numbers stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_move_transposes import WINDOW, Net

from edgesdk import ops, passes
from edgesdk.ir import Graph, Value
from edgesdk.passes.sink_reshapes import kept_axes, sink_reshapes
from edgesdk.verify import verify


def conv(net: Net, x: Value, channels: int) -> Value:
    """A convolution over [N,L,C], as importers leave it when the transposes are gone."""
    n, length, c = x.shape
    window = {**WINDOW, "padding": (0, 1, 0, 1)}
    y = net.op("conv2d", net.op("reshape", x, shape=(n, 1, length, c)), net.weights(channels, 1, 3, c), **window)
    return net.op("reshape", y, shape=(n, length, channels))


def check(graph: Graph) -> Graph:
    rng = np.random.default_rng(1)
    x = rng.integers(-100, 100, graph.inputs[0].shape).astype(graph.inputs[0].dtype)
    found = ops.evaluate(graph, [x])
    expected = [found[v] for v in graph.outputs]
    sunk = verify(sink_reshapes(graph))
    after = ops.evaluate(sunk, [x])
    for value, e in zip(sunk.outputs, expected, strict=True):
        assert np.array_equal(after[value], e)
    return sunk


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_chain_is_lifted_as_a_whole(dtype: str, batch: int) -> None:
    net = Net(dtype)
    x = Value("x", (batch, 8, 3), dtype, net.quant)
    y = conv(net, x, 4)
    z = net.op("pad", net.op("relu", y), pads=((0, 0), (2, 0), (0, 0)), value=0.0)
    z = net.op("slice", conv(net, z, 4), begin=(0, 2, 0), size=(batch, 8, 4), stride=(1, 1, 1))
    z = net.op("mul", net.op("add", y, z, activation="none"), net.constant(4), activation="none")
    z = net.op("maximum", z, net.constant(8, 1))
    z = conv(net, net.op("concat", y, z, axis=2), 5)
    sunk = check(net.graph([x], net.op("fully_connected", z, net.weights(2, 5), activation="none")))
    shapes = [len(n.output.shape) for n in sunk.nodes if n.op != "reshape"]
    assert shapes == [4] * len(shapes)
    assert sum(n.op == "reshape" for n in sunk.nodes) == 2


def test_a_norm_finds_its_convolution() -> None:
    net = Net()
    x = Value("x", (1, 8, 3), "float32")
    y = net.op("relu", net.op("batch_norm", conv(net, x, 4), net.constant(4), net.constant(4)))
    graph = passes.simplify(net.graph([x], conv(net, y, 2)))
    assert [n.op for n in graph.nodes] == ["reshape", "conv2d", "conv2d", "reshape"]


@pytest.mark.parametrize(("batch", "left"), [(1, 2), (2, 2)])
def test_norms_and_smooth_activations_are_done_on_the_image(batch: int, left: int) -> None:
    net = Net()
    x = Value("x", (batch, 8, 3), "float32")
    y = net.op("group_norm", conv(net, x, 4), net.constant(4), None, groups=2, epsilon=1e-5)
    y = net.op("layer_norm", net.op("gelu", y, approximate=False), net.constant(4), None, axis=2, epsilon=1e-5)
    y = net.op("rms_norm", y, net.constant(8, 4), axis=1, epsilon=1e-5)
    sunk = check(net.graph([x], conv(net, net.op("softmax", y, axis=1, beta=1.0), 2)))
    assert sum(n.op == "reshape" for n in sunk.nodes) == left


def test_a_norm_over_the_batch_as_well_stays_on_the_signal() -> None:
    net = Net()
    x = Value("x", (2, 8, 3), "float32")
    y = net.op("layer_norm", conv(net, x, 4), net.constant(2, 8, 4), None, axis=0, epsilon=1e-5)
    sunk = check(net.graph([x], conv(net, y, 2)))
    assert [len(n.output.shape) for n in sunk.nodes if n.op == "layer_norm"] == [3]


def test_what_reads_only_signals_gets_them() -> None:
    net = Net()
    x = Value("x", (1, 8, 3), "float32")
    y = net.op("tanh", conv(net, x, 4))
    check(net.graph([x], net.op("mean", y, axes=(1,), keep_dims=False), y, net.op("reshape", y, shape=(4, 8))))


@pytest.mark.parametrize(
    ("image", "signal", "kept"),
    [
        ((1, 1, 7, 5), (1, 7, 5), (1, 2, 3)),
        ((2, 1, 7, 5), (2, 7, 5), (0, 2, 3)),
        ((2, 1, 1, 5), (2, 1, 5), (0, 2, 3)),
        ((2, 7, 1, 5), (2, 7, 5), (0, 1, 3)),
        ((2, 3, 7, 5), (6, 7, 5), None),
        ((2, 7, 5), (14, 1, 5), None),
    ],
)
def test_kept_axes(image: Any, signal: Any, kept: Any) -> None:
    assert kept_axes(image, signal) == kept
