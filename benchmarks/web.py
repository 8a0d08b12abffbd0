# SPDX-License-Identifier: Apache-2.0
"""Networks x types x what a page would load instead, in a browser, on one thread, in one interleaved run.

    python benchmarks/web.py [--nets N,...] [--peers P,...] [--types fp32,int8] [--rounds N] [--batch-ms MS]
                             [--figure lowest|median|best] [--folder build/cpu] [--packages build/npm] [--json OUT]

Each peer holds each network in a frame of one page, whose batches take turns; the browser is fresh. A figure is the
lowest median of a batch (`--figure best`: the shortest time, for machines that do other work); what gives the image and
reads the output is part of it. Networks are those of cpu_nets.py
(`cpu_models.py` writes them when they are missing); int8 edgesdk and LiteRT.js run the very same file, which takes and
gives floats, as LiteRT.js wants it. Peers come from npm (`make bench-web` installs them), those that are missing are
left out and named. EDGESDK_BROWSER chooses the browser.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import queue
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgesdk import convert, program, wasm
from edgesdk.runners import browser

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "unit"))
PAGE = Path(__file__).parent / "web_page"
NETS = ("mobilenet_v1_224", "mobilenet_v2_224", "efficientnet_lite0_224", "mobilenet_v2_035_96", "ds_cnn", "resnet8")
TYPES = ("fp32", "int8")
OWN = "edgesdk"
LIMIT_S = 900.0  # for one network
FARTHEST = 1e-3  # relative L2 distance that float outputs may have from numpy's


@dataclass(frozen=True)
class Peer:
    """`options` are those of its function in peers.js; `package` is what npm calls it, None for our own."""

    peer: str
    types: tuple[str, ...]
    file: str
    package: str | None
    options: dict[str, Any]


PEERS = {
    OWN: Peer("edgesdk", TYPES, "{}_{}.edge", None, {"flavour": "relaxed"}),
    "edgesdk simd128": Peer("edgesdk", TYPES, "{}_{}.edge", None, {"flavour": "simd128"}),
    "litert": Peer("litert", TYPES, "{}_{}.tflite", "@litertjs/core", {}),
    "litert compat": Peer("litert", TYPES, "{}_{}.tflite", "@litertjs/core", {"compat": True}),
    "ort": Peer("ort", TYPES, "{}_{}.onnx", "onnxruntime-web", {}),
    "tfjs": Peer("tfjs", ("fp32",), "{}_{}.bin", "@tensorflow/tfjs-backend-wasm", {}),
}
# What a page downloads of each peer, by its folder in node_modules.
DOWNLOADS = {
    "litert": ("@litertjs/core", ("wasm/litert_wasm_internal.wasm", "wasm/litert_wasm_internal.js", "dist/index.js")),
    "litert compat": (
        "@litertjs/core",
        ("wasm/litert_wasm_compat_internal.wasm", "wasm/litert_wasm_compat_internal.js", "dist/index.js"),
    ),
    "ort": (
        "onnxruntime-web",
        ("dist/ort-wasm-simd-threaded.wasm", "dist/ort-wasm-simd-threaded.mjs", "dist/ort.wasm.min.mjs"),
    ),
    "tfjs": (
        "@tensorflow",
        (
            "tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm",
            "tfjs-backend-wasm/dist/tf-backend-wasm.min.js",
            "tfjs/dist/tf.min.js",
        ),
    ),
}


@dataclass(frozen=True)
class Row:
    """`lowest` is the lowest median of a batch, `median` that of all of them, `best` the shortest time of all."""

    net: str
    types: str
    peer: str
    lowest: float
    median: float
    best: float
    load_ms: float
    distance: float
    note: str


def float_ends(model: bytes) -> bytes:
    """The int8 .tflite with floats in and out: LiteRT.js takes no int8 tensors."""
    import tflite_models as tf

    read = tf.unpack(model)
    take_in(read, model)
    graph = read.subgraphs[0]
    graph.inputs = [end(read, int(i), "QUANTIZE") for i in graph.inputs]
    graph.outputs = [end(read, int(i), "DEQUANTIZE") for i in graph.outputs]
    return tf.pack(read)


def take_in(read: Any, model: bytes) -> None:
    """Constants behind the tables, where LiteRT's quantiser puts those of large files, come among them."""
    for buffer in read.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0


def end(model: Any, inner: int, code: str) -> int:
    """A float tensor that is quantised to tensor `inner` in front of all ops, or made of it behind them."""
    import tflite_models as tf

    graph = model.subgraphs[0]
    graph.tensors.append(float_tensor(graph.tensors[inner]))
    outer, op = len(graph.tensors) - 1, tf.schema.OperatorT()
    model.operatorCodes.append(tf.code_object(code, ""))
    op.opcodeIndex = len(model.operatorCodes) - 1
    op.inputs, op.outputs = ([outer], [inner]) if code == "QUANTIZE" else ([inner], [outer])
    graph.operators.insert(0 if code == "QUANTIZE" else len(graph.operators), op)
    rename(model, inner, outer)
    return outer


def float_tensor(like: Any) -> Any:
    import tflite_models as tf

    made = tf.schema.TensorT()
    made.name, made.shape, made.type, made.buffer = f"{bytes(like.name).decode()}_float", like.shape, 0, 0
    return made


def rename(model: Any, inner: int, outer: int) -> None:
    """Signatures name the new ends."""
    for signature in model.signatureDefs or []:
        for entry in (*signature.inputs, *signature.outputs):
            if entry.tensorIndex == inner:
                entry.tensorIndex = outer


def tfjs_weights(kind: str, w: np.ndarray) -> np.ndarray:
    """From [O, KH, KW, I], [KH, KW, C] or [O, I]: input channels before those of the output."""
    if kind == "depthwise":
        return w[..., None]
    return np.moveaxis(w, 0, -1)


def write_tfjs(net: str, folder: Path, to: Path) -> list[dict[str, Any]]:
    """The weights of all layers in `to`, in the order that tfjs wants them; the layers with the shapes of theirs."""
    layers: list[dict[str, Any]] = json.loads((folder / f"{net}.json").read_text())["layers"]
    arrays = np.load(folder / f"{net}.npz")
    with to.open("wb") as file:
        for n, layer in enumerate(layers):
            if f"w{n}" in arrays:
                w = tfjs_weights(layer["kind"], arrays[f"w{n}"])
                layer["w"] = list(w.shape)
                file.write(w.astype("<f4").tobytes() + arrays[f"b{n}"].astype("<f4").tobytes())
    return layers


def write_net(net: str, folder: Path, to: Path, types: Sequence[str]) -> dict[str, Any]:
    """The files of one network that the page asks for, and its line in the plan."""
    image = np.load(folder / f"{net}_input.npy").astype("<f4")
    (to / f"{net}_input.bin").write_bytes(image.tobytes())
    for kind in types:
        source = (folder / f"{net}_{kind}.tflite").read_bytes()
        (to / f"{net}_{kind}.tflite").write_bytes(float_ends(source) if kind == "int8" else source)
        (to / f"{net}_{kind}.onnx").write_bytes((folder / f"{net}_{kind}.onnx").read_bytes())
        (to / f"{net}_{kind}.edge").write_bytes(convert(to / f"{net}_{kind}.tflite", "wasm").data)
    layers = write_tfjs(net, folder, to / f"{net}_fp32.bin")
    size = [int(n) for n in image.shape if n > 0][-3:]
    return {"name": net, "image": size, "input": f"models/{net}_input.bin", "layers": layers}


def plan_of(net: dict[str, Any], peers: Sequence[str], types: Sequence[str]) -> dict[str, Any]:
    chosen = [
        {
            "id": name,
            "peer": PEERS[name].peer,
            "types": kind,
            "file": f"models/{PEERS[name].file}".format(net["name"], kind),
        }
        | PEERS[name].options
        for kind in types
        for name in peers
        if kind in PEERS[name].types
    ]
    return {**net, "peers": chosen}


def serve(root: Path, told: queue.Queue[tuple[str, Any]]) -> ThreadingHTTPServer:
    class Requests(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in browser.HEADERS.items():
                self.send_header(name, value)
            super().end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.put((self.path.strip("/"), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    Requests.extensions_map = {**Requests.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Requests, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def measured(root: Path, console: Console) -> tuple[list[dict[str, Any]], str]:
    """What the page tells of each network, and the browser."""
    told: queue.Queue[tuple[str, Any]] = queue.Queue()
    server, results = serve(root, told), []
    try:
        with browser.page(f"http://127.0.0.1:{server.server_port}/index.html"):
            while True:
                kind, value = told.get(timeout=LIMIT_S)
                if kind == "done":
                    if "error" in value:
                        raise SystemExit(f"the page failed: {value['error']}")
                    return results, value["engine"]
                results.append(value)
                console.print(f"{value['net']}: done")
    except queue.Empty:
        raise SystemExit(f"the page told nothing for {LIMIT_S:.0f} s; try fewer networks or another browser") from None
    finally:
        server.shutdown()
        server.server_close()


def rows_of(result: dict[str, Any], folder: Path, console: Console) -> list[Row]:
    expected = np.load(folder / f"{result['net']}_expected.npy").ravel()
    rows = []
    for p in result["peers"]:
        if "error" in p:
            console.print(f"[red]{result['net']} {p['id']} {p['types']}: left out: {p['error']}[/]")
            continue
        far = float(np.linalg.norm(np.array(p["output"]) - expected) / np.linalg.norm(expected))
        if p["types"] == "fp32" and far > FARTHEST:
            console.print(f"[red]{result['net']} {p['id']}: output is {far:.1e} from numpy's: not the same network[/]")
        medians, best = [r["median"] for r in p["rounds"]], min(r["best"] for r in p["rounds"])
        times = (min(medians), float(np.median(medians)), best)
        rows.append(Row(result["net"], p["types"], p["id"], *times, p["load_ms"], far, p["note"]))
    return rows


def gzipped(paths: Sequence[Path]) -> int:
    return sum(len(gzip.compress(p.read_bytes(), 9)) for p in paths)


def downloads(root: Path, peers: Sequence[str], nets: Sequence[str]) -> dict[str, int]:
    """Bytes of a runtime behind gzip -9; of edgesdk with all kernels, and with those of a network only."""
    binding = [root / "edgesdk" / f"{name}.js" for name in wasm.SCRIPTS if name != "tune"]
    sizes = {}
    for name in peers:
        if name in DOWNLOADS:
            folder, files = DOWNLOADS[name]
            sizes[name] = gzipped([root / "node_modules" / folder / f for f in files])
    sizes[f"{OWN}, all kernels"] = gzipped([*binding, root / "edgesdk" / wasm.file_name("relaxed")])
    for net in nets:
        model = program.read(program.read_file(root / "models" / f"{net}_int8.edge"))
        sizes[f"{OWN}, those of {net} int8"] = gzipped([*binding, wasm.build("relaxed", model)])
    return sizes


def table(rows: list[Row], types: str, figure: str) -> Table:
    """Milliseconds, and in brackets what edgesdk's are divided by each."""
    mine = [r for r in rows if r.types == types]
    peers, nets = list(dict.fromkeys(r.peer for r in mine)), list(dict.fromkeys(r.net for r in mine))
    ms = {(r.net, r.peer): getattr(r, figure) for r in mine}
    made = Table("network", *peers, title=f"{types}: ms, one thread, {figure} (edgesdk / peer)")
    for net in nets:
        made.add_row(net, *(cell(ms, net, p) for p in peers))
    made.add_row("geometric mean", *(mean_cell(ms, nets, p) for p in peers))
    return made


def load_table(rows: list[Row]) -> Table:
    """Compiling the runtime and the model, and the first inference; files were read before."""
    peers, nets = list(dict.fromkeys(r.peer for r in rows)), list(dict.fromkeys(r.net for r in rows))
    ms = {(r.net, r.types, r.peer): r.load_ms for r in rows}
    made = Table("network", *peers, title=f"load and first inference, ms: {', '.join(TYPES)}")
    for net in nets:
        both = [[ms.get((net, t, p)) for t in TYPES] for p in peers]
        made.add_row(net, *(", ".join("-" if m is None else f"{m:.0f}" for m in pair) for pair in both))
    return made


def cell(ms: dict[tuple[str, str], float], net: str, peer: str) -> str:
    if (net, peer) not in ms:
        return "-"
    text = f"{ms[net, peer]:.3f}" if ms[net, peer] < 1 else f"{ms[net, peer]:.2f}"
    return text if peer == OWN or (net, OWN) not in ms else f"{text} ({ms[net, OWN] / ms[net, peer]:.2f})"


def mean_cell(ms: dict[tuple[str, str], float], nets: Sequence[str], peer: str) -> str:
    logs = [math.log(ms[n, OWN] / ms[n, peer]) for n in nets if (n, OWN) in ms and (n, peer) in ms]
    return f"{math.exp(sum(logs) / len(logs)):.2f}" if logs and peer != OWN else ""


def write_models(nets: Sequence[str], folder: Path, console: Console) -> None:
    import cpu_models
    import cpu_nets

    for net in nets:
        cpu_models.write_missing(cpu_nets.NETS[net], folder, cpu_models.PEERS, console.print)


def bench(
    nets: Sequence[str], peers: Sequence[str], types: Sequence[str], given: Any, console: Console
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path in PAGE.iterdir():
            (root / path.name).symlink_to(path)
        (root / "node_modules").symlink_to((given.packages / "node_modules").resolve())
        wasm.write_package(root / "edgesdk")
        (root / "models").mkdir()
        lines = [plan_of(write_net(net, given.folder, root / "models", types), peers, types) for net in nets]
        plan = {"rounds": given.rounds, "batch_ms": given.batch_ms, "nets": lines}
        (root / "plan.json").write_text(json.dumps(plan))
        results, engine = measured(root, console)
        rows = [row for result in results for row in rows_of(result, given.folder, console)]
        sizes = downloads(root, peers, [n for n in nets if "int8" in types])
    return {"engine": engine, "rounds": given.rounds, "rows": rows, "gzip_bytes": sizes}


def installed(peers: Sequence[str], packages: Path, console: Console) -> list[str]:
    there = [n for n in peers if not (p := PEERS[n].package) or (packages / "node_modules" / p).is_dir()]
    for name in [n for n in peers if n not in there]:
        console.print(f"{name}: skipped, {PEERS[name].package} is not installed; make bench-web")
    return there


def listed(names: str, known: Sequence[str]) -> list[str]:
    chosen = names.split(",")
    if unknown := [n for n in chosen if n not in known]:
        raise SystemExit(f"{', '.join(unknown)}: not known; expected some of {', '.join(known)}")
    return chosen


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--nets", default=",".join(NETS))
    made.add_argument("--peers", default=",".join(PEERS))
    made.add_argument("--types", default=",".join(TYPES))
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--batch-ms", type=float, default=300.0)
    made.add_argument("--figure", choices=("lowest", "median", "best"), default="lowest", help="best on a busy machine")
    made.add_argument("--folder", type=Path, default=ROOT / "build" / "cpu", help="of the models")
    made.add_argument("--packages", type=Path, default=ROOT / "build" / "npm", help="where npm installed the peers")
    made.add_argument("--json", type=Path)
    return made


def main() -> int:
    given, console = parser().parse_args(), Console(width=170)
    nets, types = listed(given.nets, NETS), listed(given.types, TYPES)
    peers = installed(listed(given.peers, list(PEERS)), given.packages, console)
    if any(not (given.folder / f"{n}_{t}.tflite").exists() for n in nets for t in types):
        write_models(nets, given.folder, console)
    found = bench(nets, peers, types, given, console)
    console.print(found["engine"])
    for kind in types:
        console.print(table(found["rows"], kind, given.figure))
    console.print(load_table(found["rows"]))
    sizes = Table("runtime", "gzip -9, kB", title="what a page downloads")
    for name, n_bytes in found["gzip_bytes"].items():
        sizes.add_row(name, f"{n_bytes / 1e3:,.1f}")
    console.print(sizes)
    if given.json:
        given.json.write_text(json.dumps({**found, "rows": [asdict(r) for r in found["rows"]]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
