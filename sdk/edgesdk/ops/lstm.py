# SPDX-License-Identifier: Apache-2.0
"""A quantised LSTM with TFLite Micro's arithmetic. x [T,B,I] (time_major) or [B,T,I], w [4,S,I], r [4,S,S], b [4,S],
h [B,S], c [B,S]; outputs y [..,S], the new h and the new c.

Gates are input, forget, cell, output. attrs: reverse (last step first), time_major, cell_clip (real, 0 for none).
x, h, y int8 or int16; weights int8 with one scale, or one per gate; b int32 (int16 activations: int64); c int16 with
a power of two as its scale. Float LSTMs are `rnn`.
"""

from __future__ import annotations

import math

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, RowView, fixedpoint, gates

CELL = 2


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w, r, b, h, c = (node.input(i) for i in range(6))
    units = w.shape[1] if len(w.shape) == 3 else 0
    if len(x.shape) != 3 or w.shape != (4, units, x.shape[2]) or r.shape != (4, units, units) or b.shape != (4, units):
        raise ValueError(f"expected x [T,B,I], w [4,S,I], r [4,S,S] and b [4,S], found {x.shape}, {w.shape}, {r.shape}")
    batch = x.shape[1] if node.attrs["time_major"] else x.shape[0]
    if h.shape != (batch, units) or c.shape != (batch, units):
        raise ValueError(f"expected states {(batch, units)}, found {h.shape} and {c.shape}")
    if h.dtype != x.dtype or c.dtype != "int16" or x.dtype not in ("int8", "int16"):
        raise ValueError(f"expected int8 or int16 x, h like it and int16 c, found {x.dtype}, {h.dtype} and {c.dtype}")
    return [((*x.shape[:2], units), x.dtype), (h.shape, h.dtype), (c.shape, c.dtype)]


def states(node: Node) -> dict[int, int]:
    return {1: 4, 2: 5}


def cell_power(node: Node) -> int:
    """log2 of the cell state's scale."""
    scale = node.input(5).scale
    power = round(math.log2(scale))
    if abs(math.log2(scale) - power) > 1e-3 or not -27 <= power <= 1:
        raise Unsupported(f"{node.source}: a cell state of scale {scale:g}; expected a power of two from 2^-27 to 2")
    return power


def tanh_scale(node: Node) -> tuple[int, int]:
    """(multiplier, shift to the right) that make three times a Q3.12 number of the cell state."""
    left = 12 + cell_power(node)
    return (3, -left) if left < 0 else (3 << left, 0)


def gate_scales(node: Node) -> np.ndarray:
    """Per gate: multiplier and shift of the input's sums, then of the state's."""
    x, w, r, h = (node.input(i) for i in (0, 1, 2, 4))
    pairs = [
        [_product_scale(v.scale, float(s)) for s in gates.scales_of(weights.quant, 4)]
        for v, weights in ((x, w), (h, r))
    ]
    return np.concatenate([np.array(p, np.int64) for p in pairs], axis=1)


def _product_scale(activation: float, weight: float) -> tuple[int, int]:
    """TFLite multiplies the two scales in float32."""
    return fixedpoint.quantize_multiplier(float(np.float32(activation) * np.float32(weight)) / gates.GATE_SCALE)


def state_scales(node: Node) -> list[tuple[int, int]]:
    """(multiplier, shift) of forget gate * c, of input gate * cell gate, of tanh(c) * output gate."""
    c, h = node.input(5).scale, node.input(4).scale
    unit = gates.UNIT_SCALE
    return [fixedpoint.quantize_multiplier(s) for s in (unit * c / c, unit * unit / c, unit * unit / h)]


def cell_clip(node: Node) -> int:
    """In steps of the cell state; 2^15 clips nothing."""
    clip = node.attrs["cell_clip"]
    return int(min(clip / node.input(5).scale, 32767.0)) if clip > 0 else 1 << 15


def biases(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """int64 [4,S] of the input's and of the state's sums, zero points folded in."""
    x, w, r, b, h = (node.input(i) for i in range(5))
    assert w.data is not None and r.data is not None and b.data is not None
    folded = b.data.astype(np.int64) - x.zero_point * w.data.astype(np.int64).sum(2)
    return folded, -h.zero_point * r.data.astype(np.int64).sum(2)


def _requantized(node: Node, sums: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    if node.output.dtype == "int8":
        return gates.saturate16(fixedpoint.requantize(fixedpoint.wrap32(sums), multiplier, shift))
    reduced, right = single_rounding(multiplier, shift)
    return gates.saturate16(fixedpoint.wrap32((sums * reduced + (1 << (right - 1))) >> right))


def single_rounding(multiplier: int, shift: int) -> tuple[int, int]:
    """The 16-bit multiplier and right shift with which TFLite rescales sums of 64 bits."""
    return min((multiplier + (1 << 15)) >> 16, 0x7FFF), 15 - shift


def _gates(node: Node, x: np.ndarray, h: np.ndarray) -> list[np.ndarray]:
    w, r = node.input(1).data, node.input(2).data
    assert w is not None and r is not None
    found = []
    for k, (m, s, state_m, state_s) in enumerate(gate_scales(node).tolist()):
        bias, state_bias = (b[k] for b in biases(node))
        a = _requantized(node, x.astype(np.int64) @ w[k].T.astype(np.int64) + bias, m, s)
        b = _requantized(node, h.astype(np.int64) @ r[k].T.astype(np.int64) + state_bias, state_m, state_s)
        total = 3 * gates.saturate16(a + b)
        found.append(gates.tanh(total) if k == CELL else gates.sigmoid(total))
    return found


def _step(node: Node, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    input_gate, forget_gate, cell_gate, output_gate = _gates(node, x, h)
    forget, new, out = state_scales(node)
    kept = gates.saturate16(fixedpoint.requantize(forget_gate * c, *forget))
    cell = gates.saturate16(kept + gates.saturate16(fixedpoint.requantize(input_gate * cell_gate, *new)))
    clip = cell_clip(node)
    cell = np.clip(cell, -clip, clip)
    multiplier, shift = tanh_scale(node)
    tanh = gates.tanh((cell * multiplier + (1 << shift >> 1)) >> shift)
    info = np.iinfo(node.output.dtype)
    hidden = fixedpoint.requantize(tanh * output_gate, *out) + node.input(4).zero_point
    return np.clip(hidden, info.min, info.max), cell


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, h, c = arrays[0], arrays[4].astype(np.int64), arrays[5].astype(np.int64)
    steps = x if node.attrs["time_major"] else x.transpose(1, 0, 2)
    outputs = []
    for item in steps[::-1] if node.attrs["reverse"] else steps:
        h, c = _step(node, item, h, c)
        outputs.append(h)
    outputs = outputs[::-1] if node.attrs["reverse"] else outputs
    y = np.stack(outputs) if node.attrs["time_major"] else np.stack(outputs, 1)
    return [y.astype(x.dtype), h.astype(x.dtype), c.astype(np.int16)]


def types(node: Node) -> str:
    return {"int8": "s8s8", "int16": "s16s8"}[node.input(0).dtype]


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, w, r, h, c, y = (*(node.input(i) for i in (0, 1, 2, 4, 5)), node.output)
    bias, state_bias = _checked(node)
    words: list[int | np.ndarray | None] = [w.data, r.data, bias, state_bias, _scale_words(node), gates.TABLE]
    words += [*(n for pair in state_scales(node) for n in pair), h.zero_point, cell_clip(node), *tanh_scale(node)]
    batch, views, rows, repeats = recurrent_views(node, [y, x], [h, c])
    return Encoded(
        [int(node.attrs["reverse"]), rows, batch, x.shape[2], w.shape[1], *words], views[0], views[1:], rows, repeats
    )


def _checked(node: Node) -> tuple[np.ndarray, np.ndarray | None]:
    """Biases as the kernel takes them; refuses sums that could leave 32 bits."""
    bias, state_bias = biases(node)
    if node.output.dtype == "int16":
        return bias, None
    for b, weights in ((bias, node.input(1).data), (state_bias, node.input(2).data)):
        assert weights is not None
        if (np.abs(b) + 128 * np.abs(weights.astype(np.int64)).sum(2)).max() >= 2**31:
            raise Unsupported(f"{node.source}: sums of the LSTM can leave 32 bits; expected fewer or smaller weights")
    return bias.astype(np.int32), state_bias.astype(np.int32)


def _scale_words(node: Node) -> np.ndarray:
    words = gate_scales(node)
    if node.output.dtype == "int16":
        rounded = [single_rounding(m, s) for m, s in words.reshape(-1, 2).tolist()]
        words = np.array(rounded).reshape(words.shape)
    return words.astype(np.int32)


def recurrent_views(node: Node, sequences: list[Value], held: list[Value]) -> tuple[int, list[RowView], int, int]:
    """(items per row, views, rows, repetitions): a row is a time step, of the whole batch or of one sequence of it."""
    first, second = sequences[0].shape[:2]
    rows, batch = (first, second) if node.attrs["time_major"] else (second, first)
    repeats = 1 if node.attrs["time_major"] else batch
    views = [RowView(v, rows, v.n_bytes // rows // repeats) for v in sequences]
    views += [RowView(v, 1, v.n_bytes // repeats) for v in held]
    return batch // repeats, views, rows, repeats


def macs(node: Node) -> int:
    steps = node.input(0).elements // node.input(0).shape[2]
    return steps * (node.input(1).elements + node.input(2).elements)
