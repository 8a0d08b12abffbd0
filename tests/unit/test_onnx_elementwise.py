# SPDX-License-Identifier: Apache-2.0
"""Elementwise, normalising, bordering and resizing ops of ONNX: the numbers of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
from test_onnx_import import Net, check, i64, image_net  # noqa: E402

from edgesdk import passes  # noqa: E402


def positive(n: Net, x: str, low: float = 0.05) -> str:
    return str(n.op("Add", n.op("Mul", x, x), n.constant(low)))


def inside(n: Net, x: str) -> str:
    return str(n.op("Mul", n.op("Tanh", x), n.constant(0.95)))


ANYWHERE = "Abs Neg Exp Sin Cos Tan Atan Sinh Cosh Asinh Floor Ceil Round Sign Softsign".split()
WITH_ATTRS: dict[str, list[dict[str, float]]] = {
    "Celu": [{}, {"alpha": 0.5}],
    "Shrink": [{}, {"lambd": 0.3, "bias": 0.2}],
    "ThresholdedRelu": [{}, {"alpha": 0.1}],
}
CASES: dict[str, tuple[int, Any]] = {
    **{kind: (17, lambda n, x, kind=kind: n.op(kind, x)) for kind in ANYWHERE},
    **{kind: (17, lambda n, x, kind=kind: n.op(kind, positive(n, x))) for kind in ("Log", "Sqrt", "Reciprocal")},
    **{kind: (17, lambda n, x, kind=kind: n.op(kind, inside(n, x))) for kind in ("Asin", "Acos", "Atanh")},
    "Acosh": (17, lambda n, x: n.op("Acosh", positive(n, x, 1.05))),
    **{
        f"{kind}_{i}": (17, lambda n, x, kind=kind, attrs=attrs: n.op(kind, x, **attrs))
        for kind, variants in WITH_ATTRS.items()
        for i, attrs in enumerate(variants)
    },
    "pow": (17, lambda n, x: n.op("Pow", positive(n, x), inside(n, x))),
    "pow_3": (17, lambda n, x: n.op("Pow", x, n.constant(3.0))),
    "pow_integer": (15, lambda n, x: n.op("Pow", x, i64(n, 2))),
    "pow_channels": (17, lambda n, x: n.op("Pow", positive(n, x), n.constant(np.ones((4, 1, 1)) * 1.7))),
    "div": (17, lambda n, x: n.op("Div", x, positive(n, x, 0.5))),
    "div_by_mean": (17, lambda n, x: n.op("Div", x, n.op("ReduceMean", positive(n, x), axes=[1]))),
    "one_over": (17, lambda n, x: n.op("Div", n.constant(1.0), positive(n, x))),
    "two_over": (17, lambda n, x: n.op("Div", n.constant(2.0), positive(n, x))),
    "fmod": (17, lambda n, x: n.op("Mod", x, n.constant(0.7), fmod=1)),
    "prelu": (17, lambda n, x: n.op("PRelu", x, n.constant(np.linspace(-0.5, 0.5, 4).reshape(4, 1, 1)))),
    "prelu_scalar": (17, lambda n, x: n.op("PRelu", x, n.constant([0.25]))),
    "prelu_full": (17, lambda n, x: n.op("PRelu", x, n.weights(4, 6, 8))),
    "log_softmax": (17, lambda n, x: n.op("LogSoftmax", x)),
    "log_softmax_c": (13, lambda n, x: n.op("LogSoftmax", x, axis=1)),
    "log_softmax_12": (12, lambda n, x: n.op("LogSoftmax", x)),
    "hardmax": (17, lambda n, x: n.op("Hardmax", x, axis=1)),
    "hardmax_12": (12, lambda n, x: n.op("Hardmax", x, axis=2)),
    "lp_norm": (17, lambda n, x: n.op("LpNormalization", x, axis=1)),
    "lp_norm_1": (17, lambda n, x: n.op("LpNormalization", x, axis=-1, p=1)),
    "mvn": (13, lambda n, x: n.op("MeanVarianceNormalization", x)),
    "mvn_axes": (13, lambda n, x: n.op("MeanVarianceNormalization", x, axes=[1, 2, 3])),
    "lrn": (17, lambda n, x: n.op("LRN", x, size=3)),
    "lrn_wide": (17, lambda n, x: n.op("LRN", x, size=5, alpha=0.3, beta=0.6, bias=1.5)),
    "lp_pool": (17, lambda n, x: n.op("LpPool", x, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])),
    "lp_pool_1": (17, lambda n, x: n.op("LpPool", x, kernel_shape=[2, 2], p=1)),
    "lp_pool_3": (17, lambda n, x: n.op("LpPool", x, kernel_shape=[2, 2], p=3)),
    "global_lp": (17, lambda n, x: n.op("GlobalLpPool", x)),
    "global_lp_3": (17, lambda n, x: n.op("GlobalLpPool", x, p=3)),
    "dilated_max": (17, lambda n, x: n.op("MaxPool", x, kernel_shape=[2, 3], dilations=[2, 2], pads=[1, 2, 1, 2])),
    "avg_ceil_include": (
        19,
        lambda n, x: n.op(
            "AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1, count_include_pad=1
        ),
    ),
    "crd": (17, lambda n, x: n.op("DepthToSpace", n.op("Concat", x, n.op("Neg", x), axis=1), blocksize=2, mode="CRD")),
    "pad_reflect": (17, lambda n, x: n.op("Pad", x, i64(n, 0, 1, 2, 0, 0, 0, 1, 3), mode="reflect")),
    "pad_edge": (17, lambda n, x: n.op("Pad", x, i64(n, 0, 1, 2, 0, 0, 0, 1, 3), mode="edge")),
    "pad_wrap": (19, lambda n, x: n.op("Pad", x, i64(n, 0, 0, 2, 0, 0, 0, 1, 3), mode="wrap")),
    "pad_negative": (17, lambda n, x: n.op("Pad", x, i64(n, 0, -1, 2, -3, 0, 1, -2, 0), n.constant(0.5))),
    "pad_crop": (17, lambda n, x: n.op("Pad", x, i64(n, 0, 0, -2, -3, 0, 0, -1, 0))),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_of_onnxruntime(tmp_path: Path, name: str) -> None:
    opset, build = CASES[name]
    net, output = image_net(build, opset)
    graph = check(net.save(tmp_path / "m.onnx", output), transposes=None)
    passes.lower(passes.simplify(graph))  # every op that is written has a kernel


COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")


@pytest.mark.parametrize("factors", [(1.7, 0.6), (2.0, 2.0), (0.4, 1.3)])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize(tmp_path: Path, mode: str, coordinates: str, factors: tuple[float, float]) -> None:
    def build(n: Net, x: str) -> str:
        scales, sizes = n.constant([1, 1, *factors]), ""
        if coordinates == "align_corners":  # onnxruntime takes the whole length of a fractional one, ONNX does not
            scales, sizes = "", i64(n, 1, 4, *(int(d * f) for d, f in zip((6, 8), factors, strict=True)))
        return str(n.op("Resize", x, "", scales, sizes, mode=mode, coordinate_transformation_mode=coordinates))

    net, y = image_net(build, opset=19)
    passes.lower(passes.simplify(check(net.save(tmp_path / "m.onnx", y))))


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_roundings(tmp_path: Path, rounding: str) -> None:
    net, y = image_net(
        lambda n, x: n.op("Resize", x, "", "", i64(n, 1, 4, 9, 5), mode="nearest", nearest_mode=rounding)
    )
    check(net.save(tmp_path / "m.onnx", y))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("attrs", [{"antialias": 1}, {"exclude_outside": 1}, {"cubic_coeff_a": -0.5}])
def test_filters(tmp_path: Path, mode: str, attrs: dict[str, float]) -> None:
    if mode == "linear" and "antialias" not in attrs:
        pytest.skip("onnxruntime takes this attribute for cubic only")
    net, y = image_net(lambda n, x: n.op("Resize", x, "", "", i64(n, 1, 4, 3, 5), mode=mode, **attrs), opset=18)
    check(net.save(tmp_path / "m.onnx", y))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("region", [(0.1, 0.2, 0.8, 0.9), (-0.1, 0.3, 1.0, 1.4), (0.9, 0.8, 0.2, 0.1)])
def test_regions(tmp_path: Path, mode: str, region: tuple[float, ...]) -> None:
    def crop(n: Net, x: str) -> str:
        roi = n.constant([0, 0, *region[:2], 1, 1, *region[2:]])
        attrs = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.5}
        return str(n.op("Resize", x, roi, "", i64(n, 1, 4, 5, 7), mode=mode, **attrs))

    net, y = image_net(crop)
    passes.lower(passes.simplify(check(net.save(tmp_path / "crop.onnx", y))))


def test_aspect_ratio(tmp_path: Path) -> None:
    for policy in ("not_larger", "not_smaller"):
        attrs = {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy}
        net, y = image_net(lambda n, x, attrs=attrs: n.op("Resize", x, "", "", i64(n, 9, 10), **attrs), opset=18)
        check(net.save(tmp_path / "ratio.onnx", y))
