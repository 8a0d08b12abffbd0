# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers. x [T,B,I] (time_major) or [B,T,I], w [G,S,I], r [G,S,S], b [2,G,S], h [B,S], and c [B,S] of an
LSTM, which may have peepholes [3,S] of i, f and o behind it (float only); outputs y [..,S], the new h, and the new c.

attrs: kind, reverse (last step first), time_major, cell_clip (real, 0 for none). Gates and formulas by kind are in
runtime_c/kernels/rnn/rnn.h; b is what is added to w x, then to r h. Integers (GRU and tanh only): x int8, weights int8
with one scale per gate, b int32 at the scale of each product, h int16 of scale 2^-15, y int8 of scale 1/128.
"""

from __future__ import annotations

import numpy as np

from edgesdk.errors import Unsupported
from edgesdk.ir import Node
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded, f32_word, fixedpoint, gates
from edgesdk.ops.lstm import recurrent_views

KINDS = ("lstm", "gru_reset_before", "gru_reset_after", "rnn_tanh", "rnn_relu")
GATES = {"lstm": 4, "gru_reset_before": 3, "gru_reset_after": 3, "rnn_tanh": 1, "rnn_relu": 1}
OUT_SCALE = 1 / 128  # of integer outputs, zero point 0


def infer(node: Node) -> list[tuple[tuple[int, ...], str]]:
    x, w, r, b, h = (node.input(i) for i in range(5))
    n, units = GATES[node.attrs["kind"]], w.shape[1] if len(w.shape) == 3 else 0
    if len(x.shape) != 3 or w.shape != (n, units, x.shape[2]) or r.shape != (n, units, units):
        raise ValueError(f"expected x [T,B,I], w [{n},S,I] and r [{n},S,S], found {x.shape}, {w.shape} and {r.shape}")
    batch = x.shape[1] if node.attrs["time_major"] else x.shape[0]
    held = [node.input(i) for i in range(4, 6 if node.attrs["kind"] == "lstm" else 5)]
    if b.shape != (2, n, units) or any(v.shape != (batch, units) for v in held):
        raise ValueError(f"expected b {(2, n, units)} and states {(batch, units)}, found {b.shape} and {h.shape}")
    seen = node.optional(6)
    if seen is not None and (node.attrs["kind"] != "lstm" or x.dtype != "float32" or seen.shape != (3, units)):
        raise ValueError(f"expected peepholes {(3, units)} of a float LSTM, found {seen.shape} of {node.attrs['kind']}")
    return [((*x.shape[:2], units), x.dtype), *((v.shape, v.dtype) for v in held)]


def states(node: Node) -> dict[int, int]:
    return {1: 4, 2: 5} if node.attrs["kind"] == "lstm" else {1: 4}


def kernel_op(node: Node) -> str:
    return "rnn" if node.optional(6) is None else "peephole_lstm"


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -700, 700))))


def _float_step(node: Node, x: np.ndarray, held: list[np.ndarray]) -> list[np.ndarray]:
    """In float64, each new state rounded as it is stored."""
    w, r, b = (v.data.astype(np.float64) for i in (1, 2, 3) if (v := node.input(i)).data is not None)
    h, kind = held[0].astype(np.float64), node.attrs["kind"]
    a = [x.astype(np.float64) @ wk.T + bk for wk, bk in zip(w, b[0], strict=True)]
    s = [h @ rk.T + bk for rk, bk in zip(r, b[1], strict=True)]
    if kind == "lstm":
        seen, old = _peepholes(node), held[1].astype(np.float64)
        i, f = (_logistic(a[k] + s[k] + seen[k] * old) for k in (0, 1))
        c = f * old + i * np.tanh(a[2] + s[2])
        clip = node.attrs["cell_clip"]
        c = np.clip(c, -clip, clip) if clip > 0 else c
        return [(_logistic(a[3] + s[3] + seen[2] * c) * np.tanh(c)).astype(np.float32), c.astype(np.float32)]
    if kind.startswith("rnn"):
        return [(np.tanh(a[0] + s[0]) if kind == "rnn_tanh" else np.maximum(a[0] + s[0], 0)).astype(np.float32)]
    z, reset = _logistic(a[0] + s[0]), _logistic(a[1] + s[1])
    last = reset * s[2] if kind == "gru_reset_after" else (reset * h) @ r[2].T + b[1][2]
    return [((1 - z) * np.tanh(a[2] + last) + z * h).astype(np.float32)]


def _peepholes(node: Node) -> np.ndarray:
    value = node.optional(6)
    return np.zeros((3, 1)) if value is None or value.data is None else value.data.astype(np.float64)


def narrowed(h: np.ndarray) -> np.ndarray:
    """The int8 of an int16 state."""
    return np.clip((h + (1 << 7)) >> 8, -128, 127)


def _fraction(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y + (1 << 14)) >> 15


def gate_scales(node: Node) -> np.ndarray:
    """Per gate: multiplier and shift of the input's sums, then of the state's."""
    n = GATES[node.attrs["kind"]]
    x, w, r = (node.input(i) for i in range(3))
    columns = [(x.scale, gates.scales_of(w.quant, n)), (OUT_SCALE, gates.scales_of(r.quant, n))]
    pairs = [[fixedpoint.quantize_multiplier(s * float(v) / gates.GATE_SCALE) for v in vs] for s, vs in columns]
    return np.concatenate([np.array(p, np.int64) for p in pairs], axis=1)


def _biases(node: Node) -> np.ndarray:
    """int64 [2,G,S], the input's zero point folded in."""
    w, b = node.input(1).data, node.input(3).data
    assert w is not None and b is not None
    folded = b.astype(np.int64)
    folded[0] -= node.input(0).zero_point * w.astype(np.int64).sum(2)
    return folded


def _sums(node: Node, k: int, state: int, x: np.ndarray) -> np.ndarray:
    """Gate k's product with the input (state 0) or with the int8 state (1), in Q3.12."""
    weights = node.input(1 + state).data
    assert weights is not None
    multiplier, shift = gate_scales(node)[k][2 * state : 2 * state + 2].tolist()
    total = fixedpoint.wrap32(x.astype(np.int64) @ weights[k].T.astype(np.int64) + _biases(node)[state, k])
    return gates.saturate16(fixedpoint.requantize(total, multiplier, shift))


def _integer_step(node: Node, x: np.ndarray, held: list[np.ndarray]) -> list[np.ndarray]:
    kind, h = node.attrs["kind"], held[0].astype(np.int64)
    h8, n = narrowed(h), GATES[node.attrs["kind"]]
    a = [_sums(node, k, 0, x) for k in range(n)]
    s = [_sums(node, k, 1, h8) for k in range(n)]
    if kind == "rnn_tanh":
        return [gates.tanh(3 * gates.saturate16(a[0] + s[0])).astype(np.int16)]
    z, reset = (gates.sigmoid(3 * gates.saturate16(a[k] + s[k])) for k in (0, 1))
    if kind == "gru_reset_after":
        last = gates.saturate16(_fraction(reset, s[2]))
    else:
        last = _sums(node, 2, 1, np.clip(_fraction(reset, h8), -128, 127))
    candidate = gates.tanh(3 * gates.saturate16(a[2] + last))
    return [gates.saturate16(((2**15 - z) * candidate + z * h + (1 << 14)) >> 15).astype(np.int16)]


def reference(node: Node, arrays: list[np.ndarray]) -> list[np.ndarray]:
    x, held = arrays[0], [arrays[i] for i in states(node).values()]
    steps = x if node.attrs["time_major"] else x.transpose(1, 0, 2)
    advance = _float_step if x.dtype == np.float32 else _integer_step
    outputs: list[np.ndarray] = []
    for item in steps[::-1] if node.attrs["reverse"] else steps:
        held = advance(node, item, held)
        outputs.append(held[0] if x.dtype == np.float32 else narrowed(held[0].astype(np.int64)).astype(np.int8))
    outputs = outputs[::-1] if node.attrs["reverse"] else outputs
    return [np.stack(outputs, 0 if node.attrs["time_major"] else 1), *held]


def types(node: Node) -> str:
    return {"float32": "f32", "int8": "s8s8"}.get(node.input(0).dtype, node.input(0).dtype)


def encode(node: Node, kernel: Kernel) -> Encoded:
    x, w, r, y = (*(node.input(i) for i in range(3)), node.output)
    held = [node.input(i) for i in states(node).values()]
    batch, views, rows, repeats = recurrent_views(node, [y, x], held)
    layer: list[int | np.ndarray | None] = [KINDS.index(node.attrs["kind"]), int(node.attrs["reverse"]), rows, batch]
    layer += [x.shape[2], w.shape[1], w.data, r.data]
    if x.dtype == "float32":
        b = node.input(3).data
        assert b is not None
        seen = node.optional(6)
        words = [*layer, b[0], b[1], f32_word(node.attrs["cell_clip"]), *([] if seen is None else [seen.data])]
    else:
        bias, state_bias = _checked(node)
        words = [*layer, bias, state_bias, gate_scales(node).astype(np.int32), gates.TABLE]
    return Encoded(words, views[0], views[1:], rows, repeats)


def _checked(node: Node) -> np.ndarray:
    """Biases as the kernel takes them; refuses sums that could leave 32 bits."""
    found = _biases(node)
    for b, i in zip(found, (1, 2), strict=True):
        weights = node.input(i).data
        assert weights is not None
        if (np.abs(b) + 128 * np.abs(weights.astype(np.int64)).sum(2)).max() >= 2**31:
            raise Unsupported(f"{node.source}: sums of the layer can leave 32 bits; expected fewer or smaller weights")
    return found.astype(np.int32)


def macs(node: Node) -> int:
    steps = node.input(0).elements // node.input(0).shape[2]
    return steps * (node.input(1).elements + node.input(2).elements)
