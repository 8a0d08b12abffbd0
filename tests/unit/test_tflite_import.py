# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
sys.path.insert(0, str(Path(__file__).parent))

import tflite_models as models  # noqa: E402
from ai_edge_litert import schema_py_generated as generated  # noqa: E402
from tflite_models import SAME, TANH, Op, Tensor, constant  # noqa: E402

from edgesdk import converters, ops  # noqa: E402
from edgesdk.converters import tflite, tflite_schema  # noqa: E402
from edgesdk.errors import Unsupported, UsageError  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared"
MODELS = sorted((SHARED / "models").glob("*/*.tflite"))


def parse(data: bytes, **input_shapes: tuple[int, ...]) -> Graph:
    return tflite.parse(data, "model", input_shapes)


def float_op(code: str, shape: tuple[int, ...], out: tuple[int, ...], *extra: Tensor, **options: Any) -> bytes:
    """A float32 model of one operator x, extra... -> y."""
    tensors = [Tensor("x", shape, "float32"), *extra, Tensor("y", out, "float32")]
    return models.build(tensors, [Op(code, ["x", *(t.name for t in extra)], ["y"], options)])


def missing(*needed: str) -> list[str]:
    return [op for op in needed if op not in ops.modules()]


# The tables


def test_operator_and_type_codes_are_those_of_the_schema() -> None:
    for table, enum in (
        (tflite_schema.OPERATORS, generated.BuiltinOperator),
        (tflite_schema.TYPES, generated.TensorType),
        (tflite_schema.ACTIVATIONS, generated.ActivationFunctionType),
        (tflite_schema.PADDINGS, generated.Padding),
    ):
        numbers = {k: v for k, v in vars(enum).items() if isinstance(v, int)}
        assert {name: i for i, name in enumerate(table)} == numbers


def test_option_types_are_those_of_the_schema() -> None:
    unions = {op: union for op, (union, _) in {**tflite_schema.OPTIONS, **tflite_schema.VECTOR_OPTIONS}.items()}
    for op, union in unions.items():
        assert getattr(generated.BuiltinOptions, models.OPTIONS[op]) == union, op


# Layouts and attributes


def test_conv_net_becomes_the_vocabulary_of_the_graph() -> None:
    graph = parse(models.conv_net())
    assert [n.op for n in graph.nodes] == (
        "conv2d depthwise_conv2d add max_pool2d reshape fully_connected softmax".split()
    )
    conv, depthwise, add, pool, reshape, fc, softmax = graph.nodes
    assert conv.attrs == {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 1, 1), "activation": "relu"}
    assert conv.input(1).shape == (8, 3, 3, 3) and conv.input(1).quant.axis == 0
    assert depthwise.input(1).shape == (3, 3, 8) and depthwise.input(1).quant.axis == 2
    assert depthwise.attrs["padding"] == (1, 1, 1, 1)
    assert add.attrs == {"activation": "relu6"}
    assert pool.attrs == {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "activation": "none"}
    assert reshape.attrs == {"shape": (1, 32)} and fc.attrs == {"activation": "none"} and softmax.attrs == {"beta": 1.0}
    assert conv.source == "#0 CONV_2D c1" and softmax.output is graph.outputs[0]
    assert graph.metadata["source_format"] == "tflite" and json.dumps(graph.metadata)


def test_bias_takes_the_scale_of_the_products() -> None:
    conv = parse(models.conv_net()).nodes[0]
    bias, w = conv.input(2), conv.input(1)
    assert bias.dtype == "int32" and bias.quant.axis == 0
    np.testing.assert_array_equal(bias.quant.scale, np.float32(conv.input(0).scale) * w.quant.scale)


def test_bias_with_the_axis_of_its_weights_is_accepted() -> None:
    model = models.unpack(models.conv_net())
    for tensor in model.subgraphs[0].tensors:
        if tensor.name == b"c1/b":
            tensor.quantization.quantizedDimension = 3
    assert parse(models.pack(model)).nodes[0].input(2).quant.axis == 0


def test_constants_are_views_of_the_file_and_names_are_unique() -> None:
    tensors = [Tensor("same", (1, 4), "float32"), Tensor("same_", (1, 4), "float32"), Tensor("", (1, 4), "float32")]
    model = models.unpack(models.build(tensors, [Op("RELU", ["same"], ["same_"]), Op("TANH", ["same_"], [""])]))
    model.subgraphs[0].tensors[1].name = "same"
    graph = parse(models.pack(model))
    assert [graph.inputs[0].name, *(n.output.name for n in graph.nodes)] == ["same", "same_1", "tensor_2"]


@pytest.mark.parametrize("size, kernel, stride, dilation", [(7, 3, 2, 1), (8, 3, 2, 1), (9, 2, 3, 1), (10, 3, 1, 2)])
def test_same_padding_gives_the_extent_of_tflite(size: int, kernel: int, stride: int, dilation: int) -> None:
    out = -(-size // stride)
    w = constant("w", np.ones((1, kernel, kernel, 1)), "float32")
    options = {"padding": SAME, "strideW": stride, "strideH": stride}
    options |= {"dilationWFactor": dilation, "dilationHFactor": dilation}
    data = float_op("CONV_2D", (1, size, size, 1), (1, out, out, 1), w, **options)
    node = parse(data).nodes[0]
    x = np.ones((1, size, size, 1), np.float32)
    want = models.run_micro(data, [x])[0]
    np.testing.assert_array_equal(ops.module("conv2d").reference(node, [x, w.data, None])[0], want)


def test_conv_net_computes_the_bytes_of_tflite_micro() -> None:
    data = models.conv_net()
    if missing("add", "max_pool2d", "reshape", "softmax"):
        pytest.skip(f"no reference yet for {missing('add', 'max_pool2d', 'reshape', 'softmax')}")
    graph = parse(data)
    rng = np.random.default_rng(1)
    for _ in range(5):
        x = rng.integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
        np.testing.assert_array_equal(ops.evaluate(graph, [x])[graph.outputs[0]], models.run_micro(data, [x])[0])


# Weights in other types


def test_float16_weights_stay_float16() -> None:
    graph = parse(models.float_net())
    assert [n.op for n in graph.nodes] == ["fully_connected", "logistic"]
    w = graph.nodes[0].input(1)
    want = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float16)
    assert w.dtype == "float16"
    np.testing.assert_array_equal(w.data, want)


@pytest.mark.parametrize("zero_point", [0, 3])
def test_int8_constant_behind_dequantize(zero_point: int) -> None:
    """It stays int8 where the kernel can read it so, else it becomes float32."""
    q = models.ramp((4, 6))
    scales = [0.5, 0.25, 0.125, 1.0]
    stored = constant("q", q, "int8", scale=scales, zero_point=zero_point, axis=0)
    tensors = [Tensor("x", (1, 6), "float32"), stored, Tensor("w", (4, 6), "float32"), Tensor("y", (1, 4), "float32")]
    chain = [Op("DEQUANTIZE", ["q"], ["w"]), Op("FULLY_CONNECTED", ["x", "w"], ["y"])]
    node = parse(models.build(tensors, chain)).nodes[0]
    assert node.input(1).dtype == ("float32" if zero_point else "int8")
    x = np.arange(6, dtype=np.float32)[None]
    want = x @ ((q.astype(np.float32) - zero_point) * np.float32(scales)[:, None]).T
    np.testing.assert_allclose(ops.module("fully_connected").reference(node, [x, node.input(1).data, None])[0], want)


def test_int8_weights_of_a_float_layer_stay_int8() -> None:
    w = constant("w", models.ramp((4, 6)), "int8", scale=0.5)
    graph = parse(float_op("FULLY_CONNECTED", (1, 6), (1, 4), w))
    assert graph.nodes[0].input(1).dtype == "int8"


def test_fully_connected_flattens_unless_it_keeps_dimensions() -> None:
    w = constant("w", np.ones((5, 12)), "float32")
    flat = parse(float_op("FULLY_CONNECTED", (2, 3, 4), (2, 5), w))
    assert [(n.op, n.output.shape) for n in flat.nodes] == [("reshape", (2, 12)), ("fully_connected", (2, 5))]
    w = constant("w", np.ones((5, 4)), "float32")
    kept = parse(float_op("FULLY_CONNECTED", (2, 3, 4), (2, 3, 5), w, keepNumDims=True))
    assert [(n.op, n.output.shape) for n in kept.nodes] == [("fully_connected", (2, 3, 5))]
    shaped = parse(float_op("FULLY_CONNECTED", (2, 3, 4), (2, 3, 5), w))
    assert [n.op for n in shaped.nodes] == ["reshape", "fully_connected", "reshape"]
    assert shaped.outputs[0].shape == (2, 3, 5)


# Operators that move data, against TFLite Micro


def moved(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    arrays: dict[Any, np.ndarray] = {graph.inputs[0]: x}
    for node in graph.nodes:
        sources = [v.data if v.data is not None else arrays[v] for v in node.inputs if v is not None]
        arrays[node.output] = ops.module(node.op).reference(node, sources)[0]
    return [arrays[v] for v in graph.outputs]


def ints(name: str, *numbers: int) -> Tensor:
    return constant(name, numbers)


MOVING = {
    "reshape_tensor": ("RESHAPE", (1, 4, 6), [(2, 12)], [ints("s", 2, -1)], {}),
    "squeeze_some": ("SQUEEZE", (1, 4, 1, 6), [(1, 4, 6)], [], {"squeezeDims": [-2]}),
    "squeeze_all": ("SQUEEZE", (1, 4, 1, 6), [(4, 6)], [], {}),
    "expand_dims": ("EXPAND_DIMS", (4, 6), [(4, 6, 1)], [constant("a", [-1])], {}),
    "transpose": ("TRANSPOSE", (1, 2, 3, 4), [(1, 4, 2, 3)], [ints("p", 0, 3, 1, 2)], {}),
    "slice": ("SLICE", (4, 6), [(2, 4)], [ints("b", 1, 2), ints("n", 2, -1)], {}),
    "split_v": ("SPLIT_V", (4, 6), [(4, 1), (4, 5)], [ints("n", 1, -1), constant("a", 1)], {"numSplits": 2}),
    "unpack": ("UNPACK", (2, 3, 4), [(2, 4)] * 3, [], {"axis": -2, "num": 3}),
    "strided": ("STRIDED_SLICE", (5, 8), [(2, 3)], [ints("b", 1, -7), ints("e", 5, 99), ints("s", 2, 3)], {}),
    "shrink": (
        "STRIDED_SLICE",
        (5, 8),
        [(7,)],
        [ints("b", -2, 1), ints("e", -1, 0), ints("s", 1, 1)],
        {"shrinkAxisMask": 1, "endMask": 2},
    ),
    "backwards": ("STRIDED_SLICE", (5, 8), [(5, 3)], [ints("b", 9, -2), ints("e", -99, 0), ints("s", -1, -2)], {}),
    "begin_mask": (
        "STRIDED_SLICE",
        (5, 8),
        [(3, 8)],
        [ints("b", 3, 0), ints("e", -2, 8), ints("s", 1, 1)],
        {"beginMask": 1},
    ),
}


@pytest.mark.parametrize("name", MOVING)
def test_moving_operator_matches_tflite_micro(name: str) -> None:
    code, shape, outs, extra, options = MOVING[name]
    if missing("reshape", "slice", "transpose"):
        pytest.skip("no shape rules yet for reshape, slice, transpose")
    results = [Tensor(f"y{i}", out, scale=0.5) for i, out in enumerate(outs)]
    tensors = [Tensor("x", shape, scale=0.5), *extra, *results]
    chain = [Op(code, ["x", *(t.name for t in extra)], [t.name for t in results], options)]
    data = models.build(tensors, chain)
    x = models.ramp(shape)
    got, want = moved(parse(data), x), models.run_micro(data, [x], len(outs))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize(
    "code, shapes, out, options",
    [("CONCATENATION", [(2, 3), (2, 1)], (2, 4), {"axis": -1}), ("PACK", [(2, 3)] * 2, (2, 2, 3), {"axis": 1})],
)
def test_joining_operator_matches_numpy(code: str, shapes: Any, out: tuple[int, ...], options: dict[str, Any]) -> None:
    if missing("reshape", "concat"):
        pytest.skip("no shape rules yet for reshape, concat")
    second = constant("k", models.ramp(shapes[1]), "int8", scale=0.5)
    tensors = [Tensor("x", shapes[0], scale=0.5), second, Tensor("y", out, scale=0.5)]
    x = models.ramp(shapes[0])[::-1].copy()
    joined = {
        "CONCATENATION": lambda: np.concatenate([x, second.data], -1),
        "PACK": lambda: np.stack([x, second.data], 1),
    }
    data = models.build(tensors, [Op(code, ["x", "k"], ["y"], options)])
    np.testing.assert_array_equal(moved(parse(data), x)[0], joined[code]())


def test_all_masks_of_strided_slice() -> None:
    if missing("reshape", "slice"):
        pytest.skip("no shape rules yet for reshape, slice")
    extra = [ints("b", 0, 1, 0, 2), ints("e", 0, 9, 0, 0), ints("s", 1, 1, 1, 1)]
    masks = {"newAxisMask": 1, "ellipsisMask": 4, "shrinkAxisMask": 8}
    data = float_op("STRIDED_SLICE", (4, 3, 2, 5), (1, 3, 3, 2), *extra, **masks)
    x = np.arange(120, dtype=np.float32).reshape(4, 3, 2, 5)
    np.testing.assert_array_equal(moved(parse(data), x)[0], x[np.newaxis, 1:9, ..., 2])


def test_shape_arithmetic_on_constants_is_folded() -> None:
    """What Keras writes to flatten a dynamic batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    if missing("reshape", "slice", "concat"):
        pytest.skip("no shape rules yet for reshape, slice, concat")
    tensors = [Tensor("x", (1, 2, 3), "float32", signature=(-1, 2, 3)), Tensor("shape", (3,), "int32")]
    tensors += [ints("b", 0), ints("e", 1), ints("s", 1), Tensor("batch", (), "int32"), constant("rest", 6)]
    tensors += [Tensor("target", (2,), "int32"), Tensor("y", (1, 6), "float32", signature=(-1, 6))]
    chain = [
        Op("SHAPE", ["x"], ["shape"]),
        Op("STRIDED_SLICE", ["shape", "b", "e", "s"], ["batch"], {"shrinkAxisMask": 1}),
        Op("PACK", ["batch", "rest"], ["target"], {"axis": 0, "valuesCount": 2}),
        Op("RESHAPE", ["x", "target"], ["y"]),
    ]
    graph = parse(models.build(tensors, chain), x=(4, 2, 3))
    assert [(n.op, n.attrs) for n in graph.nodes] == [("reshape", {"shape": (4, 6)})]


# Shapes from the caller


def dynamic() -> bytes:
    tensors = [Tensor("x", (1, 1, 4), "float32", signature=(-1, -1, 4)), constant("w", np.ones((3, 4)), "float32")]
    tensors += [Tensor("y", (1, 1, 3), "float32", signature=(-1, -1, 3))]
    return models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w"], ["y"], {"keepNumDims": True})])


def test_input_shapes_fix_dynamic_dimensions() -> None:
    assert parse(dynamic(), x=(2, 7, 4)).outputs[0].shape == (2, 7, 3)


@pytest.mark.parametrize("shapes", [{}, {"x": (2, 7, 5)}, {"x": (2, 7)}, {"x": (0, 1, 4)}, {"z": (1,)}])
def test_input_shapes_that_do_not_fit_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match="input"):
        parse(dynamic(), **shapes)


# Refusals


def test_all_unsupported_operators_are_listed_at_once() -> None:
    names = ["x", "a", "b", "c"]
    tensors = [Tensor(n, (1, 4), "float32") for n in names] + [constant("k", np.ones((1, 4)), "float32")]
    chain = [
        Op("UNIQUE", ["x"], ["a"]),
        Op("ADD", ["a", "k"], ["b"], {"fusedActivationFunction": TANH}),
        Op("CUSTOM", ["b"], ["c"], custom="Mystery"),
    ]
    with pytest.raises(Unsupported) as refused:
        parse(models.build(tensors, chain))
    for part in ("#0 UNIQUE a", "#1 ADD b (fused activation TANH)", "#2 CUSTOM:Mystery c"):
        assert part in str(refused.value)


@pytest.mark.parametrize("dtype", ["uint8"])
def test_other_activation_types_are_refused_by_name(dtype: str) -> None:
    tensors = [Tensor("x", (1, 4), dtype, scale=0.1), Tensor("y", (1, 4), dtype, scale=0.1)]
    with pytest.raises(Unsupported, match=f"'x' is {dtype.upper()}"):
        parse(models.build(tensors, [Op("RELU", ["x"], ["y"])]))


def int8_fc(**changes: Any) -> bytes:
    w = {"scale": 0.01, "zero_point": 0, "axis": 0, **changes.get("w", {})}
    b = {"scale": 0.5 * 0.01, **changes.get("b", {})}
    tensors = [Tensor("x", (1, 6), **{"scale": 0.5, **changes.get("x", {})})]
    tensors += [constant("w", models.ramp((4, 6)), "int8", **w), constant("b", np.arange(4), "int32", **b)]
    tensors += [Tensor("y", (1, 4), **{"scale": 0.5, **changes.get("y", {})})]
    return models.build(tensors, [Op("FULLY_CONNECTED", ["x", "w", "b"], ["y"])])


def test_int8_fully_connected_imports() -> None:
    assert parse(int8_fc()).nodes[0].input(2).dtype == "int32"


@pytest.mark.parametrize(
    "changes, error, text",
    [
        ({"w": {"zero_point": 3}}, Unsupported, "zero point other than 0"),
        ({"x": {"scale": float("nan")}}, UsageError, "positive finite"),
        ({"x": {"scale": -1.0}}, UsageError, "positive finite"),
        ({"y": {"scale": 0.0}}, UsageError, "positive finite"),
        ({"y": {"scale": None}}, UsageError, "without one scale"),
        ({"y": {"zero_point": 200}}, UsageError, "zero points"),
        ({"w": {"scale": [0.1] * 6, "axis": 1}}, UsageError, "another axis"),
        ({"w": {"scale": [0.1] * 3}}, UsageError, "3 scales along axis 0"),
        ({"b": {"scale": 0.5}}, UsageError, "bias of scale"),
        ({"x": {"scale": 1e-30}, "w": {"scale": 1e-30}, "b": {"scale": None}}, UsageError, "product"),
        ({"x": {"shape": (1, 5)}}, UsageError, "multiple of 6"),
    ],
)
def test_contradicting_quantisation_is_refused(changes: dict[str, Any], error: type, text: str) -> None:
    if "shape" in changes.get("x", {}):
        model = models.unpack(int8_fc())
        model.subgraphs[0].tensors[0].shape = list(changes["x"]["shape"])
        data = models.pack(model)
    else:
        data = int8_fc(**changes)
    with pytest.raises(error, match=text):
        parse(data)


def edited(**fields: Any) -> bytes:
    """The float RELU model with fields of its tensors or operator replaced: x_shape=[...], op_inputs=[...]."""
    model = models.unpack(float_op("RELU", (1, 4), (1, 4)))
    graph = model.subgraphs[0]
    places = {"x": graph.tensors[0], "y": graph.tensors[1], "op": graph.operators[0], "graph": graph}
    for key, value in fields.items():
        place, name = key.split("_", 1)
        setattr(places[place], name, value)
    return models.pack(model)


@pytest.mark.parametrize(
    "fields, text",
    [
        ({"op_inputs": [1]}, "executable order"),
        ({"op_inputs": [-1]}, "has no input 0"),
        ({"op_inputs": [-7]}, "tensor -7"),
        ({"op_inputs": [99]}, "tensor 99"),
        ({"op_outputs": [0]}, "a second time"),
        ({"op_outputs": []}, "no output"),
        ({"op_opcodeIndex": 5}, "operator code 5"),
        ({"x_shape": [1, 0]}, "dimensions of at least 1"),
        ({"x_shape": [2**30, 2**30]}, "at most 2147483647 elements"),
        ({"x_shape": [1] * 9}, "9 dimensions"),
        ({"y_shape": [4]}, "but the file says"),
        ({"graph_inputs": []}, "no inputs"),
        ({"graph_inputs": [0, 0]}, "twice"),
        ({"graph_operators": []}, "no operators"),
    ],
)
def test_contradicting_graph_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse(edited(**fields))


def test_buffer_shorter_than_its_shape_is_refused() -> None:
    model = models.unpack(int8_fc())
    model.buffers[1].data = model.buffers[1].data[:-1]
    with pytest.raises(UsageError, match="only 23 bytes"):
        parse(models.pack(model))


def appended(offset: int, size: int) -> bytes:
    """The weights of the fully connected model, moved behind the flatbuffer."""
    model = models.unpack(int8_fc())
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, offset, size
    return models.pack(model)


def test_data_behind_the_flatbuffer_is_found_and_bounded() -> None:
    weights = models.ramp((4, 6))
    at = len(appended(1000, 24))
    graph = parse(appended(at, 24) + weights.tobytes())
    np.testing.assert_array_equal(graph.nodes[0].input(1).data, weights)
    for offset, size in ((at, 25), (2**63, 24), (at, 2**63)):
        with pytest.raises(UsageError, match="expected them within"):
            parse(appended(offset, size) + weights.tobytes())


def test_tables_that_share_data_cannot_claim_more_than_the_file_allows() -> None:
    """A thousand DEQUANTIZE of one 100 kB constant would take 400 MB."""
    n = 1000
    tensors = [Tensor("x", (1, 4), "float32"), constant("k0", np.zeros(100_000), "int8", scale=1.0)]
    tensors += [Tensor(f"f{i}", (100_000,), "float32") for i in range(n)]
    model = models.unpack(
        models.build(tensors, [Op("DEQUANTIZE", ["k0"], [f"f{i}"]) for i in range(n)], outputs=["f0"])
    )
    with pytest.raises(UsageError, match="too often"):
        parse(models.pack(model))


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0\0\0\0TFL3", b"\xff\xff\xff\xffTFL3", b"\x08\0\0\0TFL3" + b"\xff" * 8]
)
def test_files_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        parse(data)


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(models.conv_net()[:100])
    with pytest.raises(UsageError, match=r"broken\.tflite: .*byte offset"):
        converters.load(path)
    path.write_bytes(models.conv_net())
    assert converters.load(path).name == "broken"


# Real models, where they are at hand


@pytest.mark.skipif(not MODELS, reason="no shared models beside the project")
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
def test_shared_model_imports(path: Path) -> None:
    graph = converters.load(path)
    written = {v for n in graph.nodes for v in n.outputs}
    assert set(graph.outputs) <= written and len({v.name for v in written}) == len(written)


PARITY = SHARED / "data" / "mcu-parity" / "expected_outputs.json"


@pytest.mark.skipif(not PARITY.exists(), reason="no shared data beside the project")
@pytest.mark.parametrize("name", sorted(json.loads(PARITY.read_text())) if PARITY.exists() else [])
def test_shared_model_computes_the_bytes_of_tflite_micro(name: str) -> None:
    case = json.loads(PARITY.read_text())[name]
    graph = converters.load(SHARED / "models" / case["model"])
    absent = missing(*{n.op for n in graph.nodes})
    if absent:
        pytest.skip(f"no reference yet for {absent}")
    x = np.fromfile(PARITY.parent / case["input"], np.int8).reshape(graph.inputs[0].shape)
    got = ops.evaluate(graph, [x])[graph.outputs[0]]
    assert got.tobytes().hex() == case["tflm_output_hex"]
