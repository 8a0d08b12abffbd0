# SPDX-License-Identifier: Apache-2.0
"""Least instructions per layer of a core's fastest instruction set: what a kernel can still gain.

A layer's bound is

    products x (multiplies + loads + widening, of the best tile of registers) + outputs x requantisation
    + bytes of windows x (copying them, where they do not lie side by side)

Multiplies, loads and widening are counted per product from what one instruction does; the tile is the best whose
accumulators, operands and addresses fit the registers. It is the least that is known how to write, not a proof: a
kernel that beats it has found another way. Loop control counts only where it cannot be unrolled away (MVE).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from rich.table import Table

from edgesdk import ops
from edgesdk.schedule import Schedule, Step

REGISTERS = 14  # r0 to r12 and lr
MAC_OPS = ("conv2d", "depthwise_conv2d", "fully_connected", "fully_connected_rows")


def best(most_pixels: int, fits: Callable[[int, int], bool], slots: Callable[[int, int], float]) -> float:
    """The fewest instructions per product of all tiles of pixels x channels that fit."""
    tiles = product(range(1, most_pixels + 1), range(1, REGISTERS))
    return min(slots(p, c) / (p * c) for p, c in tiles if fits(p, c))


def dsp_dot(most_pixels: int) -> float:
    """Two products deep: SMLAD multiplies two pairs of 16 bits. Pixels lie widened in scratch, side by side: LDRD loads
    two. A word of weights is loaded for two channels and SXTB16 takes one of them out (runtime_c/kernels/pairs.h).
    Registers: accumulators, an operand of each pixel, one of weights, two addresses and the end."""

    def fits(p: int, c: int) -> bool:
        return c % 2 == 0 and p * c + p + 4 <= REGISTERS

    return best(most_pixels, fits, lambda p, c: ((p + 1) // 2 + c + p * c) / 2)


def thumb2_dot(most_pixels: int) -> float:
    """MLA multiplies one pair; each operand is one LDRSB. Registers: accumulators, the pixels' items, one weight, two
    addresses and the end."""
    return best(most_pixels, lambda p, c: p * c + p + 4 <= REGISTERS, lambda p, c: p * c + p + c)


def mve_dot(most_pixels: int) -> float:
    """16 products deep: VMLADAVA adds them to one of the seven even registers that are free; every vector has an
    address in an odd one. LE closes the loop."""
    return best(most_pixels, lambda p, c: p * c <= 7 and p + c <= 6, lambda p, c: (p * c + p + c + 1) / 16)


@dataclass(frozen=True)
class Slots:
    """Instructions of an instruction set. `dot`: per product of many pixels; `single`: of one pixel, which shares no
    weights; `depthwise`: per product; `output`: to requantise and store one; `window`: per byte of a window that is
    copied, or widened; `add`: per element; `tap`: per item that a pool reads."""

    dot: float
    single: float
    depthwise: float
    output: float
    window: float
    add: float
    tap: float


SLOTS = {
    # depthwise, two pixels share weights: a word of four channels is loaded and widened by two SXTB16, four SMLAxy.
    # output: SMMULR, the sum with its sign, shift, rounding, saturation, their two operands by LDRD, a store.
    # window: LDR, two SXTB16, STRD for four bytes.
    "dsp": Slots(dsp_dot(8), dsp_dot(1), (3 + 4 + 3 / 2) / 4, 8, 1.0, 12, 0.75),
    # depthwise, two pixels share weights: LDRSB, half of one, MLA. The high product takes SMULL, ADDS and ADC.
    "thumb2": Slots(thumb2_dot(8), thumb2_dot(1), 2.5, 10, 0.5, 16, 2),
    # depthwise, pairs of taps of 8 channels (their sum has 16 bits as no weight is -128), two pixels: two vectors and
    # half of two loaded, VMUL, VMLA, and four to widen and add. output: ten for four, and half a move for each.
    "mve": Slots(mve_dot(8), mve_dot(1), (2 + 1 + 2 + 4) / 16, 3, 1 / 8, 4, 1 / 8),
    # Eight low registers and no multiply-accumulate: two loads, MULS and ADDS. 64-bit products take 30 instructions.
    "c": Slots(4, 4, 4, 40, 0.5, 60, 3),
}


def bound(step: Step, isa: str) -> float | None:
    """Least instructions of a step; None for ops without a bound and for other than 8-bit numbers."""
    node, slots = step.node, SLOTS[isa]
    if node.output.dtype != "int8" or node.input(0).dtype != "int8":
        return None
    outputs, products = node.output.elements, ops.macs(node)
    if node.op == "depthwise_conv2d":
        return products * slots.depthwise + outputs * slots.output
    if node.op in MAC_OPS:
        pixels = outputs // node.output.shape[-1]
        dot = slots.dot if pixels > 1 else slots.single
        return products * dot + outputs * slots.output + window_bytes(step, isa) * slots.window
    if node.op == "add":
        return outputs * slots.add
    if node.op in ("avg_pool2d", "max_pool2d"):
        h, w = node.attrs["kernel"]
        return outputs * (h * w * slots.tap + slots.output * (node.op == "avg_pool2d"))
    return None


def window_bytes(step: Step, isa: str) -> int:
    """Of all windows that must be copied: of 1x1 windows none, but pairs of 16 bits must be widened."""
    node = step.node
    pixels, per_window = node.output.elements // node.output.shape[-1], node.input(1).elements // node.output.shape[-1]
    wide = node.op == "conv2d" and node.input(1).shape[1:3] != (1, 1)
    return pixels * per_window if wide or isa == "dsp" else 0


def layers(schedule: Schedule, costs: Sequence[float], isa: str) -> list[dict[str, Any]]:
    """A line for each step."""
    return [line(step, cost, isa) for step, cost in zip(schedule.steps, costs, strict=True)]


def line(step: Step, cost: float, isa: str) -> dict[str, Any]:
    node = step.node
    inner = "x".join(map(str, node.input(1).shape)) if node.op in MAC_OPS else ""
    return {
        "layer": f"{node.op} {'x'.join(map(str, node.output.shape[1:]))} {inner}".rstrip(),
        "kernel": step.kernel.name,
        "macs": ops.macs(node),
        "elements": node.output.elements,
        "instructions": round(cost),
        "bound": bound(step, isa),
    }


def alike(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Layers of one model that have the same shape, those first that take most instructions together."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for x in found:
        groups.setdefault((x["model"], x["layer"]), []).append(x)
    return sorted(groups.values(), key=lambda group: -sum(x["instructions"] for x in group))


def table(core: str, found: list[dict[str, Any]], most: int) -> Table:
    """The layers that take most instructions, the mean of those of one shape; what is left of all of them."""
    columns = "model layer times kernel MACs instructions per bound share left".split()
    t = Table(*columns, title=f"largest layers on {core}")
    for group in alike(found)[:most]:
        x = {**group[0], "instructions": round(sum(x["instructions"] for x in group) / len(group))}
        n, cells = len(group), (x["model"], x["layer"], str(len(group)), x["kernel"], f"{x['macs']:,}")
        t.add_row(*cells, f"{x['instructions']:,}", *beside(x, n))
    return t


def beside(x: dict[str, Any], times: int) -> Iterator[str]:
    """Instructions per product (or element), their bound, its share, and what is left to gain."""
    n = x["macs"] or x["elements"]
    yield f"{x['instructions'] / n:.2f}"
    if x["bound"] is not None:
        yield f"{x['bound'] / n:.2f}"
        yield f"{x['bound'] / x['instructions']:.0%}" if x["instructions"] else ""
        yield f"{(x['instructions'] - x['bound']) * times:,.0f}"
