# SPDX-License-Identifier: Apache-2.0
"""Writes the whole runtime as two files, ert.c and ert.h.

    python runtime_c/tools/amalgamate.py -o DIR [--used used.inc]

`--used` keeps only the kernel rows of that file in the table; the linker then drops the other kernels when it is
called with --gc-sections.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
INCLUDE = re.compile(r'^#include "([^"]+)".*\n?', re.MULTILINE)
ROWS = re.compile(r"^#include ROWS\n", re.MULTILINE)
DEFINE = re.compile(r"^#define (\w+)", re.MULTILINE)
GUARD = re.compile(r"^#ifndef (ERT_\w+_H)\n#define \1\n(.*)#endif\s*\Z", re.MULTILINE | re.DOTALL)
# Names that one .c file keeps to itself: static functions and objects, types, enumerators at the start of a line.
PRIVATE = re.compile(
    r"^(?:static|ERT_INLINE|ERT_APART|__attribute__\(\(naked\)\) static) [^(=;]*?\b(\w+)(?:\[[^\]]*\])* ?[(=;]"
    r"|^\} (\w+);|^typedef [^{;]*?\b(\w+);",
    re.MULTILINE,
)


# A file that includes the headers of vectors of floats once more, with vectors twice as wide: floats.h.
WIDE = "#define ERT_WIDE\n"
OF_VECTORS = re.compile(r"\bert_v(?=_|\b)")


def sources(root: Path) -> list[Path]:
    """Files with wide vectors come last, as the names of their headers are those of others."""
    found = [*root.glob("src/*.c"), *root.glob("kernels/*.c"), *root.glob("kernels/*/*.c")]
    return sorted(found, key=lambda path: (WIDE in path.read_text(), path))


def find(root: Path, name: str, near: Path) -> Path:
    for folder in (near, root / "include", root / "src", root / "kernels"):
        if (folder / name).is_file():
            return folder / name
    raise SystemExit(
        f'#include "{name}" in {near}: no such file in the runtime; expected a header of include, src, kernels'
    )


def private_names(text: str) -> set[str]:
    return {name for match in PRIVATE.finditer(text) for name in match.groups() if name}


def inlined(root: Path, text: str, near: Path, seen: set[Path]) -> str:
    """`text` with project headers in place of their #include, each header once and each .inc every time."""

    def content(match: re.Match[str]) -> str:
        path = find(root, match[1], near)
        if path.name == "ert.h":
            return ""
        if path in seen and path.suffix == ".h":
            return ""
        seen.add(path)
        body = path.read_text().replace(SPDX, "")
        guarded = GUARD.search(body)
        if guarded:
            body = body[: guarded.start()] + guarded[2].strip("\n") + "\n"
        return inlined(root, body, path.parent, seen)

    return INCLUDE.sub(content, text)


def renamed(text: str, names: set[str], prefix: str) -> str:
    """Gives the file's own names a prefix, for those that another file uses too."""
    for name in names:
        text = re.sub(rf"(?<![\w.>\"]){name}\b(?!\.h)", f"{prefix}_{name}", text)
    return text


def _of_vectors(seen: set[Path]) -> set[Path]:
    return {path for path in seen if path.name == "vectors.h" or path.name.endswith("floats.h")}


def _undefined(text: str) -> str:
    return "".join(f"#undef {name}\n" for name in dict.fromkeys(DEFINE.findall(text)))


def amalgamate(root: Path = ROOT, used: str | None = None) -> tuple[str, str]:
    """The texts of ert.c and ert.h. `used` replaces the rows of the kernel table."""
    texts = {path: path.read_text().replace(SPDX, "") for path in sources(root)}
    counts = Counter(name for text in texts.values() for name in private_names(text))
    rows = '#include "ops.inc"\n' if used is None else used.replace(SPDX, "")
    seen: set[Path] = set()
    parts = [SPDX, '#include "ert.h"\n']
    for path, text in texts.items():
        text = renamed(text, {n for n in private_names(text) if counts[n] > 1}, path.stem)
        text = ROWS.sub(lambda _: rows, text)
        wide, whole = WIDE in text, inlined(root, text, path.parent, seen - _of_vectors(seen) if WIDE in text else seen)
        begin = _undefined("".join(header.read_text() for header in sorted(_of_vectors(seen)))) if wide else ""
        whole = OF_VECTORS.sub("ert_wide", whole) if wide else whole
        parts.append(f"\n/* {path.relative_to(root).as_posix()} */\n{begin}{whole}{_undefined(text)}")
    return "".join(parts), (root / "include" / "ert.h").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for ert.c and ert.h")
    parser.add_argument("--used", type=Path, help="file with the kernel rows to keep")
    options = parser.parse_args()
    code, header = amalgamate(used=options.used.read_text() if options.used else None)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "ert.c").write_text(code)
    (options.output / "ert.h").write_text(header)


if __name__ == "__main__":
    main()
