# SPDX-License-Identifier: Apache-2.0
"""Keeps the kernel section of FORMAT.md true: contracts and parameter words, read from the kernels' headers.

    python runtime_c/tools/list_params.py [--check]

Writes the part of FORMAT.md below the line `<!-- kernels -->`; with --check only fails where it differs.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- kernels: written by tools/list_params.py -->\n"
STRUCT = re.compile(r"typedef struct \{(.*?)\} (\w+);", re.DOTALL)
ALIAS = re.compile(r"^typedef (\w+) (\w+);", re.MULTILINE)
FIELD = re.compile(r"(\w+) ([^;]+);[ \t]*(?:/\*(.*?)\*/)?", re.DOTALL)
CONSTANT = re.compile(r"#define (ERT_\w+) (\d+)")
INCLUDED = re.compile(r'#include "(\w+)/kernels.inc"')
ROW = re.compile(
    r"ERT_(?:KERNEL|PACKED)\((0x\w+), (\w+), (\w+)(?:, (?=\w+, \w+, \w+, )(\w+))?, (\w+), (\w+), (.*)\)$", re.MULTILINE
)
CONTRACT = re.compile(r"/\* (?!SPDX)(.*?) ?\*/", re.DOTALL)
TILED = re.compile(r"^n\d+k\d+[updh]?$|^d\d+(k4)?[pds]?$")  # layouts of tiles.h: parameters of one form
PLAIN = ("int32_t", "float")
UNNAMED = ("g", "shape")  # the op's own geometry: its fields are known by their names alone


@dataclass(frozen=True)
class Word:
    """One parameter word; `note` is its type where it is not an int32, or what its blob holds."""

    name: str
    note: str


def headers() -> str:
    return "\n".join(p.read_text() for p in sorted([*ROOT.glob("include/*.h"), *ROOT.glob("kernels/**/*.h")]))


def structs(text: str) -> dict[str, list[Word]]:
    """Every struct of plain words, flattened; structs may only use those that stand above them or in other headers."""
    constants = dict(CONSTANT.findall(text))
    bodies = {name: body for body, name in STRUCT.findall(text)}
    aliases = {new: old for old, new in ALIAS.findall(text)}

    def words(name: str) -> list[Word]:
        while name in aliases:
            name = aliases[name]
        return [w for field in FIELD.finditer(bodies[name]) for w in declared(*field.groups(default=""))]

    def declared(kind: str, names: str, comment: str) -> list[Word]:
        found = []
        for declarator in names.split(","):
            name, _, size = declarator.strip().rstrip("]").partition("[")
            each = [f"{name}[{i}]" for i in range(int(constants.get(size, size)))] if size else [name]
            found += [w for n in each for w in expanded(kind, n, comment)]
        return found

    def expanded(kind: str, name: str, comment: str) -> list[Word]:
        if kind in PLAIN:
            note = comment.strip() if comment.strip().startswith("blob:") else "float32" if kind == "float" else ""
            return [Word(name, re.sub(r"\s+", " ", note.removeprefix("blob: ")))]
        prefix = "" if name in UNNAMED else f"{name}."
        return [Word(prefix + w.name, w.note) for w in words(kind)]

    return {name: words(name) for name in [*bodies, *aliases] if name.endswith("_params")}


def contract(header: str) -> str:
    """The formula at the top of a header, without the comment's stars."""
    found = CONTRACT.search(header)
    return re.sub(r"\n \* ?", "\n", found[1]) if found else ""


def contracts(folder: Path) -> str:
    """The folder's own header, then those of further kernels in it; a header without parameters has no contract."""
    others = sorted(p for p in folder.glob("*.h") if p.stem != folder.name and "_params;" in p.read_text())
    return "\n\n".join(contract(p.read_text()) for p in (folder / f"{folder.name}.h", *others))


def params_name(op: str, types: str, layout: str) -> str:
    return "_".join(filter(None, ("ert", op, types, TILED.sub("tiles", layout), "params")))


def described(words: list[Word]) -> str:
    return ", ".join(f"`{w.name}`" + (f" ({w.note})" if w.note else "") for w in words)


def kernel_section() -> str:
    known = structs(headers())
    lines = []
    for folder in INCLUDED.findall((ROOT / "src" / "ops.inc").read_text()):
        path = ROOT / "kernels" / folder
        rows = {r[0]: r for r in ROW.findall((path / "kernels.inc").read_text())}
        lines += [f"### {folder}", "", "```", contracts(path), "```", ""]
        for number, op, types, layout, _, isa, scratch in sorted(rows.values()):
            words = known[params_name(op, types, layout)]
            what = f"{op} {types} {layout}".rstrip()
            lines.append(f"- {number} `{what}` ({isa}), scratch `{scratch}`, {len(words)} words: {described(words)}")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where FORMAT.md is out of date")
    options = parser.parse_args()
    path = ROOT / "FORMAT.md"
    head, mark, old = path.read_text().partition(MARK)
    if not mark:
        raise SystemExit(f"{path}: the line {MARK.strip()} is missing; expected it before the kernel section")
    new = "\n" + kernel_section()
    if options.check and new != old:
        raise SystemExit(f"{path}: the kernel section is out of date; run python runtime_c/tools/list_params.py")
    if not options.check:
        path.write_text(head + mark + new)


if __name__ == "__main__":
    main()
