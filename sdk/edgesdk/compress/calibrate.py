# SPDX-License-Identifier: Apache-2.0
"""The range of every value of a float graph over a calibration set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgesdk.compress.observe import Execute, Observed, by_reference, observe
from edgesdk.compress.range_methods import method
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value

Ranges = dict[Value, tuple[float, float]]
Samples = Mapping[str, Any] | Sequence[Any]
DEFAULT_METHOD = "minmax"


def calibrate(graph: Graph, samples: Samples, execute: Execute = by_reference, how: str = DEFAULT_METHOD) -> Ranges:
    """(low, high) of each float activation, chosen by the method `how` from what it takes over all samples.

    `samples` has one array per graph input, by name or in order; its first axis counts samples
    and the rest is the input's shape, with or without a batch axis of 1. Variables go on from one sample to the next.
    """
    return chosen_ranges(observe(graph, sample_lists(graph, samples), execute), how)


def chosen_ranges(observed: Mapping[Value, Observed], how: str) -> Ranges:
    choose = method(how)
    return {value: choose(o) for value, o in observed.items()}


def sample_lists(graph: Graph, samples: Samples) -> Iterator[list[np.ndarray]]:
    """One array per graph input for each sample."""
    columns = sample_arrays(graph, samples)
    return ([c[i] for c in columns] for i in range(len(columns[0])))


def sample_arrays(graph: Graph, samples: Samples) -> list[np.ndarray]:
    """One array [samples, *input shape] per graph input, in its dtype."""
    if not graph.inputs:
        raise UsageError(f"graph {graph.name!r} has no inputs to calibrate; expected at least one")
    columns = [sample_array(v, given) for v, given in zip(graph.inputs, in_order(graph, samples), strict=True)]
    counts = sorted({len(c) for c in columns})
    if len(counts) != 1:
        raise UsageError(f"calibration arrays hold {counts} samples; expected the same number for every input")
    return columns


def in_order(graph: Graph, samples: Samples) -> list[Any]:
    """The given arrays in the order of the graph's inputs: by name where all names are there."""
    names = [v.name for v in graph.inputs]
    if isinstance(samples, Mapping) and all(name in samples for name in names):
        return [samples[name] for name in names]
    given = list(samples.values() if isinstance(samples, Mapping) else samples)
    if len(given) != len(names):
        raise UsageError(f"{len(given)} calibration arrays; expected {len(names)}, one for each of {', '.join(names)}")
    return given


def sample_array(value: Value, given: Any) -> np.ndarray:
    where = f"calibration array for input {value.name!r}"
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise UsageError(f"{where} has samples of different shapes; expected {value.shape} for each") from error
    if value.quant is not None:
        raise UsageError(f"input {value.name!r} is {value.dtype}; expected a float32 graph, it is quantised already")
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{where} is {array.dtype}; expected {value.dtype}")
    if array.ndim == 0 or len(array) == 0:
        raise UsageError(f"{where} is empty; expected samples along its first axis")
    shapes = [value.shape, value.shape[1:]] if value.shape[:1] == (1,) else [value.shape]
    if array.shape[1:] not in shapes:
        wanted = " or ".join(str(["samples", *s]) for s in reversed(shapes))
        raise UsageError(f"{where} has shape {list(array.shape)}; expected {wanted}")
    array = array.reshape(-1, *value.shape)
    return whole_numbers(where, array, value.dtype) if value.dtype != "float32" else finite_numbers(where, value, array)


def whole_numbers(where: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """Indices or truth values, which floats may hold as well."""
    with np.errstate(invalid="ignore"):
        found = array.astype(dtype)
    wrong = found != array
    if wrong.any():
        raise UsageError(f"{where} holds {array[wrong][0]}; expected numbers of type {dtype}")
    return found


def finite_numbers(where: str, value: Value, array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        raise UsageError(
            f"{where}: sample {int(finite.argmin())} of input {value.name!r} holds NaN or infinity; "
            f"expected finite numbers, clean the samples"
        )
    return array
