# SPDX-License-Identifier: Apache-2.0
"""Observers, range methods, the recipe's methods, and that the runtime sees what the reference computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sketch import Sketch

from edgesdk import accuracy, boards, compress, images, memory, ops, passes, probe, program, ptq, runtime, schedule
from edgesdk.compress import data_checks
from edgesdk.compress.calibrate import calibrate, sample_arrays
from edgesdk.compress.correct_bias import by_group
from edgesdk.compress.equalize import LARGEST_FACTOR, equalize
from edgesdk.compress.histogram import HALF, Histogram
from edgesdk.compress.observe import Observed, observe
from edgesdk.compress.range_methods import METHODS, searched, squared_error
from edgesdk.compress.work import Work
from edgesdk.errors import UsageError
from edgesdk.ir import Graph, Value

floats = st.floats(-1e6, 1e6, width=32) | st.floats(-1, 1, width=32) | st.just(0.0)
samples = st.lists(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=floats), min_size=1)


def observed(given_arrays: list[np.ndarray]) -> Observed:
    found = Observed()
    for array in given_arrays:
        found.add(np.resize(array, (5, 4)))
    return found


@given(samples)
def test_a_histogram_counts_every_value_in_its_bin(given_arrays: list[np.ndarray]) -> None:
    h = Histogram()
    for array in given_arrays:
        h.add(array)
    values = np.concatenate([a.ravel() for a in given_arrays]).astype(np.float64)
    bins = np.floor(values / h.width).astype(int)
    assert np.array_equal(np.bincount(bins + HALF, minlength=2 * HALF), h.counts)
    assert np.abs(values).max() < HALF * h.width
    assert h.width == 2.0**-120 or 2 * np.abs(values).max() >= HALF * h.width, "bins are no wider than they must be"


@given(samples, st.randoms(use_true_random=False))
def test_ranges_do_not_depend_on_the_order_of_samples(given_arrays: list[np.ndarray], random: object) -> None:
    shuffled = list(given_arrays)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = observed(given_arrays), observed(shuffled)
    assert np.array_equal(a.histogram.counts, b.histogram.counts)
    for name, choose in METHODS.items():
        if name != "moving-average":
            assert choose(a) == choose(b), name


@given(samples)
def test_every_range_lies_inside_what_was_seen_and_zero(given_arrays: list[np.ndarray]) -> None:
    o = observed(given_arrays)
    least, most = min(o.low, 0.0), max(o.high, 0.0)
    slack = o.histogram.width
    for name, choose in METHODS.items():
        low, high = choose(o)
        if name == "headroom":
            assert (low, high) == (1.5 * o.low, 1.5 * o.high)
            continue
        assert low <= high + slack, name
        assert least - slack <= low and high <= most + slack, name
        assert choose(o) == (low, high), name


@given(samples)
def test_mse_is_never_worse_than_minmax(given_arrays: list[np.ndarray]) -> None:
    o = observed(given_arrays)
    low, high = min(o.low, 0.0), max(o.high, 0.0)
    if low < high:
        bins = o.histogram.filled()
        assert squared_error(*bins, *searched(o, squared_error, *bins)) <= squared_error(*bins, low, high)


def test_rare_large_values_are_clipped_where_that_pays() -> None:
    values = np.random.default_rng(0).normal(0, 1, (1, 50_000)).astype(np.float32)
    values[0, 0] = 40.0
    o = Observed()
    o.add(values)
    assert METHODS["minmax"](o)[1] == 40.0
    for name in ("entropy", "percentile"):
        low, high = METHODS[name](o)
        assert 2.5 < high < 20 and -6 < low < -2.5, (name, low, high)
    even = np.linspace(-1, 1, 500_000, dtype=np.float32).reshape(1, -1)
    even[0, 0] = 1.8
    o = Observed()
    o.add(even)
    low, high = METHODS["mse"](o)
    assert 0.9 < high < 1.3 and -1 <= low < -0.9, "half a million finer steps are worth one clipped value"


def test_the_moving_average_follows_late_samples() -> None:
    o = Observed()
    for high in (1.0, 2.0):
        o.add(np.array([[0.0, high]], np.float32))
    assert METHODS["moving-average"](o) == (0.0, pytest.approx(1.1))


def mixed() -> tuple[Sketch, Graph]:
    s = Sketch((1, 6, 6, 4))
    a = s.op("conv2d", s.inputs[0], s.constant(6, 3, 3, 4), s.constant(6), activation="relu")
    b = s.op("depthwise_conv2d", a, s.constant(3, 3, 6), None, activation="relu")
    c = s.op("concat", a, b, axis=3)
    d = s.op("transpose", s.op("add", c, c), perm=(0, 2, 1, 3))
    e = s.op("reshape", s.op("hard_swish", d), shape=(1, 432))
    return s, s.graph(
        s.op("softmax", s.op("fully_connected", e, s.constant(5, 432, scale=0.002), s.constant(5)), beta=1.0)
    )


def test_the_runtime_gives_the_values_of_the_reference_in_the_order_of_samples() -> None:
    s, graph = mixed()
    given_samples = [[x] for x in s.samples(7)[0]]
    got = list(probe.run_all(graph, iter(given_samples)))
    assert len(got) == 7
    for found, sample in zip(got, given_samples, strict=True):
        expected = ops.evaluate(graph, sample)
        assert set(found) == set(expected)
        for value, array in expected.items():
            assert np.linalg.norm(found[value] - array) <= 1e-5 * max(np.linalg.norm(array), 1e-6), value.name


def test_the_runtime_gives_the_bytes_of_the_reference() -> None:
    s, graph = mixed()
    work = compress.apply(compress.recipe("int8"), Work(graph, s.samples(4), execute=probe.run_all))
    assert work.result is not None
    inputs = list(accuracy.quantised_inputs(work.result, ([x] for x in s.samples(3)[0])))
    for found, sample in zip(probe.run_all(work.result, inputs), inputs, strict=True):
        for value, array in ops.evaluate(work.result, sample).items():
            assert found[value].tobytes() == array.tobytes(), value.name


def test_floats_are_those_of_portable_kernels() -> None:
    """So a network is quantised alike on every machine, whatever sets of instructions it has."""
    s, graph = mixed()
    steps = schedule.schedule(passes.lower(graph.copy()), ("c",))
    session = runtime.open_session(program.write(program.assemble(steps, memory.plan(steps))), pack=False)
    given_samples = [[x] for x in s.samples(3)[0]]
    for x, found in zip(given_samples, probe.run_all(graph, given_samples), strict=True):
        assert runtime.run(session, x)[0].tobytes() == found[graph.outputs[0]].tobytes()
    integers = compress.apply(compress.recipe("int8"), Work(graph, s.samples(4))).result
    assert integers is not None
    assert probe.sets(graph) == ("c",) and probe.sets(integers) == boards.load("host").core.isa


def chain() -> tuple[Sketch, Graph]:
    """Channels of very unequal weights, a dead one among them."""
    s = Sketch((1, 5, 5, 3))
    w, b = s.constant(8, 3, 3, 3), s.constant(8)
    assert w.data is not None
    w.data *= np.geomspace(0.02, 5, 8, dtype=np.float32).reshape(8, 1, 1, 1)
    w.data[3] = 0
    x = s.op("conv2d", s.inputs[0], w, b, activation="relu")
    x = s.op("depthwise_conv2d", x, s.constant(3, 3, 8), s.constant(8), activation="relu")
    return s, s.graph(s.op("conv2d", x, s.constant(4, 3, 3, 8), None))


def test_equalisation_keeps_the_function_and_evens_the_weights() -> None:
    s, graph = chain()
    work = Work(graph, s.samples(2))
    equalize(work)
    before = [n.input(1).data for n in graph.nodes]
    for x in s.samples(2)[0]:
        a, b = (list(ops.evaluate(g, [x]).values())[-1] for g in (graph, work.floats))
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a)
    assert all(n.input(1).data is w for n, w in zip(graph.nodes, before, strict=True)), "the source keeps its weights"

    def unevenness(g: Graph) -> float:
        w = np.abs(g.nodes[0].input(1).data).max((1, 2, 3))  # type: ignore[arg-type]
        return float(w.max() / w[w > 0].min())

    assert unevenness(work.floats) < unevenness(graph) / 2
    ratio = work.floats.nodes[0].input(1).data / np.where(before[0] == 0, 1, before[0])  # type: ignore[operator]
    assert ratio.max() <= LARGEST_FACTOR * 1.001


def test_bias_correction_takes_back_the_shift_of_the_mean() -> None:
    s = Sketch((1, 4, 4, 16))
    w = s.constant(6, 1, 1, 16)
    assert w.data is not None
    w.data[:, 0, 0, 0] = 30.0  # so that the other weights are rounded coarsely
    graph = s.graph(s.op("conv2d", s.inputs[0], w, None, padding=(0, 0, 0, 0)))
    columns = [s.random.uniform(0, 1, (20, *graph.inputs[0].shape)).astype(np.float32)]

    def shift(recipe: str) -> float:
        work = compress.apply(compress.recipe(recipe), Work(graph, columns))
        assert work.result is not None
        total = np.zeros(6)
        for x, q in zip(columns[0], accuracy.quantised_inputs(work.result, ([x] for x in columns[0])), strict=True):
            result, value = ops.evaluate(work.result, q), work.result.outputs[0]
            difference = accuracy.real(value, result[value]) - ops.evaluate(graph, [x])[graph.outputs[0]]
            total += difference.mean((0, 1, 2))
        return float(np.abs(total / 20).max())

    assert shift("int8+correct_bias") < shift("int8") / 3


def test_means_of_grouped_layers_go_to_their_groups() -> None:
    assert by_group(np.arange(4.0), (2, 1, 1, 2)).ravel().tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("text", ["int2", "int8+magic", "int8+", ""])
def test_unknown_recipes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        compress.recipe(text)


def test_recipes_run_in_their_own_order() -> None:
    assert compress.recipe("int8+correct-bias+equalize").methods == ("equalize", "correct_bias")


def test_methods_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="expected one of minmax"):
        ptq.checked_method("max", compress.recipe("int8"))
    with pytest.raises(UsageError, match="256 steps"):
        ptq.checked_method("mse", compress.recipe("int16x8"))
    assert ptq.checked_method(None, compress.recipe("int8")) == "mse"
    assert ptq.checked_method(None, compress.recipe("int16x8")) == "headroom"


@pytest.mark.parametrize("how", METHODS)
def test_a_network_is_close_to_float_by_every_method(how: str) -> None:
    s, graph = mixed()
    q = ptq.quantise(graph, "int8", {"x0": s.samples(40)[0]}, how, [], lambda stage: None)
    assert q.warnings == [] and q.work.how == how
    report = ptq.report(q, [v.name for v in q.graph.outputs])
    assert {r["op"] for r in q.layers} >= {"conv2d", "depthwise_conv2d", "fully_connected", "softmax"}
    assert report["worst_layer"]["rel_l2"] == max(r["rel_l2"] for r in q.layers) < 0.3
    assert len(report["outputs"]) == 1 and report["calibration_samples"] == 40 and report["samples"] == 16


@given(arrays(np.float64, 12, elements=st.floats(-8, 8)), arrays(np.float64, 12, elements=st.floats(-8, 8)))
def test_measures_of_a_difference(a: np.ndarray, b: np.ndarray) -> None:
    whole, parts = accuracy.Difference(), accuracy.Difference()
    whole.add(a, b, (-4.0, 4.0))
    for piece in range(0, 12, 4):
        parts.add(a[piece : piece + 4], b[piece : piece + 4], (-4.0, 4.0))
    found = whole.measures()
    assert found["saturated"] == parts.measures()["saturated"] == (np.abs(b) > 4).mean()
    assert found["rel_l2"] == pytest.approx(parts.measures()["rel_l2"], rel=1e-9, abs=1e-12)
    norm = np.linalg.norm(b)
    expected = np.linalg.norm(a - b) / norm if norm else np.linalg.norm(a - b)
    assert found["rel_l2"] == pytest.approx(expected, rel=1e-9, abs=1e-150)
    assert found["sqnr_db"] is None or found["sqnr_db"] == pytest.approx(-20 * np.log10(expected))


def test_top_n_counts_the_first_of_equal_scores() -> None:
    outputs = [np.array([1, 5, 5, 0, 0, 0]), np.array([9, 1, 2, 3, 4, 5])]
    assert accuracy.top(outputs, np.array([2, 1])) == {1: 0.0, 5: 0.5}
    assert accuracy.top(outputs, np.array([1, 0])) == {1: 1.0, 5: 1.0}
    with pytest.raises(UsageError, match="labels reach 6; expected class numbers from 0 to 5"):
        accuracy.top(outputs, np.array([6, 0]))


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    s, graph = chain()
    bad = graph.nodes[1].input(1)
    assert bad.data is not None
    bad.data[0, 0, 2] = np.nan
    with pytest.raises(UsageError, match=f"'n1': 1 of 72 numbers of '{bad.name}' are NaN or infinite"):
        ptq.quantise(graph, "int8", {"x0": s.samples(4)[0]}, None, [])


def test_samples_that_are_not_finite_are_refused_by_number() -> None:
    s, graph = chain()
    x = s.samples(4)[0]
    x[2, 0, 1, 1, 0] = np.inf
    with pytest.raises(UsageError, match="sample 2 of input 'x0' holds NaN or infinity"):
        sample_arrays(graph, [x])


WRONG_DATA = [
    (np.zeros((40, 1, 5, 5, 3)), "is 0 everywhere"),
    (
        np.random.default_rng(0).integers(0, 256, (40, 1, 5, 5, 3)),
        "from 0 to 255 in whole numbers, like unscaled pixels",
    ),
    (np.random.default_rng(0).random((5, 1, 5, 5, 3)), "5 calibration samples are few"),
]


@pytest.mark.parametrize(("data", "message"), WRONG_DATA, ids=["zero", "pixels", "few"])
def test_data_that_looks_wrong_is_warned_of(data: np.ndarray, message: str) -> None:
    _, graph = chain()
    assert any(message in w for w in data_checks.data_warnings(graph, [data.astype(np.float32)]))


def test_good_data_is_not_warned_of() -> None:
    _, graph = chain()
    assert data_checks.data_warnings(graph, [np.random.default_rng(0).random((40, 1, 5, 5, 3), np.float32)]) == []


def test_a_quantised_input_tells_its_range() -> None:
    from edgesdk.ir import Quant

    value = Value("x", (1, 4), "int8", Quant.per_tensor(1 / 255, -128))
    pixels = np.random.default_rng(0).random((40, 1, 4)).astype(np.float32) * 255
    assert "the model takes 0 to 1" in data_checks.range_warning(value, pixels)[0]
    assert data_checks.range_warning(value, pixels / 255) == []


def test_channels_that_never_change_are_counted() -> None:
    s, graph = chain()
    found = observe(graph, ([x] for x in s.samples(4)[0]))
    assert "channels are constant" in data_checks.dead_channel_warnings(graph, found)[0]
    assert found[graph.nodes[0].output].dead_channels() >= 1 and found[graph.inputs[0]].dead_channels() == 0


def test_anything_that_yields_samples_calibrates() -> None:
    s, graph = chain()
    specs = [images_spec(v) for v in graph.inputs]
    x = s.samples(3)[0]
    wanted = ptq.read({"x0": x}, specs)["x0"]
    for given_samples in ((a for a in x), [{"x0": a} for a in x], iter(list(x))):
        assert np.array_equal(np.stack(ptq.read(given_samples, specs)["x0"]), wanted)
    with pytest.raises(UsageError, match="yields no samples"):
        ptq.read(iter(()), specs)
    with pytest.raises(UsageError, match="lacks x0"):
        ptq.read([{"y": x[0]}], specs)


def images_spec(value: Value) -> object:
    from edgesdk.samples import InputSpec

    return InputSpec(value.name, value.shape, value.dtype)


def test_calibration_is_the_same_on_runtime_and_reference() -> None:
    s, graph = chain()
    a, b = calibrate(graph, s.samples(3)), calibrate(graph, Sketch((1, 5, 5, 3)).samples(3))
    assert set(a) == set(b)
    x = s.samples(5)
    for how in METHODS:
        one, other = (calibrate(graph, x, run, how) for run in (probe.run_all, ops_by_reference))
        for value, (low, high) in one.items():
            width = max(abs(low), abs(high), 1e-6)
            assert abs(low - other[value][0]) + abs(high - other[value][1]) <= 0.05 * width, (how, value.name)


def ops_by_reference(graph: Graph, given_samples: object) -> object:
    return (ops.evaluate(graph, list(sample)) for sample in given_samples)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "1", "0,0", "0,1:1", "0,1:0:0", "0,1:0,0:1", "a,b", "0,1:0:1:2"])
def test_pixels_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="--pixels"):
        images.pixels(text)


@settings(max_examples=10)
@given(st.sampled_from([(1, 6, 4, 3), (1, 3, 6, 5), (1, 6, 4, 1)]))
def test_folders_of_images(shape: tuple[int, ...]) -> None:
    pytest.importorskip("PIL")
    import tempfile
    from pathlib import Path

    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        for i, level in enumerate((0, 255, 51)):
            Image.new("RGB", (9, 9), (level,) * 3).save(Path(name) / f"{i}.png")
        got = images.load(Path(name), shape, images.pixels("0,1:0.2:0.5"))
        assert got.shape == (3, *shape) and got.dtype == np.float32
        np.testing.assert_allclose(got.reshape(3, -1).max(1), [-0.4, 1.6, 0.0], atol=1e-6)
        np.testing.assert_allclose(got.reshape(3, -1).min(1), [-0.4, 1.6, 0.0], atol=1e-6)
        (Path(name) / "x.png").write_bytes(b"no image")
        with pytest.raises(UsageError, match=r"x\.png: not readable as an image"):
            images.load(Path(name), shape, None)


LRN = {"before": 1, "after": 1, "alpha": 0.1, "beta": 0.75, "bias": 1.0}


def islands(op: str, **attrs: object) -> tuple[Sketch, Graph]:
    """Ops without an integer form, one behind the other between convolutions and one at the end."""
    s = Sketch((1, 4, 4, 3))
    x = s.op("conv2d", s.inputs[0], s.constant(6, 3, 3, 3), s.constant(6))
    x = s.op(op, s.op(op, x, **attrs), **attrs)
    y = s.op("conv2d", x, s.constant(4, 3, 3, 6), s.constant(4), activation="relu")
    return s, s.graph(y, s.op(op, y, **attrs))


@pytest.mark.parametrize(("recipe", "op"), [("int8", "lrn"), ("int8+correct_bias", "lrn"), ("int16x8", "sin")])
def test_ops_without_an_integer_form_stay_in_float(recipe: str, op: str) -> None:
    s, graph = islands(op, **(LRN if op == "lrn" else {}))
    q = ptq.quantise(graph, recipe, {"x0": s.samples(40)[0]}, None, [])
    kinds = [n.op for n in q.graph.nodes if n.output.dtype == "float32"]
    assert kinds == ["dequantize", op, op, "dequantize", op]
    assert all(r["rel_l2"] < 0.1 for r in q.layers)
    inputs = list(accuracy.quantised_inputs(q.graph, ([x] for x in s.samples(2)[0])))
    for found, sample in zip(probe.run_all(q.graph, inputs), inputs, strict=True):
        for value, array in ops.evaluate(q.graph, sample).items():
            assert np.abs(found[value].astype(float) - array).max() <= (1 if value.quant else 1e-3), value.name
