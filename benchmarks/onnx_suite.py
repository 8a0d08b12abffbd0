# SPDX-License-Identifier: Apache-2.0
"""ONNX's own tests of its operators, on the C runtime of this machine.

    python benchmarks/onnx_suite.py [--only PART] [--kinds node,simple] [--json OUT] [--write-passing FILE]

Every test of `onnx.backend.test` is a small model with inputs and outputs. It is imported, simplified, lowered,
scheduled and run; floats are compared within the test's own tolerance, integers and bools exactly, shapes always.
Half and double precision and bfloat16 are computed in float32; results are compared within two units in the last place
of the type that the test wants, where that is more than its tolerance. Inputs that an operator needs when the model
is converted (weights, axes, shapes) are given to it as constants: as few as it takes, never all of them, but for what
makes a tensor of single numbers or of a shape alone, as Range does. `--json` names them.

An operator is supported where a test of its own passes. Behind the table of operators stands what is not supported of
these: other element types, tensors without items, and everything else that some test asks for, with its reason.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import boards, converters, memory, passes, program, runtime, schedule
from edgesdk.errors import EdgeError, Unsupported
from edgesdk.ir import Graph

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
SECONDS = 10  # for one test
LAYOUTS = {"NCHW": (0, 2, 3, 1), "NCL": (0, 2, 1)}
MANY_INPUTS = 6  # beyond it only one input or all are tried as the live ones
FLOATS, OTHERS = (1, 10, 11, 16), (2, 3, 5, 6, 7, 9)  # element types of onnx.TensorProto that are read
MAX_AXES = 6


@dataclass(eq=False)
class Case:
    """One test. `sets` are pairs of inputs and expected outputs."""

    name: str
    model: Any
    sets: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float


@dataclass
class Outcome:
    """What became of a test: `problem` is empty where it passed."""

    name: str
    ops: list[str]
    problem: str = ""
    constants: list[str] = field(default_factory=list)  # inputs that were given as constants
    outside: str = ""  # why its tensors are outside of what edgesdk computes, empty for floats and small integers


def cases(kinds: Sequence[str] = ("node",)) -> list[Case]:
    """The tests whose models come with the onnx package, by name."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from onnx.backend.test import loader

        found = [case_of(c) for kind in kinds for c in loader.load_model_tests(kind=kind) if c.url is None]
    return sorted(found, key=lambda c: c.name)


def case_of(test: Any) -> Case:
    if test.model is not None:
        sets = [(list(map(array_of, i)), list(map(array_of, o))) for i, o in test.data_sets]
        return Case(test.name, test.model, sets, test.rtol, test.atol)
    import onnx

    folder = Path(test.model_dir)
    model = onnx.load(str(folder / "model.onnx"))
    sets = [
        (stored(d, "input", live_inputs(model)), stored(d, "output", model.graph.output))
        for d in sorted(folder.glob("test_data_set_*"))
    ]
    return Case(test.name, model, sets, test.rtol, test.atol)


def array_of(x: Any) -> Any:
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(x) if isinstance(x, TensorProto) else x


def live_inputs(model: Any) -> list[Any]:
    constants = {t.name for t in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in constants]


def stored(folder: Path, what: str, infos: Any) -> list[Any]:
    """The arrays of one data set; None for what is no tensor."""
    import onnx

    arrays: list[Any] = []
    for i, info in enumerate(infos):
        path = folder / f"{what}_{i}.pb"
        if not path.is_file() or not info.type.HasField("tensor_type"):
            arrays.append(None)
            continue
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        arrays.append(onnx.numpy_helper.to_array(tensor))
    return arrays


def run_case(case: Case) -> Outcome:
    outcome = Outcome(case.name, sorted({n.op_type for n in case.model.graph.node}), outside=outside(case))
    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            check(case, outcome)
    except EdgeError as error:
        outcome.problem = f"refused: {error}"
    except AssertionError as error:
        outcome.problem = "wrong: " + " ".join(str(error).split())[:200]
    except Exception as error:
        outcome.problem = f"failed: {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return outcome


def outside(case: Case) -> str:
    """Why the test is none of floats; empty where it is."""
    from onnx import TensorProto

    infos = [*live_inputs(case.model), *case.model.graph.output]
    if any(not i.type.HasField("tensor_type") for i in infos):
        return "sequences, maps and optional values"
    types = [i.type.tensor_type.elem_type for i in infos]
    strange = [TensorProto.DataType.Name(t).lower() for t in types if t not in FLOATS + OTHERS]
    if strange:
        return f"element type {strange[0]}"
    arrays = [np.asarray(a) for given, expected in case.sets for a in (*given, *expected) if a is not None]
    if any(a.size == 0 for a in arrays):
        return "tensors without items"
    if any(a.ndim > MAX_AXES for a in arrays):
        return f"more than {MAX_AXES} axes"
    if not set(types) & set(FLOATS):
        return f"integers of {TensorProto.DataType.Name(types[0]).lower()}"
    return ""


def too_long(signum: int, frame: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def check(case: Case, outcome: Outcome) -> None:
    inputs = live_inputs(case.model)
    for given, expected in case.sets:
        if any(not isinstance(a, np.ndarray | np.generic) for a in (*given, *expected)):
            raise Unsupported("a sequence, map or missing value as an input or output")
        arrays = {i.name: np.asarray(a) for i, a in zip(inputs, given, strict=False)}
        graph, outcome.constants = imported(case.model, arrays)
        live = [a for name, a in arrays.items() if name not in outcome.constants]
        compare(case, run_graph(graph, live), [np.asarray(e) for e in expected])


def imported(model: Any, arrays: dict[str, np.ndarray]) -> tuple[Graph, list[str]]:
    """The graph and the inputs that had to be constants; the first refusal where nothing helps."""
    refusals: list[EdgeError] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for baked in choices(arrays, [n.op_type for n in model.graph.node]):
            path.write_bytes(with_constants(model, arrays, baked).SerializeToString())
            try:
                shapes = {name: a.shape for name, a in arrays.items() if name not in baked and a.ndim}
                return passes.lower(passes.simplify(converters.load(path, shapes))), list(baked)
            except EdgeError as error:
                refusals.append(error)
                if "unsupported ops:" in str(error):
                    break
    telling = [e for e in refusals if not re.search("a constant|its constant form", str(e))]
    raise next(iter(telling or refusals), Unsupported("a model without inputs"))


def choices(arrays: dict[str, np.ndarray], ops: list[str]) -> Iterator[tuple[str, ...]]:
    """Which inputs to bake in: none first, then as few as possible, of those the last ones and integers first."""
    names = list(arrays)
    counts = range(len(names)) if len(names) <= MANY_INPUTS else (0, len(names) - 1)
    for count in counts:
        chosen = [c[::-1] for c in combinations(names[::-1], count)]
        yield from sorted(chosen, key=lambda c: sum(arrays[n].dtype.kind == "f" for n in c))
    if all(a.ndim == 0 for a in arrays.values()) or ops == ["ConstantOfShape"]:
        yield tuple(names)


def with_constants(model: Any, arrays: dict[str, np.ndarray], baked: Sequence[str]) -> Any:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [i for i in copy.graph.input if i.name not in baked]
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    types = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    copy.graph.initializer.extend(tensor_of(n, arrays[n], types[n]) for n in baked)
    if not kept:  # a model has an input, be it one that nothing reads
        copy.graph.input.append(onnx.helper.make_tensor_value_info("unread", onnx.TensorProto.FLOAT, [1]))
    return copy


def tensor_of(name: str, array: np.ndarray, kind: int) -> Any:
    from onnx import numpy_helper

    tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
    if tensor.data_type != kind:
        raise Unsupported(f"input {name!r} of element type {kind} is given as {array.dtype}")
    return tensor


def run_graph(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs in the source's layout."""
    board = boards.load("host")
    planned = schedule.schedule(graph, board.core.isa)
    written = program.assemble(planned, memory.plan(planned), {})
    session = runtime.open_session(program.write(written))
    layouts = [graph.metadata["input_layouts"].get(v.name) for v in graph.inputs]
    inputs = inputs or [np.zeros(v.shape, v.dtype) for v in graph.inputs]  # of a model that reads none
    fed = [
        laid_out(a, layout).astype(v.dtype, order="C").reshape(v.shape)
        for a, layout, v in zip(inputs, layouts, graph.inputs, strict=True)
    ]
    found = runtime.run(session, fed)
    back = [graph.metadata["output_layouts"].get(v.name) for v in graph.outputs]
    return [a.transpose(np.argsort(LAYOUTS[how])) if how else a for a, how in zip(found, back, strict=True)]


def laid_out(array: np.ndarray, layout: str | None) -> np.ndarray:
    return array.transpose(LAYOUTS[layout]) if layout else array


def compare(case: Case, found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected), f"{len(found)} outputs, expected {len(expected)}"
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
        if got.dtype.kind == "f" and is_float(want.dtype):
            rtol = max(case.rtol, 2 * UNITS.get(want.dtype.name, 0.0))
            np.testing.assert_allclose(got, want.astype(np.float32), rtol, case.atol)
        else:
            assert got.dtype == want.dtype or (got.dtype, want.dtype.name) in SMALL, f"{got.dtype} for {want.dtype}"
            np.testing.assert_array_equal(got, want.astype(got.dtype))


SMALL = ((np.dtype("int8"), "int4"), (np.dtype("uint8"), "uint4"))  # 4-bit items travel in bytes


UNITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}  # in the last place, of 1


def is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def run_all(chosen: Sequence[Case]) -> list[Outcome]:
    return [run_case(case) for case in chosen]


def passing_ops(outcomes: Sequence[Outcome]) -> list[str]:
    """Operators with a test of their own that passed: a model of one node."""
    return sorted({o.ops[0] for o in outcomes if not o.problem and len(o.ops) == 1})


def show(outcomes: Sequence[Outcome]) -> None:
    tested, passed = Counter[str](), Counter[str]()
    for o in (o for o in outcomes if len(o.ops) == 1):
        tested[o.ops[0]] += 1
        passed[o.ops[0]] += not o.problem
    table = Table("op", "passed", "tests")
    for op in sorted(tested):
        table.add_row(op, str(passed[op]), str(tested[op]))
    console = Console(width=160)
    console.print(table)
    names = passing_ops(outcomes)
    show_limits(console, outcomes, names)
    console.print(f"{len(names)} operators with passing tests: {' '.join(names)}")
    total = sum(not o.problem for o in outcomes)
    console.print(f"{total} of {len(outcomes)} tests pass ({total / max(len(outcomes), 1):.1%})")


def reason(outcome: Outcome) -> str:
    """Why a test of a supported operator fails, as one phrase."""
    if outcome.outside:
        return outcome.outside
    if "wrong: shape" in outcome.problem and outcome.ops == ["NonMaxSuppression"]:
        return "a result as long as the data make it: max_output_boxes_per_class rows, those behind the last box are -1"
    found = re.search(r"unsupported: .*?'.*?' \((.*)\)$", outcome.problem)
    return found[1] if found else outcome.problem


def show_limits(console: Console, outcomes: Sequence[Outcome], supported: Sequence[str]) -> None:
    """What the supported operators lack, by reason, and how many of their float tests pass."""
    own = [o for o in outcomes if o.ops[0] in supported and len(o.ops) == 1]
    failed: dict[str, list[Outcome]] = {}
    for o in (o for o in own if o.problem):
        failed.setdefault(reason(o), []).append(o)
    table = Table("supported, but for", "tests", "operators")
    for why in sorted(failed, key=lambda w: -len(failed[w])):
        table.add_row(why, str(len(failed[why])), " ".join(sorted({o.ops[0] for o in failed[why]})))
    console.print(table)
    floats = [o for o in own if not o.outside]
    passed = sum(not o.problem for o in floats)
    console.print(f"{passed} of {len(floats)} float tests of supported operators pass")
    for o in (o for o in floats if o.problem):
        console.print(f"  {o.name}: {reason(o)}", markup=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="tests whose name holds this")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write-passing", type=Path, help="the names of the tests that pass, one per line")
    options = parser.parse_args()
    outcomes = run_all([c for c in cases(options.kinds.split(",")) if options.only in c.name])
    show(outcomes)
    if options.json:
        options.json.write_text(json.dumps([vars(o) for o in outcomes], indent=1))
    if options.write_passing:
        options.write_passing.write_text("".join(f"{o.name}\n" for o in outcomes if not o.problem))
    return 0


if __name__ == "__main__":
    sys.exit(main())
