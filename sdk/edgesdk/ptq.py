# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation as `convert` asks for it: calibration on the runtime, the recipe, and how far the layers
are from float then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk import accuracy, compress, probe, samples
from edgesdk.compress import data_checks
from edgesdk.compress.calibrate import sample_arrays
from edgesdk.compress.range_methods import SEARCHING, method
from edgesdk.compress.schemes import SCHEMES, WEIGHTED, left_in_float
from edgesdk.compress.work import Work
from edgesdk.compress.write_integers import TOO_NOISY
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value
from edgesdk.samples import InputSpec

BITS = {"int4": 4, "int8": 8, "int16": 16, "float16": 16, "float32": 32}
BYTE_SCHEMES = ("int8", "int4", "auto")  # of int8 activations
# By benchmarks/accuracy.py; of 16 bits none is needed to make the steps finer.
DEFAULT_METHODS = {**dict.fromkeys(BYTE_SCHEMES, "mse"), "int16x8": "headroom"}
Calibration = str | Path | Mapping[str, Any] | Iterable[Any]


@dataclass(eq=False)
class Quantised:
    """`graph` is the quantised network, `work` what led to it, `layers` the differences from float, `left` why the
    sources of some nodes compute in float."""

    graph: Graph
    recipe: str
    work: Work
    layers: list[dict[str, Any]]
    warnings: list[str]
    left: dict[str, str]


def quantise(
    graph: Graph,
    recipe: str,
    calibration: Calibration | None,
    how: str | None,
    specs: Sequence[InputSpec],
    progress: Callable[[str], None] = lambda stage: None,
    **more: Any,
) -> Quantised:
    """`more`: further fields of Work. Without a calibration (weights only) there are no samples.

    Raises UsageError for weights or samples that are not finite, Unsupported for ops without an integer form."""
    chosen = compress.recipe(recipe)
    how = checked_method(how, chosen)
    data_checks.check_weights(graph)
    columns = [] if calibration is None else sample_arrays(graph, read(calibration, specs))
    progress("calibrate")
    work = compress.apply(chosen, Work(graph, columns, chosen.scheme, how, probe.run_all, **more))
    assert work.result is not None
    warnings = data_checks.data_warnings(graph, columns) if columns else []
    warnings += data_checks.dead_channel_warnings(work.floats, work.observed)
    progress("compare")
    layers = compared(work) if columns else []
    return Quantised(work.result, chosen.name, work, layers, warnings, reasons(work, chosen))


def reasons(work: Work, recipe: compress.Recipe) -> dict[str, str]:
    """Source of a node -> why it stays in float."""
    if recipe.scheme in compress.WEIGHTS_ONLY:
        return {n.source: f"{recipe.scheme} changes weights only" for n in work.floats.nodes}
    scheme = SCHEMES["int16x8" if recipe.scheme == "int16x8" else "int8"]
    raised = {n.source: TOO_NOISY for n in work.floats.nodes if work.raised.get(n.output) == "float32"}
    return raised | {n.source: why for n, why in left_in_float(work.floats, scheme).items()}


def checked_method(how: str | None, recipe: compress.Recipe) -> str:
    """The calibration method asked for, or the scheme's own."""
    if how is None:
        return DEFAULT_METHODS.get(recipe.scheme, "minmax")
    method(how)
    if how in SEARCHING and recipe.scheme not in BYTE_SCHEMES:
        raise UsageError(f"--calibrate {how} searches for ranges of 256 steps; expected another with {recipe.scheme}")
    return how


def compared(work: Work) -> list[dict[str, Any]]:
    assert work.result is not None
    taken = [[c[i] for c in work.columns] for i in accuracy.chosen(work.floats, len(work.columns[0]))]
    return accuracy.layers(work.floats, work.result, taken, list(accuracy.quantised_inputs(work.result, taken)))


def read(calibration: Calibration, specs: Sequence[InputSpec]) -> dict[str, list[np.ndarray]]:
    """An array of samples per input: from a file or a folder, a dict of arrays, or anything that yields samples."""
    if isinstance(calibration, str | Path):
        sets = samples.load(Path(calibration), specs)
        return {s.name: [item[i] for item in sets] for i, s in enumerate(specs)}
    if isinstance(calibration, Mapping):
        return dict(calibration)
    items = [in_order(item, specs) for item in calibration]
    if not items:
        raise UsageError("calibration yields no samples; expected one array per model input for each")
    return {s.name: [item[i] for item in items] for i, s in enumerate(specs)}


def in_order(item: Any, specs: Sequence[InputSpec]) -> list[Any]:
    """One sample: an array, a tuple of arrays, or a dict by name."""
    if isinstance(item, Mapping):
        missing = [s.name for s in specs if s.name not in item]
        if missing:
            raise UsageError(f"a calibration sample lacks {', '.join(missing)}; expected an array per model input")
        return [item[s.name] for s in specs]
    given = list(item) if isinstance(item, tuple | list) and len(specs) > 1 else [item]
    if len(given) != len(specs):
        raise UsageError(f"a calibration sample of {len(given)} arrays; expected {len(specs)}")
    return given


def report(q: Quantised, outputs: Sequence[str]) -> dict[str, Any]:
    """The "accuracy" of `edgesdk convert`'s JSON: the differences from float on some of the calibration samples."""
    count = len(q.work.columns[0]) if q.work.columns else 0
    names = {accuracy.plain_name(name) for name in outputs}
    return {
        "recipe": q.recipe,
        "calibrate": q.work.how,
        "calibration_samples": count,
        "samples": len(accuracy.spread(count)),
        "outputs": [row for row in q.layers if accuracy.plain_name(row["name"]) in names],
        "layers": q.layers,
        "worst_layer": accuracy.worst(q.layers),
        "weight_bits": weight_bits(q.graph),
        "activation_bits": activation_bits(q.graph),
    }


def activation_bits(graph: Graph) -> dict[str, int]:
    """How many layers with weights read activations of so many bits."""
    return counted([n.input(0) for n in graph.nodes if n.op in WEIGHTED])


def counted(values: Sequence[Value]) -> dict[str, int]:
    found = [BITS[v.dtype] for v in values if v.dtype in BITS]
    return {str(bits): found.count(bits) for bits in sorted(set(found))}


def weight_bits(graph: Graph) -> dict[str, int]:
    """How many layers have weights of so many bits."""
    return counted([n.input(1) for n in graph.nodes if n.op in WEIGHTED])
