# SPDX-License-Identifier: Apache-2.0
"""Non-maximum suppression against a plain loop, onnxruntime and TFLite Micro."""

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, seeds, value

from edgesdk import ops
from edgesdk.ir import Node


def boxes_of(rng: np.random.Generator, shape: tuple[int, ...], center: bool) -> np.ndarray:
    """Boxes on a coarse grid, so that many overlap and some have no area."""
    middle, size = rng.integers(0, 8, (*shape, 2)), rng.integers(0, 6, (*shape, 2))
    pair = [middle, size] if center else [middle - size / 2, middle + size / 2]
    boxes = np.concatenate(pair, -1).astype(np.float32)
    flipped = np.concatenate([boxes[..., 2:], boxes[..., :2]], -1)
    return boxes if center else np.where(rng.random((*shape, 1)) < 0.2, flipped, boxes)


@st.composite
def suppressions(draw) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    images, classes, n = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 12))
    center = draw(st.booleans())
    scores = (rng.integers(-3, 10, (images, classes, n)) / 10).astype(np.float32)
    arrays = [boxes_of(rng, (images, n), center), scores]
    attrs = {"most": draw(st.integers(1, 8)), "center": center, "iou": draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))}
    inputs = [value("boxes", arrays[0].shape, "float32"), value("scores", scores.shape, "float32")]
    return inferred("nms", inputs, threshold=draw(st.sampled_from([0.0, 0.25, -1e30])), **attrs), arrays


@given(suppressions())
def test_nms(case) -> None:
    harness.check(*case)


@settings(max_examples=30)
@given(suppressions())
def test_nms_selects_what_onnxruntime_selects(case) -> None:
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    node, arrays = case
    limits = [
        np.array(node.attrs["most"], np.int64),
        *(np.array(node.attrs[k], np.float32) for k in ("iou", "threshold")),
    ]
    constants = [onnx.numpy_helper.from_array(a, f"c{i}") for i, a in enumerate(limits)]
    infos = [onnx.helper.make_tensor_value_info(n, 1, a.shape) for n, a in zip("bs", arrays, strict=True)]
    center = int(node.attrs["center"])
    made = onnx.helper.make_node("NonMaxSuppression", ["b", "s", "c0", "c1", "c2"], ["y"], center_point_box=center)
    graph = onnx.helper.make_graph([made], "g", infos, [onnx.helper.make_tensor_value_info("y", 7, None)], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    expected = ort.InferenceSession(model.SerializeToString()).run(None, dict(zip("bs", arrays, strict=True)))[0]
    got = ops.module("nms").reference(node, arrays)[0]
    assert np.array_equal(got[: len(expected)], expected)
    assert got[-1, 0] == len(expected) and (got[len(expected) : -1] == -1).all()


@st.composite
def detections(draw) -> tuple[Node, list]:
    rng = np.random.default_rng(draw(seeds))
    n, classes, background = draw(st.integers(1, 20)), draw(st.integers(1, 4)), draw(st.integers(0, 1))
    codes = rng.normal(0, 1, (1, n, draw(st.integers(4, 5)))).astype(np.float32)
    scores = rng.random((1, n, classes + background)).astype(np.float32)
    anchors = np.concatenate([rng.random((n, 2)) * 2, 0.2 + rng.random((n, 2))], -1).astype(np.float32)
    if draw(st.booleans()):
        scores = np.round(scores * 4) / np.float32(4)
    attrs = {"classes": classes, "most": draw(st.integers(1, 8)), "per_class": draw(st.integers(0, 5))}
    attrs |= {"threshold": draw(st.sampled_from([0.0, 0.3, 0.75])), "iou": draw(st.sampled_from([0.2, 0.5, 1.0]))}
    arrays = [codes, scores, anchors]
    inputs = [value(name, a.shape, "float32") for name, a in zip(("codes", "scores", "anchors"), arrays, strict=True)]
    return inferred("detect", inputs, scale=(10.0, 10.0, 5.0, 5.0), **attrs), arrays


@given(detections())
def test_detect(case) -> None:
    harness.check(*case)


def test_a_nan_score_never_wins() -> None:
    boxes = np.array([[[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]]], np.float32)
    scores = np.array([[[np.nan, 0.5, 0.9]]], np.float32)
    inputs = [value("boxes", boxes.shape, "float32"), value("scores", scores.shape, "float32")]
    node = inferred("nms", inputs, most=3, threshold=0.0, iou=0.5, center=False)
    harness.check(node, [boxes, scores])
    assert ops.module("nms").reference(node, [boxes, scores])[0][:, 2].tolist() == [2, 1, -1, 0]
