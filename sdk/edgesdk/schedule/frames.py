# SPDX-License-Identifier: Apache-2.0
"""Sliding windows: a network whose layers never pad along the height keeps its rows between inferences
and computes only what a new frame adds.

Every layer of the window part has a lead (frames that arrive after the first one that its row 0 needs)
and a stride (frames per row of its output). At frame f it computes row (f - lead) / stride where that
is whole, into a ring of just enough rows, a power of two so that row numbers may wrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesdk import ops
from edgesdk.errors import Unsupported
from edgesdk.ir import Value
from edgesdk.ops import RowView, activation, arithmetic, elementary
from edgesdk.schedule import Schedule, Stage, Step

WRAP = 1 << 14  # frames after which row numbers begin again; the kernels' extents stay below 2**15
WINDOW_OPS = ("conv2d", "depthwise_conv2d", "avg_pool2d", "max_pool2d")
ROW_OPS = (
    ("add", "sub", "mul", "minimum", "maximum", "lut", "quantize", "dequantize", "concat")
    + tuple("relu relu6 relu_n1_to_1 leaky_relu hard_swish logistic tanh clip".split())
    + (*arithmetic.NAMES, *elementary.NAMES, *activation.NAMES, "softmax", "log_softmax", "l2_norm", "hardmax", "lrn")
)


@dataclass(frozen=True)
class Pace:
    """Row y of a value is complete with frame lead + y * stride."""

    lead: int
    stride: int


def sliding(base: Schedule) -> Schedule | None:
    """`base` with its input arriving frame by frame for ever; None where its layers do not allow that.

    The first stage ends at the first value of one row; the rest runs whenever that is new.
    """
    if base.graph.variables:
        return None  # rings and states would both keep what was
    window = base.graph.inputs[0]
    paces: dict[Value, Pace] = {window: Pace(0, 1)}
    for n, step in enumerate(base.steps, 1):
        pace = _pace(step, paces)
        if pace is None:
            return None
        paces[step.node.output] = pace
        if step.node.output.shape[1] == 1:
            whole = pace.lead == window.shape[1] - 1 and _only_output(base, n)
            return _scheduled(base, n, paces) if whole else None
    return None


def _pace(step: Step, paces: dict[Value, Pace]) -> Pace | None:
    """None for a step that does not slide: padding, other inputs, several images, strides that do not wrap."""
    read = [v.value for v in step.encoded.inputs if v.value.data is None]
    if not read or any(v not in paces for v in read) or step.encoded.batch != 1 or len(step.node.output.shape) != 4:
        return None
    stride, kernel = 1, 1
    if step.node.op in WINDOW_OPS:
        if step.node.attrs["padding"][0] or step.node.attrs["padding"][2]:
            return None
        stride, kernel = step.node.attrs["stride"][0], len(ops.rows_read(step.node, step.encoded, 0, 0))
    elif step.node.op not in ROW_OPS or any(v.rows != step.encoded.rows for v in step.encoded.inputs):
        return None
    elif step.encoded.rows != step.node.output.shape[1]:
        return None  # its rows are runs of items
    strides = {paces[v].stride for v in read}
    lead = max(paces[v].lead + (kernel - 1) * paces[v].stride for v in read)
    total = strides.pop() * stride
    return Pace(lead, total) if not strides and WRAP % total == 0 else None


def _only_output(base: Schedule, n: int) -> bool:
    """Later steps read nothing of the window part but its last value."""
    inner = {base.graph.inputs[0], *(s.node.output for s in base.steps[: n - 1])}
    later = {base.root(v) for s in base.steps[n:] for v in s.reads()} | {base.root(v) for v in base.graph.outputs}
    return not inner & later


def _rings(steps: Sequence[Step], paces: dict[Value, Pace]) -> dict[Value, int]:
    """Rows of each value that a reader may still need when the next one is written, as a power of two."""
    rows = dict.fromkeys(paces, 1)
    for step in steps:
        for v in (v.value for v in step.encoded.inputs if v.value.data is None):
            needed = (paces[step.node.output].lead - paces[v].lead) // paces[v].stride + 1
            rows[v] = max(rows[v], needed)
    return {v: 1 << (n - 1).bit_length() for v, n in rows.items()}


def _scheduled(base: Schedule, n: int, paces: dict[Value, Pace]) -> Schedule:
    rings = _rings(base.steps[:n], paces)
    steps = [_sliding_step(s, paces, rings) for s in base.steps[:n]] + base.steps[n:]
    rest = [Stage("plain", n, len(steps) - n)] if len(steps) > n else []
    stages = [Stage("frames", 0, n), *rest]
    return Schedule(base.graph, steps, stages, base.roots, base.graph.inputs[0], rings, paces, threads=base.threads)


def _sliding_step(step: Step, paces: dict[Value, Pace], rings: dict[Value, int]) -> Step:
    """The step with rings for tensors, rows that wrap, and an input without end."""

    def ring(v: RowView) -> RowView:
        return v if v.value.data is not None else RowView(v.value, rings[v.value], v.row_bytes)

    encoded = step.encoded
    params = list(encoded.params)
    if step.node.op in WINDOW_OPS:
        params[0] = 2 * WRAP - 1  # in_h
    rows = WRAP // paces[step.node.output].stride
    views = [ring(v) for v in encoded.inputs]
    return replace(step, encoded=replace(encoded, params=params, output=ring(encoded.output), inputs=views, rows=rows))


def first_row(pace: Pace) -> int:
    """The row number with which a step begins, so that row 0 is the first complete one."""
    begin = pace.lead % pace.stride  # the first frame at which the step is called
    return (begin - pace.lead) // pace.stride % (WRAP // pace.stride)


def require(base: Schedule) -> Schedule:
    """`sliding`, or Unsupported with what is expected."""
    found = sliding(base)
    if found is None:
        raise Unsupported(
            "the network does not slide: expected layers without padding along the height, down to one row"
        )
    return found
