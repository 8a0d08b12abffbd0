# SPDX-License-Identifier: Apache-2.0
from itertools import permutations

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import inferred, random_array, random_items, seeds, value

from edgesdk import kernels, ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Quant
from edgesdk.ops import copy
from edgesdk.passes.lower_shuffles import lower_shuffles
from edgesdk.verify import verify

Q = Quant.per_tensor(0.1, -7)


def transposes(draw, shape: tuple[int, ...]) -> dict:
    return {"perm": tuple(draw(st.permutations(range(len(shape)))))}


def pads(draw, shape: tuple[int, ...]) -> dict:
    amounts = st.tuples(st.integers(0, 2), st.integers(0, 2))
    return {"pads": tuple(draw(amounts) for _ in shape), "value": draw(st.sampled_from([0.0, 1.5, -40.0]))}


def slices(draw, shape: tuple[int, ...], strides: tuple[int, ...] = (1, 2, 3)) -> dict:
    begin = tuple(draw(st.integers(0, d - 1)) for d in shape)
    stride = tuple(draw(st.sampled_from(strides)) for _ in shape)
    ways = zip(shape, begin, stride, strict=True)
    most = [(d - b + s - 1) // s if s > 0 else b // -s + 1 for d, b, s in ways]
    return {"begin": begin, "size": tuple(draw(st.integers(1, n)) for n in most), "stride": stride}


def backwards(draw, shape: tuple[int, ...]) -> dict:
    return slices(draw, shape, (-2, -1, 1, 2))


def tiles(draw, shape: tuple[int, ...]) -> dict:
    return {"repeats": tuple(draw(st.integers(1, 3)) for _ in shape)}


def broadcasts(draw, shape: tuple[int, ...]) -> dict:
    more = tuple(draw(st.lists(st.integers(1, 3), max_size=6 - len(shape))))
    return {"shape": more + tuple(draw(st.integers(1, 3)) if d == 1 else d for d in shape)}


ATTRS = {"transpose": transposes, "pad": pads, "slice": slices, "tile": tiles, "broadcast_to": broadcasts}


@st.composite
def shuffles(draw, op: str, dtype: str, max_rank: int = 5) -> tuple[Node, np.ndarray]:
    rng = np.random.default_rng(draw(seeds))
    if op in ATTRS:
        shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=max_rank)))
        attrs = ATTRS[op](draw, shape)
    else:
        block = draw(st.integers(1, 3))
        n, h, w, c = (draw(st.integers(1, 3)) for _ in range(4))
        attrs = {"block": block}
        shape = (n, h * block, w * block, c) if op == "space_to_depth" else (n, h, w, c * block * block)
    q = {"int8": Q, "int16": Quant.per_tensor(0.1, 0)}.get(dtype)
    return inferred(op, [value("x", shape, dtype, q)], q, **attrs), random_array(rng, shape, dtype)


def lowered(node: Node) -> Node:
    return verify(lower_shuffles(Graph("g", [node.input(0)], node.outputs, [node])), "lowered").nodes[0]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("op", ["transpose", "pad", "slice", "space_to_depth", "depth_to_space"])
@given(data=st.data())
def test_shuffle_equals_reference(op: str, dtype: str, data) -> None:
    node, x = data.draw(shuffles(op, dtype))
    expected = ops.module(op).reference(node, [x])[0]
    step = lowered(node)
    assert np.array_equal(ops.module(step.op).reference(step, [x])[0], expected)
    if step.op == "copy":
        harness.check(step, [x])


def image(op: str, shape: tuple[int, ...] = (1, 6, 5, 3), **attrs) -> Node:
    return inferred(op, [value("x", shape, "int8", Q)], Q, **attrs)


def encoded(node: Node) -> ops.Encoded:
    kernel = kernels.choose("copy", ["b1"], ["c"])
    return copy.encode(lowered(node), kernel)


def test_padding_and_slicing_go_row_by_row() -> None:
    """Their input is read in its own rows, so that it may be streamed."""
    padded = encoded(image("pad", pads=((0, 0), (1, 2), (2, 1), (0, 0))))
    assert [(v.rows, v.row_bytes) for v in (padded.output, padded.inputs[0])] == [(9, 24), (6, 15)]
    sliced = encoded(image("slice", begin=(0, 1, 1, 0), size=(1, 3, 4, 3), stride=(1, 2, 1, 1)))
    assert [(v.rows, v.row_bytes) for v in (sliced.output, sliced.inputs[0])] == [(3, 12), (6, 15)]


def test_transposing_nothing_is_a_view() -> None:
    assert lowered(image("transpose", (1, 6, 1, 3), perm=(0, 2, 1, 3))).op == "reshape"
    assert lowered(image("transpose", (1, 6, 5, 1), perm=(0, 3, 1, 2))).op == "reshape"
    assert lowered(image("transpose", perm=(0, 3, 1, 2))).op == "copy"
    assert lowered(image("slice", begin=(0,) * 4, size=(1, 6, 5, 3), stride=(1,) * 4)).op == "reshape"
    assert lowered(image("slice", begin=(0,) * 4, size=(1, 5, 5, 3), stride=(1,) * 4)).op == "copy"


def test_too_many_loops_are_refused() -> None:
    node = ops.module("transpose").lower(image("transpose", (2, 3, 2, 3, 2, 3), perm=(5, 4, 3, 2, 1, 0)))
    with pytest.raises(Unsupported, match="needs 6 nested loops; expected at most 5"):
        copy.encode(node, kernels.choose("copy", ["b1"], ["c"]))


def test_every_order_of_six_axes_is_at_most_two_copies() -> None:
    shape = (2, 3, 4, 5, 6, 7)
    for perm in permutations(range(6)):
        node = image("transpose", shape, perm=perm)
        assert copy.loops_suffice(ops.module("transpose").lower(node)) or len(ops.module("transpose").split(node)) == 2


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "int64"])
@settings(max_examples=40)
@given(data=st.data())
def test_six_axes_of_every_item_size(dtype: str, data) -> None:
    """Where one copy has not got loops enough there are several."""
    op = data.draw(st.sampled_from(["transpose", "pad", "slice", "tile", "broadcast_to"]))
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=6)))
    attrs = backwards(data.draw, shape) if op == "slice" else ATTRS[op](data.draw, shape)
    node = inferred(op, [value("x", shape, dtype)], **({**attrs, "value": 1.0} if op == "pad" else attrs))
    x = random_items(np.random.default_rng(data.draw(seeds)), shape, dtype)
    expected = ops.module(op).reference(node, [x])[0]
    known = {node.input(0): x}
    for n in verify(lower_shuffles(Graph("g", [node.input(0)], node.outputs, [node])), "lowered").nodes:
        if n.op == "copy":
            harness.check(n, [known[n.input(0)]])
        known[n.output] = ops.module(n.op).reference(n, [known[n.input(0)]])[0]
    assert np.array_equal(known[node.output], expected)


@settings(max_examples=25)
@pytest.mark.parametrize("op", ["transpose", "pad", "slice", "space_to_depth", "depth_to_space"])
@given(data=st.data())
def test_bytes_of_tflite_micro(op: str, data) -> None:
    pytest.importorskip("tflite_micro")
    tm = pytest.importorskip("tflite_models")
    node, x = data.draw(shuffles(op, "int8", 4))
    source, y = node.input(0), node.output
    tensors = [tm.Tensor(v.name, v.shape, scale=v.scale, zero_point=v.zero_point) for v in (source, y)]
    constants, options, code = [], {}, op.upper()
    if op == "transpose":
        constants = [tm.constant("perm", node.attrs["perm"])]
    elif op == "pad":
        byte = ops.module("pad").stored_value(node)
        constants = [tm.constant("pads", node.attrs["pads"])]
        if node.attrs["value"] != 0:
            code = "PADV2"
            constants.append(tm.constant("value", [byte], "int8", scale=y.scale, zero_point=y.zero_point))
    elif op == "slice":
        begin, size, stride = (np.array(node.attrs[k]) for k in ("begin", "size", "stride"))
        code = "STRIDED_SLICE"
        bounds = {"begin": begin, "end": begin + (size - 1) * stride + 1, "stride": stride}
        constants = [tm.constant(name, data) for name, data in bounds.items()]
    else:
        options = {"blockSize": node.attrs["block"]}
    model = tm.build([*tensors, *constants], [tm.Op(code, ["x", *(c.name for c in constants)], ["y"], options)])
    assert np.array_equal(tm.run_micro(model, [x])[0], ops.module(op).reference(node, [x])[0])
