# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sketch import Sketch

from edgesdk import ops, passes
from edgesdk.converters.einsum import einsum, parse

SIZES = dict(zip("abcdefgh", (2, 3, 4, 1, 5, 2, 3, 2), strict=True))
EQUATIONS = [
    "bhqd,bhkd->bhqk", "bhqk,bhkd->bqhd", "bqhd,bkhd->bhqk", "ij,jk", "ij,jk->ki", "ij,ij->", "i,j->ij", "ij->ji",
    "ij->i", "ii->i", "ii", "iij->ji", "iii->i", "bii,bij->bj", "bi,bi->b", "ij,jk,kl->il", "a,b,c->abc", "ab,b->ab",
    "...ij,...jk->...ik", "...ij,jk->...ik", "...i->...", "i...,i...->...", "abc,cde->abde", "ab,cd->",
]  # fmt: skip


def check(equation: str, arrays: list[np.ndarray]) -> None:
    s = Sketch(*(a.shape for a in arrays))
    y = einsum(equation, s.inputs, lambda op, inputs, attrs: s.op(op, *inputs, **attrs))
    expected = np.einsum(equation, *(a.astype(np.float64) for a in arrays))
    for graph in (s.graph(y), passes.lower(passes.simplify(s.graph(y)))):
        got = ops.evaluate(graph, arrays)[graph.outputs[0]] if graph.nodes else arrays[0]
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_equations_give_numpys_sums(equation: str) -> None:
    rng = np.random.default_rng(0)
    for wide in (0, 1, 2) if "..." in equation else (0,):
        terms = equation.split("->")[0].split(",")
        lead = tuple(range(2, 2 + wide))
        shapes = []
        for t in terms:
            before, _, after = t.partition("...")
            own = [[2 + ord(c) % 4 for c in part] for part in (before, after)]
            shapes.append((*own[0], *(lead if "..." in t else ()), *own[1]))
        check(equation, [rng.standard_normal(shape).astype(np.float32) for shape in shapes])


@settings(max_examples=60)
@given(data=st.data())
def test_random_equations(data) -> None:
    letters = st.lists(st.sampled_from("abcdefgh"), max_size=4)
    terms = ["".join(data.draw(letters)) for _ in range(data.draw(st.integers(1, 3)))]
    used = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(used))[: data.draw(st.integers(0, min(4, len(used))))])
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    check(
        ",".join(terms) + "->" + output, [rng.standard_normal([SIZES[c] for c in t]).astype(np.float32) for t in terms]
    )


def test_axes_of_one_item_broadcast() -> None:
    rng = np.random.default_rng(1)
    check("...ij,...jk->...ik", [rng.standard_normal(s).astype(np.float32) for s in ((1, 3, 2, 4), (5, 1, 4, 3))])


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3)], "names 2 operands"),
        ("ij->i", [(2, 3, 4)], "does not name the axes"),
        ("ij,jk->ik", [(2, 3), (4, 5)], "axis 'j' has 3 and 4"),
        ("ij->ii", [(2, 3)], "each once"),
        ("ij->k", [(2, 3)], "each once"),
    ],
)
def test_bad_equations_are_refused(equation: str, shapes: list, message: str) -> None:
    s = Sketch(*shapes)
    with pytest.raises(ValueError, match=message):
        einsum(equation, s.inputs, lambda op, inputs, attrs: s.op(op, *inputs, **attrs))


def test_letters_of_an_ellipsis() -> None:
    assert parse("...ij,jk", [4, 2]) == (["YZij", "jk"], "YZik")
