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
QUICK = ("ds_cnn", "tcn")
NEEDED_TRANSPOSES = {"espcn": 1, "shufflenet_v2": 16}  # pixel and channel shuffles


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
    assert found.transposes == NEEDED_TRANSPOSES.get(name, 0)
