# SPDX-License-Identifier: Apache-2.0
import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, quant, random_array, seeds, value

from edgesdk import ops
from edgesdk.ir import Node

TFLITE = {"resize_nearest": "RESIZE_NEAREST_NEIGHBOR", "resize_bilinear": "RESIZE_BILINEAR"}
CASES = [(op, dtype) for op in TFLITE for dtype in ("int8", "int16", "float32")]
WAYS = [(False, False), (True, False), (False, True)]  # align_corners, half_pixel_centers


@st.composite
def resizes(draw, op: str, dtype: str, batches: int = 2) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    channels = draw(st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 32, 40])))
    shape = (draw(st.integers(1, batches)), *(draw(st.integers(1, 9)) for _ in range(2)), channels)
    align_corners, half_pixel = draw(st.sampled_from(WAYS))
    size = draw(st.tuples(st.integers(1, 19), st.integers(1, 19)))
    q = None if dtype == "float32" else quant(draw, dtype)
    attrs = {"size": size, "align_corners": align_corners, "half_pixel_centers": half_pixel}
    return inferred(op, [value("x", shape, dtype, q)], q, **attrs), [random_array(rng, shape, dtype)]


@pytest.mark.parametrize("op, dtype", CASES)
@given(data=st.data())
def test_resize_equals_reference(op: str, dtype: str, data) -> None:
    harness.check(*data.draw(resizes(op, dtype)))


@pytest.mark.parametrize("op, dtype", CASES)
@settings(max_examples=30)
@given(data=st.data())
def test_resize_equals_tflite_micro(op: str, dtype: str, data) -> None:
    pytest.importorskip("tflite_micro")
    import tflite_models as tflite

    if (op, dtype) == ("resize_bilinear", "int16"):
        pytest.skip("TFLite Micro has no bilinear resizing of int16")
    node, (x,) = data.draw(resizes(op, dtype, batches=1))

    def tensor(v):
        q = {} if v.quant is None else {"scale": v.scale, "zero_point": v.zero_point}
        return tflite.Tensor(v.name, v.shape, v.dtype, **q)

    options = {"alignCorners": node.attrs["align_corners"], "halfPixelCenters": node.attrs["half_pixel_centers"]}
    tensors = [tensor(node.input(0)), tensor(node.output), tflite.constant("size", node.attrs["size"])]
    got = tflite.run_micro(tflite.build(tensors, [tflite.Op(TFLITE[op], ["x", "size"], ["y"], options)]), [x])[0]
    harness.compare("tflite micro", ops.module(op).reference(node, [x])[0], got)
