# SPDX-License-Identifier: Apache-2.0
"""A few fixed little networks that together use every op: seeds of the fuzzer and golden files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import compute_models
import numpy as np
import small_data_models
import state_models
from graphs import Builder

from edgesdk import memory, pareto, passes, program, schedule, search
from edgesdk.ir import Graph, Quant, Value
from edgesdk.ops import resize_filter
from edgesdk.schedule import frames, strips
from edgesdk.schedule.strips import Piece

WINDOW = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 1, 1), "activation": "none"}


def classifier(b: Builder, x: Value) -> Value:
    y = b.conv(x, 6, 3, 2)
    y = b.depthwise(y, 3, 1)
    return b.classifier(y, 4)


def residual(b: Builder, x: Value) -> Value:
    y = b.conv(x, x.shape[3], 1, 1)
    y = b.add_node("add", [x, y], b.quant(), activation="relu")
    return b.add_node("mul", [y, x], b.quant(), activation="none")


def pools(b: Builder, x: Value) -> Value:
    most = b.add_node("max_pool2d", [x], x.quant, **WINDOW)
    mean = b.add_node("avg_pool2d", [x], x.quant, count_padding=False, **WINDOW)
    both = b.add_node("concat", [most, mean], x.quant, axis=3)
    return b.add_node("reduce_max", [both], both.quant, axes=(1, 2), keep_dims=False)


def unaries(b: Builder, x: Value) -> Value:
    for op in ("hard_swish", "leaky_relu", "relu6"):
        x = b.add_node(op, [x], b.quant(), **({"alpha": 0.1} if op == "leaky_relu" else {}))
    y = b.add_node("tanh", [x], b.fixed(1 / 128, 0))
    return b.add_node("logistic", [y], b.fixed(1 / 256, -128))


def shuffles(b: Builder, x: Value) -> Value:
    y = b.add_node("pad", [x], x.quant, pads=((0, 0), (1, 0), (0, 1), (0, 0)), value=0.0)
    y = b.add_node("transpose", [y], x.quant, perm=(0, 2, 1, 3))
    y = b.add_node("slice", [y], x.quant, begin=(0, 1, 0, 0), size=(1, 4, 6, x.shape[3]), stride=(1, 1, 1, 1))
    return b.add_node("reshape", [y], x.quant, shape=(1, 24 * x.shape[3]))


def resizes(b: Builder, x: Value) -> Value:
    y = b.add_node("resize_bilinear", [x], x.quant, size=(9, 7), align_corners=False, half_pixel_centers=True)
    return b.add_node("resize_nearest", [y], x.quant, size=(4, 4), align_corners=False, half_pixel_centers=False)


def extremes(b: Builder, x: Value) -> Value:
    return b.add_node("maximum", [b.add_node("minimum", [x, x], x.quant), x], x.quant)


def flattened(b: Builder, x: Value) -> Value:
    """Ends in a layer over the whole image."""
    return b.flat_classifier(b.conv(x, 5, 3, 1), 3)


def window(b: Builder, x: Value) -> Value:
    """Slides along the height: no padding, down to one row, a sum of two paths."""
    y = _valid(b, x, 4, (2, 2))
    y = b.add_node("add", [y, _valid(b, y, 4, (1, 1))], b.quant(), activation="none")
    return b.classifier(_valid(b, y, 5, (5, 2)), 3)


def _valid(b: Builder, x: Value, out_c: int, kernel: tuple[int, int]) -> Value:
    w = b.constant((out_c, *kernel, x.shape[3]), out_c, 0)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "activation": "none"}
    return b.add_node("conv2d", [x, w, b.bias(out_c)], b.quant(), **attrs)


NETWORKS: tuple[Callable[[Builder, Value], Value], ...] = (
    classifier,
    residual,
    pools,
    unaries,
    shuffles,
    resizes,
    extremes,
    window,
    flattened,
)


def functions(b: Builder, x: Value) -> Value:
    """Nothing here depends on how a float was rounded: what is compared or cut is a whole number."""
    wave = b.add_node("sin", [x], b.quant())
    y = b.add_node("squared_difference", [b.add_node("prelu", [x, wave], b.quant()), wave], b.quant())
    above_one = b.add_node("cosh", [wave], b.quant())
    y = b.add_node("div", [y, above_one], b.quant())
    if b.dtype == "float32":
        y = b.add_node("add", [y, b.add_node("pow", [above_one, wave], None)], None, activation="none")
        y = b.add_node("add", [y, b.add_node("power", [above_one], None, exponent=1.5)], None, activation="none")
        y = b.add_node("lrn", [y], None, before=1, after=2, bias=1.0, alpha=0.5, beta=0.75)
    y = b.add_node("l2_norm", [y], Quant.per_tensor(1 / 128, 0) if b.dtype == "int8" else None, epsilon=1e-6)
    y = b.add_node("log_softmax", [y], Quant.per_tensor(1 / 16, 127) if b.dtype == "int8" else None)
    return b.add_node("add", [y, b.add_node("hardmax", [x], b.quant())], b.quant(), activation="none")


def borders(b: Builder, x: Value) -> Value:
    y = b.add_node("border_pad", [x], x.quant, pads=((0, 0), (2, 1), (1, 3), (0, 0)), mode="reflect")
    f = resize_filter.make_filter(np.linspace(0, 8, 5), 9, resize_filter.cubic(-0.75), 2)
    y = b.add_node("resize_filter", [y], x.quant, rows=f, columns=f)
    return b.add_node("take_pixels", [y], x.quant, rows=(4, 0, 2), columns=(1, 1))


def wide(b: Builder, x: Value) -> Value:
    """What int16 has kernels of its own for."""
    y = b.conv(x, x.shape[-1], 3, 1)
    y = b.add_node("squared_difference", [b.add_node("prelu", [x, y], b.quant()), y], b.quant())
    return b.add_node("layer_norm", [y, None, None], b.quant(), axis=3, epsilon=1e-5)


def integers(dtype: str) -> Graph:
    """Plain integers in and out."""
    b = Builder(9, dtype)
    x, y = Value("x", (1, 6, 5, 3), dtype), Value("y", (1, 1, 1, 3), dtype)
    z = x
    for op in ("add", "mul", "div", "floor_div", "floor_mod", "fmod", "squared_difference", "maximum"):
        z = b.add_node(op, [z, y], None, **({"activation": "none"} if op in ("add", "mul") else {}))
    return Graph(f"integers_{dtype}", [x, y], [z], b.nodes)


# Counted apart: a network's place in its tuple seeds its weights.
ELEMENTWISE = (functions, borders)


def graphs() -> dict[str, Graph]:
    """Name -> network, each in int8, int16 and float32 where its ops have that type; classifiers with float weights of
    other types too."""
    plain = {g.name: g for g in map(integers, ("int32", "int64"))}
    return {
        **made(NETWORKS, ("int8", "float32", "int16")),
        "edges": edges(),
        "edges_int16": edges_int16(),
        **narrow_weights(),
        **compute_models.graphs(),
        **small_data_models.graphs(),
        **state_models.graphs(),
        **made(ELEMENTWISE, ("int8", "float32")),
        **made((wide,), ("int16",)),
        **plain,
    }


def made(networks: tuple[Callable[[Builder, Value], Value], ...], dtypes: tuple[str, ...]) -> dict[str, Graph]:
    found = {}
    for i, network in enumerate(networks):
        for dtype in dtypes:
            b = Builder(i, dtype)
            x = b.input((1, 6, 5, 3))
            name = f"{network.__name__}_{dtype}"
            found[name] = Graph(name, [x], [network(b, x)], b.nodes)
    return found


def narrow_weights() -> dict[str, Graph]:
    """A float classifier with int8 or float16 weights, and one that quantises its activations as it runs."""
    found = {}
    for weights in ("int8", "float16"):
        b = Builder(0, "float32", weights)
        x = b.input((1, 6, 5, 3))
        name = f"classifier_float32_{weights}"
        found[name] = Graph(name, [x], [classifier(b, x)], b.nodes)
    for dtype in ("int8", "float32"):
        b = Builder(0, dtype, "int4")
        x = b.input((1, 6, 5, 3))
        found[f"classifier_{dtype}_int4"] = Graph(f"classifier_{dtype}_int4", [x], [classifier(b, x)], b.nodes)
    b = Builder(0, "float32", "int8")
    x = b.input((1, 6, 5, 3))
    return {**found, "hybrid": passes.hybrid(Graph("hybrid", [x], [classifier(b, x)], b.nodes))}


def edges() -> Graph:
    """float32 in and out, int8 inside."""
    b = Builder(9, "int8")
    x = Value("x", (1, 6, 5, 3), "float32")
    y = b.add_node("quantize", [x], b.quant())
    y = b.add_node("dequantize", [b.conv(y, 4, 3, 1)], None)
    return Graph("edges", [x], [y], b.nodes)


def edges_int16() -> Graph:
    """From float32 through int16, int8 and int16 of another scale back to float32."""
    b = Builder(9, "int16")
    x = Value("x", (1, 6, 5, 3), "float32")
    y = b.conv(b.add_node("quantize", [x], b.quant()), 4, 3, 1)
    y = b.add_node("quantize", [y], b.quant())
    b.dtype = "int8"
    y = b.add_node("quantize", [y], b.quant())
    b.dtype = "int16"
    y = b.add_node("dequantize", [b.add_node("quantize", [y], b.quant())], None)
    return Graph("edges_int16", [x], [y], b.nodes)


FORMS = ("plain", "rows", "streamed", "bound")


def scheduled(graph: Graph, form: str = "plain") -> schedule.Schedule:
    """Portable kernels only; "rows" is one stage of rows, "streamed" that with its input pushed row by row,
    "bound" reads it in place, its first steps in two strips where they can be cut; "sliding" takes it frame
    by frame."""
    base = schedule.schedule(passes.lower(passes.simplify(graph)), ("c",))
    if form == "sliding":
        return frames.require(base)
    if form == "bound":
        whole = pareto.bound(base)
        cut = [n for n in search.cut_points(whole)[1:] if strips.strips(whole, Piece("rows", 0, n, 2))]
        first = Piece("rows", 0, cut[-1], 2) if cut else Piece("rows", 0, len(base.steps))
        rest = Piece("plain", first.count, len(base.steps) - first.count)
        return strips.expand(whole, [first, rest] if rest.count else [first])
    stages = [schedule.Stage("plain" if form == "plain" else "rows", 0, len(base.steps))]
    streamed = graph.inputs[0] if form == "streamed" else None
    return schedule.Schedule(base.graph, base.steps, stages, base.roots, streamed)


def forms(name: str) -> tuple[str, ...]:
    """The forms that a network of `graphs` has."""
    if name in small_data_models.NAMES:  # they look their input up anywhere
        return FORMS[:2]
    if name.startswith("attention"):  # its input is reshaped
        return tuple(f for f in FORMS if f != "streamed")
    if name.startswith("states"):
        return FORMS[:1]  # steps that change a state run in plain stages
    if name.startswith("integers"):
        return FORMS[:2]
    return (*FORMS, "sliding") if name.startswith("window") else FORMS


def compiled(graph: Graph, metadata: dict[str, Any] | None = None, form: str = "plain") -> bytes:
    """The .edge file of a graph."""
    steps = scheduled(graph, form)
    return program.write(program.assemble(steps, memory.plan(steps), metadata))


def inputs(graph: Graph) -> list[np.ndarray]:
    """The same inputs on every machine: small numbers that float32 holds exactly."""
    return [(np.arange(v.elements) * 37 % 251 - 125).reshape(v.shape).astype(v.dtype) for v in graph.inputs]
