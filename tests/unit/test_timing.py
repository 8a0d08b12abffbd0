# SPDX-License-Identifier: Apache-2.0
"""The cycle model gives the cycles that Arm's manuals give for the sequences they show."""

from __future__ import annotations

import arm_code
import pytest
import timing
from arm_code import Instruction


def code(text: str) -> list[Instruction]:
    """Instructions of 4 bytes, one after another."""
    lines = [line.strip().partition(" ") for line in text.split(";")]
    return [arm_code.decoded(4 * i, 4, name, operands.strip()) for i, (name, _, operands) in enumerate(lines)]


def cycles(core: str, text: str) -> float:
    return sum(timing.CORES[core].cycles(code(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ldr r0, [r1]", 2),
        ("ldr r0, [r1]; ldr r1, [r2]", 3),
        ("ldr r0, [r1, r2]; str r0, [r3, #20]", 3),
        ("ldr r0, [r1, r2]; str r1, [r3, r2]", 3),
        ("ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]", 4),
        ("ldr r0, [r1]; ldr r2, [r0]", 4),  # the address is what was loaded
        ("add r1, r1, #4; ldr r0, [r1]", 4),  # the address is computed just before
        ("ldrd r0, r1, [r2], #8", 3),
        ("ldmia r0!, {r1, r2, r4-r7}", 7),
        ("push {r4, r5, lr}", 4),
        ("str r0, [r1, #4]", 1),
        ("str r0, [r1, r2]", 2),
        ("smlad r0, r1, r2, r0; smlad r0, r1, r2, r0", 2),
        ("smull r0, r1, r2, r3", 1),
        ("vdiv.f32 s0, s1, s2", 14),
    ],
)
def test_cortex_m4(text: str, expected: float) -> None:
    assert cycles("cortex-m4", text) == expected


def test_multiplies_of_cortex_m3_take_longer() -> None:
    assert cycles("cortex-m3", "mul r0, r1, r2") == 1
    assert cycles("cortex-m3", "mla r0, r1, r2, r3") == 2
    assert cycles("cortex-m3", "smull r0, r1, r2, r3") == 4


def test_cortex_m7_issues_two_where_it_can() -> None:
    assert cycles("cortex-m7", "add r0, r1, r2; add r3, r4, r5") == 1
    assert cycles("cortex-m7", "add r0, r1, r2; add r3, r0, r5") == 2
    assert cycles("cortex-m7", "ldr r0, [r1]; ldr r2, [r3]; add r4, r5, r6") == 2
    assert cycles("cortex-m7", "smlad r0, r1, r2, r0; smlad r3, r4, r5, r3") == 2  # one multiplier
    assert cycles("cortex-m7", "smlad r0, r1, r2, r0; smlad r0, r4, r5, r0") == 2  # sums are handed on
    assert cycles("cortex-m7", "ldr r0, [r1]; add r2, r0, r3") == 3


def test_cortex_m55_overlaps_vectors_of_two_units() -> None:
    loads = "vldrb.8 q0, [r1], #16; vldrb.8 q1, [r2], #16; vldrb.8 q2, [r3], #16"
    assert cycles("cortex-m55", loads) == 5  # each takes its unit for two cycles; the last is not waited for
    mixed = "vldrb.8 q0, [r1], #16; vmladava.s8 r4, q3, q4; vldrb.8 q1, [r2], #16"
    assert cycles("cortex-m55", mixed) == 3
    assert cycles("cortex-m55", "vmladava.s8 r4, q3, q4; le lr, 0 <f>") <= 2


def test_effects() -> None:
    load, sums, long_sums, stored = code(
        "ldr r3, [r0], #4; smlad r4, r3, r5, r4; smlal r6, r7, r3, r5; str r4, [r0, #4]!"
    )
    assert (load.writes, load.reads, load.address) == ({"r3", "r0"}, {"r0"}, {"r0"})
    assert (sums.writes, sums.reads, sums.kind) == ({"r4"}, {"r3", "r4", "r5"}, "product sum")
    assert (long_sums.writes, long_sums.reads) == ({"r6", "r7"}, {"r3", "r5", "r6", "r7"})
    assert (stored.writes, stored.reads) == ({"r0"}, {"r0", "r4"})
    branch = arm_code.decoded(64, 2, "bne.n", "1e8a <blocks+0x20>")
    assert (branch.kind, branch.target, branch.writes) == ("branch", 0x1E8A, frozenset())
    assert arm_code.decoded(0, 4, "vmladava.s8", "r4, q0, q1").reads == {"r4", "q0", "q1"}
    assert arm_code.registers_of("{r4-r7, lr}") == ["r4", "r5", "r6", "r7", "r14"]
    assert [x.multiplies for x in code("mul r0, r1, r2; sxtb16 r0, r1; smmulr r0, r1, r2")] == [True, False, True]
