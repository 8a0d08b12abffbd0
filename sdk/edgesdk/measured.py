# SPDX-License-Identifier: Apache-2.0
"""What `edgesdk tune` has measured: one file per device under the user's cache, and the choice of kernels by it.

A layer is known by its signature and its static choice, the first kernel of the table that fits: two layers that have
both in common take the same time. What is stored for it are the costs of its candidates. A file is of use to the
edgesdk, and its table of kernels, that wrote it; any other is as good as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import edgesdk
from edgesdk import kernels, ops, toolchain
from edgesdk.boards import Board, host_processor
from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.schedule import Preference
from edgesdk.schedule.strips import Piece

MARGINS = {"us": 0.03, "instructions": 0.0}  # a gain of less may be noise
LONGEST = 160  # characters of attributes that are written out
BY_ROWS = " by rows"  # of a layer whose kernel is called for one row at a time
SHARED = {None: "", True: " shared", False: " on one thread"}
Cost = dict[str, float]  # candidate -> cost


class Known(msgspec.Struct):
    """The content of a file. `programs` has the pieces of the fastest schedule that was found for a network, none where
    that is the static one."""

    edgesdk: str
    kernels: str
    device: dict[str, str]
    clock: str = ""
    layers: dict[str, Cost] = {}
    programs: dict[str, list[tuple[str, int, int, int]]] = {}


@dataclass(frozen=True)
class Candidate:
    """A kernel for a layer, and whether threads share it."""

    kernel: Kernel
    shared: bool | None = None

    @property
    def name(self) -> str:
        return self.kernel.name + SHARED[self.shared]


def device(board: Board, engine: str | None = None) -> dict[str, str]:
    """What tells one device from another: the processor here, an emulated board, the engine that runs WebAssembly."""
    found = {"board": board.id, "core": board.core.name, "isa": " ".join(board.core.isa)}
    if board.runner == "host":
        return found | {"core": host_processor()}
    if board.emulator is not None:
        return found | {"emulator": f"{board.emulator.program} {board.emulator.machine}"}
    return found | {"engine": engine or ""}


def path_of(device: Mapping[str, str]) -> Path:
    key = toolchain.digest(msgspec.json.encode(sorted(device.items())))
    return toolchain.cache_folder("tuned") / f"{_plain(device['board'])}-{key[:16]}.json"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def newest(board: Board) -> Path:
    """The file of a device like the board: of an engine whose name is not known before it runs, the last one."""
    if board.runner not in ("wasm", "browser"):
        return path_of(device(board))
    found = toolchain.cache_folder("tuned").glob(f"{_plain(board.id)}-*.json")
    return max(found, key=lambda p: p.stat().st_mtime, default=path_of(device(board)))


@cache
def table_digest() -> str:
    return toolchain.digest(*(f"{k.number} {k.name} {k.layout}" for k in kernels.table()))[:16]


def fresh(device: dict[str, str], clock: str) -> Known:
    return Known(edgesdk.__version__, table_digest(), device, clock)


def load(path: Path, device: dict[str, str] | None) -> tuple[Known | None, str | None]:
    """What a file holds, and a warning where that is of no use; None and None where there is no file."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Known)
    except FileNotFoundError:
        return None, None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return (
            None,
            f"{path}: not readable as tuned costs ({error}); it is ignored, run `edgesdk tune` to write it anew",
        )
    if (found.edgesdk, found.kernels) != (edgesdk.__version__, table_digest()):
        return None, f"{path}: written by another edgesdk or table of kernels; it is ignored, run `edgesdk tune` again"
    if (device is not None and found.device != device) or not _sane(found):
        return (
            None,
            f"{path}: written for another device or damaged; it is ignored, run `edgesdk tune` to write it anew",
        )
    return found, None


def _sane(known: Known) -> bool:
    costs = [c for costs in known.layers.values() for c in costs.values()]
    kinds = {kind for pieces in known.programs.values() for kind, *_ in pieces}
    return known.clock in MARGINS and kinds <= {"plain", "rows"} and all(0 <= c < float("inf") for c in costs)


def merged(known: Known, other: Known | None) -> Known:
    """`known` and what another process wrote meanwhile."""
    if other is None or other.clock != known.clock:
        return known
    layers = {s: {**other.layers.get(s, {}), **costs} for s, costs in known.layers.items()}
    return msgspec.structs.replace(
        known, layers={**other.layers, **layers}, programs={**other.programs, **known.programs}
    )


def signature(node: Node, threads: int) -> str:
    """Kernel family, types, shapes and attributes of a layer, and how many threads may share it."""
    given = " ".join("-" if v is None else _shape(v) for v in node.inputs)
    attrs = " ".join(f"{k}={node.attrs[k]!r}".replace(" ", "") for k in sorted(node.attrs))
    if len(attrs) > LONGEST:
        attrs = f"{attrs[:LONGEST]}... {toolchain.digest(attrs)[:16]}"
    made = f"{ops.kernel_op(node)} {ops.types(node)[0]} {given} -> {_shape(node.output)}"
    return f"{made} {attrs} threads={threads}".replace("  ", " ")


def layer(signature: str, static: Kernel, by_rows: bool = False) -> str:
    """The name of a layer in the file."""
    return f"{signature}{BY_ROWS if by_rows else ''} static={static.name}"


def _shape(value: Value) -> str:
    return ("constant " if value.data is not None else "") + "x".join(map(str, value.shape))


def program_key(signatures: Iterable[str]) -> str:
    """A network, whatever its weights."""
    return toolchain.digest(*signatures)[:32]


def pieces_of(known: Known, key: str, steps: int) -> tuple[Piece, ...]:
    """The stages of the fastest schedule; none where that is the static one, or where they are not of so many steps."""
    pieces = tuple(Piece(*p) for p in known.programs.get(key, ()))
    ends = [0, *(p.first + p.count for p in pieces)]
    whole = all(p.first == e and p.count > 0 and p.strips > 0 for p, e in zip(pieces, ends, strict=False))
    return pieces if whole and ends[-1] == steps else ()


def best(costs: Cost, candidates: Sequence[Candidate], clock: str) -> Candidate:
    """The cheapest candidate; the first, which is the static choice, where none is cheaper by the margin."""
    static = candidates[0]
    measured = [c for c in candidates if c.name in costs]
    cheapest = min(measured, key=lambda c: costs[c.name], default=static)
    wins = static.name in costs and costs[cheapest.name] < costs[static.name] * (1 - MARGINS[clock])
    return cheapest if wins else static


def candidates(rows: Sequence[Kernel], threads: int) -> list[Candidate]:
    """Every way to compute a layer, the static one first."""
    kinds = (None, True, False) if threads > 1 else (None,)
    return [Candidate(row, shared) for shared in kinds for row in rows]


def preference(known: Known, threads: int) -> Preference:
    """The kernels that are fastest by what is known."""
    chosen: dict[Node, Candidate] = {}

    def kernel(node: Node, rows: Sequence[Kernel]) -> Kernel:
        name = signature(node, threads)
        found = (known.layers.get(layer(name, rows[0], by_rows)) for by_rows in (False, True))
        costs: Cost = next(filter(None, found), {})
        chosen[node] = best(costs, candidates(rows, threads), known.clock)
        return chosen[node].kernel

    def shared(node: Node, kernel: Kernel) -> bool | None:
        return chosen[node].shared if node in chosen else None

    return Preference(kernel, shared)


def describe(known: Known) -> dict[str, Any]:
    """What a program's metadata tells of the device that it was tuned for."""
    return {"device": known.device, "clock": known.clock}
