# SPDX-License-Identifier: Apache-2.0
"""Files of earlier versions still run and give the pinned outputs; FORMAT.md says what the bytes are."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import small_models

from edgesdk import kernels, memory, program, runtime

HERE = Path(__file__).resolve().parent
PINNED = sorted(HERE.glob("v*/*.edge"))
GRAPHS = small_models.graphs()
CASES = [(name, form) for name in GRAPHS for form in small_models.forms(name)]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


edge_reader = _module(HERE / "edge_reader.py")


def test_programs_are_pinned() -> None:
    assert len(PINNED) >= len(CASES)


@pytest.mark.parametrize("path", PINNED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_pinned_program_gives_its_outputs(path: Path) -> None:
    name = path.stem.partition(".")[0]
    expected = json.loads((path.parent / "outputs.json").read_text())[name]
    results = runtime.run(runtime.open_session(path.read_bytes(), pack=False), small_models.inputs(GRAPHS[name]))
    for result, values in zip(results, expected, strict=True):
        if result.dtype == np.float32:
            np.testing.assert_allclose(result.ravel(), np.array(values, np.float32), rtol=1e-5, atol=1e-6)
        else:
            assert result.ravel().tolist() == values


@pytest.mark.parametrize(("name", "form"), CASES)
def test_reader_written_from_the_document_agrees(name: str, form: str) -> None:
    data = small_models.compiled(GRAPHS[name], {"board": "host"}, form)
    ours, theirs = program.read(data), edge_reader.read(data)
    assert theirs.arena_bytes == ours.arena_bytes and theirs.weights == ours.weights
    assert theirs.metadata == ours.metadata and theirs.metadata["board"] == "host"
    for a, b in zip((*theirs.inputs, *theirs.outputs), (*ours.inputs, *ours.outputs), strict=True):
        arrival = (a.arrival & 0xFF in (1, 2), a.arrival >> 8, a.arrival == 3)
        theirs_tensor = (a.offset, a.dtype, a.dims, a.scale, a.zero_point, *arrival)
        assert theirs_tensor == (b.offset, b.dtype, b.shape, b.scale, b.zero_point, b.streamed, b.ring, b.bound)
    for stage, s in zip(theirs.stages, ours.stages, strict=True):
        assert stage == (
            ("plain", "rows", "frames").index(s.kind),
            s.first,
            s.count,
            s.program,
            s.program_bytes,
            s.steps,
            s.counters,
        )
    for a, b in zip(theirs.steps, ours.steps, strict=True):
        assert (a.kernel, a.rows, a.batch, a.scratch) == (b.kernel, b.rows, b.batch, b.scratch_offset)
        assert a.params == b.params
        for v, w in zip((a.output, *a.inputs), (b.output, *b.inputs), strict=True):
            theirs_view = (v.offset, v.rows, v.row_bytes, v.constant, v.table, v.bound, v.first)
            assert theirs_view == (w.offset, w.rows, w.row_bytes, w.constant, w.table, w.bound, w.first)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_read_gives_what_was_written(name: str, form: str) -> None:
    steps = small_models.scheduled(GRAPHS[name], form)
    written = program.assemble(steps, memory.plan(steps))
    assert program.read(program.write(written)) == written


def test_together_the_networks_use_every_portable_kernel() -> None:
    used = {s.kernel for path in PINNED for s in edge_reader.read(path.read_bytes()).steps}
    missing = [k.name for k in kernels.table() if k.isa == "c" and k.number not in used]
    assert missing == [], "add a network to small_models.py"


def test_a_row_table_outside_the_weights_is_refused() -> None:
    """Bit 29 of a streamed input's offset marks nothing: it is part of the offset."""
    read = program.read(small_models.compiled(GRAPHS["classifier_int8"], form="streamed"))
    moved = replace(read.inputs[0], offset=read.inputs[0].offset | program.TABLE_BIT)
    with pytest.raises(runtime.LoadError):
        runtime.open_session(program.write(replace(read, inputs=(moved,))))
