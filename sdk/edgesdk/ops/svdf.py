# SPDX-License-Identifier: Apache-2.0
"""A layer of filters with a memory (TFLite SVDF). x [B,I], w_feature [F,I], w_time [F,M], b [F / rank] or None,
state [B, F * M]; outputs y [B, F / rank] and the new state.

attrs: rank, activation. Integers: x and w_feature int8, w_time and state int8 or int16. As in TFLite Micro an integer
layer clamps to int8 only, whatever its activation.
"""

from __future__ import annotations

import numpy as np

from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, f32_word, fixedpoint


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, feature, time, state = (node.input(i) for i in (0, 1, 2, 4))
    rank = node.attrs["rank"]
    if any(len(v.shape) != 2 for v in (x, feature, time, state)) or feature.shape[1] != x.shape[1]:
        raise ValueError(f"expected x [B,I], weights [F,I] and [F,M], state [B,F*M], found {x.shape}, {feature.shape}")
    filters, memory = time.shape
    if rank < 1 or filters % rank or filters != feature.shape[0] or state.shape != (x.shape[0], filters * memory):
        raise ValueError(
            f"expected state {(x.shape[0], filters * memory)}, a rank that divides {filters}, found {rank}"
        )
    if state.dtype != time.dtype or feature.dtype != x.dtype or (x.dtype == "float32") != (time.dtype == "float32"):
        raise ValueError(f"expected state and time weights of one type, found {state.dtype} and {time.dtype}")
    return [((x.shape[0], filters // rank), x.dtype), (state.shape, state.dtype)]


def states(node: Node) -> dict[int, int]:
    return {1: 4}


def scales(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """(multiplier, shift) of features and of outputs; TFLite forms the ratios in float32."""
    x, feature, time, state, y = (*(node.input(i) for i in (0, 1, 2, 4)), node.output)
    first = np.float32(x.scale) * np.float32(feature.scale) / np.float32(state.scale)
    second = np.float32(state.scale) * np.float32(time.scale) / np.float32(y.scale)
    return fixedpoint.quantize_multiplier(float(first)), fixedpoint.quantize_multiplier(float(second))


def _bias(node: Node) -> np.ndarray:
    b, units = node.optional(3), node.output.shape[1]
    if b is None or b.data is None:
        return np.zeros(units, np.float32 if node.output.dtype == "float32" else np.int64)
    return b.data.astype(np.float32 if node.output.dtype == "float32" else np.int64)


def _features(node: Node, x: np.ndarray) -> np.ndarray:
    feature, state = node.input(1).data, node.input(4)
    assert feature is not None
    if x.dtype == np.float32:
        return (x.astype(np.float64) @ feature.T.astype(np.float64)).astype(np.float32)
    info = np.iinfo(state.dtype)
    sums = (x.astype(np.int64) - node.input(0).zero_point) @ feature.T.astype(np.int64)
    clamped = np.clip(fixedpoint.requantize(sums, *scales(node)[0]), info.min, info.max)
    return (clamped + state.zero_point).astype(state.dtype)  # wraps


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, _, time, _, old = arrays
    filters, memory = time.shape
    state = np.concatenate(
        [old.reshape(-1, filters, memory)[:, :, 1:], _features(node, x)[:, :, None]], axis=2, dtype=old.dtype
    )
    wide = np.float64 if x.dtype == np.float32 else np.int64
    zero_point = node.input(4).zero_point
    products = (state.astype(wide) - zero_point) * time.astype(wide)
    sums = products.reshape(x.shape[0], -1, node.attrs["rank"] * memory).sum(2) + _bias(node)
    return [_finish(node, sums), state.reshape(old.shape)]


def _finish(node: Node, sums: np.ndarray) -> np.ndarray:
    if node.output.dtype == "float32":
        return np.clip(sums, *fixedpoint.float_range(node.attrs["activation"])).astype(np.float32)
    scaled = fixedpoint.requantize(fixedpoint.wrap32(sums), *scales(node)[1])
    return np.clip(scaled + node.output.zero_point, -128, 127).astype(np.int8)


def types(node: Node) -> str:
    return {"float32": "f32", "int8": "s8s8", "int16": "s8s16"}[node.input(4).dtype]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, feature, time, state, y = (*(node.input(i) for i in (0, 1, 2, 4)), node.output)
    layer: list[int | np.ndarray | None] = [x.shape[1], y.shape[1], node.attrs["rank"], time.shape[1]]
    layer += [feature.data, time.data]
    rest = _float_words(node) if y.dtype == "float32" else _integer_words(node)
    views = [RowView(v, x.shape[0], v.n_bytes // x.shape[0]) for v in (y, x, state)]
    return Encoded(layer + rest, views[0], views[1:], x.shape[0])


def _float_words(node: Node) -> list[int | np.ndarray | None]:
    return [_bias(node), *(f32_word(v) for v in fixedpoint.float_range(node.attrs["activation"]))]


def _integer_words(node: Node) -> list[int | np.ndarray | None]:
    feature, time, state = node.input(1).data, node.input(2).data, node.input(4)
    assert feature is not None and time is not None
    units = node.output.shape[1]
    bias = _bias(node) - state.zero_point * time.astype(np.int64).reshape(units, -1).sum(1)
    feature_bias = -node.input(0).zero_point * feature.astype(np.int64).sum(1)
    first, second = scales(node)
    words = [*first, state.zero_point, *second, node.output.zero_point]
    return [bias.astype(np.int32), feature_bias.astype(np.int32), *words]


def macs(node: Node) -> int:
    batch = node.input(0).shape[0]
    return batch * (node.input(1).elements + node.input(2).elements)
