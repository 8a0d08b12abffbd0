# SPDX-License-Identifier: Apache-2.0
"""What each ATen op that reads or writes at places that indices point at becomes. RULES as in torch_ops.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk.converters.build import Builder, Shape
from edgesdk.converters.layers import Operand, axis_of, cut, expanded, shape_of
from edgesdk.converters.torch_ops import Call, Rule, typed
from edgesdk.errors import Unsupported
from edgesdk.ir import Value

INDEX_DTYPES = ("int32", "int64")


def indices_of(b: Builder, x: Operand, name: str) -> Value:
    dtype = str(x.dtype) if isinstance(x, Value | np.ndarray) else "int64"
    return typed(b, x, dtype if dtype in INDEX_DTYPES else "int64", f"{name}/indices")


def select(b: Builder, call: Call) -> Value:
    """index_select and embedding: whole rows of a table."""
    table = typed(b, call.first("self", "weight"), call.dtype, f"{call.name}/table")
    axis = axis_of(int(call.get("dim", 0)), len(table.shape))
    indices = indices_of(b, call.first("index", "indices"), call.name)
    return b.reshape(b.emit("gather", [table, indices], call.name, axis=axis, batch_dims=0), call.shape)


def gather(b: Builder, call: Call) -> Value:
    x, indices = typed(b, call["self"], call.dtype, f"{call.name}/table"), indices_of(b, call["index"], call.name)
    return b.emit("gather_elements", [x, indices], call.name, axis=axis_of(int(call["dim"]), len(x.shape)))


REDUCTIONS = {None: "none", "add": "add", "multiply": "mul", "sum": "add", "prod": "mul", "amax": "max", "amin": "min"}


def scatter(b: Builder, call: Call) -> Value:
    """scatter, scatter_add and scatter_reduce; of the source, what has an index is read."""
    if call.get("include_self") is False:
        raise Unsupported("include_self=False; expected the items of the tensor to count")
    way = "add" if call.kind == "scatter_add" else call.get("reduce")
    if way not in REDUCTIONS:
        raise Unsupported(f"reduce {way!r}; expected one of {', '.join(k for k in REDUCTIONS if k)}")
    data, indices = typed(b, call["self"], call.dtype, call.name), indices_of(b, call["index"], call.name)
    updates = typed(b, call.first("src", "value"), call.dtype, f"{call.name}/updates")
    for axis, n in enumerate(indices.shape if updates.shape else ()):
        updates = cut(b, updates, axis, 0, n)
    inputs = [data, indices, expanded(b, updates, indices.shape)]
    axis = axis_of(int(call["dim"]), len(data.shape))
    return b.emit("scatter_elements", inputs, call.name, axis=axis, reduction=REDUCTIONS[way])


Places = list[tuple[int, Operand]]  # axis -> its indices


def places_of(given: list[Any]) -> Places:
    found = [(axis, x) for axis, x in enumerate(given) if x is not None]
    other = next((x.dtype for _, x in found if str(x.dtype) not in INDEX_DTYPES), None)
    if other is not None:
        raise Unsupported(f"indices of {other}; expected integers")
    return found


def index(b: Builder, call: Call) -> Value:
    """x[:, i, j]: the indices' axes stand where the indexed ones stood; in front where these lie apart."""
    x, places = typed(b, call["self"], call.dtype, f"{call.name}/table"), places_of(call["indices"])
    axes = [a for a, _ in places]
    if len(axes) == 1:
        indices = indices_of(b, places[0][1], call.name)
        return b.emit("gather", [x, indices], call.name, axis=axes[0], batch_dims=0)
    rest = [a for a in range(len(x.shape)) if a not in axes]
    positions, shape = stacked(b, [i for _, i in places], call.name)
    y = b.emit("gather_nd", [b.transpose(x, (*axes, *rest)), positions], call.name, batch_dims=0)
    first = axes[0] if axes == list(range(axes[0], axes[-1] + 1)) else 0
    n = len(shape)
    behind = range(n + first, len(y.shape))
    return b.transpose(y, (*range(n, n + first), *range(n), *behind))


def stacked(b: Builder, given: list[Operand], name: str) -> tuple[Value, Shape]:
    """Indices of several axes as positions [..., axes]."""
    shape: Shape = np.broadcast_shapes(*(shape_of(i) for i in given))
    known = [i for i in given if isinstance(i, np.ndarray)]
    if len(known) == len(given):
        return indices_of(b, np.stack(np.broadcast_arrays(*known), -1), name), shape
    parts = [expanded(b, typed(b, i, "int64", name), shape) for i in given]
    raised = [b.reshape(p, (*shape, 1)) for p in parts]
    return (raised[0] if len(raised) == 1 else b.emit("concat", raised, axis=len(shape))), shape


def index_put(b: Builder, call: Call) -> Value:
    """x with x[mask] or x[i, j] replaced, or added to."""
    x, given, values = call["self"], call["indices"], call["values"]
    if is_mask(given) and not call["accumulate"]:
        new = typed(b, values, call.dtype, f"{call.name}/values")
        if new.elements != 1:
            raise Unsupported(f"{new.elements} values where a mask holds; expected a single one")
        mask = b.reshape(given[0], (*given[0].shape, *(1,) * (len(call.shape) - len(given[0].shape))))
        return b.emit("select", [mask, b.reshape(new, ()), typed(b, x, call.dtype, call.name)], call.name)
    places = places_of(given)
    if [a for a, _ in places] != list(range(len(places))):
        raise Unsupported("indices behind a free axis are written to; expected indices of the first axes")
    data = typed(b, x, call.dtype, call.name)
    positions, shape = stacked(b, [i for _, i in places], call.name)
    new = typed(b, values, call.dtype, f"{call.name}/values")
    full = (*shape, *data.shape[len(places) :])
    new = expanded(b, b.reshape(new, (1,) * (len(full) - len(new.shape)) + new.shape), full)
    reduction = "add" if call["accumulate"] else "none"
    return b.emit("scatter_nd", [data, positions, new], call.name, reduction=reduction)


def is_mask(given: list[Any]) -> bool:
    return len(given) == 1 and isinstance(given[0], Value) and given[0].dtype == "bool"


RULES: dict[str, Rule] = {
    **dict.fromkeys(("index_select", "embedding"), select),
    "gather": gather,
    **dict.fromkeys(("scatter", "scatter_add", "scatter_reduce"), scatter),
    "index": index,
    "_unsafe_index": index,
    **dict.fromkeys(("index_put", "_unsafe_index_put"), index_put),
}
