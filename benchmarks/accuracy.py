# SPDX-License-Identifier: Apache-2.0
"""int8 accuracy of the MLPerf Tiny float networks by calibration method and recipe, beside their published int8 models.

    python benchmarks/accuracy.py MODELS DATA [--only kws ad] [--json OUT]

MODELS and DATA are folders named as in `cases`. Keywords: top-1 over the 1,000 labelled evaluation inputs, calibrated
on every tenth of them without its label. The other evaluation sets cannot be passed on, so that relative L2 from float
over 100 inputs is told: windows of one spectrogram that calibration did not see, crops of three pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import accuracy, compress, converters, memory, passes, probe, program, runtime, schedule
from edgesdk.compress.range_methods import METHODS
from edgesdk.compress.work import Work
from edgesdk.ir import Graph

RECIPES = ("int8", "int8+correct_bias", "int8+equalize", "int8+equalize+correct_bias")
SAMPLES = 100


@dataclass
class Case:
    """A float model, its published int8 form, samples to calibrate on and to compare on, and labels of the latter."""

    name: str
    model: Path
    published: Path
    calibration: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray | None = None


def keywords(models: Path, data: Path) -> Case:
    folder = data / "mlperf-tiny-kws01"
    raw = np.fromfile(folder / "kws01_1000x49x10_int8.bin", np.int8).reshape(1000, 49, 10, 1)
    inputs = ((raw.astype(np.float64) - 83) * np.float32(0.584702909)).astype(np.float32)
    lines = (folder / "y_labels.csv").read_text().split()
    labels = np.array([int(line.split(",")[-1]) for line in lines])
    place = models / "mlperf-tiny-kws-dscnn"
    return Case(
        "kws", place / "kws_ref_model_float32.tflite", place / "kws_ref_model.tflite", inputs[::10], inputs, labels
    )


def anomalies(models: Path, data: Path) -> Case:
    raw = np.fromfile(data / "mlperf-tiny-ad01-sample" / "normal_id_01_00000000_hist_librosa.bin", np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(raw, 640)[::128]
    place = models / "mlperf-tiny-ad-autoencoder"
    return Case(
        "ad", place / "ad01_fp32.tflite", place / "ad01_int8.tflite", windows[::2][:SAMPLES], windows[1::2][:SAMPLES]
    )


def pictures(data: Path) -> list[np.ndarray]:
    found = [np.fromfile(data / "mlperf-tiny-ic-sample" / "taxi_s_001241_chw.bin", np.uint8).reshape(3, 32, 32)]
    crops = [np.moveaxis(found[0], 0, -1).astype(np.float32)]
    for name in ("person", "no_person"):
        raw = np.fromfile(data / "mcu-parity" / f"{name}_96x96x3_int8.bin", np.int8).reshape(96, 96, 3)
        crops.append(raw.astype(np.float32) + 128)
    return crops


def crops(images: list[np.ndarray], size: int, count: int, seed: int) -> np.ndarray:
    """Random windows of at least half of a picture, perhaps mirrored, darker or brighter."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        image = images[i % len(images)]
        side = int(random.integers(image.shape[0] // 2, image.shape[0] + 1))
        top, left = random.integers(0, image.shape[0] - side + 1, 2)
        at = np.arange(size) * side // size
        crop = image[top + at][:, left + at][:, :: random.choice((-1, 1))]
        found.append(np.clip(crop * random.uniform(0.6, 1.3), 0, 255).astype(np.float32))
    return np.stack(found)


def images(models: Path, data: Path) -> Case:
    place = models / "mlperf-tiny-ic-resnet8"
    sets = [crops(pictures(data), 32, SAMPLES, seed) for seed in (0, 1)]
    return Case("ic", place / "pretrainedResnet.tflite", place / "pretrainedResnet_quant.tflite", *sets)


def persons(models: Path, data: Path) -> Case:
    place = models / "mlperf-tiny-vww-mobilenetv1"
    sets = [crops(pictures(data)[1:], 96, SAMPLES, seed) / 255 for seed in (2, 3)]
    return Case("vww", place / "vww_96_float.tflite", place / "vww_96_int8.tflite", *sets)


CASES = {"kws": keywords, "ad": anomalies, "ic": images, "vww": persons}


def outputs(graph: Graph, inputs: np.ndarray) -> list[np.ndarray]:
    """The first output of each sample on the runtime, as real numbers."""
    planned = schedule.schedule(passes.lower(graph.copy()), ("c",))
    session = runtime.open_session(program.write(program.assemble(planned, memory.plan(planned))))
    result = graph.outputs[0]
    samples = accuracy.quantised_inputs(graph, ([x.reshape(graph.inputs[0].shape)] for x in inputs))
    return [accuracy.real(result, runtime.run(session, sample)[0]) for sample in samples]


def figures(name: str, how: str, got: list[np.ndarray], expected: list[np.ndarray], labels: np.ndarray | None) -> Any:
    difference = accuracy.Difference()
    for a, b in zip(got, expected, strict=True):
        difference.add(a, b)
    correct = {} if labels is None else {"top1": accuracy.top(got, labels)[1]}
    return {"recipe": name, "calibrate": how, "rel_l2": difference.measures()["rel_l2"], **correct}


def rows(case: Case) -> Iterator[dict[str, Any]]:
    floats = passes.simplify(converters.load(case.model))
    expected = outputs(floats, case.inputs)
    yield figures("float", "", expected, expected, case.labels)
    published = passes.simplify(converters.load(case.published))
    yield figures("published int8", "", outputs(published, case.inputs), expected, case.labels)
    columns = [case.calibration.reshape(-1, *floats.inputs[0].shape)]
    for recipe in RECIPES:
        for how in METHODS:
            work = compress.apply(compress.recipe(recipe), Work(floats, columns, "int8", how, probe.run_all))
            assert work.result is not None
            yield figures(recipe, how, outputs(work.result, case.inputs), expected, case.labels)


def table(name: str, found: list[dict[str, Any]]) -> Table:
    shown = Table("recipe", "calibrate", "relative L2", "top-1", title=name, title_justify="left")
    for r in found:
        top1 = f"{100 * r['top1']:.1f} %" if "top1" in r else "-"
        shown.add_row(r["recipe"], r["calibrate"], f"{r['rel_l2']:.4f}", top1)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {}
    for name in options.only:
        result[name] = list(rows(CASES[name](options.models, options.data)))
        Console(width=120).print(table(name, result[name]))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
