# SPDX-License-Identifier: Apache-2.0
"""A program in a real browser, by the page that `--board browser` opens."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import small_models

from edgesdk import boards, runtime, toolchain, wasm
from edgesdk.errors import DeviceError
from edgesdk.flow import convert
from edgesdk.runners import browser, web
from edgesdk.runtime import LoadError
from edgesdk.schedule import threads

DIGITS = Path(__file__).resolve().parents[2] / "apps" / "digits" / "digits.onnx"
PINNED = Path(__file__).resolve().parents[1] / "golden" / "v1.0"
CHROMIUM = next((name for name in browser.CHROMIUMS if shutil.which(name)), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
needs_zig = pytest.mark.skipif(toolchain.command("zig") is None, reason="no compiler for wasm: pip install ziglang")
# A plain one, one that is pushed row by row, one whose input is bound, one with states, one that slides.
CASES = [
    "classifier_int8.plain",
    "borders_int8.streamed",
    "attention_int8.bound",
    "states_float32.plain",
    "window_int8.sliding",
    "classifier_float32.rows",
]


def digits(board: str, portable: bool = False) -> bytes:
    """The int8 digit classifier for a board."""
    pytest.importorskip("onnx")
    images = np.random.default_rng(5).random((20, 8, 8, 1), np.float32)
    return convert(DIGITS, board, quantize="int8", calibration={"image": images}, portable=portable).data


@needs_browser
@needs_zig
def test_chromium_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGESDK_BROWSER", raising=False)
    first = PINNED / f"{CASES[0]}.edge"
    with browser.open(boards.load("browser"), first.read_bytes()) as session:
        flavour = session.context["flavour"]
        assert "Chrome" in session.context["engine"] and flavour in ("simd128", "relaxed")
        for case in CASES:
            data = (PINNED / f"{case}.edge").read_bytes()
            inputs = small_models.inputs(small_models.graphs()[case.partition(".")[0]])
            loaded = web.load(session.exchange, data, flavour, wasm.build(flavour).read_bytes())
            for got, wanted in zip(loaded.run(inputs), runtime.run(runtime.open_session(data), inputs), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-4 if got.dtype == np.float32 else 0, atol=0)
        image = [np.random.default_rng(3).integers(-128, 128, (1, 8, 8, 1)).astype(np.int8)]
        wanted = runtime.run(runtime.open_session(digits("host")), image)[0]
        loaded = web.load(session.exchange, digits("wasm"), flavour, wasm.build(flavour).read_bytes())
        assert loaded.run(image)[0].tobytes() == wanted.tobytes()
        measured = loaded.measure(image, 2)
        assert measured.clock == "us" and len(measured.steady) == 2 and min(measured.steady) > 0
        with pytest.raises(LoadError) as refused:
            web.load(session.exchange, data, flavour, wasm.build(flavour, session.program).read_bytes())
        assert refused.value.code == -7


def threaded(patch: pytest.MonkeyPatch) -> bytes:
    """The digit classifier with every step for two threads, as small as it is."""
    pytest.importorskip("onnx")
    patch.setattr(threads, "LEAST_WORK", 1)
    patch.setattr(threads, "PART_PIXELS", 1)
    images = np.random.default_rng(5).random((20, 8, 8, 1), np.float32)
    return convert(DIGITS, "wasm", quantize="int8", calibration={"image": images}, threads=2).data


@needs_browser
@needs_zig
def test_chromium_runs_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their first one is a worker itself, which may sleep."""
    monkeypatch.delenv("EDGESDK_BROWSER", raising=False)
    with browser.open(boards.load("browser"), threaded(monkeypatch), 2) as session:
        assert session.context["threads"] == 2
        rng, host = np.random.default_rng(3), runtime.open_session(digits("host"))
        for _ in range(20):
            image = [rng.integers(-128, 128, (1, 8, 8, 1)).astype(np.int8)]
            assert session.run(image)[0].tobytes() == runtime.run(host, image)[0].tobytes()
        assert session.measure(image, 2).context["threads"] == 2


THREADS_PAGE = """<script type="module">
import { Model } from './edgesdk.js';
const found = { isolated: crossOriginIsolated, threads: [], same: true };
const items = Int8Array.from({ length: 64 }, (_, i) => i * 4 - 128);
let wanted = null;
for (const threads of [1, 2, undefined]) {
  const model = await Model.load('digits.edge', { threads });
  found.threads.push(model.threads);
  for (let i = 0; i < 20; i++) {
    const scores = String(model.run([items])[0]);
    found.same &&= scores === (wanted ??= scores);
  }
  model.dispose();
}
fetch('shown', { method: 'POST', body: JSON.stringify(found) });
</script>"""


def shown(folder: Path, page: str, headers: dict[str, str]) -> str:
    """What a page of the folder posts, served with these headers."""
    told: queue.Queue[str] = queue.Queue()

    class Requests(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Requests, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser.page(f"http://127.0.0.1:{server.server_port}/{page}"):
            return told.get(timeout=120)
    finally:
        server.shutdown()
        server.server_close()


@needs_browser
@needs_zig
@pytest.mark.parametrize("isolated", [True, False])
def test_pages_run_threads_where_they_are_isolated(
    isolated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thread is the page's own, which may not sleep."""
    wasm.write_package(tmp_path)
    (tmp_path / "page.html").write_text(THREADS_PAGE)
    (tmp_path / "digits.edge").write_bytes(threaded(monkeypatch))
    found = json.loads(shown(tmp_path, "page.html", browser.HEADERS if isolated else {}))
    most = min(4, os.cpu_count() or 1)
    assert found == {"isolated": isolated, "threads": [1, 2, most] if isolated else [1, 1, 1], "same": True}


TUNE_PAGE = """<script type="module">
import { loadFastest } from './tune.js';
const ways = ['portable.edge', 'digits.edge', 'missing.edge'].map((source) => ({ source }));
const items = Int8Array.from({ length: 64 }, (_, i) => i * 4 - 128);
const found = [];
for (const options of [{ budget: 100 }, { budget: 100 }, { measure: false }]) {
  const { model, chosen, times } = await loadFastest(ways, options);
  found.push({ chosen, times, scores: Array.from(model.run([items])[0]), kept: localStorage.length });
}
const key = localStorage.key(0);
found.push({ key, kept: JSON.parse(localStorage.getItem(key)) });
fetch('shown', { method: 'POST', body: JSON.stringify(found) });
</script>"""


@needs_browser
@needs_zig
def test_pages_measure_their_files_once(tmp_path: Path) -> None:
    """The first visit measures what loads, later ones take what was fastest, and nobody has to."""
    wasm.write_package(tmp_path)
    (tmp_path / "page.html").write_text(TUNE_PAGE)
    (tmp_path / "digits.edge").write_bytes(digits("wasm"))
    (tmp_path / "portable.edge").write_bytes(digits("wasm", portable=True))
    first, second, unmeasured, kept = json.loads(shown(tmp_path, "page.html", {}))
    assert min(first["times"][:2]) > 0 and first["times"][2] is None and first["kept"] == 1
    assert first["chosen"] == int(first["times"][1] < 0.97 * first["times"][0])
    assert (second["chosen"], second["times"]) == (first["chosen"], None)
    assert (unmeasured["chosen"], unmeasured["times"], unmeasured["kept"]) == (0, None, 1)
    image = [(np.arange(64) * 4 - 128).astype(np.int8).reshape(1, 8, 8, 1)]
    scores = runtime.run(runtime.open_session(digits("host")), image)[0].ravel().tolist()
    assert [case["scores"] for case in (first, second, unmeasured)] == [scores] * 3
    assert "Chrome" in kept["key"] and kept["kept"]["chosen"] == first["chosen"]


# Tells the server what the page shows, once it says more than that it is loading.
WATCH = """<script type="module">
const state = document.getElementById('state');
const tell = () => fetch('shown', { method: 'POST', body: document.body.innerHTML });
state.textContent === 'loading' ? new MutationObserver(tell).observe(state, { childList: true }) : tell();
</script>"""


@needs_browser
@needs_zig
def test_page_to_copy(tmp_path: Path) -> None:
    """apps/web/index.html finds the binding, a module and the model beside it, and shows ten probabilities."""
    wasm.write_package(tmp_path)
    (tmp_path / "index.html").write_text((wasm.web_folder() / "index.html").read_text() + WATCH)
    (tmp_path / "digits.edge").write_bytes(digits("wasm"))
    text = shown(tmp_path, "index.html", {})
    assert len(re.findall(r'<meter value="\d', text)) == 10, text
    assert re.search(r'id="state">\d \((relaxed|simd128)\)', text), text


@pytest.fixture
def desk() -> Iterator[tuple[browser.Desk, http.client.HTTPConnection]]:
    found = browser.Desk()
    server = browser.serve(found)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found, http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    server.shutdown()
    server.server_close()


def status(connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> int:
    connection.request(method, path, body)
    response = connection.getresponse()
    response.read()
    return response.status


def test_server_gives_the_page_and_nothing_else(desk: tuple[browser.Desk, http.client.HTTPConnection]) -> None:
    found, connection = desk
    base = f"/{found.token}"
    assert status(connection, "GET", f"{base}/agent.html") == 200
    assert status(connection, "GET", f"{base}/edgesdk.js") == 200
    for path in ("/agent.html", "/", f"{base}/", f"{base}/../firmware/agent.c", f"{base}/ert_web.c", "//etc/passwd.js"):
        assert status(connection, "GET", path) == 404, path
    assert status(connection, "POST", "/next") == 404
    assert status(connection, "POST", "/answer", b"x") == 404
    assert found.answers.empty() and not found.arrived.is_set()


def test_messages_go_there_and_back(desk: tuple[browser.Desk, http.client.HTTPConnection]) -> None:
    found, connection = desk
    got: list[bytes] = []
    asking = threading.Thread(target=lambda: got.append(found.exchange(web.pack({"ask": "hello"}, [b"\0\xff"]))))
    asking.start()
    connection.request("POST", f"/{found.token}/next")
    assert web.unpack(connection.getresponse().read()) == ({"ask": "hello"}, [b"\0\xff"])
    assert status(connection, "POST", f"/{found.token}/answer", web.pack({}, [b"1"])) == 204
    asking.join()
    assert web.unpack(got[0]) == ({}, [b"1"])


def test_browser_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESDK_BROWSER", "no-such-browser")
    with pytest.raises(DeviceError, match="no-such-browser: not found"), browser.page("http://127.0.0.1/"):
        pass


def test_page_that_nobody_opens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EDGESDK_BROWSER", "none")
    monkeypatch.setattr(browser, "START_S", 0.2)
    with pytest.raises(DeviceError, match="did not open the page"):
        with browser.open(boards.load("browser"), (PINNED / f"{CASES[0]}.edge").read_bytes()):
            pass
    assert "open http://127.0.0.1:" in capsys.readouterr().err
