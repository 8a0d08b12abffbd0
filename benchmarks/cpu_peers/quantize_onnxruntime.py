# SPDX-License-Identifier: Apache-2.0
"""uint8 activations and int8 weights per channel, between QuantizeLinear and DequantizeLinear, by onnxruntime's own
quantiser: the form that it recommends for x86. quantize_onnxruntime.py FLOAT.onnx CALIBRATION.npy TO"""

import sys
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Images(CalibrationDataReader):  # the interface that quantize_static asks for
    def __init__(self, images: np.ndarray) -> None:
        self.left = iter(images)

    def get_next(self) -> "dict[str, np.ndarray] | None":
        image = next(self.left, None)
        return None if image is None else {"v0": np.ascontiguousarray(image.transpose(2, 0, 1)[None])}


source, calibration, to = sys.argv[1:]
prepared = Path(to).with_suffix(".prepared.onnx")
quant_pre_process(source, prepared, skip_symbolic_shape=True)
quantize_static(
    prepared,
    to,
    Images(np.load(calibration)),
    quant_format=QuantFormat.QDQ,
    per_channel=True,
    activation_type=QuantType.QUInt8,
    weight_type=QuantType.QInt8,
    extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
)
prepared.unlink()
