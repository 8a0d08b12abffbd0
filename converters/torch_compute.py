# SPDX-License-Identifier: Apache-2.0
"""What ATen's products of activations, attention, norms by own statistics and smooth activations become.

RULES as in torch_ops.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgesdk.converters.build import Builder
from edgesdk.converters.layers import (
    Operand,
    axis_of,
    binary,
    norm_factors,
    own_norm,
    product,
    repeated,
    scaled,
)
from edgesdk.converters.torch_ops import Call, Rule, batch_norm, constant, tensor, times, typed, unary
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops.masks import LEAST


def matmul(b: Builder, call: Call) -> Value:
    """mm, bmm, mv, dot and matmul."""
    return product(b, call["self"], call.first("mat2", "other", "vec", "tensor"), call.name)


def baddbmm(b: Builder, call: Call) -> Value:
    y = times(b, product(b, call["batch1"], call["batch2"], f"{call.name}/product"), float(call["alpha"]))
    beta = float(call["beta"])
    return tensor(y) if beta == 0 else binary(b, "add", y, times(b, call["self"], beta), call.name)


def attention(b: Builder, call: Call) -> Value:
    """softmax(scale q k^T + mask) v"""
    q, k, v = tensor(call["query"]), tensor(call["key"]), tensor(call["value"])
    if float(call.get("dropout_p", 0.0)):
        raise Unsupported("attention with dropout; call model.eval() first")
    if call.get("enable_gqa", False) and k.shape[-3] != q.shape[-3]:
        k, v = (spread_heads(b, x, q.shape[-3]) for x in (k, v))
    scale = q.shape[-1] ** -0.5 if call.get("scale") is None else float(call["scale"])
    scores = b.emit("batch_matmul", [q, k], f"{call.name}/scores", adj_x=False, adj_y=True)
    shares = attention_shares(b, scores, scale, mask_of(call, scores), f"{call.name}/shares")
    return b.emit("batch_matmul", [shares, v], call.name, adj_x=False, adj_y=False)


def attention_shares(b: Builder, scores: Value, scale: float, mask: Operand | None, name: str) -> Value:
    """A positive scale is the softmax's own factor; a constant mask is divided by it instead."""
    if scale <= 0 or isinstance(mask, Value):
        scores, scale = scaled(b, scores, scale), 1.0
    if mask is not None:
        term = mask if isinstance(mask, Value) else np.asarray(mask) / np.float32(scale)
        scores = binary(b, "add", scores, term)
    return b.emit("softmax", [scores], name, beta=scale)


def mask_of(call: Call, scores: Value) -> Operand | None:
    """What is added to the scores: a very negative number where nobody may look."""
    mask = call.get("attn_mask")
    if isinstance(mask, Value) and mask.dtype != "float32":
        raise Unsupported("an attention mask of booleans as an input; expected floats that are added to the scores")
    if isinstance(mask, np.ndarray):
        mask = hidden(~mask) if mask.dtype == bool else np.maximum(mask, np.float32(LEAST))
    if call.get("is_causal", False):
        return hidden(np.triu(np.ones(scores.shape[-2:], bool), 1))
    return mask


def hidden(where: np.ndarray) -> np.ndarray:
    return np.where(where, np.float32(LEAST), np.float32(0))


def spread_heads(b: Builder, x: Value, heads: int) -> Value:
    """Each head of [..., H, S, D] several times in a row, until there are `heads`."""
    *lead, own, s, d = x.shape
    each = repeated(b, b.reshape(x, (*lead, own, 1, s, d)), (*(1,) * (len(lead) + 1), heads // own, 1, 1))
    return b.reshape(each, (*lead, heads, s, d))


def masked_fill(b: Builder, call: Call) -> Value:
    """What softmax takes for -infinity is added where the mask is constant; any other value replaces exactly."""
    x, mask = tensor(call["self"]), call["mask"]
    if isinstance(mask, Value) or x.dtype != "float32":
        return replaced(b, call)
    value = float(np.asarray(call["value"]).reshape(())) if not isinstance(call["value"], Value) else math.nan
    if math.isnan(value) or value == math.inf:
        raise Unsupported(f"a mask that fills with {call['value']}; expected a finite number or -infinity")
    if value <= LEAST:
        return binary(b, "add", x, hidden(mask), call.name)
    kept = x if value == 0 and not mask.any() else binary(b, "mul", x, (~mask).astype(np.float32))
    return kept if value == 0 else binary(b, "add", kept, np.where(mask, np.float32(value), np.float32(0)), call.name)


def variance(b: Builder, call: Call) -> Value | list[Value]:
    """var and std, alone or with the mean, over some axes or all of them."""
    x, dims = tensor(call["self"]), call.get("dim")
    axes = tuple(sorted(axis_of(int(d), len(x.shape)) for d in dims or range(len(x.shape))))
    items = math.prod(x.shape[a] for a in axes)
    freedom = items - corrected(call)
    if freedom <= 0:
        raise Unsupported(f"a variance of {items} items with correction {corrected(call):g}; expected more items")
    mean = b.emit("mean", [x], axes=axes, keep_dims=True)
    squares = b.emit("square", [binary(b, "sub", x, mean)])
    kept = scaled(b, b.emit("mean", [squares], axes=axes, keep_dims=True), items / freedom)
    kept = b.emit("sqrt", [kept]) if call.kind.startswith("std") else kept
    result = b.reshape(kept, call.shape)
    return [result, b.reshape(mean, call.shape)] if call.kind.endswith("mean") else result


def corrected(call: Call) -> float:
    if "unbiased" in call.args:
        return float(bool(call["unbiased"]))
    given = call.get("correction", 1)
    return 1.0 if given is None else float(given)


def replaced(b: Builder, call: Call) -> Value:
    """By a mask that is computed."""
    mask, value = (typed(b, call[k], dtype, call.name) for k, dtype in (("mask", "bool"), ("value", call.dtype)))
    return b.emit("select", [mask, b.reshape(value, ()), tensor(call["self"])], call.name)


def optional(call: Call, *names: str) -> list[np.ndarray | None]:
    return [None if call.get(n) is None else constant(call[n], f"its {n}") for n in names]


def layer_norm(b: Builder, call: Call) -> list[Value]:
    x = tensor(call["input"])
    axis = axis_of(-len(call["normalized_shape"]), len(x.shape))
    factors = norm_factors(b, optional(call, "weight", "bias"), x.shape[axis:], call.name)
    op = "rms_norm" if call.kind == "rms_norm" else "layer_norm"
    epsilon = np.finfo(np.float32).eps if call["eps"] is None else call["eps"]
    return [b.emit(op, [x, *factors], call.name, axis=axis, epsilon=float(epsilon))]


def group_norm(b: Builder, call: Call) -> list[Value]:
    groups = int(call.first("num_groups", "group"))
    factors = optional(call, "weight", "bias")
    return [own_norm(b, tensor(call["input"]), groups, factors, float(call["eps"]), call.name)]


def instance_norm(b: Builder, call: Call) -> Value:
    if not call["use_input_stats"]:
        return batch_norm(b, call)
    x, factors = tensor(call["input"]), optional(call, "weight", "bias")
    return own_norm(b, x, x.shape[1], factors, float(call["eps"]), call.name)


def gelu(b: Builder, call: Call) -> Value:
    return b.emit("gelu", [tensor(call["self"])], call.name, approximate=call.get("approximate", "none") == "tanh")


def elu(b: Builder, call: Call) -> Value:
    """elu with torch's factors of the result and of the input."""
    factor = float(call.get("input_scale", 1))
    if factor <= 0:
        raise Unsupported(f"elu with a factor of {factor:g} on its input; expected a positive one")
    x = scaled(b, tensor(call["self"]), factor)
    alpha, gamma = float(call["alpha"]) * factor, float(call.get("scale", 1)) / factor
    if gamma == 1:
        return b.emit("elu", [x], call.name, alpha=alpha)
    return b.emit("selu", [x], call.name, alpha=alpha, gamma=gamma)


def selu(b: Builder, call: Call) -> Value:
    attrs: dict[str, Any] = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}
    return b.emit("selu", [tensor(call["self"])], call.name, **attrs)


def softplus(b: Builder, call: Call) -> Value:
    beta, threshold = float(call["beta"]), float(call["threshold"])
    if beta <= 0 or threshold < 15:  # from there on the curve and the line differ by less than 1e-6
        raise Unsupported(f"softplus with beta {beta:g} and threshold {threshold:g}; expected beta > 0, threshold 20")
    y = b.emit("softplus", [scaled(b, tensor(call["self"]), beta)], call.name)
    return scaled(b, y, 1 / beta)


def log_sigmoid(b: Builder, call: Call) -> Value:
    return scaled(b, b.emit("softplus", [scaled(b, tensor(call["self"]), -1.0)]), -1.0, call.name)


def hardsigmoid(b: Builder, call: Call) -> Value:
    return b.emit("hard_sigmoid", [tensor(call["self"])], call.name, alpha=1 / 6, beta=0.5)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "matmul"), matmul),
    "baddbmm": baddbmm,
    "scaled_dot_product_attention": attention,
    "masked_fill": masked_fill,
    **dict.fromkeys(("layer_norm", "native_layer_norm", "rms_norm"), layer_norm),
    **dict.fromkeys(("group_norm", "native_group_norm"), group_norm),
    "instance_norm": instance_norm,
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), variance),
    "gelu": gelu,
    "silu": unary("silu"),
    "mish": unary("mish"),
    **dict.fromkeys(("erf", "special_erf"), unary("erf")),
    "elu": elu,
    "selu": selu,
    "softplus": softplus,
    "log_sigmoid": log_sigmoid,
    "hardsigmoid": hardsigmoid,
}
