# SPDX-License-Identifier: Apache-2.0
"""ONNX's windows over one, two and three axes: onnxruntime's numbers, from what is left after lowering and, for some,
from the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from test_onnx_import import Net  # noqa: E402

from edgesdk import converters, memory, ops, passes, program, runtime, schedule  # noqa: E402
from edgesdk.errors import Unsupported  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

Run = Callable[[Graph, list[np.ndarray]], list[np.ndarray]]


def lowered(path: Path) -> Graph:
    return passes.lower(passes.simplify(converters.load(path, {})))


def on_runtime(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    planned = schedule.schedule(graph, ("c",))
    session = runtime.open_session(program.write(program.assemble(planned, memory.plan(planned))))
    return runtime.run(session, inputs)


def by_reference(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    arrays = ops.evaluate(graph, inputs)
    return [arrays[v] for v in graph.outputs]


def run(graph: Graph, feeds: dict[str, np.ndarray], how: Run) -> list[np.ndarray]:
    """Inputs and outputs in the source's layout."""
    first, last = (graph.metadata[k] for k in ("input_layouts", "output_layouts"))
    fed = [np.moveaxis(feeds[v.name], 1, -1) if v.name in first else feeds[v.name] for v in graph.inputs]
    found = how(graph, [np.ascontiguousarray(a) for a in fed])
    return [np.moveaxis(a, -1, 1) if v.name in last else a for a, v in zip(found, graph.outputs, strict=True)]


def compare(path: Path, how: Run = by_reference) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    oracle = onnxruntime.InferenceSession(str(path), options)
    rng = np.random.default_rng(1)
    feeds = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in oracle.get_inputs()}
    expected = oracle.run(None, feeds)
    for got, wanted in zip(run(lowered(path), feeds, how), expected, strict=True):
        assert got.shape == wanted.shape
        if wanted.dtype == np.float32:
            assert np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted) + 1e-6
        else:
            assert np.array_equal(got, wanted)


@st.composite
def windows(draw: Any, axes: tuple[int, ...] = (1, 2, 3)) -> tuple[list[int], dict[str, Any]]:
    """Sizes of the spatial axes and the attributes of a window over them."""
    n = draw(st.sampled_from(axes))
    size, kernel, stride, dilation = (
        [draw(st.integers(low, high)) for _ in range(n)] for low, high in ((3, 7), (1, 3), (1, 3), (1, 2))
    )
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(k <= s for k, s in zip(span, size, strict=True)))
    pads = [draw(st.integers(0, min(k - 1, 2))) for k in kernel * 2]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "dilations": dilation}
    return size, attrs | draw(st.sampled_from([{"pads": pads}, {"auto_pad": "VALID"}]))


@settings(max_examples=40)
@given(windows(), st.sampled_from([1, 2, 4]), st.booleans())
def test_convolutions(tmp_path_factory: Any, window: Any, group: int, bias: bool) -> None:
    size, attrs = window
    net = Net()
    weights = net.weights(8, 4 // group, *attrs["kernel_shape"])
    inputs = [net.input("x", [2, 4, *size]), weights, *([net.weights(8)] if bias else [])]
    compare(net.save(tmp_path_factory.mktemp("onnx") / "m.onnx", net.op("Conv", *inputs, group=group, **attrs)))


@settings(max_examples=40)
@given(windows(), st.sampled_from([1, 2, 4]), st.booleans())
def test_transposed_convolutions(tmp_path_factory: Any, window: Any, group: int, longer: bool) -> None:
    size, attrs = window
    net = Net()
    if longer:
        attrs = {**attrs, "output_padding": [s - 1 for s in attrs["strides"]]}
    y = net.op(
        "ConvTranspose", net.input("x", [1, 4, *size]), net.weights(4, 2, *attrs["kernel_shape"]), group=group, **attrs
    )
    compare(net.save(tmp_path_factory.mktemp("onnx") / "m.onnx", y))


@pytest.mark.parametrize("attrs", [{"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"output_shape": [7, 6, 9]}])
def test_sizes_of_transposed_volumes(tmp_path: Path, attrs: dict[str, Any]) -> None:
    net = Net()
    y = net.op("ConvTranspose", net.input("x", [1, 2, 3, 4, 5]), net.weights(2, 3, 3, 2, 3), strides=[2] * 3, **attrs)
    compare(net.save(tmp_path / "m.onnx", y), on_runtime)


@settings(max_examples=60)
@given(windows(), st.booleans(), st.booleans())
def test_means(tmp_path_factory: Any, window: Any, count_padding: bool, ceil: bool) -> None:
    size, attrs = window
    assume(not ceil or max(attrs["dilations"]) == 1)  # onnxruntime counts the padding of dilated ceilings otherwise
    net = Net(19)
    x = net.input("x", [2, 3, *size])
    y = net.op("AveragePool", x, count_include_pad=int(count_padding), ceil_mode=int(ceil), **attrs)
    compare(net.save(tmp_path_factory.mktemp("onnx") / "m.onnx", y))


def with_places(path: Path) -> Path:
    """The second output is integers."""
    model = onnx.load(str(path))
    model.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save(model, str(path))
    return path


@settings(max_examples=60)
@given(windows(), st.booleans(), st.integers(0, 1))
def test_maxima_and_where_they_lie(tmp_path_factory: Any, window: Any, ceil: bool, order: int) -> None:
    size, attrs = window
    net = Net(12)
    order = order if len(size) == 2 else 0  # onnxruntime swaps height and width only
    x = net.input("x", [2, 3, *size])
    outputs = net.op("MaxPool", x, n=2, ceil_mode=int(ceil), storage_order=order, **attrs)
    path = net.save(tmp_path_factory.mktemp("onnx") / "m.onnx", *outputs)
    compare(with_places(path))


@settings(max_examples=30)
@given(windows(), st.sampled_from([1, 2, 3]))
def test_lp_pools(tmp_path_factory: Any, window: Any, p: int) -> None:
    size, attrs = window
    net = Net(18)
    compare(
        net.save(
            tmp_path_factory.mktemp("onnx") / "m.onnx", net.op("LpPool", net.input("x", [1, 3, *size]), p=p, **attrs)
        )
    )


def test_wide_dilated_maxima_take_few_nodes(tmp_path: Path) -> None:
    """No window reads between every tenth pixel: those are left out first."""
    net = Net()
    x = net.input("x", [1, 1, 120, 90])
    attrs = {"kernel_shape": [6, 4], "dilations": [10, 10], "strides": [20, 10], "pads": [5, 3, 5, 0]}
    path = net.save(tmp_path / "m.onnx", net.op("MaxPool", x, **attrs))
    compare(path, on_runtime)
    assert len(lowered(path).nodes) <= 4


def test_a_network_of_volumes(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Conv", net.input("x", [1, 2, 6, 9, 8]), net.weights(4, 2, 3, 3, 3), net.weights(4), pads=[1] * 6)
    x = net.op("Relu", net.norm(x, 4))
    x = net.op("MaxPool", x, kernel_shape=[2] * 3, strides=[2] * 3)
    x = net.op("Conv", x, net.weights(8, 2, 2, 3, 3), group=2, auto_pad="SAME_UPPER")
    x = net.op("GlobalAveragePool", x)
    y = net.op("Gemm", net.op("Flatten", x), net.weights(8, 5))
    compare(net.save(tmp_path / "m.onnx", y), on_runtime)


def test_images_and_their_places_on_the_runtime(tmp_path: Path) -> None:
    net = Net(19)
    x = net.op("AveragePool", net.input("x", [1, 3, 9, 8]), kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 1, 0, 1])
    path = net.save(
        tmp_path / "m.onnx", *net.op("MaxPool", x, n=2, kernel_shape=[2, 2], strides=[2, 1], pads=[0, 1, 1, 0])
    )
    compare(with_places(path), on_runtime)


def test_windows_over_more_axes_are_refused_by_name(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", [1, 2, 3, 3, 3, 3])
    outputs = [net.op("Conv", x, net.weights(2, 2, 1, 1, 1, 1)), net.op("MaxPool", x, kernel_shape=[2] * 4)]
    with pytest.raises(Unsupported, match="4-D convolution; expected 1 to 3.*a window over 4 axes; expected 1, 2 or 3"):
        converters.load(net.save(tmp_path / "m.onnx", *outputs))
