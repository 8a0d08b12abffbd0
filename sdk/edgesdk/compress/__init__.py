# SPDX-License-Identifier: Apache-2.0
"""What changes numbers: recipes of named methods, one file per method.

A recipe is what `--quantize` names: a scheme and methods, "int8" or "int8+equalize+correct_bias". A method is a
file here with a function of the same name that takes a `Work` and changes it; STEPS says when it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.compress.work import Work
    from edgesdk.ir import Graph

# In this order; None stands for what every recipe does there.
STEPS = (
    "equalize",  # before ranges are taken: it changes them
    None,  # calibrate
    None,  # quantize
    "correct_bias",  # needs the rounded weights
)
CALIBRATE, QUANTIZE = (i for i, step in enumerate(STEPS) if step is None)
SCHEMES = ("int8", "int16x8", "int4", "auto")
METHODS = tuple(step for step in STEPS if step is not None)


@dataclass(frozen=True)
class Recipe:
    scheme: str
    methods: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "+".join((self.scheme, *self.methods))


def recipe(text: str) -> Recipe:
    """The recipe of that name, its methods in the order in which they run.

    >>> recipe("int8+correct-bias+equalize").name
    'int8+equalize+correct_bias'
    """
    scheme, *asked = text.replace("-", "_").split("+")
    if scheme not in SCHEMES:
        raise UsageError(f"--quantize {text}: no scheme {scheme!r}; expected one of {', '.join(SCHEMES)} or none")
    unknown = [m for m in asked if m not in METHODS]
    if unknown:
        raise UsageError(f"--quantize {text}: no method {', '.join(unknown)}; expected {', '.join(METHODS)}")
    return Recipe(scheme, tuple(m for m in METHODS if m in asked))


def apply(chosen: Recipe, work: Work) -> Work:
    """Calibrates and quantises, with the recipe's methods around."""
    from edgesdk.compress.calibrate import chosen_ranges
    from edgesdk.compress.observe import observe
    from edgesdk.compress.quantize import SCHEMES as KNOWN
    from edgesdk.compress.quantize import quantized
    from edgesdk.compress.stored_weights import expand_weights

    work.floats = expand_weights(work.floats.copy())
    for i, step in enumerate(STEPS):
        if i == CALIBRATE:
            work.observed = observe(work.floats, work.samples(), work.execute)
            work.ranges = chosen_ranges(work.observed, work.how)
        elif i == QUANTIZE:
            work.result = quantized(work.floats, work.ranges, KNOWN[chosen.scheme], leave_float=True)
        elif step in chosen.methods:
            _method(step)(work)
    assert work.result is not None
    work.result.metadata["quantization"] = chosen.name
    return work


def prepared(graph: Graph, chosen: Recipe) -> Graph:
    """The float network as the recipe's methods leave it before ranges are taken: what its layers are compared to."""
    from edgesdk.compress.stored_weights import expand_weights
    from edgesdk.compress.work import Work

    work = Work(expand_weights(graph.copy()), [])
    for step in STEPS[:CALIBRATE]:
        if step in chosen.methods:
            _method(step)(work)
    return work.floats


def _method(name: str | None) -> Callable[[Work], None]:
    function: Callable[[Work], None] = getattr(importlib.import_module(f"{__name__}.{name}"), str(name))
    return function
