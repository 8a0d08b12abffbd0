# SPDX-License-Identifier: Apache-2.0
"""Channels that are constant or unused go, and no byte of any result changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import planted_graphs
import pytest
from graphs import Builder
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk import memory, ops, passes, program, runtime, schedule
from edgesdk.ir import Graph, Quant, Value
from edgesdk.passes.channel_ranges import channel_ranges
from edgesdk.passes.remove_constant_channels import remove_constant_channels
from edgesdk.verify import verify

KINDS = [("int8", "float32"), ("int8", "int4"), ("int16", "float32")]


def inputs(graph: Graph) -> list[list[np.ndarray]]:
    """Random items, and the ends of their type."""
    rng, x = np.random.default_rng(7), graph.inputs[0]
    info = np.iinfo(x.dtype)
    ends = [np.full(x.shape, end, x.dtype) for end in (info.min, info.max, x.zero_point)]
    noise = [rng.integers(info.min, info.max + 1, x.shape).astype(x.dtype) for _ in range(3)]
    return [[a] for a in (*ends, *noise, rng.choice([info.min, info.max], x.shape).astype(x.dtype))]


def outputs(graph: Graph, sample: list[np.ndarray]) -> list[bytes]:
    arrays = ops.evaluate(graph, sample)
    return [arrays[v].tobytes() for v in graph.outputs]


def removed(graph: Graph) -> Graph:
    """The graph without such channels, after the check that it computes the same."""
    found = verify(remove_constant_channels(graph.copy()))
    for sample in inputs(graph):
        assert outputs(found, sample) == outputs(graph, sample)
    return found


@pytest.mark.parametrize(("dtype", "weights"), KINDS)
@given(data=st.data())
def test_no_byte_changes(dtype: str, weights: str, data: Any) -> None:
    graph = verify(data.draw(planted_graphs.networks(dtype, weights)))
    found = removed(graph)
    assert sum(map(ops.macs, found.nodes)) <= sum(map(ops.macs, graph.nodes))


@pytest.mark.parametrize(("dtype", "weights"), KINDS)
@given(data=st.data())
def test_items_stay_in_their_range(dtype: str, weights: str, data: Any) -> None:
    graph = verify(data.draw(planted_graphs.networks(dtype, weights)))
    ranges = channel_ranges(graph)
    for sample in inputs(graph):
        arrays = ops.evaluate(graph, sample)
        for value, found in ranges.items():
            assert (found.low <= found.high).all()
            assert (found.low <= arrays[value]).all() and (arrays[value] <= found.high).all(), value.name


@pytest.mark.parametrize(("dtype", "weights"), KINDS)
@settings(max_examples=15)
@given(data=st.data())
def test_the_runtime_gives_these_bytes(dtype: str, weights: str, data: Any) -> None:
    graph = data.draw(planted_graphs.networks(dtype, weights))
    planned = schedule.schedule(passes.lower(passes.shrink(graph.copy())), ("c",))
    session = runtime.open_session(program.write(program.assemble(planned, memory.plan(planned))))
    for sample in inputs(graph):
        assert [a.tobytes() for a in runtime.run(session, sample)] == outputs(graph, sample)


# One rule at a time.

ZERO_POINT, ABOVE = -128, -100  # what a channel without weights gives: real zero, or more


class Planted(Builder):
    """Layers without clamps and with positive weights, whose last `dead` channels give `value` for every input."""

    def __init__(self) -> None:
        super().__init__(3, "int8")

    def constant(self, shape: tuple[int, ...], channels: int, axis: int) -> Value:
        """Negative weights alone could make a channel constant, too."""
        w = super().constant(shape, channels, axis)
        assert w.data is not None
        w.data = np.abs(w.data // 2) + np.int8(1)
        return w

    def bias(self, channels: int) -> Value:
        return Value("b", (channels,), "int32", None, self.rng.integers(-99, 99, channels).astype(np.int32))

    def layer(self, x: Value, out: int, dead: int, value: int, kernel: int = 1, pad: int = 0) -> Value:
        w = self.constant((out, kernel, kernel, x.shape[3]), out, 0)
        y = self.add_node("conv2d", [x, w, self.bias(out)], Q, **attrs(pad))
        self.fix(w, slice(out - dead, out), value)
        return y

    def depth(self, x: Value, pad: int, each: int = 1) -> Value:
        c = x.shape[3] * each
        bias = Value("b", (c,), "int32", None, np.zeros(c, np.int32))
        return self.add_node("depthwise_conv2d", [x, self.constant((3, 3, c), c, 2), bias], Q, **attrs(pad))

    def fix(self, w: Value, channels: slice, value: int) -> None:
        bias = self.nodes[-1].input(2)
        assert w.data is not None and bias.data is not None and w.quant is not None
        w.data[channels] = 0
        bias.data[channels] = np.rint((value - ZERO_POINT) * Q.scale[0] / (Q.scale[0] * w.quant.scale[channels]))

    def graph(self, x: Value, *results: Value) -> Graph:
        return verify(Graph("planted", [x], list(results), self.nodes))


Q = Quant.per_tensor(0.05, ZERO_POINT)


def attrs(pad: int = 0) -> dict[str, Any]:
    return {"stride": (1, 1), "dilation": (1, 1), "padding": (pad,) * 4, "activation": "none"}


def start(b: Planted) -> Value:
    return Value("x", (1, 6, 6, 3), "int8", Q)


def widths(graph: Graph) -> list[int]:
    return [n.output.shape[-1] for n in graph.nodes]


@pytest.mark.parametrize(("value", "pad", "left"), [(ZERO_POINT, 1, 4), (ABOVE, 0, 4), (ABOVE, 1, 6)])
def test_a_window_at_the_border_must_not_notice(value: int, pad: int, left: int) -> None:
    """Padding is real zero: a constant that is another number is missed there."""
    b = Planted()
    x = start(b)
    y = b.layer(b.layer(x, 6, 2, value), 5, 0, 0, kernel=3, pad=pad)
    assert widths(removed(b.graph(x, y))) == [left, 5]


def test_a_border_tap_without_weights_does_not_notice_either() -> None:
    b = Planted()
    x = start(b)
    y = b.layer(b.layer(x, 6, 2, ABOVE), 5, 0, 0, kernel=3, pad=1)
    w = b.nodes[-1].input(1).data
    assert w is not None
    middle = w[:, 1, 1].copy()
    w[..., 4:] = 0
    w[:, 1, 1] = middle
    assert widths(removed(b.graph(x, y))) == [4, 5]


@pytest.mark.parametrize(("value", "pad", "left"), [(ZERO_POINT, 1, 4), (ABOVE, 0, 4), (ABOVE, 1, 6)])
def test_constants_pass_a_depthwise_layer(value: int, pad: int, left: int) -> None:
    b = Planted()
    x = start(b)
    y = b.layer(b.depth(b.layer(x, 6, 2, value), pad), 5, 0, 0)
    assert widths(removed(b.graph(x, y))) == [left, left, 5]


def test_each_channel_of_a_multiplier_goes_with_its_input() -> None:
    b = Planted()
    x = start(b)
    wide = b.depth(b.layer(x, 5, 2, ZERO_POINT), 1, each=2)
    assert widths(removed(b.graph(x, b.layer(wide, 4, 0, 0)))) == [3, 6, 4]


def test_half_of_a_multiplier_holds_the_other_half() -> None:
    """The depthwise layer's input is needed by its first channel of the two."""
    b = Planted()
    x = start(b)
    y = b.layer(b.depth(b.layer(x, 3, 0, 0), 1, each=2), 4, 0, 0)
    w = b.nodes[-1].input(1).data
    assert w is not None
    w[..., [1, 4, 5]] = 0
    assert widths(removed(b.graph(x, y))) == [2, 4, 4]


def test_what_nobody_reads_goes_all_the_way_back() -> None:
    b = Planted()
    x = start(b)
    y = b.layer(b.depth(b.layer(b.depth(b.layer(x, 8, 0, 0), 1), 7, 0, 0), 1), 4, 0, 0)
    last, middle = b.nodes[-1].input(1).data, b.nodes[2].input(1).data
    assert last is not None and middle is not None
    last[..., 3:] = 0  # three of seven are read
    middle[:3, ..., 5:] = 0  # and these read five of eight
    assert widths(removed(b.graph(x, y))) == [5, 5, 3, 3, 4]


def test_a_sum_ties_both_sides() -> None:
    b = Planted()
    x = start(b)
    left, right = b.layer(x, 6, 3, ABOVE), b.layer(x, 6, 2, ABOVE)
    y = b.add_node("add", [left, right], Q, activation="none")
    assert widths(removed(b.graph(x, b.layer(y, 4, 0, 0)))) == [4, 4, 4, 4]


def test_an_operand_that_is_constant_is_not_computed() -> None:
    b = Planted()
    x = start(b)
    y = b.add_node("add", [b.layer(x, 3, 3, ABOVE), x], Q, activation="none")
    found = removed(b.graph(x, b.layer(y, 4, 0, 0)))
    assert [n.op for n in found.nodes] == ["add", "conv2d"]
    assert found.nodes[0].input(0).data is not None and found.nodes[0].input(0).shape == (1, 1, 1, 3)


def test_concat_slice_and_flatten_follow() -> None:
    b = Planted()
    x = start(b)
    both = b.add_node("concat", [b.layer(x, 4, 1, ABOVE), b.layer(x, 5, 2, ABOVE)], Q, axis=3)
    part = b.add_node("slice", [both], Q, begin=(0, 0, 0, 1), size=(1, 6, 6, 7), stride=(1,) * 4)
    y = b.flat_classifier(part, 3)
    y.quant = Quant.per_tensor(50.0, ZERO_POINT)  # no class is certain
    found = removed(b.graph(x, y))
    assert widths(found) == [2, 3, 5, 5, 180, 3]  # the first channel is sliced off: nobody reads it


def test_outputs_and_inputs_keep_their_channels() -> None:
    b = Planted()
    x = start(b)
    y = b.layer(x, 6, 3, ABOVE)
    graph = b.graph(x, y, b.layer(y, 4, 0, 0))
    found = removed(graph)
    assert widths(found) == [6, 4] and [v.shape for v in found.inputs] == [x.shape]


def test_a_value_keeps_a_channel() -> None:
    b = Planted()
    x = start(b)
    y = b.layer(b.layer(x, 6, 6, ABOVE), 4, 0, 0)
    assert widths(removed(b.graph(x, y))) == [1, 4]


def test_a_clamp_makes_constants() -> None:
    """relu6 of 0.05 a step ends at -8: a bias far beyond leaves nothing else."""
    b = Planted()
    x = start(b)
    y = b.layer(x, 6, 0, 0)
    b.nodes[-1].attrs = {**b.nodes[-1].attrs, "activation": "relu6"}
    bias = b.nodes[-1].input(2).data
    assert bias is not None
    bias[:2] = 10**7
    assert widths(removed(b.graph(x, b.layer(y, 4, 0, 0)))) == [4, 4]


def test_sums_that_wrap_say_nothing() -> None:
    """A shift to the left may turn large sums round: the channel is not taken for constant."""
    b = Planted()
    x = start(b)
    y = b.layer(x, 3, 0, 0)
    w, bias = b.nodes[-1].input(1), b.nodes[-1].input(2)
    assert w.quant is not None and bias.data is not None
    w.quant.scale[:] = 2.0**12
    bias.data[:] = 2**25
    found = channel_ranges(b.graph(x, y))[y]
    assert (found.low == -128).all() and (found.high == 127).all()


def test_grouped_factors_keep_their_inputs() -> None:
    """Factors belong to runs of weights: only the layer's own channels go."""
    b = Planted()
    b.weights = "int4"
    x = start(b)
    z = b.layer(b.layer(b.layer(x, 6, 2, ZERO_POINT), 12, 3, ZERO_POINT), 4, 0, 0)
    found = removed(b.graph(x, z))
    assert widths(found) == [4, 12, 4]


def test_the_count_of_what_went() -> None:
    b = Planted()
    x = start(b)
    graph = b.graph(x, b.layer(b.layer(x, 6, 2, ABOVE), 5, 0, 0))
    found = passes.removed(graph, passes.shrink(graph.copy()))
    assert found == passes.Removed(channels=2, macs=36 * (2 * 3 + 2 * 5), nodes=0)
