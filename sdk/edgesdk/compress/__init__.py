# SPDX-License-Identifier: Apache-2.0
"""What changes numbers: recipes of named methods, one file per method.

A recipe is what `--quantize` names: a scheme and methods, "int8" or "int8+equalize+correct_bias". A method is a
file here with a function of the same name that takes a `Work` and changes it; STEPS says when it runs. ROUNDINGS are
methods too: how weights become integers, one of them at most. "int16x8", whose only loss is that of its weights, and
the schemes of fewer bits ("int4", "auto", and "w8" and "w4", which change weights only) take the first where none is
named. "w16" stores weights as float16 and has no methods.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from edgesdk.compress.narrow_weights import Widths
    from edgesdk.compress.work import Work
    from edgesdk.ir import Graph

# In this order; None stands for what every recipe does there.
STEPS = (
    "equalize",  # before ranges are taken: it changes them
    "smooth",  # the same; looks at samples of what equalize left
    None,  # calibrate
    "fine_sums",  # says what quantize does
    None,  # quantize
    "correct_bias",  # needs the rounded weights
    "refine_weights",  # the same
)
ROUNDINGS = ("gptq", "learn_rounding", "round_nearest")
CALIBRATE, QUANTIZE = (i for i, step in enumerate(STEPS) if step is None)
SCHEMES = ("int8", "int16x8", "int4", "auto", "w16", "w8", "w4")
ENOUGH = 32  # samples that the rounding of 8 bits looks at where the recipe names none
WEIGHTS_ONLY = {"w16": 16, "w8": 8, "w4": 4}
NARROW = ("int4", "auto", "w8", "w4")
INSTEAD = ("correct_bias", "refine_weights")  # make up for weights that went to their nearest integers
METHODS = (*(step for step in STEPS if step is not None), *ROUNDINGS)


@dataclass(frozen=True)
class Recipe:
    scheme: str
    methods: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "+".join((self.scheme, *self.methods))

    @property
    def rounding(self) -> str | None:
        """How weights are rounded again, None where each goes to its nearest integer at once."""
        asked = next((m for m in self.methods if m in ROUNDINGS), None)
        usual = self.scheme in NARROW or (self.scheme == "int16x8" and not set(self.methods) & set(INSTEAD))
        return asked or (ROUNDINGS[0] if usual else None)


def scheme_of(text: str) -> str:
    return text.partition("+")[0]


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
    chosen = Recipe(scheme, tuple(m for m in METHODS if m in asked))
    check_rounding(text, chosen)
    return chosen


def check_rounding(text: str, chosen: Recipe) -> None:
    if chosen.scheme == "w16" and chosen.methods:
        raise UsageError(f"--quantize {text}: w16 rounds each weight to float16; leave {chosen.methods[0]} out")
    if len(set(chosen.methods) & set(ROUNDINGS)) > 1:
        raise UsageError(f"--quantize {text}: expected one of {', '.join(ROUNDINGS)}, leave the others out")
    if "refine_weights" in chosen.methods and chosen.scheme != "int16x8":
        raise UsageError(f"--quantize {text}: refine_weights needs 16-bit activations; expected int16x8+refine_weights")
    if "fine_sums" in chosen.methods and chosen.scheme not in ("int8", "int4", "auto"):
        raise UsageError(f"--quantize {text}: fine_sums is for 8-bit activations; leave it out of {chosen.scheme}")
    several = [m for m in (chosen.rounding, *INSTEAD) if m and m in (chosen.rounding, *chosen.methods)]
    if len(several) > 1:
        raise UsageError(
            f"--quantize {text}: {several[0]} makes up for what rounding loses, biases too; leave {several[-1]} out"
        )


def apply(chosen: Recipe, work: Work) -> Work:
    """Calibrates and quantises, with the recipe's methods around."""
    from edgesdk.compress.calibrate import chosen_ranges
    from edgesdk.compress.observe import observe
    from edgesdk.compress.stored_weights import expand_weights

    work.floats = expand_weights(work.floats.copy())
    for i, step in enumerate(STEPS):
        if i == CALIBRATE and chosen.scheme not in WEIGHTS_ONLY:
            work.observed = observe(work.floats, work.samples(), work.execute)
            work.ranges = chosen_ranges(work.observed, work.how)
        elif i == QUANTIZE:
            work.result = rounded(chosen, work)
        elif step in chosen.methods:
            _method(step)(work)
    assert work.result is not None
    work.result.metadata["quantization"] = chosen.name
    return work


def rounded(chosen: Recipe, work: Work) -> Graph:
    """The network with integers by the recipe's scheme and rounding."""
    from edgesdk.compress import precision
    from edgesdk.compress.narrow_weights import Widths, narrow_weights
    from edgesdk.compress.quantize import quantized
    from edgesdk.compress.schemes import INT16X8
    from edgesdk.compress.stored_weights import halve_weights

    if chosen.scheme == "w16":
        result = halve_weights(work.floats.copy())
    elif chosen.scheme in WEIGHTS_ONLY:
        result = work.floats.copy()
    elif chosen.scheme == "auto":
        work.raised = precision.raised(work, work.raised)
        result = precision.with_raised(work, work.raised)
    elif chosen.scheme == "int16x8":
        result = quantized(work.floats, work.ranges, INT16X8, leave_float=True)
    else:
        result = precision.with_raised(work, work.raised)
    if chosen.rounding is None:
        return result
    usual = 4 if chosen.scheme in ("int4", "w4") else 8
    widths = Widths(usual, {}, work.group, chosen.rounding)
    samples = rounding_samples(chosen, work)
    if chosen.scheme in ("int4", "auto"):
        widths = Widths(usual, chosen_widths(chosen, work, result, samples, widths), work.group, chosen.rounding)
    work.widths = widths.own
    return narrow_weights(work.floats, result, samples, widths)


def rounding_samples(chosen: Recipe, work: Work) -> list[list[np.ndarray]]:
    """All of them where the recipe asks for a rounding or weights are of 4 bits; else some, which 8 bits need no more
    than and which keep the time of the default short."""
    samples = list(work.samples())
    if chosen.scheme in NARROW or chosen.methods or len(samples) <= ENOUGH:
        return samples
    return [samples[i * len(samples) // ENOUGH] for i in range(ENOUGH)]


def chosen_widths(
    chosen: Recipe, work: Work, result: Graph, samples: list[list[np.ndarray]], widths: Widths
) -> dict[int, int]:
    from edgesdk.compress import sensitivity

    found = sensitivity.costs(work.floats, result, samples, widths)
    if chosen.scheme == "int4":
        return sensitivity.narrow_but_edges(found)
    return sensitivity.affordable(found, work, result)


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
