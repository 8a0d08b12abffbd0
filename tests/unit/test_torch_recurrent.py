# SPDX-License-Identifier: Apache-2.0
"""PyTorch's recurrent layers give PyTorch's numbers, one node per layer and direction."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from test_torch_import import check, random_inputs, refused  # noqa: E402
from torch import nn  # noqa: E402

from edgesdk.errors import Unsupported  # noqa: E402

LAYERS = {
    "lstm": nn.LSTM(3, 5, batch_first=True),
    "lstm both ways": nn.LSTM(3, 4, 2, bidirectional=True),
    "gru": nn.GRU(3, 5, 2, bias=False),
    "gru both ways": nn.GRU(3, 4, batch_first=True, bidirectional=True),
    "tanh": nn.RNN(3, 5),
    "relu": nn.RNN(3, 5, 2, nonlinearity="relu", batch_first=True),
}


class Flat(nn.Module):
    """All outputs of a recurrent layer; `given` states come in as inputs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, *given: Any) -> Any:
        y, last = self.layer(x, *([] if not given else [given if len(given) > 1 else given[0]]))
        return (y, *(last if isinstance(last, tuple) else (last,)))


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    layer = LAYERS[name]
    graph = check(Flat(layer), random_inputs((2, 6, 3)))
    ways = 2 if layer.bidirectional else 1
    assert sum(n.op == "rnn" for n in graph.nodes) == layer.num_layers * ways


@pytest.mark.parametrize("name", ["lstm both ways", "gru"])
def test_states_that_come_in(name: str) -> None:
    layer = LAYERS[name]
    states = [(layer.num_layers * (2 if layer.bidirectional else 1), 6, layer.hidden_size)]
    check(Flat(layer), random_inputs((2, 6, 3), *states * (2 if name.startswith("lstm") else 1)))


def test_a_signal_without_batch() -> None:
    check(Flat(LAYERS["lstm"]), random_inputs((6, 3)))


def test_cells() -> None:
    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.lstm = nn.GRUCell(3, 4), nn.LSTMCell(4, 5)

        def forward(self, x: Any, h: Any, c: Any) -> Any:
            h = self.gru(x, h)
            return (h, *self.lstm(h, (c, c)))

    check(Cells(), random_inputs((2, 3), (2, 4), (2, 5)))


def test_projections_are_refused() -> None:
    assert "put a linear layer behind it" in refused(
        Unsupported, Flat(nn.LSTM(3, 5, proj_size=2)).eval(), *random_inputs((2, 6, 3))
    )


def test_variances() -> None:
    class Spread(nn.Module):
        def forward(self, x: Any) -> Any:
            variance, mean = torch.var_mean(x, (1, 2), keepdim=True)
            return x.var(-1, unbiased=False), x.std(), (x - mean) * torch.rsqrt(variance), torch.std(x, 0, correction=0)

    check(Spread(), random_inputs((3, 4, 5)))
