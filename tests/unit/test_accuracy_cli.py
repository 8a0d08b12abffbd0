# SPDX-License-Identifier: Apache-2.0
"""What convert and validate tell about accuracy: keys, warnings, gates, pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import DIGITS, needs_onnx, npz, ok, refused
from test_html import parsed

MEASURES = {"name", "op", "source", "dtype", "rel_l2", "cosine", "sqnr_db", "saturated"}

pytestmark = needs_onnx


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return npz(tmp_path / "data.npz", image=np.random.default_rng(2).random((40, 1, 8, 8), np.float32))


def convert(tmp_path: Path, data: Path, *options: object) -> dict[str, Any]:
    return ok("convert", DIGITS, "-o", tmp_path / "d.edge", "--quantize", "int8", "--calibration", data, *options)


def test_convert_tells_each_layer(tmp_path: Path, data: Path) -> None:
    result = convert(tmp_path, data)
    a = result["accuracy"]
    assert a["recipe"] == "int8" and a["calibrate"] == "mse" and (a["calibration_samples"], a["samples"]) == (40, 16)
    assert all(set(row) == MEASURES for row in a["layers"]) and len(a["layers"]) >= 4
    assert [o["name"] for o in a["outputs"]] == [a["layers"][-1]["name"]]
    assert a["worst_layer"] == max(a["layers"], key=lambda r: r["rel_l2"]) and a["worst_layer"]["rel_l2"] < 0.2
    assert result["float_layers"] == [] and "accuracy" not in ok("convert", DIGITS, "-o", tmp_path / "f.edge")


def test_what_stays_in_float_is_listed_with_its_reason(tmp_path: Path) -> None:
    result = ok("convert", DIGITS, "-o", tmp_path / "f.edge")
    assert {"conv2d", "fully_connected"} <= {r["op"] for r in result["float_layers"]}
    assert all(r["reason"] for r in result["float_layers"])


@pytest.mark.parametrize("recipe", ["int8", "int8+equalize", "int8+equalize+correct_bias"])
def test_validate_compares_with_the_network_that_was_quantised(tmp_path: Path, data: Path, recipe: str) -> None:
    converted = ok("convert", DIGITS, "-o", tmp_path / "d.edge", "--quantize", recipe, "--calibration", data)
    result = ok("validate", tmp_path / "d.edge", "--against", DIGITS, "--data", data)
    told = {r["name"]: r["rel_l2"] for r in converted["accuracy"]["layers"]}
    assert {r["name"] for r in result["layers"]} <= set(told) and len(result["layers"]) >= 3
    for row in result["layers"]:
        assert row["rel_l2"] == pytest.approx(told[row["name"]], rel=1e-3), "both tell the same of the same samples"
    assert result["worst_layer"] in result["layers"]


@pytest.mark.parametrize("method", ["minmax", "headroom", "moving-average", "percentile", "mse", "entropy"])
def test_methods_by_name(tmp_path: Path, data: Path, method: str) -> None:
    assert convert(tmp_path, data, "--calibrate", method)["accuracy"]["calibrate"] == method


def test_labels_give_top_1_and_top_5(tmp_path: Path, data: Path) -> None:
    labels = tmp_path / "l.txt"
    labels.write_text("\n".join(str(i % 10) for i in range(40)))
    result = convert(tmp_path, data, "--labels", labels, "--max-drop", "100")
    assert 0 <= result["top1"]["program"] <= result["top5"]["program"] <= 1
    checked = ok("validate", tmp_path / "d.edge", "--against", DIGITS, "--data", data, "--labels", labels)
    assert (checked["top1"], checked["top5"]) == (result["top1"]["program"], result["top5"]["program"])
    assert checked["top5_reference"] == result["top5"]["reference"]


def test_the_gate_leaves_no_file(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgesdk import validate

    labels = tmp_path / "l.txt"
    labels.write_text("0\n" * 40)
    found = {"top1": {"program": 0.7, "reference": 0.9}}
    monkeypatch.setattr(validate, "accuracy", lambda *_: found)
    edge, page = tmp_path / "gate.edge", tmp_path / "gate.html"
    gate = ["--quantize", "int8", "--calibration", data, "--labels", labels, "--max-drop", "5", "--html", page]
    text = refused(5, "convert", DIGITS, "-o", edge, *gate)
    assert "top-1 drops by 20.00 points (farthest from float: " in text
    assert not edge.exists() and not page.exists()


def test_the_gate_of_validate(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgesdk import validate

    convert(tmp_path, data)
    labels = tmp_path / "l.txt"
    labels.write_text("0\n" * 40)
    against = ["validate", tmp_path / "d.edge", "--against", DIGITS, "--data", data]
    assert "--max-drop needs --labels" in refused(2, *against, "--max-drop", "1")
    monkeypatch.setattr(validate, "tops", lambda *_: {1: (0.5, 0.9)})
    ok(*against, "--labels", labels, "--max-drop", "41")
    assert "top-1 drops by 40.00 points" in refused(5, *against, "--labels", labels, "--max-drop", "39")


def test_pages_hold_what_the_json_says(tmp_path: Path, data: Path) -> None:
    result = convert(tmp_path, data, "--html", tmp_path / "c.html")
    page = (tmp_path / "c.html").read_text()
    text = parsed(page)
    assert f"{result['accuracy']['worst_layer']['rel_l2']:.3g}" in text and "Distributions, worst layers first" in text
    assert page.count("covered") > len(result["accuracy"]["layers"]) and "activations" in text and "weights" in text
    checked = ok(*("validate", tmp_path / "d.edge", "--against", DIGITS, "--data", data, "--html", tmp_path / "v.html"))
    assert f"{checked['worst_layer']['rel_l2']:.3g}" in parsed((tmp_path / "v.html").read_text())


WARNED = {
    "zero": (np.zeros((40, 1, 8, 8)), "is 0 everywhere"),
    "pixels": (np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8)), "from 0 to 255 in whole numbers"),
    "few": (np.random.default_rng(0).random((3, 1, 8, 8)), "3 calibration samples are few"),
}


@pytest.mark.parametrize("case", WARNED)
def test_suspicious_data_is_warned_of(tmp_path: Path, case: str) -> None:
    array, message = WARNED[case]
    result = convert(tmp_path, npz(tmp_path / "w.npz", image=array.astype(np.float32)))
    assert any(message in w for w in result["warnings"])


def test_data_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    x = np.ones((4, 1, 8, 8), np.float32)
    x[3, 0, 2, 2] = np.nan
    bad = npz(tmp_path / "n.npz", image=x)
    text = refused(2, "convert", DIGITS, "-o", tmp_path / "x.edge", "--quantize", "int8", "--calibration", bad)
    assert "sample 3 of input" in text and not (tmp_path / "x.edge").exists()


REFUSED = {
    "method": ["--calibrate", "median"],
    "recipe": ["--quantize", "int8+magic"],
    "page": ["--quantize", "none", "--labels", "l.txt", "--max-drop", "1", "--html", "x.html"],
    "pixels": ["--pixels", "1"],
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_options_are_exit_2(tmp_path: Path, data: Path, case: str) -> None:
    options = ["--quantize", "int8", "--calibration", data, *REFUSED[case]]
    assert "expected" in refused(2, "convert", DIGITS, "-o", tmp_path / "x.edge", *options).replace("add", "expected")


def test_a_folder_of_images_calibrates(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(1)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(33):
        image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    result = convert(tmp_path, folder, "--pixels", "0,1:0.1:0.9")
    assert result["warnings"] == [] or all("samples" not in w for w in result["warnings"])
    assert result["accuracy"]["calibration_samples"] == 33
    checked = ok("validate", tmp_path / "d.edge", "--against", DIGITS, "--data", folder)
    assert checked["samples"] == 33 and checked["outputs"][0]["rel_l2"] < 0.2
