# SPDX-License-Identifier: Apache-2.0
"""PyTorch ops on indices, truth values and integers: the C runtime gives torch's results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import small_models  # noqa: E402
from test_torch_import import Functions, random_inputs, refused  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgesdk import converters, passes, runtime  # noqa: E402
from edgesdk.errors import Unsupported  # noqa: E402
from edgesdk.ir import Graph  # noqa: E402

Function = Callable[..., Any]


def check(module: Any, inputs: tuple[Any, ...], names: list[str]) -> Graph:
    """Integers and truth values are exactly torch's, floats up to rounding; returns the simplified graph."""
    with torch.no_grad():
        expected = module.eval()(*inputs)
    graph = passes.simplify(converters.load(module, example_inputs=inputs))
    seen = graph.copy()
    layouts = graph.metadata["input_layouts"]
    given = zip(graph.inputs, inputs, strict=True)
    arrays = [np.moveaxis(x.numpy(), 1, -1) if v.name in layouts else x.numpy() for v, x in given]
    results = runtime.run(runtime.open_session(small_models.compiled(graph)), [np.array(a, order="C") for a in arrays])
    for value, got, e, name in zip(seen.outputs, results, expected, names, strict=True):
        want = np.moveaxis(e.numpy(), 1, -1) if value.name in seen.metadata["output_layouts"] else e.numpy()
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=name)
    return seen


def written(x: Any, at: Any, value: Any) -> Any:
    x = x.clone()
    x[at] = value
    return x


# x and y: floats [3, 4, 5]; i: int64 [3, 4, 5] of 0, 1, 2
COMPARISONS: dict[str, Function] = {
    "eq": lambda x, y, i: i == 1,
    "ne": lambda x, y, i: i.ne(i.flip(0)),
    "lt": lambda x, y, i: x < y,
    "le of integers and a fraction": lambda x, y, i: i <= 0.5,
    "gt of integers and floats": lambda x, y, i: i > x,
    "ge": lambda x, y, i: x >= y[:1],
    "logic": lambda x, y, i: ((x > 0) & (y > 0)) | ~(x < y) ^ (i == 0),
    "truth of numbers": lambda x, y, i: torch.logical_and(i, x).logical_or(torch.logical_xor(x > 1, i)),
    "not": lambda x, y, i: torch.logical_not(i),
    "bits": lambda x, y, i: ((i << 2) | 1) ^ (torch.bitwise_not(i) & 6) >> 1,
    "where": lambda x, y, i: torch.where(x > y, x, 0.5),
    "where of integers": lambda x, y, i: torch.where(x > 0, i, -1),
    "masked fill": lambda x, y, i: x.masked_fill(i == 1, float("-inf")).softmax(-1),
    "masked assignment": lambda x, y, i: written(x, x > 0, 0.25),
    "nan": lambda x, y, i: torch.isnan(torch.where(i == 0, float("nan"), x)),
    "inf": lambda x, y, i: torch.isinf(torch.where(i == 0, float("-inf"), x)),
    "a mask times": lambda x, y, i: x * (x > 0) + y * (y < 0).float(),
    "arithmetic of integers": lambda x, y, i: (i * 3 - i) / 4 + (2 * i).clamp(1, 3) * x,
    "casts": lambda x, y, i: (x * 10).to(torch.int32).to(torch.float32) + i.float(),
    "like": lambda x, y, i: x + torch.zeros_like(x) + torch.ones_like(x) * 3 + torch.full_like(y, 2),
    "triangles": lambda x, y, i: x.tril(-1) + y.triu(1),
    "clamp by a tensor": lambda x, y, i: torch.clamp(x, min=y[:1], max=torch.tensor(1.0)),
}

RANKS: dict[str, Function] = {
    "argmax": lambda x, y, i: x.argmax(1),
    "argmin of all": lambda x, y, i: x.argmin(),
    "argmax, kept": lambda x, y, i: x.argmax(2, keepdim=True),
    "max of all": lambda x, y, i: x.max(),
    "max": lambda x, y, i: x.max(1).values,
    "min with index": lambda x, y, i: x.min(2, keepdim=True).indices,
    "max of two": lambda x, y, i: torch.max(x, y) + torch.min(x, y),
    "amin": lambda x, y, i: x.amin((0, 2)),
    "prod": lambda x, y, i: x.prod(1),
    "any": lambda x, y, i: (x > 1).any(1),
    "all": lambda x, y, i: (x < 2).all(),
    "sum of truth": lambda x, y, i: (x > 0).sum(1),
    "topk": lambda x, y, i: x.topk(2, dim=1).values,
    "smallest": lambda x, y, i: x.topk(3, largest=False).indices,
    "sort": lambda x, y, i: x.sort(1).values,
    "argsort": lambda x, y, i: x.argsort(-1, descending=True),
    "cumsum": lambda x, y, i: x.cumsum(1),
    "cumsum of integers": lambda x, y, i: i.to(torch.int32).cumsum(-1),
    "flip": lambda x, y, i: x.flip(0, 2),
    "roll": lambda x, y, i: x.roll((1, -2), (1, 2)),
    "roll of all": lambda x, y, i: x.roll(7),
}

INDICES: dict[str, Function] = {
    "index select": lambda x, y, i: x.index_select(1, i[0, :, 0]),
    "embedding": lambda x, y, i: F.embedding(i, torch.arange(6.0).reshape(3, 2)),
    "gather": lambda x, y, i: x.gather(1, i[:, :2]),
    "an index": lambda x, y, i: x[:, i[0, 0]],
    "a constant table": lambda x, y, i: torch.arange(6.0).reshape(3, 2)[i[0], (i[1] > 0).long()],
    "a list of indices": lambda x, y, i: x[:, [2, 0, 3]],
    "two indices": lambda x, y, i: x[:, i[0], i[1]],
    "two indices apart": lambda x, y, i: x[i[0, 0], :, i[1, 0]],
    "constant indices": lambda x, y, i: x[torch.tensor([0, 2]), torch.tensor([3, 1])],
    "scatter": lambda x, y, i: x.scatter(1, i[:, :1], y),
    "scatter of a number": lambda x, y, i: x.scatter(2, i[:, :, :1], 2.0),
    "scatter add": lambda x, y, i: x.scatter_add(0, i, y),
    "scatter reduce": lambda x, y, i: x.scatter_reduce(0, i, y, "amax"),
    "index assignment": lambda x, y, i: written(x, i[0, :2, 0], 0.5),
    "index addition": lambda x, y, i: x.index_put((i[0, 0],), y[0], accumulate=True),
    "slice assignment": lambda x, y, i: written(x, (slice(None), slice(1, 3)), y[:, :2]),
    "row assignment": lambda x, y, i: written(x, (slice(None), 1), y[:, 0]),
    "end assignment": lambda x, y, i: written(x, slice(1, None), y[:2]),
    "repeat interleave": lambda x, y, i: x.repeat_interleave(2, 1),
}


@pytest.mark.parametrize("functions", [COMPARISONS, RANKS, INDICES], ids=["comparisons", "ranks", "indices"])
def test_functions(functions: dict[str, Function]) -> None:
    x, y = random_inputs((3, 4, 5), (3, 4, 5))
    i = torch.randint(0, 3, (3, 4, 5), generator=torch.Generator().manual_seed(1))
    module = Functions(functions)
    check(module, (x, y, i), module.names())


def test_heads_on_images_need_no_transposes() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3)
    functions: dict[str, Function] = {
        "class of each pixel": lambda x: x.argmax(1),
        "best": lambda x: x.topk(2, 1).values,
        "mask": lambda x: torch.where(x > x.mean(1, keepdim=True), x, 0.0),
        "mirrored": lambda x: x.flip(3).roll(1, 2),
        "channels": lambda x: x[:, [0, 3, 1]],
        "sums": lambda x: x.cumsum(1).repeat(1, 1, 2, 1) + x.amin((2, 3), keepdim=True),
        "of another": lambda x: x.gather(1, x.argmax(1, keepdim=True)).expand(-1, 6, -1, -1) * x,
    }

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: Any) -> Any:
            y = self.conv(x)
            return tuple(f(y) for f in functions.values())

    graph = check(Heads(), random_inputs((1, 3, 7, 6)), list(functions))
    assert not [n.source for n in graph.nodes if n.op == "transpose"]


def test_what_has_no_kernel_is_refused_in_its_place() -> None:
    functions: dict[str, Function] = {
        "reduce": lambda x: x.scatter_reduce(0, (x > 9).long(), x, "mean"),
        "mask": lambda x: x.index_put((x > 0,), torch.arange(3.0)[:1], accumulate=True),
    }
    text = refused(Unsupported, Functions(functions), *random_inputs((4, 5)))
    assert "reduce 'mean'" in text and "indices of bool" in text
