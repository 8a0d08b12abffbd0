# SPDX-License-Identifier: Apache-2.0
"""What --quantize auto makes of layers beside 4 and 8 bits of weights: activations of 16 bits, and float."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketch import Sketch

from edgesdk import accuracy, compress, cost, flow, memory, ops, passes, program, ptq, runtime, schedule
from edgesdk.boards import Board
from edgesdk.compress import precision
from edgesdk.compress.calibrate import calibrate
from edgesdk.compress.observe import Observed
from edgesdk.compress.quantize import quantized
from edgesdk.compress.schemes import INT8, asymmetric
from edgesdk.compress.work import Work
from edgesdk.errors import DoesNotFit, Unsupported, UsageError
from edgesdk.ir import Graph
from edgesdk.ops import normalize
from edgesdk.verify import verify

DIGITS = Path(__file__).parents[2] / "apps" / "digits" / "digits.onnx"


def network(spread: float = 1.0) -> tuple[Sketch, Graph]:
    """Convolutions with a pool and a residual sum between; one channel of the second is `spread` times the others, and
    the layer that reads it makes up for it."""
    s = Sketch((1, 6, 6, 3))
    x = s.op("conv2d", s.inputs[0], s.constant(8, 3, 3, 3), s.constant(8), activation="relu")
    w, b, after = s.constant(8, 3, 3, 8, scale=0.2), s.constant(8), s.constant(8, 3, 3, 8, scale=0.2)
    for data in (w.data, b.data):
        assert data is not None
        data[0] *= spread
    assert after.data is not None
    after.data[..., 0] /= spread
    y = s.op(
        "max_pool2d", s.op("conv2d", x, w, b), kernel=(2, 2), stride=(1, 1), padding=(0, 0, 1, 1), activation="none"
    )
    z = s.op("add", s.op("conv2d", y, after, None), x)
    mean = s.op("mean", z, axes=(1, 2), keep_dims=False)
    return s, s.graph(s.op("fully_connected", mean, s.constant(5, 8), s.constant(5)))


def run(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """On the C runtime."""
    steps = schedule.schedule(passes.lower(graph.copy()), ("c",))
    return runtime.run(runtime.open_session(program.write(program.assemble(steps, memory.plan(steps)))), inputs)


def error(floats: Graph, result: Graph, columns: np.ndarray, exact: bool = True) -> float:
    """Relative L2 of the output; a program of integers gives the reference's bytes."""
    difference = norm = 0.0
    for x in columns:
        (stored,) = accuracy.quantised_inputs(result, [[x]])
        got, expected = run(result, stored)[0], ops.evaluate(result, stored)[result.outputs[0]]
        assert not exact or got.tobytes() == expected.tobytes()
        wanted = ops.evaluate(floats, [x])[floats.outputs[0]]
        difference += float(np.square(accuracy.real(result.outputs[0], got) - wanted).sum())
        norm += float(np.square(wanted).sum())
    return float(np.sqrt(difference / norm))


def applied(graph: Graph, columns: np.ndarray, recipe: str = "auto", **more: Any) -> Work:
    work = compress.apply(compress.recipe(recipe), Work(graph, [columns], how="minmax", **more))
    assert work.result is not None
    verify(work.result)
    return work


def test_noise_is_that_of_rounding_and_clipping() -> None:
    rng = np.random.default_rng(0)
    for high in (4.0, 1.0, 0.3):
        o, x = Observed(), rng.normal(0, 1, 20000).astype(np.float32)
        o.add(x)
        q = asymmetric(-high, high)
        steps = np.clip(np.rint(x / q.scale[0]) + q.zero_point[0], -128, 127) - q.zero_point[0]
        measured = float(np.square(steps * q.scale[0] - x).mean())
        assert precision.squared_error(o, q) == pytest.approx(measured, rel=0.1)
        assert precision.mean_square(o) == pytest.approx(float(np.square(x).mean()), rel=1e-3)
    zeros = Observed()
    zeros.add(np.zeros(9, np.float32))
    assert precision.squared_error(zeros, asymmetric(0.0, 0.0)) == 0.0


def test_a_value_that_8_bits_spoil_gets_16_with_all_that_touches_it() -> None:
    s, graph = network(spread=200.0)
    columns = s.samples(16)[0]
    work = applied(graph, columns)
    assert work.result is not None
    kinds = {n.op: work.raised.get(n.output) for n in graph.nodes}
    assert kinds["max_pool2d"] == "int16", "it moves the noisy bytes"
    spoilt = {n.output.name for n in graph.nodes[1:4]}
    assert {v.name for v in work.raised} == spoilt and set(work.raised.values()) == {"int16"}
    names = {n.output.name: n for n in work.result.nodes}
    assert [names[v].output.dtype for v in sorted(spoilt)] == ["int16"] * 3
    assert names["v0/as_int16"].op == names["v3/as_int8"].op == "quantize"
    assert ptq.activation_bits(work.result) == {"8": 2, "16": 2}
    assert {names[v].input(1).dtype for v in ("v1", "v3")} == {"int8"}, "16 bits have no kernel for 4"
    assert error(graph, work.result, s.samples(6)[0]) < 0.5 * error(
        graph, applied(graph, columns, "int8").result, columns
    )


def test_what_8_bits_suit_stays_as_it_is() -> None:
    s, graph = network()
    assert applied(graph, s.samples(16)[0]).raised == {}


@settings(max_examples=8)
@given(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), st.booleans())
def test_any_mix_computes_what_the_reference_does(wide: set[int], floats: set[int], edges: bool) -> None:
    s, graph = network()
    columns = s.samples(6)[0]
    kinds = {graph.nodes[i].output: "int16" for i in wide} | {graph.nodes[i].output: "float32" for i in floats}
    ranges, io = calibrate(graph, [columns]), "float32" if edges else "integer"
    result = verify(quantized(graph, ranges, INT8, io, raised=kinds, finer=ranges))
    assert [v.name for v in (*result.inputs, *result.outputs)] == ["x0", graph.outputs[0].name]
    kernels = {
        n.output.name.split("/")[0]: n.input(0).dtype for n in result.nodes if n.op not in ("quantize", "dequantize")
    }
    for i, node in enumerate(graph.nodes):
        assert kernels[node.output.name] == ("float32" if i in floats else "int16" if i in wide else "int8")
    assert error(graph, result, columns, exact=not floats and not edges) < 0.05


def costing(each: float) -> Any:
    """An estimate for tests: every node of 16 bits or float takes `each`, all others nothing."""
    return lambda graph: sum(each for n in graph.nodes if n.output.dtype != "int8" and n.op != "dequantize")


def test_a_latency_is_spent_on_the_noisiest_values() -> None:
    s, graph = network(spread=20.0)
    columns, found = s.samples(16)[0], []
    for budget in (0.0, 6.0, 100.0):
        work = applied(graph, columns, latency_us=budget, estimate=costing(1.0))
        assert work.result is not None and costing(1.0)(work.result) <= budget
        found.append((len(work.raised), error(graph, work.result, columns)))
    assert (
        [n for n, _ in found] == sorted(n for n, _ in found) and found[0][0] == 0 and found[-1][0] == len(graph.nodes)
    )
    assert found[-1][1] < 0.6 * found[0][1]
    noises = [u.noise for u in precision.units(work)]
    assert noises == sorted(noises, reverse=True)


def test_kernels_without_a_price_are_not_chosen() -> None:
    """Of 16 bits there is no estimate here: float is the choice; without any estimate none is."""
    s, graph = network(spread=20.0)
    columns = s.samples(16)[0]

    def known(graph: Graph) -> float | None:
        return None if any(v.dtype == "int16" for n in graph.nodes for v in n.outputs) else 1.0

    work = applied(graph, columns, latency_us=2.0, estimate=known)
    assert set(work.raised.values()) == {"float32"}
    assert applied(graph, columns, latency_us=2.0, estimate=lambda _: None).raised == {}


def test_flash_is_kept() -> None:
    s, graph = network(spread=200.0)
    columns = s.samples(16)[0]

    def sizes(**more: Any) -> tuple[int, int]:
        work = applied(graph, columns, file_bytes=lambda g: flow.file_bytes(("c",), g), **more)
        assert work.result is not None
        return flow.file_bytes(("c",), work.result), len(work.raised)

    wide, raised = sizes(flash=10**6)
    assert raised == 3
    for budget in range(wide - 1, wide - 1200, -300):
        n_bytes, raised = sizes(flash=budget)
        assert n_bytes <= budget or raised == 0
    assert raised == 0, "16 bits are given up where flash is short"


def test_ops_without_16_bits_are_raised_to_float_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(normalize.MAX_ITEMS, "int16", 1)
    s = Sketch((1, 4, 6))
    x = s.op("fully_connected", s.inputs[0], s.constant(6, 6, scale=30.0), None)
    norm = s.op("rms_norm", s.op("mul", x, s.constant(1, 1, 6, scale=1.0)), None, axis=2, epsilon=1e-5)
    graph = s.graph(s.op("fully_connected", norm, s.constant(3, 6), None))
    data = s.samples(40)[0]
    data[0] *= 300  # an outlier
    specs = flow.input_specs(graph)
    q = ptq.quantise(graph, "auto", {"x0": data}, "minmax", specs, latency_us=9.0, estimate=lambda _: 1.0)
    assert q.work.raised[norm] == "float32" and "8 bits would add more noise" in q.left["n2"]
    assert any(n.op == "rms_norm" and n.output.dtype == "float32" for n in q.graph.nodes)
    error(graph, q.graph, data[:3], exact=False)


def digits() -> dict[str, np.ndarray]:
    graph = flow.base_schedule(DIGITS).source
    return {graph.inputs[0].name: np.random.default_rng(0).random((40, *graph.inputs[0].shape), np.float32)}


def test_a_latency_needs_a_cycle_model_before_anything_is_computed() -> None:
    with pytest.raises(Unsupported, match="--latency: no cycle model for .* on mps2_an386; leave it out and profile"):
        flow.convert(DIGITS, "mps2_an386", quantize="auto", calibration="no such file", latency_us=2e4)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> str:
    """A board whose core has cycles per instruction and whose clock is known."""
    known = cost.prices()["cortex-m4"]
    kernels = {**known.kernels}
    prices = cost.CorePrices(dispatch=known.dispatch, kernels=kernels, cycles_per_instruction=1.5, source="a test")
    monkeypatch.setattr(cost, "prices", lambda: {"cortex-m4": prices})
    monkeypatch.setattr(Board, "clock_hz", 100_000_000, raising=False)
    return "mps2_an386"


def test_convert_spends_a_latency(timed: str) -> None:
    pytest.importorskip("onnx")
    convert = partial(flow.convert, DIGITS, timed, calibration=digits(), portable=True)
    cheapest = flow.report(convert(quantize="int8"))["estimate"]["latency_us"]
    raised = []
    for times in (1.2, 3.0, 50.0):
        report = flow.report(convert(quantize="auto", latency_us=times * cheapest))
        assert report["estimate"]["latency_us"] <= times * cheapest
        raised.append(sum(n for bits, n in report["accuracy"]["activation_bits"].items() if bits != "8"))
    assert raised == sorted(raised) and raised[-1] > 0
    with pytest.raises(DoesNotFit, match="the fastest schedule takes"):
        convert(quantize="auto", latency_us=cheapest / 10)


def transformer(s: Sketch, after: bool) -> Graph:
    """Two blocks of a layer with a residual sum, whose norm comes last or first; places make one channel of the sums
    far larger than the others, which the norms undo."""
    places, weigh = s.constant(1, 6, 12), s.constant(12, scale=0.1)
    assert places.data is not None and weigh.data is not None
    places.data[..., 0] += 30
    weigh.data[1:] += 8
    x = s.op("add", s.inputs[0], places)
    for _ in range(2):
        read = x if after else s.op("layer_norm", x, weigh, s.constant(12), axis=2, epsilon=1e-5)
        x = s.op("add", x, s.op("fully_connected", read, s.constant(12, 12, scale=0.1), s.constant(12)))
        x = s.op("layer_norm", x, weigh, None, axis=2, epsilon=1e-5) if after else x
    norm = s.op("layer_norm", x, weigh, None, axis=2, epsilon=1e-5)
    return s.graph(s.op("fully_connected", norm, s.constant(4, 12), None))


@pytest.mark.parametrize("after", [False, True])
def test_fine_sums_are_nearer_to_float(after: bool) -> None:
    s = Sketch((1, 6, 12))
    graph = transformer(s, after)
    columns, compared = s.samples(16)[0], s.samples(8)[0]
    usual, fine = (applied(graph, columns, recipe) for recipe in ("int8", "int8+fine_sums"))
    assert usual.result is not None and fine.result is not None
    sums = [n for n in fine.result.nodes if n.op == "add"]
    assert len(sums) == 3 and {n.output.dtype for n in sums} == {"int16"}
    assert {n.output.dtype for n in fine.result.nodes if n.op == "fully_connected"} == {"int8"}
    # The norm behind another norm reads no sum.
    assert [n.output.dtype for n in fine.result.nodes if n.op == "layer_norm"][-1] == ("int8" if after else "int16")
    assert error(graph, fine.result, compared, exact=False) < 0.8 * error(graph, usual.result, compared)


def test_fine_sums_need_norms_and_8_bit_activations() -> None:
    s, graph = network()
    assert applied(graph, s.samples(8)[0], "int8+fine_sums").raised == {}
    for recipe in ("int16x8+fine_sums", "w8+fine_sums"):
        with pytest.raises(UsageError, match="fine_sums is for 8-bit activations"):
            compress.recipe(recipe)


def test_what_float_computes_is_rounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum in 16 bits that reads a norm in float takes it from there, not from the 8 bits for others."""
    monkeypatch.setitem(normalize.MAX_ITEMS, "int16", 1)
    s = Sketch((1, 6, 12))
    graph = transformer(s, after=True)
    work = applied(graph, s.samples(8)[0], "int8+fine_sums")
    assert work.result is not None
    producers = work.result.producers()
    before = [producers[v] for n in work.result.nodes if n.op == "add" for v in n.inputs if v in producers]
    sources = {n.input(0).dtype for n in before if n.op == "quantize"}
    assert "float32" in sources
