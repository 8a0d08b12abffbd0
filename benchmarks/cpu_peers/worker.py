# SPDX-License-Identifier: Apache-2.0
"""One peer with one model in a process of its own: worker.py PEER MODEL INPUT.npy THREADS

Answers with one line of JSON each: first what loading took and what the model gave, then for each line N on standard
input the times of N inferences. A time holds what an application does for a new image: to hand it over, to run, to take
the result. Prints of the libraries go to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

peer, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[4])
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(threads)
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import numpy as np  # noqa: E402

image = np.load(sys.argv[3])  # [1, H, W, C]
planes = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
Run = Callable[[], np.ndarray]


def quantised(x: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return np.clip(np.round(x / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)


# Each loader imports at its first step, loads the model at its second, and says last how many real numbers an output
# step is (scale, zero point), so that figures of memory and time leave Python packages out.
def edgesdk() -> Iterator[Any]:
    import ctypes
    import mmap

    from edgesdk import program, runtime
    from edgesdk.library import library

    lib, read = library(), program.read(Path(model).read_bytes())
    x = quantised(image, *grid(read.inputs[0])) if read.inputs[0].dtype == "int8" else image
    yield
    with Path(model).open("rb") as file:
        session = runtime.open_session(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), threads)
    given, out = session.inputs[0], session.outputs[0]
    handle, run = ctypes.byref(session._session), lib.ert_run

    def once() -> np.ndarray:
        given[...] = x
        run(handle)
        return out.copy()

    yield once
    yield grid(read.outputs[0]) if out.dtype == np.int8 else (1.0, 0)


def litert() -> Iterator[Any]:
    from ai_edge_litert.interpreter import Interpreter

    yield
    made = Interpreter(model, num_threads=threads)
    made.allocate_tensors()
    given, out = made.get_input_details()[0], made.get_output_details()[0]
    x = quantised(image, *given["quantization"]) if given["dtype"] == np.int8 else image

    def once() -> np.ndarray:
        made.set_tensor(given["index"], x)
        made.invoke()
        return made.get_tensor(out["index"])

    yield once
    yield out["quantization"] if out["dtype"] == np.int8 else (1.0, 0)


def onnxruntime() -> Iterator[Any]:
    import onnxruntime as ort

    yield
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    yield lambda: session.run(None, {name: planes})[0]
    yield 1.0, 0


def openvino() -> Iterator[Any]:
    import openvino as ov

    yield
    core = ov.Core()
    how = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    how["INFERENCE_PRECISION_HINT"] = "f32"
    request = core.compile_model(core.read_model(model), "CPU", how).create_infer_request()
    yield lambda: next(iter(request.infer({0: planes}, share_inputs=True).values()))
    yield 1.0, 0


def ncnn() -> Iterator[Any]:
    import ncnn as library

    yield
    net = library.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
    net.load_param(model)
    net.load_model(str(Path(model).with_suffix(".bin")))
    x = library.Mat(planes[0]).clone()
    given, out = net.input_names()[0], net.output_names()[0]

    def once() -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input(given, x)
        return np.array(extractor.extract(out)[1])

    yield once
    yield 1.0, 0


def executorch() -> Iterator[Any]:
    import torch
    from executorch.extension.pybindings import portable_lib

    torch.set_num_threads(threads)
    yield
    portable_lib._unsafe_reset_threadpool(threads)
    loaded = portable_lib._load_for_executorch(model)
    x = torch.from_numpy(planes)
    yield lambda: loaded.forward((x,))[0]
    yield 1.0, 0


def grid(tensor: Any) -> "tuple[float, int]":
    return float(tensor.scale), int(tensor.zero_point)


def memory(key: str) -> "float | None":
    """MB of this process, where the system tells."""
    status = Path("/proc/self/status")
    found = [line.split()[1] for line in status.read_text().splitlines() if line.startswith(f"{key}:")]
    return int(found[0]) / 1024 if found else None


def library_bytes() -> int:
    """Sizes of the shared libraries of the peer's package that this process has open."""
    listed = Path("/proc/self/maps")
    maps = listed.read_text().splitlines() if listed.exists() else []
    files = {line.split()[-1] for line in maps if ".so" in line.split()[-1]}
    names = {"edgesdk": ("libert",), "litert": ("ai_edge_litert",)}.get(peer, (f"/{peer}/", f"/{peer}."))
    return sum(os.path.getsize(f) for f in files if any(n in f.rpartition("site-packages")[2] for n in names))


def say(**what: Any) -> None:
    print(json.dumps(what), file=answers, flush=True)


def timed(run: Run, count: int) -> None:
    wall, cpu = [], []
    for _ in range(count):
        c, w = time.process_time_ns(), time.perf_counter_ns()
        run()
        wall.append((time.perf_counter_ns() - w) / 1e6)
        cpu.append((time.process_time_ns() - c) / 1e6)
    say(wall=wall, cpu=cpu, peak=memory("VmHWM"))


def main() -> None:
    loading = globals()[peer]()
    next(loading)
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, begun = memory("VmRSS"), (time.perf_counter(), time.process_time())
    run = next(loading)
    y = np.asarray(run())
    took = [(now - then) * 1e3 for now, then in zip((time.perf_counter(), time.process_time()), begun, strict=True)]
    scale, zero_point = next(loading)
    raw = y.ravel().tolist() if y.dtype == np.int8 else None
    real = ((y.ravel().astype(np.float64) - zero_point) * scale).tolist()
    say(load_wall=took[0], load_cpu=took[1], before=before, output=real, raw=raw, library=library_bytes())
    for line in sys.stdin:
        timed(run, int(line))


main()
