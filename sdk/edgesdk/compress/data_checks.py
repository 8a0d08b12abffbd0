# SPDX-License-Identifier: Apache-2.0
"""What makes a quantised network bad before it is quantised: weights and calibration data that cannot be right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgesdk.compress.observe import Observed
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value

FEW_SAMPLES = 32
# Their constants multiply: masks and limits may be infinite.
FACTORS = (
    "conv2d transpose_conv2d depthwise_conv2d fully_connected batch_matmul mul div batch_norm layer_norm rms_norm "
    "group_norm instance_norm gather rnn lstm svdf"
).split()
LAYERS = ("conv2d", "transpose_conv2d", "depthwise_conv2d", "fully_connected")
NAMED = 3  # of the layers with dead channels


def check_weights(graph: Graph) -> None:
    """Raises UsageError naming the first constant that holds NaN or infinity."""
    for node in graph.nodes:
        for value in node.inputs:
            data = None if value is None else value.data
            if node.op in FACTORS and data is not None and data.dtype.kind == "f" and not np.isfinite(data).all():
                bad = int((~np.isfinite(data)).sum())
                name = value.name if value is not None else ""
                raise UsageError(
                    f"{node.op} {node.source!r}: {bad} of {data.size} numbers of {name!r} are NaN or infinite; "
                    f"expected finite weights, train or export the model again"
                )


def data_warnings(graph: Graph, columns: Sequence[np.ndarray]) -> list[str]:
    """What looks wrong about the calibration samples, with its numbers."""
    found = []
    if (n := len(columns[0])) < FEW_SAMPLES:
        found.append(
            f"{n} calibration {'samples are' if n > 1 else 'sample is'} few; expected {FEW_SAMPLES} or more that are "
            f"like the data on the device, about 100 are enough"
        )
    for value, column in zip(graph.inputs, columns, strict=True):
        found += range_warning(value, column)
    return found + index_warnings(graph, columns)


def range_warning(value: Value, column: np.ndarray) -> list[str]:
    low, high = float(column.min()), float(column.max())
    where = f"calibration data of input {value.name!r}"
    if low == high:
        return [f"{where} is {low:g} everywhere; expected samples like those on the device"]
    if value.dtype != "float32" and value.quant is None:
        return []  # indices
    expected = value_range(value)
    if expected is not None and (low < expected[0] - margin(expected) or high > expected[1] + margin(expected)):
        return [
            f"{where} goes from {low:g} to {high:g}, the model takes {expected[0]:g} to {expected[1]:g}; scale the data"
        ]
    whole = bool((column == np.rint(column)).all())
    if low >= 0 and 128 <= high <= 255 and (whole or is_image(value)):
        how = f"from {low:g} to {high:g}{' in whole numbers' if whole else ''}, like unscaled pixels"
        return [f"{where} goes {how}; where the model takes 0 to 1 or -1 to 1, scale the data as in training"]
    return []


def is_image(value: Value) -> bool:
    """Pixels of one, three or four channels."""
    return len(value.shape) == 4 and value.shape[-1] in (1, 3, 4) and min(value.shape[1:3]) > 1


def index_warnings(graph: Graph, columns: Sequence[np.ndarray]) -> list[str]:
    """Indices beyond the table that they point into: the device takes the last row for them."""
    found = []
    for value, column in zip(graph.inputs, columns, strict=True):
        for node in graph.nodes:
            if node.op != "gather" or node.input(1) is not value:
                continue
            rows = node.input(0).shape[node.attrs["axis"]]
            if int(column.max()) >= rows or int(column.min()) < -rows:
                found.append(
                    f"calibration data of input {value.name!r} goes from {int(column.min())} to {int(column.max())}, "
                    f"{node.source} has {rows} rows; give indices from 0 to {rows - 1}"
                )
    return found


def value_range(value: Value) -> tuple[float, float] | None:
    """What a quantised input stores; None for a float one, which takes anything."""
    if value.quant is None:
        return None
    info = np.iinfo(value.dtype)
    return value.scale * (info.min - value.zero_point), value.scale * (info.max - value.zero_point)


def margin(expected: tuple[float, float]) -> float:
    return 0.05 * (expected[1] - expected[0])


def dead_channel_warnings(graph: Graph, observed: dict[Value, Observed]) -> list[str]:
    """Layers with output channels that are the same for every input seen: work for nothing, or bad data."""
    dead = [(n, observed[n.output].dead_channels()) for n in graph.nodes if n.op in LAYERS and n.output in observed]
    dead = [(n, count) for n, count in dead if count]
    if not dead:
        return []
    named = ", ".join(f"{n.source.split(';')[0]} ({c} of {n.output.shape[-1]})" for n, c in dead[:NAMED])
    more = f" and {len(dead) - NAMED} more layers" if len(dead) > NAMED else ""
    total = sum(c for _, c in dead)
    return [f"{total} channels are constant over the calibration data: {named}{more}; check the data or prune them"]
