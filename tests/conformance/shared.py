# SPDX-License-Identifier: Apache-2.0
"""Real models and data that lie beside the project, where they do."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MODELS, DATA = SHARED / "models", SHARED / "data"

needs_shared = pytest.mark.skipif(not MODELS.is_dir(), reason="no ../shared/models beside the project")


def tflite_models(kind: str) -> list[Path]:
    """All shared .tflite models, "int8" or "float" by their weights."""
    floats = {"ad01_fp32", "pretrainedResnet", "kws_ref_model_float32", "vww_96_float", "hello_world_float"}
    found = sorted(MODELS.glob("*/*.tflite")) if MODELS.is_dir() else []
    return [p for p in found if (p.stem in floats) == (kind == "float")]
