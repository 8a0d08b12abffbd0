# SPDX-License-Identifier: Apache-2.0
"""Fits boards/costs.toml: the price of each thing that a kernel counts, per core (sdk/edgesdk/cost.py).

    python benchmarks/fit_cost.py --write boards/costs.toml [--models ../shared/models]
    python benchmarks/fit_cost.py --models ../shared/models      measures the models with the prices there are

One program holds many independent steps, all reading one buffer, so that a firmware and a run in the emulator count
them all. Prices are not negative and minimise the squared relative error; the error on the shapes that were kept out
of the fit is stored beside them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from edgesdk import boards, converters, cost, firmware, memory, ops, passes, program, schedule
from edgesdk.boards import Board
from edgesdk.errors import DoesNotFit, EdgeError
from edgesdk.ir import Graph, Node, Quant, Value
from edgesdk.runners import link, qemu
from edgesdk.schedule import Schedule, Stage, Step, trace
from edgesdk.search import MAX_STAGE_STEPS

BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505", "mps3_an547")
POOL_BYTES = 4096  # what the steps read
OUTPUT_BYTES = 3072
WEIGHT_BYTES = 9000
PROGRAM_BYTES = 120_000  # weights of one program: the smallest flash has 256 KiB
PROGRAM_STEPS = 240
HELD_OUT = 0.3
ATTEMPTS = 400
MODELS = {
    "ic": "mlperf-tiny-ic-resnet8/pretrainedResnet_quant.tflite",
    "vww": "mlperf-tiny-vww-mobilenetv1/vww_96_int8.tflite",
    "kws": "mlperf-tiny-kws-dscnn/kws_ref_model.tflite",
    "ad": "mlperf-tiny-ad-autoencoder/ad01_int8.tflite",
    "person": "tflm-person-detect/person_detect.tflite",
    "mcunet": "tinyengine-mcunet/vww.tflite",
}


@dataclass(eq=False)
class Shapes:
    """Draws the nodes of one dtype."""

    rng: random.Random
    dtype: str

    def quant(self) -> Quant | None:
        if self.dtype != "int8":
            return None
        return Quant.per_tensor(self.rng.uniform(0.02, 0.1), self.rng.randint(-20, 20))

    def channels(self) -> int:
        return self.rng.choice([1, 2, 3, 4, 6, 8, 8, 12, 16, 16, 24, 32, 48, 64, 96, self.rng.randint(1, 64)])

    def image(self, c: int | None = None) -> Value:
        """Of at most POOL_BYTES; small ones are as likely as large ones."""
        c = c or self.channels()
        most = max(1, POOL_BYTES // (c * np.dtype(self.dtype).itemsize))
        pixels = int(2 ** self.rng.uniform(0, np.log2(most)))
        h = self.rng.randint(1, min(pixels, 40))
        batch = self.rng.choice([1, 1, 1, 2, 3]) if pixels // h >= 6 else 1
        return Value("x", (batch, h, max(1, pixels // h // batch), c), self.dtype, self.quant())

    def weights(self, shape: tuple[int, ...], channels: int, axis: int) -> list[Value | None]:
        """Weights and bias."""
        numbers = np.random.default_rng(self.rng.getrandbits(32))
        if self.dtype == "float32":
            w = Value("w", shape, "float32", None, numbers.standard_normal(shape).astype(np.float32) / 4)
            return [w, Value("b", (channels,), "float32", None, numbers.standard_normal(channels).astype(np.float32))]
        quant = Quant(numbers.uniform(0.002, 0.01, channels).astype(np.float32), np.zeros(channels, np.int32), axis)
        w = Value("w", shape, "int8", quant, numbers.integers(-127, 128, shape).astype(np.int8))
        return [w, Value("b", (channels,), "int32", None, numbers.integers(-999, 999, channels).astype(np.int32))]

    def window(self, x: Value, kernel: tuple[int, int]) -> dict[str, Any]:
        dilation = self.rng.choice([1] * 9 + [2])
        spans = [(k - 1) * dilation for k in kernel]
        same = self.rng.random() < 0.6
        pad = [(s // 2, s - s // 2) if same else (0, 0) for s in spans]
        step = self.rng.choice([1, 1, 2])
        padding = (pad[0][0], pad[1][0], pad[0][1], pad[1][1])
        return {"stride": (step, step), "dilation": (dilation,) * 2, "padding": padding, "activation": "relu"}

    def kernel(self) -> tuple[int, int]:
        odd = (self.rng.randint(1, 10), self.rng.randint(1, 5))
        return self.rng.choice([(1, 1), (1, 1), (3, 3), (3, 3), (5, 5), (3, 1), (1, 3), odd])


def conv2d(s: Shapes) -> Graph:
    x, kernel, out_c = s.image(), s.kernel(), s.channels()
    inputs = [x, *s.weights((out_c, *kernel, x.shape[3]), out_c, 0)]
    return single("conv2d", inputs, s.quant(), **s.window(x, kernel))


def depthwise_conv2d(s: Shapes) -> Graph:
    x, kernel = s.image(), s.rng.choice([(3, 3), (3, 3), (5, 5), (7, 7), s.kernel()])
    out_c = x.shape[3] * s.rng.choice([1, 1, 1, 1, 2, 8])
    return single("depthwise_conv2d", [x, *s.weights((*kernel, out_c), out_c, 2)], s.quant(), **s.window(x, kernel))


def fully_connected(s: Shapes) -> Graph:
    n, out_c = int(2 ** s.rng.uniform(1, 10)), s.channels() * s.rng.choice([1, 1, 4])
    x = Value("x", (s.rng.choice([1, 1, 1, 2, 5]), n), s.dtype, s.quant())
    return single("fully_connected", [x, *s.weights((out_c, n), out_c, 0)], s.quant(), activation="none")


def pool(s: Shapes) -> Graph:
    x, kernel = s.image(), s.rng.choice([(2, 2), (3, 3), s.kernel()])
    attrs = s.window(x, kernel) | {"dilation": (1, 1), "activation": "relu6"}
    return single(s.rng.choice(["max_pool2d", "avg_pool2d"]), [x], x.quant, kernel=kernel, **attrs)


def reduction(s: Shapes) -> Graph:
    ops_of = {"int8": ["mean", "mean", "sum", "reduce_max", "image_mean"], "float32": ["mean", "sum", "reduce_max"]}
    x, op = s.image(s.rng.choice([None, None, 1])), s.rng.choice(ops_of[s.dtype])
    axes = (1, 2) if op == "image_mean" else s.rng.choice([(1, 2), (1, 2), (2,), (3,)])
    attrs = {"activation": "none"} if op == "image_mean" else {}
    same = op in ("reduce_max", "image_mean")
    return single(op, [x], x.quant if same else s.quant(), axes=axes, keep_dims=op == "image_mean", **attrs)


def binary(s: Shapes) -> Graph:
    op, x = s.rng.choice(["add", "sub", "mul", "minimum", "maximum"]), s.image()
    shape = s.rng.choice([x.shape, x.shape, (x.shape[0], 1, 1, x.shape[3])])
    same = op in ("minimum", "maximum")
    y = Value("y", shape, s.dtype, x.quant if same else s.quant())
    return single(op, [x, y], x.quant if same else s.quant(), **({} if same else {"activation": "none"}))


def joined(s: Shapes) -> Graph:
    x, axis = s.image(), s.rng.choice([3, 3, 2, 1])
    sizes = [s.rng.randint(1, 2 * x.shape[axis]) for _ in range(s.rng.randint(1, 3))]
    others = [Value(f"x{i}", (*x.shape[:axis], n, *x.shape[axis + 1 :]), s.dtype, x.quant) for i, n in enumerate(sizes)]
    return single("concat", [x, *others], x.quant, axis=axis)


def moved(s: Shapes) -> Graph:
    x = s.image()
    n, h, w, c = x.shape
    begin = (0, s.rng.randint(0, h - 1), s.rng.randint(0, w - 1), s.rng.choice([0, s.rng.randint(0, c - 1)]))
    rest = tuple(d - b for d, b in zip(x.shape, begin, strict=True))
    borders = [(s.rng.randint(0, 2), s.rng.randint(0, 2)) for _ in range(2)]
    op, attrs = s.rng.choice([
        ("pad", {"pads": ((0, 0), *borders, (0, 0)), "value": 0.0}),
        ("transpose", {"perm": s.rng.choice([(0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1)])}),
        ("slice", {"begin": begin, "size": rest, "stride": (1,) * 4}),
        ("space_to_depth", {"block": 2}),
    ])  # fmt: skip
    return single(op, [x], x.quant, **attrs)


def resized(s: Shapes) -> Graph:
    x, op = s.image(), s.rng.choice(["resize_nearest", "resize_bilinear"])
    size = (s.rng.randint(1, 3 * x.shape[1]), s.rng.randint(1, 3 * x.shape[2]))
    return single(op, [x], x.quant, size=size, align_corners=False, half_pixel_centers=op == "resize_bilinear")


def softmax(s: Shapes) -> Graph:
    x = Value("x", (s.rng.choice([1, 1, 2, 5]), int(2 ** s.rng.uniform(1, 8))), s.dtype, s.quant())
    return single("softmax", [x], Quant.per_tensor(1 / 256, -128) if s.dtype == "int8" else None, beta=1.0)


def unary(s: Shapes) -> Graph:
    floats = ["relu6", "leaky_relu", "hard_swish", "logistic", "tanh"]
    op = s.rng.choice(floats if s.dtype == "float32" else ["hard_swish"])
    return single(op, [s.image()], s.quant(), **({"alpha": 0.1} if op == "leaky_relu" else {}))


def converted(s: Shapes) -> Graph:
    x = s.image()
    if s.dtype == "int8":
        return single("dequantize", [x], None)
    return single("quantize", [x], Quant.per_tensor(s.rng.uniform(0.02, 0.1), 3))


# Family -> shapes per dtype; those whose kernels differ most get most.
FAMILIES: dict[Callable[[Shapes], Graph], int] = {
    conv2d: 200, depthwise_conv2d: 140, fully_connected: 60, pool: 140, reduction: 200, binary: 140, joined: 70,
    moved: 120, resized: 80, softmax: 60, unary: 90, converted: 40,
}  # fmt: skip


def single(op: str, inputs: list[Value | None], quant: Quant | None, **attrs: Any) -> Graph:
    """A graph of one node. Raises ValueError where the op refuses the shapes."""
    node = Node(op, inputs, [Value("y", (1,), "int8", quant)], attrs, op)
    (shape, dtype), *_ = ops.module(op).infer(node)
    node.output.shape, node.output.dtype = tuple(shape), dtype
    if min(shape, default=1) < 1:
        raise ValueError(f"an output of shape {shape}")
    reads = [v for v in inputs if v is not None and v.data is None]
    return Graph(op, reads, [node.output], [node])


def drawn(family: Callable[[Shapes], Graph], shapes: Shapes, chain: tuple[str, ...]) -> Step:
    """A step of the family that fits into a program."""
    for _ in range(ATTEMPTS):
        try:
            graph = family(shapes)
            if fits(graph):
                steps = schedule.schedule(passes.lower(graph), chain).steps
                if len(steps) == 1 and steps[0].scratch_bytes <= OUTPUT_BYTES:
                    return steps[0]
        except (ValueError, EdgeError):
            continue
    raise SystemExit(f"{family.__name__} {shapes.dtype}: no shape fits after {ATTEMPTS} attempts; widen the limits")


def fits(graph: Graph) -> bool:
    weights = sum(v.n_bytes for n in graph.nodes for v in n.inputs if v is not None and v.data is not None)
    reads = max(v.n_bytes for v in graph.inputs)
    return reads <= POOL_BYTES and weights <= WEIGHT_BYTES and graph.outputs[0].n_bytes <= OUTPUT_BYTES


def all_steps(chain: tuple[str, ...], dtype: str, seed: int, share: float) -> list[list[Step]]:
    """The steps of each family. They stay apart: finding a kernel takes longer the more of them a program has."""
    shapes = Shapes(random.Random(f"{dtype} {seed}"), dtype)
    return [[drawn(family, shapes, chain) for _ in range(round(n * share))] for family, n in FAMILIES.items()]


def packed(steps: list[Step]) -> Iterator[list[Step]]:
    """Groups whose programs fit every board."""
    group: list[Step] = []
    size = 0
    for step in steps:
        weights = sum(p.nbytes + 64 for p in step.encoded.params if isinstance(p, np.ndarray)) + 200
        if group and (size + weights > PROGRAM_BYTES or len(group) == PROGRAM_STEPS):
            yield group
            group, size = [], 0
        group.append(step)
        size += weights
    yield group


def together(steps: list[Step]) -> Schedule:
    """One program of independent steps that all read a single input."""
    dtypes = {v.dtype for s in steps for v in s.reads()}
    assert len(dtypes) == 1, dtypes
    dtype = dtypes.pop()
    everything = Value("x", (POOL_BYTES // np.dtype(dtype).itemsize,), dtype, steps[0].reads()[0].quant)
    roots = {v: everything for s in steps for v in s.reads()}
    graph = Graph("costs", [everything], [steps[-1].node.output], [])
    return Schedule(graph, steps, [Stage("plain", 0, len(steps))], roots)


@dataclass(frozen=True)
class Counted:
    """Instructions of each step and of a whole run."""

    steps: list[float]
    total: float


def count(board: Board, placed: Schedule, by_step: bool = True) -> Counted:
    """Runs a schedule once in the board's emulator."""
    plan = memory.plan(placed)
    data = program.write(program.assemble(placed, plan))
    assert board.timer
    hz = board.timer.hz
    with tempfile.TemporaryDirectory(prefix="edgesdk-") as folder:
        image = firmware.build(board, data, Path(folder))
        with qemu.emulator(board, image.elf) as connection:
            about = link.hello(connection)
            loaded = link.load(connection)
            if loaded.code:
                raise SystemExit(f"{board.id}: the runtime refuses with code {loaded.code}; check its shapes")
            write_inputs(connection, placed.graph, about.chunk_bytes)
            steps = [t - about.empty_step_ticks for t in link.profile(connection)] if by_step else []
            write_inputs(connection, placed.graph, about.chunk_bytes)
            total = link.unwrapped(link.run(connection)[0], sum(steps)) - about.empty_ticks
    return Counted([qemu.instructions(t, hz) for t in steps], qemu.instructions(total, hz))


def write_inputs(connection: link.Link, graph: Graph, chunk: int) -> None:
    numbers = np.random.default_rng(0)
    for i, value in enumerate(graph.inputs):
        normal = numbers.standard_normal(value.elements)
        array = np.clip(normal * 40, -128, 127) if value.dtype == "int8" else normal
        link.write_input(connection, i, array.astype(value.dtype).tobytes(), chunk)


@dataclass(frozen=True)
class Sample:
    step: Step
    instructions: float
    held_out: bool


def sampled(board: Board, share: float) -> tuple[list[Sample], float]:
    """Measured steps, and what dispatching a call takes outside of its kernel."""
    samples, programs = [], []
    for dtype in ("int8", "float32"):
        programs += [group for steps in all_steps(board.core.isa, dtype, 1, share) for group in packed(steps)]
    outside, calls = 0.0, 0
    for group in programs:
        counted = count(board, together(group))
        samples += [Sample(s, n, False) for s, n in zip(group, counted.steps, strict=True)]
        outside, calls = outside + counted.total - sum(counted.steps), calls + len(group)
    return held_back(samples), outside / calls


def held_back(samples: list[Sample]) -> list[Sample]:
    """The last of each kernel's shapes are kept for testing."""
    by_kernel = kernels_of(samples)
    return [
        Sample(s.step, s.instructions, i >= (1 - HELD_OUT) * len(group))
        for group in by_kernel.values()
        for i, s in enumerate(group)
    ]


def kernels_of(samples: list[Sample]) -> dict[str, list[Sample]]:
    """Samples of each kernel; of those that count the same things, one."""
    found: dict[str, dict[frozenset[tuple[str, int]], Sample]] = {}
    for s in samples:
        found.setdefault(s.step.kernel.name, {}).setdefault(frozenset(counted(s.step).items()), s)
    return {name: list(group.values()) for name, group in sorted(found.items())}


def counted(step: Step) -> Counter[str]:
    """What the step counts in a plain stage, calls included."""
    return cost.counts(step) + cost.call_counts(step)


def fitted(samples: list[Sample]) -> dict[str, float]:
    """Non-negative prices of the least squared relative error."""
    rows = [counted(s.step) for s in samples]
    names = sorted({name for row in rows for name in row})
    design = np.array([[row[n] for n in names] for row in rows], float)
    design /= np.array([s.instructions for s in samples])[:, None]
    scale = np.maximum(design.max(0), 1e-12)
    found, _ = nnls(design / scale, np.ones(len(samples)), maxiter=100 * len(names))
    return {n: round(float(p), 3) for n, p in zip(names, found / scale, strict=True) if round(float(p), 3) > 0}


def errors(samples: list[Sample], prices: dict[str, float]) -> np.ndarray:
    """Relative errors in percent."""
    modelled = np.array([sum(n * prices.get(k, 0.0) for k, n in counted(s.step).items()) for s in samples])
    return (modelled / np.array([s.instructions for s in samples]) - 1) * 100


def fit_core(board: Board, share: float) -> tuple[dict[str, Any], list[list[str]]]:
    samples, dispatch = sampled(board, share)
    kernels, lines = {}, []
    for name, group in kernels_of(samples).items():
        prices = fitted([s for s in group if not s.held_out])
        error = errors([s for s in group if s.held_out], prices)
        rms, worst = float(np.sqrt(np.mean(error**2))), float(np.abs(error).max())
        kernels[name] = {"error_percent": round(rms, 2), "prices": prices}
        lines.append([board.core.name, name, str(len(group)), f"{rms:.2f}", f"{worst:.2f}"])
    return {"dispatch": round(dispatch, 2), "kernels": kernels}, lines


HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Instructions that each thing a kernel does takes on a core; the names are those of sdk/edgesdk/cost.py.
# Fitted by benchmarks/fit_cost.py to instructions counted in QEMU, firmware built by {compiler}.
# error_percent: root mean square of the errors on shapes that were not fitted.
"""


def as_toml(cores: dict[str, dict[str, Any]], compiler: str) -> str:
    lines = [HEADER.format(compiler=compiler)]
    for core, table in cores.items():
        lines += [f'["{core}"]', f"dispatch = {table['dispatch']}", "", f'["{core}".kernels]']
        for name, kernel in table["kernels"].items():
            prices = ", ".join(f'"{k}" = {v}' if " " in k else f"{k} = {v}" for k, v in kernel["prices"].items())
            lines.append(f"{name} = {{ error_percent = {kernel['error_percent']}, prices = {{ {prices} }} }}")
        lines.append("")
    return "\n".join(lines)


def check_model(board: Board, name: str, path: Path) -> list[list[str]]:
    """A line for the model layer by layer, and one for all of it in a single stage of rows."""
    graph = passes.lower(passes.simplify(converters.load(path, {})))
    whole = schedule.schedule(graph, board.core.isa)
    lines = [check_program(board, name, whole)]
    if len(whole.steps) <= MAX_STAGE_STEPS and all(trace.can_run_by_rows(s) for s in whole.steps):
        rows = Schedule(graph, whole.steps, [Stage("rows", 0, len(whole.steps))], whole.roots)
        lines.append(check_program(board, f"{name} by rows", rows))
    return lines


def check_program(board: Board, name: str, placed: Schedule) -> list[str]:
    """Modelled against counted instructions of one run; of a plain program also step by step."""
    plain = all(s.kind == "plain" for s in placed.stages)
    try:
        found = count(board, placed, by_step=plain)
    except DoesNotFit:
        return [board.core.name, name, "does not fit", "", "", "", ""]
    estimate = cost.program_cost(placed, board.core.name)
    if estimate.instructions is None or estimate.error_percent is None:
        return [board.core.name, name, f"{found.total:,.0f}", "no prices", "", "", ""]
    figures = [100 * (estimate.instructions / found.total - 1), estimate.error_percent]
    figures += step_errors(board, placed, found) if plain else []
    return [board.core.name, name, f"{found.total:,.0f}", *(f"{x:.2f}" for x in figures), *[""] * (4 - len(figures))]


def step_errors(board: Board, placed: Schedule, found: Counted) -> list[float]:
    """Sum of the steps' errors over their sum, and the largest error of a step, in percent."""
    dispatch = cost.prices()[board.core.name].dispatch
    modelled = [cost.instructions(s, 1, board.core.name) - dispatch for s in placed.steps]
    off = np.abs(np.array(modelled) - found.steps)
    return [100 * off.sum() / sum(found.steps), float((100 * off / found.steps).max())]


def show(title: str, columns: str, lines: list[list[str]]) -> None:
    table = Table(*columns.split(), title=title)
    for line in lines:
        table.add_row(*line)
    Console(width=140).print(table)


def fit(targets: list[Board], path: Path, share: float) -> None:
    with ThreadPoolExecutor(2) as workers:
        results = list(workers.map(lambda board: fit_core(board, share), targets))
    lines = [line for _, found in results for line in found]
    show("error in percent on held-out shapes", "core kernel shapes rms worst", lines)
    compiler = firmware.toolchain.find(targets[0].core).version
    cores = {board.core.name: table for board, (table, _) in zip(targets, results, strict=True)}
    path.write_text(as_toml(cores, compiler))
    cost.prices.cache_clear()


def check(targets: list[Board], models: Path) -> None:
    jobs = [(board, name, models / path) for board in targets for name, path in MODELS.items()]
    with ThreadPoolExecutor(2) as workers:
        lines = [line for found in workers.map(lambda job: check_model(*job), jobs) for line in found]
    show("modelled against counted", "core program instructions total-% stated-% steps-% worst-step-%", lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="the costs.toml to write")
    parser.add_argument("--models", type=Path, help="folder of the shared models to compare with")
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--share", type=float, default=1.0, help="of the shapes per kernel")
    options = parser.parse_args()
    targets = [boards.load(name) for name in options.boards.split(",")]
    if options.write:
        fit(targets, options.write, options.share)
    if options.models:
        check(targets, options.models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
