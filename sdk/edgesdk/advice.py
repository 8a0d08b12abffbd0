# SPDX-License-Identifier: Apache-2.0
"""What kernel sizes cost a fused stage, and what moving them to later layers would change.

A fused stage holds (or computes twice) the rows that neighbouring output rows share. Large
kernels in early layers widen that halo on large images; in late layers the same growth of the
receptive field costs little, because one row there stands for many of the image. The advice
halves the kernels of a fused stage, enlarges the cheapest kernels behind it until the network
sees as many rows as before (the redistribution of MCUNetV2), and plans that graph with the same
stages. The weights of the edited graph stand for shapes only: such a network must be trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgesdk import memory, ops, pareto
from edgesdk.ir import Graph, Node, Value
from edgesdk.schedule import Schedule, Stage, Step, schedule
from edgesdk.search import Point

LARGEST_KERNEL = 7
# First of the two kernel axes of the weights.
KERNEL_AXIS = {"conv2d": 1, "depthwise_conv2d": 0}

Kernel = tuple[int, int]


@dataclass(frozen=True)
class Edit:
    """Another kernel size for a step."""

    step: int
    before: Kernel
    after: Kernel


def advise(points: Sequence[Point], chain: Sequence[str]) -> list[dict[str, Any]]:
    """One entry per distinct fused prefix of the front's points, the shortest first."""
    smallest: dict[Stage, Point] = {}
    for p in sorted(points, key=lambda p: -p.plan.arena_bytes):
        fused = next((s for s in p.schedule.stages if s.kind != "plain"), None)
        if fused is not None and not p.schedule.rings:  # a sliding window computes each row once, whatever its kernels
            smallest[fused] = p
    shortest_first = sorted(smallest, key=lambda s: (s.first + s.count, s.first))
    found = [_entry(smallest[s], s, chain) for s in shortest_first]
    return [e for e in found if e["layers"]]


def _entry(point: Point, stage: Stage, chain: Sequence[str]) -> dict[str, Any]:
    base = point.schedule
    seen = pareto.reach(base, stage.steps)
    edits = redistribution(base, stage)
    changed = edited(base, edits, chain) if edits else None
    return {
        "stage": pareto.stage_text(stage),
        "schedule": pareto.text(base),
        **_figures(base, stage, point.plan.arena_bytes),
        "layers": [_layer(base.steps[k], k, rows) for k, rows in sorted(seen.layers, key=lambda e: -e[1])],
        "redistributed": None if changed is None else _redistributed(base, changed, stage, edits),
    }


def _figures(s: Schedule, stage: Stage, arena: int) -> dict[str, Any]:
    seen = pareto.reach(s, stage.steps)
    return {
        "input_rows": round(seen.rows, 2),
        "advance_rows": round(seen.advance, 2),
        "halo_rows": round(seen.halo, 2),
        "receptive_rows": round(pareto.reach(s, range(len(s.steps))).rows, 2),
        "arena_bytes": arena,
        "macs": pareto.macs_run(s),
        "recompute_ratio": pareto.recompute_ratio(s),
    }


def _layer(step: Step, k: int, rows: float) -> dict[str, Any]:
    size = kernel_of(step.node)
    return {
        "step": k,
        "op": step.node.op,
        "source": step.node.source,
        "kernel": None if size is None else list(size),
        "rows": round(rows, 2),
    }


def _redistributed(base: Schedule, changed: Schedule, stage: Stage, edits: Sequence[Edit]) -> dict[str, Any]:
    kernels = [
        {"step": e.step, "source": base.steps[e.step].node.source, "before": list(e.before), "after": list(e.after)}
        for e in edits
    ]
    return {**_figures(changed, stage, memory.plan(changed).arena_bytes), "kernels": kernels}


def kernel_of(node: Node) -> Kernel | None:
    """Height and width of the kernel of a convolution."""
    axis = KERNEL_AXIS.get(node.op)
    if axis is None:
        return None
    height, width = node.input(1).shape[axis : axis + 2]
    return height, width


def halved(size: int, stride: int) -> int:
    """The odd size next to half of it, at least the stride: no pixel may fall between windows."""
    half = max(size // 2, stride)
    return min(size, half + (half + 1) % 2)


def redistribution(base: Schedule, stage: Stage) -> list[Edit]:
    """Smaller kernels in as many early layers of the stage as larger kernels behind it make up for."""
    smaller = [e for k in stage.steps if (e := _smaller(base.steps[k], k)) is not None]
    while smaller:
        larger = _larger(base, stage, smaller)
        if larger is not None:
            return [*smaller, *larger]
        smaller.pop()
    return []


def _smaller(step: Step, k: int) -> Edit | None:
    size = kernel_of(step.node)
    if size is None:
        return None
    stride = step.node.attrs["stride"]
    after = (halved(size[0], stride[0]), halved(size[1], stride[1]))
    return Edit(k, size, after) if after != size and resized(step.node, after) is not None else None


def _larger(base: Schedule, stage: Stage, smaller: Sequence[Edit]) -> list[Edit] | None:
    """The cheapest layers behind the stage, enlarged until no row of the receptive field is lost; None
    where they cannot grow so far."""
    lost = sum(_growth(base, e) for e in smaller)
    larger: dict[int, Edit] = {}
    while lost > 0:
        behind = range(stage.first + stage.count, len(base.steps))
        choices = [e for k in behind if (e := _enlarged(base.steps[k], k, larger.get(k))) is not None]
        if not choices:
            return None
        best = min(choices, key=lambda e: _extra_macs(base, e) / -_growth(base, e))
        first = larger.get(best.step, best).before
        lost += _growth(base, best)
        larger[best.step] = Edit(best.step, first, best.after)
    return [larger[k] for k in sorted(larger)]


def _enlarged(step: Step, k: int, so_far: Edit | None) -> Edit | None:
    """Two more rows and columns for a layer, up to the size of its image."""
    size = kernel_of(step.node)
    if size is None or max(step.node.attrs["stride"]) > 1:
        return None
    size = so_far.after if so_far else size
    after = (size[0] + 2, size[1] + 2)
    _, h, w, _ = step.node.input(0).shape
    if min(size) < 3 or max(after) > LARGEST_KERNEL or after[0] > h or after[1] > w:
        return None
    return Edit(k, size, after) if resized(step.node, after) is not None else None


def _growth(base: Schedule, e: Edit) -> float:
    """Rows of the image that the receptive field loses by the edit; negative where it gains."""
    node = base.steps[e.step].node
    image = max((v.shape[1] for v in base.graph.inputs if len(v.shape) == 4), default=1)
    rows_per_row = image / node.input(0).shape[1]
    return (e.before[0] - e.after[0]) * node.attrs.get("dilation", (1, 1))[0] * rows_per_row


def _extra_macs(base: Schedule, e: Edit) -> float:
    node = base.steps[e.step].node
    height, width = kernel_of(node) or (1, 1)
    return ops.macs(node) / (height * width) * (e.after[0] * e.after[1] - e.before[0] * e.before[1])


def edited(base: Schedule, edits: Sequence[Edit], chain: Sequence[str]) -> Schedule:
    """The same stages with other kernel sizes."""
    steps = list(base.steps)
    for e in edits:
        node = resized(steps[e.step].node, e.after)
        assert node is not None
        steps[e.step] = schedule(Graph("", [node.input(0)], node.outputs, [node]), chain).steps[0]
    return Schedule(base.graph, steps, base.stages, base.roots, base.streamed, threads=base.threads)


def resized(node: Node, kernel: Kernel) -> Node | None:
    """The convolution with another kernel size and the same output shape; None where padding cannot make it so."""
    padding = _padding(node, kernel)
    weights = node.input(1)
    assert weights.data is not None
    data = resize_kernel(weights.data, KERNEL_AXIS[node.op], kernel)
    changed = Value(weights.name, data.shape, weights.dtype, weights.quant, data)
    inputs = [node.inputs[0], changed, *node.inputs[2:]]
    made = replace(node, inputs=inputs, attrs={**node.attrs, "padding": padding})
    (shape, _), *_ = ops.module(node.op).infer(made)
    return made if tuple(shape) == node.output.shape else None


def _padding(node: Node, kernel: Kernel) -> tuple[int, int, int, int]:
    """Half of the difference less (or more) on each side."""
    size = kernel_of(node)
    assert size is not None
    (dh, dw), (top, left, bottom, right) = node.attrs.get("dilation", (1, 1)), node.attrs["padding"]
    y, x = (size[0] - kernel[0]) * dh // 2, (size[1] - kernel[1]) * dw // 2
    return max(0, top - y), max(0, left - x), max(0, bottom - y), max(0, right - x)


def resize_kernel(data: np.ndarray, axis: int, kernel: Kernel) -> np.ndarray:
    """The middle of a kernel, or the kernel within zeros."""
    for a, wanted in zip((axis, axis + 1), kernel, strict=True):
        had = data.shape[a]
        if wanted <= had:
            data = np.take(data, range((had - wanted) // 2, (had - wanted) // 2 + wanted), axis=a)
        else:
            before = (wanted - had) // 2
            pads = [(before, wanted - had - before) if i == a else (0, 0) for i in range(data.ndim)]
            data = np.pad(data, pads)
    return np.ascontiguousarray(data)
