# SPDX-License-Identifier: Apache-2.0
"""Weights of 4 and 8 bits: how their integers are chosen, and what the recipes with them make of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import Builder
from hypothesis import given, settings
from hypothesis import strategies as st
from sketch import Sketch

from edgesdk import accuracy, compress, flow, memory, ops, passes, program, runtime, schedule
from edgesdk.compress import layerwise, rounding, sensitivity
from edgesdk.compress.gptq import gptq
from edgesdk.compress.learn_rounding import learn_rounding
from edgesdk.compress.narrow_weights import ROUNDINGS
from edgesdk.compress.sensitivity import Cost
from edgesdk.compress.smooth import smooth
from edgesdk.compress.work import Work
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value
from edgesdk.verify import verify

DIGITS = Path(__file__).parents[2] / "apps" / "digits" / "digits.onnx"


def problem(seed: int, k: int = 24, outputs: int = 8, group: int = 0, bits: int = 4) -> rounding.Problem:
    """Inputs that vary together, as neighbouring pixels do."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((2, k, k)) + 3 * np.ones((k, 1)) * rng.standard_normal((2, 1, k))
    rows = rng.standard_normal((2, 400, k)) @ mix
    gram = rounding.damped(rounding.covariance(rows, rows))
    return rounding.problem(rng.standard_normal((2, outputs, k)), gram, bits, np.full((2, outputs), 1e-9), group)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 24), st.sampled_from([0, 4]), st.sampled_from([4, 8]))
def test_no_method_leaves_the_range_or_is_worse_than_it_may_be(seed: int, k: int, group: int, bits: int) -> None:
    p = problem(seed, k, group=group, bits=bits)
    near = rounding.nearest(p)
    base = rounding.objective(p, near)
    for method in ROUNDINGS.values():
        q = method(p)
        assert np.array_equal(q, np.rint(q)) and q.min() >= p.low and q.max() <= p.high
    slack = 1e-9 * base.max()
    assert (rounding.objective(p, rounding.polished(p, near.copy())) <= base + slack).all()
    assert (rounding.objective(p, learn_rounding(p)) <= base + slack).all()


def test_methods_that_know_the_inputs_beat_the_nearest_integer() -> None:
    for seed in range(3):
        p = problem(seed)
        base = rounding.objective(p, rounding.nearest(p)).sum()
        assert rounding.objective(p, gptq(p)).sum() < 0.5 * base
        assert rounding.objective(p, learn_rounding(p)).sum() < 0.8 * base


def test_a_refitted_scale_is_no_worse() -> None:
    p = problem(5)
    q = gptq(p)
    before = rounding.objective(p, q)
    rounding.refit(p, q, np.full(p.scale.shape, 1e-9))
    assert (rounding.objective(p, q) <= before * (1 + 1e-9)).all()


def test_groups_have_factors_of_1_to_16() -> None:
    p = problem(1, 24, group=8)
    assert p.factors.shape == (2, 8, 3) and p.factors.min() >= 1 and p.factors.max() == 16
    assert np.array_equal(p.step[..., 8], p.scale * p.factors[..., 1])


def network(seed: int = 0) -> Graph:
    b = Builder(seed, "float32")
    x = b.input((1, 12, 10, 3))
    y = b.depthwise(b.conv(x, 8, 3, 2), 3, 1)
    b.classifier(b.conv(b.conv(y, 40, 1, 1), 12, 3, 1), 5)
    nodes = b.nodes[:-1]  # its softmax would hide how far the logits are
    return Graph("net", [x], [nodes[3].output, nodes[-1].output], nodes)


def pictures(n: int, seed: int) -> np.ndarray:
    """Neighbouring pixels are alike."""
    noise = np.random.default_rng(seed).standard_normal((n, 1, 12, 10, 3))
    return (noise.cumsum(2).cumsum(3) / 6).astype(np.float32)


def columns(n: int = 16) -> list[np.ndarray]:
    return [pictures(n, 1)]


def test_rows_are_the_windows_that_a_layer_sums_up() -> None:
    graph = network()
    samples = [[c] for c in columns(3)[0]]
    arrays = [ops.evaluate(graph, s) for s in samples]
    found = list(layerwise.layers(graph, graph.copy(), samples))
    assert [layer.node.op for layer in found] == ["conv2d", "depthwise_conv2d", "conv2d", "conv2d", "fully_connected"]
    for layer in found:
        sums = layer.rows.astype(np.float64) @ layer.weights.transpose(0, 2, 1)  # [problems, rows, outputs]
        sums = sums.transpose(1, 0, 2).reshape(layer.rows.shape[1], -1) + layer.floats.input(2).data
        if layer.floats.attrs["activation"] == "relu":
            sums = np.maximum(sums, 0)
        whole = np.concatenate([a[layer.floats.output].reshape(-1, sums.shape[1]) for a in arrays])
        np.testing.assert_allclose(sums, whole, rtol=1e-4, atol=1e-4)


def test_rows_of_large_layers_are_some_of_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerwise, "MOST_ROWS", 20)
    graph, samples = network(), [[c] for c in columns(4)[0]]
    assert [layer.rows.shape[1] for layer in layerwise.layers(graph, graph.copy(), samples)][:2] == [20, 20]


def applied(recipe: str, **more: Any) -> Work:
    how = "headroom" if recipe.startswith("int16x8") else "mse"
    return compress.apply(compress.recipe(recipe), Work(network(), columns(), how=how, **more))


def session(graph: Graph) -> runtime.Session:
    steps = schedule.schedule(passes.lower(graph.copy()), ("c",))
    return runtime.open_session(program.write(program.assemble(steps, memory.plan(steps), {})))


def error(work: Work) -> float:
    """Relative L2 of the last image on samples of another seed; the runtime gives the reference's bytes."""
    assert work.result is not None
    graph, opened = verify(work.result), session(work.result)
    difference = norm = 0.0
    for x in pictures(6, 7):
        expected = ops.evaluate(network(), [x])
        inputs = layerwise.quantised_samples(graph, [[x]])[0]
        arrays = ops.evaluate(graph, inputs)
        got = arrays[graph.outputs[0]]
        if got.dtype != np.float32:
            assert np.array_equal(runtime.run(opened, inputs)[0], got)
        else:
            np.testing.assert_allclose(runtime.run(opened, inputs)[0], got, rtol=1e-4, atol=1e-6)
        value = graph.outputs[0]
        real = got if value.quant is None else (got.astype(np.float64) - value.zero_point) * value.scale
        wanted = next(a for v, a in expected.items() if v.name == value.name)
        difference += float(((real - wanted) ** 2).sum())
        norm += float((wanted**2).sum())
    return float(np.sqrt(difference / norm))


def test_second_order_rounding_is_nearer_to_float() -> None:
    near, second, learned = (error(applied(f"int4+{r}")) for r in ("round_nearest", "gptq", "learn_rounding"))
    assert second < 0.9 * near and learned < 0.9 * near


@pytest.mark.parametrize(("recipe", "bits"), [("int8+gptq", "int8"), ("int4", "int4"), ("w8", "int8"), ("w4", "int4")])
def test_recipes_give_weights_of_their_type(recipe: str, bits: str) -> None:
    work = applied(recipe)
    assert work.result is not None
    found = [n.input(1).dtype for n in work.result.nodes if len(n.inputs) == 3]
    assert set(found[1:-1]) == {bits}
    assert error(work) < (0.02 if bits == "int8" else 0.15)


def test_16_bit_activations_show_what_the_weights_lose() -> None:
    near, usual, refined = (error(applied(f"int16x8{r}")) for r in ("+round_nearest", "", "+refine_weights"))
    assert usual < 0.8 * near and refined < 0.2 * usual


def test_refined_layers_are_sums_of_a_coarse_and_a_fine_one() -> None:
    work = applied("int16x8+refine_weights")
    assert work.result is not None
    sums = [n for n in work.result.nodes if n.op == "add"]
    before = {n.output.name: n for n in work.floats.nodes}
    assert sums and all(n.attrs["activation"] == before[n.output.name].attrs["activation"] for n in sums)
    nodes = {n.output: n for n in work.result.nodes}
    for total in sums:
        coarse, fine = (nodes[total.input(i)] for i in (0, 1))
        real = sum(real_weights(n) for n in (coarse, fine))
        wanted = before[total.output.name].input(1).data
        assert coarse.input(2) is not None and fine.optional(2) is None
        assert np.abs(real - wanted).max() <= 1e-4 * np.abs(wanted).max()


def real_weights(node: Any) -> np.ndarray:
    """What a layer's integers stand for."""
    w = node.input(1)
    axis = [-1 if i == w.quant.axis else 1 for i in range(w.data.ndim)]
    return w.data * w.quant.scale.astype(np.float64).reshape(axis)


def test_the_default_of_16_bits_looks_at_some_samples() -> None:
    work = Work(network(), columns(100))
    for name, count in (("int16x8", 32), ("int16x8+gptq", 100), ("int4", 100)):
        assert len(compress.rounding_samples(compress.recipe(name), work)) == count


@pytest.mark.parametrize("recipe", ["int4", "w4"])
def test_groups_of_32(recipe: str) -> None:
    work = applied(recipe, group=32)
    assert work.result is not None
    quants = [n.input(1).quant for n in work.result.nodes if len(n.inputs) == 3]
    assert [0 if q.factors is None else q.factors.shape[1] for q in quants[1:4]] == [0, 0, 12]  # windows of 9, 8, 360
    assert error(work) < 0.15


def test_equal_samples_and_empty_channels_do_no_harm() -> None:
    graph = network()
    graph.nodes[0].inputs[1].data[3] = 0
    work = compress.apply(compress.recipe("int4"), Work(graph, [np.repeat(columns(1)[0], 3, 0)]))
    assert work.result is not None and session(work.result)
    assert all(np.isfinite(n.input(1).quant.scale).all() for n in work.result.nodes if len(n.inputs) == 3)


def uneven() -> Graph:
    """Two channels of the first layer are far larger than the others, and hardly read."""
    graph = network(3)
    first, second = graph.nodes[2], graph.nodes[3]
    for i in (1, 2):
        data = first.inputs[i].data.copy()
        data[:2] *= 50
        first.inputs[i] = Value(first.inputs[i].name, data.shape, "float32", None, data)
    data = second.inputs[1].data.copy()
    data[..., :2] /= 50
    second.inputs[1] = Value(second.inputs[1].name, data.shape, "float32", None, data)
    return graph


def test_smoothing_keeps_what_the_network_computes_and_helps_its_integers() -> None:
    work = Work(uneven(), columns())
    smooth(work)
    assert not np.array_equal(work.floats.nodes[3].input(1).data, uneven().nodes[3].input(1).data)
    x, errors = pictures(1, 9)[0], []
    expected = ops.evaluate(uneven(), [x])
    for a, b in zip(work.floats.outputs, uneven().outputs, strict=True):
        wanted = next(v for k, v in expected.items() if k.name == b.name)
        np.testing.assert_allclose(ops.evaluate(work.floats, [x])[a], wanted, rtol=1e-4, atol=1e-4)
    for recipe in ("int8", "int8+smooth"):
        done = compress.apply(compress.recipe(recipe), Work(uneven(), columns()))
        assert done.result is not None
        got = ops.evaluate(done.result, layerwise.quantised_samples(done.result, [[x]])[0])
        wanted = next(v for k, v in expected.items() if k.name == done.result.outputs[0].name)
        errors.append(np.linalg.norm(accuracy.real(done.result.outputs[0], got[done.result.outputs[0]]) - wanted))
    assert errors[1] < 0.5 * errors[0]


def test_values_that_smoothing_changes_are_not_compared() -> None:
    names = {v.name for n in compress.prepared(network(), compress.recipe("int8+smooth")).nodes for v in n.outputs}
    assert {n.removesuffix("/unsmoothed") for n in names if n.endswith("/unsmoothed")} == {"v1", "v2", "v3"}


@pytest.mark.parametrize("group", [0, 32])
def test_a_convolution_in_groups_is_a_problem_per_group(group: int) -> None:
    s = Sketch((1, 6, 6, 4))
    y = s.op("conv2d", s.inputs[0], s.constant(8, 3, 3, 4), s.constant(8))
    graph = s.graph(s.op("conv2d", y, s.constant(6, 3, 3, 4), s.constant(6), groups=2))
    samples = [[x] for x in s.samples(3)[0]]
    layer = list(layerwise.layers(graph, graph.copy(), samples))[1]
    sums = (layer.rows.astype(np.float64) @ layer.weights.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(-1, 6)
    whole = np.concatenate([ops.evaluate(graph, x)[graph.outputs[0]].reshape(-1, 6) for x in samples])
    np.testing.assert_allclose(sums + layer.floats.input(2).data, whole, rtol=1e-4, atol=1e-4)
    work = compress.apply(compress.recipe("int4"), Work(graph, s.samples(), group=group))
    assert work.result is not None and [n.input(1).dtype for n in work.result.nodes] == ["int4", "int4"]
    x = np.random.default_rng(2).integers(-128, 128, (1, 6, 6, 4)).astype(np.int8)
    expected = ops.evaluate(work.result, [x])[work.result.outputs[0]]
    assert np.array_equal(runtime.run(session(work.result), [x])[0], expected)


TRANSPOSED = {
    "strides": {"stride": (2, 3), "dilation": (1, 1), "padding": (1, 0, 2, 1), "output_padding": (1, 0)},
    "dilation": {"stride": (2, 1), "dilation": (3, 2), "padding": (0, 1, 1, 0)},
    "gaps": {"stride": (4, 4), "dilation": (1, 1), "padding": (0, 0, 0, 0)},
}


def transposed(case: str, channels: int, groups: int = 1) -> tuple[Sketch, Graph]:
    s = Sketch((1, 6, 6, 4))
    y = s.op("conv2d", s.inputs[0], s.constant(channels, 3, 3, 4), s.constant(channels))
    b, attrs = s.constant(6), {**TRANSPOSED[case], **({"groups": groups} if groups > 1 else {})}
    wider = s.op("transpose_conv2d", y, s.constant(6, 3, 2, channels // groups), b, **attrs)
    return s, s.graph(s.op("conv2d", wider, s.constant(5, 3, 3, 6), s.constant(5)))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("case", TRANSPOSED)
def test_rows_of_transposed_convolutions_are_what_an_output_sums_up(case: str, groups: int) -> None:
    s, graph = transposed(case, 8, groups)
    samples = [[x] for x in s.samples(3)[0]]
    layer = list(layerwise.layers(graph, graph.copy(), samples))[1]
    assert layer.rows.shape == (groups, 3 * layer.floats.output.elements // 6, 6 * 8 // groups)
    sums = (layer.rows.astype(np.float64) @ layer.weights.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(-1, 6)
    whole = np.concatenate([ops.evaluate(graph, x)[layer.floats.output].reshape(-1, 6) for x in samples])
    np.testing.assert_allclose(sums + layer.floats.input(2).data, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels, wide", [(8, False), (7, True)])
@pytest.mark.parametrize("recipe, group", [("int4", 0), ("int4", 32), ("w4", 0)])
def test_transposed_convolutions_are_narrow_where_that_saves_bytes(
    recipe: str, group: int, channels: int, wide: bool
) -> None:
    s, graph = transposed("strides", channels)
    work = compress.apply(compress.recipe(recipe), Work(graph, s.samples(), group=group))
    assert work.result is not None
    usual = {"int4": "int8", "w4": "float32"}[recipe]
    assert [n.input(1).dtype for n in work.result.nodes] == ["int4", usual if wide else "int4", "int4"]
    x = s.samples(1)[0][0] if recipe == "w4" else np.random.default_rng(2).integers(-128, 128, (1, 6, 6, 4))
    x = x.astype(work.result.inputs[0].dtype)
    expected = ops.evaluate(work.result, [x])[work.result.outputs[0]]
    got = runtime.run(session(work.result), [x])[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4 if recipe == "w4" else 0, atol=1e-4 if recipe == "w4" else 0)


def test_second_order_rounding_helps_transposed_convolutions() -> None:
    s, graph = transposed("strides", 8)
    columns, errors = [s.samples(24)[0].cumsum(2).cumsum(3) / 3], []
    compared = columns[0][:8]
    for recipe in ("int4+round_nearest", "int4+gptq", "int4+learn_rounding"):
        result = compress.apply(compress.recipe(recipe), Work(graph, columns, how="mse")).result
        assert result is not None
        inputs = accuracy.quantised_inputs(result, ([x] for x in compared))
        got = [accuracy.real(result.outputs[0], ops.evaluate(result, x)[result.outputs[0]]) for x in inputs]
        wanted = [ops.evaluate(graph, [x])[graph.outputs[0]] for x in compared]
        errors.append(float(np.linalg.norm(np.stack(got) - np.stack(wanted)) / np.linalg.norm(np.stack(wanted))))
    assert max(errors[1:]) < errors[0], errors


costs = st.lists(
    st.tuples(st.floats(0, 1), st.integers(1, 5000)).map(lambda t: Cost(t[0], {4: (t[1] + 1) // 2, 8: t[1]})),
    min_size=1,
    max_size=12,
)


@given(costs, st.floats(0, 1.2))
def test_widths_fit_the_budget_where_any_do(found: list[Cost], part: float) -> None:
    least, most = (sum(c.n_bytes[b] for c in found) for b in (4, 8))
    budget = int(part * most)
    widths = sensitivity.within(found, budget)
    total = sum(c.n_bytes[widths[i]] for i, c in enumerate(found))
    assert total <= budget or set(widths.values()) == {4} or budget < least
    narrow = [c.saved for i, c in enumerate(found) if widths[i] == 4]
    assert total > budget or all(total + saved > budget for saved in narrow), "a layer could have 8 bits"


def test_noisy_edges_keep_8_bits() -> None:
    usual = Cost(0.01, {4: 1, 8: 2})
    assert sensitivity.narrow_but_edges([Cost(0.03, usual.n_bytes), usual, usual, usual]) == {0: 8}


def digits() -> dict[str, np.ndarray]:
    graph = flow.base_schedule(DIGITS).source
    return {graph.inputs[0].name: np.random.default_rng(0).random((16, *graph.inputs[0].shape), np.float32)}


def test_auto_fits_the_flash() -> None:
    samples = digits()
    sizes = {r: len(flow.convert(DIGITS, quantize=r, calibration=samples).data) for r in ("int8", "int4")}
    budget = (sizes["int8"] + sizes["int4"]) // 2
    c = flow.convert(DIGITS, quantize="auto", calibration=samples, flash_bytes=budget)
    assert len(c.data) <= budget
    assert set(flow.report(c)["accuracy"]["weight_bits"]) == {"4", "8"}


def test_weights_alone_need_no_samples() -> None:
    whole = len(flow.convert(DIGITS).data)
    c = flow.convert(DIGITS, quantize="w4", group=32)
    assert len(c.data) < whole and {v.dtype for v in c.graph.inputs} == {"float32"}
    assert set(flow.report(c)["accuracy"]["weight_bits"]) == {"4"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("int4+gptq+learn_rounding", "expected one of"),
        ("int16x8+gptq+correct_bias", "leave correct_bias out"),
        ("int16x8+learn_rounding+refine_weights", "leave refine_weights out"),
        ("int16x8+correct_bias+refine_weights", "leave refine_weights out"),
        ("int8+refine_weights", "needs 16-bit activations"),
        ("int4+correct_bias", "leave correct_bias out"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(recipe: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compress.recipe(recipe)


def test_groups_of_int8_are_refused() -> None:
    with pytest.raises(UsageError, match="--group is for weights of 4 bits"):
        flow.convert(DIGITS, quantize="int8", calibration=digits(), group=32)
