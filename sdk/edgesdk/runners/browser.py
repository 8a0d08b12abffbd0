# SPDX-License-Identifier: Apache-2.0
"""Runs a program in a browser: a page of this machine, which asks for messages and posts its answers.

EDGESDK_BROWSER names the program that opens the page; "none" prints its address for a browser that you open yourself.
Without it a Chromium runs it unseen, or the system's browser shows it.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from edgesdk import wasm
from edgesdk.boards import Board
from edgesdk.errors import DeviceError
from edgesdk.runners import web

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
POLL_S = 20.0  # a page that waits asks again after so long
START_S = 120.0  # for a person who opens the page by hand
ANSWER_S = 600.0
TYPES = {".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm"}
# With these a page is isolated: clocks are finer, and memory may be shared between workers.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Desk:
    """Where messages wait for the page, and answers for the command line. Addresses begin with a secret, so that
    other pages and users of this machine cannot ask."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    messages: queue.Queue[bytes] = field(default_factory=queue.Queue)
    answers: queue.Queue[bytes] = field(default_factory=queue.Queue)
    arrived: threading.Event = field(default_factory=threading.Event)

    def exchange(self, message: bytes) -> bytes:
        self.messages.put(message)
        try:
            return self.answers.get(timeout=ANSWER_S if self.arrived.is_set() else START_S)
        except queue.Empty:
            what = "does not answer" if self.arrived.is_set() else "did not open the page"
            raise DeviceError(f"the browser {what}; open it again, or set EDGESDK_BROWSER to another one") from None


def serve(desk: Desk) -> ThreadingHTTPServer:
    """The page's server on a free port of this machine, not of its network."""

    class Requests(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = wasm.web_folder() / self.path.removeprefix(f"/{desk.token}/")
            plain = path.parent == wasm.web_folder() and self.path.startswith(f"/{desk.token}/")
            if plain and path.suffix in TYPES and path.is_file():
                self._send(200, path.read_bytes(), TYPES[path.suffix])
            else:
                self._send(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == f"/{desk.token}/next":
                self._next()
            elif self.path == f"/{desk.token}/answer":
                desk.answers.put(body)
                self._send(204)
            else:
                self._send(404)

        def _next(self) -> None:
            desk.arrived.set()
            try:
                self._send(200, desk.messages.get(timeout=POLL_S), "application/octet-stream")
            except queue.Empty:
                self._send(204)

        def _send(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass  # the page says what it does

    return ThreadingHTTPServer(("127.0.0.1", 0), Requests)


def command(address: str, profile: str) -> list[str] | None:
    """What opens the address: an unseen Chromium, or the program that the user named; None where nothing does."""
    named = os.environ.get("EDGESDK_BROWSER")
    if named == "none":
        return None
    if named:
        found = shutil.which(named)
        if found is None:
            raise DeviceError(
                f"EDGESDK_BROWSER={named}: not found; expected a program, or none to open the page by hand"
            )
        quiet = any(name in Path(named).name for name in CHROMIUMS)
    else:
        found, quiet = next((p for name in CHROMIUMS if (p := shutil.which(name))), None), True
    return (
        [found, *(QUIET if quiet else ()), *([f"--user-data-dir={profile}"] if quiet else ()), address]
        if found
        else None
    )


@contextmanager
def page(address: str) -> Iterator[None]:
    """A browser at the address; one that was started here ends with the context."""
    with tempfile.TemporaryDirectory(prefix="edgesdk-", ignore_cleanup_errors=True) as profile:
        asked = command(address, profile)
        if asked is None:
            shown = os.environ.get("EDGESDK_BROWSER") != "none" and webbrowser.open(address)
            print(f"{'opened' if shown else 'open'} {address} in a browser of this machine", file=sys.stderr)
            yield
            return
        process = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def open(board: Board, data: bytes, threads: int = 1) -> Iterator[web.WebSession]:
    """The program in a browser, whose engine chooses the flavour."""
    desk = Desk()
    server = serve(desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with page(f"http://127.0.0.1:{server.server_port}/{desk.token}/agent.html"):
            session = web.begin(desk.exchange, data, threads)
            yield session
            web.ask(desk.exchange, "bye")
    finally:
        server.shutdown()
        server.server_close()
