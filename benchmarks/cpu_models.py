# SPDX-License-Identifier: Apache-2.0
"""Writes the networks of cpu_nets.py as the files that each peer takes.

    python benchmarks/cpu_models.py [NET...] [--folder build/cpu] [--peers build/peers]

fp32: .onnx, .tflite and ncnn's .param and .bin are written here. int8: LiteRT's own quantiser makes the .tflite that
LiteRT and edgesdk run, onnxruntime's the .onnx for onnxruntime and OpenVINO; ExecuTorch exports both of its files.
These tools run in the virtual environments that `make peers` makes; what is not installed there is left out. A file
that is there is not written again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cpu_nets
import numpy as np
from cpu_nets import NETS, Layer, Net, Weights

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "unit"))
SCRIPTS = Path(__file__).parent / "cpu_peers"
FOLDER, PEERS = ROOT / "build" / "cpu", ROOT / "build" / "peers"
CALIBRATION = 8  # images
# What a peer's own tools write: the file it is made from, the peer, the script, the file.
TOOLS = (
    ("{}_fp32.tflite", "litert", "quantize_litert.py", "{}_int8.tflite"),
    ("{}_fp32.onnx", "onnxruntime", "quantize_onnxruntime.py", "{}_int8.onnx"),
    ("{}.json", "executorch", "export_executorch.py", "{}_fp32.pte"),
    ("{}.json", "executorch", "export_executorch.py", "{}_int8.pte"),
)


def describe(net: Net, made: list[Weights | None], to: Path) -> None:
    """The layers as JSON, for tools that build the network themselves; their weights in an .npz beside it."""
    sizes = cpu_nets.shapes(net)
    windowed = [layer.kind in ("conv", "depthwise") for layer in net.layers]
    layers = [
        {**asdict(layer), "pads": cpu_nets.pads(layer, sizes[layer.inputs[0]]) if has else None}
        for layer, has in zip(net.layers, windowed, strict=True)
    ]
    arrays = {f"{kind}{n}": getattr(w, kind) for n, w in enumerate(made) if w for kind in "wb"}
    np.savez(to.with_suffix(".npz"), **arrays)
    to.write_text(json.dumps({"image": net.image, "layers": layers}))


def write_samples(net: Net, made: list[Weights | None], stem: Path) -> None:
    """Images to calibrate with, the input that is measured, and what numpy makes of it."""
    image = cpu_nets.random_images(net, 1, 77)
    np.save(f"{stem}_calibration.npy", cpu_nets.random_images(net, CALIBRATION, 5))
    np.save(f"{stem}_input.npy", image)
    np.save(f"{stem}_expected.npy", cpu_nets.reference(net, made, image))


def onnx_bytes(net: Net, made: list[Weights | None]) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    def constant(name: str, array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    constants: list[TensorProto] = []
    low, high = constant("low", np.float32(0)), constant("high", np.float32(6))
    sizes, nodes = cpu_nets.shapes(net), []
    for n, layer in enumerate(net.layers):
        given, out = [f"v{i}" for i in layer.inputs], f"v{n + 1}"
        raw = out if layer.activation == "none" else f"{out}_raw"
        names = [constant(f"w{n}", onnx_weights(layer, w)), constant(f"b{n}", w.b)] if (w := made[n]) else []
        nodes += onnx_layer(helper, layer, [*given, *names], raw, sizes[layer.inputs[0]])
        if raw != out:
            bounds = [low, high] if layer.activation == "relu6" else []
            nodes.append(helper.make_node("Clip" if bounds else "Relu", [raw, *bounds], [out], name=out))
    h, w, c = net.image
    x = helper.make_tensor_value_info("v0", TensorProto.FLOAT, [1, c, h, w])
    y = helper.make_tensor_value_info(f"v{len(net.layers)}", TensorProto.FLOAT, [1, net.layers[-1].channels])
    graph = helper.make_graph(nodes, net.name, [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def onnx_weights(layer: Layer, w: Weights) -> np.ndarray:
    """Channels in front of the window."""
    if layer.kind == "depthwise":
        return w.w.transpose(2, 0, 1)[:, None]
    return w.w.transpose(0, 3, 1, 2) if layer.kind == "conv" else w.w


def onnx_layer(helper, layer: Layer, inputs: list[str], out: str, shape: tuple[int, ...]) -> list:  # type: ignore[no-untyped-def]
    if layer.kind in ("conv", "depthwise"):
        window = {"kernel_shape": layer.kernel, "strides": [layer.stride] * 2, "pads": cpu_nets.pads(layer, shape)}
        groups = layer.channels if layer.kind == "depthwise" else 1
        return [helper.make_node("Conv", inputs, [out], name=out, group=groups, **window)]
    if layer.kind == "mean":
        pooled = helper.make_node("GlobalAveragePool", inputs, [f"{out}_map"], name=f"{out}_map")
        return [pooled, helper.make_node("Flatten", [f"{out}_map"], [out], name=out)]
    if layer.kind == "dense":
        return [helper.make_node("Gemm", inputs, [out], name=out, transB=1)]
    return [helper.make_node("Add", inputs, [out], name=out)]


def tflite_bytes(net: Net, made: list[Weights | None]) -> bytes:
    import tflite_models as tf

    tensors = [tf.Tensor(f"v{n}", (1, *s), "float32") for n, s in enumerate(cpu_nets.shapes(net))]
    ops = []
    for n, layer in enumerate(net.layers):
        names = [f"v{i}" for i in layer.inputs]
        if w := made[n]:
            tensors += [tf.constant(f"w{n}", w.w[None] if layer.kind == "depthwise" else w.w, "float32")]
            tensors += [tf.constant(f"b{n}", w.b, "float32")]
            names += [f"w{n}", f"b{n}"]
        if layer.kind == "mean":
            tensors.append(tf.constant("axes", [1, 2]))
            names.append("axes")
        ops.append(tf.Op(TFLITE[layer.kind], names, [f"v{n + 1}"], tflite_options(layer)))
    return signed(tf.build(tensors, ops), 0, len(net.layers))


TFLITE = {
    "conv": "CONV_2D",
    "depthwise": "DEPTHWISE_CONV_2D",
    "dense": "FULLY_CONNECTED",
    "mean": "MEAN",
    "add": "ADD",
}


def tflite_options(layer: Layer) -> dict[str, int]:
    if layer.kind == "mean":
        return {}
    activation = {"fusedActivationFunction": {"none": 0, "relu": 1, "relu6": 3}[layer.activation]}
    if layer.kind in ("add", "dense"):
        return activation
    return {"strideH": layer.stride, "strideW": layer.stride, **activation} | (
        {"depthMultiplier": 1} if layer.kind == "depthwise" else {}
    )


def signed(model: bytes, x: int, y: int) -> bytes:
    """With a signature that names tensor `x` as input and `y` as output: LiteRT's quantiser asks for one."""
    import tflite_models as tf
    from ai_edge_litert import schema_py_generated as schema

    def entry(name: str, tensor: int) -> schema.TensorMapT:
        made = schema.TensorMapT()
        made.name, made.tensorIndex = name, tensor
        return made

    read = tf.unpack(model)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [entry("x", x)], [entry("y", y)]
    read.signatureDefs = [signature]
    return tf.pack(read)


def ncnn_text(net: Net) -> str:
    """A blob that several layers read is split, as ncnn wants it."""
    h, w, c = net.image
    readers = [sum(layer.inputs.count(n) for layer in net.layers) for n in range(len(net.layers) + 1)]
    given = [0] * len(readers)
    lines, blobs = [f"Input image 0 1 v0 0={w} 1={h} 2={c}"], 1
    for n, layer in enumerate(net.layers):
        names = [f"v{i}" if readers[i] < 2 else f"v{i}_{given[i]}" for i in layer.inputs]
        for i in layer.inputs:
            given[i] += 1
        lines += ncnn_layer(net, n, names)
        blobs += 1
        if layer.kind == "add" and layer.activation != "none":
            blobs += 1
        if readers[n + 1] > 1:
            copies = " ".join(f"v{n + 1}_{k}" for k in range(readers[n + 1]))
            lines.append(f"Split split{n} 1 {readers[n + 1]} v{n + 1} {copies}")
            blobs += readers[n + 1]
    return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines]) + "\n"


def ncnn_layer(net: Net, n: int, inputs: list[str]) -> list[str]:
    layer, sizes = net.layers[n], cpu_nets.shapes(net)
    out, shape = f"v{n + 1}", sizes[layer.inputs[0]]
    deep = 1 if layer.kind == "depthwise" else shape[-1]
    size = int(np.prod(layer.kernel)) * deep * layer.channels
    joined = f"l{n} {len(inputs)} 1 {' '.join(inputs)}"
    if layer.kind == "mean":
        return [f"Pooling {joined} {out} 0=1 4=1"]
    if layer.kind == "dense":
        return [f"InnerProduct {joined} {out} 0={layer.channels} 1=1 2={size}"]
    if layer.kind == "add":
        relu = layer.activation == "relu"
        return [f"BinaryOp {joined} {out}{'_raw' * relu} 0=0", *([f"ReLU r{n} 1 1 {out}_raw {out}"] * relu)]
    top, left, bottom, right = cpu_nets.pads(layer, shape)
    clip = {"none": "", "relu": " 9=1", "relu6": " 9=3 -23310=2,0.0,6.0"}[layer.activation]
    op, groups = ("ConvolutionDepthWise", f" 7={layer.channels}") if layer.kind == "depthwise" else ("Convolution", "")
    window = f"1={layer.kernel[1]} 11={layer.kernel[0]} 3={layer.stride} 13={layer.stride}"
    return [
        f"{op} {joined} {out} 0={layer.channels} {window} 4={left} 14={top} 15={right} 16={bottom} 5=1 6={size}"
        f"{groups}{clip}"
    ]


def ncnn_bytes(net: Net, made: list[Weights | None]) -> bytes:
    """Before a layer's weights stands 0 for floats; its bias follows."""
    parts = []
    for layer, w in zip(net.layers, made, strict=True):
        if w:
            order = np.ascontiguousarray(onnx_weights(layer, w), "<f4")
            parts += [np.zeros(1, "<u4").tobytes(), order.tobytes(), w.b.astype("<f4").tobytes()]
    return b"".join(parts)


def write_float(net: Net, folder: Path) -> None:
    """All files that need no peer."""
    made = cpu_nets.weights(net)
    describe(net, made, folder / f"{net.name}.json")
    write_samples(net, made, folder / net.name)
    (folder / f"{net.name}_fp32.onnx").write_bytes(onnx_bytes(net, made))
    (folder / f"{net.name}_fp32.ncnn.bin").write_bytes(ncnn_bytes(net, made))
    (folder / f"{net.name}_fp32.ncnn.param").write_text(ncnn_text(net))
    (folder / f"{net.name}_fp32.tflite").write_bytes(tflite_bytes(net, made))  # the last: its presence means all


def write_missing(net: Net, folder: Path, peers: Path, say: Callable[[str], None] = print) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{net.name}_fp32.tflite").exists():
        say(f"{net.name}: drawing weights")
        write_float(net, folder)
    for given, peer, script, target in TOOLS:
        python, to = peers / peer / "bin" / "python", folder / target.format(net.name)
        if python.exists() and not to.exists():
            say(f"{to.name}: {script}")
            run_tool(python, script, folder / given.format(net.name), folder / f"{net.name}_calibration.npy", to, say)


def run_tool(python: Path, script: str, given: Path, calibration: Path, to: Path, say: Callable[[str], None]) -> None:
    """The file appears whole or not at all."""
    partial = to.with_name(f"partial_{to.name}")
    command = [str(python), "-W", "ignore", str(SCRIPTS / script), str(given), str(calibration), str(partial)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        partial.unlink(missing_ok=True)
        say(f"{to.name}: not written: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return
    partial.rename(to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*NETS], metavar="NET", help=", ".join(NETS))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--peers", type=Path, default=PEERS)
    options = parser.parse_args()
    for name in options.names:
        write_missing(NETS[name], options.folder.resolve(), options.peers.resolve())


if __name__ == "__main__":
    main()
