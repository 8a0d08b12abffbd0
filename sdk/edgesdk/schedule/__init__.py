# SPDX-License-Identifier: Apache-2.0
"""Graph -> Schedule: which kernel computes each node, in which order, grouped in stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from edgesdk import kernels, ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Graph, Node, Value
from edgesdk.kernels import Kernel
from edgesdk.ops import Encoded

if TYPE_CHECKING:
    from edgesdk.schedule.frames import Pace
    from edgesdk.schedule.trace import Call

VIEW_OPS = ("reshape",)


@dataclass(eq=False)
class Step:
    """One kernel call. `scratch_bytes` is what the kernel asks for. A step that computes only some columns
    has a node of its own with those `columns`; `stored` maps its values to those that lie in memory, `origin`
    is the step of the whole. `shared` is whether threads share its rows; None: where there is enough work."""

    node: Node
    kernel: Kernel
    encoded: Encoded
    scratch_bytes: int
    origin: Step | None = None
    columns: range = range(0)
    stored: dict[Value, Value] = field(default_factory=dict)
    shared: bool | None = None

    @property
    def output(self) -> Value:
        """The value that lies in memory: where the node has some columns only, the whole of it."""
        return self.encoded.output.value

    def reads(self) -> list[Value]:
        return [v.value for v in self.encoded.inputs if v.value.data is None]


@dataclass(frozen=True)
class Stage:
    """A run of steps. "plain": one after another on whole tensors. "rows": row by row, each
    intermediate holding only the rows that are still needed; perhaps of one of several strips of columns
    (strips.py). "frames": row by row for ever, as frames of a sliding window arrive (frames.py)."""

    kind: str
    first: int
    count: int
    strip: int = 0
    strips: int = 1

    @property
    def steps(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(eq=False)
class Schedule:
    """Steps in execution order. `roots` maps a view of a value to the value that it views;
    `streamed` is the graph input that arrives row by row or frame by frame, if one does; `bound` is the one
    that is read where the app has it, outside the arena; `rings` are the rows that values of a stage of
    frames keep between inferences, `paces` when they are computed. `threads` is how many may compute a step of a plain
    stage: with more than one no output grows over an input while it is computed."""

    graph: Graph
    steps: list[Step]
    stages: list[Stage]
    roots: dict[Value, Value] = field(default_factory=dict)
    streamed: Value | None = None
    rings: dict[Value, int] = field(default_factory=dict)
    paces: dict[Value, Pace] = field(default_factory=dict)
    bound: Value | None = None
    threads: int = 1

    def root(self, value: Value) -> Value:
        return self.roots.get(value, value)

    @cached_property
    def held(self) -> set[Value]:
        """Variables: they live for ever."""
        return {v.value for v in self.graph.variables}

    def is_held(self, value: Value) -> bool:
        """It lies in a variable's memory."""
        return self.root(value) in self.held

    @cached_property
    def calls(self) -> list[Call]:
        """Everything that happens, in order (see trace.py)."""
        return [c for stage in self.stages for c in self.stage_calls(stage)]

    def stage_calls(self, stage: Stage) -> list[Call]:
        from edgesdk.schedule import trace

        steps = self.steps[stage.first : stage.first + stage.count]
        if stage.kind == "plain":
            return list(trace.whole(steps, stage.first, by_rows=self.threads == 1))
        if stage.kind == "frames":
            return trace.by_frames(steps, stage.first, self.paces)
        return trace.by_rows(steps, stage.first, self.roots, self.streamed if stage.first == 0 else None)

    def kernel_calls(self) -> Counter[int]:
        """How often the runtime calls the kernel of each step; a plain stage calls each once."""
        from edgesdk.schedule.trace import AWAIT

        counted = Counter(c.step for c in self.calls if c.step != AWAIT)
        counted.update({i: 1 - counted[i] for stage in self.stages if stage.kind == "plain" for i in stage.steps})
        return counted

    def spans(self) -> Iterator[tuple[Stage, range]]:
        """Each stage with its range of calls."""
        start = 0
        for stage in self.stages:
            n = len(self.stage_calls(stage))
            yield stage, range(start, start + n)
            start += n


@dataclass(frozen=True)
class Preference:
    """Which of the kernels that fit a node computes it, given in the table's order, and whether threads share its rows
    then (None: where there is enough work)."""

    kernel: Callable[[Node, Sequence[Kernel]], Kernel] = lambda node, rows: rows[0]
    shared: Callable[[Node, Kernel], bool | None] = lambda node, kernel: None


STATIC = Preference()


def schedule(graph: Graph, chain: Sequence[str], prefer: Preference = STATIC) -> Schedule:
    """Chooses kernels for a core with the ISA `chain`, and an order of small peak memory.

    Raises Unsupported naming every node that no kernel of the chain computes.
    """
    from edgesdk.schedule.order import best_order

    roots = _views(graph)
    steps = _steps(graph, chain, prefer)
    steps = best_order(steps, graph, roots)
    return Schedule(graph, steps, [Stage("plain", 0, len(steps))] if steps else [], roots)


def _views(graph: Graph) -> dict[Value, Value]:
    roots: dict[Value, Value] = {}
    for node in graph.nodes:
        if node.op in VIEW_OPS:
            source = node.input(0)
            roots[node.output] = roots.get(source, source)
        for changed, state in ops.states(node).items():
            source = node.input(state)
            roots[node.outputs[changed]] = roots.get(source, source)
    kept = {v.next: v.value for v in graph.variables if roots.get(v.next, v.next) is not v.value}
    return {view: kept.get(root, root) for view, root in roots.items()} | kept


def overwritten(step: Step, roots: dict[Value, Value]) -> set[Value]:
    """Roots whose content the step replaces: states that its kernel changes, the variable that it writes."""
    changed = [step.node.outputs[o] for o in ops.states(step.node)]
    return {roots[v] for v in (step.node.output, *changed) if v in roots}


def _steps(graph: Graph, chain: Sequence[str], prefer: Preference) -> list[Step]:
    steps: list[Step] = []
    missing: list[str] = []
    for node in graph.nodes:
        if node.op in VIEW_OPS:
            continue
        step = _step(node, chain, prefer)
        if step is None:
            types = ops.module(node.op).types(node)
            missing.append(f"{node.op} {types} ({node.source})")
        else:
            steps.append(step)
    if missing:
        raise Unsupported(f"no kernel for {'; '.join(missing)}; expected one of `edgesdk doctor --kernels`")
    return steps


def _step(node: Node, chain: Sequence[str], prefer: Preference) -> Step | None:
    if ops.stage(node.op) != "runtime":
        return None
    fits, choice = partial(ops.fits, node), partial(prefer.kernel, node)
    kernel = kernels.choose(ops.kernel_op(node), ops.types(node), chain, fits, choice)
    return None if kernel is None else encode(node, kernel, prefer.shared(node, kernel))


def fitting(node: Node, chain: Sequence[str]) -> list[Kernel]:
    """Every kernel of the chain that may compute the node, in the order of preference."""
    return kernels.fitting(ops.kernel_op(node), ops.types(node), chain, partial(ops.fits, node))


def encode(node: Node, kernel: Kernel, shared: bool | None = None) -> Step:
    encoded = ops.module(node.op).encode(node, kernel)
    return Step(node, kernel, encoded, _scratch(kernel, encoded), shared=shared)


def _scratch(kernel: Kernel, encoded: Encoded) -> int:
    # Blob offsets do not matter to a scratch formula; any number stands for them.
    words = [p if isinstance(p, int) else 0 for p in encoded.params]
    return kernels.scratch_bytes(kernel, words)
