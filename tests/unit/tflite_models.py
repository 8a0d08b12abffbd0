# SPDX-License-Identifier: Apache-2.0
"""Small .tflite files for tests, and TFLite Micro to run them on.

    build([Tensor("x", (1, 4), scale=0.5), Tensor("y", (1, 4), scale=0.5)], [Op("RELU", ["x"], ["y"])])

Options go by the names of the schema's Python object API (`strideW`, `fusedActivationFunction`).
Needs the packages ai-edge-litert and flatbuffers; `run_micro` needs tflite-micro.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6, TANH = range(5)

OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "SOFTMAX": "SoftmaxOptions",
    "CONCATENATION": "ConcatenationOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "LOCAL_RESPONSE_NORMALIZATION": "LocalResponseNormalizationOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "RESHAPE": "ReshapeOptions",
    "SQUEEZE": "SqueezeOptions",
    "EXPAND_DIMS": "ExpandDimsOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    "TRANSPOSE": "TransposeOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "SLICE": "SliceOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SPLIT": "SplitOptions",
    "SPLIT_V": "SplitVOptions",
    "PACK": "PackOptions",
    "UNPACK": "UnpackOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "HARD_SWISH": "HardSwishOptions",
    "QUANTIZE": "QuantizeOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "SHAPE": "ShapeOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "CAST": "CastOptions",
    "CUMSUM": "CumsumOptions",
    "GATHER": "GatherOptions",
    "ONE_HOT": "OneHotOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "GELU": "GeluOptions",
    "SVDF": "SVDFOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    "CALL_ONCE": "CallOnceOptions",
    "VAR_HANDLE": "VarHandleOptions",
    "READ_VARIABLE": "ReadVariableOptions",
    "ASSIGN_VARIABLE": "AssignVariableOptions",
}


@dataclass
class Tensor:
    """A constant where it has `data`. `scale` and `zero_point` are numbers, or one per index of `axis`."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    axis: int = 0
    data: np.ndarray | None = None
    signature: tuple[int, ...] | None = None
    variable: bool = False


@dataclass
class Op:
    """Inputs and outputs by tensor name; None for an input that is left out. `custom` names a custom operator."""

    code: str
    inputs: list[str | None]
    outputs: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    custom: str = ""
    custom_options: bytes = b""


def constant(name: str, data: Any, dtype: str = "int32", **quant: Any) -> Tensor:
    array = np.asarray(data, "int8" if dtype == "int4" else dtype)
    return Tensor(name, array.shape, dtype, data=array, **quant)


def build(
    tensors: list[Tensor],
    ops: list[Op],
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    initial: tuple[list[Tensor], list[Op]] | None = None,
) -> bytes:
    """A model of one subgraph, and one that CALL_ONCE runs. Inputs default to the first tensor, outputs to those of
    the last op."""
    model = schema.ModelT()
    model.version = 3
    model.description = "edgesdk test"
    model.buffers = [schema.BufferT()]
    once = initial[1] if initial else []
    codes = list(dict.fromkeys((op.code, op.custom) for op in [*ops, *once]))
    model.operatorCodes = [code_object(*code) for code in codes]
    main = subgraph_object(model, tensors, ops, inputs or [tensors[0].name], outputs or ops[-1].outputs, codes)
    model.subgraphs = [main] + ([subgraph_object(model, *initial, [], [], codes)] if initial else [])
    return pack(model)


def subgraph_object(
    model: schema.ModelT,
    tensors: list[Tensor],
    ops: list[Op],
    inputs: list[str],
    outputs: list[str],
    codes: list[tuple[str, str]],
) -> schema.SubGraphT:
    index = {t.name: i for i, t in enumerate(tensors)}
    graph = schema.SubGraphT()
    graph.name = "main"
    graph.tensors = [tensor_object(t, model.buffers) for t in tensors]
    graph.inputs = [index[n] for n in inputs]
    graph.outputs = [index[n] for n in outputs]
    graph.operators = [op_object(op, codes.index((op.code, op.custom)), index) for op in ops]
    return graph


def pack(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def unpack(data: bytes) -> schema.ModelT:
    """The model as objects, to change and `pack` again."""
    return schema.ModelT.InitFromPackedBuf(data, 0)


def code_object(code: str, custom: str) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    made.builtinCode = getattr(schema.BuiltinOperator, code)
    made.deprecatedBuiltinCode = min(made.builtinCode, 127)
    made.customCode = custom or None
    made.version = 1
    return made


def tensor_object(t: Tensor, buffers: list[schema.BufferT]) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.shapeSignature = t.name, list(t.shape), t.signature and list(t.signature)
    made.type = getattr(schema.TensorType, t.dtype.upper())
    made.buffer = 0
    made.isVariable = t.variable
    if t.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(stored_bytes(t), np.uint8)
        made.buffer = len(buffers)
        buffers.append(buffer)
    if t.scale is not None:
        made.quantization = quant_object(t)
    return made


def stored_bytes(t: Tensor) -> bytes:
    """int4 data, given as int8, goes two in a byte."""
    data = np.ascontiguousarray(t.data)
    if t.dtype != "int4":
        return data.tobytes()
    flat = np.append(data.ravel(), np.zeros(data.size % 2, np.int8)).astype(np.uint8) & 15
    return (flat[::2] | flat[1::2] << 4).tobytes()


def quant_object(t: Tensor) -> schema.QuantizationParametersT:
    made = schema.QuantizationParametersT()
    made.scale = np.atleast_1d(np.asarray(t.scale, np.float32)).tolist()
    made.zeroPoint = np.broadcast_to(np.asarray(t.zero_point, np.int64), len(made.scale)).tolist()
    made.quantizedDimension = t.axis
    return made


def op_object(op: Op, code: int, index: dict[str, int]) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex = code
    made.inputs = [-1 if n is None else index[n] for n in op.inputs]
    made.outputs = [index[n] for n in op.outputs]
    made.customOptions = np.frombuffer(op.custom_options, np.uint8) if op.custom_options else None
    kind = OPTIONS.get(op.code)
    if kind:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        made.builtinOptions = getattr(schema, f"{kind}T")()
        for key, value in {**defaults(op.code), **op.options}.items():
            assert hasattr(made.builtinOptions, key), (op.code, key)
            setattr(made.builtinOptions, key, value)
    return made


def defaults(code: str) -> dict[str, Any]:
    """Options that a converter always writes although the schema's default differs."""
    if code in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    if code in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D", "TRANSPOSE_CONV"):
        return {"strideW": 1, "strideH": 1}
    return {"beta": 1.0} if code == "SOFTMAX" else {}


def run_micro(model: bytes, inputs: list[np.ndarray], n_outputs: int = 1) -> list[np.ndarray]:
    """What TFLite Micro's reference kernels make of the inputs."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=16 << 20)
    for i, array in enumerate(inputs):
        interpreter.set_input(array, i)
    interpreter.invoke()
    return [np.array(interpreter.get_output(i)) for i in range(n_outputs)]


def micro_sequence(model: bytes, sequence: list[list[np.ndarray]], n_outputs: int = 1) -> list[list[np.ndarray]]:
    """What TFLite Micro makes of one call after the other."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=16 << 20)
    results = []
    for inputs in sequence:
        for i, array in enumerate(inputs):
            interpreter.set_input(array, i)
        interpreter.invoke()
        results.append([np.array(interpreter.get_output(i)) for i in range(n_outputs)])
    return results


def conv_net(seed: int = 0) -> bytes:
    """An int8 network of a few layers: per-channel convolutions, pooling, a shortcut, a classifier."""
    rng = np.random.default_rng(seed)

    def weights(name: str, shape: tuple[int, ...], axis: int) -> list[Tensor]:
        scales = rng.uniform(0.002, 0.02, shape[axis]).tolist()
        w = constant(f"{name}/w", rng.integers(-127, 128, shape), "int8", scale=scales, axis=axis)
        b = constant(f"{name}/b", rng.integers(-500, 500, shape[axis]), "int32", scale=[0.05 * s for s in scales])
        return [w, b]

    def act(name: str, *shape: int, scale: float = 0.05, zero_point: int = 3) -> Tensor:
        return Tensor(name, shape, scale=scale, zero_point=zero_point)

    tensors = [act("image", 1, 8, 8, 3), act("c1", 1, 4, 4, 8), act("d1", 1, 4, 4, 8), act("sum", 1, 4, 4, 8)]
    tensors += [act("pool", 1, 2, 2, 8), act("flat", 1, 32), act("logits", 1, 4, scale=0.5)]
    tensors += [act("probs", 1, 4, scale=1 / 256, zero_point=-128), constant("flat/shape", [1, -1])]
    tensors += weights("c1", (8, 3, 3, 3), 0) + weights("d1", (1, 3, 3, 8), 3)
    tensors += [constant("fc/w", rng.integers(-127, 128, (4, 32)), "int8", scale=0.01)]
    tensors += [constant("fc/b", rng.integers(-500, 500, 4), "int32", scale=0.05 * 0.01)]
    ops = [
        Op("CONV_2D", ["image", "c1/w", "c1/b"], ["c1"], {"strideW": 2, "strideH": 2, "fusedActivationFunction": RELU}),
        Op("DEPTHWISE_CONV_2D", ["c1", "d1/w", "d1/b"], ["d1"], {"depthMultiplier": 1}),
        Op("ADD", ["c1", "d1"], ["sum"], {"fusedActivationFunction": RELU6}),
        Op("MAX_POOL_2D", ["sum"], ["pool"], {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}),
        Op("RESHAPE", ["pool", "flat/shape"], ["flat"]),
        Op("FULLY_CONNECTED", ["flat", "fc/w", "fc/b"], ["logits"]),
        Op("SOFTMAX", ["logits"], ["probs"]),
    ]
    return build(tensors, ops)


def float_net(seed: int = 0) -> bytes:
    """A float32 network whose weights are stored as float16."""
    rng = np.random.default_rng(seed)
    tensors = [Tensor("x", (1, 6), "float32"), constant("w16", rng.normal(size=(4, 6)), "float16")]
    tensors += [Tensor("w", (4, 6), "float32"), constant("b", rng.normal(size=4), "float32")]
    tensors += [Tensor("h", (1, 4), "float32"), Tensor("y", (1, 4), "float32")]
    ops = [
        Op("DEQUANTIZE", ["w16"], ["w"]),
        Op("FULLY_CONNECTED", ["x", "w", "b"], ["h"], {"fusedActivationFunction": RELU}),
        Op("LOGISTIC", ["h"], ["y"]),
    ]
    return build(tensors, ops)


def ramp(shape: tuple[int, ...]) -> np.ndarray:
    """int8 -128, -127, ... in order: tells where each element went."""
    return (np.arange(math.prod(shape)) % 256 - 128).astype(np.int8).reshape(shape)
