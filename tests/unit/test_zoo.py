# SPDX-License-Identifier: Apache-2.0
"""Whole networks from PyTorch and ONNX run as PyTorch runs them, without transpositions left over."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sketch import Sketch

from edgesdk import converters, passes
from edgesdk.errors import UsageError
from edgesdk.ir import Graph

pytest.importorskip("torch")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
QUICK = ("ds_cnn", "tcn", "gru", "conv_autoencoder_transposed", "bert")


def architectures() -> ModuleType:
    """benchmarks/architectures.py, which finds the zoo beside it."""
    if "architectures" not in sys.modules:
        spec = importlib.util.spec_from_file_location("architectures", BENCHMARKS / "architectures.py")
        assert spec is not None and spec.loader is not None
        sys.modules["architectures"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["architectures"])
    return sys.modules["architectures"]


NETWORKS = sorted(architectures().zoo.networks())
MEASURED = NETWORKS if LONG else QUICK


def check(name: str, importer: str) -> None:
    found = architectures().measure(architectures().zoo.networks()[name], importer)
    assert found.refused == "" and found.error < 1e-4 and found.int8
    assert found.moves == sum(architectures().NEEDED.get(name, {}).values())
    assert (found.batch_norms, found.activations) == (0, 0)


@pytest.mark.parametrize("name", MEASURED)
def test_from_torch(name: str) -> None:
    check(name, "torch")


@pytest.mark.parametrize("name", NETWORKS if LONG else QUICK[:1])
def test_from_onnx(name: str) -> None:
    pytest.importorskip("onnx")
    check(name, "onnx")


@pytest.mark.parametrize(
    ("name", "importer"),
    [("mobilevit_v2", "onnx"), ("efficientformer_v2", "torch"), ("shufflenet_v2", "onnx"), ("crnn", "onnx")],
)
def test_only_needed_moves_are_left(name: str, importer: str) -> None:
    """The networks that once kept others; the long profile measures all of them from both."""
    pytest.importorskip(importer)
    bench = architectures()
    net = bench.zoo.networks()[name]
    with bench.source(net, bench.zoo.module(net), importer) as model:
        simple = passes.simplify(converters.load(model))
    left = [n.op for n in simple.nodes]
    assert left.count("transpose") == sum(bench.NEEDED.get(name, {}).values())
    assert left.count("batch_norm") == bench.unfused_activations(simple) == 0


def relu_behind(op: str, read_twice: bool = False) -> Graph:
    s = Sketch((1, 4, 4, 3))
    y = s.op(op, s.inputs[0], s.constant(3, 1, 1, 3)) if op == "conv2d" else s.op(op, s.inputs[0])
    return s.graph(s.op("relu", y), *([y] if read_twice else []))


def test_unfused_activations_are_seen() -> None:
    unfused = architectures().unfused_activations
    assert unfused(relu_behind("conv2d")) == 1
    assert unfused(relu_behind("conv2d", read_twice=True)) == unfused(relu_behind("tanh")) == 0
    assert unfused(passes.simplify(relu_behind("conv2d"))) == 0


def test_the_table_is_replaced_where_it_stands(tmp_path: Path) -> None:
    bench = architectures()
    page = tmp_path / "page.md"
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n")
    found = [bench.Result("vit", i, n, 12, 0, 0, 2e-7, True) for i, n in (("torch", 80), ("onnx", 86))]
    bench.write_table(page, bench.markdown(found))
    text = page.read_text()
    assert text.startswith(f"before\n{bench.BEGIN}\n| network |") and text.endswith(f"|\n{bench.END}\nafter\n")
    assert f"| vit | 80 | 86 | 12 | 12 | {bench.HEADS} | 0 | 2.0e-07 | equal |" in text and "old" not in text


def test_a_page_without_a_table_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(UsageError, match="holds no table to replace"):
        architectures().write_table(page, "")
