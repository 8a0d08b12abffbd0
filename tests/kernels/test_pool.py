# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nodes import activations, inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.ir import Node, Quant

OPS = {"avg_pool2d": "AVERAGE_POOL_2D", "max_pool2d": "MAX_POOL_2D"}
ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}


def pool(draw, op: str, dtype: str, shape, kernel, stride, padding, **attrs) -> Node:
    q = None if dtype == "float32" else quant(draw, dtype)
    x = value("x", shape, dtype, q)
    return inferred(op, [x], q, kernel=kernel, stride=stride, padding=padding, activation=draw(activations), **attrs)


# As many channels as vectors hold, and parts of them.
CHANNELS = st.one_of(st.integers(1, 9), st.sampled_from([12, 16, 17, 31, 32, 49, 64, 83]))


@st.composite
def pools(draw, op: str, dtype: str, channels: st.SearchStrategy[int] = CHANNELS) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), channels))
    attrs = {"count_padding": draw(st.booleans())} if op == "avg_pool2d" else {}
    try:
        node = pool(draw, op, dtype, shape, kernel, stride, padding, **attrs)
    except ValueError:
        assume(False)
    return node, [random_array(rng, shape, dtype)]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("op", OPS)
@given(data=st.data())
def test_pool_equals_reference(op: str, dtype: str, data) -> None:
    harness.check(*data.draw(pools(op, dtype)))


@pytest.mark.parametrize("size", [(1, 257), (20, 33), (300, 300)])
@pytest.mark.parametrize("extreme", [-128, 127, None])
def test_averages_of_many_pixels(size: tuple[int, int], extreme: int | None) -> None:
    """More than 16 bits can add up, and more than floats divide exactly."""
    x = random_array(np.random.default_rng(0), (1, *size, 18), "int8")
    x = x if extreme is None else np.full_like(x, extreme)
    attrs = {"kernel": size, "stride": (1, 1), "padding": (0, 1, 0, 0), "count_padding": True, "activation": "none"}
    q = Quant.per_tensor(0.1, -128)
    harness.check(inferred("avg_pool2d", [value("x", x.shape, "int8", q)], q, **attrs), [x])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 255, 256, 4095])
def test_every_tie_of_an_average(count: int) -> None:
    """Rows of items that are nearly alike, whose sums go through every number."""
    sums = np.arange(-100, 100) + np.array([-10, 0, 10])[:, None] * count
    x = (sums[..., None] // count + (np.arange(count) < sums[..., None] % count)).reshape(1, -1, count, 1)
    x = np.clip(x, -128, 127).astype(np.int8)
    attrs = {"kernel": (1, count), "stride": (1, 1), "padding": (0, 0, 0, 0), "activation": "none"}
    q = Quant.per_tensor(1.0, 0)
    harness.check(inferred("avg_pool2d", [value("x", x.shape, "int8", q)], q, **attrs), [x])


def float_pool(op: str) -> Node:
    attrs = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "relu"}
    return inferred(op, [value("x", (1, 4, 4, 1), "float32")], None, **attrs)


@pytest.mark.parametrize("op", OPS)
def test_nan_and_infinity_pass_through(op: str) -> None:
    x = np.ones((1, 4, 4, 1), np.float32)
    x[0, 1, 1, 0], x[0, 3, 0, 0], x[0, 0, 3, 0] = np.nan, np.inf, -np.inf
    node = float_pool(op)
    harness.check(node, [x])
    assert np.isnan(ops.module(op).reference(node, [x])[0]).sum() == 1


@pytest.mark.parametrize("padding", [(2, 0, 0, 0), (0, 0, 9, 0)])
def test_a_window_of_padding_alone_is_refused(padding) -> None:
    x = value("x", (1, 4, 4, 1), "float32")
    with pytest.raises(ValueError, match="every window to reach into the image"):
        inferred("max_pool2d", [x], None, kernel=(2, 2), stride=(1, 1), padding=padding, activation="none")


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("op", OPS)
@settings(max_examples=20)
@given(data=st.data())
def test_pool_equals_tflite_micro(op: str, dtype: str, data) -> None:
    pytest.importorskip("tflite_micro")
    import tflite_models as tflite

    draw = data.draw
    h, w, c = (draw(st.integers(1, 9)) for _ in range(3))
    kernel = (draw(st.integers(1, h)), draw(st.integers(1, w)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    same = draw(st.booleans())
    (top, bottom), (left, right) = (
        same_padding(*a) if same else (0, 0) for a in zip((h, w), kernel, stride, strict=True)
    )
    node = pool(draw, op, dtype, (1, h, w, c), kernel, stride, (top, left, bottom, right))
    x = random_array(np.random.default_rng(draw(seeds)), (1, h, w, c), dtype)
    q = {} if dtype == "float32" else {"scale": node.output.scale, "zero_point": node.output.zero_point}
    tensors = [tflite.Tensor("x", x.shape, dtype, **q), tflite.Tensor("y", node.output.shape, dtype, **q)]
    options = {"padding": tflite.SAME if same else tflite.VALID, "strideH": stride[0], "strideW": stride[1]}
    options |= {"filterHeight": kernel[0], "filterWidth": kernel[1]}
    options |= {"fusedActivationFunction": ACTIVATIONS[node.attrs["activation"]]}
    got = tflite.run_micro(tflite.build(tensors, [tflite.Op(OPS[op], ["x"], ["y"], options)]), [x])[0]
    harness.compare("tflite micro", ops.module(op).reference(node, [x])[0], got)
