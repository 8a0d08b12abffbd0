# SPDX-License-Identifier: Apache-2.0
"""Runs a program as WebAssembly on this machine: in node, or where that is not installed in wasmtime."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import IO

from edgesdk import wasm
from edgesdk.boards import Board
from edgesdk.errors import DeviceError
from edgesdk.runners import Session, web


def open(board: Board, data: bytes, threads: int = 1) -> AbstractContextManager[Session]:
    if shutil.which("node"):
        return in_node(data, threads=threads)
    if threads > 1:
        raise DeviceError(f"board {board.id}: threads need node, which was not found; install Node.js (Debian: nodejs)")
    if importlib.util.find_spec("wasmtime"):
        from edgesdk.runners import in_wasmtime

        return in_wasmtime.open(board, data)
    raise DeviceError(
        f"board {board.id}: neither node nor wasmtime was found; install Node.js (Debian: nodejs) or "
        "`pip install wasmtime`"
    )


@contextmanager
def in_node(data: bytes, options: tuple[str, ...] = (), threads: int = 1) -> Iterator[web.WebSession]:
    """The program in a fresh node process."""
    with node(options) as exchange:
        yield web.begin(exchange, data, threads)


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
