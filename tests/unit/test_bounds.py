# SPDX-License-Identifier: Apache-2.0
"""The bounds of benchmarks/README.md are those of the best tiles, and no tile is larger than the registers."""

from __future__ import annotations

import bounds
import pytest
from graphs import Builder

from edgesdk import passes, schedule
from edgesdk.ir import Graph


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (bounds.SLOTS["dsp"].dot, (1 + 4 + 8) / 16),  # two pixels x four channels
        (bounds.SLOTS["dsp"].single, (1 + 8 + 8) / 16),  # eight channels
        (bounds.SLOTS["thumb2"].dot, (2 + 4 + 8) / 8),
        (bounds.SLOTS["thumb2"].single, (1 + 9 + 9) / 9),
        (bounds.SLOTS["mve"].dot, (3 + 2 + 6 + 1) / 96),
        (bounds.SLOTS["mve"].single, (1 + 5 + 5 + 1) / 80),
    ],
)
def test_instructions_per_product(found: float, expected: float) -> None:
    assert found == pytest.approx(expected)


def test_a_layer_is_bounded_by_products_outputs_and_windows() -> None:
    b = Builder(0, "int8")
    x = b.input((1, 8, 8, 16))
    y = b.conv(x, 8, 3, 1)
    graph = passes.lower(Graph("one layer", [x], [y], b.nodes))
    (step,) = schedule.schedule(graph, ("c",)).steps
    slots, outputs, window = bounds.SLOTS["thumb2"], y.elements, 3 * 3 * 16
    expected = outputs * window * slots.dot + outputs * slots.output + outputs // 8 * window * slots.window
    assert bounds.bound(step, "thumb2") == pytest.approx(expected)
    (line,) = bounds.layers(schedule.schedule(graph, ("c",)), [1000.0], "thumb2")
    assert (line["macs"], line["instructions"]) == (outputs * window, 1000)
