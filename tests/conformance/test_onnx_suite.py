# SPDX-License-Identifier: Apache-2.0
"""ONNX's own operator tests: what passed keeps passing. `onnx_passing.txt` is written by
`python benchmarks/onnx_suite.py --write-passing tests/conformance/onnx_passing.txt`."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("onnx")
pytest.importorskip("rich")

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
EVERY = 24  # of the tests, in the default profile
HERE = Path(__file__).parent


@cache
def suite() -> ModuleType:
    path = HERE.parents[1] / "benchmarks" / "onnx_suite.py"
    spec = importlib.util.spec_from_file_location("onnx_suite", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["onnx_suite"] = module
    spec.loader.exec_module(module)
    return module


@cache
def cases() -> list[Any]:
    found: list[Any] = suite().cases(suite().KINDS)
    return found


def test_what_passed_still_passes() -> None:
    names = (HERE / "onnx_passing.txt").read_text().split()
    wanted = set(names if LONG else names[::EVERY])
    runner = suite()
    found = [c for c in cases() if c.name in wanted]
    assert len(names) >= 1300 and len(found) > 0.9 * len(wanted)  # other versions of onnx have other tests
    failed = {o.name: o.problem for o in runner.run_all(found) if o.problem}
    assert not failed


def test_a_wrong_result_is_noticed() -> None:
    runner = suite()
    case = next(c for c in cases() if c.name == "test_relu")
    assert not runner.run_case(case).problem
    case.sets = [(given, [expected[0] + 1e-2]) for given, expected in case.sets]
    assert runner.run_case(case).problem.startswith("wrong")
