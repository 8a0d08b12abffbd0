# SPDX-License-Identifier: Apache-2.0
"""TFLite operators that move, look up, rank and select: whole files through the runtime, against TFLite Micro's bytes
or, where it has no such operator, numpy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))

import small_models  # noqa: E402
import tflite_models as models  # noqa: E402
from flatbuffers import flexbuffers  # noqa: E402
from nodes import random_items  # noqa: E402
from tflite_models import Op, Tensor, constant  # noqa: E402

from edgesdk import runtime  # noqa: E402
from edgesdk.converters import tflite  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402


def parse(data: bytes) -> Graph:
    return tflite.parse(data, "model", {})


def run(data: bytes, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What the C runtime makes of the file."""
    return runtime.run(runtime.open_session(small_models.compiled(parse(data))), arrays)


def inputs_of(tensors: list[Tensor], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [random_items(rng, t.shape, t.dtype) for t in tensors]


def ints(name: str, *values: int) -> Tensor:
    return constant(name, list(values))


def f32(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "float32")


def s8(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, scale=0.5, zero_point=3)


def boolean(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "bool")


# name -> (operator, inputs, constants behind them, outputs, options)
Case = tuple[str, list[Tensor], list[Tensor], list[Tensor], dict[str, Any]]
MICRO: dict[str, Case] = {
    "reverse": ("REVERSE_V2", [f32("x", 2, 3, 4)], [ints("a", 1, -1)], [f32("y", 2, 3, 4)], {}),
    "reverse_int8": ("REVERSE_V2", [s8("x", 2, 3, 4)], [ints("a", 0)], [s8("y", 2, 3, 4)], {}),
    # TFLite Micro pads int8 with what happens to lie in its memory; edgesdk with the zero point (below).
    "space_to_batch": (
        "SPACE_TO_BATCH_ND",
        [s8("x", 1, 6, 4, 2)],
        [ints("b", 2, 2), constant("p", [[0, 0], [0, 0]])],
        [s8("y", 4, 3, 2, 2)],
        {},
    ),
    "space_to_batch_1d": (
        "SPACE_TO_BATCH_ND",
        [f32("x", 2, 6, 3)],
        [ints("b", 3), constant("p", [[0, 0]])],
        [f32("y", 6, 2, 3)],
        {},
    ),
    "batch_to_space": (
        "BATCH_TO_SPACE_ND",
        [s8("x", 8, 3, 3, 2)],
        [ints("b", 2, 2), constant("p", [[1, 0], [0, 2]])],
        [s8("y", 2, 5, 4, 2)],
        {},
    ),
    "select": ("SELECT_V2", [boolean("c", 2, 1), s8("a", 2, 3), s8("b", 3)], [], [s8("y", 2, 3)], {}),
    "logical_and": ("LOGICAL_AND", [boolean("a", 2, 3), boolean("b", 3)], [], [boolean("y", 2, 3)], {}),
    "logical_or": ("LOGICAL_OR", [boolean("a", 2, 3), boolean("b", 2, 3)], [], [boolean("y", 2, 3)], {}),
    "logical_not": ("LOGICAL_NOT", [boolean("a", 2, 3)], [], [boolean("y", 2, 3)], {}),
    "reduce_min": ("REDUCE_MIN", [s8("x", 2, 3, 4)], [ints("a", 1)], [s8("y", 2, 4)], {}),
    "reduce_min_float": ("REDUCE_MIN", [f32("x", 2, 3, 4)], [ints("a", 0, 2)], [f32("y", 3)], {}),
    "reduce_all": ("REDUCE_ALL", [boolean("x", 2, 3, 4)], [ints("a", 1)], [boolean("y", 2, 4)], {}),
    "broadcast_to": ("BROADCAST_TO", [f32("x", 3, 1)], [ints("s", 2, 3, 4)], [f32("y", 2, 3, 4)], {}),
    "fill": ("FILL", [], [ints("s", 2, 3), constant("v", 7)], [Tensor("y", (2, 3), "int32")], {}),
    "gather": ("GATHER", [s8("x", 4, 3)], [ints("i", 2, 0, 3)], [s8("y", 3, 3)], {"axis": 0}),
    "pack_int64": (
        "PACK",
        [Tensor("a", (3,), "int64"), Tensor("b", (3,), "int64")],
        [],
        [Tensor("y", (2, 3), "int64")],
        {"axis": 0, "valuesCount": 2},
    ),
    "slice_int32": (
        "SLICE",
        [Tensor("x", (4, 3), "int32")],
        [ints("b", 1, 0), ints("n", 2, -1)],
        [Tensor("y", (2, 3), "int32")],
        {},
    ),
}


def build(case: Case, seed: int = 0) -> tuple[bytes, list[np.ndarray]]:
    code, inputs, constants, outputs, options = case
    names = [t.name for t in (*inputs, *constants)]
    anchor = [] if inputs else [f32("unused", 1)]
    data = models.build(
        [*anchor, *inputs, *constants, *outputs],
        [Op(code, names, [t.name for t in outputs], options)],
        inputs=[t.name for t in inputs or anchor],
    )
    return data, inputs_of(inputs or anchor, seed)


@pytest.mark.parametrize("name", MICRO)
def test_the_runtime_gives_the_bytes_of_tflite_micro(name: str) -> None:
    pytest.importorskip("tflite_micro")
    for seed in range(3):
        data, arrays = build(MICRO[name], seed)
        for got, want in zip(run(data, arrays), models.run_micro(data, arrays, len(MICRO[name][3])), strict=True):
            np.testing.assert_array_equal(got, want)


def test_blocks_of_int8_are_padded_with_the_zero_point() -> None:
    constants = [ints("b", 2, 2), constant("p", [[1, 0], [0, 2]])]
    case = ("SPACE_TO_BATCH_ND", [s8("x", 1, 5, 4, 2)], constants, [s8("y", 4, 3, 3, 2)], {})
    data, (x,) = build(case)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=3)
    want = padded.reshape(3, 2, 3, 2, 2).transpose(1, 3, 0, 2, 4).reshape(4, 3, 3, 2)
    np.testing.assert_array_equal(run(data, [x])[0], want)


def i32(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "int32")


def expected(name: str, x: list[np.ndarray]) -> list[np.ndarray]:
    if name == "tile":
        return [np.tile(x[0], (2, 1, 3))]
    if name == "top_k":
        order = np.argsort(-x[0].astype(np.int64), -1, kind="stable")[:, :2]
        return [np.take_along_axis(x[0], order, -1), order.astype(np.int32)]
    if name == "one_hot":
        return [np.where(x[0][:, None, :] == np.arange(4)[:, None], np.float32(2), np.float32(-1))]
    if name == "reduce_prod":
        return [x[0].prod(1, dtype=np.float64).astype(np.float32)]
    if name == "reduce_any":
        return [x[0].any((0, 2))]
    if name == "scatter_nd":
        y = np.zeros((5, 2), np.float32)
        np.add.at(y, np.array([0, 3, 3]), x[0])
        return [y]
    if name == "embedding":
        return [np.float32(0.25) * (TABLE[np.clip(np.where(x[0] < 0, x[0] + 6, x[0]), 0, 5)].astype(np.float32) - 2)]
    if name == "xor":
        return [x[0] ^ x[1]]
    if name == "shift":
        return [x[0] >> np.clip(x[1], 0, 31)]
    return [x[0].sum(0, dtype=np.int32)]


TABLE = np.arange(24, dtype=np.int8).reshape(6, 4)
OTHERS: dict[str, Case] = {
    "tile": ("TILE", [s8("x", 2, 1, 3)], [ints("m", 2, 1, 3)], [s8("y", 4, 1, 9)], {}),
    "top_k": ("TOPK_V2", [s8("x", 3, 5)], [constant("k", 2)], [s8("v", 3, 2), i32("i", 3, 2)], {}),
    "one_hot": (
        "ONE_HOT",
        [i32("x", 3, 2)],
        [constant("d", 4), constant("on", 2.0, "float32"), constant("off", -1.0, "float32")],
        [f32("y", 3, 4, 2)],
        {"axis": 1},
    ),
    "reduce_prod": ("REDUCE_PROD", [f32("x", 2, 3)], [ints("a", 1)], [f32("y", 2)], {}),
    "reduce_any": ("REDUCE_ANY", [boolean("x", 2, 3, 4)], [ints("a", 0, 2)], [boolean("y", 3)], {}),
    "embedding": (
        "EMBEDDING_LOOKUP",
        [i32("x", 3)],
        [constant("t", TABLE, "int8", scale=0.25, zero_point=2)],
        [f32("y", 3, 4)],
        {},
    ),
    "xor": ("BITWISE_XOR", [i32("a", 2, 3), i32("b", 2, 3)], [], [i32("y", 2, 3)], {}),
    "shift": ("RIGHT_SHIFT", [i32("a", 2, 3), i32("b", 2, 3)], [], [i32("y", 2, 3)], {}),
    "sum_of_integers": ("SUM", [i32("x", 4, 3)], [ints("a", 0)], [i32("y", 3)], {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_operators_that_tflite_micro_lacks(name: str) -> None:
    for seed in range(3):
        data, arrays = build(OTHERS[name], seed)
        for got, want in zip(run(data, arrays), expected(name, arrays), strict=True):
            if want.dtype == np.float32:
                np.testing.assert_allclose(got, want, rtol=1e-6)
            else:
                np.testing.assert_array_equal(got, want)


def test_scatter_nd_adds_up() -> None:
    tensors = [f32("u", 3, 2), constant("i", [[0], [3], [3]]), ints("s", 5, 2), f32("y", 5, 2)]
    data = models.build(tensors, [Op("SCATTER_ND", ["i", "u", "s"], ["y"])])
    arrays = inputs_of(tensors[:1])
    np.testing.assert_allclose(run(data, arrays)[0], expected("scatter_nd", arrays)[0], rtol=1e-6)


def test_dynamic_update_slice_clamps_its_start() -> None:
    pytest.importorskip("tflite_micro")
    tensors = [f32("x", 4, 5), f32("u", 2, 3), i32("b", 2), f32("y", 4, 5)]
    data = models.build(tensors, [Op("DYNAMIC_UPDATE_SLICE", ["x", "u", "b"], ["y"])], inputs=["x", "u", "b"])
    x, u = inputs_of(tensors[:2])
    for start in ([0, 0], [1, 2], [-3, 9], [3, -1]):
        arrays = [x, u, np.array(start, np.int32)]
        np.testing.assert_array_equal(run(data, arrays)[0], models.run_micro(data, arrays)[0])


def test_arithmetic_on_shapes_disappears() -> None:
    """[N, H * W, C] by SHAPE, STRIDED_SLICE, MUL, PACK and RESHAPE, as exporters write it."""
    cut = [ints(f"{k}{i}", v) for i in range(4) for k, v in (("b", i), ("e", i + 1))]
    tensors = [f32("x", 1, 3, 4, 5), i32("shape", 4), *(i32(f"d{i}") for i in range(4)), *cut, ints("one", 1)]
    tensors += [i32("area"), i32("wanted", 3), f32("y", 1, 12, 5)]
    ops = [Op("SHAPE", ["x"], ["shape"])]
    ops += [Op("STRIDED_SLICE", ["shape", f"b{i}", f"e{i}", "one"], [f"d{i}"], {"shrinkAxisMask": 1}) for i in range(4)]
    ops += [Op("MUL", ["d1", "d2"], ["area"]), Op("PACK", ["d0", "area", "d3"], ["wanted"], {"valuesCount": 3})]
    graph = parse(models.build(tensors, [*ops, Op("RESHAPE", ["x", "wanted"], ["y"])]))
    assert [n.op for n in graph.nodes] == ["reshape"] and graph.outputs[0].shape == (1, 12, 5)


def test_outputs_may_be_inputs_constants_and_each_other() -> None:
    tensors = [f32("x", 2, 3), constant("k", [[1, 2], [3, 4]], "int32"), f32("y", 2, 3)]
    data = models.build(tensors, [Op("RELU", ["x"], ["y"])], outputs=["y", "x", "k", "y"])
    x = inputs_of(tensors[:1])[0]
    got = run(data, [x])
    for g, want in zip(got, (np.maximum(x, 0), x, np.array([[1, 2], [3, 4]]), np.maximum(x, 0)), strict=True):
        np.testing.assert_array_equal(g, want)


def test_other_custom_operators_are_refused_together() -> None:
    tensors = [f32(n, 1, 4) for n in "abc"]
    ops = [Op("CUSTOM", ["a"], ["b"], custom="Mystery"), Op("CUSTOM", ["b"], ["c"], custom="Riddle")]
    with pytest.raises(Unsupported, match="CUSTOM:Mystery.*CUSTOM:Riddle"):
        parse(models.build(tensors, ops))


def detector(n: int, classes: int, columns: int, **options: Any) -> bytes:
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 1, -(-n // 4))), -1).reshape(-1, 2)[:n]
    anchors = np.concatenate([grid, 0.2 + 0.2 * rng.random((n, 2))], 1)
    given = {"max_detections": 6, "max_classes_per_detection": 1, "num_classes": classes, "nms_iou_threshold": 0.4}
    given |= {"nms_score_threshold": 0.2, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0, **options}
    tensors = [f32("codes", 1, n, 4), f32("scores", 1, n, columns), constant("anchors", anchors, "float32")]
    tensors += [f32("boxes", 1, 6, 4), f32("classes", 1, 6), f32("best", 1, 6), f32("count", 1)]
    op = Op(
        "CUSTOM",
        ["codes", "scores", "anchors"],
        ["boxes", "classes", "best", "count"],
        custom="TFLite_Detection_PostProcess",
    )
    op.custom_options = bytes(flexbuffers.Dumps(given))
    return models.build(tensors, [op], inputs=["codes", "scores"])


@pytest.mark.parametrize(
    "options", [{}, {"use_regular_nms": True}, {"use_regular_nms": True, "detections_per_class": 2}]
)
@pytest.mark.parametrize("background", [0, 1])
def test_detections_are_those_of_tflite_micro(options: dict[str, Any], background: int) -> None:
    pytest.importorskip("tflite_micro")
    data = detector(14, 3, 3 + background, **options)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        arrays = [
            rng.normal(0, 2, (1, 14, 4)).astype(np.float32),
            rng.random((1, 14, 3 + background)).astype(np.float32),
        ]
        got, want = run(data, arrays), models.run_micro(data, arrays, 4)
        count = int(want[3][0])
        assert got[3][0] == count
        for g, w in zip(got[:3], want[:3], strict=True):
            np.testing.assert_allclose(g[:, :count], w[:, :count], rtol=1e-5, atol=1e-6)


def test_detection_options_that_are_missing_or_not_supported() -> None:
    with pytest.raises(Unsupported, match="more than one class"):
        parse(detector(4, 2, 2, max_classes_per_detection=2))
    model = models.unpack(detector(4, 2, 2))
    whole = np.array(model.subgraphs[0].operators[0].customOptions)
    for cut in (0, 1, 5, 20, len(whole) - 3):
        model.subgraphs[0].operators[0].customOptions = whole[:cut]
        with pytest.raises(UsageError):
            parse(models.pack(model))


def test_boxes_are_suppressed_and_padded_with_zeros() -> None:
    number = {"most": 4, "iou": 0.5, "least": 0.1}
    tensors = [f32("boxes", 5, 4), f32("scores", 5), constant("most", number["most"])]
    tensors += [constant(k, number[k], "float32") for k in ("iou", "least")]
    tensors += [i32("picked", 4), i32("count")]
    names = ["boxes", "scores", "most", "iou", "least"]
    data = models.build(tensors, [Op("NON_MAX_SUPPRESSION_V4", names, ["picked", "count"])], inputs=names[:2])
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3], [0, 0, 0.2, 0.2], [5, 5, 6, 6]], np.float32)
    picked, count = run(data, [boxes, np.array([0.6, 0.9, 0.7, 0.05, 0.3], np.float32)])
    assert picked.tolist() == [1, 2, 4, 0] and count == 3
