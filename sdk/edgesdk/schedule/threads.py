# SPDX-License-Identifier: Apache-2.0
"""How the rows of a step are shared out among threads: in parts that whoever is free takes."""

from __future__ import annotations

import math

from edgesdk import kernels, ops
from edgesdk.schedule import Schedule, Step, overwritten

LEAST_WORK = 1 << 15  # products, or bytes that are read and written, of a step that is worth waking a thread for
PART_PIXELS = 64  # in a part: kernels go through weights once for so many
MOST_PARTS = 8  # for each thread: a core that is slow or busy then leaves some to the others
MOST_ROWS = 255  # in a part, as a byte tells


def rows_in_part(schedule: Schedule, step: Step) -> int:
    """Rows that a thread takes at once; 0 where one thread computes the step."""
    threads, rows = schedule.threads, step.encoded.rows
    if threads == 1 or not can_split(schedule, step) or not _pays(step):
        return 0
    items = step.encoded.batch
    pixels = rows * items * _width(step)
    parts = threads * max(1, min(MOST_PARTS, pixels // (PART_PIXELS * threads)))
    return min(MOST_ROWS, rows, max(1, -(-rows * items // parts)))


def _pays(step: Step) -> bool:
    return work(step) >= LEAST_WORK if step.shared is None else step.shared


def can_split(schedule: Schedule, step: Step) -> bool:
    """Whether rows may be computed in any order, and nothing that others need is overwritten."""
    encoded = step.encoded
    if not kernels.splits(step.kernel) or encoded.keeps_scratch or encoded.rows != encoded.output.rows:
        return False
    if encoded.rows * encoded.batch == 1 or overwritten(step, schedule.roots):
        return False
    return not schedule.is_held(step.output)


def work(step: Step) -> int:
    views = (step.encoded.output, *step.encoded.inputs)
    return max(ops.macs(step.node), sum(v.rows * v.row_bytes for v in views) * step.encoded.batch)


def _width(step: Step) -> int:
    """Pixels of an output row."""
    shape = step.node.output.shape
    return max(1, math.prod(shape[:-1]) // (step.encoded.rows * step.encoded.batch))
