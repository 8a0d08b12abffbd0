# SPDX-License-Identifier: Apache-2.0
"""Every kernel of a Linux core gives what the reference gives, on that core in QEMU's user mode, for random shapes and
quantisations; and a program for another core is refused with its code, before an instruction of it is executed."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

import float_nodes
import linux_models
import pytest
import test_activation
import test_arithmetic
import test_batch_matmul
import test_binary
import test_conv
import test_groups
import test_kernels
import test_lut
import test_normalise
import test_normalize
import test_pool
import test_recurrent
import test_resize
import test_softmax
import test_tiles
import test_unary
from hypothesis import strategies as st
from linux_models import Processor, needs

from edgesdk import boards, kernels
from edgesdk.kernels import Kernel

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
CASES = 2000 if LONG else 40  # nodes for each kernel of a vector instruction set
PORTABLE_CASES = 300 if LONG else 6  # for each type of an operation

A53, A72, A76, MAX = (
    Processor(*names)
    for names in (
        ("cortex-a53", "cortex-a53"), ("cortex-a72", "cortex-a72"), ("cortex-a76", "cortex-a76"), ("max", "armv8.6-a"),
    )
)  # fmt: skip
A7, A9 = (Processor(name, name, "qemu-arm") for name in ("cortex-a7", "cortex-a9"))
RISCV = Processor("", "riscv64", "qemu-riscv64")

vectors = partial(test_conv.convolutions, sizes=test_conv.VECTORS)
float_binaries = [test_binary.binaries(op, "float32") for op in ("add", "sub", "mul")]
usable = [b.filter(lambda case: test_kernels.binary.layout(case[0]) is not None) for b in float_binaries]

TYPES = dict(zip(("s8s8", "f32", "s8s4", "f32s8", "f32s4", "f32f16", "s16s8"), test_tiles.TYPES, strict=True))
TILES: dict[tuple[str, str], st.SearchStrategy] = {
    **{("conv2d", k): vectors("conv2d", t) | test_tiles.convolutions(t) for k, t in TYPES.items()},
    **{("fully_connected", k): test_conv.fully_connected(t) | test_tiles.fully_connected(t) for k, t in TYPES.items()},
    ("depthwise_conv2d", "s16s8"): test_conv.depthwise("int16 int8") | test_tiles.depthwise("int16 int8"),
}
TILES["fully_connected", "s16s8"] |= test_tiles.int16_ties() | test_tiles.largest_int16()

# Kernel folder and types -> nodes, beside those that microcontrollers have.
OTHERS: dict[tuple[str, str], st.SearchStrategy] = {
    ("depthwise_conv2d", "f32"): vectors("depthwise_conv2d", "float32"),
    ("depthwise_conv2d", "f32s8"): vectors("depthwise_conv2d", "float32 int8"),
    ("depthwise_conv2d", "f32f16"): vectors("depthwise_conv2d", "float32 float16"),
    ("depthwise_conv2d", "f32s4"): vectors("depthwise_conv2d", "float32 int4"),
    ("grouped_conv2d", "f32"): test_groups.grouped("float32"),
    ("grouped_conv2d", "s8s8"): test_groups.grouped("int8"),
    **{(op, "f32"): nodes for op, nodes in zip(("add", "sub", "mul"), usable, strict=False)},
    ("avg_pool2d", "f32"): test_pool.pools("avg_pool2d", "float32", test_conv.LANES),
    ("max_pool2d", "f32"): test_pool.pools("max_pool2d", "float32", test_conv.LANES),
    ("softmax", "f32"): test_softmax.softmaxes("float32"),
    ("pixel_softmax", "f32"): test_softmax.pixels("float32"),
    ("activation", "f32"): test_activation.floats(),
    ("unary", "f32"): test_unary.floats(),
    ("resize", "f32"): test_resize.resizes("resize_bilinear", "float32"),
    ("l2_norm", "f32"): test_normalise.unit_norms("float32"),
    ("batch_matmul", "f32"): test_batch_matmul.products("float32", test_batch_matmul.BATCHES, adj_x=False),
    ("normalize", "f32"): test_normalize.norms("float32"),
    ("rnn", "f32"): test_recurrent.layers(),
    ("peephole_lstm", "f32"): test_recurrent.layers(peepholes=True),
    ("rnn", "s8s8"): test_recurrent.integer_layers(),
    **{("lstm", key): test_recurrent.lstms(dtype) for key, dtype in (("s8s8", "int8"), ("s16s8", "int16"))},
    **{("svdf", key): test_recurrent.filters(state) for key, state in test_recurrent.STATES.items()},
}
# int8 ones that microcontrollers have no kernels of their own for.
BYTES: dict[tuple[str, str], st.SearchStrategy] = {
    ("pixel_softmax", "s8"): test_softmax.pixels("int8"),
    ("normalize", "s8"): test_normalize.norms("int8"),
    ("l2_norm", "s8"): test_normalise.unit_norms("int8"),
    ("lut", "s8"): test_lut.tables(),
    ("resize", "s8"): test_resize.resizes("resize_bilinear", "int8"),
    ("batch_matmul", "s8s8"): test_batch_matmul.products("int8", test_batch_matmul.BATCHES, adj_x=False),
    ("div", "s8s8"): test_arithmetic.kernel_cases("div"),
    ("prelu", "s8s8"): test_arithmetic.kernel_cases("prelu"),
}
NODES = {**test_kernels.NODES, **OTHERS, **BYTES, **TILES, **float_nodes.NODES}


def own_rows(isa: tuple[str, ...]) -> list[Kernel]:
    """Of each operation and type the kernels for the fastest instruction set that has any, the portable ones aside."""
    found = [k for k in kernels.table() if k.isa in isa and k.isa != "c"]
    best = {
        (k.op, k.types): isa[min(isa.index(o.isa) for o in found if (o.op, o.types) == (k.op, k.types))] for k in found
    }
    return [k for k in found if best[k.op, k.types] == k.isa]


@pytest.mark.parametrize("processor", [A53, A72, A76, MAX, A7, A9], ids=lambda p: p.machine)
def test_vector_kernels_give_what_the_reference_gives(processor: Processor, tmp_path: Path) -> None:
    needs(processor)
    isa = boards.cores()[processor.core].isa
    rows = own_rows(isa)
    if not rows:
        pytest.skip(f"no kernels for {', '.join(isa[:-1])} yet")
    keys = Counter((k.op, k.types) for k in rows)
    assert set(keys) <= set(NODES), f"no random nodes for {sorted(set(keys) - set(NODES))}"
    found = [c for key in sorted(keys) for c in linux_models.cases(NODES[key], isa, keys[key] * CASES)]
    counted = Counter(case.kernel for case in found)
    for k in (k for k in rows if counted[k.name] < max(1, CASES // 60)):  # those that others are preferred to
        found += linux_models.cases(NODES[k.op, k.types], isa, CASES, k)
    counted = Counter(case.kernel for case in found)
    print(processor.machine, dict(counted))
    short = [k.name for k in rows if counted[k.name] < max(1, CASES // 60)]
    assert not short, f"hardly any random node fits {short}"
    assert linux_models.wrong(found, processor, tmp_path) == []


@pytest.mark.parametrize(
    ("processor", "types", "kernel"),
    [
        (A53, "float32", "ert_fully_connected_f32_8x8__neon"),
        (A53, "int8", "ert_fully_connected_s8s8_4x4__neon"),
        (A76, "float32 float16", "ert_fully_connected_f32f16_8x16__neonfp16"),
    ],
    ids=("float32", "int8", "float16"),
)
def test_tiles_that_are_written_in_instructions_have_all_sizes(
    processor: Processor, types: str, kernel: str, tmp_path: Path
) -> None:
    needs(processor)
    found = linux_models.cases(test_tiles.packed(types), boards.cores()[processor.core].isa, 10 * CASES // 4)
    own = [case for case in found if case.kernel == kernel]
    assert len(own) >= CASES and len({case.node.input(0).shape[0] % 8 for case in own}) >= 6
    assert linux_models.wrong(own, processor, tmp_path) == []


@pytest.mark.parametrize("processor", [A53, A7, RISCV], ids=lambda p: p.core)
def test_portable_kernels_give_what_the_reference_gives(processor: Processor, tmp_path: Path) -> None:
    needs(processor)
    found = [c for key in sorted(NODES) for c in linux_models.cases(NODES[key], ("c",), PORTABLE_CASES)]
    assert len({c.kernel for c in found}) >= len(NODES) - 2
    assert linux_models.wrong(found, processor, tmp_path) == []
