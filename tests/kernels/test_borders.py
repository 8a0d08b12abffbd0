# SPDX-License-Identifier: Apache-2.0
"""Borders, pixels by position, dilated pools, channel-first blocks: data that moves by passes."""

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import border_pad
from edgesdk.passes import lower


def check_lowered(node: Node, x: np.ndarray) -> list[str]:
    """Each step of the lowered graph equals its reference, and the last one that of the node; the ops of the steps."""
    expected = ops.module(node.op).reference(node, [x])[0]
    known: dict[Value, np.ndarray] = {node.input(0): x}
    graph = lower(Graph("g", [node.input(0)], [node.output], [node]))
    for n in graph.nodes:
        arrays = [v.data if v is not None and v.data is not None else known[v] for v in n.inputs]
        if n.op != "reshape":
            harness.check(n, arrays)
        known[n.output] = ops.module(n.op).reference(n, arrays)[0]
    assert np.array_equal(known[graph.outputs[0]], expected)
    return [n.op for n in graph.nodes]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("mode", border_pad.MODES)
@settings(max_examples=20)
@given(seed=seeds, data=st.data())
def test_borders(mode: str, dtype: str, seed: int, data) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    pads = tuple((data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))) for _ in shape)
    q = None if dtype == "float32" else quant(data.draw, dtype)
    node = inferred("border_pad", [value("x", shape, dtype, q)], q, pads=pads, mode=mode)
    x = random_array(np.random.default_rng(seed), shape, dtype)
    check_lowered(node, x)
    if all(n > 1 for n in shape):
        assert np.array_equal(ops.module("border_pad").reference(node, [x])[0], np.pad(x, pads, mode=mode))


def test_an_image_takes_one_step() -> None:
    x = value("x", (1, 4, 5, 3), "float32")
    node = inferred("border_pad", [x], pads=((0, 0), (1, 2), (2, 1), (0, 0)), mode="reflect")
    assert check_lowered(node, np.arange(60, dtype=np.float32).reshape(x.shape)) == ["take_pixels"]


@given(seed=seeds, data=st.data())
def test_take_pixels(seed: int, data) -> None:
    n, h, w, c = (data.draw(st.integers(1, 4)) for _ in range(4))
    rows, columns = (tuple(data.draw(st.lists(st.integers(0, e - 1), min_size=1, max_size=6))) for e in (h, w))
    node = inferred("take_pixels", [value("x", (n, h, w, c), "float32")], rows=rows, columns=columns)
    harness.check(node, [random_array(np.random.default_rng(seed), (n, h, w, c), "float32")])


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@given(seed=seeds, data=st.data())
def test_dilated_maxima(dtype: str, seed: int, data) -> None:
    draw = data.draw
    kernel, stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(2)) for _ in range(3))
    padding = tuple(draw(st.integers(0, k - 1)) for k in kernel * 2)
    shape = (draw(st.integers(1, 2)), draw(st.integers(7, 9)), draw(st.integers(7, 9)), draw(st.integers(1, 3)))
    quants = [None if dtype == "float32" else quant(draw, dtype) for _ in range(2)]
    attrs = {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}
    x = value("x", shape, dtype, quants[0])
    node = inferred("max_pool2d", [x], quants[draw(st.integers(0, 1))], **attrs, activation=draw(activations))
    check_lowered(node, random_array(np.random.default_rng(seed), shape, dtype))


def test_channels_first_blocks_are_pixel_shuffle() -> None:
    torch = pytest.importorskip("torch")
    x = np.arange(2 * 3 * 4 * 12, dtype=np.float32).reshape(2, 3, 4, 12)
    node = inferred("depth_to_space", [value("x", x.shape, "float32")], block=2, channels_first=True)
    assert check_lowered(node, x) == ["copy"]
    want = torch.pixel_shuffle(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), 2).numpy().transpose(0, 2, 3, 1)
    assert np.array_equal(ops.module("depth_to_space").reference(node, [x])[0], want)


def test_refusals() -> None:
    x = value("x", (1, 2, 2, 1), "float32")
    with pytest.raises(ValueError, match="a mode of"):
        inferred("border_pad", [x], pads=((0, 0),) * 4, mode="mirror")
    with pytest.raises(ValueError, match="inside 2 x 2"):
        inferred("take_pixels", [x], rows=(0, 2), columns=(0,))
    long = inferred("border_pad", [value("x", (40000,), "float32")], pads=((1, 1),), mode="edge")
    with pytest.raises(Unsupported, match="at most 32767"):
        check_lowered(long, np.zeros(40000, np.float32))
