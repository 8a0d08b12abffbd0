# SPDX-License-Identifier: Apache-2.0
"""Damaged .tflite files: only an EdgeError or a graph comes out, in bounded memory."""

from __future__ import annotations

import struct
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert")
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import test_tflite_states  # noqa: E402
import tflite_models as models  # noqa: E402

from edgesdk.converters import tflite  # noqa: E402
from edgesdk.errors import EdgeError  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared" / "models"
EDGES = [0, 1, 2, 3, 4, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4]


@cache
def seeds() -> list[bytes]:
    small = [models.conv_net(), models.float_net(), moving(), image(), *states()]
    real = ("tflm-hello-world/hello_world_int8", "tflm-micro-speech/micro_speech_quantized")
    paths = [SHARED / f"{name}.tflite" for name in real]
    return small + [p.read_bytes() for p in paths if p.exists()]


def states() -> list[bytes]:
    """Operators that keep a state, and a subgraph that begins it."""
    rng = np.random.default_rng(0)
    lstm = test_tflite_states.lstm_model(rng, (2, 1, 3, 4), "int8", True, 1.0)
    svdf = test_tflite_states.svdf_model(rng, (1, 3, 2, 2, 3), "int16", models.RELU)
    return [lstm, svdf, test_tflite_states.streaming_model(rng)]


def moving() -> bytes:
    """The operators with the most arithmetic on their options."""
    t, c, op = models.Tensor, models.constant, models.Op
    tensors = [t("x", (1, 4, 4, 4), "float32"), c("pads", [[0, 0], [1, 1], [0, 2], [0, 0]])]
    tensors += [t("padded", (1, 6, 6, 4), "float32"), c("b", [0, 1, 1]), c("e", [1, 5, 0]), c("s", [1, 2, 1])]
    tensors += [t("cut", (1, 2, 5, 4), "float32"), c("axis", -1), t("p", (1, 2, 5, 2), "float32")]
    tensors += [t("q", (1, 2, 5, 2), "float32"), t("both", (2, 1, 2, 5, 2), "float32"), c("perm", [4, 1, 2, 3, 0])]
    tensors += [t("turned", (2, 1, 2, 5, 2), "float32"), c("axes", [0, -1]), t("y", (1, 2, 5), "float32")]
    ops = [
        op("PAD", ["x", "pads"], ["padded"]),
        op("STRIDED_SLICE", ["padded", "b", "e", "s"], ["cut"], {"endMask": 4, "beginMask": 1}),
        op("SPLIT", ["axis", "cut"], ["p", "q"], {"numSplits": 2}),
        op("PACK", ["p", "q"], ["both"], {"valuesCount": 2, "axis": 0}),
        op("TRANSPOSE", ["both", "perm"], ["turned"]),
        op("MEAN", ["turned", "axes"], ["y"]),
    ]
    return models.build(tensors, ops)


def image() -> bytes:
    """Windows, blocks and resizing on int8."""
    t, c, op = models.Tensor, models.constant, models.Op
    shapes = {"x": (1, 4, 4, 4), "a": (1, 2, 2, 4), "r": (1, 4, 4, 4), "j": (1, 4, 4, 8), "s": (1, 2, 2, 32)}
    shapes |= {"d": (1, 4, 4, 8), "p": (1, 5, 4, 8), "m": (1, 8), "l": (1, 8), "n": (1, 8), "z": (8,)}
    tensors = [t(name, shape, scale=0.25, zero_point=-7) for name, shape in shapes.items()]
    tensors += [c("size", [4, 4]), c("pads", [[0, 0], [1, 0], [0, 0], [0, 0]]), c("fill", [3], "int8", scale=0.25)]
    tensors += [c("axes", [1, 2]), c("k", models.ramp((8,)), "int8", scale=0.25, zero_point=-7), c("perm", [0, 1])]
    ops = [
        op("AVERAGE_POOL_2D", ["x"], ["a"], {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}),
        op("RESIZE_BILINEAR", ["a", "size"], ["r"], {"halfPixelCenters": True}),
        op("CONCATENATION", ["x", "r"], ["j"], {"axis": 3}),
        op("SPACE_TO_DEPTH", ["j"], ["s"], {"blockSize": 2}),
        op("DEPTH_TO_SPACE", ["s"], ["d"], {"blockSize": 2}),
        op("PADV2", ["d", "pads", "fill"], ["p"]),
        op("SUM", ["p", "axes"], ["m"]),
        op("MAXIMUM", ["m", "k"], ["l"]),
        op("LEAKY_RELU", ["l"], ["n"], {"alpha": 0.1}),
        op("SQUEEZE", ["n"], ["z"], {"squeezeDims": [0]}),
    ]
    return models.build(tensors, ops)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 6))):
        data = draw(st.sampled_from([flip, word, splice, truncate]))(draw, data)
    return bytes(data)


def position(draw: st.DrawFn, data: bytearray) -> int:
    return draw(st.integers(0, max(0, len(data) - 1)))


def flip(draw: st.DrawFn, data: bytearray) -> bytearray:
    at = position(draw, data)
    data[at : at + 1] = bytes([draw(st.integers(0, 255))])
    return data


def word(draw: st.DrawFn, data: bytearray) -> bytearray:
    """A number at the edge of its type, where numbers lie: at multiples of two."""
    at = position(draw, data) & ~1
    data[at : at + 4] = struct.pack("<I", draw(st.sampled_from(EDGES)))
    return data


def splice(draw: st.DrawFn, data: bytearray) -> bytearray:
    other = draw(st.sampled_from(seeds()))
    source, n = draw(st.integers(0, len(other))), draw(st.integers(1, 64))
    at = position(draw, data)
    data[at : at + n] = other[source : source + n]
    return data


def truncate(draw: st.DrawFn, data: bytearray) -> bytearray:
    return data[: max(1, position(draw, data))] if draw(st.integers(0, 3)) == 0 else data


def imports_or_refuses(data: bytes) -> bool:
    try:
        graph = tflite.parse(data, "fuzz", {})
    except EdgeError as error:
        assert str(error)
        return False
    assert isinstance(graph, Graph)
    assert (
        sum(v.data.nbytes for n in graph.nodes for v in n.inputs if v and v.data is not None and v.data.base is None)
        < 16e6
    )
    return True


def test_seeds_import() -> None:
    for data in seeds():
        assert imports_or_refuses(data)


@settings(max_examples=settings().max_examples * 25)
@given(damaged())
def test_damaged_files_are_refused_or_imported(data: bytes) -> None:
    imports_or_refuses(data)


def test_every_truncation_is_refused_or_imported() -> None:
    data = models.conv_net()
    for n in range(0, len(data), 5):
        imports_or_refuses(data[:n])


@pytest.mark.parametrize("number", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_every_word_at_the_edge_is_refused_or_imported(number: int) -> None:
    data = image()
    for at in range(0, len(data) - 3, 4):
        imports_or_refuses(data[:at] + struct.pack("<I", number) + data[at + 4 :])
