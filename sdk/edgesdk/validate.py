# SPDX-License-Identifier: Apache-2.0
"""Compares what a program computes with the source model's numpy reference, output by output and step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from edgesdk import accuracy as accuracies
from edgesdk import compress, ops, passes, probe, runtime
from edgesdk.compress import masks
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Node, Value
from edgesdk.program import Program

Runner = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
StepRunner = Callable[[Sequence[np.ndarray]], list[bytes]]  # of every step the bytes of its output


class Stepped(Protocol):
    """A session of a runner."""

    def reset(self) -> None: ...

    def step_outputs(self, inputs: Sequence[np.ndarray]) -> list[bytes]: ...


def real(array: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """float64 values of a tensor, dequantised where it has a scale."""
    wide = array.astype(np.float64)
    return (wide - zero_point) * scale if scale else wide


def compare(got: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Differences of two float64 arrays."""
    difference = got - expected
    norm = float(np.linalg.norm(expected))
    size = float(np.linalg.norm(got)) * norm
    error = float(np.linalg.norm(difference))
    return {
        "max_abs_diff": float(np.abs(difference).max(initial=0.0)),
        "rel_l2": error / norm if norm else error,
        "cosine": float((got * expected).sum()) / size if size else float(np.array_equal(got, expected)),
        "mae": float(np.abs(difference).mean()) if difference.size else 0.0,
    }


def reference_outputs(
    graph: Graph, inputs: Sequence[Sequence[np.ndarray]], tick: Callable[[], None]
) -> list[list[np.ndarray]]:
    """Outputs of the source graph for each sample; variables go on from one to the next."""
    results, state = [], graph.state()
    for sample in inputs:
        arrays = ops.evaluate(graph, list(sample), state)
        results.append([arrays[v] if v.data is None else v.data for v in graph.outputs])
        tick()
    return results


def validate(
    program: Program,
    run: Runner,
    program_inputs: Sequence[Sequence[np.ndarray]],
    graph: Graph,
    graph_inputs: Sequence[Sequence[np.ndarray]],
    labels: np.ndarray | None = None,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The JSON object of `edgesdk validate`: worst step apart (see `worst_step`)."""
    _check_outputs(program, graph)
    expected = reference_outputs(graph, graph_inputs, tick)
    got = []
    for sample in program_inputs:
        got.append(run(sample))
        tick()
    outputs = []
    for i, (tensor, value) in enumerate(zip(program.outputs, graph.outputs, strict=True)):
        a, b = np.stack([g[i] for g in got]), np.stack([e[i] for e in expected])
        scale, zero = (value.scale, value.zero_point) if value.quant is not None else (0.0, 0)
        row = compare(real(a, tensor.scale, tensor.zero_point), real(b, scale, zero).reshape(a.shape))
        same = a.dtype == b.dtype and a.tobytes() == b.tobytes()
        outputs.append({"name": tensor.name, "equal": same, **row})
    result: dict[str, Any] = {"outputs": outputs, "samples": len(got), "sequence": bool(graph.variables)}
    if labels is not None:
        for n, (ours, theirs) in tops(got, expected, labels).items():
            result[f"top{n}"], result[f"top{n}_reference"] = ours, theirs
    return result


def keep_states(program: Program, graph: Graph) -> None:
    """The source model keeps what the program keeps between runs, so that its samples are a sequence, too."""
    for given, left in program.metadata.get("states", {}).items():
        graph.keep(given, left)
    if program.variables and not graph.variables:
        raise UsageError(
            f"the program keeps {len(program.variables)} states between runs, {graph.name!r} keeps none; "
            f"expected the model that it was converted from, or convert it again with its states"
        )


def _check_outputs(program: Program, graph: Graph) -> None:
    ours, theirs = [math.prod(t.shape) for t in program.outputs], [v.elements for v in graph.outputs]
    if ours != theirs:
        raise UsageError(
            f"the program's outputs have {ours} elements, those of {graph.name!r} have {theirs}; "
            f"expected the model that the program was converted from"
        )


def tops(
    got: list[list[np.ndarray]], expected: list[list[np.ndarray]], labels: np.ndarray
) -> dict[int, tuple[float, float]]:
    """Top-n of both by their first outputs."""
    ours, theirs = (accuracies.top([o[0] for o in outputs], labels) for outputs in (got, expected))
    return {n: (ours[n], theirs[n]) for n in ours}


def fresh_steps(data: bytes, session: Stepped) -> StepRunner:
    """A session from the first contents of its variables: here, with the program's own kernels, which is faster and
    gives the same bytes, or, where it has not got the program's kernels, on the target."""
    try:
        return partial(runtime.step_outputs, runtime.open_session(data, pack=False))
    except runtime.LoadError:
        session.reset()
        return session.step_outputs


def worst_step(
    run: StepRunner, program: Program, sample: Sequence[np.ndarray], graph: Graph, graph_sample: Sequence[np.ndarray]
) -> dict[str, Any] | None:
    """The step whose output is farthest (relative L2) from the source value of the same name."""
    arrays = ops.evaluate(graph, list(graph_sample))
    by_name = {v.name: (v, a) for v, a in arrays.items()}
    produced = run(sample)
    worst: dict[str, Any] | None = None
    for i, (info, raw) in enumerate(zip(program.metadata.get("steps", []), produced, strict=True)):
        if info["value"] not in by_name:
            continue
        error = _step_error(info, raw, *by_name[info["value"]])
        if error is not None and (worst is None or error > worst["rel_l2"]):
            worst = {"step": i, "op": info["op"], "source": info["source"], "rel_l2": error}
    return worst


def _step_error(info: dict[str, Any], raw: bytes, value: Value, expected: np.ndarray) -> float | None:
    if len(raw) % np.dtype(info["dtype"]).itemsize:
        return None
    got = np.frombuffer(raw, info["dtype"])
    if got.size != expected.size:
        return None
    scale, zero = info.get("quant", (0.0, 0))
    wanted = real(expected, value.scale, value.zero_point) if value.quant is not None else real(expected, 0.0, 0)
    return compare(real(got, scale, zero), wanted.ravel())["rel_l2"]


def layer_report(
    run: StepRunner,
    program: Program,
    samples: Sequence[Sequence[np.ndarray]],
    graph: Graph,
    graph_samples: Sequence[Sequence[np.ndarray]],
) -> dict[str, Any]:
    """ "layers" and "worst_layer": each value that the program and the source have both, on some of the samples."""
    reference = float_twin(program, graph)
    at = accuracies.chosen(graph, len(samples))
    infos = program.metadata.get("steps", [])
    by_name = {v.name: (v, n) for n in reference.nodes for v in n.outputs}
    pairs = [
        (i, info, *by_name[n]) for i, info in enumerate(infos) if (n := accuracies.plain_name(info["value"])) in by_name
    ]
    found = {i: accuracies.Difference() for i, *_ in pairs}
    scores = masks.scores(reference)
    expected = probe.run_all(reference, [list(graph_samples[i]) for i in at])
    for i, arrays in zip(at, expected, strict=True):
        produced = run(list(samples[i]))
        for step, info, value, _ in pairs:
            add_step(found[step], info, produced[step], accuracies.real(value, arrays[value]), value in scores)
    rows = [layer_row(info, node, found[i]) for i, info, _, node in pairs if found[i].count]
    return {"layers": rows, "worst_layer": accuracies.worst(rows)}


def float_twin(program: Program, graph: Graph) -> Graph:
    """The source as its layers were before they were quantised: the recipe's methods on the float side applied."""
    name = str(program.metadata.get("quantization", ""))
    floats = passes.simplify(graph.copy())
    if all(v.quant is None for v in graph.inputs) and name.split("+")[0] in compress.SCHEMES:
        return compress.prepared(floats, compress.recipe(name))
    return floats


def add_step(
    difference: accuracies.Difference, info: dict[str, Any], raw: bytes, expected: np.ndarray, score: bool
) -> None:
    dtype = np.dtype(info["dtype"])
    if len(raw) != expected.size * dtype.itemsize:
        return
    scale, zero = info.get("quant", (0.0, 0))
    got = real(np.frombuffer(raw, dtype), scale, zero)
    ends = accuracies.limits_of(scale, zero, info["dtype"]) if scale else None
    difference.add(got, accuracies.counted(expected, ends, score), ends)


def layer_row(info: dict[str, Any], node: Node, difference: accuracies.Difference) -> dict[str, Any]:
    name = {"name": info["value"], "op": node.op, "source": node.source, "dtype": info["dtype"]}
    return {**name, **difference.measures()}


def accuracy(
    data: bytes,
    program_inputs: Sequence[Sequence[np.ndarray]],
    graph: Graph,
    graph_inputs: Sequence[Sequence[np.ndarray]],
    labels: np.ndarray,
) -> dict[str, dict[str, float]]:
    """ "top1" and "top5" of the program on this machine and of the source graph's reference."""
    session = runtime.open_session(data)
    got = [runtime.run(session, list(sample)) for sample in program_inputs]
    expected = reference_outputs(graph, graph_inputs, lambda: None)
    found = tops(got, expected, labels)
    return {f"top{n}": {"program": ours, "reference": theirs} for n, (ours, theirs) in found.items()}
