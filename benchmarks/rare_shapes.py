# SPDX-License-Identifier: Apache-2.0
"""Draws nodes of the ops that few models have; shapes.py draws those of most."""

from __future__ import annotations

from typing import Any

import numpy as np
from shapes import Family, Shapes, moved, reduction
from steps import single

from edgesdk import ops
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.ops import arithmetic, elementary, elementwise, normalize, resize_filter

ONE = Quant.per_tensor(1.0, 0)
ATTRS: dict[str, dict[str, float]] = {
    "thresholded_relu": {"alpha": 0.7}, "shrink": {"lambd": 0.4, "bias": 0.1}, "celu": {"alpha": 1.5},
    "elu": {"alpha": 0.7}, "selu": {"alpha": 1.6732632, "gamma": 1.050701},
    "hard_sigmoid": {"alpha": 1 / 6, "beta": 0.5}, "gelu": {"approximate": True},
}  # fmt: skip


def constant(name: str, array: np.ndarray, quant: Quant | None = None) -> Value:
    return Value(name, array.shape, array.dtype.name, quant, array)


def numbers(s: Shapes) -> np.random.Generator:
    return np.random.default_rng(s.rng.getrandbits(32))


def plain(s: Shapes) -> Quant | None:
    """Of values that are only moved or compared."""
    return ONE if s.dtype == "int8" else None


def grouped_conv2d(s: Shapes) -> Graph:
    groups, part = s.rng.choice([2, 2, 3, 4]), s.rng.choice([2, 4, 8, s.rng.randint(2, 12)])
    x, kernel, out_c = s.image(groups * part), s.kernel(), groups * s.rng.choice([2, 4, 8, s.rng.randint(1, 12)])
    inputs = [x, *s.weights((out_c, *kernel, part), out_c, 0)]
    return single("conv2d", inputs, s.quant(), groups=groups, **s.window(x, kernel))


def transpose_conv2d(s: Shapes) -> Graph:
    x, kernel, out_c = s.image(), s.rng.choice([(2, 2), (3, 3), (4, 4), (1, 3)]), s.channels()
    stride = s.rng.choice([(1, 1), (2, 2), (2, 2), (1, 2)])
    attrs = {"stride": stride, "dilation": (1, 1), "padding": (0,) * 4, "output_padding": (0, 0), "activation": "none"}
    return single("transpose_conv2d", [x, *s.weights((out_c, *kernel, x.shape[3]), out_c, 0)], s.quant(), **attrs)


def batch_matmul(s: Shapes) -> Graph:
    m, k, n = (int(2 ** s.rng.uniform(0, 5)) for _ in range(3))
    batch = s.rng.choice([(), (2,), (4,)])
    transposed = s.rng.random() < 0.5
    a = Value("a", (*batch, m, k), s.dtype, s.quant())
    b = Value("b", (*batch, n, k) if transposed else (*batch, k, n), s.dtype, s.quant())
    return single("batch_matmul", [a, b], s.quant(), adj_x=False, adj_y=transposed)


def fully_connected_rows(s: Shapes) -> Graph:
    x, out_c = s.image(), s.channels()
    x.shape = (1, *x.shape[1:])
    n = x.elements
    return single("fully_connected_rows", [x, *s.weights((out_c, n), out_c, 0)], s.quant(), activation="none")


def norm(s: Shapes) -> Graph:
    op, x = s.rng.choice(normalize.NAMES), s.image()
    size = x.shape[3:]
    each = [numbers(s).normal(1, 0.5, size).astype(np.float32) for _ in range(2)]
    attrs = {"axis": 3} if op in ("layer_norm", "rms_norm") else {}
    if op == "group_norm":
        attrs = {"groups": s.rng.choice([g for g in (1, 2, 4) if size[0] % g == 0])}
    return single(op, [x, *(constant(n, a) for n, a in zip("sb", each, strict=True))], s.quant(), epsilon=1e-5, **attrs)


def arith(s: Shapes) -> Graph:
    """The ops of two inputs that shapes.binary leaves out."""
    floats = [*arithmetic.NAMES, "pow"]
    integers = ["add", "mul", "div", "floor_mod", "minimum"]
    op = s.rng.choice(list(arithmetic.QUANTISED.get(s.dtype, floats if s.dtype == "float32" else integers)))
    a = s.image()
    b = Value("b", s.rng.choice([a.shape, (a.shape[0], 1, 1, a.shape[3])]), s.dtype, s.quant())
    return single(op, [a, b], s.quant(), **({"activation": "none"} if op in ("add", "mul", "div") else {}))


def of_one(s: Shapes) -> Graph:
    op = s.rng.choice(
        [*elementary.NAMES, *("gelu", "silu", "erf", "softplus", "mish", "elu", "selu", "hard_sigmoid")] * 1
    )
    attrs = {"exponent": 2.3} if op == "power" else ATTRS.get(op, {})
    return single(op, [s.image()], None, **attrs)


def power(s: Shapes) -> Graph:
    return single("power", [s.image()], None, exponent=2.3)


def rows(s: Shapes) -> Graph:
    """Ops over the last axis."""
    op, x = s.rng.choice(["log_softmax", "l2_norm", "hardmax", *["lrn"] * (s.dtype == "float32")]), s.image()
    fixed = {"log_softmax": Quant.per_tensor(1 / 16, 127), "l2_norm": Quant.per_tensor(1 / 128, 0), "hardmax": ONE}
    attrs: dict[str, Any] = {"epsilon": 1e-6} if op == "l2_norm" else {}
    if op == "lrn":
        attrs = {"before": 2, "after": 2, "bias": 1.5, "alpha": 0.3, "beta": 0.75}
    return single(op, [x], fixed[op] if s.dtype == "int8" else None, **attrs)


def pixel_softmax(s: Shapes) -> Graph:
    """Of an image: over the channels of each pixel."""
    quants = {"int8": Quant.per_tensor(1 / 256, -128), "int16": Quant.per_tensor(1 / 32768, 0)}
    x = s.image(s.rng.randint(2, 24))
    return single("softmax", [x], quants.get(s.dtype), beta=1.0, by_image=True)


def filtered(s: Shapes) -> Graph:
    x, filters = s.image(), []
    for extent in x.shape[1:3]:
        out = s.rng.randint(1, 2 * extent + 1)
        positions = (np.arange(out) + 0.5) * extent / out - 0.5
        filters.append(resize_filter.make_filter(positions, extent, resize_filter.cubic(-0.75), 2))
    return single("resize_filter", [x], x.quant, rows=filters[0], columns=filters[1])


def compared(s: Shapes) -> Graph:
    names = elementwise.COMPARISONS if s.dtype in ("float32", "int8") else tuple(elementwise.NAMES)
    op, x = s.rng.choice([n for n in names if n != "select"]), s.image()
    x.quant = plain(s)
    shape = s.rng.choice([x.shape, x.shape, (x.shape[0], 1, 1, x.shape[3])])
    return single(op, [x, Value("b", shape, s.dtype, plain(s))], None)


def selected(s: Shapes) -> Graph:
    x = s.image()
    condition = constant("c", numbers(s).random(x.shape) < 0.5)
    return single("select", [condition, x, Value("b", x.shape, s.dtype, x.quant)], x.quant)


def cast(s: Shapes) -> Graph:
    x = s.image()
    x.quant = plain(s)
    kinds = ["float32", "int8", "int32", "uint8", "int64", "bool"]
    return single("cast", [x], None, to=s.rng.choice([d for d in kinds if d != s.dtype]))


def cumsum(s: Shapes) -> Graph:
    return single("cumsum", [s.image()], s.quant(), axis=s.rng.choice([2, 3]), exclusive=False, reverse=False)


def ranked(s: Shapes) -> Graph:
    x, op, axis = s.image(), s.rng.choice(["arg_max", "top_k_values", "top_k_indices"]), s.rng.choice([2, 3, 3])
    attrs: dict[str, Any] = {"axis": axis, "index_dtype": "int32"}
    if op == "arg_max":
        attrs |= {"keep_dims": True, "last": False}
    else:
        attrs |= {"k": s.rng.randint(1, min(5, x.shape[axis])), "largest": True}
    return single(op, [x], x.quant if op == "top_k_values" else None, **attrs)


def gathered(s: Shapes) -> Graph:
    x, axis = s.image(), s.rng.choice([1, 2, 3])
    n = s.rng.randint(1, 2 * x.shape[axis])
    indices = constant("i", numbers(s).integers(0, x.shape[axis], n).astype(np.int32))
    return single("gather", [x, indices], x.quant, axis=axis, batch_dims=0)


def scattered(s: Shapes) -> Graph:
    x = s.image()
    x.quant = plain(s)
    n = s.rng.randint(1, x.shape[2])
    indices = constant("i", np.stack([np.zeros(n), numbers(s).integers(0, x.shape[1], n)], -1).astype(np.int32))
    updates = Value("u", (n, *x.shape[2:]), s.dtype, plain(s))
    kind = s.rng.choice(["none", "add"] if s.dtype != "int8" else ["none", "max"])
    return single("scatter_nd", [x, indices, updates], plain(s), reduction=kind)


def suppressed(s: Shapes) -> Graph:
    n, classes = s.rng.randint(2, 60), s.rng.randint(1, 4)
    inputs = [Value("boxes", (1, n, 4), "float32"), Value("scores", (1, classes, n), "float32")]
    return single("nms", inputs, None, most=s.rng.randint(1, 8), center=True, iou=0.5, threshold=0.25)


def detected(s: Shapes) -> Graph:
    n, classes = s.rng.randint(2, 60), s.rng.randint(1, 4)
    shapes = {"codes": (1, n, 4), "scores": (1, n, classes + 1), "anchors": (n, 4)}
    attrs = {"classes": classes, "most": s.rng.randint(1, 8), "per_class": 0, "threshold": 0.3, "iou": 0.5}
    inputs: list[Value | None] = [Value(name, shape, "float32") for name, shape in shapes.items()]
    return single("detect", inputs, None, scale=(10.0, 10.0, 5.0, 5.0), **attrs)


def regridded(s: Shapes) -> Graph:
    return single("dynamic_quantize", [s.image()], None, symmetric=s.rng.random() < 0.5, per_row=s.rng.random() < 0.5)


def kept(op: str, inputs: list[Value | None], quant: Quant | None, **attrs: Any) -> Graph:
    """A node whose last inputs are states."""
    node = Node(op, inputs, [], attrs, op)
    quants = [quant, *(node.input(i).quant for i in ops.states(node).values())]
    found = ops.module(op).infer(node)
    node.outputs = [Value(f"y{k}", s, d, q) for k, ((s, d), q) in enumerate(zip(found, quants, strict=True))]
    return Graph(op, [v for v in inputs if v is not None and v.data is None], [node.outputs[0]], [node])


def array(s: Shapes, name: str, shape: tuple[int, ...], dtype: str, quant: Quant | None) -> Value:
    normal = numbers(s).standard_normal(shape)
    return constant(name, (normal if dtype == "float32" else np.clip(normal * 40, -127, 127)).astype(dtype), quant)


def svdf(s: Shapes) -> Graph:
    in_c, units, rank, memory = s.rng.randint(4, 60), s.rng.randint(2, 24), s.rng.choice([1, 2]), s.rng.randint(2, 12)
    integer, filters = s.dtype == "int8", units * rank
    state = s.rng.choice(["int8", "int16"]) if integer else "float32"
    x = Value("x", (1, in_c), s.dtype, s.quant())
    feature = array(s, "f", (filters, in_c), s.dtype, Quant.per_tensor(0.02, 0) if integer else None)
    time = array(s, "t", (filters, memory), state, Quant.per_tensor(0.03, 0) if integer else None)
    held = Value("s", (1, filters * memory), state, Quant.per_tensor(0.05, 0) if integer else None)
    return kept("svdf", [x, feature, time, None, held], s.quant(), rank=rank, activation="none")


def lstm(s: Shapes) -> Graph:
    steps, in_c, units = s.rng.randint(1, 6), s.rng.randint(2, 32), s.rng.randint(2, 24)
    small = 1.0 if s.dtype == "int8" else 1 / 256
    x = Value("x", (1, steps, in_c), s.dtype, Quant.per_tensor(0.02 * small, 0))
    w = array(s, "w", (4, units, in_c), "int8", Quant.per_tensor(0.01, 0))
    r = array(s, "r", (4, units, units), "int8", Quant.per_tensor(0.01, 0))
    b = constant("b", numbers(s).integers(-999, 999, (4, units)).astype("int32" if s.dtype == "int8" else "int64"))
    h = Value("h", (1, units), s.dtype, Quant.per_tensor(small / 128, 0))
    c = Value("c", (1, units), "int16", Quant.per_tensor(2.0**-11, 0))
    return kept("lstm", [x, w, r, b, h, c], h.quant, reverse=False, time_major=False, cell_clip=0.0)


def rnn(s: Shapes) -> Graph:
    integer = s.dtype == "int8"
    kinds = ["gru_reset_before", "gru_reset_after", "rnn_tanh", *["lstm", "lstm", "rnn_relu"] * (not integer)]
    kind, steps, in_c, units = s.rng.choice(kinds), s.rng.randint(1, 6), s.rng.randint(2, 32), s.rng.randint(2, 24)
    gates = ops.module("rnn").GATES[kind]
    weight = Quant.per_tensor(0.01, 0) if integer else None
    x = Value("x", (1, steps, in_c), s.dtype, Quant.per_tensor(0.02, 5) if integer else None)
    w, r = (array(s, n, (gates, units, k), s.dtype, weight) for n, k in (("w", in_c), ("r", units)))
    bias = numbers(s).integers(-999, 999, (2, gates, units))
    b = constant("b", bias.astype(np.int32) if integer else (bias / 999).astype(np.float32))
    states = ["h", "c"] if kind == "lstm" else ["h"]
    held = [
        Value(n, (1, units), "int16" if integer else "float32", Quant.per_tensor(2.0**-15, 0) if integer else None)
        for n in states
    ]
    if kind == "lstm" and s.rng.random() < 0.5:
        held.append(array(s, "p", (3, units), "float32", None))  # peepholes
    y = Quant.per_tensor(1 / 128, 0) if integer else None
    return kept("rnn", [x, w, r, b, *held], y, kind=kind, reverse=False, time_major=False, cell_clip=0.0)


ANY: dict[Family, int] = {
    compared: 60, selected: 20, cast: 40, cumsum: 30, ranked: 50, gathered: 30, scattered: 40,
}  # fmt: skip
LAYERS: dict[Family, int] = {
    grouped_conv2d: 40, transpose_conv2d: 60, batch_matmul: 60, fully_connected_rows: 80, norm: 60, rows: 60,
    filtered: 40, arith: 80, svdf: 50, rnn: 80,
}  # fmt: skip
GROUPED: dict[Family, int] = {grouped_conv2d: 40, transpose_conv2d: 60}
RARE: dict[str, dict[Family, int]] = {
    "int8": {**ANY, **LAYERS, lstm: 40, pixel_softmax: 30},
    "float32": {
        **ANY,
        **LAYERS,
        of_one: 240,
        power: 20,
        suppressed: 40,
        detected: 40,
        regridded: 30,
        pixel_softmax: 30,
    },
    "int16": {lstm: 40, gathered: 20, batch_matmul: 60, pixel_softmax: 30, arith: 60, norm: 60},
    "int32": {**ANY, arith: 60, reduction: 60, moved: 40},
    "int64": {**ANY, arith: 60, reduction: 60, moved: 60},
}
