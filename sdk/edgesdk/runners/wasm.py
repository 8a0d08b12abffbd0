# SPDX-License-Identifier: Apache-2.0
"""Runs a program as WebAssembly on this machine: in node, or where that is not installed in wasmtime."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import IO

from edgesdk import kernels, program, wasm
from edgesdk.boards import Board
from edgesdk.errors import DeviceError
from edgesdk.runners import Session, web


def open(board: Board, data: bytes) -> AbstractContextManager[Session]:
    has_wasmtime = importlib.util.find_spec("wasmtime") is not None
    if shutil.which("node") and not (has_wasmtime and needed_flavour(data) not in node_flavours()):
        return in_node(data)
    if has_wasmtime:
        from edgesdk.runners import in_wasmtime

        return in_wasmtime.open(board, data)
    raise DeviceError(
        f"board {board.id}: neither node nor wasmtime was found; install Node.js (Debian: nodejs) or "
        "`pip install wasmtime`"
    )


def needed_flavour(data: bytes) -> str:
    """The slowest flavour that has all instruction sets of a program's kernels."""
    found = (kernels.by_number(step.kernel) for step in program.read(data).steps)
    sets = {kernel.isa for kernel in found if kernel is not None}
    return next((f for f, isas in wasm.FLAVOURS.items() if sets <= {"c", *isas}), "plain")


@cache
def node_flavours() -> tuple[str, ...]:
    with node() as exchange:
        return tuple(web.ask(exchange, "hello")[0]["flavours"])


@contextmanager
def in_node(data: bytes, options: tuple[str, ...] = ()) -> Iterator[web.WebSession]:
    """The program in a fresh node process."""
    with node(options) as exchange:
        yield web.begin(exchange, data)


@contextmanager
def node(options: tuple[str, ...] = ()) -> Iterator[web.Exchange]:
    """The agent in node, which is killed at the end whatever happens; `options` are node's own."""
    found = shutil.which("node")
    if found is None:
        raise DeviceError("node was not found on PATH; install Node.js (Debian: apt install nodejs)")
    command = [found, *options, str(wasm.web_folder() / "node_agent.js")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        try:
            yield partial(_exchange, process.stdin, process.stdout)
        finally:
            process.kill()


def _exchange(to: IO[bytes], back: IO[bytes], message: bytes) -> bytes:
    try:
        to.write(web.LENGTH.pack(len(message)) + message)
        to.flush()
        (length,) = web.LENGTH.unpack(_read(back, web.LENGTH.size))
        return _read(back, length)
    except OSError as error:
        raise DeviceError(f"node has ended ({error}); see what it printed") from error


def _read(pipe: IO[bytes], n_bytes: int) -> bytes:
    data = pipe.read(n_bytes)
    if len(data) != n_bytes:
        raise DeviceError("node has ended before it answered; see what it printed")
    return data
