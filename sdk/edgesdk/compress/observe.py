# SPDX-License-Identifier: Apache-2.0
"""What every float value of a graph takes over a calibration set, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edgesdk import ops
from edgesdk.compress.histogram import Histogram
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value

Arrays = dict[Value, np.ndarray]
# The arrays of every value, sample by sample, in the order of the samples.
Execute = Callable[[Graph, Iterable[list[np.ndarray]]], Iterator[Arrays]]
MOMENTUM = 0.9  # of the moving average


@dataclass(eq=False)
class Observed:
    """Extremes over all samples, their moving averages over samples in order, the histogram, and of each channel
    (last axis) extremes and mean."""

    low: float = np.inf
    high: float = -np.inf
    average: tuple[float, float] | None = None
    histogram: Histogram = field(default_factory=Histogram)
    channel_low: np.ndarray | None = None
    channel_high: np.ndarray | None = None
    channel_mean: np.ndarray | None = None
    samples: int = 0

    def add(self, array: np.ndarray) -> None:
        columns = array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
        lows, highs = columns.min(0), columns.max(0)
        self.channel_low = lows if self.channel_low is None else np.minimum(lows, self.channel_low)
        self.channel_high = highs if self.channel_high is None else np.maximum(highs, self.channel_high)
        means = columns.mean(0, np.float64)
        self.samples += 1
        before_mean = 0.0 if self.channel_mean is None else self.channel_mean
        self.channel_mean = before_mean + (means - before_mean) / self.samples
        low, high = float(lows.min()), float(highs.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        before = self.average or (low, high)
        self.average = (moved(before[0], low), moved(before[1], high))
        self.histogram.add(array)

    def dead_channels(self) -> int:
        """Channels with one value, other than zero or not, in every place of every sample."""
        if self.channel_low is None or self.channel_high is None or self.channel_low.size == 1:
            return 0
        return int((self.channel_low == self.channel_high).sum())


def moved(average: float, value: float) -> float:
    return MOMENTUM * average + (1 - MOMENTUM) * value


def by_reference(graph: Graph, samples: Iterable[list[np.ndarray]]) -> Iterator[Arrays]:
    """The numpy reference of every node. Variables go on from one sample to the next."""
    state = graph.state()
    return (ops.evaluate(graph, sample, state) for sample in samples)


def observe(
    graph: Graph, samples: Iterable[list[np.ndarray]], execute: Execute = by_reference
) -> dict[Value, Observed]:
    """Every float activation of the graph. Raises UsageError where one is not finite."""
    found: dict[Value, Observed] = {}
    for i, arrays in enumerate(execute(graph, samples)):
        for value, array in arrays.items():
            if value.dtype == "float32" and value.data is None:
                check_finite(value, array, i)
                found.setdefault(value, Observed()).add(array)
    return found


def check_finite(value: Value, array: np.ndarray, sample: int) -> None:
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UsageError(
            f"calibration sample {sample}: value {value.name!r} becomes {low} ... {high}; "
            f"expected finite numbers, check the scaling of the samples"
        )
