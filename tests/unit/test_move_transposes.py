# SPDX-License-Identifier: Apache-2.0
"""Transposes meet their inverses; the numbers stay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.passes.move_transposes import move_transposes, moved_items
from edgesdk.verify import verify

NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "none"}


class Net:
    """A graph under construction in the axis order of PyTorch."""

    def __init__(self, dtype: str = "float32", seed: int = 0) -> None:
        self.rng, self.dtype, self.nodes = np.random.default_rng(seed), dtype, list[Node]()
        self.quant = Quant.per_tensor(0.05, 3) if dtype == "int8" else None

    def value(self, shape: tuple[int, ...], data: np.ndarray | None = None) -> Value:
        return Value(f"v{len(self.nodes)}", shape, self.dtype, self.quant, data)

    def constant(self, *shape: int) -> Value:
        if self.dtype == "int8":
            return self.value(shape, self.rng.integers(-128, 128, shape).astype(np.int8))
        return self.value(shape, self.rng.normal(0, 1, shape).astype(np.float32))

    def weights(self, *shape: int) -> Value:
        if self.dtype == "float32":
            return Value("w", shape, "float32", None, self.rng.normal(0, 0.3, shape).astype(np.float32))
        quant = Quant(self.rng.uniform(0.001, 0.01, shape[0]).astype(np.float32), np.zeros(shape[0], np.int32), 0)
        return Value("w", shape, "int8", quant, self.rng.integers(-127, 128, shape).astype(np.int8))

    def op(self, op: str, *inputs: Value | None, **attrs: Any) -> Value:
        node = Node(op, list(inputs), [self.value((1,))], attrs, f"{op}{len(self.nodes)}")
        ((node.output.shape, node.output.dtype),) = ops.module(op).infer(node)
        node.output.quant = self.quant if node.output.dtype == self.dtype else None
        self.nodes.append(node)
        return node.output

    def transpose(self, x: Value, *perm: int) -> Value:
        return self.op("transpose", x, perm=perm)

    def conv(self, x: Value, channels: int) -> Value:
        y = self.op("conv2d", self.transpose(x, *NHWC), self.weights(channels, 3, 3, x.shape[1]), **WINDOW)
        return self.transpose(y, *NCHW)

    def graph(self, inputs: list[Value], *outputs: Value) -> Graph:
        return Graph("net", inputs, list(outputs), self.nodes)


def check(graph: Graph, left: int | None) -> Graph:
    """The same numbers in the same shapes; `left` transposes that move items are left."""
    rng = np.random.default_rng(1)
    arrays = [
        rng.integers(-128, 128, v.shape).astype(np.int8)
        if v.dtype == "int8"
        else rng.normal(0, 1, v.shape).astype(np.float32)
        for v in graph.inputs
    ]
    before = ops.evaluate(graph, arrays)
    expected = [before[v] for v in graph.outputs]
    items, names = moved_items(graph), [v.name for v in graph.outputs]
    moved = verify(move_transposes(graph))
    after = ops.evaluate(moved, arrays)
    for value, e in zip(moved.outputs, expected, strict=True):
        if e.dtype == np.int8:
            assert np.array_equal(after[value], e)
        else:
            assert np.allclose(after[value], e, rtol=1e-5, atol=1e-5)
    assert [v.name for v in moved.outputs] == names
    assert moved_items(moved) <= items
    every = [*moved.inputs, *(v for n in moved.nodes for v in n.outputs)]
    assert len({v.name for v in every}) == len(every)
    if left is not None:
        assert sum(n.op == "transpose" for n in moved.nodes) == left, [n.op for n in moved.nodes]
    return moved


def image(net: Net, *shape: int) -> tuple[Value, Value]:
    """(an input in NHWC, the same as the model sees it)."""
    x = Value("x", shape, net.dtype, net.quant)
    return x, net.transpose(x, *NCHW)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_residual_network(dtype: str) -> None:
    net = Net(dtype)
    x, y = image(net, 1, 6, 5, 3)
    y = net.op("relu", net.conv(y, 4))
    z = net.op("pad", net.conv(y, 4), pads=((0, 0), (0, 0), (1, 0), (0, 2)), value=0.0)
    z = net.op("slice", z, begin=(0, 0, 1, 0), size=(1, 4, 6, 5), stride=(1, 1, 1, 1))
    z = net.op("mul", net.op("add", y, z, activation="none"), net.constant(4, 1, 1), activation="relu")
    z = net.op("concat", z, y, axis=1)
    pooled = net.op("mean", z, axes=(2, 3), keep_dims=False)
    result = net.op("fully_connected", pooled, net.weights(5, 8), activation="none")
    check(net.graph([x], result), left=0)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_flattened_image_permutes_the_columns_of_the_weights(dtype: str) -> None:
    net = Net(dtype)
    x, y = image(net, 2, 4, 3, 2)
    y = net.op("relu", net.op("reshape", net.conv(y, 4), shape=(2, 48)))
    check(net.graph([x], net.op("fully_connected", y, net.weights(5, 48), activation="none")), left=0)


def test_norm_of_a_flattened_image_is_reordered_with_it() -> None:
    net = Net()
    x, y = image(net, 2, 4, 3, 2)
    y = net.op("relu", net.op("reshape", net.conv(y, 4), shape=(2, 48)))
    y = net.op("batch_norm", y, net.constant(48), net.constant(48))
    check(net.graph([x], net.op("fully_connected", y, net.weights(5, 48), activation="none")), left=0)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_image_made_of_a_product_permutes_the_rows_of_the_weights(dtype: str) -> None:
    net = Net(dtype)
    x = Value("x", (2, 7), dtype, net.quant)
    y = net.op("relu", net.op("fully_connected", x, net.weights(24, 7), activation="none"))
    y = net.op("relu6", net.op("reshape", y, shape=(2, 4, 2, 3)))
    check(net.graph([x], net.transpose(net.conv(y, 3), *NHWC)), left=0)


def test_an_output_in_the_order_of_the_source_keeps_its_transpose() -> None:
    net = Net()
    x, y = image(net, 1, 4, 3, 2)
    z = net.conv(y, 4)
    moved = check(net.graph([x], z, net.op("relu", net.transpose(z, *NHWC))), left=1)
    assert moved.outputs[0].shape == (1, 4, 4, 3)


def test_squeeze_and_excite_over_a_matrix() -> None:
    net = Net()
    x, y = image(net, 1, 4, 3, 2)
    y = net.conv(y, 6)
    gate = net.op("mean", y, axes=(2, 3), keep_dims=False)
    gate = net.op("logistic", net.op("fully_connected", gate, net.weights(6, 6), activation="none"))
    y = net.op("mul", y, net.op("reshape", gate, shape=(1, 6, 1, 1)), activation="none")
    check(net.graph([x], net.transpose(y, *NHWC)), left=0)


def test_channel_shuffle_moves_once() -> None:
    net = Net()
    x, y = image(net, 1, 4, 3, 2)
    y = net.op("reshape", net.conv(y, 6), shape=(1, 2, 3, 4, 3))
    y = net.op("reshape", net.transpose(y, 0, 2, 1, 3, 4), shape=(1, 6, 4, 3))
    check(net.graph([x], net.transpose(net.conv(y, 2), *NHWC)), left=1)


@pytest.mark.parametrize("op", ["add", "concat"])
def test_a_view_goes_where_its_neighbour_lies(op: str) -> None:
    """Heads come back to the image that they are added to, or joined with, in one transposition."""
    net = Net()
    x, y = image(net, 1, 4, 3, 2)
    y = net.conv(y, 6)
    heads = Value("heads", (1, 2, 12, 3), "float32")
    z = net.op("reshape", net.transpose(heads, 0, 1, 3, 2), shape=(1, 6, 4, 3))
    result = net.op("concat", z, y, axis=1) if op == "concat" else net.op("add", z, y, activation="none")
    check(net.graph([x, heads], net.transpose(result, *NHWC)), left=1)


def test_patches_lie_as_their_softmax_wants_them() -> None:
    net = Net()
    x, y = image(net, 1, 4, 6, 2)
    y = net.conv(y, 3)
    y = net.op(
        "reshape", net.transpose(net.op("reshape", y, shape=(1, 3, 2, 2, 3, 2)), 0, 1, 3, 5, 2, 4), shape=(1, 3, 4, 6)
    )
    gate = net.op("softmax", net.op("slice", y, begin=(0,) * 4, size=(1, 1, 4, 6), stride=(1,) * 4), beta=1.0)
    y = net.op("sum", net.op("mul", y, gate, activation="none"), axes=(3,), keep_dims=False)
    check(net.graph([x], y), left=1)


@pytest.mark.parametrize("time_major", [False, True])
def test_a_recurrent_layer_reads_channels_and_frequencies_as_they_lie(time_major: bool) -> None:
    net = Net()
    x, y = image(net, 1, 5, 4, 2)
    y = net.op("reshape", net.transpose(net.conv(y, 3), 0, 2, 1, 3), shape=(1, 5, 12))
    y = net.transpose(y, 1, 0, 2) if time_major else y
    weights = [net.constant(3, 6, 12), net.constant(3, 6, 6), net.constant(2, 3, 6), net.constant(1, 6)]
    state = Value("state", (1, 6), "float32")
    attrs = {"kind": "gru_reset_after", "reverse": False, "time_major": time_major, "cell_clip": 0.0}
    out = Value("y", (5, 1, 6) if time_major else (1, 5, 6), "float32")
    net.nodes.append(Node("rnn", [y, *weights], [out, state], attrs, "gru"))
    check(net.graph([x], net.op("relu", out)), left=0)


def test_a_layer_over_steps_reads_channels_and_frequencies_as_they_lie() -> None:
    net = Net("int8")
    x, y = image(net, 2, 5, 4, 2)
    y = net.op("reshape", net.transpose(net.conv(y, 3), 0, 2, 1, 3), shape=(2, 5, 12))
    check(net.graph([x], net.op("fully_connected", y, net.weights(7, 12), activation="none")), left=0)


def test_softmax_over_channels() -> None:
    net = Net()
    x, y = image(net, 1, 4, 3, 2)
    y = net.transpose(net.op("softmax", net.transpose(net.conv(y, 6), 0, 2, 3, 1), beta=1.0), *NCHW)
    check(net.graph([x], net.transpose(y, *NHWC)), left=0)


INDEX = {"index_dtype": "int64"}
DATA: dict[str, Callable[[Net, Value], Value]] = {
    "select": lambda net, y: net.op("select", net.op("less", y, net.constant(6, 1, 1)), y, net.constant(1)),
    "logic": lambda net, y: net.op(
        "bitwise_or", net.op("greater", y, net.constant(4, 3)), net.op("equal", y, net.op("relu", y))
    ),
    "cast": lambda net, y: net.op("cast", net.op("not_equal", y, net.constant(1)), to="float32"),
    "cumsum": lambda net, y: net.op("cumsum", y, axis=1, exclusive=True, reverse=True),
    "arg_max": lambda net, y: net.op("arg_max", y, axis=1, keep_dims=True, last=False, **INDEX),
    "top_k": lambda net, y: net.op("top_k_values", y, axis=1, k=2, largest=True, **INDEX),
    "gather": lambda net, y: net.op("gather", y, indices([4, 0, -1]), axis=1, batch_dims=0),
    "elements": lambda net, y: net.op(
        "gather_elements", y, net.op("top_k_indices", y, axis=2, k=2, largest=False, **INDEX), axis=2
    ),
    "scatter": lambda net, y: net.op(
        "scatter_elements", y, indices(np.arange(12).reshape(1, 2, 2, 3) % 3), net.constant(1, 2, 2, 3), axis=1
    ),
    "tile": lambda net, y: net.op("tile", y, repeats=(1, 2, 1, 3)),
    "broadcast": lambda net, y: net.op("broadcast_to", y, shape=(3, 6, 4, 3)),
    "minimum": lambda net, y: net.op("reduce_min", y, axes=(1,), keep_dims=True),
    "mirrored": lambda net, y: net.op("slice", y, begin=(0, 5, 0, 2), size=(1, 6, 4, 3), stride=(1, -1, 1, -1)),
}


def indices(given: Any) -> Value:
    data = np.array(given, np.int64)
    return Value("indices", data.shape, "int64", None, data)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", DATA)
def test_ops_on_indices_and_truth_values_follow_the_image(name: str, dtype: str) -> None:
    net = Net(dtype)
    x, y = image(net, 1, 4, 3, 2)
    z = DATA[name](net, net.conv(y, 6))
    check(net.graph([x], net.transpose(z, *NHWC)), left=0)


@pytest.mark.parametrize("keep", [False, True])
def test_an_axis_that_is_gone_is_gone_from_the_order(keep: bool) -> None:
    net = Net()
    x, y = image(net, 2, 4, 3, 2)
    y = net.conv(y, 6)
    best = net.op("arg_max", y, axis=1, keep_dims=keep, last=True, **INDEX)
    row = net.op("gather", y, indices(-2), axis=2, batch_dims=0)
    check(net.graph([x], best, net.transpose(row, 0, 2, 1)), left=0)


def test_outputs_that_are_inputs_or_each_other() -> None:
    net = Net()
    x = Value("x", (1, 4, 3, 2), "float32")
    y = net.transpose(net.transpose(x, *NCHW), *NHWC)
    z = net.op("relu", net.transpose(x, *NCHW))
    same = net.transpose(net.transpose(z, *NHWC), *NCHW)
    check(net.graph([x], y, z, same), left=1)


def test_a_graph_without_transposes_stays_as_it_is() -> None:
    net = Net()
    x = Value("x", (1, 4), "float32")
    graph = net.graph([x], net.op("relu", x))
    assert move_transposes(graph) is graph


def test_norms_lie_as_the_image_does() -> None:
    net = Net()
    x, y = image(net, 2, 4, 3, 2)
    y = net.op("gelu", net.conv(y, 6), approximate=False)
    y = net.op("layer_norm", y, net.constant(6, 4, 3), net.constant(6, 4, 3), axis=1, epsilon=1e-5)
    y = net.op("group_norm", net.transpose(y, *NHWC), net.constant(6), net.constant(6), groups=2, epsilon=1e-5)
    y = net.op("rms_norm", y, net.constant(6), axis=3, epsilon=1e-5)
    moved = check(net.graph([x], y), left=0)
    assert moved.nodes[2].input(1).shape == (4, 3, 6)


def test_a_product_reads_its_sides_as_they_lie() -> None:
    net = Net()
    q, k = (Value(name, (2, 5, 3), "float32") for name in "qk")
    scores = net.op("batch_matmul", q, net.transpose(k, 0, 2, 1), adj_x=False, adj_y=False)
    again = net.op("batch_matmul", net.transpose(q, 0, 2, 1), net.transpose(k, 0, 2, 1), adj_x=True, adj_y=False)
    left = net.op("batch_matmul", net.transpose(q, 0, 2, 1), k, adj_x=False, adj_y=False)
    moved = check(net.graph([q, k], scores, net.op("softmax", again, axis=1, beta=1.0), left), left=1)
    flags = [(n.attrs["adj_x"], n.attrs["adj_y"]) for n in moved.nodes if n.op == "batch_matmul"]
    assert flags == [(False, True), (False, True), (False, False)]


def test_softmax_over_an_inner_axis_finds_it_last() -> None:
    net = Net()
    x, y = image(net, 1, 4, 3, 2)
    y = net.op("softmax", net.conv(y, 6), axis=1, beta=1.0)
    moved = check(net.graph([x], net.transpose(y, *NHWC)), left=0)
    assert moved.nodes[-1].attrs["axis"] == 3


STEPS = ("transpose", "reshape", "add", "scale", "row", "concat", "slice", "mean", "relu", "branch", "pad", "dense")
STEPS += ("cumsum", "top", "gather", "elements", "tile", "select")
STEPS += ("layer_norm", "group_norm", "product", "softmax")


def apply(net: Net, step: int, name: str, past: list[Value]) -> Value:
    """One random step over the newest value or an older one."""
    rng = np.random.default_rng(step)
    x = past[-1]
    rank = len(x.shape)
    axis = int(rng.integers(rank))
    if name == "transpose":
        return net.transpose(x, *(int(a) for a in rng.permutation(rank)))
    if name == "reshape":
        return net.op("reshape", x, shape=random_shape(rng, x.elements))
    if name == "scale":
        return net.op("mul", x, net.constant(*(d if rng.random() < 0.5 else 1 for d in x.shape)), activation="none")
    if name == "row":
        return net.op("maximum", net.constant(x.shape[-1]), x)
    if name == "slice":
        begin = tuple(int(rng.integers(d)) for d in x.shape)
        size = tuple(d - b for d, b in zip(x.shape, begin, strict=True))
        return net.op("slice", x, begin=begin, size=size, stride=(1,) * rank)
    if name == "mean":
        return net.op("mean", x, axes=(axis,), keep_dims=bool(rng.integers(2)) or rank == 1)
    if name == "branch":
        return past[int(rng.integers(len(past)))]
    if name == "pad":
        return net.op("pad", x, pads=tuple((int(a == axis), 0) for a in range(rank)), value=0.0)
    if name == "dense":
        return net.op("fully_connected", x, net.weights(4, x.shape[-1]), activation="none")
    if name in ("add", "concat"):
        return joined(net, name, axis, past)
    if name in ("layer_norm", "group_norm", "product", "softmax"):
        return statistical(net, rng, name, axis, x)
    return moved(net, rng, name, x, axis) if name != "relu" else net.op("relu", x)


def moved(net: Net, rng: np.random.Generator, name: str, x: Value, axis: int) -> Value:
    """Steps along one axis, with an index of it, or by a mask."""
    n = x.shape[axis]
    if name == "cumsum":
        return net.op("cumsum", x, axis=axis, exclusive=bool(rng.integers(2)), reverse=bool(rng.integers(2)))
    if name == "top":
        return net.op("top_k_values", x, axis=axis, k=n, largest=bool(rng.integers(2)), **INDEX)
    if name == "gather":
        return net.op("gather", x, indices(rng.integers(n, size=2)), axis=axis, batch_dims=0)
    if name == "elements":
        return net.op("gather_elements", x, indices(rng.integers(n, size=x.shape)), axis=axis)
    if name == "tile":
        return net.op("tile", x, repeats=tuple(1 + (a == axis) for a in range(len(x.shape))))
    return net.op("select", net.op("greater", x, net.constant(x.shape[-1])), x, net.constant(1))


def statistical(net: Net, rng: np.random.Generator, name: str, axis: int, x: Value) -> Value:
    """Norms, softmax and products; in int8 and over too few axes the product alone, or nothing."""
    rank = len(x.shape)
    if name == "product" and rank > 1:
        turned = net.transpose(x, *range(rank - 2), rank - 1, rank - 2)
        adj_x, adj_y = bool(rng.integers(2)), bool(rng.integers(2))
        left, right = turned if adj_x else x, x if adj_y else turned
        return net.op("batch_matmul", left, right, adj_x=adj_x, adj_y=adj_y)
    if net.dtype == "int8" or rank < 2:
        return x
    if name == "softmax":
        return net.op("softmax", x, axis=axis, beta=1.0)
    if name == "layer_norm":
        return net.op("layer_norm", x, net.constant(*x.shape[axis:]), None, axis=axis, epsilon=0.1)
    return net.op("group_norm", x, net.constant(x.shape[-1]), None, groups=1, epsilon=0.1)


def joined(net: Net, name: str, axis: int, past: list[Value]) -> Value:
    x = past[-1]
    like = next((v for v in past[:-1] if sorted(v.shape) == sorted(x.shape)), x)
    order = sorted(range(len(x.shape)), key=lambda a: like.shape[a])
    rank = sorted(range(len(x.shape)), key=lambda a: x.shape[a])
    like = net.transpose(like, *(order[rank.index(a)] for a in range(len(x.shape))))
    return net.op("concat", x, like, axis=axis) if name == "concat" else net.op("add", x, like, activation="none")


def random_shape(rng: np.random.Generator, n: int) -> tuple[int, ...]:
    dims: list[int] = []
    while n > 1 and len(dims) < 4:
        divisors = [d for d in range(1, n + 1) if n % d == 0]
        dims.append(int(divisors[rng.integers(len(divisors))]))
        n //= dims[-1]
    return (*dims, n)


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2**31)), min_size=2, max_size=10), st.booleans())
def test_random_networks(steps: list[tuple[str, int]], integer: bool) -> None:
    net = Net("int8" if integer else "float32")
    x = Value("x", (2, 3, 4), net.dtype, net.quant)
    past = [net.transpose(x, 0, 2, 1)]
    for name, seed in steps:
        if math.prod(past[-1].shape) < 5000 and len(past[-1].shape) <= 5:
            past.append(apply(net, seed, name, past))
    check(net.graph([x], past[-1], past[len(past) // 2]), left=None)
