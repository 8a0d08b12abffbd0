# SPDX-License-Identifier: Apache-2.0
"""int8 weights and activations by LiteRT's own quantiser: quantize_litert.py FLOAT.tflite CALIBRATION.npy TO"""

import sys

import numpy as np
from ai_edge_quantizer import quantizer, recipe

source, calibration, to = sys.argv[1:]
made = quantizer.Quantizer(source)
made.load_quantization_recipe(recipe.static_wi8_ai8())
images = np.load(calibration)
ranges = made.calibrate({"serving_default": [{"x": image[None]} for image in images]})
made.quantize(ranges).export_model(to)
