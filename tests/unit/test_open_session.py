# SPDX-License-Identifier: Apache-2.0
"""A program runs where its file lies: in a bytes object, mapped, or copied from an address that is no place for it."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest
import small_models

from edgesdk import runtime

GRAPH = small_models.graphs()["residual_int8"]


@pytest.fixture(scope="module")
def data() -> bytes:
    return small_models.compiled(GRAPH)


def test_a_mapped_file_runs_as_its_bytes_do(data: bytes, tmp_path: Path) -> None:
    inputs = small_models.inputs(GRAPH)
    path = tmp_path / "m.edge"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        got = runtime.run(session := runtime.open_session(mapped), inputs)
        del session  # or the map cannot be closed
    want = runtime.run(runtime.open_session(data), inputs)
    assert [a.tobytes() for a in got] == [a.tobytes() for a in want]


def test_only_a_file_at_an_odd_address_is_copied(data: bytes) -> None:
    room = runtime.aligned(len(data) + 16)
    for offset in (0, 3):
        lying = room[offset : offset + len(data)]
        lying[:] = np.frombuffer(data, np.uint8)
        placed = runtime.in_place(lying.data)
        assert placed.tobytes() == data
        assert placed.ctypes.data % 16 == 0
        assert np.shares_memory(placed, room) == (offset == 0)
