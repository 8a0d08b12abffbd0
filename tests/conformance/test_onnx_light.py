# SPDX-License-Identifier: Apache-2.0
"""The whole networks of the onnx package: their own outputs, and onnxruntime's with random weights."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("rich")

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
SMALL = ("shufflenet", "squeezenet")
LARGE = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "vgg19", "zfnet512")


@cache
def light() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "onnx_light.py"
    spec = importlib.util.spec_from_file_location("onnx_light", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["onnx_light"] = module
    spec.loader.exec_module(module)
    return module


def test_every_network_of_the_package_is_here() -> None:
    assert light().names() == sorted(SMALL + LARGE)


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_numbers(name: str) -> None:
    if name in LARGE and not LONG:
        pytest.skip("a large network; make test-long runs it")
    row = light().measure(name)
    assert row.stored <= 1e-4 and row.random is not None and row.random <= 1e-4
