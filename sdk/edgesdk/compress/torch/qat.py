# SPDX-License-Identifier: Apache-2.0
"""Training with the numbers of the device.

    model = qat.prepare(net, example, weights="int4")     a copy of net; example: a batch of typical inputs
    ...                                                   train it as any other module
    qat.freeze(model)
    converted = edgesdk.convert(model, "mps2_an386", io="int8")

What the model computes in evaluation is what the program computes, byte for byte: integer sums, bias,
multiplier, shift and clamp, tables of activations, and the roundings of sums, pools and means. Gradients pass
roundings unchanged. Modules that have no integer form stay float and are named in `model.left_float`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesdk.compress.torch import grids
from edgesdk.compress.torch.trace import Options
from edgesdk.compress.torch.trace import prepare as trace
from edgesdk.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

BITS = {"int8": 8, "int4": 4}
RANGES = ("observed", "learned")
NORMS = ("live", "frozen")


def prepare(
    model: nn.Module, example: Any, weights: str = "int8", ranges: str = "observed", batch_norm: str = "live"
) -> Any:
    """A copy of `model` that computes in the integers of the device and trains like any module.

    `example` is a batch of typical inputs (a tensor, or a tuple of them): the first ranges come from it. With
    ranges="observed" they follow the batches of the training, with "learned" the scales are parameters.
    batch_norm="live" folds batch norms in the course of the training, "frozen" folds their running statistics
    from the start. What stays float is warned about, and listed in the result's `left_float`.
    """
    for name, given, known in (
        ("weights", weights, BITS),
        ("ranges", ranges, RANGES),
        ("batch_norm", batch_norm, NORMS),
    ):
        if given not in known:
            raise UsageError(f"{name}={given!r}; expected one of {', '.join(known)}")
    inputs = as_inputs(example)
    prepared = trace(model, inputs, Options(BITS[weights], ranges == "learned", batch_norm == "live"))
    first_ranges(prepared, inputs)
    if prepared.left_float:
        listed = "; ".join(map(str, prepared.left_float))
        warnings.warn(f"these stay float: {listed}", stacklevel=2)
    return prepared.train(model.training)


def as_inputs(example: Any) -> tuple[Any, ...]:
    if hasattr(example, "ndim"):
        example = (example,)
    if isinstance(example, Mapping) or not all(hasattr(x, "ndim") and x.ndim > 0 and len(x) > 0 for x in example):
        raise UsageError("example: expected a tensor with a batch of inputs, or a tuple of them, one per argument")
    return tuple(example)


def first_ranges(model: Any, inputs: tuple[Any, ...]) -> None:
    import torch

    model.eval()
    for grid in grids_of(model):
        grid.train()
    with torch.no_grad():
        model(*inputs)


def grids_of(model: Any) -> list[Any]:
    return [m for m in model.modules() if isinstance(getattr(m, "spec", None), grids.Grid)]


def freeze(model: Any) -> Any:
    """Ends the training: evaluation mode, no gradients, ranges and statistics as they are. Returns the model."""
    return model.eval().requires_grad_(False)


def freeze_batch_norm(model: Any) -> Any:
    """From now on batch norms keep their running statistics, so that training too computes the program's bytes:
    for the last epochs. Returns the model."""
    for module in model.modules():
        if getattr(getattr(module, "spec", None), "live_norm", False):
            module.spec = replace(module.spec, live_norm=False)
    return model


def distillation(student: torch.Tensor, teacher: torch.Tensor, T: float = 4.0) -> torch.Tensor:
    """The loss that pulls the student's logits [N, classes] to the teacher's, both softened by the temperature T."""
    from torch.nn import functional

    wanted = functional.softmax(teacher.detach() / T, -1)
    return functional.kl_div(functional.log_softmax(student / T, -1), wanted, reduction="batchmean") * T * T


def integers(model: Any, *inputs: torch.Tensor) -> list[np.ndarray]:
    """The int8 outputs that the program gives for these inputs, in torch's axis order; of outputs that stay float,
    the floats."""
    import torch

    if model.training:
        raise UsageError("the model is in training mode; call qat.freeze(model) first")
    with torch.no_grad():
        given = model(*inputs)
    outputs = [given] if hasattr(given, "ndim") else list(given)
    return [stored(grid, y) for grid, y in zip(output_grids(model), outputs, strict=True)]


def stored(grid: Any, y: torch.Tensor) -> np.ndarray:
    if grid is None:
        return np.asarray(y.cpu().numpy())
    return np.asarray(grids.bytes_of(grid, y).cpu().numpy().astype(np.int8))


def output_grids(model: Any) -> list[Any]:
    """The grid of every output; None where it stays float."""
    (given,) = next(n for n in model.net.graph.nodes if n.op == "output").args
    return [grid_at(model, n) for n in ([given] if hasattr(given, "all_input_nodes") else given)]


def grid_at(model: Any, node: Any) -> Any:
    """The grid that a node's value lies on: its step's, or that of what it only moves."""
    if node.name not in model.plan:
        return None
    if node.op == "call_module" and node.target.startswith("steps."):
        return model.net.get_submodule(node.target).grid
    source = node.args[0]
    return grid_at(model, source if hasattr(source, "all_input_nodes") else source[0])
