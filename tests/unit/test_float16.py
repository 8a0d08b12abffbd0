# SPDX-License-Identifier: Apache-2.0
"""Weights that are stored as float16, and layers that multiply them as float16 where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import Builder

from edgesdk import flow, kernels, runtime
from edgesdk.compress.schemes import WEIGHTED
from edgesdk.compress.stored_weights import halve_weights
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph

DIGITS = Path(__file__).parents[2] / "apps" / "digits" / "digits.onnx"
PI5 = "raspberry_pi_5"


def network() -> Graph:
    b = Builder(0, "float32")
    x = b.input((1, 12, 10, 3))
    y = b.depthwise(b.conv(x, 16, 3, 2), 3, 1)
    b.classifier(b.conv(y, 24, 1, 1), 5)
    return Graph("network", [x], [b.nodes[-1].output], b.nodes)


def test_w16_stores_every_weight_as_the_nearest_float16_in_half_the_bytes() -> None:
    plain, half = (flow.convert(DIGITS, portable=True, quantize=recipe) for recipe in ("none", "w16"))
    before = [n.input(1) for n in plain.graph.nodes if n.op in WEIGHTED]
    stored = [n.input(1) for n in half.graph.nodes if n.op in WEIGHTED]
    assert len(stored) >= 3 and {w.dtype for w in stored} == {"float16"}
    assert all(np.array_equal(w.data, v.data.astype(np.float16)) for w, v in zip(stored, before, strict=True))  # type: ignore[union-attr]
    assert len(plain.data) - len(half.data) >= 2 * sum(w.elements for w in stored) - 1024
    given = [np.random.default_rng(1).uniform(0, 1, v.shape).astype(np.float32) for v in plain.graph.inputs]
    got = runtime.run(runtime.open_session(half.data), given)[0]
    expected = runtime.run(runtime.open_session(plain.data), given)[0]
    assert 0 < np.linalg.norm(got - expected) <= 2e-3 * np.linalg.norm(expected)


def test_weights_beyond_float16_stay_float32() -> None:
    graph = network()
    w = graph.nodes[0].input(1)
    assert w.data is not None
    w.data.flat[0] = 65520.0
    kinds = [n.input(1).dtype for n in halve_weights(graph).nodes if n.op in WEIGHTED]
    assert kinds == ["float32", "float16", "float16", "float16"]
    assert all(np.isfinite(n.input(1).data).all() for n in graph.nodes[1:] if n.op in WEIGHTED)


def test_float16_arithmetic_is_only_for_those_who_ask() -> None:
    exact = flow.convert(DIGITS, PI5, quantize="w16")
    assert not {s.kernel.isa for s in exact.schedule.steps} & kernels.ROUNDING
    asked = flow.convert(DIGITS, PI5, quantize="w16", float16_arithmetic=True)
    chosen = {s.kernel.op: s.kernel.isa for s in asked.schedule.steps}
    assert chosen["conv2d"] == chosen["fully_connected"] == "neonfp16"
    assert kernels.exact(("neondot", "neonfp16", "neon", "c")) == ("neondot", "neon", "c")


@pytest.mark.parametrize(
    ("board", "options", "error", "said"),
    [
        (PI5, {}, UsageError, "no convolution or fully connected layer has float16 weights; add --quantize w16"),
        ("raspberry_pi_4", {"quantize": "w16"}, Unsupported, "the cortex-a72 of raspberry_pi_4 has no instructions"),
        (PI5, {"quantize": "w16", "portable": True}, Unsupported, "a portable file has no instructions for it"),
        (PI5, {"quantize": "w16+gptq"}, UsageError, "w16 rounds each weight to float16; leave gptq out"),
    ],
)
def test_what_cannot_be_honoured_is_refused(board: str, options: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        flow.convert(DIGITS, board, float16_arithmetic="gptq" not in str(options), **options)
