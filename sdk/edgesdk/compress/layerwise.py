# SPDX-License-Identifier: Apache-2.0
"""A float network and its quantised form walked side by side over calibration samples, weighted layer by weighted
layer: what changes the weights of a layer sees the inputs that the layers before it, changed already, really give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgesdk import ops
from edgesdk.ir import Graph, Node, Value
from edgesdk.ops import conv2d, transpose_conv2d

READS_NARROW = ("conv2d", "transpose_conv2d", "depthwise_conv2d", "fully_connected")
MOST_ROWS = 4096  # windows that are looked at per layer, over all samples
Arrays = dict[Value, np.ndarray]


@dataclass(eq=False)
class Walk:
    """Runs a graph node by node, each for all samples; drops values that nobody reads any more."""

    graph: Graph
    live: list[Arrays]
    at: int = 0
    last_use: dict[Value, int] = field(default_factory=dict)

    @staticmethod
    def start(graph: Graph, samples: Sequence[Sequence[np.ndarray]]) -> Walk:
        """Variables hold their first contents in every sample."""
        live = [{**dict(zip(graph.inputs, s, strict=True)), **graph.state()} for s in samples]
        last = {v: i for i, n in enumerate(graph.nodes) for v in n.inputs if v is not None}
        return Walk(graph, live, 0, last)

    def to(self, node: Node) -> None:
        """Runs everything before `node`."""
        while self.graph.nodes[self.at] is not node:
            self.step()

    def step(self) -> None:
        node = self.graph.nodes[self.at]
        for arrays in self.live:
            inputs = [None if v is None else v.data if v.data is not None else arrays[v] for v in node.inputs]
            arrays.update(zip(node.outputs, ops.module(node.op).reference(node, inputs), strict=True))
            for v in node.inputs:
                if v is not None and self.last_use.get(v) == self.at:
                    arrays.pop(v, None)
        self.at += 1

    def real(self, value: Value) -> list[np.ndarray]:
        """The value's numbers, sample by sample, as the reals that they stand for."""
        arrays = [a[value] for a in self.live]
        if value.quant is None:
            return arrays
        return [((a.astype(np.float64) - value.zero_point) * value.scale).astype(np.float32) for a in arrays]


@dataclass(eq=False)
class Layer:
    """One weighted layer in both forms. Rows of inputs: [problems, rows, K], of a depthwise layer a problem for each
    input channel, else one for each group; K is the window that an output sums up. `float_rows` and `rows` are the
    same windows."""

    floats: Node
    node: Node
    float_rows: np.ndarray
    rows: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """The float weights as [problems, outputs of each, K], float64."""
        return as_rows(self.floats.op, data_of(self.floats), self.rows.shape[0])


def reads_narrow(node: Node) -> bool:
    """Whether the layer may have weights of 4 bits, and small ones beside floats. Those of a transposed convolution are
    stored two in a byte only where its taps end with bytes."""
    return node.op in READS_NARROW and (node.op != "transpose_conv2d" or node.input(1).shape[3] % 2 == 0)


def data_of(node: Node) -> np.ndarray:
    data = node.input(1).data
    assert data is not None, node.source
    return data


def as_rows(op: str, w: np.ndarray, problems: int) -> np.ndarray:
    if op == "depthwise_conv2d":
        return w.reshape(-1, problems, w.shape[2] // problems).transpose(1, 2, 0).astype(np.float64)
    return w.reshape(problems, w.shape[0] // problems, -1).astype(np.float64)


def from_rows(op: str, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `as_rows`."""
    if op == "depthwise_conv2d":
        return rows.transpose(2, 0, 1).reshape(shape)
    return rows.reshape(shape)


def layers(floats: Graph, result: Graph, samples: Sequence[Sequence[np.ndarray]]) -> Iterator[Layer]:
    """Every layer in order whose weights may be narrow. The caller may replace the weights of `node` before it asks
    for the next one."""
    before, after = (Walk.start(g, s) for g, s in ((floats, samples), (result, quantised_samples(result, samples))))
    pairs = zip(*([n for n in g.nodes if reads_narrow(n)] for g in (floats, result)), strict=True)
    for i, (a, b) in enumerate(pairs):
        before.to(a)
        after.to(b)
        rng = np.random.default_rng(i)
        places = [picked(a, len(samples), rng) for _ in samples]
        yield Layer(a, b, *(gathered(n, walk.real(n.input(0)), places) for n, walk in ((a, before), (b, after))))


def quantised_samples(graph: Graph, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
    return [[stored(v, x) for v, x in zip(graph.inputs, s, strict=True)] for s in samples]


def stored(value: Value, x: np.ndarray) -> np.ndarray:
    if value.quant is None:
        return x
    info = np.iinfo(value.dtype)
    steps = np.rint(x.astype(np.float64) / value.scale) + value.zero_point
    return np.clip(steps, info.min, info.max).astype(value.dtype)


def problems(node: Node) -> int:
    return node.input(0).shape[-1] if node.op == "depthwise_conv2d" else int(node.attrs.get("groups", 1))


def weight_rows(node: Node) -> int:
    return node.output.shape[-1]


def picked(node: Node, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Some of the output's places, numbered through."""
    places = node.output.elements // node.output.shape[-1]
    wanted = max(1, MOST_ROWS // n_samples)
    return np.arange(places) if places <= wanted else np.sort(rng.choice(places, wanted, replace=False))


def gathered(node: Node, xs: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> np.ndarray:
    """The windows at those places of all samples, as `Layer` has them."""
    if not xs:
        return np.zeros((problems(node), 0, node.input(1).elements // weight_rows(node)), np.float32)
    if node.op == "fully_connected":
        return np.concatenate([x.reshape(-1, x.shape[-1])[p] for x, p in zip(xs, places, strict=True)])[None]
    found = np.concatenate([windows(node, x, p) for x, p in zip(xs, places, strict=True)])  # [rows, KH, KW, I]
    if node.op != "depthwise_conv2d":
        parts = found.reshape(len(found), found.shape[1] * found.shape[2], problems(node), -1)
        return np.ascontiguousarray(parts.transpose(2, 0, 1, 3)).reshape(problems(node), len(found), -1)
    return np.ascontiguousarray(found.reshape(len(found), -1, found.shape[3]).transpose(2, 0, 1))


def windows(node: Node, x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What the outputs at those places sum up."""
    if node.op == "transpose_conv2d":
        return spread_windows(node, x, places)
    shape = node.input(1).shape
    kernel = shape[1:3] if node.op == "conv2d" else shape[:2]
    found = conv2d.windows(node, x, (kernel[0], kernel[1]), 0.0)
    return np.asarray(found[np.unravel_index(places, found.shape[:3])])


def spread_windows(node: Node, x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of a transposed convolution: the input that each tap brings to the output, 0 for a tap that brings none."""
    image, *at = np.unravel_index(places, node.output.shape[:3])
    indices, meets = [], []
    for axis in (0, 1):
        taps = np.arange(node.input(1).shape[1 + axis]) * transpose_conv2d.dilation(node)[axis]
        ahead = at[axis][:, None] + node.attrs["padding"][axis] - taps
        index = ahead // node.attrs["stride"][axis]
        meets.append((ahead % node.attrs["stride"][axis] == 0) & (0 <= index) & (index < x.shape[1 + axis]))
        indices.append(np.clip(index, 0, x.shape[1 + axis] - 1))
    found = x[image[:, None, None], indices[0][:, :, None], indices[1][:, None, :]]
    return np.where(meets[0][:, :, None, None] & meets[1][:, None, :, None], found, np.float32(0))
