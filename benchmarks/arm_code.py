# SPDX-License-Identifier: Apache-2.0
"""The instructions of a firmware image: what each reads, writes and is, as arm-none-eabi-objdump shows them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"\s*([0-9a-f]+):\t((?:[0-9a-f]{4} ?)+)\s*\t(\S+)(?:\t([^;@]*))?")
TARGET = re.compile(r"\b([0-9a-f]+) <")
REGISTER = re.compile(r"\b(?:r\d+|s\d+|d\d+|q\d+|sp|lr|pc|sl|fp|ip|sb)\b")
ALIASES = {"sl": "r10", "fp": "r11", "ip": "r12", "sb": "r9", "sp": "r13", "lr": "r14", "pc": "r15"}
CONDITIONS = "eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al"
BRANCH = re.compile(rf"(?:b(?:{CONDITIONS})?|bx|cbn?z|le|letp|tb[bh])$")
LOOP_STARTS = ("wls", "wlstp", "dls", "dlstp")
COMPARES = ("cmp", "cmn", "tst", "teq", "vcmp", "vcmpe", "vpt", "vpst", "vctp")
# Names that read their first operand as well as write it.
INTO = ("bfi", "bfc", "movt", "vmladava", "vmlsdava", "vmlaldava", "vrmlaldavha", "vaddva", "vaddlva", "vmla", "vmlas",
        "vqrdmlah", "vfma", "vfms", "vmaxv", "vminv", "vsri", "vsli", "vmovnt", "vmovnb", "vqmovnt", "vqmovnb",
        "vqrshrnt", "vqrshrnb", "vbic", "vorr", "smlal", "umlal", "umaal")  # fmt: skip
COPIES = (
    "mov",
    "mvn",
    "sxt",
    "uxt",
    "rev",
    "clz",
    "rbit",
    "adr",
    "vmov",
    "vcvt",
    "vneg",
    "vabs",
    "vdup",
    "ssat",
    "usat",
)
LONG = ("smull", "umull", "smlal", "umlal", "umaal", "vmlaldav", "vrmlaldavh", "vaddlv")
PRODUCTS = ("mul", "mla", "mls", "smul", "smla", "smml", "smmul", "smua", "smus", "smls", "umull", "umla", "umaa",
            "vmul", "vmla", "vmls", "vmlad", "vrml", "vqdm", "vqrdm", "vfma", "vfms", "vnm")  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """`kind` is what timing.py tells apart; `address` names the registers that an access needs first; `target` is that
    of a direct branch; `registers` is how many a list loads or stores."""

    at: int
    size: int
    name: str
    operands: str
    kind: str
    reads: frozenset[str]
    writes: frozenset[str]
    address: frozenset[str]
    target: int | None
    registers: int

    @property
    def end(self) -> int:
        return self.at + self.size

    @property
    def multiplies(self) -> bool:
        return self.name.startswith(PRODUCTS)

    @property
    def vector(self) -> bool:
        return self.name.startswith("v") and "q" in "".join(self.reads | self.writes)


def disassembled(elf: Path) -> Iterator[Instruction]:
    """In the order of addresses, data among the code left out."""
    command = ["arm-none-eabi-objdump", "-d", str(elf)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in text.splitlines():
        match = LINE.match(line)
        if match and not match[3].startswith("."):
            yield decoded(int(match[1], 16), 2 * len(match[2].split()), match[3], (match[4] or "").strip())


def registers_of(text: str) -> list[str]:
    """Names as numbers; ranges of lists in full."""
    full = re.sub(r"\b(r|s|d)(\d+)-(?:r|s|d)(\d+)\b", spelled, text)
    return [ALIASES.get(r, r) for r in REGISTER.findall(full)]


def spelled(match: re.Match[str]) -> str:
    return ", ".join(f"{match[1]}{i}" for i in range(int(match[2]), int(match[3]) + 1))


def decoded(at: int, size: int, mnemonic: str, operands: str) -> Instruction:
    name = mnemonic.removesuffix(".w").removesuffix(".n")
    kind = kind_of(name, operands)
    parts = operands.partition("[")
    address = frozenset(registers_of(parts[2]) if parts[1] else list_base(kind, operands))
    listed = registers_of(operands.partition("{")[2])
    first = registers_of(operands.partition("[")[0] if parts[1] else operands)
    reads, writes = effects(name, kind, first, listed, address)
    if "!" in operands or "]," in operands.replace(" ", "") or kind in ("push", "pop"):
        writes |= set(list(registers_of(parts[2]))[:1]) or address
    target = TARGET.search(operands) if kind in ("branch", "call", "loop") else None
    known = frozenset(reads), frozenset(writes), address
    return Instruction(at, size, name, operands, kind, *known, int(target[1], 16) if target else None, len(listed))


def list_base(kind: str, operands: str) -> list[str]:
    if kind in ("push", "pop"):
        return ["r13"]
    return registers_of(operands.partition("{")[0]) if kind in ("load list", "store list") else []


def kind_of(name: str, operands: str) -> str:
    """The class of an instruction."""
    if BRANCH.match(name):
        return "loop" if name in ("le", "letp") and "lr" in operands else "branch"
    stem = name.split(".")[0]
    for prefix, kind in (
        ("push", "store list"), ("pop", "load list"), ("stm", "store list"), ("ldm", "load list"),
        ("vpush", "store list"), ("vpop", "load list"), ("vstm", "store list"), ("vldm", "load list"),
        ("ldrd", "load two"), ("strd", "store two"), ("ldr", "load"), ("str", "store"), ("vldr", "load"),
        ("vstr", "store"), ("vld", "load"), ("vst", "store"), ("bl", "call"), ("it", "it"), ("sdiv", "div"),
        ("udiv", "div"), ("vdiv", "float div"), ("vsqrt", "float div"),
    ):  # fmt: skip
        if stem.startswith(prefix) and not stem.startswith("bic"):
            return kind
    if name.startswith(PRODUCTS):
        if name.startswith("v") and "q" not in "".join(registers_of(operands)):
            return "float product sum" if stem.startswith(("vmla", "vmls", "vfma", "vfms", "vnm")) else "float"
        if stem.startswith(LONG):
            return "long product sum" if stem.startswith(("smlal", "umlal", "umaal")) else "long product"
        sums = stem.startswith(("mla", "mls", "smla", "smmla", "smls"))
        return "product sum" if sums else "product"
    if name.startswith("v"):
        return "float" if ".f" in name else "alu"
    if stem.startswith(LOOP_STARTS):
        return "alu"
    shifted = re.search(r"\b(?:lsl|lsr|asr|ror|rrx)\b", operands) or stem.startswith(
        ("lsl", "lsr", "asr", "ror", "sxt", "uxt", "bf", "sbfx", "ubfx", "pkh", "ssat", "usat", "rev")
    )
    return "shift" if shifted else "alu"


def effects(
    name: str, kind: str, first: list[str], listed: list[str], address: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Registers that an instruction reads and writes; `first` are those before an address."""
    stem = name.split(".")[0]
    if kind in ("store", "store two", "store list"):
        return {*first, *listed, *address}, set()
    if kind in ("load list",):
        return set(address), set(listed)
    if kind in ("load", "load two"):
        return set(address), set(first)
    if kind in ("branch", "call", "loop", "it") or stem.startswith(COMPARES):
        return set(first), set()
    n = 2 if stem.startswith(LONG) else 1
    writes = set(first[:n])
    if name.startswith("vmov") and "[" in name:
        n = 1
    reads = set(first[n:])
    if stem.startswith(INTO) or (len(first) <= 2 and n == 1 and not stem.startswith(COPIES)) or "." in stem:
        reads |= writes
    return reads, writes
