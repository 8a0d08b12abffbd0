# SPDX-License-Identifier: Apache-2.0
"""How many cycles straight code takes on a core whose memories have no wait states.

What is modelled, and from what (README.md says more, and what is left out):

cortex-m0   Arm DDI 0432C, table 3-1, with the single-cycle multiplier.
cortex-m3   Arm DDI 0337I, table 3-1 and section 3.3.3.
cortex-m4   Arm 100166, table 3-1 and the section on load and store timings after it.
cortex-m33  as cortex-m4: Arm publishes no table. It can issue some pairs of 16-bit instructions at once; not modelled.
cortex-m7   Arm publishes no table. Units and latencies as measured by others: LLVM's ARMScheduleM7.td and
            quinapalus.com/cm7cycles.html.
cortex-m55  two beats of a vector instruction in a cycle: it occupies its unit for two, and one of another unit may
            start after the first. Units as in LLVM's ARMScheduleM55.td. LE is free but for the first turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from arm_code import Instruction

Code = Sequence[Instruction]
ACCESSES = ("load", "store", "load two", "store two", "load list", "store list")


@dataclass(frozen=True)
class Table:
    """Cycles of each kind of instruction on a core that issues one at a time."""

    load: float = 2
    load_after_load: float = 1
    store: float = 1
    store_register: float = 2  # its address is a sum of registers
    two: float = 3
    per_list: float = 1  # and one for each register of it
    product: float = 1
    product_sum: float = 1
    long_product: float = 1
    long_product_sum: float = 1
    div: float = 7
    float_div: float = 14
    float_product_sum: float = 3
    stalled_address: float = 1  # an address that the instruction before computed


def by_table(table: Table, code: Code) -> list[float]:
    """Cycles of each instruction, branches as if not taken."""
    return [cost(table, code[i - 1] if i else None, x) for i, x in enumerate(code)]


def cost(t: Table, before: Instruction | None, x: Instruction) -> float:
    stall = t.stalled_address if before and x.address & computed(before) else 0
    if x.kind in ("load", "store"):
        follows = before is not None and before.kind == "load" and not x.address & before.writes
        return stall + access(t, x, follows)
    if x.kind in ("load two", "store two"):
        return stall + t.two
    if x.kind in ("load list", "store list"):
        return stall + t.per_list + x.registers
    fixed = {
        "product": t.product, "product sum": t.product_sum, "long product": t.long_product,
        "long product sum": t.long_product_sum, "div": t.div, "float div": t.float_div,
        "float product sum": t.float_product_sum,
    }  # fmt: skip
    return fixed.get(x.kind, 1)


def computed(x: Instruction) -> frozenset[str]:
    """What a data-processing instruction writes."""
    return x.writes if x.kind not in ACCESSES else frozenset()


def access(t: Table, x: Instruction, follows_load: bool) -> float:
    if x.kind == "load":
        return t.load_after_load if follows_load else t.load
    indexed = len(x.address) > 1
    return t.store if not indexed or follows_load else t.store_register


@dataclass(frozen=True)
class Units:
    """A core that issues in order as its operands and units become free. `latency` is what a result takes until another
    instruction may start with it, `late` a sum's accumulator."""

    width: int
    unit: Callable[[Instruction], str]
    places: dict[str, int]
    busy: Callable[[Instruction], int]
    latency: Callable[[Instruction], int]
    second: Callable[[Instruction], bool]  # whether it may be issued beside an earlier one
    late: int = 1


def by_units(u: Units, code: Code) -> list[float]:
    """Cycles from each instruction's start to that of the next."""
    ready: dict[str, float] = {}
    free: dict[str, list[float]] = {name: [0.0] * n for name, n in u.places.items()}
    now, issued, starts = 0.0, 0, []
    for x in code:
        if x.kind == "loop":  # the branch was taken before it was fetched
            starts.append(now)
            continue
        unit = free[u.unit(x)]
        start = max([now, min(unit), *(ready.get(r, 0.0) for r in needed(x)), *summed(u, x, ready)])
        if start == now and (issued >= u.width or (issued and not u.second(x))):
            start = max(now + 1, min(unit))
        issued = issued + 1 if start == now else 1
        now = start
        unit[unit.index(min(unit))] = now + u.busy(x)
        for r in x.writes:
            ready[r] = now + (1 if r in x.address else u.latency(x))
        starts.append(now)
    return steps(starts)


def steps(starts: list[float]) -> list[float]:
    """Cycles from each instruction's start to the next one's; the last one takes one."""
    return [b - a for a, b in zip(starts, [*starts[1:], starts[-1] + 1], strict=True)] if starts else []


def needed(x: Instruction) -> frozenset[str]:
    """Operands at the start; an accumulator may come later."""
    return x.reads - x.writes if x.kind == "product sum" else x.reads


def summed(u: Units, x: Instruction, ready: dict[str, float]) -> list[float]:
    return [ready.get(r, 0.0) - u.late for r in x.reads & x.writes] if x.kind == "product sum" else []


def m7_unit(x: Instruction) -> str:
    if x.kind.startswith("load"):
        return "load"
    if x.kind.startswith("store"):
        return "store"
    if x.kind.startswith("float"):
        return "float"
    if x.multiplies:
        return "product"
    return x.kind if x.kind in ("branch", "call", "shift") else "alu"


def m7_latency(x: Instruction) -> int:
    """Bytes and halves come a cycle after words."""
    if x.kind.startswith("load"):
        return 3 if x.name.startswith(("ldrb", "ldrh", "ldrs")) else 2
    known = {"div": 7, "float": 3, "float product sum": 6, "float div": 16}
    return known.get(x.kind, 2 if x.multiplies else 1)


def m7_busy(x: Instruction) -> int:
    if x.kind in ("load list", "store list"):
        return max(1, x.registers // 2)
    return {"div": 7, "float div": 14}.get(x.kind, 1)


def m55_unit(x: Instruction) -> str:
    if x.kind in ACCESSES:
        return "memory"
    if not x.vector:
        return "scalar"
    return "vector product" if x.multiplies or x.kind.startswith("float") else "vector"


def m55_busy(x: Instruction) -> int:
    if x.kind in ("load list", "store list"):
        return x.registers
    if x.kind in ("load two", "store two") or x.vector:
        return 2
    return {"div": 7, "float div": 14}.get(x.kind, 1)


def m55_latency(x: Instruction) -> int:
    if x.kind.startswith("load") or x.vector:
        return 2
    return {"product": 2, "product sum": 2, "float": 2, "float product sum": 4, "div": 7, "float div": 14}.get(
        x.kind, 1
    )


@dataclass(frozen=True)
class Core:
    """`cycles` of straight code; what a taken branch takes besides, and what a wrongly predicted one does."""

    cycles: Callable[[Code], list[float]]
    taken: float
    mispredicted: float = 0


M4 = Table()
M3 = replace(M4, product_sum=2, long_product=4, long_product_sum=5)
M0 = Table(load_after_load=2, store=2, store_register=2, stalled_address=0)
M7 = Units(
    2, m7_unit, {"load": 2, "store": 1, "float": 1, "product": 1, "branch": 1, "call": 1, "shift": 1, "alu": 2},
    m7_busy, m7_latency, lambda x: not (x.multiplies or x.name.startswith(("sxtb16", "uxtb16", "sxtab", "pkh", "rev"))),
)  # fmt: skip
M55 = Units(
    1, m55_unit, {"memory": 1, "scalar": 1, "vector product": 1, "vector": 1}, m55_busy, m55_latency, lambda x: False
)
CORES = {
    "cortex-m0": Core(lambda code: by_table(M0, code), taken=2),
    "cortex-m3": Core(lambda code: by_table(M3, code), taken=2),
    "cortex-m4": Core(lambda code: by_table(M4, code), taken=2),
    "cortex-m33": Core(lambda code: by_table(M4, code), taken=2),
    "cortex-m7": Core(lambda code: by_units(M7, code), taken=0, mispredicted=4),
    "cortex-m55": Core(lambda code: by_units(M55, code), taken=2),
}
