# SPDX-License-Identifier: Apache-2.0
"""Runs one kernel row on one node, with guard bands around every buffer.

The same call is the test (`check`) and, timed, the benchmark of a kernel.
"""

from __future__ import annotations

import ctypes

import numpy as np

from edgesdk import kernels, memory, ops, schedule
from edgesdk.ir import Node, Value
from edgesdk.kernels import Kernel
from edgesdk.schedule import trace

GUARD = 64
ALIGN = 16  # of what the memory plan places
MAX_INPUTS = 4


class View(ctypes.Structure):
    _fields_ = [
        ("base", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
        ("rows", ctypes.c_int32),
        ("row_bytes", ctypes.c_int32),
    ]


class Call(ctypes.Structure):
    _fields_ = [
        ("params", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("out", View),
        ("inputs", View * MAX_INPUTS),
    ]


class Step(ctypes.Structure):
    _fields_ = [
        ("params", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("inputs", ctypes.c_void_p),
        *((n, ctypes.c_int32) for n in ("number", "n_in", "n_params", "rows", "batch", "scratch_offset")),
        ("weights_bytes", ctypes.c_uint32),
    ]


class Guarded:
    """`n_bytes` bytes, 16-byte aligned, between two bands of a known pattern."""

    def __init__(self, n_bytes: int, content: bytes = b"", seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        raw = rng.integers(0, 256, n_bytes + 2 * GUARD + 16, dtype=np.uint8)
        skip = -raw.ctypes.data % 16
        self.all = raw[skip : skip + n_bytes + 2 * GUARD]
        self.body = self.all[GUARD : GUARD + n_bytes]
        self.body[: len(content)] = np.frombuffer(content, np.uint8)
        self.before = self.all.copy()

    @property
    def address(self) -> int:
        return int(self.body.ctypes.data)

    def check(self, name: str, unchanged: bool = False) -> None:
        n = self.all.size if unchanged else GUARD
        assert np.array_equal(self.all[:n], self.before[:n]), f"{name}: written before its start"
        assert np.array_equal(self.all[-GUARD:], self.before[-GUARD:]), f"{name}: written past its end"


def place(params: list) -> tuple[np.ndarray, bytes]:  # type: ignore[type-arg]
    """Parameter words with blobs replaced by offsets, and the weights that hold the blobs."""
    weights = bytearray()
    words = []
    for p in params:
        if p is None:
            words.append(-1)
        elif isinstance(p, np.ndarray):
            weights += bytes(-len(weights) % 16)
            words.append(len(weights))
            weights += np.ascontiguousarray(p).tobytes()
        else:
            words.append(int(p))
    return np.array(words, np.int64).astype(np.int32), bytes(weights)


def rows_of(op: str, types: str | list[str]) -> list[Kernel]:
    """Every row for an op and (any of the) types that this machine can run."""
    of = [types] if isinstance(types, str) else types
    return [k for k in kernels.table() if k.op == op and k.types in of and kernels.runnable(k)]


def run(node: Node, arrays: list, kernel: Kernel) -> np.ndarray:  # type: ignore[type-arg]
    """The kernel's output for `arrays` (one per node input, None for absent ones)."""
    return run_all(node, arrays, kernel)[0]


def run_all(node: Node, arrays: list, kernel: Kernel) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Every output of the node: what the kernel writes, then the inputs that it changes in place."""
    encoded = ops.module(node.op).encode(node, kernel)
    words, blobs = place(encoded.params)
    assert words.size == kernel.n_params, (kernel.name, words.size, kernel.n_params)
    weights = Guarded(len(blobs), blobs)
    scratch = Guarded(kernels.scratch_bytes(kernel, list(words)), seed=1)
    by_value = dict(zip(node.inputs, arrays, strict=True))
    inputs = []
    for v in encoded.inputs:
        a = by_value[v.value] if v.value.data is None else v.value.data
        inputs.append(Guarded(a.nbytes, np.ascontiguousarray(a).tobytes(), seed=2))
    out = Guarded(node.output.n_bytes, seed=3)
    _check_accepts(kernel, words, encoded, len(blobs))
    for item in range(encoded.batch):
        call = Call(words.ctypes.data, weights.address, scratch.address)
        o = encoded.output
        call.out = View(out.address + item * o.rows * o.row_bytes, None, o.rows, o.row_bytes)
        for i, (v, buffer) in enumerate(zip(encoded.inputs, inputs, strict=True)):
            at = 0 if v.value.data is not None else item * v.rows * v.row_bytes
            call.inputs[i] = View(buffer.address + at, None, v.rows, v.row_bytes)
        # Two halves: a kernel must not depend on being asked for all rows at once; nor, where threads may share them
        # out, in their order.
        half = encoded.rows // 2
        halves = [(0, half), (half, encoded.rows)]
        if kernels.splits(kernel) and encoded.rows == o.rows and not encoded.keeps_scratch:
            halves.reverse()
        for y0, y1 in halves:
            kernels.call(kernel, ctypes.addressof(call), y0, y1)
    weights.check("weights", unchanged=True)
    buffers = {v.value: buffer for v, buffer in zip(encoded.inputs, inputs, strict=True)}
    states = {node.input(i): node.outputs[o] for o, i in ops.states(node).items()}
    for value, buffer in buffers.items():
        buffer.check("input", unchanged=value not in states)
    scratch.check("scratch")
    out.check("output")
    changed = [buffers[v].body.view(s.dtype).reshape(s.shape) for v, s in states.items()]
    return [out.body.view(node.output.dtype).reshape(node.output.shape), *changed]


def run_overlapping(node: Node, arrays: list, step: schedule.Step) -> np.ndarray | None:  # type: ignore[type-arg]
    """One call for all rows with the output as far over the input as the memory plan may put it; None where the plan
    does not, or where there are several inputs."""
    encoded = step.encoded
    if len(encoded.inputs) != 1 or encoded.inputs[0].value.data is not None or not trace.goes_by_rows(step):
        return None
    view, out = encoded.inputs[0], encoded.output
    reads = [trace.reads_of(step, y)[0] for y in range(encoded.rows)]
    needed = [min((r.start for r in reads[y:] if r), default=view.rows) for y in range(encoded.rows)]
    ends = [memory.written_rows(step, range(y, y + 1)).stop * out.row_bytes for y in range(encoded.rows)]
    shift = min(n * view.row_bytes - end for n, end in zip(needed, ends, strict=True)) // ALIGN * ALIGN
    at_input, at_output = max(0, -shift), max(0, shift)
    x = arrays[node.inputs.index(view.value)]
    both = Guarded(max(at_input + x.nbytes, at_output + node.output.n_bytes), seed=4)
    both.body[at_input : at_input + x.nbytes] = np.frombuffer(np.ascontiguousarray(x).tobytes(), np.uint8)
    words, blobs = place(encoded.params)
    weights, scratch = Guarded(len(blobs), blobs), Guarded(step.scratch_bytes, seed=1)
    call = Call(words.ctypes.data, weights.address, scratch.address)
    call.out = View(both.address + at_output, None, out.rows, out.row_bytes)
    call.inputs[0] = View(both.address + at_input, None, view.rows, view.row_bytes)
    kernels.call(step.kernel, ctypes.addressof(call), 0, encoded.rows)
    both.check("input and output")
    got = both.body[at_output : at_output + node.output.n_bytes]
    return got.view(node.output.dtype).reshape(node.output.shape)


def _check_accepts(kernel: Kernel, words: np.ndarray, encoded: ops.Encoded, weights_bytes: int) -> None:
    """The loader's check of the row accepts what the encoder writes."""
    out = np.array([0, encoded.output.rows, encoded.output.row_bytes, 0], np.int32)
    constant = [0x40000000 * (v.value.data is not None) for v in encoded.inputs]
    ins = np.array([[at, v.rows, v.row_bytes, 0] for at, v in zip(constant, encoded.inputs, strict=True)], np.int32)
    step = Step(words.ctypes.data, out.ctypes.data, ins.ctypes.data, kernel.number, len(encoded.inputs), words.size)
    step.rows, step.batch, step.weights_bytes = encoded.rows, encoded.batch, weights_bytes
    assert kernels.accepts(kernel, ctypes.addressof(step)), f"{kernel.name} refuses what encode() wrote"


def check(node: Node, arrays: list) -> None:  # type: ignore[type-arg]
    """Every runnable row of the node equals the numpy reference: bytes for integers, floats as `compare` tells."""
    op = ops.module(node.op)
    (shape, dtype), *_ = op.infer(node)
    assert (shape, dtype) == (node.output.shape, node.output.dtype), (shape, node.output.shape)
    expected = op.reference(node, arrays)
    rows = [k for k in rows_of(ops.kernel_op(node), ops.types(node)) if ops.fits(node, k)]
    assert rows, f"no kernel for {node.op} {ops.types(node)}"
    most = magnitude(node, arrays)
    for kernel in rows:
        for got, wanted in zip(run_all(node, arrays, kernel), expected, strict=True):
            compare(kernel.name, got, wanted, most)
        overlapping = run_overlapping(node, arrays, schedule.encode(node, kernel))
        if overlapping is not None:
            compare(f"{kernel.name}, output over input", overlapping, expected[0], most)


# Ops whose result is a sum of products, linear in each of their inputs.
PRODUCTS = ("conv2d", "depthwise_conv2d", "transpose_conv2d", "fully_connected", "fully_connected_rows", "batch_matmul")


def magnitude(node: Node, arrays: list) -> np.ndarray | None:  # type: ignore[type-arg]
    """The sum of absolute products behind each float of the output, where it is a sum of products."""
    if node.op not in PRODUCTS or node.output.dtype != "float32":
        return None
    inputs = [v if v is None else Value(v.name, v.shape, v.dtype, v.quant, absolute(v.data)) for v in node.inputs]
    attrs = {k: "none" if k == "activation" else v for k, v in node.attrs.items()}
    twin = Node(node.op, inputs, node.outputs, attrs, node.source)
    found: np.ndarray = ops.module(node.op).reference(twin, [absolute(a) for a in arrays])[0]
    return found


def absolute(a: np.ndarray | None) -> np.ndarray | None:
    if a is None or a.dtype.kind == "f":
        return None if a is None else np.abs(a)
    return np.minimum(np.abs(a.astype(np.int64)), np.iinfo(a.dtype).max).astype(a.dtype)


def compare(name: str, got: np.ndarray, expected: np.ndarray, most: np.ndarray | None = None) -> None:
    """Integers: the same bytes. Floats: the L2 norm of the difference is at most 1e-5 times that of the expected
    plus, where the output is a sum of products and `most` has the sums of their absolute values, 3e-7 times the norm of
    those (what cancels keeps the rounding of what it was); else 2e-6 per item, test data being of the order of 1."""
    if expected.dtype != np.float32:
        assert np.array_equal(got, expected), f"{name}: {np.argwhere(got != expected)[:4].tolist()}"
        return
    assert np.array_equal(np.isnan(got), np.isnan(expected)), name
    finite = np.isfinite(expected)
    assert np.array_equal(got[~finite], expected[~finite], equal_nan=True), name
    error = np.linalg.norm(got[finite].astype(np.float64) - expected[finite])
    scale = np.linalg.norm(expected[finite].astype(np.float64))
    if name.endswith("__neonfp16"):
        _compare_halves(name, got[finite], expected[finite], most[finite] if most is not None else None)
        return
    floor = 2e-6 * expected.size**0.5 if most is None else 3e-7 * float(np.linalg.norm(most[finite].astype(np.float64)))
    assert error <= 1e-5 * scale + floor, f"{name}: relative L2 {error / max(scale, 1e-30)}"


def _compare_halves(name: str, got: np.ndarray, expected: np.ndarray, most: np.ndarray | None) -> None:
    """What tiles_neonfp16.c promises: sums of 64 float16 products, each rounded to 11 bits, and inputs below 2^-14 to
    multiples of 2^-24. Every output is within 65 such roundings of the sum of its products' magnitudes; as a whole the
    error is far smaller, that of random roundings."""
    assert most is not None
    error = np.abs(got.astype(np.float64) - expected)
    assert (error <= 65 * 2.0**-11 * most + 1e-4).all(), f"{name}: {error.max()}"
    scale = np.linalg.norm(expected.astype(np.float64)) + 0.1 * np.linalg.norm(most.astype(np.float64))
    assert np.linalg.norm(error) <= 2e-3 * scale + 1e-6 * error.size, (
        f"{name}: relative L2 {np.linalg.norm(error) / scale}"
    )
