# SPDX-License-Identifier: Apache-2.0
"""What each node of a traced torch model is: an operation of the integer program, a view, or float.

A rule takes a `Call` and returns an `Op`, or a sentence that says why the node stays float.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SCALE_KEEPING = ("view", "max_pool2d", "avg_pool2d", "concat")  # their output lies on their inputs' grid
FUSED_ACTIVATIONS = ("relu", "relu6", "relu_n1_to_1")


@dataclass(frozen=True)
class Op:
    """An op of the graph (`view` where only the shape changes) and its attributes in torch's axis order."""

    kind: str
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A node, the module that it calls if it calls one, and the value of every node for the example."""

    node: Any
    module: Any
    values: dict[Any, Any]

    @property
    def x(self) -> Any:
        return self.values.get(self.node.args[0])

    @property
    def y(self) -> Any:
        return self.values[self.node]

    def get(self, name: str, position: int, default: Any = None) -> Any:
        """An argument, by the name that modules and functions share, or by its position."""
        if self.module is not None:
            return getattr(self.module, name, default)
        args = self.node.args
        given = args[position] if position < len(args) else self.node.kwargs.get(name, default)
        return self.values.get(given, given) if hasattr(given, "all_input_nodes") else given


Rule = Callable[[Call], Op | str]


def pair(x: Any) -> tuple[int, int]:
    values = tuple(x) if isinstance(x, list | tuple) else (x,)
    return (int(values[0]), int(values[-1]))


def conv2d(call: Call) -> Op | str:
    m = call.module
    attrs = {"stride": pair(m.stride), "dilation": pair(m.dilation), "groups": int(m.groups)}
    if call.x.ndim != 4:
        return f"an input of {call.x.ndim} axes; expected [N,C,H,W]"
    padding = conv_padding(m)
    if padding is None or m.padding_mode != "zeros":
        return f"padding {m.padding!r} of mode {m.padding_mode!r}; expected zeros, as many on both sides"
    depthwise = m.groups == m.in_channels and m.groups > 1
    return Op("depthwise_conv2d" if depthwise else "conv2d", {**attrs, "padding": padding})


def conv_padding(m: Any) -> tuple[int, int] | None:
    """The zeros on either side; None where the sides differ."""
    if m.padding == "valid":
        return (0, 0)
    if m.padding == "same":
        total = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size, strict=True)]
        return None if any(t % 2 for t in total) else (total[0] // 2, total[1] // 2)
    return pair(m.padding)


def linear(call: Call) -> Op | str:
    return Op("fully_connected") if call.x.ndim > 1 else "an input of one axis; expected a batch axis in front"


def table(op: str) -> Rule:
    return lambda call: Op(op)


def leaky_relu(call: Call) -> Op | str:
    return Op("leaky_relu", {"alpha": float(call.get("negative_slope", 1, 0.01))})


def gelu(call: Call) -> Op | str:
    return Op("gelu", {"approximate": call.get("approximate", 1, "none") == "tanh"})


def elu(call: Call) -> Op | str:
    return Op("elu", {"alpha": float(call.get("alpha", 1, 1.0))})


def hard_sigmoid(call: Call) -> Op | str:
    return Op("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5})


def hardtanh(call: Call) -> Op | str:
    low, high = float(call.get("min_val", 1, -1.0)), float(call.get("max_val", 2, 1.0))
    named = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}
    return Op(named[low, high]) if (low, high) in named else Op("clip", {"min": low, "max": high})


def binary(op: str) -> Rule:
    def rule(call: Call) -> Op | str:
        tensors = [a for a in call.node.args if hasattr(a, "all_input_nodes") and hasattr(call.values[a], "ndim")]
        if len(tensors) != 2 or call.node.kwargs.get("alpha", 1) != 1:
            return "one operand is a number; expected two tensors"
        return Op(op)

    return rule


def concat(call: Call) -> Op | str:
    parts = call.node.args[0]
    if not isinstance(parts, list | tuple):
        return "expected a list of tensors"
    axis = call.node.args[1] if len(call.node.args) > 1 else call.node.kwargs.get("dim", 0)
    return Op("concat", {"axis": int(axis) % call.y.ndim})


def pool(op: str) -> Rule:
    def rule(call: Call) -> Op | str:
        kernel = pair(call.get("kernel_size", 1))
        stride = call.get("stride", 2)
        attrs = {"kernel": kernel, "stride": kernel if stride in (None, [], ()) else pair(stride)}
        attrs["padding"] = pair(call.get("padding", 3, 0))
        if call.y.ndim != 4:
            return f"an image of {call.y.ndim} axes; expected [N,C,H,W]"
        return max_pool(call, attrs) if op == "max_pool2d" else avg_pool(call, attrs)

    return rule


def max_pool(call: Call, attrs: dict[str, Any]) -> Op | str:
    plain = pair(call.get("dilation", 4, 1)) == (1, 1) and not call.get("return_indices", 6, False)
    if not plain or call.get("ceil_mode", 5, False):
        return "dilation, ceil_mode or indices; expected a plain pool"
    return Op("max_pool2d", attrs)


def avg_pool(call: Call, attrs: dict[str, Any]) -> Op | str:
    if call.get("ceil_mode", 4, False) or call.get("divisor_override", 6) is not None:
        return "ceil_mode or divisor_override; expected a plain pool"
    counted = bool(call.get("count_include_pad", 5, True)) and any(attrs["padding"])
    return Op("avg_pool2d", {**attrs, "count_padding": counted})


def adaptive_avg_pool(call: Call) -> Op | str:
    if call.y.ndim == 4 and tuple(call.y.shape[2:]) == (1, 1):
        return Op("mean", {"axes": (2, 3), "keep_dims": True})
    return f"a result of {tuple(call.y.shape)}; expected one pixel"


def mean(call: Call) -> Op | str:
    given = call.node.args[1] if len(call.node.args) > 1 else call.node.kwargs.get("dim")
    given = [] if given is None else given if isinstance(given, list | tuple) else [given]
    axes = tuple(sorted({int(a) % call.x.ndim for a in given}))
    keep = call.node.args[2] if len(call.node.args) > 2 else call.node.kwargs.get("keepdim", False)
    if not axes or 0 in axes or call.node.kwargs.get("dtype") is not None:
        return "expected a mean over axes other than the batch's"
    return Op("mean", {"axes": axes, "keep_dims": bool(keep)})


def view(call: Call) -> Op | str:
    if call.x is None or call.x.shape[:1] != call.y.shape[:1]:
        return "it moves the batch axis; expected that to stay in front"
    return Op("view")


def permute(call: Call) -> Op | str:
    rank, args = call.x.ndim, call.node.args[1:]
    axes = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    axes = tuple(int(a) % rank for a in axes) or tuple(int(a) % rank for a in call.node.kwargs.get("dims", ()))
    return moved(axes)


def transpose(call: Call) -> Op | str:
    order = list(range(call.x.ndim))
    i, j = int(call.get("dim0", 1)), int(call.get("dim1", 2))
    order[i], order[j] = order[j], order[i]
    return moved(tuple(order))


def moved(perm: tuple[int, ...]) -> Op | str:
    return Op("view", {"perm": perm}) if perm and perm[0] == 0 else "it moves the batch axis; expected it in front"


RULES: dict[str, Rule] = {
    "Conv2d": conv2d,
    "Linear": linear,
    **dict.fromkeys(("ReLU", "relu", "relu_"), table("relu")),
    **dict.fromkeys(("ReLU6", "relu6"), table("relu6")),
    **dict.fromkeys(("Hardswish", "hardswish"), table("hard_swish")),
    **dict.fromkeys(("Sigmoid", "sigmoid"), table("logistic")),
    **dict.fromkeys(("Tanh", "tanh"), table("tanh")),
    **dict.fromkeys(("SiLU", "silu"), table("silu")),
    **dict.fromkeys(("Mish", "mish"), table("mish")),
    **dict.fromkeys(("GELU", "gelu"), gelu),
    **dict.fromkeys(("ELU", "elu"), elu),
    **dict.fromkeys(("Hardsigmoid", "hardsigmoid"), hard_sigmoid),
    **dict.fromkeys(("LeakyReLU", "leaky_relu"), leaky_relu),
    **dict.fromkeys(("Hardtanh", "hardtanh"), hardtanh),
    **dict.fromkeys(("add", "add_", "iadd"), binary("add")),
    **dict.fromkeys(("sub", "sub_", "isub"), binary("sub")),
    **dict.fromkeys(("mul", "mul_", "imul", "multiply"), binary("mul")),
    **dict.fromkeys(("cat", "concat"), concat),
    **dict.fromkeys(("AvgPool2d", "avg_pool2d"), pool("avg_pool2d")),
    **dict.fromkeys(("MaxPool2d", "max_pool2d"), pool("max_pool2d")),
    **dict.fromkeys(("AdaptiveAvgPool2d", "adaptive_avg_pool2d"), adaptive_avg_pool),
    "mean": mean,
    **dict.fromkeys(("Flatten", "flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "Unflatten"), view),
    **dict.fromkeys(("Identity", "Dropout", "Dropout1d", "Dropout2d", "dropout"), view),
    "permute": permute,
    "transpose": transpose,
}


def name_of(node: Any, module: Any) -> str:
    """What the node calls: the class of a module of torch.nn, the name of a function or method.

    A module of the user's own, or derived from one of torch's, may compute anything.
    """
    from torch.nn import functional

    if module is not None:
        own = type(module).__module__.startswith("torch.nn.modules")
        return type(module).__name__ if own else f"{type(module).__module__}.{type(module).__name__}"
    if node.target is functional.max_pool2d:  # one of two functions, chosen when called
        return "max_pool2d"
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


def classify(call: Call) -> Op | str:
    name = name_of(call.node, call.module)
    if name not in RULES:
        return "no integer form in this recipe"
    if not call.node.args or not hasattr(call.y, "ndim") or not call.y.is_floating_point():
        return "expected a float tensor as its first argument and result"
    return RULES[name](call)
