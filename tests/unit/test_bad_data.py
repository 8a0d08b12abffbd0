# SPDX-License-Identifier: Apache-2.0
"""Models and calibration data that cannot give a good program: refused or warned of, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite_models as models
from click.testing import CliRunner
from test_bad_input import refused
from test_cli import npz, ok
from tflite_models import Op, Tensor, constant

from edgesdk import cli

onnx = pytest.importorskip("onnx")
SHAPE = (1, 3, 8, 8)
NORM = {k: np.ones(3, np.float32) for k in ("scale", "shift", "mean", "variance")}
Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(nodes: Nodes, arrays: dict[str, np.ndarray], shape: tuple[Any, ...] = SHAPE, dtype: int = 1) -> None:
    """net.onnx, from x to y."""
    made = [onnx.helper.make_node(op, i, o, f"{op}0", **a) for op, i, o, a in nodes]
    x, y = (onnx.helper.make_tensor_value_info(n, t, s) for n, t, s in (("x", 1, SHAPE), ("y", dtype, shape)))
    given = [onnx.numpy_helper.from_array(a, k) for k, a in arrays.items()]
    domains = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("mine", 1)]
    graph = onnx.helper.make_graph(made, "net", [x], [y], given)
    Path("net.onnx").write_bytes(onnx.helper.make_model(graph, opset_imports=domains).SerializeToString())


def network(**changed: np.ndarray) -> None:
    """Two convolutions, the first of which has a dead channel: no weights, no bias."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(0, 0.3, (6, 3, 3, 3)), "b": rng.normal(0, 0.1, 6), "v": rng.normal(0, 0.3, (4, 6, 1, 1))}
    arrays["w"][2] = arrays["b"][2] = 0
    arrays = {k: a.astype(np.float32) for k, a in arrays.items()}
    nodes: Nodes = [
        ("Conv", ["x", "w", "b"], ["h"], {"pads": [1] * 4}), ("Relu", ["h"], ["r"], {}), ("Conv", ["r", "v"], ["y"], {})
    ]  # fmt: skip
    model(nodes, {**arrays, **changed}, (1, 4, 8, 8))


def images(n: int = 40, top: float = 1.0) -> np.ndarray:
    return (top * np.random.default_rng(1).random((n, *SHAPE[1:]))).astype(np.float32)


def warnings(data: np.ndarray) -> list[str]:
    result = ok(
        "convert", "net.onnx", "-o", "o.edge", "--quantize", "int8", "--calibration", npz(Path("c.npz"), x=data)
    )
    return [w for w in result["warnings"] if "constant over" not in w]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("quantised", [False, True])
def test_weights_that_are_no_numbers(value: float, quantised: bool) -> None:
    w = np.ones((4, 6, 1, 1), np.float32)
    w[1, 2] = w[3, 0] = value
    network(v=w)
    options = ["--quantize", "int8", "--calibration", npz(Path("c.npz"), x=images())] if quantised else []
    text = refused(2, "convert", "net.onnx", "-o", "o.edge", *options)
    assert "Conv0" in text and "NaN or infinite; expected finite weights" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_of_tflite_that_are_no_numbers(value: float) -> None:
    w = np.ones((2, 4), np.float32)
    w[1, 2] = value
    tensors = [Tensor("x", (1, 4), "float32"), Tensor("w", w.shape, "float32", data=w), Tensor("y", (1, 2), "float32")]
    Path("net.tflite").write_bytes(models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w", None], ["y"])]))
    text = refused(2, "convert", "net.tflite", "-o", "o.edge")
    assert "1 of 8 numbers of 'w' are NaN or infinite; expected finite weights" in text


def test_infinite_masks_are_no_weights() -> None:
    mask = np.full((1, 1, 1, 8), -np.inf, np.float32)
    mask[..., :4] = 0
    model([("Add", ["x", "mask"], ["m"], {}), ("Softmax", ["m"], ["y"], {"axis": -1})], {"mask": mask})
    data = npz(Path("c.npz"), x=images())
    ok("convert", "net.onnx", "-o", "f.edge")
    ok("convert", "net.onnx", "-o", "o.edge", "--quantize", "int8", "--calibration", data)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(value: float) -> None:
    network()
    data = images()
    data[7, 0, 3, 3] = value
    text = refused(2, *"convert net.onnx -o o.edge --quantize int8 --calibration".split(), npz(Path("c.npz"), x=data))
    assert "sample 7 of input 'x'" in text


def test_samples_so_large_that_a_layer_overflows() -> None:
    network()
    text = refused(
        2, *"convert net.onnx -o o.edge --quantize int8 --calibration".split(), npz(Path("c.npz"), x=images(40, 3e38))
    )
    assert "calibration sample 0: value" in text and "check the scaling" in text


def test_good_samples_are_not_warned_of() -> None:
    network()
    assert warnings(images()) == []


def test_samples_of_the_wrong_range_are_told_with_numbers() -> None:
    network()
    (zero,) = warnings(np.zeros((40, *SHAPE[1:]), np.float32))
    assert "of input 'x' is 0 everywhere" in zero
    (whole,) = warnings(np.rint(images(top=255)))
    assert "goes from 0 to 255 in whole numbers, like unscaled pixels" in whole and "scale the data" in whole
    (resized,) = warnings(images(top=250))
    assert "goes from 0.0" in resized and "to 24" in resized and "whole" not in resized


def test_too_few_samples() -> None:
    network()
    (few,) = warnings(images(3))
    assert "3 calibration samples are few; expected 32 or more" in few


def test_dead_channels_are_counted_and_cost_nothing_else() -> None:
    network()
    data = npz(Path("c.npz"), x=images())
    for recipe in ("int8", "int16x8", "int4", "auto", "int8+equalize+correct_bias", "int8+smooth", "w4"):
        result = ok("convert", "net.onnx", "-o", "o.edge", "--quantize", recipe, "--calibration", data)
        told = [w for w in result["warnings"] if "1 channels are constant over the calibration data" in w]
        assert len(told) == (recipe != "w4") and all("(1 of 6)" in w for w in told), recipe
        assert result["accuracy"]["outputs"][0]["rel_l2"] < 0.2, recipe


def test_custom_operators_are_named() -> None:
    model([("Fancy", ["x"], ["h"], {"domain": "mine"}), ("Odd", ["h"], ["y"], {"domain": "mine"})], {})
    text = refused(3, "convert", "net.onnx", "-o", "o.edge")
    assert "mine.Fancy ('Fancy0')" in text and "mine.Odd ('Odd0')" in text
    tensors = [Tensor("x", (1, 4), "float32"), Tensor("y", (1, 4), "float32")]
    Path("net.tflite").write_bytes(models.build(tensors, [Op("CUSTOM", ["x"], ["y"], custom="Mine")]))
    assert "Mine" in refused(3, "convert", "net.tflite", "-o", "o.edge")


SHAPELESS: dict[str, tuple[Nodes, dict[str, np.ndarray], str]] = {
    "NonZero": ([("NonZero", ["x"], ["y"], {})], {}, "NonZero 'NonZero0' (its shape depends on data"),
    "Compress": ([("Compress", ["x", "c"], ["y"], {"axis": 1})], {"c": np.array([True, False, True])}, "Compress"),
    "Unique": ([("Unique", ["x"], ["y"], {})], {}, "Unique"),
    "Range": (
        [
            ("ReduceMax", ["x"], ["m"], {"keepdims": 0}), ("Cast", ["m"], ["n"], {"to": 7}),
            ("Range", ["zero", "n", "one"], ["y"], {}),
        ],
        {"zero": np.array(0), "one": np.array(1)},
        "Range 'Range0' (its shape depends on data",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHAPELESS)
def test_shapes_that_depend_on_data(kind: str) -> None:
    nodes, arrays, message = SHAPELESS[kind]
    model(nodes, arrays, (None,), 1 if kind in ("Compress", "Unique") else 7)
    assert message in refused(3, "convert", "net.onnx", "-o", "o.edge")


def test_shapes_that_depend_on_data_in_tflite() -> None:
    tensors = [Tensor("x", (1, 4), "float32"), Tensor("y", (4, 2), "int64"), constant("c", np.zeros(1, np.int32))]
    Path("net.tflite").write_bytes(models.build(tensors, [Op("WHERE", ["x"], ["y"])]))
    assert "WHERE" in refused(3, "convert", "net.tflite", "-o", "o.edge")


TRAINING: dict[str, tuple[Nodes, dict[str, np.ndarray]]] = {
    "Dropout": ([("Dropout", ["x", "r", "t"], ["y"], {})], {"r": np.array(0.5, np.float32), "t": np.array(True)}),
    "BatchNormalization": (
        [("BatchNormalization", ["x", *NORM], ["y", "new_mean", "new_variance"], {"training_mode": 1})],
        NORM,
    ),
}


@pytest.mark.parametrize("kind", TRAINING)
def test_graphs_in_training_mode(kind: str) -> None:
    model(*TRAINING[kind])
    text = refused(3, "convert", "net.onnx", "-o", "o.edge")
    assert f"{kind} '{kind}0' (training_mode; export the model in eval mode)" in text


def test_torch_modules_in_training_mode() -> None:
    torch = pytest.importorskip("torch")
    from edgesdk import flow
    from edgesdk.errors import UsageError

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Dropout(0.5)).train()
    x = (torch.zeros(SHAPE),)
    with pytest.raises(UsageError, match=r"in training mode; call model\.eval\(\)"):
        flow.convert(net, example_inputs=x)
    with pytest.raises(UsageError, match=r"exported in training mode .* call model\.eval\(\) before torch\.export"):
        flow.convert(torch.export.export(net, x))
    assert flow.convert(net.eval(), example_inputs=x).data


def test_every_warning_is_told_whole() -> None:
    network()
    arguments = ["convert", "net.onnx", "-o", "o.edge", "--quantize", "int8"]
    result = CliRunner().invoke(cli.main, [*arguments, "--calibration", npz(Path("c.npz"), x=images(1, 255.0))])
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0 and "- 1 calibration sample is few" in text
    assert "like unscaled pixels; where the model takes 0 to 1 or -1 to 1, scale the data as in training" in text
    assert "weights_bytes" in text and "check the data or prune them" in text


def test_files_of_samples_that_are_none() -> None:
    network()
    np.save("c.npy", images())
    Path("text.npz").write_text("no zip")
    arguments = ["convert", "net.onnx", "-o", "o.edge", "--quantize", "int8", "--calibration"]
    assert "away.npz: no such file; expected an .npz file" in refused(2, *arguments, "away.npz")
    assert "c.npy: a single array, which np.savez would put" in refused(2, *arguments, "c.npy")
    assert "text.npz: not a readable .npz file" in refused(2, *arguments, "text.npz")
