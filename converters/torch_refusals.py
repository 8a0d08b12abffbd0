# SPDX-License-Identifier: Apache-2.0
"""Programs that cannot be imported, told apart before anything is built: all reasons at once."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from edgesdk.converters.torch_trace import is_tensor, kind_of, source_of
from edgesdk.errors import Unsupported, UsageError

# Where training shows: op -> name of the argument that is true then.
TRAINING = {
    "batch_norm": "training",
    "instance_norm": "use_input_stats",
    "native_batch_norm": "training",
    "_native_batch_norm_legit": "training",
    "_native_batch_norm_legit_functional": "training",
    "dropout": "train",
    "native_dropout": "train",
    "alpha_dropout": "train",
    "feature_dropout": "train",
    "rrelu": "training",
}
# What to write instead, where something close is supported.
REWRITES = {
    "conv3d": "conv2d over each slice",
    "avg_pool3d": "avg_pool2d over each slice",
    "max_pool3d": "max_pool2d over each slice",
    "fft_fft": "products with the constant matrices of cosines and sines",
    "fft_rfft": "products with the constant matrices of cosines and sines",
    "grid_sampler_2d": "interpolate to a fixed size",
    "cdist": "the squared distances by products, (x * x).sum() + (y * y).sum() - 2 x y",
    "multinomial": "argmax",
    "stft": "conv1d with the windowed cosines and sines as weights",
    "median": "mean",
}


def refuse_training(where: str, program: Any) -> None:
    """A graph that was traced in training mode."""
    training = sorted({source_of(n) for n in program.graph.nodes if n.op == "call_function" and trains(n)})
    if training:
        raise UsageError(
            f"{where}: exported in training mode ({', '.join(training[:8])}); call model.eval() before torch.export"
        )


def refuse_state(where: str, program: Any) -> None:
    """A graph that changes its own buffers."""
    changed = sorted(program.graph_signature.buffers_to_mutate.values())
    if changed:
        raise Unsupported(
            f"{where}: forward changes its buffers {', '.join(map(repr, changed[:8]))}; expected a model without "
            "state, return the new state as an output"
        )


def trains(node: Any) -> bool:
    kind = kind_of(node.target)
    if kind not in TRAINING:
        return False
    names = [a.name for a in node.target._schema.arguments]
    i = names.index(TRAINING[kind]) if TRAINING[kind] in names else len(node.args)
    given = node.args[i] if i < len(node.args) else node.kwargs.get(TRAINING[kind], False)
    # An instance norm always takes its statistics from the input.
    return bool(given) and kind != "instance_norm"


def refuse_unknown(where: str, program: Any, constants: Container[Any], rules: Container[str]) -> None:
    """Lists every node that has no rule, with its place and what to write instead."""
    found: dict[str, list[str]] = {}
    for node in program.graph.nodes:
        if node.op != "call_function" or (node in constants and is_plain(node)):
            continue
        problem = problem_of(node, rules)
        if problem is not None:
            found.setdefault(problem, []).append(source_of(node))
    if found:
        listed = "; ".join(f"{problem} in {', '.join(places[:8])}" for problem, places in sorted(found.items()))
        raise Unsupported(
            f"{where}: unsupported ops: {listed}; expected ops of the list in ARCHITECTURE.md, "
            f"write the model without these"
        )


def is_plain(node: Any) -> bool:
    space = getattr(getattr(node.target, "_schema", None), "name", "aten::").partition("::")[0]
    return space == "aten" and getattr(node.target, "namespace", "") != "higher_order"


def problem_of(node: Any, rules: Container[str]) -> str | None:
    kind = kind_of(node.target)
    if getattr(node.target, "namespace", "") == "higher_order":
        return f"control flow {kind}"
    if not is_plain(node):
        return f"custom op {kind}"
    if depends_on_data(node):
        return f"{kind}, whose shape depends on data,"
    if kind == "getitem" or kind in rules or not is_used(node):
        return None
    return f"{kind} (write {REWRITES[kind]} instead)" if kind in REWRITES else kind


def depends_on_data(node: Any) -> bool:
    if kind_of(node.target) in ("item", "_local_scalar_dense", "nonzero"):
        return True
    value = node.meta.get("val")
    return is_tensor(node) and any(not isinstance(d, int) for d in value.shape)


def is_used(node: Any) -> bool:
    """Assertions and the like return nothing that anyone reads."""
    return bool(node.users)
