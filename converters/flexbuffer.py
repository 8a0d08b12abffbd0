# SPDX-License-Identifier: Apache-2.0
"""Reads the numbers of a FlexBuffers map, the options of TFLite's custom operators, from untrusted bytes."""

from __future__ import annotations

import struct

from edgesdk.errors import UsageError

INT, UINT, FLOAT, MAP, BOOL = 1, 2, 3, 9, 26
INDIRECT = {6: INT, 7: UINT, 8: FLOAT}
KINDS = {(INT, 1): "b", (INT, 2): "h", (INT, 4): "i", (INT, 8): "q", (FLOAT, 2): "e", (FLOAT, 4): "f", (FLOAT, 8): "d"}
KINDS |= {(UINT, width): kind for width, kind in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))}
MAX_KEY_BYTES = 256


def numbers(data: bytes) -> dict[str, int | float]:
    """Name -> number of a map; values of other types are left out."""
    if len(data) < 3:
        raise damaged(0)
    root_type, width = data[-2], data[-1]
    if root_type >> 2 != MAP:
        raise UsageError(f"its options are a FlexBuffer of type {root_type >> 2}, expected a map ({MAP})")
    return read_map(data, follow(data, len(data) - 2 - width, width), 1 << (root_type & 3))


def read_map(data: bytes, at: int, width: int) -> dict[str, int | float]:
    """A map whose values begin at byte `at`; before them lie the keys' place, their width and the count."""
    count = unsigned(data, at - width, width)
    keys, key_width = follow(data, at - 3 * width, width), unsigned(data, at - 2 * width, width)
    if count * (width + 1) > len(data) or key_width not in (1, 2, 4, 8):
        raise damaged(at)
    found: dict[str, int | float] = {}
    for i in range(count):
        packed = unsigned(data, at + count * width + i, 1)
        value = number(data, at + i * width, width, packed)
        if value is not None:
            found[text(data, follow(data, keys + i * key_width, key_width))] = value
    return found


def number(data: bytes, at: int, width: int, packed: int) -> int | float | None:
    kind = packed >> 2
    if kind in INDIRECT:
        at, width, kind = follow(data, at, width), 1 << (packed & 3), INDIRECT[kind]
    kind = UINT if kind == BOOL else kind
    if (kind, width) not in KINDS:
        return None
    return unpacked(data, at, KINDS[kind, width])


def follow(data: bytes, at: int, width: int) -> int:
    """Where the offset at byte `at`, which counts backwards, points to."""
    return at - unsigned(data, at, width)


def unsigned(data: bytes, at: int, width: int) -> int:
    if (UINT, width) not in KINDS:
        raise damaged(at)
    return int(unpacked(data, at, KINDS[UINT, width]))


def unpacked(data: bytes, at: int, kind: str) -> int | float:
    if at < 0 or at + struct.calcsize("<" + kind) > len(data):
        raise damaged(at)
    value: int | float = struct.unpack_from("<" + kind, data, at)[0]
    return value


def text(data: bytes, at: int) -> str:
    if not 0 <= at < len(data):
        raise damaged(at)
    end = data.find(b"\0", at, at + MAX_KEY_BYTES)
    return data[at : end if end >= 0 else at + MAX_KEY_BYTES].decode("utf-8", "replace")


def damaged(at: int) -> UsageError:
    return UsageError(
        f"its options point outside of themselves at byte {at}, expected a FlexBuffer; the file is damaged"
    )
