# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, random_array, seeds, value, zero_points

from edgesdk import kernels, ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Quant

PROBABILITY = {"int8": Quant.per_tensor(1 / 256, -128), "int16": Quant.per_tensor(1 / 32768, 0)}


def softmax(
    shape: tuple[int, ...], scale: float | None, zero_point: int = 0, beta: float = 1.0, dtype: str = "int8"
) -> Node:
    if scale is None:
        return inferred("softmax", [value("x", shape, "float32")], None, beta=beta)
    x = value("x", shape, dtype, Quant.per_tensor(scale, zero_point))
    return inferred("softmax", [x], PROBABILITY[dtype], beta=beta)


@st.composite
def softmaxes(draw, dtype: str) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    lead, n = draw(st.lists(st.integers(1, 4), max_size=3)), draw(st.integers(1, 90))
    # From scales whose exps are all alike to scales where one step of the input is e^40.
    scale = None if dtype == "float32" else draw(st.floats(-16, 4 if dtype == "int8" else 0.5))
    beta = draw(st.sampled_from([1.0, 0.5, 2.5]))
    real = None if scale is None else float(np.float32(np.exp(scale)))
    node = softmax((*lead, n), real, 0 if dtype == "int16" else draw(zero_points), beta, dtype)
    return node, [random_array(rng, (*lead, n), dtype)]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@given(data=st.data())
def test_softmax_equals_reference(dtype: str, data) -> None:
    harness.check(*data.draw(softmaxes(dtype)))


@st.composite
def pixels(draw, dtype: str) -> tuple[Node, list]:
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 20)))
    node = softmax(shape, None if dtype == "float32" else 0.02, dtype=dtype)
    node.attrs["by_image"] = True
    return node, [random_array(np.random.default_rng(draw(seeds)), shape, dtype)]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@settings(max_examples=40)
@given(data=st.data())
def test_pixels_of_an_image_equal_reference(dtype: str, data) -> None:
    harness.check(*data.draw(pixels(dtype)))


@pytest.mark.parametrize("n", [511, 512, 1024, 4095])
def test_many_equal_items(n: int) -> None:
    """Past 512 equal items a share is less than half of an output step."""
    node, x = softmax((2, n), 0.1), np.zeros((2, n), np.int8)
    harness.check(node, [x])
    assert ops.module("softmax").reference(node, [x])[0].max() == (-127 if n == 511 else -128)


def test_every_exp_and_many_sums_of_tflite_micro() -> None:
    """Both int16 tables: one input against each of its distances, and sums of one to 1200 exps."""
    pytest.importorskip("tflite_micro")
    import tflite_models as tflite

    every = np.stack([np.full(65536, 32767), np.arange(-32768, 32768)], 1).astype(np.int16)
    for scale, x in ((10 / 65535, every), (2.0, np.tri(1200, 1200, dtype=np.int16) * 20000)):
        node = softmax(x.shape, float(np.float32(scale)), 0, 1.0, "int16")
        tensors = [tflite.Tensor(v.name, v.shape, v.dtype, scale=v.scale) for v in (node.input(0), node.output)]
        model = tflite.build(tensors, [tflite.Op("SOFTMAX", ["x"], ["y"], {"beta": 1.0})])
        assert np.array_equal(ops.module("softmax").reference(node, [x])[0], tflite.run_micro(model, [x])[0])


def test_nan_and_infinity() -> None:
    x = np.array([[1, np.nan, 3], [-np.inf, 2, 1], [np.inf, 2, 1], [-np.inf] * 3, [3e38, -3e38, 0]], np.float32)
    harness.check(softmax(x.shape, None), [x])


def test_other_output_scale_is_refused() -> None:
    node = softmax((1, 4), 0.1)
    node.output.quant = Quant.per_tensor(1 / 128, -128)
    kernel = kernels.choose("softmax", ["s8"], ["c"])
    with pytest.raises(Unsupported, match="output scale 1/256"):
        ops.module("softmax").encode(node, kernel)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@settings(max_examples=30)
@given(data=st.data())
def test_softmax_equals_tflite_micro(dtype: str, data) -> None:
    pytest.importorskip("tflite_micro")
    import tflite_models as tflite

    node, (x,) = data.draw(softmaxes(dtype))

    def tensor(v):
        q = {} if v.quant is None else {"scale": v.scale, "zero_point": v.zero_point}
        return tflite.Tensor(v.name, v.shape, v.dtype, **q)

    model = tflite.build(
        [tensor(node.input(0)), tensor(node.output)], [tflite.Op("SOFTMAX", ["x"], ["y"], {"beta": node.attrs["beta"]})]
    )
    harness.compare("tflite micro", ops.module("softmax").reference(node, [x])[0], tflite.run_micro(model, [x])[0])
