# SPDX-License-Identifier: Apache-2.0
"""The custom operator TFLite_Detection_PostProcess of SSD models -> one step, whose parts are its outputs."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgesdk.converters import flexbuffer, tflite_file
from edgesdk.converters.tflite_scope import Operator, emit, step, value
from edgesdk.converters.tflite_weights import dequantized
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Value

DETECTIONS_PER_CLASS = 100  # where the options leave it out
MAX_DETECTIONS = 2**16


def options(op: Operator) -> dict[str, float]:
    try:
        found = flexbuffer.numbers(op.custom_options)
    except UsageError as error:
        raise op.fail(str(error)) from error
    known = {name: float(number) for name, number in found.items()}
    needed = ("max_detections", "num_classes", "y_scale", "x_scale", "h_scale", "w_scale")
    missing = [
        n for n in (*needed, "nms_score_threshold", "nms_iou_threshold") if not math.isfinite(known.get(n, math.nan))
    ]
    if missing:
        raise op.fail(f"has no option {missing[0]}, expected a number; the file is damaged")
    return known


def floating(op: Operator, i: int) -> Value:
    """Input `i` as float32."""
    x = value(op, i)
    if x.dtype == "float32":
        return x
    if x.data is not None:
        data = dequantized(op, x, tflite_file.quant(op.scope.file, op.inputs[i]))
        op.scope.file.charge(data.nbytes, op.source)
        return Value(op.scope.unique(f"{x.name}/float32"), x.shape, "float32", None, data)
    if x.dtype != "int8" or x.quant is None:
        raise Unsupported(f"{x.dtype} input {x.name!r}")
    return step(op, "dequantize", [x])


def limited(op: Operator, given: dict[str, float], name: str, default: int | None = None) -> int:
    number = given.get(name, default)
    if number is None or not 1 <= number <= MAX_DETECTIONS:
        raise op.fail(f"has option {name} {number}, expected 1 to {MAX_DETECTIONS}")
    return int(number)


def detection(op: Operator) -> None:
    if len(op.outputs) != 4:
        raise op.fail(f"has {len(op.outputs)} outputs, expected boxes, classes, scores and their count")
    given = options(op)
    regular = bool(given.get("use_regular_nms", 0))
    if not regular and given.get("max_classes_per_detection", 1) != 1:
        raise Unsupported("more than one class per detection without use_regular_nms")
    most = limited(op, given, "max_detections")
    per_class = limited(op, given, "detections_per_class", DETECTIONS_PER_CLASS) if regular else 0
    scale = tuple(given[f"{name}_scale"] for name in "yxhw")
    if 0 in scale:
        raise op.fail(f"has scales {scale}, expected none of 0")
    found = step(
        op,
        "detect",
        [floating(op, i) for i in range(3)],
        classes=limited(op, given, "num_classes"),
        most=most,
        per_class=per_class,
        threshold=given["nms_score_threshold"],
        iou=given["nms_iou_threshold"],
        scale=scale,
    )
    begin = 0
    for i, shape in enumerate(((1, most, 4), (1, most), (1, most), (1,))):
        size = math.prod(shape)
        part = step(op, "slice", [found], begin=(begin,), size=(size,), stride=(1,))
        emit(op, "reshape", [part], out=i, shape=shape)
        begin += size


OPS: dict[str, Callable[[Operator], None]] = {"CUSTOM:TFLite_Detection_PostProcess": detection}
