# SPDX-License-Identifier: Apache-2.0
"""What the methods of a recipe hand on from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from edgesdk.compress.calibrate import DEFAULT_METHOD, Ranges
from edgesdk.compress.observe import Execute, Observed, by_reference
from edgesdk.ir import Graph, Value


@dataclass(eq=False)
class Work:
    """`floats` is the network that is quantised: methods may change its weights, not what it computes. `columns` are
    the calibration samples, an array per input. `result` is the quantised network, as soon as there is one.
    `group`: int4 weights that share a factor, 0 for a channel's. `flash`: what the file may take by "auto", which
    asks `file_bytes` what a network takes; `latency_us` what a run of it may take, which `estimate` tells (None where
    the board has no cost model). `widths`: the bits that layers got, by their number; `raised`: the nodes that compute
    in 16 bits or float by that, by their outputs."""

    floats: Graph
    columns: list[np.ndarray]
    scheme: str = "int8"
    how: str = DEFAULT_METHOD
    execute: Execute = by_reference
    observed: dict[Value, Observed] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    result: Graph | None = None
    group: int = 0
    flash: int | None = None
    file_bytes: Callable[[Graph], int] | None = None
    latency_us: float | None = None
    estimate: Callable[[Graph], float | None] | None = None
    widths: dict[int, int] = field(default_factory=dict)
    raised: dict[Value, str] = field(default_factory=dict)

    def samples(self) -> Iterator[list[np.ndarray]]:
        return ([c[i] for c in self.columns] for i in range(len(self.columns[0]) if self.columns else 0))
