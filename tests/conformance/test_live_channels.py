# SPDX-License-Identifier: Apache-2.0
"""What real models compute in vain goes; that their bytes stay is in test_tflm_parity.py."""

from __future__ import annotations

import pytest
from shared import MODELS, needs_shared

from edgesdk import flow

pytestmark = needs_shared


@pytest.mark.parametrize(
    ("model", "channels", "macs"),
    [
        ("mlperf-tiny-vww-mobilenetv1/vww_96_int8", 1724, 3_762_351),
        ("tflm-person-detect/person_detect", 3, 80_642),
        ("tinyengine-mcunet/vww", 352, 647_491),
        ("tflm-mobilenet-v2-1x3x224x224-int8/mobilenet_v2_quantized_1x3x224x224", 30, 4_243_204),
        ("mlperf-tiny-kws-dscnn/kws_ref_model", 0, 0),
        ("mlperf-tiny-ic-resnet8/pretrainedResnet_quant", 0, 0),
    ],
)
def test_what_real_models_compute_in_vain(model: str, channels: int, macs: int) -> None:
    """At least so much; a bound that gets tighter may find more."""
    result = flow.report(flow.convert(MODELS / f"{model}.tflite"))
    removed = result["removed"]
    assert removed["channels"] >= channels and removed["macs"] >= macs
    assert result["macs_dense"] == result["macs"] + removed["macs"]


def test_half_of_the_person_detector_is_left() -> None:
    """Portable, because panels for vectors are filled up with zeros."""
    model = MODELS / "mlperf-tiny-vww-mobilenetv1" / "vww_96_int8.tflite"
    result = flow.report(flow.convert(model, portable=True))
    assert result["macs"] <= 3_727_313 and result["model_bytes"] < 50_000
