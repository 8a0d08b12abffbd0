# SPDX-License-Identifier: Apache-2.0
"""What `edgesdk tune` keeps of a device: the file, whatever is in it, and what is chosen by it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fake_device import (
    M4,
    Model,
    by_isa,
    isas,
    network,
    outputs,
    own_cache,  # noqa: F401
    tune,
)
from graphs import Builder
from hypothesis import given
from hypothesis import strategies as st

from edgesdk import boards, flow, kernels, measured, search, toolchain
from edgesdk.ir import Graph
from edgesdk.schedule.strips import Piece


def test_the_file_of_a_device(cache: Path) -> None:
    found = tune(by_isa(thumb2=50.0))
    assert found.cache is not None and [found.cache] == list(cache.iterdir())
    content = json.loads(found.cache.read_text())
    assert content["device"] == measured.device(boards.load(M4)) and content["clock"] == "us"
    name = next(n for n in content["layers"] if "16x3x3x8" in n)
    assert name.startswith("conv2d s8s8 1x12x12x8 constant 16x3x3x8") and "threads=1" in name
    assert content["layers"][name]["ert_conv2d_s8s8_2x4__thumb2"] == 50.0


SPOILED = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "another kind": lambda text: '{"layers": [1, 2]}',
    "another version": lambda text: text.replace('"edgesdk": "', '"edgesdk": "9.'),
    "another table": lambda text: text.replace(measured.table_digest(), "0" * 16),
    "another device": lambda text: text.replace("cortex-m4", "cortex-m9"),
    "impossible costs": lambda text: text.replace(": 50.0", ": -50.0"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_file_is_named_and_written_anew(how: str) -> None:
    first = tune(by_isa(thumb2=50.0))
    assert first.cache is not None
    first.cache.write_text(SPOILED[how](first.cache.read_text()))
    (warning,) = flow.convert(network(), M4, tuned=True).warnings
    assert str(first.cache) in warning and "ignored" in warning
    second = tune(by_isa(thumb2=50.0))
    assert second.measured == first.measured and second.converted.data == first.converted.data
    assert any(str(first.cache) in w for w in second.warnings)
    assert tune(by_isa(thumb2=50.0)).warnings == []


def test_nothing_measured_yet_is_said() -> None:
    (warning,) = flow.convert(network(), M4, tuned=True).warnings
    assert "nothing was measured" in warning and f"edgesdk tune --board {M4}" in warning


def test_a_folder_that_cannot_be_written_is_a_warning(cache: Path) -> None:
    found = tune(by_isa(thumb2=50.0))
    assert found.cache is not None
    found.cache.unlink()
    found.cache.mkdir()
    again = tune(by_isa(thumb2=50.0))
    assert again.cache is None and isas(again.converted.data) == ["thumb2"] * 3
    assert any("not kept" in w for w in again.warnings)


@given(st.data())
def test_any_bytes_are_costs_or_a_warning(data: st.DataObject) -> None:
    known = measured.fresh(measured.device(boards.load(M4)), "us")
    known.layers["x"] = {"a": 1.0}
    known.programs["y"] = [("plain", 0, 3, 1)]
    text = bytearray(msgspec.json.encode(known))
    for _ in range(data.draw(st.integers(0, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    path = toolchain.cache_folder("tuned") / "any.json"
    path.write_bytes(bytes(text))
    found, warning = measured.load(path, known.device)
    assert (found is None) == (warning is not None)
    if found is not None:
        measured.pieces_of(found, "y", 3)


PIECES = [
    ("plain", 0, 2, 1),
    ("rows", 2, 1, 1),
    ("rows", 0, 3, 2),
    ("plain", 1, 2, 1),
    ("rows", -1, 4, 1),
    ("rows", 0, 9, 1),
]


@given(st.lists(st.sampled_from(PIECES), max_size=3))
def test_pieces_of_a_file_make_a_program_or_none(pieces: list[tuple[str, int, int, int]]) -> None:
    known = measured.fresh(measured.device(boards.load(M4)), "us")
    known.programs["y"] = pieces
    base = flow.base_schedule(network(), M4)
    found = measured.pieces_of(known, "y", 3)
    if found and (placed := flow.placed(base, found, None)) is not None:
        data = flow.finish(base, *placed, None, None, lambda stage: None).data
        assert all(map(np.array_equal, outputs(data), outputs(flow.convert(network(), M4).data)))


def test_stages_of_rows_begin_and_end_where_one_value_crosses() -> None:
    b = Builder(0, "int8")
    x = b.input((1, 12, 12, 8))
    y = b.conv(x, 8, 1, 1)
    z = b.add_node("add", [b.conv(y, 8, 1, 1), y], b.quant(), activation="none")
    base = flow.base_schedule(Model(Graph("net", [x], [z], b.nodes)), M4).schedule
    assert search.can_be(base, [Piece("plain", 0, 1), Piece("rows", 1, 2)])
    assert not search.can_be(base, [Piece("rows", 0, 2), Piece("plain", 2, 1)])


def test_results_of_two_processes_are_joined() -> None:
    device = measured.device(boards.load(M4))
    ours, theirs = measured.fresh(device, "us"), measured.fresh(device, "us")
    ours.layers, theirs.layers = {"a": {"k": 1.0}}, {"a": {"k": 2.0, "l": 3.0}, "b": {"m": 4.0}}
    assert measured.merged(ours, theirs).layers == {"a": {"k": 1.0, "l": 3.0}, "b": {"m": 4.0}}
    theirs.clock = "instructions"
    assert measured.merged(ours, theirs) is ours


def test_engines_have_files_of_their_own() -> None:
    wasm = boards.load("wasm")
    paths = [measured.path_of(measured.device(wasm, engine)) for engine in ("node 20", "node 22")]
    assert paths[0] != paths[1] and measured.newest(wasm) not in paths
    for age, path in enumerate(paths):
        path.write_text("{}")
        os.utime(path, (age, age))
    assert measured.newest(wasm) == paths[1]


def test_the_preference_is_an_argument() -> None:
    rows = kernels.fitting("conv2d", ["s8s8"], ["dsp", "thumb2", "c"], lambda kernel: True)
    assert [k.isa for k in rows] == ["dsp", "thumb2", "c"]
    assert kernels.choose("conv2d", ["s8s8"], ["dsp", "c"]) == rows[0]
    assert kernels.choose("conv2d", ["s8s8"], ["dsp", "c"], prefer=lambda found: found[-1]) == rows[-1]
    assert kernels.choose("conv2d", ["none"], ["dsp", "c"], prefer=lambda found: found[-1]) is None
    assert len({k.name for k in kernels.table()}) == len(kernels.table())  # names tell kernels apart in files
