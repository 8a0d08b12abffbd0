# SPDX-License-Identifier: Apache-2.0
"""Whole networks from PyTorch and ONNX run as PyTorch runs them, without transpositions left over."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
QUICK = ("ds_cnn", "tcn", "gru", "conv_autoencoder_transposed", "bert")
NEEDED_TRANSPOSES = {
    "espcn": 1, "shufflenet_v2": 16,  # pixel and channel shuffles
    "vit": 12, "bert": 8,  # four of each attention: queries, keys, values and back
    "efficientvit": 8, "efficientformer_v2": 18,  # the same, and heads that are mixed around softmax
    "mobilevit_v2": 10,  # patches and back, and the shares of their pixels
    "crnn": 1, "yolo": 1,  # frequencies behind channels; the result's own order
}  # fmt: skip
NEEDED_FROM_ONNX = {**NEEDED_TRANSPOSES, "mobilevit_v2": 24}  # its group norm is exported as an instance norm


def architectures() -> ModuleType:
    """benchmarks/architectures.py, which finds the zoo beside it."""
    if "architectures" not in sys.modules:
        spec = importlib.util.spec_from_file_location("architectures", BENCHMARKS / "architectures.py")
        assert spec is not None and spec.loader is not None
        sys.modules["architectures"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["architectures"])
    return sys.modules["architectures"]


NETWORKS = sorted(architectures().zoo.networks()) if LONG else QUICK


@pytest.mark.parametrize("name", NETWORKS)
def test_from_torch(name: str) -> None:
    found = architectures().measure(architectures().zoo.networks()[name], "torch")
    assert found.refused == "" and found.error < 1e-4 and found.int8
    assert found.transposes == NEEDED_TRANSPOSES.get(name, 0)


@pytest.mark.parametrize("name", NETWORKS if LONG else QUICK[:1])
def test_from_onnx(name: str) -> None:
    pytest.importorskip("onnx")
    found = architectures().measure(architectures().zoo.networks()[name], "onnx")
    assert found.refused == "" and found.error < 1e-4 and found.int8
    assert found.transposes == NEEDED_FROM_ONNX.get(name, 0)
