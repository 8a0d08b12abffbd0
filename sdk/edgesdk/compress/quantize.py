# SPDX-License-Identifier: Apache-2.0
"""Post-training quantisation of a float graph to the TFLite integer specification.

Activations: int8, one scale and zero point per tensor, zero exactly representable; or int16,
one scale and no zero point (int16x8). Weights: int8 in [-127, 127], symmetric per output channel.
Biases: int32 (int16x8: int64) at input scale x weight scale. Indices and truth values stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgesdk.compress import recurrent
from edgesdk.compress.calibrate import Ranges
from edgesdk.compress.masks import limit_masks
from edgesdk.compress.schemes import INT8, INT16X8, Scheme, left_in_float
from edgesdk.compress.shared_quants import all_values, choose_quants
from edgesdk.compress.write_integers import Raised, write
from edgesdk.errors import Unsupported, UsageError
from edgesdk.ir import Graph, Value

EDGE_TYPES = ("integer", "int8", "float32")


def quantize_int8(graph: Graph, ranges: Ranges, io: str = "int8") -> Graph:
    """`quantized` by the int8 scheme."""
    return quantized(graph, ranges, INT8, io)


def quantized(
    graph: Graph,
    ranges: Ranges,
    scheme: Scheme,
    io: str = "integer",
    leave_float: bool = False,
    raised: Mapping[Value, str] | None = None,
    finer: Ranges | None = None,
) -> Graph:
    """The integer graph. `ranges` come from `calibrate` on this very graph; with io="float32" the
    inputs and outputs stay float, between quantize and dequantize nodes. Ops without an integer form
    are refused, or with `leave_float` compute in float. `raised` names nodes by their outputs that compute in "int16",
    with the ranges `finer`, or in "float32" all the same."""
    if io not in EDGE_TYPES:
        raise UsageError(f"io {io!r}; expected one of {', '.join(EDGE_TYPES)}")
    graph, ranges = recurrent.with_last_steps(graph, ranges, scheme)
    check_graph(graph, ranges, scheme, leave_float)
    known = None if finer is None else {v: finer.get(v, r) for v, r in ranges.items()}
    limited, ranges = limit_masks(graph, ranges)
    return write(limited, choose_quants(limited, ranges, scheme), io, raised_form(graph, raised or {}, known))


def raised_form(graph: Graph, kinds: Mapping[Value, str], finer: Ranges | None) -> Raised:
    if finer is None:
        return Raised(kinds)
    return Raised(kinds, choose_quants(*limit_masks(graph, finer), INT16X8))


def check_graph(graph: Graph, ranges: Ranges, scheme: Scheme, leave_float: bool) -> None:
    values = [*graph.inputs, *(v.value for v in graph.variables), *(v for n in graph.nodes for v in n.outputs)]
    done = next((v for v in values if v.quant is not None and v.dtype != "float32"), None)
    if done is not None:
        raise UsageError(f"value {done.name!r} is {done.dtype}; expected a float32 graph to quantise")
    left = [] if leave_float else sorted({f"{n.op} ({n.source})" for n in left_in_float(graph, scheme)})
    if left:
        raise Unsupported(
            f"ops without an {scheme.dtype} form: {', '.join(left)}; expected them folded or left in float"
        )
    missing = next((v for v in all_values(graph) if v not in ranges), None)
    if missing is not None:
        raise UsageError(f"value {missing.name!r} has no calibrated range; expected ranges of this graph")
